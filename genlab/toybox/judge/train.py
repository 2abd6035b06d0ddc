"""Trains the judge of Toybox's pictures on composites of the training split.

It is independent of the pipeline: it shares neither weights nor latents with it. Its own accuracy
on composites of the held-out test split bounds every adherence figure it gives.
"""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from genlab.toybox.checkable_prompts import shares
from genlab.toybox.composer import Composer, to_network
from genlab.toybox.judge.network import ToyboxJudge, crop
from genlab.toybox.prompt_adherence import scenes_read
from genlab.toybox.train.card import write_judge_card
from genlab.toybox.train.common import make_composer, prepare_cpu, publish
from genlab.toybox.world import Scene, World
from genlab.training.hardware import hardware
from genlab.training.trainer import Trainer, warmup_cosine

BATCH = 128
STEPS = 3_600
LEARNING_RATE = 3e-3
DIGITS = 0.35  # garments are harder to tell apart
LABEL_SMOOTHING = 0.05


def build_judge(world: World) -> ToyboxJudge:
    """A judge for every noun, colour and background of the world."""
    return ToyboxJudge(list(world.nouns), list(world.colours), list(world.backgrounds))


def any_scenes(
    world: World, rng: random.Random, count: int, two_objects: bool = False, digits: float = 0.5
) -> list[Scene]:
    """Scenes of every colour with every noun, the pairs held out from the UNet's training too.

    A judge that had never seen a pink 4 would mistake one, and blame the model for it.
    """
    free = dataclasses.replace(world, held_out=frozenset())
    return [free.sample_scene(rng, float(two_objects), digits) for _ in range(count)]


def one_each(
    world: World, composer: Composer, rng: random.Random, count: int, digits: float = 0.5
) -> tuple[Tensor, list[Scene]]:
    """Pictures with one object each, as the judge reads them, and what they show.

    Half are whole pictures of one object, half are the windows of pictures of two.

    Args:
        world, composer: draw them.
        rng: source of randomness.
        count: a multiple of four.
        digits: share of objects that are digits.

    Returns:
        (count, 3, 64, 64) in [-1, 1], and as many scenes.
    """
    alone = any_scenes(world, rng, count // 2, False, digits)
    pairs = any_scenes(world, rng, count // 4, True, digits)
    images = [to_network(composer.compose(alone, rng))]
    together = to_network(composer.compose(pairs, rng))
    scenes = list(alone)
    for place in world.places:
        rows = [
            (k, item)
            for k, pair in enumerate(pairs)
            for item in pair.objects
            if item.place == place
        ]
        if rows:
            images.append(crop(together[[k for k, _ in rows]], place))
            scenes += [Scene((item,), pairs[k].background) for k, item in rows]
    return torch.cat(images), scenes


def train_judge(
    world: World, data: Path | None, device: str, folder: Path, out: Path, steps: int = STEPS
) -> ToyboxJudge:
    """Train (or go on training) the judge and write its checkpoint.

    Args:
        world: what pictures show.
        data: torchvision root with MNIST and Fashion-MNIST.
        device: a torch device.
        folder: where the run is kept and resumed from.
        out: the judge's checkpoint folder.
        steps: minibatches of `BATCH` pictures in all.
    """
    prepare_cpu()
    torch.manual_seed(3)
    composer = make_composer(world, data, train=True, device=device)
    judge = build_judge(world).to(device)
    optimizer = torch.optim.AdamW(judge.parameters(), lr=LEARNING_RATE, weight_decay=0.05)
    schedule = warmup_cosine(optimizer, steps)
    trainer = Trainer(folder, steps, {"judge": judge}, {"adamw": optimizer}, {"lr": schedule})
    judge.train()
    for step in trainer.steps():
        # 1. data to device; noise and blur as generated pictures have, so that they don't mislead
        rng = random.Random(step)
        images, scenes = one_each(world, composer, rng, BATCH, DIGITS)  # (B, 3, 64, 64)
        images = soften(images, rng)
        targets = scene_targets(scenes, judge, device)
        # 2. forget the last gradients
        optimizer.zero_grad(set_to_none=True)
        # 3. forward
        verdict = judge(images)
        # 4. loss: one cross-entropy a question
        losses = [
            F.cross_entropy(v, t, label_smoothing=LABEL_SMOOTHING)
            for v, t in zip(verdict, targets, strict=True)
        ]
        loss = torch.stack(losses).sum()
        # 5. backward
        loss.backward()
        # 6. step
        optimizer.step()
        schedule.step()
        right = (verdict.nouns.argmax(dim=1) == targets[0]).float().mean()
        trainer.log(noun=losses[0], colour=losses[1], background=losses[2], nouns_right=right)
    trainer.write_loss_curve(folder / "loss.png")
    judge.eval()
    publish(lambda draft: judge.save_pretrained(draft), out)
    metrics = judge_accuracy(judge, make_composer(world, data, train=False, device=device), world)
    metrics = {name: round(share, 4) for name, share in metrics.items()}
    write_judge_card(out, trainer.step, trainer.seconds, hardware(device), metrics)
    return judge


def soften(images: Tensor, rng: random.Random) -> Tensor:
    """Half of the batches slightly blurred and noisy, as decoded latents are."""
    if rng.random() < 0.5:
        return images
    blurred = F.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
    mixed = torch.lerp(images, blurred, rng.random())
    return mixed + 0.05 * rng.random() * torch.randn_like(images)


def scene_targets(
    scenes: list[Scene], judge: ToyboxJudge, device: str | torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Class numbers (B,) of noun, colour and background; -1 where a scene leaves it open."""

    def number(names: list[str], name: str | None) -> int:
        return -1 if name is None else names.index(name)

    rows = [
        (
            number(judge.nouns, scene.objects[0].noun),
            number(judge.colours, scene.objects[0].colour),
            number(judge.backgrounds, scene.background),
        )
        for scene in scenes
    ]
    table = torch.tensor(rows, device=device)
    return table[:, 0], table[:, 1], table[:, 2]


@torch.no_grad()
def read_scenes(judge: ToyboxJudge, images: Tensor, objects: int = 1) -> list[Scene]:
    """The scenes that the judge, in eval mode, sees in pictures (B, 3, 64, 64) uint8."""
    parts = [judge.named(judge.read(to_network(part), objects)) for part in images.split(256)]
    return [scene for part in parts for scene in scenes_read(part)]


def judge_accuracy(
    judge: ToyboxJudge, composer: Composer, world: World, count: int = 4000
) -> dict[str, float]:
    """Share of composed real pictures that the judge reads right, a figure a question.

    Args:
        judge: in eval mode.
        composer: over the held-out test split.
        world: what pictures show.
        count: number of pictures of one object, and of two.

    Returns:
        See `shares`; the figures for two objects have "two_" before their names.
    """
    rng = random.Random(10**9)
    figures = {}
    for prefix, objects in (("", 1), ("two_", 2)):
        scenes = any_scenes(world, rng, count, two_objects=objects == 2)
        seen: list[Scene] = []
        for start in range(0, count, 500):
            images = composer.compose(scenes[start : start + 500], rng)
            seen += read_scenes(judge, images, objects)
        figures |= {prefix + name: share for name, share in shares(scenes, seen).items()}
    return figures
