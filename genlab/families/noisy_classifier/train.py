"""Trains the classifier that classifier guidance follows: it reads digits through the noise."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from genlab.families.noisy_classifier.network import NoisyClassifier
from genlab.families.pixel_diffusion.network import build_scheduler
from genlab.families.pixel_diffusion.train import spread_timesteps
from genlab.training.config import TrainingConfig
from genlab.training.data import Minibatches, to_network
from genlab.training.trainer import Trainer, warmup_cosine


def train_noisy_classifier(
    images: Tensor,
    labels: Tensor,
    folder: Path,
    work: Path,
    device: str = "cpu",
    *,
    steps: int,
    batch_size: int = 128,
    learning_rate: float = 2e-3,
    weight_decay: float = 0.05,
) -> Trainer:
    """Train on uint8 images (N, 28, 28) with int64 labels (N,), and write the checkpoint.

    Every picture is noised up to a random t, as the diffusion model noises it, and the network is
    told t (Dhariwal & Nichol 2021, arXiv:2105.05233, section 4.1).

    Args:
        folder: the checkpoint's folder.
        work: where the resumable state is kept.
    """
    torch.manual_seed(0)
    network = NoisyClassifier().to(device)
    alphas_cumprod = build_scheduler().alphas_cumprod.to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=weight_decay)
    schedule = warmup_cosine(optimizer, steps)
    batches = Minibatches(len(images), batch_size)
    trainer = Trainer(
        work, steps, {"network": network}, {"optimizer": optimizer}, {"schedule": schedule}
    )

    network.train()
    for step in trainer.steps():
        # 1. data to device: pictures, labels, a timestep and noise for each
        chosen = batches.indices(step)
        x_0 = to_network(images[chosen]).to(device)  # (B, 1, 28, 28)
        y = labels[chosen].to(device)
        t = spread_timesteps(len(y), len(alphas_cumprod)).to(device)
        eps = torch.randn_like(x_0)
        # 2. zero_grad
        optimizer.zero_grad(set_to_none=True)
        # 3. forward: noise the pictures up to t, and classify them
        alpha_bar = alphas_cumprod[t][:, None, None, None]
        x_t = alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * eps
        logits = network(x_t, t)
        # 4. loss
        loss = F.cross_entropy(logits, y)
        # 5. backward
        loss.backward()
        # 6. step
        optimizer.step()
        schedule.step()
        trainer.log(loss=loss)

    network.eval().cpu().save_pretrained(folder)
    trainer.write_loss_curve(folder / "loss.png")
    return trainer


IN_CLASS = (
    "Classifier guidance follows the gradient of its log-probability. At high t it sees noise and "
    "can only guess, at low t it is sure: that is why guidance is weak early and strong late."
)
PLOTS = {"accuracy.png": "Accuracy against t"}

TRAINING: dict[str, TrainingConfig] = {
    "mnist-noisy-classifier": TrainingConfig(
        "noisy_classifier",
        "Classifier of noised digits",
        "mnist",
        train_noisy_classifier,
        "A convolutional classifier that is told t and reads digits through the noise of that t.",
        IN_CLASS,
        {"steps": 4_000},
        plots=PLOTS,
    ),
    "fashion-noisy-classifier": TrainingConfig(
        "noisy_classifier",
        "Classifier of noised garments",
        "fashion",
        train_noisy_classifier,
        "A convolutional classifier that is told t and reads garments through the noise of that t.",
        IN_CLASS,
        {"steps": 3_000},
        plots=PLOTS,
    ),
}
"""The checkpoints that this loop made, by name."""
