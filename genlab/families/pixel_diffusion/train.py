"""Trains a DDPM on pixels: one UNet that predicts the noise, with a class and without."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

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
    predict,
)
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
    label_dropout: float = 0.3,
    share_shown: float = 0.5,
    ema: float = 0.999,
    channels: tuple[int, int] = (32, 64),
    cycles: int = 1,
) -> Trainer:
    """Train on uint8 images (N, 28, 28) with int64 labels (N,), and write the pipeline.

    Algorithm 1 of Ho et al. 2020 (arXiv:2006.11239). A share of the labels is replaced by
    NULL_LABEL, so the same network also learns the unconditional prediction that classifier-free
    guidance needs (Ho & Salimans 2022, arXiv:2207.12598, algorithm 1).

    Args:
        folder: the checkpoint's folder.
        work: where the resumable state is kept.
        label_dropout: the share of labels that are not told.
        share_shown: the share of timesteps at which the picture shows, see
            `timesteps_of_both_kinds`.
        ema: decay of the moving average of the weights that is written.
        cycles: equal parts of the run in each of which the learning rate rises and falls.
    """
    learner = Learner.begin(work, device, steps, learning_rate, ema, channels, cycles)
    unet, optimizer, trainer = learner.unet, learner.optimizer, learner.trainer
    scheduler = build_scheduler()
    alphas_cumprod = scheduler.alphas_cumprod.to(device)
    batches = Minibatches(len(images), batch_size)

    for step in trainer.steps():
        # 1. data to device: pictures, labels (some not told), a timestep and noise for each
        chosen = batches.indices(step)
        x_0 = to_network(images[chosen]).to(device)  # (B, 1, 28, 28)
        y = labels[chosen].to(device)
        y = torch.where(torch.rand(len(y), device=device) < label_dropout, NULL_LABEL, y)
        t = timesteps_of_both_kinds(len(y), scheduler.alphas_cumprod, share_shown).to(device)
        eps = torch.randn_like(x_0)
        # 2. zero_grad
        optimizer.zero_grad(set_to_none=True)
        # 3. forward: noise the pictures up to t (eq. 4), and predict that noise
        alpha_bar = alphas_cumprod[t][:, None, None, None]
        x_t = alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * eps
        eps_pred = predict(unet, x_t, t, y)
        # 4. loss: eq. 14, the simple one
        loss = F.mse_loss(eps_pred, eps)
        # 5. backward
        loss.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        # 6. step
        optimizer.step()
        learner.stepped()
        trainer.log(loss=loss)

    learner.write(folder, scheduler)
    return trainer


@dataclass(frozen=True)
class Learner:
    """A UNet in training: its moving average, its optimizer and learning rate, its progress."""

    unet: UNet2DModel
    average: AveragedModel
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    trainer: Trainer

    @classmethod
    def begin(
        cls,
        work: Path,
        device: str,
        steps: int,
        learning_rate: float,
        ema: float,
        channels: tuple[int, int],
        cycles: int = 1,
    ) -> Self:
        """Random weights, or those that a training in ``work`` has reached."""
        torch.manual_seed(0)
        with torch.device(device):
            unet = build_unet(channels)
        average = AveragedModel(unet, multi_avg_fn=get_ema_multi_avg_fn(ema))
        optimizer = torch.optim.AdamW(
            unet.parameters(), lr=learning_rate, betas=(0.9, 0.99), weight_decay=0.01
        )
        schedule = warmup_cosine(optimizer, steps, warmup=300, cycles=cycles)
        modules = {"unet": unet, "ema": average}
        trainer = Trainer(work, steps, modules, {"optimizer": optimizer}, {"schedule": schedule})
        unet.train()
        return cls(unet, average, optimizer, schedule, trainer)

    def stepped(self) -> None:
        """The optimizer has made a step: the average and the learning rate follow."""
        self.schedule.step()
        self.average.update_parameters(self.unet)

    def write(self, folder: Path, scheduler: Any) -> None:
        """The averaged weights as a pipeline with its scheduler, and the curve of the loss."""
        trained = self.average.module.eval().cpu()
        assert isinstance(trained, UNet2DModel)
        PixelDiffusionPipeline(trained, scheduler).save_pretrained(folder, safe_serialization=True)
        self.trainer.write_loss_curve(folder / "loss.png")


def spread_timesteps(count: int, total: int) -> Tensor:
    """Random timesteps (count,), one from each of `count` equal parts of 0..total - 1.

    As uniform as independent ones, but a batch always has every kind, so the loss is less noisy
    (Kingma et al. 2021, arXiv:2107.00630, appendix I.1).
    """
    return ((torch.arange(count) + torch.rand(count)) / count * total).long()


def timesteps_of_both_kinds(count: int, alphas_cumprod: Tensor, share_shown: float) -> Tensor:
    """Random timesteps (count,): some uniform, a share of them where the picture shows.

    Half of the linear schedule's timesteps have a signal below a tenth of the noise: what is left
    to learn there is little. The second kind has a logit-normal share of noise, as the flow
    has (`spread_sigmas`): noise / (noise + signal) is the flow's sigma of the same SNR.

    Args:
        alphas_cumprod: (T,), falling, on the CPU.
    """
    shown = int(share_shown * count)
    uniform = spread_timesteps(count - shown, len(alphas_cumprod))
    share_of_noise = (1 - alphas_cumprod).sqrt() / (
        alphas_cumprod.sqrt() + (1 - alphas_cumprod).sqrt()
    )
    where_it_shows = torch.searchsorted(share_of_noise, spread_sigmas(shown))
    return torch.cat([uniform, where_it_shows.clamp(max=len(alphas_cumprod) - 1)])


def spread_sigmas(count: int) -> Tensor:
    """Random sigmas (count,) in (0, 1): one from each of `count` equal shares of a distribution.

    It is logit-normal, as in Esser et al. 2024 (arXiv:2403.03206), section 3.1: the middle of the
    line, where a picture is neither plain nor gone, is seen more often than its ends.
    """
    quantiles = (torch.arange(count) + torch.rand(count)) / count
    return torch.special.ndtri(quantiles.clamp(1e-6, 1 - 1e-6)).sigmoid()
