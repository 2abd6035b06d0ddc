"""Classifiers of clean pictures, which judge what others draw. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genlab.engine.events import Result
from genlab.evaluation.judging import class_figures, sharpness_figures
from genlab.families.checks import SIDE, check_grey
from genlab.families.classifier.layout import weight_shapes
from genlab.families.classifier.request import ClassifyRequest
from genlab.families.description import (
    CARD_FIGURES,
    CompareColumn,
    FamilyDescription,
    Find,
    Judge,
)
from genlab.formats.hub_layout import check_hub_folder, count_parameters
from genlab.formats.metadata import ModelMetadata
from genlab.requests import Request, SampleRequest, parse_request


def check(path: Path, card: Mapping[str, Any]) -> None:
    """Raise BrokenCheckpoint unless the folder holds a `Classifier`; headers only."""
    check_hub_folder(path, weight_shapes, "Classifier")


def facts(path: Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """``classes``: their names, in the order of the network's outputs."""
    names = card.get("classes")
    return {"classes": [str(k) for k in (names if isinstance(names, list) else range(10))]}


def check_request(request: ClassifyRequest, metadata: ModelMetadata, find: Find) -> None:
    """Raise UserError for pictures that the network cannot take."""
    check_grey(request)


def question(
    request: SampleRequest, result: Result, metadata: ModelMetadata, judge: ModelMetadata
) -> Request | None:
    """The classes of a result's pictures; None if they are of a size that it cannot take."""
    if result.images.shape[1:] != (SIDE, SIDE):
        return None
    return parse_request(ClassifyRequest, checkpoint=judge.name, images=result.images)


def figures(
    request: SampleRequest,
    result: Result,
    metadata: ModelMetadata,
    judge: ModelMetadata,
    answer: Result,
) -> dict[str, Any]:
    """How sharp the pictures are against real ones, which classes they show, and how clearly.

    ``read``: the class of each picture that the request asks for, as the judge calls it.
    """
    probs = answer.extras["probs"]
    names = judge.facts.get("classes") or range(probs.shape[1])
    read = [str(names[k]) for k in probs[: request.count].argmax(axis=1)]
    return sharpness_figures(result.images, judge) | class_figures(probs, judge) | {"read": read}


FAMILY = FamilyDescription(
    name="classifier",
    label="classifier",
    requests=(ClassifyRequest,),
    runner="genlab.families.classifier.runner:ClassifierRunner",
    check=check,
    count_parameters=count_parameters,
    facts=facts,
    check_request=check_request,
    columns=(
        CompareColumn(
            key="real",
            order=80,
            title="Real digits",
            look="Test pictures: what all others should be like.",
            checkpoint="mnist-classifier",
            requests=None,
            with_class="Only {}. FID: real against real.",
            any_class="FID: real against real.",
            measured={**CARD_FIGURES, "fid": "fid_floor"},
            unknown={"seconds": "Nobody drew them"},
        ),
    ),
    judge=Judge(question=question, figures=figures),
    evaluate="genlab.families.classifier.evaluate:evaluate",
    training="genlab.families.classifier.train:TRAINING",
)
