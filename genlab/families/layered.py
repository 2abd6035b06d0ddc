"""A network built from the list of layers in its config.json. Knows no file, no queue, no page."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from genlab.formats.layers import Layer, described

WITHOUT_WEIGHTS: dict[str, Any] = {
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "selu": nn.SELU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "flatten": nn.Flatten,
}


class LayeredNetwork(nn.Module):
    """What ``formats/layers.py`` describes; the names of its weights are those given there.

    Args:
        config: a config.json, as keywords.
    """

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.about = described(config)
        self.latent_dim = self.about.latent_dim
        for part, layers in self.about.parts.items():
            self.add_module(part, nn.Sequential(*map(_module, layers)))
        if self.about.embedding:
            self.label = nn.Embedding(self.about.classes, self.about.embedding)

    @property
    def scores(self) -> bool:
        """Whether it has a discriminator."""
        return "discriminator" in self.about.parts

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Pictures (B, C, H, W) in [-1, 1].

        Args:
            z: (B, latent_dim).
            labels: int64 (B,) for a network that is told classes.
        """
        raw = self._part(self.about.source)(self.with_class(z, labels))
        unit = (raw - self.about.low) / (self.about.high - self.about.low)
        return 2.0 * unit.reshape(-1, *self.about.image) - 1.0

    decode = forward

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """`mu` and `logvar`, each (B, latent_dim), of pictures (B, C, H, W) in [-1, 1]."""
        code = self._part("encoder")(self._as_drawn(images))
        if "mu" not in self.about.parts:
            mu, logvar = code.flatten(1).chunk(2, dim=1)
        else:
            mu, logvar = (self._part(head)(code).flatten(1) for head in ("mu", "logvar"))
        return mu, logvar.clamp(-30.0, 20.0)  # as ConvVAE has it: exp() of it stays finite

    def score(self, images: Tensor) -> Tensor:
        """The discriminator's logits (B,) of pictures (B, C, H, W) in [-1, 1]."""
        return self._part("discriminator")(self._as_drawn(images)).flatten()

    def _part(self, name: str) -> nn.Module:
        return cast(nn.Module, getattr(self, name))

    def _as_drawn(self, images: Tensor) -> Tensor:
        """Pictures in the range that the network itself draws in."""
        return self.about.low + (self.about.high - self.about.low) * (images + 1.0) / 2.0

    def with_class(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """What the first layer is given: z (B, latent_dim) with the class of each row."""
        if not self.about.classes:
            return z
        if labels is None:
            raise ValueError("a class-conditional network was told no class")
        if self.about.embedding:
            code = self.label(labels)
        else:
            code = nn.functional.one_hot(labels, self.about.classes).to(z.dtype)
        if self.about.multiply:
            return z * code
        return torch.cat((code, z) if self.about.label_first else (z, code), dim=1)


class _FixedBatchNorm(nn.Module):
    """Batch norm of (B, C) and of (B, C, H, W) alike, by the statistics that came with it."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int, eps: float, affine: bool) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width)) if affine else None
        self.bias = nn.Parameter(torch.zeros(width)) if affine else None
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
        )


def _module(layer: Layer) -> nn.Module:
    """The torch module of one layer of a checked description."""
    op, bias = layer["op"], layer.get("bias", True)
    if op in WITHOUT_WEIGHTS:
        return WITHOUT_WEIGHTS[op]()
    if op == "leaky_relu":
        return nn.LeakyReLU(float(layer.get("slope", 0.2)))
    if op == "linear":
        return nn.Linear(layer["in"], layer["out"], bias)
    if op == "prelu":
        return nn.PReLU(layer["width"])
    if op in ("batch_norm", "layer_norm"):
        affine, eps = layer.get("affine", True), float(layer.get("eps", 1e-5))
        if op == "batch_norm":
            return _FixedBatchNorm(layer["width"], eps, affine)
        return nn.LayerNorm(layer["width"], eps, elementwise_affine=affine)
    if op == "reshape":
        return nn.Unflatten(1, tuple(layer["shape"]))
    if op == "upsample":
        mode = "bilinear" if layer.get("mode") == "bilinear" else "nearest"
        return nn.Upsample(scale_factor=layer.get("scale", 2), mode=mode)
    if op in ("max_pool", "avg_pool"):
        size = layer.get("size", 2)
        return nn.MaxPool2d(size) if op == "max_pool" else nn.AvgPool2d(size)
    between = {"stride": layer.get("stride", 1), "padding": layer.get("padding", 0), "bias": bias}
    if op == "conv":
        return nn.Conv2d(layer["in"], layer["out"], layer["kernel"], **between)
    more = {"output_padding": layer.get("output_padding", 0)} | between
    return nn.ConvTranspose2d(layer["in"], layer["out"], layer["kernel"], **more)
