"""The table under the Compare tab: what each family costs, how sharp and how diverse it is.

Figures are those of the model cards, measured with many samples, and this run's times; the table
says which are which. Knows no component and no tensor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from genlab.evaluation.judging import sharpness_word
from genlab.families.description import ColumnSettings, CompareColumn
from genlab.formats.metadata import ModelMetadata
from genlab.models.registry import Registry
from genlab.ui.components.metric_strip import duration

ALIKE = 0.75
"""From this share of the real pictures' figure on, a model counts as sharp, or as diverse."""
SAME = 0.1
"""Below this share of the real pictures' diversity, all pictures are the same."""

NOTES = (
    "<p>Times go from a column's first step to its last; columns take turns, but what other "
    "visitors draw meanwhile counts in. Above, sharpness and classes are of this run's samples; "
    "here they are of the thousands on the model cards, so the two differ by chance. Sharpness and "
    "diversity are shares of real pictures'. Who is told ten classes in turn is diverse without "
    "its doing: there, diversity is within a class, against real pictures of one class. Fewer "
    "samples make FID larger. A dash: not measured, or not comparable.</p>"
)


def overview(
    registry: Registry, columns: Sequence[CompareColumn], times: Mapping[str, float]
) -> str:
    """The table as HTML.

    Args:
        times: seconds a picture in this run, by column; a dash where it has none.
    """
    rows = "".join(_row(registry, column, times.get(column.key)) for column in columns)
    return (
        '<div class="overview" role="region" tabindex="0" aria-label="The columns as a table">'
        '<table><thead><tr><th scope="col" rowspan="2">Model</th>'
        '<th scope="colgroup" colspan="2">This run</th>'
        '<th scope="colgroup" colspan="4">Measured beforehand</th></tr>'
        '<tr><th scope="col">Network calls</th><th scope="col">Time a picture</th>'
        '<th scope="col">Sharp?</th><th scope="col">Diverse?</th><th scope="col">FID</th>'
        '<th scope="col">Samples</th></tr>'
        f"</thead><tbody>{rows}</tbody></table>{NOTES}</div>"
    )


def _row(registry: Registry, column: CompareColumn, seconds: float | None) -> str:
    metadata = registry.find(column.checkpoint)
    fid = column.figure(metadata, "fid") if metadata is not None else None
    samples = column.figure(metadata, "samples") if metadata is not None else None
    cells = (
        "–" if metadata is None else calls(column, metadata),
        "–" if seconds is None else duration(seconds),
        _sharpness(registry, column),
        _diversity(registry, column),
        "–" if fid is None else f"{fid:.2f}",
        "–" if samples is None else f"{samples:,.0f}",
    )
    return (
        f'<tr><th scope="row">{escape(column.title)}</th>'
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
    )


def calls(column: CompareColumn, metadata: ModelMetadata) -> str:
    """How often a picture goes through the network: "1", "25 steps x 2"."""
    if column.requests is None:
        return "–"
    request: Any = column.requests(metadata, ColumnSettings())[0]
    steps = getattr(request, "num_inference_steps", 1)
    each = request.calls_per_step
    return "1" if steps == 1 else f"{steps} steps" + (f" x {each}" if each > 1 else "")


def _sharpness(registry: Registry, column: CompareColumn) -> str:
    share = _share(registry, column, "sharpness", "sharpness")
    if share is None:
        return "–"
    if word := sharpness_word(100 * share):
        return f"<b>{word}</b>"
    return f"<b>{'sharp' if share >= ALIKE else 'soft'}</b> {100 * share:.0f} %"


def _diversity(registry: Registry, column: CompareColumn) -> str:
    """Against real pictures of all classes; of one class where the model is told the classes."""
    real = "diversity_within_class" if column.within_class else "diversity"
    share = _share(registry, column, "diversity", real)
    if share is None:
        return "–"
    words = ((ALIKE, "diverse"), (SAME, "narrow"), (0, "all alike"))
    word = next(word for limit, word in words if share >= limit)
    of_class = " within a class" if column.within_class else ""
    return f"<b>{word}</b> {100 * share:.0f} %{of_class}"


def _share(registry: Registry, column: CompareColumn, figure: str, real: str) -> float | None:
    """A figure as a share of what the card of its judge calls ``real``; None if either is not."""
    metadata = registry.find(column.checkpoint)
    judge = registry.judge(metadata.dataset) if metadata is not None else None
    mine = column.figure(metadata, figure) if metadata is not None else None
    of_real = judge.metric(real) if judge is not None else None
    return mine / of_real if mine is not None and of_real else None
