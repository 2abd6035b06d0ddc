"""Fits the map that Toybox's previews are made with, to pictures that the model itself draws.

`python -m genlab.toybox.latent_preview checkpoints/stable-diffusion-toybox` writes its preview.json
anew; to be run whenever its autoencoder has changed. Knows no engine and no page.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from torch import Tensor

from genlab.families.stable_diffusion.latent_preview import FILE, LatentPreview, fit
from genlab.toybox.world import World

TRAINED, TESTED, TOGETHER = 64, 32, 16  # pictures that it is fitted to, measured on, drawn at once
STEPS, GUIDANCE_SCALE = 20, 4.0


def write_preview(folder: Path) -> dict[str, float]:
    """Draw pictures of random prompts, fit the map to the first, measure it on the others.

    Args:
        folder: the checkpoint's; its preview.json is written.

    Returns:
        ``r2``, the share of the decoded pixels' variance that the map explains, and
        ``mean_abs_error``, in levels from 0 to 255.
    """
    latents, pictures = drawn(folder, TRAINED + TESTED)
    preview = fit(latents[:TRAINED], pictures[:TRAINED], neighbourhood=3, scale=2, means=True)
    figures = quality(preview, latents[TRAINED:], pictures[TRAINED:])
    preview.save(folder / FILE, **figures)
    return figures


@torch.inference_mode()
def drawn(folder: Path, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Final latents (count, 4, 16, 16) of random prompts, and what they decode to, in [-1, 1]."""
    pipeline = StableDiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    world, rng = World.load(folder), random.Random(seed)
    prompts = [world.caption(world.sample_scene(rng, 0.3), rng, full=True) for _ in range(count)]
    latents: list[Tensor] = []
    for start in range(0, count, TOGETHER):
        part = prompts[start : start + TOGETHER]
        owned = [torch.Generator().manual_seed(seed + start + k) for k in range(len(part))]
        output = pipeline(
            part,
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE_SCALE,
            generator=owned,
            output_type="latent",
        )
        latents.append(output.images)  # type: ignore[union-attr]
    factor = pipeline.vae.config.scaling_factor
    pictures = [pipeline.vae.decode(rows / factor).sample for rows in latents]
    return torch.cat(latents), torch.cat(pictures).clamp(-1, 1)


def quality(preview: LatentPreview, latents: Tensor, pictures: Tensor) -> dict[str, float]:
    """How near previews come to decoded pictures (B, 3, 64, 64); see `write_preview`."""
    error = preview(latents).clamp(-1, 1) - pictures
    spread = pictures - pictures.mean(dim=(0, 2, 3), keepdim=True)
    share = 1 - float(error.square().mean() / spread.square().mean())
    return {"r2": round(share, 3), "mean_abs_error": round(float(error.abs().mean()) * 127.5, 1)}


if __name__ == "__main__":
    print(write_preview(Path(sys.argv[1])))
