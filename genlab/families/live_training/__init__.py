"""Live training: VAEs and GANs that learn while one looks on. Needs no torch.

It has no checkpoint: its model is part of GenLab, and what it trains goes back with each answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genlab.families.description import FamilyDescription
from genlab.families.live_training.request import NAME, TrainRequest
from genlab.formats.metadata import BrokenCheckpoint, ModelMetadata


def check(path: Path, card: Mapping[str, Any]) -> None:
    """Raise BrokenCheckpoint: no folder is one of this family."""
    raise BrokenCheckpoint("live training is part of GenLab; what it trains is a vae or a gan.")


def count_parameters(path: Path) -> int:
    """It begins with none."""
    return 0


FAMILY = FamilyDescription(
    name="live_training",
    label="live training",
    requests=(TrainRequest,),
    runner="genlab.families.live_training.runner:LiveTrainingRunner",
    check=check,
    count_parameters=count_parameters,
    built_in=ModelMetadata(
        name=NAME,
        path=Path(__file__).parent,
        family="live_training",
        title="the training data",
        dataset="mnist",
    ),
)
