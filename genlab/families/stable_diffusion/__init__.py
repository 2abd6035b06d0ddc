"""Stable Diffusion 1.x, 2.x and XL: text to image, many people's pictures in one network call.

Needs no torch. Knows no world that prompts may speak of: it hands on what the files say of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genlab.evaluation.figures import AS_ASKED, CLASSES, CONFIDENCE, SECONDS, SHARPNESS
from genlab.families.description import Endpoint, FamilyDescription
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.formats import pipelines
from genlab.formats.hub_layout import read_json
from genlab.formats.pipeline_checks import check_stable_diffusion


def facts(path: Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """``own_scheduler``: it takes any; ``world``: what world.json holds, if there is one."""
    world = path / "world.json"
    content = {"world": read_json(world)} if world.is_file() else {}
    return {"own_scheduler": False} | content


FAMILY = FamilyDescription(
    name="stable_diffusion",
    label="stable diffusion",
    requests=(StableDiffusionRequest,),
    runner="genlab.families.stable_diffusion.runner:StableDiffusionRunner",
    check=check_stable_diffusion,
    count_parameters=pipelines.count_parameters,
    facts=facts,
    endpoint=Endpoint(
        name="stable_diffusion_sample",
        summary="Text to image. Returns picture files and figures; "
        'figures["notes"] says what was cut.',
        checkpoint="stable-diffusion-toybox",
        fields=(
            "prompt", "negative_prompt", "num_inference_steps", "guidance_scale", "scheduler",
            "seed", "count", "checkpoint",
        ),
        required=("prompt",),
    ),
    options={"num_inference_steps": "steps"},
    strip=(SECONDS, SHARPNESS, CONFIDENCE, AS_ASKED, CLASSES),
)  # fmt: skip
