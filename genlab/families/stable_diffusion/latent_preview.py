"""Latents to small pictures by one linear map, instead of the VAE's decoder. Knows no job.

A preview may cost a network's step next to nothing, and a decoder costs as much as two of Toybox's
steps. A pixel of the decoded picture is nearly linear in the latents round it, as keturn found for
Stable Diffusion 1.4 (https://discuss.huggingface.co/t/decoding-latents-to-rgb-without-upscaling).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genlab.formats.hub_layout import read_json
from genlab.formats.metadata import BrokenCheckpoint

FILE = "preview.json"
SMALLEST = 64  # pixels of a preview's side
BLOCKS = (128, 256, 512, 512)  # of the VAE that all of Stable Diffusion's share
RIDGE = 1e-5  # of the least squares, relative to the number of samples


class LatentPreview:
    """A linear map from latents (B, C, h, w) to pictures (B, 3, H, W) about [-1, 1].

    Each latent pixel becomes scale x scale pixels, by the latents round it and the channels' means
    over the picture; bilinear enlargement makes the side `SMALLEST` pixels at least.

    Args:
        weight: (3 * scale^2, C, k, k), k odd, in the order that `pixel_shuffle` reads.
        mean_weight: (3 * scale^2, C), of the channels' means.
        bias: (3 * scale^2,).
    """

    def __init__(self, weight: Tensor, mean_weight: Tensor, bias: Tensor) -> None:
        self.weight, self.mean_weight, self.bias = weight, mean_weight, bias
        self.scale = round((len(bias) / 3) ** 0.5)

    def __call__(self, latents: Tensor) -> Tensor:
        latents = latents.float()
        reach = self.weight.shape[-1] // 2
        around = F.pad(latents, (reach,) * 4, mode="replicate") if reach else latents
        means = latents.mean(dim=(2, 3)) @ self.mean_weight.T + self.bias  # (B, 3 * scale^2)
        pictures = F.conv2d(around, self.weight) + means[:, :, None, None]
        pictures = F.pixel_shuffle(pictures, self.scale)
        if pictures.shape[-1] >= SMALLEST:
            return pictures
        times = -(-SMALLEST // pictures.shape[-1])
        return F.interpolate(pictures, scale_factor=times, mode="bilinear", align_corners=False)

    def to(self, device: torch.device) -> LatentPreview:
        """The same map on a device."""
        return LatentPreview(*(t.to(device) for t in (self.weight, self.mean_weight, self.bias)))

    def save(self, path: Path, **figures: float) -> None:
        """Write it, and how well it fits, as JSON."""
        content: dict[str, Any] = dict(figures)
        for name in ("bias", "mean_weight", "weight"):
            content[name] = _rounded(getattr(self, name).tolist())
        path.write_text(json.dumps(content) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path, channels: int) -> LatentPreview:
        """Read one that ``save`` wrote; raises BrokenCheckpoint unless it fits the latents."""
        content = read_json(path)
        try:
            names = ("weight", "mean_weight", "bias")
            weight, means, bias = (torch.tensor(content[name]).float() for name in names)
            rows, side = len(bias), weight.shape[-1]
            fits = weight.shape == (rows, channels, side, side) and means.shape == (rows, channels)
            square = rows == 3 * round((rows / 3) ** 0.5) ** 2
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise BrokenCheckpoint(f"its {path.name} describes no map of latents.") from error
        if not (fits and square and side % 2):
            raise BrokenCheckpoint(f"its {path.name} does not fit latents of {channels} channels.")
        return cls(weight, means, bias)


def fit(
    latents: Tensor, pictures: Tensor, neighbourhood: int = 1, scale: int = 1, means: bool = False
) -> LatentPreview:
    """The map whose pictures are nearest to decoded ones, by least squares.

    Args:
        latents: (B, C, h, w), as a scheduler steps them.
        pictures: what they decode to, (B, 3, H, W) in [-1, 1], H a multiple of scale * h.
        neighbourhood: side of the square of latents that a pixel is made of; odd.
        scale: pixels for each latent pixel, along a side.
        means: whether the channels' means over a picture count as well.
    """
    latents, pictures = latents.float().cpu(), pictures.float().cpu()  # there in double precision
    channels, side = latents.shape[1], latents.shape[-1]
    around = F.pad(latents, (neighbourhood // 2,) * 4, mode="replicate")
    columns = [F.unfold(around, neighbourhood)]  # (B, C * k^2, h * w)
    mean = latents.mean(dim=(2, 3))[:, :, None] * (1.0 if means else 0.0)  # (B, C, 1)
    columns += [mean.expand(-1, -1, side * side), torch.ones_like(columns[0][:, :1])]
    inputs = torch.cat(columns, dim=1).transpose(1, 2).flatten(0, 1).double()  # (B * h * w, D)
    small = F.avg_pool2d(pictures, pictures.shape[-1] // (scale * side))
    wanted = F.pixel_unshuffle(small, scale).flatten(2).transpose(1, 2).flatten(0, 1).double()
    ridge = RIDGE * len(inputs) * torch.eye(inputs.shape[1], dtype=torch.float64)
    map_ = torch.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ wanted).T.float()
    weight, mean_weight, bias = map_.split([map_.shape[1] - channels - 1, channels, 1], dim=1)
    shape = (channels, neighbourhood, neighbourhood)
    return LatentPreview(weight.unflatten(1, shape), mean_weight, bias[:, 0])


def preview_of(path: Path, vae: Any, vae_input: Callable[[Tensor], Tensor]) -> LatentPreview:
    """The map for a model: the one in its folder, the published one for its VAE, or a fitted one.

    Args:
        path: the model's folder or file; `FILE` in a folder is the map for it.
        vae: its AutoencoderKL, on the device.
        vae_input: from latents as a scheduler steps them to what the VAE decodes.
    """
    device = next(vae.parameters()).device
    channels = vae.config.latent_channels
    if (path / FILE).is_file():
        return LatentPreview.load(path / FILE, channels).to(device)
    factor = round(vae.config.scaling_factor, 5)
    if (tuple(vae.config.block_out_channels), channels) == (BLOCKS, 4) and factor in PUBLISHED:
        return PUBLISHED[factor].to(device)
    return _fitted_to_soft_patches(vae, vae_input, channels, device)


@torch.inference_mode()
def _fitted_to_soft_patches(
    vae: Any, vae_input: Callable[[Tensor], Tensor], channels: int, device: torch.device
) -> LatentPreview:
    """A map for a VAE that nobody knows, by what it makes of four patches of soft colours."""
    noise = torch.randn((4, channels, 4, 4), generator=torch.Generator().manual_seed(0))
    latents = F.interpolate(noise, size=16, mode="bilinear", align_corners=False).to(device)
    pictures = vae.decode(vae_input(latents)).sample.clamp(-1, 1)
    return fit(latents, pictures.nan_to_num()).to(device)


def _by_channel(rows: list[list[float]], bias: tuple[float, float, float]) -> LatentPreview:
    """The map of one latent pixel to one pixel, from a row of red, green and blue a channel."""
    weight = torch.tensor(rows).T[:, :, None, None]  # (3, C, 1, 1)
    return LatentPreview(weight, torch.zeros(weight.shape[:2]), torch.tensor(bias))


def _rounded(values: Any) -> Any:
    if isinstance(values, list):
        return [_rounded(value) for value in values]
    return round(values, 4)


# By the VAE's scaling factor. The first: keturn's post (see above) for Stable Diffusion 1.4, whose
# latents 1.x and 2.x share. The second: diffusers' documentation, "Pipeline callbacks, display
# image after each generation step", in levels from 0 to 255.
PUBLISHED = {
    0.18215: _by_channel(
        [
            [0.298, 0.207, 0.208],
            [0.187, 0.286, 0.173],
            [-0.158, 0.189, 0.264],
            [-0.184, -0.271, -0.473],
        ],
        (0.0, 0.0, 0.0),
    ),
    0.13025: _by_channel(
        [[v / 127.5 for v in row] for row in ([60, 60, 60], [-60, -5, 10], [25, 15, -5])]
        + [[-70 / 127.5, -50 / 127.5, -35 / 127.5]],
        (150 / 127.5 - 1, 140 / 127.5 - 1, 130 / 127.5 - 1),
    ),
}
