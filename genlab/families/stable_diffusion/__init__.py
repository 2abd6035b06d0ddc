"""Stable Diffusion 1.x, 2.x and XL: prompts, and pictures to begin with, to pictures; many
people's in one network call.

Needs no torch. Knows no world that prompts may speak of: it hands on what the files say of one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genlab.diffusion.schedulers import SCHEDULERS
from genlab.evaluation.figures import AS_ASKED, CLASSES, CONFIDENCE, SECONDS, SHARPNESS
from genlab.families.description import Endpoint, FamilyDescription, Find
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.formats import pipelines
from genlab.formats.hub_layout import read_json
from genlab.formats.metadata import ModelMetadata
from genlab.formats.pipeline_checks import check_stable_diffusion
from genlab.requests import UserError


def facts(path: Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """``own_scheduler``: it takes any; ``world``: what world.json holds, if there is one.

    ``fewest_steps``: how many a scheduler needs with this model, by name, where that is above one;
    ``text_width``: how many numbers a word has where its UNet looks at the text.
    """
    world, scheduler = path / "world.json", path / "scheduler" / "scheduler_config.json"
    content = {"world": read_json(world)} if world.is_file() else {}
    if scheduler.is_file():
        config = read_json(scheduler)
        needed = {name: row.fewest_steps(config) for name, row in SCHEDULERS.items()}
        content["fewest_steps"] = {name: count for name, count in needed.items() if count > 1}
    width = pipelines.config_of(pipelines.configuration(path, card), "unet")
    return {"own_scheduler": False, "text_width": width.get("cross_attention_dim", 1280)} | content


def check_request(request: StableDiffusionRequest, metadata: ModelMetadata, find: Find) -> None:
    """Raise UserError for fewer steps than the scheduler can draw in, or a LoRA that is no use."""
    count = request.num_inference_steps
    fewest = metadata.facts.get("fewest_steps", {}).get(request.scheduler, 1)
    if count < fewest:
        unit = "step" if count == 1 else "steps"
        raise UserError(
            f"{SCHEDULERS[request.scheduler].label} cannot draw in {count} {unit}; "
            f"ask for {fewest} or more."
        )
    check_start(request)
    if request.lora:
        check_lora(request.lora, metadata, find)


def check_start(request: StableDiffusionRequest) -> None:
    """Raise UserError for a mask of no picture, or a strength that leaves no step to take."""
    if request.mask and not request.picture:
        raise UserError("There is a mask, but no picture that it is of: picture is empty.")
    if not request.steps_taken:
        count = request.num_inference_steps
        raise UserError(
            f"strength {request.strength:g} of {count} steps is less than one step; ask for "
            f"{math.ceil(100 / count) / 100:g} or more."
        )


def check_lora(name: str, metadata: ModelMetadata, find: Find) -> None:
    """Raise UserError unless there is such a LoRA and it looks at texts as wide as the model."""
    entry = find(name)
    if entry is None or "text_width" not in entry.facts or entry.family == metadata.family:
        raise UserError(f"There is no LoRA called {name!r} here.")
    width, ours = entry.facts["text_width"], metadata.facts.get("text_width")
    if width is not None and ours is not None and width != ours:
        raise UserError(
            f"The LoRA {name} was made for a model that looks at texts {width} numbers wide, but "
            f"{metadata.title} looks at {ours}."
        )


FAMILY = FamilyDescription(
    name="stable_diffusion",
    label="stable diffusion",
    requests=(StableDiffusionRequest,),
    runner="genlab.families.stable_diffusion.runner:StableDiffusionRunner",
    check=check_stable_diffusion,
    count_parameters=pipelines.count_parameters,
    facts=facts,
    check_request=check_request,
    endpoint=Endpoint(
        name="stable_diffusion_sample",
        summary="Text to image. Returns picture files and figures; "
        'figures["notes"] says what was cut.',
        checkpoint="stable-diffusion-toybox",
        fields=(
            "prompt", "negative_prompt", "num_inference_steps", "guidance_scale", "scheduler",
            "seed", "count", "checkpoint", "lora", "lora_scale", "picture", "mask", "strength",
        ),
        required=("prompt",),
    ),
    options={"num_inference_steps": "steps"},
    strip=(SECONDS, SHARPNESS, CONFIDENCE, AS_ASKED, CLASSES),
)  # fmt: skip
