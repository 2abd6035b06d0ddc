"""Measures a GAN: its samples, and what its own discriminator thinks of them. Knows no page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genlab.evaluation.sampling import SAMPLES, JudgeFinder, SampleClient
from genlab.evaluation.unconditional import measure_samples
from genlab.families.classifier.request import ClassifyRequest
from genlab.families.gan.request import GANRequest
from genlab.formats.metadata import ModelMetadata


def evaluate(
    client: SampleClient,
    metadata: ModelMetadata,
    registry: JudgeFinder,
    data: Path | None = None,
    samples: int | None = None,
    pictures: Path | None = None,
) -> dict[str, Any]:
    """The figures of `measure_samples`, and the discriminator's mean score of the samples, 0 to 1.

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
    measured = measure_samples(client, metadata, registry, data, count, GANRequest, ClassifyRequest)
    scores = measured.extras.get("scores")  # None: its discriminator is not here
    own = {} if scores is None else {"discriminator_score": float(scores.mean())}
    return {**measured.figures, **own}
