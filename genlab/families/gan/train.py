"""Trains a DCGAN by the non-saturating loss, keeping an averaged generator and its timeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, update_bn

from genlab.families.gan.network import DCGAN
from genlab.training.config import TrainingConfig
from genlab.training.data import Minibatches, to_network
from genlab.training.trainer import Trainer


def train_gan(
    images: Tensor,
    labels: Tensor,
    folder: Path,
    work: Path,
    device: str = "cpu",
    *,
    steps: int,
    snapshots: Sequence[int] = (),
    batch_size: int = 64,
    latent_dim: int = 64,
    channels: tuple[int, int] = (32, 64),
    hidden: int = 128,
    batch_norm: bool = True,
    generator_rate: float = 1e-3,
    discriminator_rate: float = 3e-4,
    momentum: float = 0.5,
    generator_updates: int = 1,
    decay_from: float = 0.5,
    ema: float = 0.999,
    r1: float = 0.0,
) -> Trainer:
    """Train on uint8 images (N, 28, 28) and write the checkpoint; a plain GAN needs no labels.

    Args:
        folder: the checkpoint's folder; snapshots go to `folder/snapshots/step-000025.safetensors`.
        work: where the resumable state is kept.
        snapshots: numbers of steps after which generator and discriminator are kept.
        momentum: Adam's beta1; the paper found 0.5 to be stable and 0.9 not to be.
        generator_updates: updates of the generator for each one of the discriminator.
        decay_from: share of the run after which the learning rates fall linearly to zero; 1: never.
        ema: decay of the averaged generator, which is the one that is kept; 0 keeps the last one.
        r1: weight of the gradient penalty on real images (1801.04406), applied each 16th step.
    """
    torch.manual_seed(0)
    network = DCGAN(latent_dim, channels, hidden, batch_norm)
    network = network.to(device).to(memory_format=torch.channels_last)
    generator, discriminator = network.generator, network.discriminator
    averaged = AveragedModel(generator, multi_avg_fn=warmed_up_ema(ema))
    g_optimizer = torch.optim.Adam(generator.parameters(), generator_rate, (momentum, 0.999))
    d_optimizer = torch.optim.Adam(
        discriminator.parameters(), discriminator_rate, (momentum, 0.999)
    )

    def rate(step: int) -> float:
        return min(1.0, (1.0 - step / steps) / max(1.0 - decay_from, 1e-9))

    g_schedule = torch.optim.lr_scheduler.LambdaLR(g_optimizer, rate)
    d_schedule = torch.optim.lr_scheduler.LambdaLR(d_optimizer, rate)
    batches = Minibatches(len(images), batch_size)
    trainer = Trainer(
        work,
        steps,
        {"network": network, "averaged": averaged},
        {"generator": g_optimizer, "discriminator": d_optimizer},
        {"generator": g_schedule, "discriminator": d_schedule},
    )

    network.train()
    for step in trainer.steps():
        if step in snapshots:
            recompute_batch_norm(averaged.module, latent_dim, device)
            write_snapshot(folder, step, averaged.module, discriminator)
        # 1. data to device
        x = to_network(images[batches.indices(step)]).to(device)
        z = torch.randn(len(x), latent_dim, device=device)

        # The discriminator: 2. zero_grad, 3. forward, 4. loss, 5. backward, 6. step
        d_optimizer.zero_grad()
        fake = generator(z)
        d_loss = (
            F.softplus(-discriminator(x)).mean() + F.softplus(discriminator(fake.detach())).mean()
        )
        if r1 and step % 16 == 0:
            (d_loss + 16 * r1 / 2 * gradient_penalty(discriminator, x)).backward()
        else:
            d_loss.backward()
        d_optimizer.step()
        d_schedule.step()

        # The generator, on the same fakes the first time: steps 2 to 6 again
        discriminator.requires_grad_(False)  # its weights' gradients would be thrown away
        for update in range(generator_updates):
            if update:
                fake = generator(torch.randn_like(z))
            g_optimizer.zero_grad()
            g_loss = F.softplus(-discriminator(fake)).mean()
            g_loss.backward()
            g_optimizer.step()
            averaged.update_parameters(generator)
        g_schedule.step()
        discriminator.requires_grad_(True)
        trainer.log(discriminator=d_loss, generator=g_loss)

    recompute_batch_norm(averaged.module, latent_dim, device)
    if snapshots:
        write_snapshot(folder, steps, averaged.module, discriminator)
    generator.load_state_dict(averaged.module.state_dict())
    network.eval().cpu().save_pretrained(folder)
    trainer.write_loss_curve(folder / "loss.png")
    return trainer


def gradient_penalty(discriminator: nn.Module, x: Tensor) -> Tensor:
    """Mean squared norm of the discriminator's gradient at real images (1801.04406, eq. 9)."""
    x = x.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


def warmed_up_ema(decay: float) -> Callable[[Any, Any, Tensor | int], None]:
    """Exponential moving average that forgets faster at first, so it soon leaves the start."""

    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
        now = min(decay, (1.0 + float(count)) / (10.0 + float(count)))
        torch._foreach_lerp_(averaged, current, 1.0 - now)

    return update


def recompute_batch_norm(generator: nn.Module, latent_dim: int, device: str) -> None:
    """Measure batch norm's statistics anew: averaged weights have none of their own."""
    own = torch.Generator().manual_seed(0)  # the training's own random stream stays as it is
    noise = torch.randn(16, 128, latent_dim, generator=own)
    update_bn(noise, generator, device=torch.device(device))


def write_snapshot(folder: Path, step: int, generator: nn.Module, discriminator: nn.Module) -> None:
    """Keep both networks in half precision; loading casts them back."""
    tensors = {f"generator.{name}": value for name, value in generator.state_dict().items()}
    tensors |= {f"discriminator.{name}": v for name, v in discriminator.state_dict().items()}
    path = folder / "snapshots" / f"step-{step:06d}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        {
            name: (value.half() if value.is_floating_point() else value).cpu().contiguous()
            for name, value in tensors.items()
        },
        path,
    )


TIMELINE = (0, 25, 100, 300, 700, 1500, 3000, 5000)

TRAINING: dict[str, TrainingConfig] = {
    "dcgan-mnist": TrainingConfig(
        "gan",
        "DCGAN, MNIST",
        "mnist",
        train_gan,
        "A DCGAN: a generator and a discriminator that learnt from each other.",
        "Sharp where the VAE blurs. Its timeline shows the same z on its way from noise to digit.",
        {"steps": 7000, "snapshots": TIMELINE},
    ),
    "dcgan-fashion": TrainingConfig(
        "gan",
        "DCGAN, Fashion-MNIST",
        "fashion",
        train_gan,
        "A DCGAN on garments.",
        "Textures and prints that the VAE cannot draw.",
        {"steps": 16_000},
    ),
}
"""The checkpoints that this loop made, by name."""
