"""Trains the decoder of Toybox's autoencoder on: twice as wide, and against a discriminator."""

from __future__ import annotations

import random
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from genlab.toybox.composer import to_network
from genlab.toybox.train.autoencoder import TWO_OBJECTS, reconstruction_loss
from genlab.toybox.train.common import make_composer, prepare_cpu
from genlab.toybox.world import World
from genlab.training.trainer import Trainer, warmup_cosine

BATCH = 16
STEPS = 8_000
LEARNING_RATE = 5e-4
BETAS = (0.5, 0.99)
EMA_DECAY = 0.999
CHANNELS = (16, 32, 48)
"""Of the levels at 64x64, 32x32 and 16x16 pixels; the first two are twice the autoencoder's."""
ADVERSARIAL_WEIGHT = 0.5
ADVERSARIAL_FROM = 500
"""Steps in which the discriminator learns before the decoder hears of it."""


def train_decoder(
    world: World, data: Path | None, device: str, folder: Path, start: AutoencoderKL
) -> AutoencoderKL:
    """Train (or go on training) the decoder; the encoder, so every latent, stays as it is.

    What L1 and MSE leave soft a discriminator of patches sees. Its weight keeps the two gradients
    at the last convolution in proportion. Source: Esser et al., "Taming transformers", 2021
    (arXiv:2012.09841), equations 4 to 7, as in Stable Diffusion's autoencoder.

    Args:
        world: what the pictures show.
        data: torchvision root with MNIST and Fashion-MNIST.
        device: a torch device.
        folder: where the run is kept and resumed from.
        start: a trained autoencoder, which is left as it is.

    Returns:
        An autoencoder of `CHANNELS` with the moving average of the decoder's weights.
    """
    prepare_cpu()
    torch.manual_seed(4)
    composer = make_composer(world, data, train=True, device=device)
    start.to(device).requires_grad_(False).eval()
    network = widened(start, CHANNELS).to(device)
    learning = nn.ModuleList([network.post_quant_conv, network.decoder]).requires_grad_(True)
    discriminator = PatchDiscriminator().to(device)
    average = AveragedModel(learning, multi_avg_fn=get_ema_multi_avg_fn(EMA_DECAY))
    optimizers = {
        "decoder": torch.optim.Adam(learning.parameters(), LEARNING_RATE, BETAS),
        "discriminator": torch.optim.Adam(discriminator.parameters(), LEARNING_RATE, BETAS),
    }
    schedules = {name: warmup_cosine(each, STEPS) for name, each in optimizers.items()}
    modules = {"decoder": learning, "average": average, "discriminator": discriminator}
    trainer = Trainer(folder, STEPS, modules, optimizers, schedules)
    last = network.decoder.conv_out.weight
    for step in trainer.steps():
        # 1. data to device: fresh pictures every step, the same ones in a resumed run
        rng = random.Random(step)
        scenes = [world.sample_scene(rng, TWO_OBJECTS) for _ in range(BATCH)]
        images = to_network(composer.compose(scenes, rng))  # (B, 3, 64, 64)
        latents = start.encode(images).latent_dist.sample()

        # The decoder: 2. zero_grad, 3. forward, 4. loss, 5. backward, 6. step
        optimizers["decoder"].zero_grad(set_to_none=True)
        restored = network.decode(latents).sample
        reconstruction = reconstruction_loss(restored, images)
        loss = reconstruction
        if step >= ADVERSARIAL_FROM:
            discriminator.requires_grad_(False)  # its weights' gradients would be thrown away
            adversarial = -discriminator(restored).mean()
            loss = loss + ADVERSARIAL_WEIGHT * in_proportion(adversarial, reconstruction, last)
            discriminator.requires_grad_(True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning.parameters(), 1.0)
        optimizers["decoder"].step()
        average.update_parameters(learning)

        # The discriminator, on the same pictures: steps 2 to 6 again
        optimizers["discriminator"].zero_grad(set_to_none=True)
        d_loss = hinge(discriminator(images), discriminator(restored.detach()))
        d_loss.backward()
        optimizers["discriminator"].step()
        for schedule in schedules.values():
            schedule.step()
        trainer.log(reconstruction=reconstruction, discriminator=d_loss)
    trainer.write_loss_curve(folder / "loss.png")
    learning.load_state_dict(average.module.state_dict())
    return network.requires_grad_(False).eval()


class PatchDiscriminator(nn.Module):
    """Says of each patch of 22x22 pixels how real it looks.

    Source: Isola et al., "Image-to-image translation", 2017 (arXiv:1611.07004), section 3.2.2, with
    group normalisation in place of batch normalisation, which learns slower (docs/decisions/0014).
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False),
            nn.GroupNorm(8, 2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 4 * width, 4, 1, 1, bias=False),
            nn.GroupNorm(8, 4 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(4 * width, 1, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1] to logits (B, 1, H / 4 - 1, W / 4 - 1)."""
        return self.layers(images)


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's hinge loss of its logits (Lim and Ye, 2017, arXiv:1705.02894)."""
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())


def in_proportion(loss: Tensor, reference: Tensor, weight: Tensor) -> Tensor:
    """A loss scaled so that its gradient at a weight is as long as the reference's."""
    norms = [
        torch.autograd.grad(each, weight, retain_graph=True)[0].norm() for each in (reference, loss)
    ]
    return loss * (norms[0] / (norms[1] + 1e-4)).clamp(max=1e4).detach()


@torch.no_grad()
def widened(network: AutoencoderKL, channels: tuple[int, ...]) -> AutoencoderKL:
    """A wider autoencoder that computes the same: each channel is there several times.

    What went out of a channel is shared among its copies in random parts, so that they learn apart.
    Source: Chen et al., "Net2Net", 2016 (arXiv:1511.05641), section 3.2. All channels must be in
    one norm group, whose mean and variance the copies leave alone.

    Args:
        network: a trained autoencoder.
        channels: of each level; multiples of what the network has there.
    """
    wide = AutoencoderKL.from_config(network.config, block_out_channels=channels)
    old = network.state_dict()
    state = {}
    for name, new in wide.state_dict().items():
        values = old[name].repeat(new.shape[0] // len(old[name]), *[1] * (new.ndim - 1))
        if new.ndim == 4:  # a convolution: (out, in, height, width)
            copies = new.shape[1] // values.shape[1]
            parts = torch.rand(copies, values.shape[1], device=values.device) + 0.5
            parts = (parts / parts.sum(dim=0)).reshape(1, -1, 1, 1)
            values = values.repeat(1, copies, 1, 1) * parts
        state[name] = values
    wide.load_state_dict(state)
    return wide.eval()
