"""What an ONNX file that draws is, and whether it may be run: one file, known operators, no tricks.

Knows no torch. The graph is read here and tried in a process of its own (``onnx_trial``), which is
ended when it takes too long or too much memory; only then is it run beside others.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genlab.formats.metadata import BrokenCheckpoint
from genlab.formats.state_dicts import MAX_BYTES
from genlab.settings import PROJECT

GRAPH = "model.onnx"
DOMAINS = ("", "ai.onnx")
LOOPING = ("If", "Loop", "Scan", "SequenceMap")
RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial",
          "Bernoulli")  # fmt: skip
SECONDS = 60.0
SLOWEST = 0.1  # seconds of one core a picture; a DCGAN for 64x64 takes 0.01
EXPORT = "torch.onnx.export(generator.eval(), z, 'mine.onnx', dynamic_axes={'z': {0: 'n'}})"


@dataclass(frozen=True)
class OnnxGraph:
    """What goes into an ONNX network that draws.

    Attributes:
        z: name of the input that takes it.
        z_shape: of one row: (L,), or (L, 1, 1).
        labels: name of the input that takes classes, int64; "" if there is none.
        rows: how many rows it takes in a call; 0: any number.
        parameters: numbers in its weights.
    """

    z: str
    z_shape: tuple[int, ...]
    labels: str = ""
    rows: int = 0
    parameters: int = 0

    @property
    def latent_dim(self) -> int:
        return self.z_shape[0]


def read_graph(path: Path) -> OnnxGraph:
    """Read an ONNX file and check that it may be run.

    Raises:
        BrokenCheckpoint: one sentence on what was found and what would fit.
    """
    import onnx

    size = path.stat().st_size if path.is_file() else 0
    if size > MAX_BYTES:
        raise BrokenCheckpoint(f"it has {size / 1e6:,.0f} MB; at most {MAX_BYTES / 1e6:.0f} fit.")
    try:
        model = onnx.load(path, load_external_data=False)
        graph = model.graph
    except Exception as error:
        raise BrokenCheckpoint("it is cut short or is no ONNX file.") from error
    if not graph.node:
        raise BrokenCheckpoint("it is no ONNX file, or has an empty graph.")
    if model.functions:
        raise BrokenCheckpoint(
            f"it brings functions of its own ({model.functions[0].name[:60]}); export it with the "
            "standard operators of ONNX alone."
        )
    for node in _nodes(graph):
        _check_node(node)
    tensors = list(_tensors(graph))
    for tensor in tensors:
        _check_tensor(tensor)
    return _inputs(graph, sum(int(np.prod(t.dims)) for t in tensors))


def trial(path: Path, graph: OnnxGraph, classes: int = 0) -> dict[str, Any]:
    """Run a graph once, in a process of its own with bounded time and memory.

    Returns:
        ``shape`` of what one row becomes, ``low`` and ``high`` (1st and 99th percentile),
        ``spread``, ``finite``, ``edge`` and ``middle`` (means of a picture's frame and the rest),
        and ``seconds`` that one picture takes.

    Raises:
        BrokenCheckpoint: it cannot be run, or not within the bounds.
    """
    order = {
        "path": str(path.resolve()), "z": graph.z, "z_shape": graph.z_shape, "rows": graph.rows,
        "labels": graph.labels, "classes": classes,
    }  # fmt: skip
    try:
        done = subprocess.run(
            [sys.executable, "-m", "genlab.formats.onnx_trial"],
            input=json.dumps(order), capture_output=True, text=True, timeout=SECONDS, cwd=PROJECT,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise BrokenCheckpoint(f"its graph takes more than {SECONDS:.0f} s to draw.") from None
    try:
        answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise BrokenCheckpoint(
            "its graph needs more memory than it may have, or ended the process that tried it."
        ) from None
    if "unfit" in answer:
        raise BrokenCheckpoint(answer["unfit"])
    if "trouble" in answer:
        raise BrokenCheckpoint(f"ONNX Runtime cannot run it: {answer['trouble']}")
    if answer["seconds"] > SLOWEST:
        raise BrokenCheckpoint(
            f"it takes {answer['seconds']:.1f} s a picture, but may take {SLOWEST}: nobody else "
            "should wait for it."
        )
    if not answer["finite"]:
        raise BrokenCheckpoint("it gives numbers that are not finite for an ordinary z.")
    return answer


def picture_layout(shape: list[int]) -> tuple[str, tuple[int, int, int]]:
    """How one row of the output is a picture: "chw", "hwc" or "flat", and (C, H, W).

    Raises:
        BrokenCheckpoint: it is none.
    """
    from genlab.formats.recognise.guesses import image_of

    if len(shape) == 3:
        for layout, (c, h, w) in (("chw", shape), ("hwc", (shape[2], shape[0], shape[1]))):
            if c in (1, 3) and 8 <= h <= 512 and 8 <= w <= 512:
                return layout, (c, h, w)
    if len(shape) == 2 and min(shape) >= 8:
        return "flat", (1, shape[0], shape[1])
    if len(shape) == 1 and (image := image_of(shape[0], None)):
        return "flat", image
    raise BrokenCheckpoint(
        f"what it gives for one z has shape {shape}; a picture (C, H, W) with 1 or 3 channels and "
        "8 to 512 pixels would fit."
    )


def _nodes(graph: Any) -> Iterator[Any]:
    """Every node, those of graphs inside nodes included."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _nodes(inner)


def _check_node(node: Any) -> None:
    if node.domain not in DOMAINS:
        raise BrokenCheckpoint(
            f"it needs the operator {node.op_type[:40]} of {node.domain[:40]}, which is not ONNX's "
            "own; export it with standard operators."
        )
    if node.op_type in LOOPING:
        raise BrokenCheckpoint(
            f"it has a {node.op_type} inside, which may run for ever; export the network in "
            "evaluation mode, without branches."
        )
    if node.op_type in RANDOM:
        raise BrokenCheckpoint(
            f"it draws its own random numbers ({node.op_type}), so a seed would not give the same "
            "picture; let z be its input."
        )


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield sparse.values
        yield sparse.indices
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _check_tensor(tensor: Any) -> None:
    import onnx
    from onnx import numpy_helper

    if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise BrokenCheckpoint(
            f"its weights ({tensor.name[:60]}) lie in another file; export it as one: "
            "torch.onnx.export(..., external_data=False)."
        )
    try:
        values = numpy_helper.to_array(tensor)
    except Exception as error:
        raise BrokenCheckpoint(f"its weights {tensor.name[:60]} are damaged.") from error
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise BrokenCheckpoint(f"its weights {tensor.name[:60]} are NaN or infinite.")


def _inputs(graph: Any, parameters: int) -> OnnxGraph:
    """What it takes: z as floats, and perhaps classes as whole numbers."""
    import onnx

    constants = {tensor.name for tensor in graph.initializer}
    given = [value for value in graph.input if value.name not in constants]
    floats = [v for v in given if v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT]
    whole = [v for v in given if v.type.tensor_type.elem_type == onnx.TensorProto.INT64]
    if len(floats) != 1 or len(whole) > 1 or len(given) != len(floats) + len(whole):
        names = ", ".join(value.name for value in given)[:100] or "nothing"
        raise BrokenCheckpoint(
            f"it takes {names}; one float input z (and perhaps one of int64 classes) would fit: "
            f"{EXPORT}."
        )
    sizes = [d.dim_value for d in floats[0].type.tensor_type.shape.dim]
    if len(sizes) not in (2, 4) or not 1 <= sizes[1] <= 4096 or any(n != 1 for n in sizes[2:]):
        raise BrokenCheckpoint(
            f"its input {floats[0].name[:40]} has shape {sizes}; z as (N, L) or (N, L, 1, 1) with "
            "a fixed L would fit."
        )
    labels = whole[0].name if whole else ""
    return OnnxGraph(floats[0].name, tuple(sizes[1:]), labels, sizes[0], parameters)
