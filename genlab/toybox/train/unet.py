"""Trains Toybox's UNet: to remove noise from latents of the pictures that a prompt describes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import CLIPTextModel, CLIPTokenizer

from genlab.toybox.clip_network import WIDTH
from genlab.toybox.composer import to_network
from genlab.toybox.train.clip import tokenize
from genlab.toybox.train.common import kept_latents, make_composer, prepare_cpu
from genlab.toybox.world import Scene, World
from genlab.training.trainer import Trainer, warmup_hold_fall

BATCH = 32
STEPS = 40_000
LEARNING_RATE = 8e-4
MORE_STEPS = 6_000
"""Length of a run that starts from trained weights."""
MORE_LEARNING_RATE = 6e-4
EMA_DECAY = 0.999
CAPTION_DROPOUT = 0.12
PICTURES = 60_000
LITTLE_NOISE = 0.3
"""Share of the timesteps that are drawn where edges are settled, see `spread_timesteps`."""
TWO_OBJECTS = 0.75
DIGITS = 0.4
"""Share of objects that are digits; garments are harder."""
OFTEN = ("shirt", "shirt", "pullover", "coat")
"""Garments that come up two or three times as often: they look most alike."""
CLEAR_GARMENTS = 0.35
"""Share of each garment's pictures to learn from: those that can be told apart best."""
FULL_CAPTIONS = 0.5
"""Share of captions that say everything; the others leave some out, as people do."""
PUBLISH_EVERY = 15 * 60.0


def build_unet() -> UNet2DConditionModel:
    """Three levels, 16x16, 8x8 and 4x4; the text reaches it on two ways.

    It is attended to at 8x8 and 4x4, where an object is a few cells, and its pooled summary joins
    the time embedding (`addition_embed_type="text"`), which scales and shifts every block. The
    second way teaches the class of an object much sooner, as in class-conditional diffusion.
    """
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        block_out_channels=(32, 64, 128),
        layers_per_block=1,
        norm_num_groups=16,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,  # the number of heads: diffusers kept the wrong name
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
        resnet_time_scale_shift="scale_shift",
    )


def build_scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise schedule, predicting v; all schedulers start from its config."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


@torch.no_grad()
def encode_pictures(
    world: World, data: Path | None, device: str, vae: AutoencoderKL, file: Path
) -> tuple[Tensor, list[Scene]]:
    """Latents (N, 4, 16, 16) of `PICTURES` composed pictures, read from `file` if they are there.

    Encoding costs more than a UNet step on a CPU, so it is done once; captions stay fresh. Latents
    that another setting left there are not used: their pictures would not fit the scenes.
    """
    rng = random.Random(7)
    scenes = [world.sample_scene(rng, TWO_OBJECTS, DIGITS, OFTEN) for _ in range(PICTURES)]

    def encode() -> Tensor:
        composer = make_composer(world, data, True, device, CLEAR_GARMENTS)
        chunks = []
        for start in range(0, PICTURES, 250):
            images = to_network(composer.compose(scenes[start : start + 250], rng))
            chunks.append(vae.encode(images).latent_dist.mean * vae.config.scaling_factor)
        return torch.cat(chunks)

    settings = repr((PICTURES, TWO_OBJECTS, DIGITS, OFTEN, CLEAR_GARMENTS))
    return kept_latents(file, settings, encode).to(device), scenes


def captioned(
    world: World, scenes: Sequence[Scene], count: int, rng: random.Random, dropout: float
) -> tuple[list[int], list[str]]:
    """The rows of ``count`` scenes and a caption of each, a share ``dropout`` of them empty.

    Captions are fresh each time; `FULL_CAPTIONS` of them say everything.
    """
    rows = rng.sample(range(len(scenes)), count)
    captions = [
        ""
        if rng.random() < dropout
        else world.caption(scenes[row], rng, full=rng.random() < FULL_CAPTIONS)
        for row in rows
    ]
    return rows, captions


def spread_quantiles(count: int) -> Tensor:
    """`count` numbers in [0, 1), one from each of as many equal parts, in random order."""
    return (torch.randperm(count) + torch.rand(count)) / count


def spread_timesteps(count: int, total: int) -> Tensor:
    """`count` timesteps below `total`: most with a probability that grows in proportion to it.

    The noisy end is where the text decides: a caption with its two nouns swapped costs 2 % of the
    loss at t = 100 and 50 % at t = 700. The other end is where edges are settled: with one timestep
    in a hundred below t = 100, pictures noised that far came back softer than they went in. So
    `LITTLE_NOISE` of them are spread evenly over the first quarter (docs/decisions/0012).

    One timestep comes from each of as many equally likely parts, in random order; together they
    cover the range, so the loss varies less.
    """
    sharp = round(LITTLE_NOISE * count)
    even = spread_quantiles(sharp) / 4
    rising = spread_quantiles(count - sharp).sqrt()
    timesteps = torch.cat([even, rising])[torch.randperm(count)] * total
    return timesteps.long().clamp(max=total - 1)


def train_unet(
    world: World,
    data: Path | None,
    device: str,
    folder: Path,
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    on_publish: Callable[[UNet2DConditionModel], None],
    steps: int | None = None,
    start: UNet2DConditionModel | None = None,
) -> UNet2DConditionModel:
    """Train (or go on training) and return the moving average of the weights.

    Args:
        world: what the pictures show and how they are said.
        data: torchvision root with MNIST and Fashion-MNIST.
        device: a torch device.
        folder: where the run is kept and resumed from.
        vae: makes the latents; frozen.
        text_encoder: reads the captions; frozen.
        tokenizer: turns captions into ids.
        on_publish: gets the averaged UNet at the start, every `PUBLISH_EVERY` s and at the end.
        steps: minibatches of `BATCH` in all; None for `STEPS`, or `MORE_STEPS` from `start`.
        start: trained weights to go on from; None for random ones.
    """
    prepare_cpu()
    torch.manual_seed(2)
    vae.to(device).requires_grad_(False)
    text_encoder.to(device).requires_grad_(False)
    latents, scenes = encode_pictures(world, data, device, vae, folder / "latents.pt")
    scheduler = build_scheduler()
    unet = (start or build_unet()).to(device)
    rate = MORE_LEARNING_RATE if start else LEARNING_RATE
    steps = steps or (MORE_STEPS if start else STEPS)
    ema = AveragedModel(unet, multi_avg_fn=get_ema_multi_avg_fn(EMA_DECAY))
    optimizer = torch.optim.AdamW(
        unet.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True
    )
    schedule = warmup_hold_fall(optimizer, steps)
    modules = {"unet": unet, "ema": ema}
    trainer = Trainer(folder, steps, modules, {"adamw": optimizer}, {"lr": schedule})
    unet.train()
    published = float("-inf")
    for step in trainer.steps():
        if time.monotonic() - published > PUBLISH_EVERY:
            on_publish(ema.module)
            published = time.monotonic()
        # 1. data to device: latents, captions (some empty, for classifier-free guidance), noise
        rows, captions = captioned(world, scenes, BATCH, random.Random(step), CAPTION_DROPOUT)
        clean = latents[rows]  # (B, 4, 16, 16)
        with torch.no_grad():
            text = text_encoder(tokenize(tokenizer, captions, device)).last_hidden_state
        noise = torch.randn_like(clean)
        timesteps = spread_timesteps(BATCH, scheduler.config.num_train_timesteps).to(device)
        # 2. forget the last gradients
        optimizer.zero_grad(set_to_none=True)
        # 3. forward: from the noisy latents and the text, predict v
        noisy = scheduler.add_noise(clean, noise, timesteps)
        prediction = unet(noisy, timesteps, encoder_hidden_states=text).sample
        # 4. loss
        target = scheduler.get_velocity(clean, noise, timesteps)
        loss = F.mse_loss(prediction, target)
        # 5. backward
        loss.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        # 6. step
        optimizer.step()
        schedule.step()
        ema.update_parameters(unet)
        trainer.log(loss=loss)
    trainer.write_loss_curve(folder / "loss.png")
    on_publish(ema.module)
    return ema.module.eval()
