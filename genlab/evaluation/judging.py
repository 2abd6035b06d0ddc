"""Figures of a few pictures: what a judge sees, and what a card says of pictures like them.

Knows no family and no judge. Importing it needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from genlab.evaluation.figures import BEFOREHAND, SHARPNESS
from genlab.formats.metadata import ModelMetadata
from genlab.requests import Request, SampleRequest

NOISE = 10.0
"""`roughness` of pictures half-way from real ones, 2, to white noise, 20."""
HARSH = 150.0
"""Percent of real pictures' sharpness; above it there are more edges than a real picture has."""


def measured_as(request: Request, metrics: Mapping[str, Any]) -> bool:
    """Whether the figures of a card, its ``metrics``, are those of a request's settings.

    They are if the request draws as the model was measured, and no setting that the card names
    beside its figures, such as the scale that was measured, differs.
    """
    if not isinstance(request, SampleRequest) or not request.as_trained:
        return False
    named = type(request).model_fields.keys() & metrics.keys()
    return all(getattr(request, name) == metrics[name] for name in named)


def card_figures(request: Request, metadata: ModelMetadata) -> dict[str, float]:
    """The FID that the card of who drew gives for such pictures; {} if it gives none for them.

    Beside it ``fid_samples``, of how many pictures it is, if the card says so.
    """
    if not measured_as(request, metadata.metrics):
        return {}
    found = {"fid": metadata.metric("fid"), BEFOREHAND: metadata.metric("samples")}
    if found["fid"] is None:
        return {}
    return {key: value for key, value in found.items() if value is not None}


def sharpness_figures(images: np.ndarray, judge: ModelMetadata) -> dict[str, Any]:
    """Sharpness as a percentage of real pictures', whose sharpness the judge's card gives.

    {} if it gives none. Where it means nothing, ``sharpness_word`` says what is seen instead.
    """
    from genlab.evaluation.metrics import roughness, sharpness  # loads torch

    real = judge.metric("sharpness")
    if not real:
        return {}
    percent = round(100 * sharpness(images) / real, 1)
    word = sharpness_word(percent, roughness(images))
    return {SHARPNESS.key: percent} | ({SHARPNESS.word: word} if word else {})


def sharpness_word(percent: float, rough: float = 0.0) -> str:
    """One of WORDS where a share of real pictures' sharpness means nothing; else ""."""
    if rough > NOISE:
        return "noise"
    return "harsh" if percent > HARSH else ""


def class_figures(probs: np.ndarray, judge: ModelMetadata) -> dict[str, Any]:
    """What classes a judge sees, and how sure it is, from its probabilities (N, K)."""
    from genlab.evaluation.metrics import class_histogram, classes_above, confidence

    shares = class_histogram(probs)
    names = judge.facts.get("classes") or range(len(shares))
    return {
        "class_histogram": {
            str(name): round(float(share), 4) for name, share in zip(names, shares, strict=True)
        },
        "classes_above_2_percent": classes_above(shares),
        "mean_confidence": round(confidence(probs), 4),
    }
