"""The Guidance tab's curves against guidance scale; readable in light and dark.

The sliders' positions are not drawn here: CSS lays lines over the plots, so that they move with the
sliders at once. For that, MARGIN and the range of x are fixed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from genlab.ui.tabs.vae.codes_plot import COLOURS, INK

MARGIN = {"l": 46, "r": 12, "t": 84, "b": 40}
LINES = {"none": INK, "classifier": COLOURS[1], "classifier-free": COLOURS[0]}
SHORT = {"none": "unguided", "classifier": "classifier", "classifier-free": "classifier-free"}
FLOOR = COLOURS[4]
REACH = 32  # the largest scale in the plots
X_TITLE = "guidance_scale s"


def scale_curve(
    title: str,
    key: str,
    measured: Mapping[str, Sequence[Mapping[str, Any]]],
    live: Mapping[str, Sequence[Mapping[str, Any]]],
    floor: float | None = None,
) -> go.Figure:
    """A figure against guidance scale for both kinds: measured lines, live dots.

    The axis is one of square roots, because most happens at small scales.

    Args:
        measured: points by method, each with ``guidance_scale`` and perhaps ``key``.
        live: the same, drawn as rings.
        floor: what real pictures have, drawn as a line.
    """
    figure = _figure(title)
    heights = [] if floor is None else [floor]
    for method in ("classifier", "classifier-free"):
        for points, looks, ring in (
            (measured.get(method, ()), "lines+markers", False),
            (live.get(method, ()), "markers", True),
        ):
            points_of_key = [p for p in points if isinstance(p.get(key), (int, float))]
            if not points_of_key:
                continue
            heights += [p[key] for p in points_of_key]
            hollow = {"symbol": "circle-open", "size": 11, "line": {"width": 3}}
            figure.add_scatter(
                x=[math.sqrt(p["guidance_scale"]) for p in points_of_key],
                y=[p[key] for p in points_of_key],
                mode=looks,
                name=SHORT[method],
                line={"color": LINES[method], "width": 3},
                marker={"color": LINES[method], "size": 7} | (hollow if ring else {}),
                showlegend=not (ring and measured.get(method)),
                customdata=[p["guidance_scale"] for p in points_of_key],
                hovertemplate="s = %{customdata}: %{y:.3g}",
            )
    if floor is not None:
        figure.add_scatter(
            x=[0, math.sqrt(REACH)], y=[floor, floor], mode="lines", name="real pictures",
            line={"color": FLOOR, "width": 2, "dash": "dash"}, hoverinfo="skip",
        )  # fmt: skip
    ticks = (0, 1, 2, 4, 8, 16, REACH)
    figure.update_xaxes(
        range=[0, math.sqrt(REACH)], tickvals=[math.sqrt(t) for t in ticks], ticktext=list(ticks)
    )
    if key == "fid":
        marks = fid_ticks(heights)
        figure.update_yaxes(type="log", tickvals=marks, ticktext=[f"{t:g}" for t in marks])
    else:
        figure.update_yaxes(rangemode="tozero")
    return figure


def fid_ticks(values: Sequence[float]) -> list[float]:
    """Numbers for a logarithmic axis: all the digits where the curve is flat, else a few."""
    shown = [value for value in values if value > 0]
    flat = not shown or max(shown) < 5 * min(shown)
    digits = range(1, 10) if flat else (1, 1.5, 2, 3, 5, 7)
    return [float(f"{digit}e{power}") for power in range(-2, 3) for digit in digits]


def _figure(title: str) -> go.Figure:
    axis = {"gridcolor": "rgba(138, 147, 163, 0.2)", "linecolor": INK, "zeroline": False}
    return go.Figure(
        layout={
            "title": {"text": title, "x": 0, "xref": "paper", "font": {"size": 16}, "y": 0.98},
            "paper_bgcolor": "rgba(0, 0, 0, 0)",
            "plot_bgcolor": "rgba(0, 0, 0, 0)",
            "font": {"color": INK, "size": 13, "family": "system-ui, sans-serif"},
            "margin": MARGIN,
            "height": 300,
            "hovermode": "x unified",
            "xaxis": axis | {"title": {"text": X_TITLE, "standoff": 4}, "automargin": False},
            "yaxis": axis | {"automargin": False},
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
            "showlegend": True,
        }
    )
