"""Any other pipeline of diffusers that draws from a prompt, by its stock call. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genlab.evaluation.figures import AS_ASKED, CLASSES, CONFIDENCE, SECONDS, SHARPNESS
from genlab.families.description import FamilyDescription, Find
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.formats import pipelines
from genlab.formats.metadata import ModelMetadata
from genlab.formats.pipeline_checks import check_text_to_image
from genlab.requests import UserError


def facts(path: Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """``own_scheduler``: it runs with its own, whatever a request names."""
    return {"own_scheduler": True}


def check_request(request: StableDiffusionRequest, metadata: ModelMetadata, find: Find) -> None:
    """Raise UserError for a LoRA or a picture to begin with: only the batched engine takes them."""
    if request.lora:
        raise UserError(
            f"{metadata.title} runs by diffusers' own call, to which GenLab adds no LoRA."
        )
    if request.picture or request.mask:
        raise UserError(
            f"{metadata.title} runs by diffusers' own call, which begins with noise, not a picture."
        )


FAMILY = FamilyDescription(
    name="text_to_image",
    label="text to image",
    requests=(StableDiffusionRequest,),
    runner="genlab.families.text_to_image.runner:TextToImageRunner",
    check=check_text_to_image,
    count_parameters=pipelines.count_parameters,
    facts=facts,
    check_request=check_request,
    options={"num_inference_steps": "steps"},
    strip=(SECONDS, SHARPNESS, CONFIDENCE, AS_ASKED, CLASSES),
)
