"""What is known of one usable model without loading it. Plain data; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class BrokenCheckpoint(Exception):
    """A model on disk cannot be used; the text is one plain sentence that says why."""


@dataclass(frozen=True)
class ModelMetadata:
    """One usable model: where it lies and what its card, or its source, says."""

    name: str
    path: Path  # its folder, or the .safetensors file of a model that is one
    family: str
    title: str
    dataset: str
    card: Mapping[str, Any] = field(default_factory=dict)  # the card's `genlab` mapping
    facts: Mapping[str, Any] = field(default_factory=dict)  # what its family reads off its files
    parameters: int = 0  # numbers in its weights
    pixels: int | None = None  # of a picture's side, where it is known
    defaults: Mapping[str, Any] = field(default_factory=dict)  # fields of its requests

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The figures that ``evaluate`` measured, as the card gives them."""
        return self.card.get("metrics", {})

    def metric(self, name: str) -> float | None:
        """One of those figures; None if it was not measured or the card has a word for it."""
        value = self.metrics.get(name)
        return float(value) if isinstance(value, int | float) else None

    @property
    def distilled(self) -> str | None:
        """Why guidance_scale has no use here, for models that were distilled to do without it."""
        why = self.card.get("distilled")
        return why if isinstance(why, str) and why else None

    def summary(self) -> dict[str, Any]:
        """What a script is told of it: plain values."""
        return {
            "name": self.name,
            "title": self.title,
            "family": self.family,
            "dataset": self.dataset,
            "metrics": dict(self.metrics),
            "snapshots": list(self.facts.get("snapshots", ())),
        }

    def memory_bytes(self, bytes_per_weight: int = 4) -> int:
        """Memory that its weights will take in a number format of that size."""
        return self.parameters * bytes_per_weight
