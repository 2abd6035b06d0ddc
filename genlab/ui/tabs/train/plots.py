"""What a training draws by now, and its losses: HTML and SVG small enough to be sent each second.

Knows no component and no tensor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from genlab.families.live_training.request import SUBJECTS
from genlab.images import contact_sheet
from genlab.ui.components.pictures import data_url, image
from genlab.ui.tabs.train.history import LossCurve

REACH = 3.2  # of the plane of points, as the runner's field
RED, BLUE = (229, 103, 86), (84, 140, 220)  # where the discriminator says fake, and real
WIDTH, HEIGHT = 400, 110  # of a plot, in its own units
CLIPPED = 0.02  # of a curve's points may lie above the plot: the first are far up


@dataclass(frozen=True)
class Plot:
    """Curves over the same axes.

    Attributes:
        title: plain text.
        names: of the history's curves, with their colours.
        unit: behind the newest value.
        line: a height that means something, and what it means.
        top: the upper end of y; None: where nearly all points lie below.
    """

    title: str
    names: Mapping[str, str]
    unit: str = ""
    line: tuple[float, str] | None = None
    top: float | None = None


ONE, OTHER = "var(--color-accent)", "var(--train-other)"
PLOTS: Mapping[str, Sequence[Plot]] = {
    "vae": (
        Plot("Reconstruction", {"reconstruction": ONE}, "nats"),
        Plot("KL to N(0, I)", {"KL": OTHER}, "nats"),
    ),
    "gan": (
        Plot(
            "Losses", {"discriminator": ONE, "generator": OTHER},
            line=(2 * math.log(2), "ln 4: D cannot tell"),
        ),
    ),
    "points": (Plot("Clusters drawn, of 8", {"clusters": ONE}, top=8),),
}  # fmt: skip


def plots_of(subject: str) -> Sequence[Plot]:
    """What is plotted of a training."""
    about = SUBJECTS[subject]
    return [*PLOTS[about.family], *(PLOTS["points"] if about.data == "points" else ())]


def curves(plots: Sequence[Plot], history: Mapping[str, LossCurve], step: int) -> str:
    """All plots, one under another; places are kept before there is anything to draw."""
    return f'<div class="curves">{"".join(_plot(plot, history, step) for plot in plots)}</div>'


def _plot(plot: Plot, history: Mapping[str, LossCurve], step: int) -> str:
    drawn = {name: history[name] for name in plot.names if name in history}
    values = [v for curve in drawn.values() for v in curve.points if math.isfinite(v)]
    values += [plot.line[0]] if plot.line else []
    top = plot.top or (float(np.quantile(values, 1 - CLIPPED)) * 1.15 if values else 1.0)
    top = max(top, 1e-6)
    paths = "".join(_path(curve, plot.names[name], top) for name, curve in drawn.items())
    mark = ""
    if plot.line:
        y = HEIGHT * (1 - plot.line[0] / top)
        mark = f'<path class="mark" d="M0 {y:.1f}H{WIDTH}"/>'
    legend = "".join(_legend(plot, name, drawn.get(name)) for name in plot.names)
    means = f"<small>- - {escape(plot.line[1])}</small>" if plot.line else ""
    return (
        f'<figure class="curve"><figcaption><b>{escape(plot.title)}</b>{legend}{means}</figcaption>'
        f'<div><span class="top">{_short(top)}</span><span class="zero">0</span>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(plot.title)} over {step:,} steps">{mark}{paths}</svg></div>'
        f"<p><span>step 0</span><span>{f'{step:,}' if step else ''}</span></p></figure>"
    )


def _path(curve: LossCurve, colour: str, top: float) -> str:
    points = [(k, v) for k, v in enumerate(curve.points) if math.isfinite(v)]
    if len(points) < 2:
        return ""
    across = WIDTH / max(1, len(curve.points) - 1)
    steps = "L".join(f"{k * across:.1f} {HEIGHT * (1 - min(v / top, 1.02)):.1f}" for k, v in points)
    return f'<path d="M{steps}" style="stroke:{colour}"/>'


def _legend(plot: Plot, name: str, curve: LossCurve | None) -> str:
    value = "" if curve is None or curve.latest is None else f" {_short(curve.latest)} {plot.unit}"
    label = "" if len(plot.names) == 1 else name
    return (
        f'<span><i style="background:{plot.names[name]}"></i>{escape(label)}{escape(value)}</span>'
    )


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


# --- samples ------------------------------------------------------------------------------------


def digits(images: np.ndarray, step: int) -> str:
    """Samples, uint8 (N, 28, 28), as one picture."""
    alt = f"{len(images)} samples from the same z as before, after {step:,} steps"
    sheet = np.asarray(contact_sheet(list(images), columns=8))
    picture = image(sheet, alt).replace("<img", '<img class="pixels"', 1)
    return f'<div class="samples">{picture}</div>'


def points(extras: Mapping[str, Any], step: int) -> str:
    """Drawn points over real ones, over what the discriminator says of each place."""
    field = ""
    if "field" in extras:
        url = data_url(_coloured(extras["field"]))
        field = (
            f'<image href="{url}" x="{-REACH}" y="{-REACH}" width="{2 * REACH}" '
            f'height="{2 * REACH}" preserveAspectRatio="none"/>'
        )
    alt = f"{len(extras['points'])} drawn points among real ones after {step:,} steps"
    says = '<i class="fake"></i>D: fake <i class="true"></i>D: real' if field else ""
    window = f"{-REACH} {-REACH} {2 * REACH} {2 * REACH}"
    return (
        f'<div class="samples"><svg class="plane" viewBox="{window}" role="img" '
        f'aria-label="{alt}">{field}{_dots("real", extras["real"])}'
        f"{_dots('drawn', extras['points'])}</svg>"
        f'<p class="key"><i class="real"></i>real <i class="drawn"></i>drawn {says}</p></div>'
    )


def _dots(looks: str, places: np.ndarray) -> str:
    """Points (N, 2) as one path of round dots; y grows upwards."""
    inside = places[np.abs(places).max(axis=1) <= 2 * REACH]
    moves = "".join(f"M{x:.2f} {-y:.2f}h0" for x, y in inside.tolist())
    return f'<path class="{looks}" d="{moves}"/>'


def _coloured(field: np.ndarray) -> np.ndarray:
    """uint8 (H, W) from fake to real as colours (H, W, 3)."""
    real = field[..., None].astype(np.float32) / 255
    return (real * np.array(BLUE) + (1 - real) * np.array(RED)).astype(np.uint8)
