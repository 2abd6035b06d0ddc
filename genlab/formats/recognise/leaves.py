"""Tensors of a state dict grouped into layers with weights. Knows no network; no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genlab.formats.metadata import BrokenCheckpoint

NORMS = ("batch_norm", "layer_norm")
TRANSPOSED = re.compile(r"trans|deconv|t_?conv|conv_?t\b|ct\d|up\b|upconv")
LABELS = re.compile(r"emb|label|class|cond", re.I)
WIRED = re.compile(
    r"(^|[._])(res|resnet|residual|resblock\w*|shortcut|skip|attn|attention|qkv)\d*[._]", re.I
)
COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Reading:
    """One way to read a layer's shape: its kind and how many channels or numbers go in and out."""

    op: str
    inputs: int
    outputs: int


@dataclass(frozen=True)
class Leaf:
    """One layer with weights.

    Attributes:
        name: as the state dict has it, such as "decoder.0".
        readings: what it can be; a convolution's shape alone does not say which way it goes.
        kernel: pixels of a side.
        tensors: its tensors' last names.
    """

    name: str
    readings: tuple[Reading, ...]
    kernel: int = 1
    tensors: tuple[str, ...] = ("weight", "bias")

    @property
    def is_norm(self) -> bool:
        return self.readings[0].op in NORMS

    @property
    def parent(self) -> str:
        """The module that holds it."""
        return self.name.rpartition(".")[0]

    @property
    def place(self) -> int | None:
        """Its place in a Sequential; None if its name is no number."""
        last = self.name.rpartition(".")[2]
        return int(last) if last.isdecimal() else None

    def layer(self, reading: Reading) -> dict[str, Any]:
        """The start of its entry in a config.json."""
        if self.is_norm:
            affine = "weight" in self.tensors
            return {"op": reading.op, "width": reading.outputs, "affine": affine} | self._source
        if reading.op == "prelu":
            return {"op": "prelu", "width": reading.outputs} | self._source
        layer: dict[str, Any] = {"op": reading.op, "in": reading.inputs, "out": reading.outputs}
        if reading.op != "linear":
            layer["kernel"] = self.kernel
        return layer | {"bias": "bias" in self.tensors} | self._source

    @property
    def _source(self) -> dict[str, str]:
        return {"source": self.name}


def leaves(shapes: Mapping[str, Sequence[int]], ordered: bool) -> list[Leaf]:
    """The layers of a state dict.

    Args:
        shapes: of its tensors, by name.
        ordered: whether they come in the order in which the layers were made; else they are
            sorted by name, numbers by their size.

    Raises:
        BrokenCheckpoint: a tensor belongs to no layer that is known here, or layers have names of
            a network that is more than a chain.
    """
    wired = next((name for name in shapes if WIRED.search(name)), None)
    if wired is not None:
        raise BrokenCheckpoint(
            f"it has layers beside the main path ({wired[:80]}), and no file of weights says how "
            "these are joined; save the network as ONNX (z in, picture out) instead."
        )
    grouped: dict[str, dict[str, Sequence[int]]] = {}
    for name, shape in shapes.items():
        layer, dot, last = name.rpartition(".")
        if dot and not layer:
            raise BrokenCheckpoint(f"its tensor {name[:80]} is of a layer without a name.")
        grouped.setdefault(layer, {})[last] = shape
    names = list(grouped) if ordered else sorted(grouped, key=natural)
    return [_leaf(name, grouped[name]) for name in names]


def natural(name: str) -> list[tuple[int, int | str]]:
    """A key that sorts "conv2" before "conv10", and "fc21" behind "fc2" and before "fc3"."""
    parts: list[tuple[int, int | str]] = []
    for piece in re.findall(r"\d+|\D+", name):
        heads = re.search(r"fc$|linear$|lin$|layer$", name[: name.find(piece)].lower())
        if piece.isdecimal() and heads and len(piece) == 2:
            parts += [(0, int(piece[0])), (0, int(piece[1]))]
        else:
            parts.append((0, int(piece)) if piece.isdecimal() else (1, piece))
    return parts


def _leaf(name: str, tensors: Mapping[str, Sequence[int]]) -> Leaf:
    own = {last: list(shape) for last, shape in tensors.items() if last != COUNTER}
    lasts = tuple(own)
    weight = own.get("weight")
    extra = own.keys() - {"weight", "bias", "running_mean", "running_var"}
    if extra:
        raise BrokenCheckpoint(
            f"its tensor {f'{name}.{min(extra)}'.strip('.')[:80]} belongs to no layer that GenLab "
            "knows; save the network as ONNX (z in, picture out), which needs no layer to be known."
        )
    if "running_mean" in own:
        widths = {tuple(shape) for shape in own.values()}
        whole = "running_var" in own and ("weight" in own) == ("bias" in own)
        if not whole or len(widths) != 1 or len(own["running_mean"]) != 1:
            raise BrokenCheckpoint(f"the tensors of its batch norm {name[:80]} do not fit.")
        (width,) = own["running_mean"]
        return Leaf(name, (Reading("batch_norm", width, width),), tensors=lasts)
    bias = own.get("bias")
    if weight is None or (bias is not None and len(bias) != 1):
        raise BrokenCheckpoint(f"its layer {name[:80] or 'without a name'} has no weight.")
    if len(weight) == 1:
        if bias is None:
            return Leaf(name, (Reading("prelu", weight[0], weight[0]),), tensors=lasts)
        return Leaf(name, (Reading("layer_norm", weight[0], weight[0]),), tensors=lasts)
    if len(weight) == 2:
        return _checked(Leaf(name, (Reading("linear", weight[1], weight[0]),), 1, lasts), bias)
    if len(weight) == 4 and weight[2] == weight[3]:
        a, b, kernel, _ = weight
        both = (Reading("conv", b, a), Reading("conv_transpose", a, b))
        if TRANSPOSED.search(name.lower()):
            both = both[::-1]
        return _checked(Leaf(name, both, kernel, lasts), bias)
    raise BrokenCheckpoint(
        f"its layer {name[:80]} has a weight of shape {weight}; GenLab knows fully connected "
        "layers and square 2-D convolutions. Save the network as ONNX instead."
    )


def _checked(leaf: Leaf, bias: Sequence[int] | None) -> Leaf:
    """The leaf with those readings that its bias allows."""
    fitting = tuple(r for r in leaf.readings if bias is None or r.outputs == bias[0])
    if not fitting:
        raise BrokenCheckpoint(f"the bias of its layer {leaf.name[:80]} does not fit its weight.")
    return Leaf(leaf.name, fitting, leaf.kernel, leaf.tensors)
