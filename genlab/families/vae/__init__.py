"""Variational autoencoders: samples of the prior, and reconstructions. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genlab.evaluation.figures import CLASSES, CONFIDENCE, FID, SECONDS, SHARPNESS
from genlab.families.conditional import (
    check_label,
    check_network,
    check_pictures,
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
from genlab.families.latents import DecodeRequest, check_codes
from genlab.families.vae.layout import own_config, weight_shapes
from genlab.families.vae.request import ReconstructRequest, VAERequest
from genlab.formats.metadata import ModelMetadata
from genlab.requests import Request, parse_request


def check(path: Path, card: Mapping[str, Any]) -> None:
    """Raise BrokenCheckpoint unless the folder holds a VAE; headers only."""
    check_network(path, weight_shapes, "decoder", "ConvVAE")


def facts(path: Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """``latent_dim``, ``classes``, ``image`` and ``reconstructs``; see `drawing_facts`."""
    return drawing_facts(path)


def check_request(request: Request, metadata: ModelMetadata, find: Find) -> None:
    """Raise UserError for pictures or codes that it cannot take, or a class that it has not."""
    if isinstance(request, ReconstructRequest):
        check_pictures(request, metadata)
    elif isinstance(request, VAERequest):
        check_label(request.label, metadata)
    elif isinstance(request, DecodeRequest):
        check_codes(request, metadata)


def _samples(metadata: ModelMetadata, settings: ColumnSettings) -> list[Request]:
    values: dict[str, Any] = {"seed": settings.seed, "count": settings.count}
    if metadata.facts.get("classes"):
        values["label"] = settings.label
    return [parse_request(VAERequest, checkpoint=metadata.name, **values)]


FAMILY = FamilyDescription(
    name="vae",
    label="vae",
    requests=(VAERequest, ReconstructRequest, DecodeRequest),
    runner="genlab.families.vae.runner:VAERunner",
    check=check,
    own_config=own_config,
    count_parameters=parameters,
    facts=facts,
    check_request=check_request,
    endpoint=Endpoint(
        name="vae_sample",
        summary="Decode temperature * z, z ~ N(0, I). Returns picture files and figures.",
        checkpoint="vae-mnist-20d",
        fields=("checkpoint", "seed", "count", "temperature", "label"),
    ),
    options={"shares": "share"},
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
