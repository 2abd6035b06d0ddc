"""Trains a VAE by its evidence lower bound; beta = 0 leaves the KL term out and nothing else."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from genlab.families.vae.network import ConvVAE
from genlab.training.config import TrainingConfig
from genlab.training.data import Minibatches, to_network
from genlab.training.trainer import Trainer


def train_vae(
    images: Tensor,
    labels: Tensor,
    folder: Path,
    work: Path,
    device: str = "cpu",
    *,
    latent_dim: int,
    beta: float,
    epochs: float,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    channels: tuple[int, int] = (32, 64),
    hidden: int = 256,
    depth: int = 1,
    blocks: int = 1,
) -> Trainer:
    """Train on uint8 images (N, 28, 28) and write the checkpoint; a VAE needs no labels.

    Args:
        folder: the checkpoint's folder.
        work: where the resumable state is kept.
        beta: weight of the KL term: 1 is the evidence lower bound, 0 a noisy autoencoder.
        batch_size: small, since many small steps get further here than few large ones.
    """
    torch.manual_seed(0)
    network = ConvVAE(latent_dim, channels, hidden, depth, blocks)
    network = network.to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate, fused=True)
    batches = Minibatches(len(images), batch_size)
    total_steps = max(2, round(epochs * batches.per_epoch))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total_steps)
    trainer = Trainer(
        work, total_steps, {"network": network}, {"optimizer": optimizer}, {"schedule": schedule}
    )

    network.train()
    for step in trainer.steps():
        # 1. data to device
        x = to_network(images[batches.indices(step)]).to(device)
        # 2. zero_grad
        optimizer.zero_grad()
        # 3. forward
        mu, logvar = network.encode(x)
        z = network.reparameterize(mu, logvar, torch.randn_like(mu))
        logits = network.decode_logits(z)
        # 4. loss
        reconstruction, kl = elbo_terms(x, logits, mu, logvar)
        loss = reconstruction + beta * kl
        # 5. backward
        loss.backward()
        # 6. step
        optimizer.step()
        schedule.step()
        trainer.log(loss=loss, reconstruction=reconstruction, kl=kl)

    network.eval().cpu().save_pretrained(folder)
    trainer.write_loss_curve(folder / "loss.png")
    return trainer


def elbo_terms(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor]:
    """The two terms of the negative evidence lower bound, in nats an image (1312.6114, eq. 10).

    Args:
        x: images (B, 1, 28, 28) in [-1, 1].
        logits: Bernoulli logits (B, 1, 28, 28).
        mu, logvar: posterior, each (B, latent_dim).

    Returns:
        Cross entropy summed over pixels, and KL(q(z|x) || N(0, I)) summed over dimensions; both
        averaged over the batch.
    """
    reconstruction = F.binary_cross_entropy_with_logits(logits, (x + 1) / 2, reduction="sum")
    kl = -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum()
    return reconstruction / len(x), kl / len(x)


IN_CLASS = (
    "Samples of the prior are digits, but soft: the decoder answers every uncertainty with an "
    "average. Put it beside its twin without the KL term, from the same z."
)
IN_CLASS_WITHOUT_KL = (
    "Same network, same data, same seed; only the KL weight is 0. Reconstructions are as good or "
    "better, but nothing ties the codes to N(0, I): samples of the prior land where the decoder "
    "has never been."
)

TRAINING: dict[str, TrainingConfig] = {
    "vae-mnist-20d": TrainingConfig(
        "vae",
        "VAE, 20-D, MNIST",
        "mnist",
        train_vae,
        "A convolutional variational autoencoder with 20 latent variables.",
        IN_CLASS,
        {"latent_dim": 20, "beta": 1.0, "epochs": 12},
    ),
    "vae-mnist-20d-no-kl": TrainingConfig(
        "vae",
        "VAE without KL, 20-D, MNIST",
        "mnist",
        train_vae,
        "The 20-D autoencoder trained without the KL term.",
        IN_CLASS_WITHOUT_KL,
        {"latent_dim": 20, "beta": 0.0, "epochs": 12},
    ),
    "vae-mnist-2d": TrainingConfig(
        "vae",
        "VAE, 2-D, MNIST",
        "mnist",
        train_vae,
        "A convolutional variational autoencoder whose code is a point in the plane.",
        "Its codes can be plotted: ten clouds that share N(0, I) without gaps. Two numbers are not "
        "enough for a digit, so pictures blur more than with twenty.",
        {"latent_dim": 2, "beta": 1.0, "epochs": 12, "depth": 3},
    ),
    "vae-mnist-2d-no-kl": TrainingConfig(
        "vae",
        "VAE without KL, 2-D, MNIST",
        "mnist",
        train_vae,
        "The 2-D autoencoder trained without the KL term.",
        "Its codes can be plotted: they spread far beyond N(0, I), with holes between the classes. "
        "Compare with the twin that has the KL term.",
        {"latent_dim": 2, "beta": 0.0, "epochs": 12, "depth": 3},
    ),
    "vae-fashion-20d": TrainingConfig(
        "vae",
        "VAE, 20-D, Fashion-MNIST",
        "fashion",
        train_vae,
        "A convolutional variational autoencoder with 20 latent variables, on garments.",
        "Outlines come out right and textures do not: fine detail is what the average loses.",
        {"latent_dim": 20, "beta": 1.0, "epochs": 18},
    ),
}
"""The checkpoints that this loop made, by name."""
