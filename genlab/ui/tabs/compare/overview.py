"""The table under the Compare tab: what each family costs, how sharp and how diverse it is.

Figures are those of the model cards, measured with many samples, and this run's times. Knows no
component and no tensor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from genlab.families.description import ColumnSettings, CompareColumn
from genlab.formats.metadata import ModelMetadata
from genlab.models.registry import Registry
from genlab.ui.components.metric_strip import duration

ALIKE = 0.75
"""From this share of the real pictures' figure on, a model counts as sharp, or as diverse."""
NOISY = 1.5
"""Above this share of the real pictures' sharpness, what looks sharp is noise."""
SAME = 0.1
"""Below this share of the real pictures' diversity, all pictures are the same."""


def overview(
    registry: Registry, columns: Sequence[CompareColumn], times: Mapping[str, float]
) -> str:
    """The table as HTML.

    Args:
        times: seconds a picture in this run, by column; a dash where it has none.
    """
    rows = "".join(_row(registry, column, times.get(column.key)) for column in columns)
    return (
        '<div class="overview"><table><thead><tr><th scope="col">Model</th>'
        '<th scope="col">Network calls</th><th scope="col">Time a picture</th>'
        '<th scope="col">Sharp?</th><th scope="col">Diverse?</th><th scope="col">FID</th></tr>'
        f"</thead><tbody>{rows}</tbody></table>"
        "<p>Times are of this run, from a column's first step to its last; columns take turns, but "
        "what other visitors draw meanwhile counts in. Sharpness and diversity are shares of real "
        "pictures', and with FID come from the model cards, measured with thousands of samples. "
        "A dash: not measured, or not comparable.</p></div>"
    )


def _row(registry: Registry, column: CompareColumn, seconds: float | None) -> str:
    metadata = registry.entries.get(column.checkpoint)
    fid = column.figure(metadata, "fid") if metadata is not None else None
    cells = (
        "–" if metadata is None else calls(column, metadata),
        "–" if seconds is None else duration(seconds),
        _share(registry, column, "sharpness", ((NOISY, "noise"), (ALIKE, "sharp"), (0, "soft"))),
        _share(
            registry, column, "diversity", ((ALIKE, "diverse"), (SAME, "narrow"), (0, "all alike"))
        ),
        "–" if fid is None else f"{fid:.2f}",
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


def _share(
    registry: Registry, column: CompareColumn, figure: str, words: Sequence[tuple[float, str]]
) -> str:
    """A figure as a share of the real pictures', and the first word whose limit it reaches."""
    metadata = registry.entries.get(column.checkpoint)
    judge = registry.judge(metadata.dataset) if metadata is not None else None
    mine = column.figure(metadata, figure) if metadata is not None else None
    real = judge.metrics.get(figure) if judge is not None else None
    if mine is None or not real:
        return "–"
    share = mine / float(real)
    word = next(word for limit, word in words if share >= limit)
    return f"<b>{word}</b> {100 * share:.0f} %"
