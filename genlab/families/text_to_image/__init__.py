"""Any other pipeline of diffusers that draws from a prompt, by its stock call. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genlab.evaluation.figures import AS_ASKED, CLASSES, CONFIDENCE, SECONDS, SHARPNESS
from genlab.families.description import FamilyDescription
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.formats import pipelines


def check(path: Path, card: Mapping[str, Any]) -> None:
    """Raise BrokenCheckpoint unless a folder holds a pipeline that draws from a prompt alone."""
    folder = pipelines.configuration(path, card)
    pipelines.check_text_to_image(folder)
    if path.is_dir():
        pipelines.check_folder(path)
    else:
        pipelines.check_parts(folder)


def facts(path: Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """``own_scheduler``: it runs with its own, whatever a request names."""
    return {"own_scheduler": True}


FAMILY = FamilyDescription(
    name="text_to_image",
    label="text to image",
    requests=(StableDiffusionRequest,),
    runner="genlab.families.text_to_image.runner:TextToImageRunner",
    check=check,
    count_parameters=pipelines.count_parameters,
    facts=facts,
    options={"num_inference_steps": "steps"},
    strip=(SECONDS, SHARPNESS, CONFIDENCE, AS_ASKED, CLASSES),
)
