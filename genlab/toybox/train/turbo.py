"""Distils Toybox into Toybox Turbo, a latent consistency model that draws in one to four steps.

Each step of training shows the student a noisy latent, and asks of it the clean one that it itself
would see (its slowly moving average, that is) one step of the guided teacher further on: so all
points of the teacher's path come to lead to the same end.

Source: Luo et al., "Latent Consistency Models", 2023 (arXiv:2310.04378), algorithm 1, with one
scale of guidance, as Salimans & Ho 2022 (arXiv:2202.00512) distilled theirs.
"""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, LCMScheduler, UNet2DConditionModel
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import CLIPTextModel, CLIPTokenizer

from genlab.diffusion.guidance import classifier_free
from genlab.toybox.train.clip import tokenize
from genlab.toybox.train.common import prepare_cpu
from genlab.toybox.train.unet import (
    build_scheduler,
    captioned,
    encode_pictures,
    spread_quantiles,
)
from genlab.toybox.world import World
from genlab.training.trainer import Trainer, warmup_hold_fall

BATCH = 32
STEPS = 1_800
LEARNING_RATE = 3e-4
GUIDANCE_SCALE = 3.0
"""At which the teacher follows prompts best; the student has learnt it and heeds no other."""
SOLVER_STEPS = 50
"""Of the teacher's DDIM from noise to picture; one of them lies between two neighbours."""
TARGET_DECAY = 0.95
"""Of the average that says where the student should come to."""
EMA_DECAY = 0.999
"""Of the average that is kept."""
CAPTION_DROPOUT = 0.05
HUBER = 0.001


def build_turbo_scheduler() -> LCMScheduler:
    """Toybox's own noise schedule; as many teacher steps as `SOLVER_STEPS` to choose from."""
    teacher = build_scheduler().config
    return LCMScheduler.from_config(teacher, original_inference_steps=SOLVER_STEPS)


class ConsistencyFunction:
    """f(x_t, t), the clean latent that a v-predicting UNet leads to: eqs. 9 and 10 of the source.

    Args:
        scheduler: whose alphabar and boundary conditions are used, as at sampling.
        device: where latents are.
    """

    def __init__(self, scheduler: LCMScheduler, device: str) -> None:
        self._scheduler = scheduler
        self._alphas_cumprod = scheduler.alphas_cumprod.to(device)

    def clean_and_noise(self, x_t: Tensor, t: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """x_0 and eps of a prediction v, each (B, C, H, W)."""
        signal, noise = self.rates(t)
        return signal * x_t - noise * v, noise * x_t + signal * v

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """sqrt(alphabar_t) and sqrt(1 - alphabar_t), each (B, 1, 1, 1)."""
        alpha_bar = self._alphas_cumprod[t][:, None, None, None]
        return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()

    def __call__(self, network: torch.nn.Module, x_t: Tensor, t: Tensor, text: Tensor) -> Tensor:
        v = network(x_t, t, encoder_hidden_states=text).sample
        clean, _ = self.clean_and_noise(x_t, t, v)
        boundary: Any = self._scheduler.get_scalings_for_boundary_condition_discrete
        skip, out = boundary(t)
        return skip[:, None, None, None] * x_t + out[:, None, None, None] * clean


@torch.no_grad()
def teacher_step(
    teacher: UNet2DConditionModel,
    function: ConsistencyFunction,
    x_t: Tensor,
    t: Tensor,
    earlier: Tensor,
    text: Tensor,
    empty: Tensor,
) -> Tensor:
    """x at the ``earlier`` timesteps, by one DDIM step of the guided teacher, (B, C, H, W).

    Args:
        text: embeddings of the captions, (B, L, D).
        empty: those of the empty caption, likewise.
    """
    pairs = torch.cat([x_t, x_t]), torch.cat([t, t])
    v = teacher(*pairs, encoder_hidden_states=torch.cat([empty, text])).sample
    uncond, cond = v.chunk(2)
    guided = classifier_free(uncond, cond, GUIDANCE_SCALE)
    clean, noise = function.clean_and_noise(x_t, t, guided)
    signal_rate, noise_rate = function.rates(earlier)
    return signal_rate * clean + noise_rate * noise


def distil(
    world: World,
    data: Path | None,
    device: str,
    folder: Path,
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    teacher: UNet2DConditionModel,
    steps: int | None = None,
) -> UNet2DConditionModel:
    """Distil (or go on distilling) and return the moving average of the student's weights.

    Args:
        world: what the pictures show and how they are said.
        data: torchvision root with MNIST and Fashion-MNIST.
        device: a torch device.
        folder: where the run is kept and resumed from.
        vae: makes the latents; frozen.
        text_encoder: reads the captions; frozen.
        tokenizer: turns captions into ids.
        teacher: predicts v, with captions and without; frozen, and where the student begins.
        steps: minibatches of `BATCH`; None for `STEPS`.
    """
    prepare_cpu()
    torch.manual_seed(3)
    steps = steps or STEPS
    for network in (vae, text_encoder, teacher):
        network.to(device).eval().requires_grad_(False)
    latents, scenes = encode_pictures(world, data, device, vae, folder / "latents.pt")
    student = copy.deepcopy(teacher).train().requires_grad_(True)
    target, kept = (
        AveragedModel(student, multi_avg_fn=get_ema_multi_avg_fn(decay))
        for decay in (TARGET_DECAY, EMA_DECAY)
    )
    optimizer = torch.optim.AdamW(
        student.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.0, fused=True
    )
    schedule = warmup_hold_fall(optimizer, steps)
    modules = {"student": student, "target": target, "kept": kept}
    trainer = Trainer(folder, steps, modules, {"adamw": optimizer}, {"lr": schedule})
    scheduler = build_turbo_scheduler()
    function = ConsistencyFunction(scheduler, device)
    apart = scheduler.config.num_train_timesteps // SOLVER_STEPS
    with torch.no_grad():
        nothing = text_encoder(tokenize(tokenizer, [""], device)).last_hidden_state
    for step in trainer.steps():
        # 1. data to device: latents, captions, noise, and where on the teacher's path they are
        rows, captions = captioned(world, scenes, BATCH, random.Random(step), CAPTION_DROPOUT)
        clean = latents[rows]  # (B, 4, 16, 16)
        with torch.no_grad():
            text = text_encoder(tokenize(tokenizer, captions, device)).last_hidden_state
        t = ((spread_quantiles(BATCH) * SOLVER_STEPS).long() + 1) * apart - 1  # 19, 39, ... 999
        t = t.to(device)
        earlier = (t - apart).clamp(min=0)
        signal, noise_rate = function.rates(t)
        x_t = signal * clean + noise_rate * torch.randn_like(clean)
        # 2. zero_grad
        optimizer.zero_grad(set_to_none=True)
        # 3. forward: where the student gets to from x_t, and its average from one step further on
        reached = function(student, x_t, t, text)
        with torch.no_grad():
            empty = nothing.expand_as(text)
            nearer = teacher_step(teacher, function, x_t, t, earlier, text, empty)
            goal = function(target, nearer, earlier, text)
        # 4. loss: pseudo-Huber
        loss = (((reached - goal).square() + HUBER**2).sqrt() - HUBER).mean()
        # 5. backward
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        # 6. step
        optimizer.step()
        schedule.step()
        target.update_parameters(student)
        kept.update_parameters(student)
        trainer.log(loss=loss)
    trainer.write_loss_curve(folder / "loss.png")
    distilled = kept.module
    assert isinstance(distilled, UNet2DConditionModel)
    return distilled.eval()
