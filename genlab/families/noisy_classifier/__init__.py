"""Classifiers of noised pictures, the ones that classifier guidance follows. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genlab.families.checks import check_grey
from genlab.families.description import FamilyDescription, Find
from genlab.families.noisy_classifier.layout import weight_shapes
from genlab.families.noisy_classifier.request import NoisyClassifyRequest
from genlab.formats.hub_layout import check_hub_folder, count_parameters
from genlab.formats.metadata import ModelMetadata


def check(path: Path, card: Mapping[str, Any]) -> None:
    """Raise BrokenCheckpoint unless the folder holds a `NoisyClassifier`; headers only."""
    check_hub_folder(path, weight_shapes, "NoisyClassifier")


def check_request(request: NoisyClassifyRequest, metadata: ModelMetadata, find: Find) -> None:
    """Raise UserError for pictures that the network cannot take."""
    check_grey(request)


FAMILY = FamilyDescription(
    name="noisy_classifier",
    label="noisy classifier",
    requests=(NoisyClassifyRequest,),
    runner="genlab.families.noisy_classifier.runner:NoisyClassifierRunner",
    check=check,
    count_parameters=count_parameters,
    check_request=check_request,
    evaluate="genlab.families.noisy_classifier.evaluate:evaluate",
    training="genlab.families.noisy_classifier.train:TRAINING",
)
