"""The plot of adherence and diversity against one setting; readable on light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from genlab.ui.tabs.vae.codes_plot import INK

ADHERENCE, DIVERSITY = "#6366f1", "#f28e2b"
UNUSED = ["zoom", "pan", "select", "lasso", "zoomIn", "zoomOut", "autoScale", "resetScale"]
"""Buttons of Plotly's that would cover the mark and serve nobody here."""
Z = 1.96  # of the normal distribution: 95 %


@dataclass(frozen=True)
class Point:
    """What was measured at one value of a setting."""

    value: float
    as_asked: float  # percent of pictures that show all that was asked
    diversity: float
    count: int  # pictures


def interval(point: Point) -> tuple[float, float]:
    """The 95 % interval of a share of few pictures, in percent (Wilson 1927)."""
    n, p = point.count, point.as_asked / 100
    middle = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2)) / (1 + Z**2 / n)
    return 100 * max(middle - half, 0), 100 * min(middle + half, 1)


def curves_figure(
    title: str, reach: tuple[float, float], points: Sequence[Point], now: float | None
) -> go.Figure:
    """Adherence with its intervals, diversity, and where the slider stands.

    Args:
        title: the setting.
        reach: its least and largest value.
        points: measured so far, in any order.
        now: the slider's value; None if it says no number.
    """
    ordered = sorted(points, key=lambda point: point.value)
    at = [point.value for point in ordered]
    figure = go.Figure(layout=_layout(title, reach))
    low_high = [interval(point) for point in ordered]
    figure.add_scatter(
        x=at,
        y=[point.as_asked for point in ordered],
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [high - p.as_asked for p, (_, high) in zip(ordered, low_high, strict=True)],
            "arrayminus": [p.as_asked - low for p, (low, _) in zip(ordered, low_high, strict=True)],
            "thickness": 1.2,
            "width": 3,
        },
        mode="lines+markers", name="as asked, %",
        line={"color": ADHERENCE, "width": 3}, marker={"size": 8},
        hovertemplate="%{x}: %{y:.0f} % as asked<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=at,
        y=[point.diversity for point in ordered],
        yaxis="y2", mode="lines+markers", name="diversity",
        line={"color": DIVERSITY, "width": 3, "dash": "dot"},
        marker={"size": 8, "symbol": "diamond"},
        hovertemplate="%{x}: diversity %{y:.2f}<extra></extra>",
    )  # fmt: skip
    if now is not None:
        figure.add_vline(
            x=now, line={"color": INK, "width": 2, "dash": "dash"},
            annotation={"text": f"slider: {now:g}", "font": {"size": 13}},
            annotation_position="top",
        )  # fmt: skip
    return figure


def _layout(title: str, reach: tuple[float, float]) -> dict[str, object]:
    axis = {"zeroline": False, "linecolor": INK, "gridcolor": "rgba(138, 147, 163, 0.2)"}
    margin = 0.03 * (reach[1] - reach[0])
    return {
        "paper_bgcolor": "rgba(0, 0, 0, 0)",
        "plot_bgcolor": "rgba(0, 0, 0, 0)",
        "font": {"color": INK, "size": 14, "family": "system-ui, sans-serif"},
        "margin": {"l": 44, "r": 44, "t": 30, "b": 40},
        "height": 340,
        "xaxis": axis | {"title": {"text": title}, "range": [reach[0] - margin, reach[1] + margin]},
        "yaxis": axis | {"range": [-5, 105], "color": ADHERENCE},
        "yaxis2": axis
        | {
            "overlaying": "y",
            "side": "right",
            "rangemode": "tozero",
            "showgrid": False,
            "color": DIVERSITY,
        },
        "legend": {"orientation": "h", "y": -0.22, "x": 0.5, "xanchor": "center"},
        "dragmode": False,  # a finger on the plot scrolls the page
        "modebar": {"remove": UNUSED},
    }
