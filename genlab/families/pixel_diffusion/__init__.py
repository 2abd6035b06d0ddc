"""Diffusion of pixels under any kind of guidance: digits and garments. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genlab.diffusion.schedulers import FLOW, FLOW_NAMES
from genlab.engine.events import Result
from genlab.evaluation.figures import AS_ASKED, CLASSES, CONFIDENCE, FID, SECONDS, SHARPNESS
from genlab.families.description import (
    CARD_FIGURES,
    ColumnSettings,
    CompareColumn,
    Endpoint,
    FamilyDescription,
    Find,
)
from genlab.families.pixel_diffusion.layout import check, count_parameters
from genlab.families.pixel_diffusion.request import DenoiseRequest, PixelDiffusionRequest
from genlab.families.pixel_diffusion.scales import measured_scales
from genlab.formats.hub_layout import read_json
from genlab.formats.metadata import ModelMetadata
from genlab.requests import Request, UserError, parse_request

PREVIEW_EVERY = 5  # steps of a compared column; what it has to show costs next to nothing


def facts(path: Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """``scales``: see `measured_scales`; ``classifier``: the one that its guidance follows.

    ``flow``: whether it was taught velocities along straight paths instead of noise.
    """
    scheduler = read_json(path / "scheduler" / "scheduler_config.json").get("_class_name")
    return {
        "scales": measured_scales(path),
        "classifier": card.get("classifier"),
        "flow": scheduler == FLOW,
    }


def check_request(request: PixelDiffusionRequest, metadata: ModelMetadata, find: Find) -> None:
    """Raise UserError unless the classifier to follow is there and for the same data set.

    A flow along straight paths has no noise to add and one rule to draw by.
    """
    if metadata.facts.get("flow"):
        if request.scheduler not in FLOW_NAMES:
            raise UserError(
                f"{request.checkpoint} is a flow, so scheduler must be one of "
                f"{', '.join(FLOW_NAMES)}, but is {request.scheduler!r}."
            )
        if request.eta:
            raise UserError(
                f"{request.checkpoint} is a flow, so eta must be 0, but is {request.eta:g}."
            )
    if request.guidance != "classifier" and request.classifier is None:
        return
    name = request.classifier or metadata.facts.get("classifier")
    if not name:
        raise UserError(f"The card of {request.checkpoint} names no classifier to follow.")
    followed = find(name)
    if followed is None:
        raise UserError(
            f"{request.checkpoint} has no classifier to follow: there is no checkpoint called "
            f"{name!r}."
        )
    if followed.family != "noisy_classifier":
        raise UserError(
            f"{name} is a {followed.family}, but guidance follows a noisy_classifier only."
        )
    if followed.dataset != metadata.dataset:
        raise UserError(
            f"{name} reads {followed.dataset}, but {request.checkpoint} draws "
            f"{metadata.dataset}: choose a classifier of the same data set."
        )


def class_adherence(
    request: PixelDiffusionRequest, result: Result, judged: Result | None
) -> dict[str, Any]:
    """How many pictures a judge sees as the class that was asked for, and how they differ within.

    ``as_asked_percent``, and ``diversity`` where it sees two pictures of one class. Classes are
    those that it sees: a mistaken 7 among 3s is an error, no variety. {} where no class was asked
    for, or nobody judged.
    """
    if judged is None or not (request.labels or request.guidance != "none"):
        return {}
    from genlab.evaluation.metrics import diversity_within

    targets, seen = np.asarray(request.target_classes), judged.extras["probs"].argmax(axis=1)
    right = 100 * float((seen == targets).mean())
    figures: dict[str, Any] = {"as_asked_percent": {"class": round(right, 1)}}
    within = diversity_within(judged.extras["features"], seen)
    return figures if within is None else figures | {"diversity": round(within, 3)}


def _unguided(metadata: ModelMetadata, settings: ColumnSettings) -> list[Request]:
    return [_samples(metadata, settings, guidance="none")]


def _guided(metadata: ModelMetadata, settings: ColumnSettings) -> list[Request]:
    """At the scale that the card's figures are of."""
    guidance = {
        "guidance": "classifier-free",
        "guidance_scale": metadata.metrics.get("guidance_scale", 2.0),
        "labels": tuple(settings.label_of(k) for k in range(settings.count)),
    }
    return [_samples(metadata, settings, **guidance)]


def _samples(metadata: ModelMetadata, settings: ColumnSettings, **guidance: Any) -> Request:
    return parse_request(
        PixelDiffusionRequest, checkpoint=metadata.name, seed=settings.seed, count=settings.count,
        preview_every=PREVIEW_EVERY, **guidance,
    )  # fmt: skip


FAMILY = FamilyDescription(
    name="pixel_diffusion",
    label="pixel diffusion",
    requests=(PixelDiffusionRequest, DenoiseRequest),
    runner="genlab.families.pixel_diffusion.runner:PixelDiffusionRunner",
    check=check,
    count_parameters=count_parameters,
    facts=facts,
    check_request=check_request,
    endpoint=Endpoint(
        name="pixel_diffusion_sample",
        summary="Digits or garments from noise. Returns picture files and figures.",
        checkpoint="ddpm-mnist",
        fields=(
            "labels", "guidance", "guidance_scale", "num_inference_steps", "scheduler", "eta",
            "seed", "count", "checkpoint", "classifier",
        ),
    ),
    options={"num_inference_steps": "steps", "labels": "label", "shares": "share"},
    columns=(
        CompareColumn(
            key="diffusion",
            order=50,
            title="Diffusion",
            look="Many steps from noise, pushed nowhere.",
            checkpoint="ddpm-mnist",
            requests=_unguided,
            with_class="Not guided, so told no class.",
            measured={figure: f"unguided_{key}" for figure, key in CARD_FIGURES.items()},
        ),
        CompareColumn(
            key="guided",
            order=60,
            title="Diffusion, guided",
            look="The same noise, each step pushed towards a class.",
            checkpoint="ddpm-mnist",
            requests=_guided,
            with_class="Asked for {}.",
            any_class="Asked for the digits in turn.",
            within_class=True,
        ),
        CompareColumn(
            key="flow",
            order=65,
            title="Flow matching, guided",
            look="The same noise along straight paths, pushed towards a class.",
            checkpoint="flow-mnist",
            requests=_guided,
            with_class="Asked for {}.",
            any_class="Asked for the digits in turn.",
            within_class=True,
        ),
    ),
    strip=(SECONDS, SHARPNESS, CONFIDENCE, FID, AS_ASKED, CLASSES),
    own_figures=class_adherence,
    evaluate="genlab.families.pixel_diffusion.evaluate:evaluate",
    training="genlab.families.pixel_diffusion.trainings:TRAINING",
)  # fmt: skip
