"""Measures any checkpoint: who does it is looked up in its family's description. Knows no page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genlab.evaluation.sampling import SampleClient
from genlab.families.description import load
from genlab.formats.metadata import ModelMetadata
from genlab.models.families import FAMILIES
from genlab.models.registry import Registry
from genlab.requests import UserError


def evaluate(
    name: str,
    client: SampleClient,
    registry: Registry,
    data: Path | None = None,
    samples: int | None = None,
    pictures: Path | None = None,
) -> dict[str, Any]:
    """Measure a checkpoint.

    Args:
        name: of the checkpoint.
        client: where it and its judge are served.
        registry: what models there are.
        data: torchvision root; None for the setting GENLAB_DATA.
        samples: how many images to draw, by default 10,000; for Toybox, how many prompts of one
            object; for a classifier, how many test images to read.
        pictures: a folder for contact sheets of what was measured, where its card shows them.

    Returns:
        Figures by name, each a number or a list of numbers, ready for JSON.

    Raises:
        UserError: if there is no such checkpoint, nobody can measure it, or the data is missing.
    """
    metadata = registry.entry(name)
    measure = load(evaluator(metadata, registry))
    return rounded(measure(client, metadata, registry, data, samples, pictures))


def evaluator(metadata: ModelMetadata, registry: Registry) -> str:
    """ "module:function" that measures a model: its family's, else that of its data set's judge.

    Raises:
        UserError: neither says how.
    """
    name, description = metadata.name, FAMILIES[metadata.family]
    if description.sample_request is None and not description.evaluate:
        raise UserError(f"{name} was measured where it was trained; its card has the figures.")
    if not metadata.dataset:
        raise UserError(f"{name} cannot be measured: no data set here has pictures like its own.")
    if description.evaluate:
        return description.evaluate
    judge = registry.judge(metadata.dataset)
    by_judge = FAMILIES[judge.family].judge if judge is not None else None
    if by_judge is None or not by_judge.evaluate:
        raise UserError(
            f"{name} cannot be measured: nothing here judges {metadata.dataset} pictures of "
            f"{description.label}."
        )
    return by_judge.evaluate


def rounded(figures: dict[str, Any]) -> dict[str, Any]:
    """Four significant digits, as a card shows them."""

    def short(value: Any) -> Any:
        if isinstance(value, list):
            return [short(item) for item in value]
        if isinstance(value, dict):
            return {key: short(item) for key, item in value.items()}
        return float(f"{value:.4g}") if isinstance(value, float) else value

    return {key: short(value) for key, value in figures.items()}
