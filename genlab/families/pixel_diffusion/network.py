"""A class-conditional DDPM or flow in pixel space, in the stock diffusers layout. No engine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    UNet2DModel,
)
from diffusers.utils.pil_utils import numpy_to_pil
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from genlab.diffusion import guidance
from genlab.diffusion.schedulers import set_steps, step_options, within_range
from genlab.families.pixel_diffusion.layout import CLASSES, NULL_LABEL

PATCH = 2
"""Side of the pixel blocks that the UNet sees as channels."""


def build_unet(channels: tuple[int, int] = (32, 64), size: int = 28) -> UNet2DModel:
    """A stock UNet for grey images of `size` pixels and ten classes, small enough for a CPU.

    It works on pixels rearranged in blocks of PATCH x PATCH: a permutation, so the noise stays
    white and the diffusion is one of pixels, at a quarter of the positions and of the cost.
    """
    return UNet2DModel(
        sample_size=size // PATCH,
        in_channels=PATCH**2,
        out_channels=PATCH**2,
        block_out_channels=channels,  # at 14x14 and 7x7
        layers_per_block=1,
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=32,
        num_class_embeds=CLASSES + 1,  # the last one is NULL_LABEL
        resnet_time_scale_shift="scale_shift",
    )


def predict(unet: UNet2DModel, x_t: Tensor, timesteps: Tensor, labels: Tensor) -> Tensor:
    """What the UNet says of noisy images, the same shape: eps, or a flow's velocity.

    Args:
        unet: takes blocks of p x p pixels as p^2 channels; p is read off its config.
        x_t: (B, 1, H, W).
        timesteps: (B,), each row its own.
        labels: (B,) int64, NULL_LABEL for the unconditional prediction.
    """
    patch = math.isqrt(int(unet.config["in_channels"]))
    blocks = F.pixel_unshuffle(x_t, patch)  # (B, p^2, H/p, W/p)
    return F.pixel_shuffle(unet(blocks, timesteps, class_labels=labels).sample, patch)


def build_scheduler() -> DDIMScheduler:
    """The linear schedule of Ho et al. 2020 (arXiv:2006.11239), section 4; it predicts eps."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=1e-4,
        beta_end=0.02,
        beta_schedule="linear",
        prediction_type="epsilon",
        clip_sample=True,  # x_0 lies in [-1, 1]
        set_alpha_to_one=True,
        timestep_spacing="trailing",  # so that one step starts from pure noise, arXiv:2305.08891
    )


def build_flow_scheduler() -> FlowMatchEulerDiscreteScheduler:
    """Straight lines from noise to pictures, of which Euler's method takes equal pieces.

    The UNet predicts their velocity, eps - x_0; its timestep is 1000 sigma.
    """
    return FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=1.0)


class PixelDiffusionPipeline(DiffusionPipeline):
    """Digits from noise: UNet and scheduler, saved and opened as any diffusers pipeline.

    Args:
        unet: `UNet2DModel` with CLASSES + 1 class embeddings, see `predict`.
        scheduler: any scheduler that predicts eps, or that of a flow, which predicts a velocity.
    """

    model_cpu_offload_seq = "unet"

    def __init__(
        self, unet: UNet2DModel, scheduler: DDIMScheduler | FlowMatchEulerDiscreteScheduler
    ) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler)

    @property
    def image_size(self) -> int:
        """Side of a picture in pixels."""
        config = self.unet.config
        return config["sample_size"] * math.isqrt(config["in_channels"])

    @torch.no_grad()
    def __call__(
        self,
        labels: Sequence[int],
        num_inference_steps: int = 50,
        guidance_scale: float = 1.0,
        eta: float = 0.0,
        generator: Sequence[torch.Generator] | None = None,
    ) -> list[Image.Image]:
        """One picture a label, by DDIM (arXiv:2010.02502) or along a flow, classifier-free guided.

        Args:
            labels: 0..9, or NULL_LABEL for any class.
            guidance_scale: s in eps_u + s (eps_c - eps_u); 1 needs the conditional prediction only.
            eta: 0 is DDIM, 1 has the variance of DDPM; a flow has none.
            generator: one CPU generator an image, for its noise.
        """
        classes = torch.tensor(labels, device=self.device)
        rows, size = len(classes), self.image_size
        owned = list(generator) if generator is not None else [torch.Generator()] * rows
        x_t = torch.stack([torch.randn((1, size, size), generator=g) for g in owned])
        x_t = x_t.to(self.device)
        null = torch.full_like(classes, NULL_LABEL)
        set_steps(self.scheduler, num_inference_steps)
        options = step_options(
            self.scheduler, eta=eta, generator=owned, use_clipped_model_output=True
        )
        progress_bar: Any = self.progress_bar  # whose type diffusers hides
        for step, t in enumerate(progress_bar(self.scheduler.timesteps)):
            times = t.to(self.device).expand(rows)
            output = predict(self.unet, x_t, times, classes)
            if guidance_scale != 1:
                uncond = predict(self.unet, x_t, times, null)
                output = guidance.classifier_free(uncond, output, guidance_scale)
            output = within_range(self.scheduler, output, x_t, step)
            x_t = self.scheduler.step(output, t, x_t, **options).prev_sample
        pictures = (x_t.clamp(-1, 1) + 1) / 2  # (B, 1, H, W)
        return numpy_to_pil(pictures.permute(0, 2, 3, 1).cpu().numpy())
