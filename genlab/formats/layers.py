"""A network as a list of layers in config.json: its weights and shapes, by arithmetic; no torch.

That is how a checkpoint from elsewhere lies here once its layout is recognised: plain data that
names the layers of a short list, and no code. ``families/layered.py`` builds the network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Layer = Mapping[str, Any]
"""One layer: ``op``, what that needs, and as ``source`` the name it had where it comes from."""
Shape = tuple[int, ...]
"""Of one row: (N,) or (C, H, W)."""

KIND = "layers"
"""The ``network`` of a config.json that is described here."""
ACTIVATIONS = ("relu", "leaky_relu", "elu", "gelu", "silu", "selu", "softplus", "tanh", "sigmoid")
LONGEST = 64  # layers of a part
LARGEST = 2**22  # numbers of one row between two layers
PARTS = ("encoder", "mu", "logvar", "decoder", "generator", "discriminator")


@dataclass(frozen=True)
class Described:
    """A config.json as it is checked: everything that is known of such a network.

    Attributes:
        parts: lists of layers by name, of PARTS. An encoder's layers go before ``mu`` and
            ``logvar``; without these it gives both, one after the other.
        latent_dim: numbers of z.
        image: (C, H, W) of a picture.
        low: what is black at the network's output, and
        high: what is white.
        classes: that it is told one of; 0: it is told none.
        embedding: numbers that a class becomes by a table of the weights; 0: one-hot.
        label_first: whether the class stands before z, or the picture, that it is joined to.
        multiply: whether it is multiplied with z instead.
    """

    parts: Mapping[str, Sequence[Layer]]
    latent_dim: int
    image: tuple[int, int, int]
    low: float = 0.0
    high: float = 1.0
    classes: int = 0
    embedding: int = 0
    label_first: bool = False
    multiply: bool = False

    @property
    def label_width(self) -> int:
        """How many numbers a class adds to z."""
        return 0 if self.multiply else (self.embedding or self.classes)

    @property
    def source(self) -> str:
        """The part that draws: "decoder" or "generator"."""
        return "generator" if "generator" in self.parts else "decoder"

    @property
    def encodes(self) -> bool:
        """Whether pictures can be encoded."""
        return "encoder" in self.parts


def is_described(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is one of these."""
    return config.get("network") == KIND


def described(config: Mapping[str, Any]) -> Described:
    """Check a configuration; raises ValueError, TypeError or KeyError if it makes no network."""
    parts = dict(config["parts"])
    if not parts.keys() <= set(PARTS) or not parts.keys() & {"decoder", "generator"}:
        raise ValueError(f"unknown parts: {sorted(parts)}")
    image = tuple(config["image"])
    if len(image) != 3 or image[0] not in (1, 3) or not all(_size(n) for n in image):
        raise ValueError(f"no image: {image}")
    network = Described(
        parts={name: [dict(layer) for layer in layers] for name, layers in parts.items()},
        latent_dim=_whole(config["latent_dim"]),
        image=(image[0], image[1], image[2]),
        low=float(config.get("low", 0.0)),
        high=float(config.get("high", 1.0)),
        classes=_whole(config.get("classes", 0), 0),
        embedding=_whole(config.get("embedding", 0), 0),
        label_first=bool(config.get("label_first", False)),
        multiply=bool(config.get("multiply", False)),
    )
    if not math.isfinite(network.low) or not math.isfinite(network.high):
        raise ValueError("the range is not finite")
    if network.low == network.high:
        raise ValueError("the range is empty")
    drawn = output_shape(network.parts[network.source], (network.latent_dim + network.label_width,))
    if math.prod(drawn) != math.prod(image):
        raise ValueError(f"it draws {drawn}, not {image}")
    _check_readers(network)
    return network


def _check_readers(network: Described) -> None:
    """Raise ValueError unless what reads pictures takes them and gives what it should."""
    parts, image = network.parts, network.image
    if "encoder" in parts:
        code = output_shape(parts["encoder"], image)
        if "mu" in parts:
            for head in ("mu", "logvar"):
                if math.prod(output_shape(parts[head], code)) != network.latent_dim:
                    raise ValueError(f"{head} gives no code")
        elif math.prod(code) != 2 * network.latent_dim:
            raise ValueError("the encoder gives no code")
    if "discriminator" in parts and math.prod(output_shape(parts["discriminator"], image)) != 1:
        raise ValueError("the discriminator gives no score")


def weight_shapes(config: Mapping[str, Any]) -> dict[str, list[int]]:
    """Every tensor by name: ``<part>.<index>.weight`` and so on; raises as `described` does."""
    network = described(config)
    shapes: dict[str, list[int]] = {}
    for part, layers in network.parts.items():
        for k, layer in enumerate(layers):
            for name, shape in layer_weights(layer).items():
                shapes[f"{part}.{k}.{name}"] = shape
    if network.embedding:
        shapes["label.weight"] = [network.classes, network.embedding]
    return shapes


def layer_weights(layer: Layer) -> dict[str, list[int]]:
    """The tensors of one layer by their last name; {} if it has none."""
    op = layer["op"]
    if op == "linear":
        return _biased([_whole(layer["out"]), _whole(layer["in"])], layer["out"], layer)
    kernel = _whole(layer.get("kernel", 1))
    if op == "conv":
        return _biased([layer["out"], layer["in"], kernel, kernel], layer["out"], layer)
    if op == "conv_transpose":
        return _biased([layer["in"], layer["out"], kernel, kernel], layer["out"], layer)
    width = layer.get("width", 1)
    if op == "prelu":
        return {"weight": [width]}
    if op in ("batch_norm", "layer_norm"):
        found: dict[str, list[int]] = {}
        if layer.get("affine", True):
            found |= {"weight": [width], "bias": [width]}
        if op == "batch_norm":
            found |= {"running_mean": [width], "running_var": [width]}
        return found
    return {}


def _biased(weight: list[int], outputs: int, layer: Layer) -> dict[str, list[int]]:
    return {"weight": weight} | ({"bias": [outputs]} if layer.get("bias", True) else {})


# --- shapes -----------------------------------------------------------------------------------


def output_shape(layers: Sequence[Layer], shape: Shape) -> Shape:
    """What comes out of layers for one row; raises ValueError where one does not fit."""
    if len(layers) > LONGEST:
        raise ValueError(f"{len(layers)} layers are too many")
    for layer in layers:
        rule = _RULES.get(layer["op"])
        if rule is None:
            raise ValueError(f"no layer is called {layer['op']!r}")
        shape = rule(layer, shape)
        for name in ("slope", "eps"):
            if not _is_share(layer.get(name, 0.0)):
                raise ValueError(f"{name} is {layer[name]!r}")
        if not shape or any(n < 1 for n in shape) or math.prod(shape) > LARGEST:
            raise ValueError(f"{layer['op']} gives {shape}")
    return shape


def multiplications(network: Described) -> int:
    """How many it takes to draw one picture, and to look at it where there is a discriminator."""
    begins: dict[str, Shape] = {network.source: (network.latent_dim + network.label_width,)}
    begins |= dict.fromkeys(("encoder", "discriminator"), network.image)
    total = 0
    for name, shape in begins.items():
        for layer in network.parts.get(name, ()):
            after = output_shape([layer], shape)
            weights = math.prod(layer_weights(layer).get("weight", [0]))
            if layer["op"] == "conv":
                total += weights * math.prod(after[1:])
            elif layer["op"] == "conv_transpose":
                total += weights * math.prod(shape[1:])
            else:
                total += weights
            shape = after
    return total


def _linear(layer: Layer, shape: Shape) -> Shape:
    if shape != (_whole(layer["in"]),):
        raise ValueError(f"linear takes {layer['in']} numbers, not {shape}")
    return (_whole(layer["out"]),)


def _conv(layer: Layer, shape: Shape) -> Shape:
    _, side, other = _planes(layer, shape, "in")
    return (_whole(layer["out"]), conv_size(layer, side), conv_size(layer, other))


def conv_size(layer: Layer, side: int) -> int:
    """Pixels of a side behind a convolution, or a transposed one."""
    kernel, stride = _whole(layer["kernel"]), _whole(layer.get("stride", 1))
    padding = _whole(layer.get("padding", 0), 0)
    if layer["op"] == "conv":
        return (side + 2 * padding - kernel) // stride + 1
    return (side - 1) * stride - 2 * padding + kernel + _whole(layer.get("output_padding", 0), 0)


def _norm(layer: Layer, shape: Shape) -> Shape:
    if shape[0] != _whole(layer["width"]):
        raise ValueError(f"{layer['op']} takes {layer['width']} channels, not {shape}")
    return shape


def _layer_norm(layer: Layer, shape: Shape) -> Shape:
    if shape != (_whole(layer["width"]),):
        raise ValueError(f"layer_norm takes {layer['width']} numbers, not {shape}")
    return shape


def _prelu(layer: Layer, shape: Shape) -> Shape:
    if layer["width"] not in (1, shape[0]):
        raise ValueError(f"prelu takes {layer['width']} channels, not {shape}")
    return shape


def _reshape(layer: Layer, shape: Shape) -> Shape:
    wanted = tuple(_whole(n) for n in layer["shape"])
    if len(shape) != 1 or len(wanted) != 3 or math.prod(wanted) != shape[0]:
        raise ValueError(f"{shape} cannot become {wanted}")
    return wanted


def _upsample(layer: Layer, shape: Shape) -> Shape:
    channels, side, other = _planes(layer, shape)
    scale = _whole(layer.get("scale", 2))
    return (channels, side * scale, other * scale)


def _pool(layer: Layer, shape: Shape) -> Shape:
    channels, side, other = _planes(layer, shape)
    size = _whole(layer.get("size", 2))
    return (channels, side // size, other // size)


def _planes(layer: Layer, shape: Shape, width: str = "") -> tuple[int, int, int]:
    if len(shape) != 3 or (width and shape[0] != _whole(layer[width])):
        raise ValueError(f"{layer['op']} cannot read {shape}")
    return shape[0], shape[1], shape[2]


def _whole(value: Any, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= 2**24:
        raise ValueError(f"{value!r} is no size")
    return value


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _size(value: Any) -> bool:
    return isinstance(value, int) and 1 <= value <= 512


_RULES: Mapping[str, Callable[[Layer, Shape], Shape]] = {
    "linear": _linear,
    "conv": _conv,
    "conv_transpose": _conv,
    "batch_norm": _norm,
    "layer_norm": _layer_norm,
    "prelu": _prelu,
    "flatten": lambda layer, shape: (math.prod(shape),),
    "reshape": _reshape,
    "upsample": _upsample,
    "max_pool": _pool,
    "avg_pool": _pool,
    **dict.fromkeys(ACTIVATIONS, lambda layer, shape: shape),
}
