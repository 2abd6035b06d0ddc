"""Trains the decoder of Toybox's autoencoder on: twice as wide, and against a discriminator."""

from __future__ import annotations

import random
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, StableDiffusionPipeline
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from genlab.toybox.composer import to_network
from genlab.toybox.train.autoencoder import TWO_OBJECTS, reconstruction_loss
from genlab.toybox.train.common import kept_latents, make_composer, prepare_cpu
from genlab.toybox.train.patch_discriminator import (
    PatchDiscriminator,
    in_proportion,
    mean_where,
    near_objects,
)
from genlab.toybox.world import Scene, World
from genlab.training.trainer import Trainer, warmup_cosine

BATCH = 16
"""Pictures a minibatch; half of their latents are the encoder's, half the UNet's."""
STEPS = 8_000
LEARNING_RATE = 5e-4
MORE_STEPS = 2_000
"""Length of a run that starts from a decoder of `CHANNELS`."""
MORE_LEARNING_RATE = 1e-4
BETAS = (0.5, 0.99)
EMA_DECAY = 0.999
CHANNELS = (16, 32, 48)
"""Of the levels at 64x64, 32x32 and 16x16 pixels; the first two are twice the autoencoder's."""
ADVERSARIAL_WEIGHT = 0.5
DISCRIMINATOR_ALONE = 500
"""Steps in which only the discriminator learns, so that the decoder hears no nonsense of it."""
DRAWN = 2_400
"""Latents that the UNet draws."""
DRAWN_TOGETHER = 48
GUIDANCE_SCALE = 4.0
"""At which the UNet draws them; the scale at which Toybox follows prompts best."""
INFERENCE_STEPS = 25
COARSE = 4
"""Side in pixels of the squares whose mean colour a drawn latent's picture keeps."""


def drawn_latents(
    world: World, pipeline: StableDiffusionPipeline, file: Path
) -> tuple[Tensor, list[Scene]]:
    """Latents (`DRAWN`, 4, 16, 16) that a trained Toybox draws, and the scenes it was asked for.

    Args:
        world: what the scenes are of.
        pipeline: the Toybox.
        file: where the latents are kept, and read from if they are there.
    """
    rng = random.Random(11)
    scenes = [world.sample_scene(rng, TWO_OBJECTS) for _ in range(DRAWN)]
    captions = [world.caption(scene, rng, full=True) for scene in scenes]

    @torch.no_grad()
    def draw() -> Tensor:
        pipeline.set_progress_bar_config(disable=True)
        generator = torch.Generator().manual_seed(5)
        parts = [
            pipeline(
                captions[at : at + DRAWN_TOGETHER],
                num_inference_steps=INFERENCE_STEPS,
                guidance_scale=GUIDANCE_SCALE,
                generator=generator,
                output_type="latent",
            ).images
            for at in tqdm(range(0, DRAWN, DRAWN_TOGETHER), desc="drawn latents")
        ]
        return torch.cat(parts)

    settings = repr((DRAWN, DRAWN_TOGETHER, TWO_OBJECTS, GUIDANCE_SCALE, INFERENCE_STEPS))
    return kept_latents(file, settings, draw).to(pipeline.device), scenes


def train_decoder(
    world: World,
    data: Path | None,
    device: str,
    folder: Path,
    start: AutoencoderKL,
    drawn: tuple[Tensor, list[Scene]],
) -> AutoencoderKL:
    """Train (or go on training) the decoder; the encoder, so every latent, stays as it is.

    What L1 and MSE leave soft a discriminator of patches sees. Its weight keeps the two gradients
    at the last convolution in proportion. Source: Esser et al., "Taming transformers", 2021
    (arXiv:2012.09841), equations 4 to 7, as in Stable Diffusion's autoencoder.

    Half of the latents are the UNet's, which are softer than the encoder's. They have no picture to
    come back to; but the discriminator sees theirs among composites of the same scenes, and the
    mean colours of squares stay those that `start` gives them.

    Args:
        world: what the pictures show.
        data: torchvision root with MNIST and Fashion-MNIST.
        device: a torch device.
        folder: where the run is kept and resumed from.
        start: a trained autoencoder, which is left as it is.
        drawn: latents and their scenes, see `drawn_latents`.

    Returns:
        An autoencoder of `CHANNELS` with the moving average of the decoder's weights.
    """
    prepare_cpu()
    torch.manual_seed(4)
    composer = make_composer(world, data, train=True, device=device)
    start.to(device).requires_grad_(False).eval()
    more = tuple(start.config.block_out_channels) == CHANNELS
    steps, rate = (MORE_STEPS, MORE_LEARNING_RATE) if more else (STEPS, LEARNING_RATE)
    network = widened(start, CHANNELS).to(device)
    learning = nn.ModuleList([network.post_quant_conv, network.decoder]).requires_grad_(True)
    discriminator = PatchDiscriminator().to(device)
    average = AveragedModel(learning, multi_avg_fn=get_ema_multi_avg_fn(EMA_DECAY))
    optimizers = {
        "decoder": torch.optim.Adam(learning.parameters(), rate, BETAS),
        "discriminator": torch.optim.Adam(discriminator.parameters(), LEARNING_RATE, BETAS),
    }
    schedules = {name: warmup_cosine(each, steps) for name, each in optimizers.items()}
    modules = {"decoder": learning, "average": average, "discriminator": discriminator}
    trainer = Trainer(folder, steps, modules, optimizers, schedules)
    last = network.decoder.conv_out.weight
    half = BATCH // 2
    for step in trainer.steps():
        # 1. data to device: fresh pictures every step, the same ones in a resumed run
        rng = random.Random(step)
        scenes = [world.sample_scene(rng, TWO_OBJECTS) for _ in range(half)]
        rows = rng.sample(range(len(drawn[1])), half)
        scenes += [drawn[1][row] for row in rows]
        images = to_network(composer.compose(scenes, rng))  # (B, 3, 64, 64)
        latents = torch.cat([start.encode(images[:half]).latent_dist.sample(), drawn[0][rows]])
        before = start.decode(latents[half:]).sample  # (B / 2, 3, 64, 64)
        real_where = near_objects(images)
        fake_where = near_objects(torch.cat([images[:half], before]))

        # The decoder: 2. zero_grad, 3. forward, 4. loss, 5. backward, 6. step
        learns = step >= DISCRIMINATOR_ALONE
        optimizers["decoder"].zero_grad(set_to_none=True)
        with torch.set_grad_enabled(learns):
            restored = network.decode(latents).sample
            kept = coarse_loss(restored[half:], before)
            reconstruction = reconstruction_loss(restored[:half], images[:half]) + kept
        if learns:
            discriminator.requires_grad_(False)  # its weights' gradients would be thrown away
            adversarial = -mean_where(discriminator(restored), fake_where)
            adversarial = in_proportion(adversarial, reconstruction, last)
            discriminator.requires_grad_(True)
            (reconstruction + ADVERSARIAL_WEIGHT * adversarial).backward()
            torch.nn.utils.clip_grad_norm_(learning.parameters(), 1.0)
        optimizers["decoder"].step()  # without gradients it changes nothing
        average.update_parameters(learning)

        # The discriminator, on the same pictures: steps 2 to 6 again, with the hinge loss
        # (Lim and Ye, 2017, arXiv:1705.02894)
        optimizers["discriminator"].zero_grad(set_to_none=True)
        real, fake = discriminator(images), discriminator(restored.detach())
        on_real = mean_where(F.relu(1 - real), real_where)
        on_fake = mean_where(F.relu(1 + fake), fake_where)
        d_loss = 0.5 * (on_real + on_fake)
        d_loss.backward()
        optimizers["discriminator"].step()
        for schedule in schedules.values():
            schedule.step()
        trainer.log(reconstruction=reconstruction, discriminator=d_loss)
    trainer.write_loss_curve(folder / "loss.png")
    learning.load_state_dict(average.module.state_dict())
    return network.requires_grad_(False).eval()


def coarse_loss(restored: Tensor, before: Tensor) -> Tensor:
    """L1 between the mean colours of squares of `COARSE` pixels of pictures (B, 3, H, W)."""
    return F.l1_loss(F.avg_pool2d(restored, COARSE), F.avg_pool2d(before, COARSE))


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
