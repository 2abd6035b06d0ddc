"""Measures a VAE: its samples of the prior, and how well it restores pictures. Knows no page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from genlab.evaluation.sampling import SAMPLES, JudgeFinder, SampleClient, draw
from genlab.evaluation.unconditional import measure_samples
from genlab.families.classifier.request import ClassifyRequest
from genlab.families.vae.request import ReconstructRequest, VAERequest
from genlab.formats.metadata import ModelMetadata
from genlab.requests import parse_request


def evaluate(
    client: SampleClient,
    metadata: ModelMetadata,
    registry: JudgeFinder,
    data: Path | None = None,
    samples: int | None = None,
    pictures: Path | None = None,
) -> dict[str, Any]:
    """The figures of `measure_samples`, and the mean squared error of reconstructions in [0, 1].

    The latter only where there is an encoder.

    Args:
        client: where the checkpoint and its judge are served.
        metadata: of the checkpoint.
        registry: knows its judge.
        data: torchvision root; None for the setting GENLAB_DATA.
        samples: how many to draw; None for `SAMPLES`.
        pictures: not used: the card shows no pictures.

    Raises:
        UserError: there is no judge of its data, or no data.
    """
    count = samples or SAMPLES
    measured = measure_samples(client, metadata, registry, data, count, VAERequest, ClassifyRequest)
    if not metadata.facts.get("reconstructs", True):
        return dict(measured.figures)
    request = parse_request(ReconstructRequest, checkpoint=metadata.name, images=measured.test)
    (result,) = draw(client, [request])
    error = (result.images.astype(np.float32) - measured.test.astype(np.float32)) / 255.0
    return {**measured.figures, "reconstruction_mse": float(np.square(error).mean())}
