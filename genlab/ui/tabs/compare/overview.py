"""The table under the Compare tab: what each family costs, how sharp and how diverse it is.

Figures are those of the model cards, measured with many samples, and this run's times. Knows no
component and no tensor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from genlab.models.registry import Entry
from genlab.ui.components.metric_strip import duration
from genlab.ui.context import Lab
from genlab.ui.tabs.compare.columns import Column, Wish

ALIKE = 0.75
"""From this share of the real pictures' figure on, a model counts as sharp, or as diverse."""
NOISY = 1.5
"""Above this share of the real pictures' sharpness, what looks sharp is noise."""
SAME = 0.1
"""Below this share of the real pictures' diversity, all pictures are the same."""


def overview(lab: Lab, columns: Sequence[Column], times: Mapping[str, float]) -> str:
    """The table as HTML.

    Args:
        times: seconds a picture in this run, by column; a dash where it has none.
    """
    rows = "".join(_row(lab, column, times.get(column.key)) for column in columns)
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


def _row(lab: Lab, column: Column, seconds: float | None) -> str:
    entry = lab.catalogue.entries.get(column.checkpoint)
    fid = column.figure(entry, "fid") if entry is not None else None
    cells = (
        "–" if entry is None else calls(column, entry),
        "–" if seconds is None else duration(seconds),
        _share(lab, column, "sharpness", ((NOISY, "noise"), (ALIKE, "sharp"), (0, "soft"))),
        _share(lab, column, "diversity", ((ALIKE, "diverse"), (SAME, "narrow"), (0, "all alike"))),
        "–" if fid is None else f"{fid:.2f}",
    )
    return (
        f'<tr><th scope="row">{escape(column.title)}</th>'
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
    )


def calls(column: Column, entry: Entry) -> str:
    """How often a picture goes through the network: "1", "25 steps x 2"."""
    if column.requests is None:
        return "–"
    request: Any = column.requests(entry, Wish())[0]
    steps = getattr(request, "num_inference_steps", 1)
    each = request.rows // request.count
    return "1" if steps == 1 else f"{steps} steps" + (f" x {each}" if each > 1 else "")


def _share(lab: Lab, column: Column, figure: str, words: Sequence[tuple[float, str]]) -> str:
    """A figure as a share of the real pictures', and the first word whose limit it reaches."""
    entry = lab.catalogue.entries.get(column.checkpoint)
    judge = lab.catalogue.judge(entry.dataset) if entry is not None else None
    mine = column.figure(entry, figure) if entry is not None else None
    real = judge.metrics.get(figure) if judge is not None else None
    if mine is None or not real:
        return "–"
    share = mine / float(real)
    word = next(word for limit, word in words if share >= limit)
    return f"<b>{word}</b> {100 * share:.0f} %"
