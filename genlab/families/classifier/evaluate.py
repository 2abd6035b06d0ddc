"""Measures a classifier on its data set's held-out half. Knows no page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genlab.evaluation import metrics
from genlab.evaluation.real_images import real_images
from genlab.evaluation.sampling import SAMPLES, JudgeFinder, SampleClient, judge_images
from genlab.families.classifier.request import ClassifyRequest
from genlab.formats.metadata import ModelMetadata


def evaluate(
    client: SampleClient,
    metadata: ModelMetadata,
    registry: JudgeFinder,
    data: Path | None = None,
    samples: int | None = None,
    pictures: Path | None = None,
) -> dict[str, Any]:
    """Its accuracy on held-out pictures, and their figures in its eyes, which bound generated ones.

    Args:
        client: where the checkpoint is served.
        metadata: of the checkpoint.
        registry: not used: a classifier judges itself.
        data: torchvision root; None for the setting GENLAB_DATA.
        samples: how many pictures of each half to read; None for `SAMPLES`.
        pictures: not used: the card shows no pictures.

    Raises:
        UserError: the data is missing, or nobody knows it.
    """
    count = samples or SAMPLES
    images, labels = real_images(metadata, data, train=False, count=count)
    other, _ = real_images(metadata, data, train=True, count=count)
    judged = judge_images(client, ClassifyRequest, metadata.name, images)
    train = judge_images(client, ClassifyRequest, metadata.name, other)
    return {
        "accuracy": float((judged["probs"].argmax(axis=1) == labels).mean()),
        "samples": len(images),
        "fid_floor": metrics.fid(train["features"], judged["features"]),
        "sharpness": metrics.sharpness(images),
        "confidence": metrics.confidence(judged["probs"]),
        "diversity": metrics.diversity(judged["features"]),
        "diversity_within_class": metrics.diversity_within(judged["features"], labels),
    }
