"""Trains a flow on pixels: one UNet that predicts the velocity, with a class and without."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from genlab.families.pixel_diffusion.network import NULL_LABEL, build_flow_scheduler, predict
from genlab.families.pixel_diffusion.train import Learner, spread_sigmas
from genlab.training.data import Minibatches, to_network
from genlab.training.trainer import Trainer


def train_flow_matching(
    images: Tensor,
    labels: Tensor,
    folder: Path,
    work: Path,
    device: str = "cpu",
    *,
    steps: int,
    batch_size: int = 64,
    learning_rate: float = 1.5e-3,
    label_dropout: float = 0.2,
    ema: float = 0.999,
    channels: tuple[int, int] = (32, 64),
) -> Trainer:
    """Train on uint8 images (N, 28, 28) with int64 labels (N,), and write the pipeline.

    Flow matching along straight paths (Lipman et al. 2023, arXiv:2210.02747; rectified flow, Liu
    et al. 2023, arXiv:2209.03003): a picture and a noise are joined by a straight line, and the
    network learns the mean velocity of the lines through a point. The UNet, the data, the
    optimizer and the told labels are those of `train_pixel_diffusion`; so is sigma = 1 for noise.

    Args:
        folder: the checkpoint's folder.
        work: where the resumable state is kept.
        label_dropout: the share of labels that are not told.
        ema: decay of the moving average of the weights that is written.
    """
    learner = Learner.begin(work, device, steps, learning_rate, ema, channels)
    unet, optimizer, trainer = learner.unet, learner.optimizer, learner.trainer
    scheduler = build_flow_scheduler()
    scale = scheduler.config["num_train_timesteps"]  # of what the UNet is told as its timestep
    batches = Minibatches(len(images), batch_size)

    for step in trainer.steps():
        # 1. data to device: pictures, labels (some not told), a sigma and noise for each
        chosen = batches.indices(step)
        x_0 = to_network(images[chosen]).to(device)  # (B, 1, 28, 28)
        y = labels[chosen].to(device)
        y = torch.where(torch.rand(len(y), device=device) < label_dropout, NULL_LABEL, y)
        sigma = spread_sigmas(len(y)).to(device)
        eps = torch.randn_like(x_0)
        # 2. zero_grad
        optimizer.zero_grad(set_to_none=True)
        # 3. forward: go along the line from picture to noise, and predict its direction
        part = sigma[:, None, None, None]
        x_sigma = (1 - part) * x_0 + part * eps
        velocity = predict(unet, x_sigma, scale * sigma, y)
        # 4. loss: the direction of the line is its end less its beginning
        loss = F.mse_loss(velocity, eps - x_0)
        # 5. backward
        loss.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        # 6. step
        optimizer.step()
        learner.stepped()
        trainer.log(loss=loss)

    learner.write(folder, scheduler)
    return trainer
