"""A picture to begin with, as latents: noised to a strength, and kept where a mask is dark.

Takes its random numbers in the order of diffusers' own pipelines, so that a seed gives the same
picture. Knows no network but the encoder it is handed, and no job.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor
from torch.nn import functional as F

from genlab.diffusion.schedulers import noised
from genlab.engine.tensors import to_tensor
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.families.stable_diffusion.start_picture import read_mask, read_square


@dataclass(frozen=True)
class StartLatents:
    """The clean latents of a picture, the noise that is put on them, and what of them stays."""

    clean: Tensor  # (count, C, h, w)
    noise: Tensor  # likewise
    mask: Tensor | None  # (1, 1, h, w), 1 where the picture is drawn anew; None: everywhere

    @classmethod
    def of(
        cls,
        moments: Tensor,
        owned: Sequence[torch.Generator],
        scale: Tensor,
        shift: Tensor,
        mask: Tensor | None,
        dtype: torch.dtype,
    ) -> StartLatents:
        """What a request begins with.

        Args:
            moments: what the encoder says of its picture, (1, 2C, h, w): mean, log-variance.
            owned: a generator an image.
            scale, shift: of the VAE's input, so of what leaves it the other way round.
            mask: see the class.
            dtype: of the latents.
        """
        codes = DiagonalGaussianDistribution(moments)
        rows = torch.cat([codes.sample(generator) for generator in owned])
        clean = ((rows - shift) / scale).to(dtype)
        likewise = {"device": clean.device, "dtype": dtype, "generator": list(owned)}
        noise = randn_tensor(clean.shape, **likewise)
        if mask is not None:
            # diffusers encodes the masked picture too, for UNets of nine channels: one more draw
            randn_tensor(clean.shape, **likewise)
        return cls(clean, noise, mask)

    def first(self, scheduler: Any, request: StableDiffusionRequest) -> tuple[int, Tensor]:
        """The scheduler's step to begin with, and the latents of it, (count, C, h, w).

        The whole strength of a masked picture begins with noise alone, as diffusers' inpainting
        does; of a whole picture with what the last timestep leaves of it.
        """
        begin = (request.num_inference_steps - request.steps_taken) * scheduler.order
        if hasattr(scheduler, "set_begin_index"):  # those that count their steps
            scheduler.set_begin_index(begin)
        if self.mask is not None and request.strength == 1:
            return begin, self.noise * scheduler.init_noise_sigma
        return begin, noised(scheduler, self.clean, self.noise, begin)

    def keep(self, scheduler: Any, latents: Tensor, step: int) -> Tensor:
        """Latents (count, C, h, w) before a step, where the mask is dark the picture's own."""
        if self.mask is None:
            return latents
        known = self.clean
        if step < len(scheduler.timesteps):
            known = noised(scheduler, known, self.noise, step)
        return self._together(known, latents)

    def keep_clean(self, denoised: Tensor) -> Tensor:
        """The estimate of the clean latents, where the mask is dark the picture's own."""
        return denoised if self.mask is None else self._together(self.clean, denoised)

    def _together(self, known: Tensor, drawn: Tensor) -> Tensor:
        assert self.mask is not None
        return (1 - self.mask) * known + self.mask * drawn


def pixels_of(request: StableDiffusionRequest, side: int) -> Tensor:
    """The picture of a request as an encoder takes it, float (1, 3, side, side) in [-1, 1]."""
    return to_tensor(read_square(request.picture, side)[None])


def mask_of(request: StableDiffusionRequest, side: int, size: int) -> Tensor | None:
    """The mask of a request, float (1, 1, size, size), read at ``side`` pixels; None without."""
    if not request.mask:
        return None
    pixels = torch.from_numpy(read_mask(request.mask, side)).float()[None, None]
    return F.interpolate(pixels, size=(size, size))  # to the nearest, as diffusers does
