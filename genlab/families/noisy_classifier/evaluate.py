"""Measures a classifier of noised pictures at each of some timesteps. Knows no page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from genlab.evaluation.real_images import real_images
from genlab.evaluation.sampling import PART, SAMPLES, JudgeFinder, SampleClient, draw, joined
from genlab.families.noisy_classifier.request import NoisyClassifyRequest
from genlab.formats.metadata import ModelMetadata
from genlab.requests import parse_request

TIMESTEPS = (*range(0, 1000, 100), 999)


def evaluate(
    client: SampleClient,
    metadata: ModelMetadata,
    registry: JudgeFinder,
    data: Path | None = None,
    samples: int | None = None,
    pictures: Path | None = None,
) -> dict[str, Any]:
    """Accuracy on noised held-out pictures, at each of `TIMESTEPS`.

    Args:
        client: where the checkpoint is served.
        metadata: of the checkpoint.
        registry: not used: labels judge it.
        data: torchvision root; None for the setting GENLAB_DATA.
        samples: how many pictures to read; None for `SAMPLES`.
        pictures: not used: `write_curves` draws its curve.

    Raises:
        UserError: the data is missing, or nobody knows it.
    """
    images, labels = real_images(metadata, data, train=False, count=samples or SAMPLES)
    parts = np.array_split(images, max(1, len(images) // PART))
    accuracy = []
    for t in TIMESTEPS:
        requests = (
            parse_request(
                NoisyClassifyRequest,
                checkpoint=metadata.name,
                images=part,
                timestep=t,
                seed=k * PART,  # so that no two pictures get the same noise
            )
            for k, part in enumerate(parts)
        )
        _, extras = joined(draw(client, requests))
        accuracy.append(float((extras["probs"].argmax(axis=1) == labels).mean()))
    return {
        "accuracy": accuracy[0],
        "timesteps": list(TIMESTEPS),
        "accuracy_by_timestep": accuracy,
        "samples": len(images),
    }
