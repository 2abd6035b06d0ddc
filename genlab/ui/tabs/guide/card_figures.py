"""Puts the figures of the cards into the guide's answers, so that no answer contradicts a card."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from genlab.formats.metadata import ModelMetadata
from genlab.models.registry import Registry

PLACE = re.compile(r"\[\[(\S+) (?:([\w-]+):)?(\w+)(?:@([\d.]+))?\]\]")
UNKNOWN = "–"  # of a checkpoint that is not here, or a figure that was not measured
KIND = "classifier-free"  # of guidance, where a place names none


def with_figures(text: str, registry: Registry) -> str:
    """The text with a card's figure in each ``[[checkpoint figure]]``.

    ``[[checkpoint kind:figure@scale]]`` is a point of its curves against guidance scale,
    ``[[checkpoint accuracy_by_timestep@t]]`` one of a classifier's accuracies.
    """
    return PLACE.sub(lambda match: _figure(registry, *match.groups()), text)


def _figure(registry: Registry, name: str, kind: str | None, key: str, place: str | None) -> str:
    metadata = registry.entries.get(name)
    if metadata is None:
        return UNKNOWN
    if key == "sharpness":
        return _sharpness(metadata, registry)
    value = _value(metadata, kind or KIND, key, place)
    return UNKNOWN if value is None else WRITTEN[key](value)


def _value(metadata: ModelMetadata, kind: str, key: str, place: str | None) -> Any:
    if key == "parameters":
        return metadata.parameters
    if place is None:
        return metadata.metric(key)
    if key == "accuracy_by_timestep":
        times = metadata.metrics.get("timesteps", ())
        series = zip(times, metadata.metrics.get(key, ()), strict=False)
        return dict(series).get(int(place))
    points: list[Mapping[str, Any]] = metadata.facts.get("scales", {}).get(kind, [])
    return next((p.get(key) for p in points if p["guidance_scale"] == float(place)), None)


def _sharpness(metadata: ModelMetadata, registry: Registry) -> str:
    """In percent of real pictures', as the page shows it everywhere."""
    judge = registry.judge(metadata.dataset)
    own = metadata.metric("sharpness")
    real = judge.metric("sharpness") if judge is not None else None
    return f"{100 * own / real:.0f} %" if own is not None and real else UNKNOWN


WRITTEN: Mapping[str, Callable[[Any], str]] = {
    "accuracy_by_timestep": lambda value: f"{100 * value:.0f} %",
    "class_entropy": lambda value: f"{value:.2f}",
    "classes_above_2_percent": lambda value: f"{value:.0f}",
    "discriminator_score": lambda value: f"{100 * value:.0f} %",
    "diversity": lambda value: f"{value:.2f}",
    "fid": lambda value: f"{value:.2f}",
    "label_accuracy": lambda value: f"{100 * value:.0f} %",
    "parameters": lambda value: f"{value:,}",
    "reconstruction_mse": lambda value: f"{value:.4f}",
}
