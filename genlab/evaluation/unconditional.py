"""Measures what draws from noise alone, by a classifier of its data set. Knows no family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genlab.evaluation import metrics
from genlab.evaluation.real_images import real_images
from genlab.evaluation.sampling import (
    JudgeFinder,
    SampleClient,
    draw_images,
    judge_for,
    judge_images,
)
from genlab.formats.metadata import ModelMetadata
from genlab.requests import ImagesRequest, SampleRequest


@dataclass(frozen=True)
class Measured:
    """What came of a model's samples.

    Attributes:
        figures: by name, each a number or a list of numbers.
        extras: of the samples, row by row.
        test: the held-out pictures that they were measured against, uint8 (N, H, W).
    """

    figures: Mapping[str, Any]
    extras: Mapping[str, np.ndarray]
    test: np.ndarray


def measure_samples(
    client: SampleClient,
    metadata: ModelMetadata,
    registry: JudgeFinder,
    data: Path | None,
    count: int,
    sample: type[SampleRequest],
    classify: type[ImagesRequest],
) -> Measured:
    """Measure `count` samples of a model.

    Args:
        client: where the model and its judge are served.
        metadata: of the model.
        registry: knows its judge.
        data: torchvision root; None for the setting GENLAB_DATA.
        count: how many samples, and at most so many real pictures of each half.
        sample: the request by which the model draws.
        classify: the request by which its judge, a classifier, takes pictures.

    Returns:
        Figures: ``fid`` against held-out pictures and ``fid_floor`` of training pictures, in the
        judge's features; ``class_histogram``, its ``class_entropy`` and
        ``classes_above_2_percent``; ``confidence`` of the judge, ``sharpness``, ``diversity``.

    Raises:
        UserError: there is no judge of its data, or no data.
    """
    judge = judge_for(registry, metadata)
    test, _ = real_images(metadata, data, train=False, count=count)
    train, _ = real_images(metadata, data, train=True, count=count)
    real = judge_images(client, classify, judge.name, test)["features"]
    other = judge_images(client, classify, judge.name, train)["features"]
    images, extras = draw_images(client, sample, metadata.name, count)
    judged = judge_images(client, classify, judge.name, images)
    histogram = metrics.class_histogram(judged["probs"])
    figures: dict[str, Any] = {
        "fid": metrics.fid(real, judged["features"]),
        "fid_floor": metrics.fid(real, other),
        "samples": len(images),
        "class_entropy": metrics.class_entropy(histogram),
        "classes_above_2_percent": metrics.classes_above(histogram, 0.02),
        "class_histogram": histogram.tolist(),
        "confidence": metrics.confidence(judged["probs"]),
        "sharpness": metrics.sharpness(images),
        "diversity": metrics.diversity(judged["features"]),
    }
    return Measured(figures, extras, test)
