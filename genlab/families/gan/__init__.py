"""GANs: samples of a generator, at the end or along its training. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genlab.engine.events import Result
from genlab.evaluation.figures import (
    CLASSES,
    CONFIDENCE,
    DISCRIMINATOR,
    FID,
    SECONDS,
    SHARPNESS,
)
from genlab.families.conditional import (
    check_label,
    check_network,
    drawing_facts,
    parameters,
)
from genlab.families.description import (
    MEASURED_SAMPLE,
    ColumnSettings,
    CompareColumn,
    Endpoint,
    FamilyDescription,
    Find,
)
from genlab.families.gan.layout import own_config, snapshot_path, snapshot_steps, weight_shapes
from genlab.families.gan.request import GANRequest
from genlab.families.latents import DecodeRequest, check_codes
from genlab.formats.headers import check_weights
from genlab.formats.hub_layout import read_json
from genlab.formats.metadata import ModelMetadata
from genlab.requests import Request, UserError, parse_request


def check(path: Path, card: Mapping[str, Any]) -> None:
    """Raise BrokenCheckpoint unless folder and snapshots hold one kind of GAN; headers only."""
    check_network(path, weight_shapes, "generator", "DCGAN")
    if steps := snapshot_steps(path):
        wanted = weight_shapes(read_json(path / "config.json"))
        for step in steps:
            check_weights([snapshot_path(path, step)], wanted)


def facts(path: Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """``snapshots``: the training steps that it can show, ascending; more by `drawing_facts`."""
    return {"snapshots": snapshot_steps(path)} | drawing_facts(path)


def check_request(request: Request, metadata: ModelMetadata, find: Find) -> None:
    """Raise UserError unless the model has the class, and kept the snapshot, that is asked for.

    Nor can it draw from codes of another length than its own.
    """
    if isinstance(request, DecodeRequest):
        check_codes(request, metadata)
        return
    assert isinstance(request, GANRequest)
    check_label(request.label, metadata)
    steps = metadata.facts.get("snapshots", ())
    if request.snapshot is None or request.snapshot in steps:
        return
    if not steps:
        raise UserError(f"{request.checkpoint} has no snapshots, only the finished generator.")
    raise UserError(
        f"{request.checkpoint} has no snapshot of step {request.snapshot}; "
        f"it has {', '.join(map(str, steps))}."
    )


def scores(request: GANRequest, result: Result, judged: Result | None) -> dict[str, Any]:
    """``discriminator``: the probability that each picture is real, as it says itself.

    ``discriminator_histogram``: the share of the result's pictures in each tenth of that, from
    surely fake to surely real. The result may be a larger sample than what was asked for. {} for a
    GAN whose discriminator is not here.
    """
    if "scores" not in result.extras:
        return {}
    sure = result.extras["scores"].ravel()
    shares = np.histogram(sure, bins=10, range=(0, 1))[0] / len(sure)
    return {
        "discriminator": [round(float(score), 4) for score in sure[: request.count]],
        "discriminator_histogram": [round(float(share), 4) for share in shares],
    }


def _samples(metadata: ModelMetadata, settings: ColumnSettings) -> list[Request]:
    values: dict[str, Any] = {"seed": settings.seed, "count": settings.count}
    if metadata.facts.get("classes"):
        values["label"] = settings.label
    return [parse_request(GANRequest, checkpoint=metadata.name, **values)]


FAMILY = FamilyDescription(
    name="gan",
    label="gan",
    requests=(GANRequest, DecodeRequest),
    runner="genlab.families.gan.runner:GANRunner",
    check=check,
    own_config=own_config,
    count_parameters=parameters,
    facts=facts,
    check_request=check_request,
    endpoint=Endpoint(
        name="gan_sample",
        summary="Run a generator. Returns picture files and figures (with D's scores).",
        checkpoint="dcgan-mnist",
        fields=("checkpoint", "seed", "count", "snapshot", "label"),
    ),
    options={"shares": "share"},
    columns=(
        CompareColumn(
            key="gan",
            order=30,
            title="GAN",
            look="One network call, sharp. Does every digit occur?",
            checkpoint="dcgan-mnist",
            requests=_samples,
        ),
        CompareColumn(
            key="gan-collapsed",
            order=40,
            title="GAN, collapsed",
            look="Whatever the z, the same picture: count the bars.",
            checkpoint="dcgan-mnist-collapsed",
            requests=_samples,
        ),
    ),
    strip=(SECONDS, SHARPNESS, CONFIDENCE, FID, CLASSES, DISCRIMINATOR),
    own_figures=scores,
    measured_sample=MEASURED_SAMPLE,
    evaluate="genlab.families.gan.evaluate:evaluate",
    training="genlab.families.gan.collapse:TRAINING",
)
