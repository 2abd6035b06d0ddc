"""Trains a DDPM on pixels: one UNet that predicts the noise, with a class and without."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import UNet2DModel
from torch import Tensor
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from genlab.families.pixel_diffusion.network import (
    NULL_LABEL,
    PixelDiffusionPipeline,
    build_scheduler,
    build_unet,
    predict_noise,
)
from genlab.training.config import TrainingConfig
from genlab.training.data import Minibatches, to_network
from genlab.training.trainer import Trainer, warmup_cosine


def train_pixel_diffusion(
    images: Tensor,
    labels: Tensor,
    folder: Path,
    work: Path,
    device: str = "cpu",
    *,
    steps: int,
    batch_size: int = 64,
    learning_rate: float = 1.5e-3,
    label_dropout: float = 0.1,
    ema: float = 0.999,
    channels: tuple[int, int] = (32, 64),
) -> Trainer:
    """Train on uint8 images (N, 28, 28) with int64 labels (N,), and write the pipeline.

    Algorithm 1 of Ho et al. 2020 (arXiv:2006.11239). A share of the labels is replaced by
    NULL_LABEL, so the same network also learns the unconditional prediction that classifier-free
    guidance needs (Ho & Salimans 2022, arXiv:2207.12598, algorithm 1).

    Args:
        folder: the checkpoint's folder.
        work: where the resumable state is kept.
        label_dropout: the share of labels that are not told.
        ema: decay of the moving average of the weights that is written.
    """
    torch.manual_seed(0)
    with torch.device(device):
        unet = build_unet(channels)
    average = AveragedModel(unet, multi_avg_fn=get_ema_multi_avg_fn(ema))
    scheduler = build_scheduler()
    alphas_cumprod = scheduler.alphas_cumprod.to(device)
    optimizer = torch.optim.AdamW(
        unet.parameters(), lr=learning_rate, betas=(0.9, 0.99), weight_decay=0.01
    )
    schedule = warmup_cosine(optimizer, steps, warmup=300)
    batches = Minibatches(len(images), batch_size)
    modules = {"unet": unet, "ema": average}
    trainer = Trainer(work, steps, modules, {"optimizer": optimizer}, {"schedule": schedule})

    unet.train()
    for step in trainer.steps():
        # 1. data to device: pictures, labels (some not told), a timestep and noise for each
        chosen = batches.indices(step)
        x_0 = to_network(images[chosen]).to(device)  # (B, 1, 28, 28)
        y = labels[chosen].to(device)
        y = torch.where(torch.rand(len(y), device=device) < label_dropout, NULL_LABEL, y)
        t = spread_timesteps(len(y), len(alphas_cumprod)).to(device)
        eps = torch.randn_like(x_0)
        # 2. zero_grad
        optimizer.zero_grad(set_to_none=True)
        # 3. forward: noise the pictures up to t (eq. 4), and predict that noise
        alpha_bar = alphas_cumprod[t][:, None, None, None]
        x_t = alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * eps
        eps_pred = predict_noise(unet, x_t, t, y)
        # 4. loss: eq. 14, the simple one
        loss = F.mse_loss(eps_pred, eps)
        # 5. backward
        loss.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        # 6. step
        optimizer.step()
        schedule.step()
        average.update_parameters(unet)
        trainer.log(loss=loss)

    trained = average.module.eval().cpu()
    assert isinstance(trained, UNet2DModel)
    PixelDiffusionPipeline(trained, scheduler).save_pretrained(folder, safe_serialization=True)
    trainer.write_loss_curve(folder / "loss.png")
    return trainer


def spread_timesteps(count: int, total: int) -> Tensor:
    """Random timesteps (count,), one from each of `count` equal parts of 0..total - 1.

    As uniform as independent ones, but a batch always has every kind, so the loss is less noisy
    (Kingma et al. 2021, arXiv:2107.00630, appendix I.1).
    """
    return ((torch.arange(count) + torch.rand(count)) / count * total).long()


IN_CLASS = (
    "One network gives the unconditional and the conditional prediction, so every kind of guidance "
    "can be put side by side from the same noise; and few steps beside many."
)
PLOTS = {"scales.png": "Accuracy, FID and diversity against guidance_scale"}

TRAINING: dict[str, TrainingConfig] = {
    "ddpm-mnist": TrainingConfig(
        "pixel_diffusion",
        "Pixel diffusion, MNIST",
        "mnist",
        train_pixel_diffusion,
        "A denoising diffusion model of digits, in pixel space, told the class or not.",
        IN_CLASS,
        {"steps": 10_000},
        card={"classifier": "mnist-noisy-classifier"},
        plots=PLOTS,
    ),
    "ddpm-fashion": TrainingConfig(
        "pixel_diffusion",
        "Pixel diffusion, Fashion-MNIST",
        "fashion",
        train_pixel_diffusion,
        "A denoising diffusion model of garments, in pixel space, told the class or not.",
        IN_CLASS,
        {"steps": 5_500},
        card={"classifier": "fashion-noisy-classifier"},
        plots=PLOTS,
    ),
}
"""The checkpoints that this loop made, by name."""
