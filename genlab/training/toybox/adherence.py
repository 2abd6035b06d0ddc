"""Measures with the judge how well pictures obey their prompts; knows no pipeline, no engine."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from genlab.networks.toybox_judge import ToyboxJudge
from genlab.training.toybox.composer import to_network
from genlab.training.toybox.judge import scene_targets
from genlab.world import Scene, SceneObject, World

SampleFn = Callable[[Sequence[str]], Tensor]
"""Prompts to pictures: (B, 3, 64, 64) uint8, one each."""

QUESTIONS = ("noun", "colour", "background")


def checkable_prompts(
    world: World, count: int, seed: int = 0, held_out: bool = False
) -> tuple[list[str], list[Scene]]:
    """Plain one-object prompts that go round the nouns, with the scenes they ask for.

    Args:
        world: what can be asked for.
        count: number of prompts.
        seed: of the colours.
        held_out: only colour-noun pairs that training never saw together.
    """
    rng = random.Random(seed)
    pairs = sorted(world.held_out)
    prompts, scenes = [], []
    for number in range(count):
        background = rng.choice(list(world.backgrounds))
        if held_out:
            colour, noun = pairs[number % len(pairs)]
            background = rng.choice([b for b in world.backgrounds if b != colour])
        else:
            noun = list(world.nouns)[number % len(world.nouns)]
            colour = rng.choice(
                [c for c in world.colours if c != background and (c, noun) not in world.held_out]
            )
        prompts.append(f"a {colour} {noun} on a {background} background")
        scenes.append(Scene((SceneObject(noun, colour),), background))
    return prompts, scenes


@torch.no_grad()
def score(judge: ToyboxJudge, images: Tensor, scenes: Sequence[Scene]) -> dict[str, float]:
    """Shares of pictures in which the judge finds what the scene asks for.

    Args:
        judge: in eval mode.
        images: (B, 3, 64, 64) uint8.
        scenes: of one object each; what one leaves open counts as right.

    Returns:
        Shares in 0..1: "noun", "colour", "background", "all", and "digits" and "garments", the
        share of right nouns within each kind.
    """
    device = next(judge.parameters()).device
    targets = torch.stack(scene_targets(list(scenes), judge, "cpu"), dim=1)  # (B, 3)
    answers = []
    for part in images.split(256):
        verdict = judge(to_network(part.to(device)))
        answers.append(torch.stack([logits.argmax(dim=1) for logits in verdict], dim=1).cpu())
    right = (torch.cat(answers) == targets) | (targets < 0)  # (B, 3)
    result = {name: right[:, i].float().mean().item() for i, name in enumerate(QUESTIONS)}
    result["all"] = right.all(dim=1).float().mean().item()
    is_digit = torch.tensor([scene.objects[0].noun.isdigit() for scene in scenes])
    for name, rows in (("digits", is_digit), ("garments", ~is_digit)):
        if rows.any():
            result[name] = right[rows, 0].float().mean().item()
    return result


def measure(
    sample: SampleFn,
    judge: ToyboxJudge,
    world: World,
    count: int = 200,
    seed: int = 0,
    held_out: bool = False,
) -> dict[str, float]:
    """Draw one picture for each of `count` one-object prompts and let the judge read them.

    Args:
        sample: draws the pictures, at the steps, scale and scheduler to be measured.
        judge: in eval mode.
        world: what can be asked for.
        count: number of prompts.
        seed: of the prompts.
        held_out: only colour-noun pairs that training never saw.

    Returns:
        See `score`.
    """
    prompts, scenes = checkable_prompts(world, count, seed, held_out)
    return score(judge, sample(prompts), scenes)
