"""Makes a finished GAN lose its modes: the generator runs ahead of its discriminator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from genlab.families.gan.network import DCGAN
from genlab.families.gan.train import TRAINING as HEALTHY
from genlab.families.gan.train import train_gan, write_snapshot
from genlab.formats.hub_layout import load_hub_module
from genlab.training.config import TrainingConfig
from genlab.training.data import Minibatches, to_network
from genlab.training.trainer import Trainer


def train_ahead(
    images: Tensor,
    labels: Tensor,
    folder: Path,
    work: Path,
    device: str = "cpu",
    *,
    begin_with: str,
    steps: int,
    snapshots: Sequence[int] = (),
    generator_updates: int = 100,
    batch_size: int = 16,
    layers: int = 2,
    generator_rate: float = 1e-2,
    discriminator_rate: float = 3e-4,
    momentum: float = 0.9,
) -> Trainer:
    """Go on from a finished GAN with many updates of the generator for one of the discriminator.

    Between two of them the discriminator stands still, so there is one picture that it takes for
    real most of all, and every z is led there (Metz et al. 2017, arXiv:1611.02163). Only
    the generator's first layers learn, those that read z: what they ask for is still drawn by
    layers that know how strokes look. Batch norm keeps its statistics in both networks: with a
    batch's own, the discriminator would see that all pictures of a batch are alike.

    Args:
        folder: the checkpoint's folder. The GAN to begin with is taken from beside it, and trained
            there in ``work`` if it is not there.
        work: where the resumable state is kept.
        begin_with: name of that GAN's checkpoint.
        steps: updates of the discriminator.
        snapshots: before which of them both networks are kept, and after the last; they are
            numbered by the updates that the generator has had in all.
        generator_updates: of the generator, for each of those.
        layers: how many of the generator's modules learn, from z on.
        momentum: Adam's beta1.
    """
    torch.manual_seed(0)
    network = healthy_gan(begin_with, folder.parent, images, labels, work, device)
    network = network.to(device).eval().to(memory_format=torch.channels_last)
    generator, discriminator = network.generator, network.discriminator
    learning = [p for layer in generator[:layers] for p in layer.parameters()]
    for parameter in generator.parameters():
        parameter.requires_grad_(any(parameter is other for other in learning))
    g_optimizer = torch.optim.Adam(learning, generator_rate, (momentum, 0.999))
    d_optimizer = torch.optim.Adam(
        discriminator.parameters(), discriminator_rate, (momentum, 0.999)
    )
    before = int(HEALTHY[begin_with].hyperparameters["steps"])
    batches = Minibatches(len(images), batch_size)
    trainer = Trainer(
        work,
        steps,
        {"network": network},
        {"generator": g_optimizer, "discriminator": d_optimizer},
    )

    def keep(step: int) -> None:
        write_snapshot(folder, before + step * generator_updates, generator, discriminator)

    for step in trainer.steps():
        if step in snapshots:
            keep(step)
        # 1. data to device
        x = to_network(images[batches.indices(step)]).to(device)

        # The discriminator, once: 2. zero_grad, 3. forward, 4. loss, 5. backward, 6. step
        d_optimizer.zero_grad()
        fake = generator(torch.randn(len(x), network.latent_dim, device=device)).detach()
        d_loss = F.softplus(-discriminator(x)).mean() + F.softplus(discriminator(fake)).mean()
        d_loss.backward()
        d_optimizer.step()

        # The generator, many times: steps 2 to 6 again and again
        discriminator.requires_grad_(False)
        for _ in range(generator_updates):
            g_optimizer.zero_grad()
            z = torch.randn(len(x), network.latent_dim, device=device)
            g_loss = F.softplus(-discriminator(generator(z))).mean()
            g_loss.backward()
            g_optimizer.step()
        discriminator.requires_grad_(True)
        trainer.log(discriminator=d_loss, generator=g_loss)

    if snapshots:
        keep(steps)
    network.requires_grad_(True).cpu().save_pretrained(folder)
    trainer.write_loss_curve(folder / "loss.png")
    return trainer


def healthy_gan(
    name: str, checkpoints: Path, images: Tensor, labels: Tensor, work: Path, device: str
) -> DCGAN:
    """The finished GAN of that name; trained first, as its own recipe says, if it is not there."""
    folder = checkpoints / name
    if not (folder / "model.safetensors").is_file():
        folder = work / name
        train_gan(images, labels, folder, work / "before", device, **HEALTHY[name].hyperparameters)
    return load_hub_module(DCGAN, folder)


IN_CLASS = (
    "Mode collapse: whatever the z, a 6. Move the timeline: it begins as dcgan-mnist, which draws "
    "all ten digits. From there on its generator had a hundred updates for each one of its "
    "discriminator. While that one stands still there is one picture that it takes for real most "
    "of all, and every z is led there. When it moves, it no longer believes that picture, and the "
    "whole generator goes elsewhere: eights, blots, sixes. Nothing was edited, and nothing tells "
    "a generator to be diverse."
)

TRAINING: dict[str, TrainingConfig] = HEALTHY | {
    "dcgan-mnist-collapsed": TrainingConfig(
        "gan",
        "DCGAN, collapsed, MNIST",
        "mnist",
        train_ahead,
        "A DCGAN that lost its modes: dcgan-mnist, trained on by a generator that ran ahead.",
        IN_CLASS,
        {
            "begin_with": "dcgan-mnist",
            "steps": 14,
            "snapshots": (0, 1, 4, 5, 6, 8, 10, 11, 12, 13),
            "generator_updates": 100,
            "batch_size": 16,
            "layers": 2,
            "generator_rate": 1e-2,
            "discriminator_rate": 3e-4,
        },
    ),
}
"""The checkpoints of this family, by name."""
