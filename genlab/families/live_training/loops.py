"""The six steps of a training loop, for a VAE and for a GAN: what the page shows is what runs.

Each `yield` lets whoever drives a loop look at the step just taken, and the engine serve somebody
else meanwhile; a loop without them trains the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from genlab.families.live_training.training import Training


@dataclass(frozen=True)
class Moment:
    """One of the six steps was just taken: 1 to 6, for which network, and what came of it."""

    phase: int
    part: str
    values: Mapping[str, Tensor]


def at(phase: int, part: str = "network", **values: Tensor) -> Moment:
    """The moment after a step; losses are the values of step 4 that are single numbers."""
    return Moment(phase, part, values)


def vae_loop(run: Training, until: int) -> Iterator[Moment]:
    """Train by the evidence lower bound (1312.6114, eq. 10) up to a step."""
    network, optimizer = run.network, run.optimizers["network"]
    while run.step < until:
        # 1. data to device
        x = run.batch().to(run.device)
        yield at(1, x=x)
        # 2. zero_grad
        optimizer.zero_grad()
        yield at(2)
        # 3. forward
        mu, logvar = network.encode(x)
        z = mu + torch.exp(0.5 * logvar) * run.noise(len(x))
        logits = network.decode_logits(z)
        yield at(3, mu=mu, z=z, logits=logits)
        # 4. loss
        reconstruction, kl = run.elbo_terms(x, logits, mu, logvar)
        loss = reconstruction + run.kl_weight * kl
        yield at(4, loss=loss, reconstruction=reconstruction, KL=kl)
        # 5. backward
        loss.backward()
        yield at(5)
        # 6. step
        optimizer.step()
        run.step += 1
        yield at(6)


def gan_loop(run: Training, until: int) -> Iterator[Moment]:
    """Train by the non-saturating loss (1406.2661, section 3) up to a step."""
    generator, discriminator = run.network.generator, run.network.discriminator
    g_optimizer, d_optimizer = run.optimizers["generator"], run.optimizers["discriminator"]
    while run.step < until:
        # 1. data to device
        x = run.batch().to(run.device)
        yield at(1, "discriminator", x=x)

        # The discriminator learns to tell real from fake.
        # 2. zero_grad
        d_optimizer.zero_grad()
        yield at(2, "discriminator")
        # 3. forward
        fake = generator(run.noise(len(x)))
        real_logits, fake_logits = discriminator(x), discriminator(fake.detach())
        yield at(3, "discriminator", fake=fake, real_logits=real_logits, fake_logits=fake_logits)
        # 4. loss
        d_loss = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
        yield at(4, "discriminator", discriminator=d_loss)
        # 5. backward
        d_loss.backward()
        yield at(5, "discriminator")
        # 6. step
        d_optimizer.step()
        yield at(6, "discriminator")

        # The generator learns to be taken for real.
        for _ in range(run.generator_updates):
            # 2. zero_grad
            g_optimizer.zero_grad()
            yield at(2, "generator")
            # 3. forward
            fake = generator(run.noise(len(x)))
            fake_logits = discriminator(fake)
            yield at(3, "generator", fake=fake, fake_logits=fake_logits)
            # 4. loss
            g_loss = F.softplus(-fake_logits).mean()
            yield at(4, "generator", generator=g_loss)
            # 5. backward
            g_loss.backward()
            yield at(5, "generator")
            # 6. step
            g_optimizer.step()
            yield at(6, "generator")
        run.step += 1
