"""Trains Toybox's AutoencoderKL: 64x64 RGB pictures to 4x16x16 latents and back."""

from __future__ import annotations

import random
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from genlab.toybox.composer import Composer, to_network
from genlab.toybox.train.common import make_composer, prepare_cpu
from genlab.toybox.world import World
from genlab.training.trainer import Trainer, warmup_cosine

BATCH = 16
STEPS = 6_000
LEARNING_RATE = 1.5e-3
KL_WEIGHT = 3e-3
OBJECT_WEIGHT = 3.0
EDGE_WEIGHT = 2.0
TWO_OBJECTS = 0.5


def build_autoencoder() -> AutoencoderKL:
    """The network, small enough to be trained on one CPU core in a quarter of an hour.

    Few channels at 64x64, where flat colours need little and pixels cost most; no attention, since
    nothing in a picture depends on what is far away. Four pixels a latent, not Stable Diffusion's
    eight: a stroke is three pixels wide. See docs/decisions/0012.
    """
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        sample_size=64,
        block_out_channels=(8, 16, 48),
        layers_per_block=1,
        norm_num_groups=1,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        mid_block_add_attention=False,
    )


def reconstruction_loss(restored: Tensor, images: Tensor) -> Tensor:
    """L1 + MSE, and L1 of the differences of neighbours; what is near an object counts more.

    Near, not only inside: weights that end at the outline make a filled gap (between the legs of
    trousers, in a 0) cheaper than an open one, and shapes become blobs.

    Args:
        restored: (B, 3, H, W) in [-1, 1].
        images: (B, 3, H, W) in [-1, 1]; the corner pixel shows the background's colour.
    """
    is_object = (images - images[:, :, :1, :1]).abs().amax(dim=1, keepdim=True) > 0.1
    near = F.max_pool2d(is_object.float(), 7, stride=1, padding=3)
    difference = restored - images
    error = difference.abs()
    along_y = (difference[:, :, 1:] - difference[:, :, :-1]).abs() * near[:, :, 1:]
    along_x = (difference[..., 1:] - difference[..., :-1]).abs() * near[..., 1:]
    weighted = (1 + OBJECT_WEIGHT * near) * (error + error.square())
    return weighted.mean() + EDGE_WEIGHT * (along_y.mean() + along_x.mean())


def train_autoencoder(world: World, data: Path | None, device: str, folder: Path) -> AutoencoderKL:
    """Train (or go on training) and return the network, its latents standardised.

    Args:
        world: what the pictures show.
        data: torchvision root with MNIST and Fashion-MNIST.
        device: a torch device.
        folder: where the run is kept and resumed from.
    """
    prepare_cpu()
    torch.manual_seed(0)
    composer = make_composer(world, data, train=True, device=device)
    network = build_autoencoder().to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=1e-4)
    schedule = warmup_cosine(optimizer, STEPS)
    trainer = Trainer(folder, STEPS, {"vae": network}, {"adamw": optimizer}, {"lr": schedule})
    network.train()
    for step in trainer.steps():
        # 1. data to device: fresh pictures every step, the same ones in a resumed run
        rng = random.Random(step)
        scenes = [world.sample_scene(rng, TWO_OBJECTS) for _ in range(BATCH)]
        images = to_network(composer.compose(scenes, rng))  # (B, 3, 64, 64)
        # 2. forget the last gradients
        optimizer.zero_grad(set_to_none=True)
        # 3. forward: encode, draw from the posterior, decode
        posterior = network.encode(images).latent_dist
        restored = network.decode(posterior.sample()).sample
        # 4. loss: look alike, and keep the latents near N(0, I)
        reconstruction = reconstruction_loss(restored, images)
        divergence = posterior.kl().mean() / posterior.mean[0].numel()  # nats a latent number
        loss = reconstruction + KL_WEIGHT * divergence
        # 5. backward
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        # 6. step
        optimizer.step()
        schedule.step()
        trainer.log(reconstruction=reconstruction, kl=divergence)
    trainer.write_loss_curve(folder / "loss.png")
    network.eval()
    standardise(network, composer, world)
    return network


@torch.no_grad()
def standardise(network: AutoencoderKL, composer: Composer, world: World) -> None:
    """Fold mean 0 and variance 1 of each latent channel into the 1x1 convolutions round them.

    Noise schedules expect unit variance; Stable Diffusion scales all channels alike. Folded in,
    `scaling_factor` is 1 and every pipeline works unchanged.
    """
    rng = random.Random(10**9)
    scenes = [world.sample_scene(rng, TWO_OBJECTS) for _ in range(512)]
    images = to_network(composer.compose(scenes, rng))
    means = torch.cat([network.encode(part).latent_dist.mean for part in images.split(64)])
    mean, std = means.mean(dim=(0, 2, 3)), means.std(dim=(0, 2, 3))  # (4,)
    before, after = network.quant_conv, network.post_quant_conv
    channels = len(mean)
    after.bias += (after.weight[:, :, 0, 0] @ mean).reshape(after.bias.shape)
    after.weight *= std[None, :, None, None]
    before.weight[:channels] /= std[:, None, None, None]
    before.bias[:channels] = (before.bias[:channels] - mean) / std
    before.bias[channels:] -= 2 * std.log()  # the other half of the outputs are log-variances
    network.register_to_config(scaling_factor=1.0)
