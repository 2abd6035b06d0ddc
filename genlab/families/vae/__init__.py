"""Variational autoencoders: samples of the prior, and reconstructions. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genlab.evaluation.figures import CLASSES, CONFIDENCE, FID, SECONDS, SHARPNESS
from genlab.families.checks import check_grey
from genlab.families.description import (
    MEASURED_SAMPLE,
    ColumnSettings,
    CompareColumn,
    Endpoint,
    FamilyDescription,
    Find,
)
from genlab.families.vae.layout import weight_shapes
from genlab.families.vae.request import ReconstructRequest, VAERequest
from genlab.formats.hub_layout import check_hub_folder, count_parameters, read_json
from genlab.formats.metadata import ModelMetadata
from genlab.requests import Request, parse_request


def check(path: Path, card: Mapping[str, Any]) -> None:
    """Raise BrokenCheckpoint unless the folder holds a `ConvVAE`; headers only."""
    check_hub_folder(path, weight_shapes, "ConvVAE")


def facts(path: Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """``latent_dim``: how many numbers a code has."""
    return {"latent_dim": int(read_json(path / "config.json")["latent_dim"])}


def check_request(request: Request, metadata: ModelMetadata, find: Find) -> None:
    """Raise UserError for pictures that the network cannot take."""
    if isinstance(request, ReconstructRequest):
        check_grey(request)


def _samples(metadata: ModelMetadata, settings: ColumnSettings) -> list[Request]:
    values = {"seed": settings.seed, "count": settings.count}
    return [parse_request(VAERequest, checkpoint=metadata.name, **values)]


FAMILY = FamilyDescription(
    name="vae",
    label="vae",
    requests=(VAERequest, ReconstructRequest),
    runner="genlab.families.vae.runner:VAERunner",
    check=check,
    count_parameters=count_parameters,
    facts=facts,
    check_request=check_request,
    endpoint=Endpoint(
        name="vae_sample",
        summary="Decode temperature * z, z ~ N(0, I). Returns picture files and figures.",
        checkpoint="vae-mnist-20d",
        fields=("checkpoint", "seed", "count", "temperature"),
    ),
    columns=(
        CompareColumn(
            key="vae",
            order=10,
            title="VAE",
            look="One network call. Soft edges: it draws averages.",
            checkpoint="vae-mnist-20d",
            requests=_samples,
        ),
        CompareColumn(
            key="vae-no-kl",
            order=20,
            title="VAE without KL",
            look="The same z, but its codes were never tied to N(0, I).",
            checkpoint="vae-mnist-20d-no-kl",
            requests=_samples,
        ),
    ),
    strip=(SECONDS, SHARPNESS, CONFIDENCE, FID, CLASSES),
    measured_sample=MEASURED_SAMPLE,
    evaluate="genlab.families.vae.evaluate:evaluate",
    training="genlab.families.vae.train:TRAINING",
)
