"""The family of Toybox's judge, which measures whether pictures show what their prompts ask for.

Needs no torch. Knows the Stable Diffusion family's request, as it judges that family's pictures,
and declares Toybox's column of the comparison, whose figures are all its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genlab.engine.events import Result
from genlab.evaluation.judging import sharpness_figures
from genlab.families.description import (
    ColumnSettings,
    CompareColumn,
    FamilyDescription,
    Find,
    Judge,
)
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.formats import hub_layout
from genlab.formats.metadata import ModelMetadata
from genlab.requests import MAX_SEED, Request, SampleRequest, UserError, parse_request
from genlab.toybox.judge.layout import weight_shapes
from genlab.toybox.judge.request import ReadRequest
from genlab.toybox.prompt_adherence import adherence, scene_of

DIGITS = tuple(map(str, range(10)))
PROMPT = "a white {} on a black background"
SIZE = (64, 64, 3)
"""Height, width and channels of the pictures that it reads."""


def _check(folder: Path, card: Mapping[str, Any]) -> None:
    hub_layout.check_hub_folder(folder, weight_shapes, "ToyboxJudge")


def _check_request(request: ReadRequest, metadata: ModelMetadata, find: Find) -> None:
    if request.images.shape[1:] != SIZE:
        shape = " x ".join(str(size) for size in request.images.shape[1:])
        raise UserError(f"{request.checkpoint} takes 64 x 64 x 3 pictures, not {shape}.")


def _question(
    request: SampleRequest, result: Result, drawn_by: ModelMetadata, judge: ModelMetadata
) -> ReadRequest | None:
    """What the pictures show, if their prompt speaks of one or two objects of a known world."""
    scene = scene_of(drawn_by, request)
    if scene is None or result.images.shape[1:] != SIZE:
        return None
    return parse_request(
        ReadRequest, checkpoint=judge.name, images=result.images, objects=len(scene.objects)
    )


def _figures(
    request: SampleRequest,
    result: Result,
    drawn_by: ModelMetadata,
    judge: ModelMetadata,
    answer: Result,
) -> dict[str, Any]:
    """See `adherence`; ``mean_confidence``, the mean probability of what was read; sharpness."""
    scene = scene_of(drawn_by, request)
    if scene is None:
        return {}
    confidence = round(float(answer.extras["confidence"].mean()), 4)
    sharpness = sharpness_figures(result.images, judge)
    return sharpness | adherence(scene, answer.extras) | {"mean_confidence": confidence}


def _one_prompt_a_picture(metadata: ModelMetadata, settings: ColumnSettings) -> list[Request]:
    """One request a picture, as each has a prompt of its own; they share network calls."""
    return [
        parse_request(
            StableDiffusionRequest, checkpoint=metadata.name, count=1,
            seed=(settings.seed + k) % (MAX_SEED + 1),
            prompt=PROMPT.format(settings.label_of(k)),
        )
        for k in range(settings.count)
    ]  # fmt: skip


def as_digits(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Figures of pictures of one noun each, as a classifier of digits would give them.

    What is no digit is in no bar. Sharpness and FID are not among them: they compare with real
    pictures of the same size and colours only.

    Args:
        parts: figures of one request each; those without ``read`` were not judged.
    """
    judged = [part for part in parts if "read" in part]
    pictures = [words.split() for part in judged for words in part["read"]]
    if not pictures:
        return {}
    read = Counter(digit for words in pictures for digit in DIGITS if digit in words)
    shares = {digit: round(read[digit] / len(pictures), 4) for digit in DIGITS}
    confidence = sum(part["mean_confidence"] * len(part["read"]) for part in judged)
    return {
        "judged_count": len(pictures),
        "class_histogram": shares,
        "classes_above_2_percent": sum(share > 0.02 for share in shares.values()),
        "mean_confidence": round(confidence / len(pictures), 4),
    }


FAMILY = FamilyDescription(
    name="judge",
    label="judge",
    requests=(ReadRequest,),
    runner="genlab.toybox.judge.runner:ToyboxJudgeRunner",
    check=_check,
    count_parameters=hub_layout.count_parameters,
    check_request=_check_request,
    columns=(
        CompareColumn(
            key="toybox",
            order=70,
            title="Toybox",
            look="Diffusion of latents, guided by a prompt.",
            checkpoint="stable-diffusion-toybox",
            requests=_one_prompt_a_picture,
            with_class=f"“{PROMPT}”",
            any_class=f"“{PROMPT.format('0…9')}”",
            measured={},  # of pictures in another size and in colours: not to be compared
            unknown={
                "fid": "Its pictures are 64x64 and coloured, the real ones here are not",
                "sharpness_percent": "Its pictures are 64x64: edges compare at one size only",
            },
            merge=as_digits,
        ),
    ),
    judge=Judge(
        question=_question,
        figures=_figures,
        evaluate="genlab.toybox.evaluate.measure:evaluate",
    ),
    training="genlab.toybox.train.stages:TRAINING",
)
