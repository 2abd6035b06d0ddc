"""The columns of the Compare tab: which there are, what each is asked for, what it shows.

Knows no component, no family's request and no tensor. Columns run in turn, not at once: side by
side they would share network calls, and the time of each would be that of all.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from genlab.engine.events import FINAL, Cancelled, Result
from genlab.evaluation.figures import BEFOREHAND
from genlab.families.classifier.request import ClassifyRequest
from genlab.families.description import MEASURED_SAMPLE, ColumnSettings, CompareColumn
from genlab.formats.metadata import ModelMetadata
from genlab.models.examples import examples
from genlab.models.families import FAMILIES
from genlab.models.registry import Registry
from genlab.requests import Request, UserError, parse_request
from genlab.ui.cells import Cell, CellView
from genlab.ui.components.progress import how_far, status_line, summary
from genlab.ui.components.run_button import ended
from genlab.ui.live_run import Frame


@dataclass(frozen=True)
class Card:
    """What a column shows at one moment."""

    pictures: np.ndarray | Sequence[str] | None = None  # uint8 (N, H, W[, 3]), or N addresses
    figures: Mapping[str, Any] = field(default_factory=dict)
    news: str = ""  # how far it is
    done: float | None = None  # the same from 0 to 1
    problem: str = ""  # one sentence


def columns(registry: Registry) -> list[CompareColumn]:
    """Those that the families describe and whose checkpoint is here, from small to large.

    A damaged checkpoint has its column, which says so.
    """
    names = registry.entries.keys() | registry.broken.keys()
    described = (column for family in FAMILIES.values() for column in family.columns)
    return sorted(
        (column for column in described if column.checkpoint in names),
        key=lambda column: column.order,
    )


def cell_of(registry: Registry, column: CompareColumn, settings: ColumnSettings) -> Cell:
    """What a column asks for, to be measured; or why it cannot."""
    try:
        return Cell(tuple(_requests(registry, column, settings)))
    except UserError as error:
        return Cell(refused=str(error))


def _requests(
    registry: Registry, column: CompareColumn, settings: ColumnSettings
) -> Sequence[Request]:
    metadata = registry.entry(column.checkpoint)
    if column.requests is None:
        real = examples(registry, metadata.dataset)
        label = settings.label
        there = len(real.labels) if label is None else int((real.labels == label).sum())
        count = max(settings.count, min(MEASURED_SAMPLE, there))
        images = real.sample(count, settings.seed, label)
        values = {"checkpoint": metadata.name, "images": images, "judge": True}
        return [parse_request(ClassifyRequest, **values)]
    wanted = column.requests(metadata, settings)
    return [request.model_copy(update={"judge": True}) for request in wanted]


def figures_of(
    column: CompareColumn, metadata: ModelMetadata | None, results: Sequence[Result]
) -> dict[str, Any]:
    """The figures of all pictures of a column, its card's FID, and the seconds that they took."""
    parts = [result.figures for result in results]
    if column.merge is not None:
        figures = column.merge(parts)
    else:
        figures = dict(parts[0]) if len(parts) == 1 else {}
    figures.pop("fid", None)  # a column knows by itself which of its card's figures are its own
    figures.pop(BEFOREHAND, None)
    fid = column.figure(metadata, "fid") if metadata is not None else None
    if fid is not None and metadata is not None:
        figures["fid"] = fid
        samples = column.figure(metadata, "samples")
        figures |= {} if samples is None else {BEFOREHAND: samples}
    if column.requests is not None:
        begun = min(result.waited for result in results)  # all were submitted at one moment
        figures["seconds"] = max(result.waited + result.seconds for result in results) - begun
    return figures


class Comparison:
    """The chosen columns during one run.

    Attributes:
        columns: in the order in which they run.
        settings: what each is asked for.
        times: seconds a picture, by column, of those that have been drawn.
    """

    def __init__(self, registry: Registry, chosen: Sequence[CompareColumn]) -> None:
        self.columns = tuple(chosen)
        self.settings = ColumnSettings()
        self.times: dict[str, float] = {}
        self._registry = registry
        self._cards: dict[str, Card] = {}
        self._begun = time.monotonic()

    def cells(self, seed: Any, count: Any, label: Any) -> list[Cell]:
        """What all columns ask for; raises UserError for a wrong value or no column."""
        self.settings = parse_request(ColumnSettings, seed=seed, count=count, label=label)
        if not self.columns:
            raise UserError("Tick at least one column to draw.")
        return [cell_of(self._registry, column, self.settings) for column in self.columns]

    def news(self, frame: Frame) -> dict[str, Card]:
        """What the columns show now, by key; those with nothing new are left out."""
        if not frame.cells:
            return {}
        current = _current(frame)
        news = {
            self.columns[k].key: self._card(k, frame.cells[k], k > current)
            for k in sorted(frame.changed | {current})
        }
        self._cards |= news
        for key, card in news.items():
            if "seconds" in card.figures:
                self.times[key] = card.figures["seconds"] / self.settings.count
        return news

    def status(self, frame: Frame) -> str:
        """The status line: which column is being drawn, and how the run ended."""
        if ended(frame):
            shown = [self._shown(result) for view in frame.cells for result in view.results]
            return summary(shown, time.monotonic() - self._begun)
        if not (frame.running and frame.cells):
            return frame.status
        current, count = _current(frame), len(self.columns)
        sentence = f"{self.columns[current].title}: {current + 1} of {count}."
        return status_line(sentence, current / count)

    def _card(self, k: int, view: CellView, waits: bool) -> Card:
        column = self.columns[k]
        before = self._cards.get(column.key, Card())
        if any(isinstance(event, Cancelled) for event in view.events):
            return Card(news="Stopped.")
        if view.failed:
            return Card(before.pictures, problem=view.failed)
        if view.done:
            metadata = self._registry.find(column.checkpoint)
            shown = [self._shown(result) for result in view.results]
            pictures = view.pictures or np.concatenate([result.images for result in shown])
            return Card(pictures, figures_of(column, metadata, view.results))
        if waits:
            return Card(news="Waits for its turn.")
        previews = view.previews
        news, done = how_far(view.events)
        return Card(before.pictures if previews is None else previews, {}, news, done)

    def _shown(self, result: Result) -> Result:
        """A result without those real pictures that are measured, but not shown."""
        return replace(result, images=result.images[: self.settings.count])


def _current(frame: Frame) -> int:
    """The column that is being drawn; the last one when all have ended."""
    for k, view in enumerate(frame.cells):
        if not all(isinstance(event, FINAL) for event in view.events):
            return k
    return len(frame.cells) - 1
