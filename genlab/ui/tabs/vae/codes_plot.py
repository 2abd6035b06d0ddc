"""A plot of 2-D codes coloured by class, with N(0, I) over it; readable on light and dark."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

COLOURS = (
    "#4e79a7", "#f28e2b", "#e15759", "#2fa39c", "#59a14f",
    "#c9a400", "#b07aa1", "#ff7f96", "#9c755f", "#8f8f8f",
)  # fmt: skip
HALO = {"color": "rgba(255, 255, 255, 0.85)", "width": 4.5}  # shows a dark line on any ground
INK = "#8a93a3"  # 4:1 or better on white and on slate


def empty_figure() -> go.Figure:
    """Axes and circles without any code, so that the page does not jump later."""
    return _figure(4.0)


def codes_figure(mu: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> go.Figure:
    """Means of q(z | x) as dots.

    Args:
        mu: (N, 2).
        labels: (N,), indices into ``classes``.
    """
    reach = max(3.5, float(np.abs(mu).max()) * 1.05)
    figure = _figure(reach)
    for label, name in enumerate(classes):
        mine = mu[labels == label]
        figure.add_scatter(
            x=mine[:, 0].round(3).tolist(),
            y=mine[:, 1].round(3).tolist(),
            mode="markers",
            name=name,
            marker={"size": 5, "color": COLOURS[label % len(COLOURS)], "opacity": 0.8},
            hovertemplate=f"{name}<br>%{{x:.2f}}, %{{y:.2f}}<extra></extra>",
        )
    return figure


def _figure(reach: float) -> go.Figure:
    axis = {
        "range": [-reach, reach],
        "zeroline": False,
        "gridcolor": "rgba(138, 147, 163, 0.2)",
        "linecolor": INK,
    }
    figure = go.Figure(
        layout={
            "paper_bgcolor": "rgba(0, 0, 0, 0)",
            "plot_bgcolor": "rgba(0, 0, 0, 0)",
            "font": {"color": INK, "size": 14, "family": "system-ui, sans-serif"},
            "margin": {"l": 40, "r": 10, "t": 30, "b": 30},
            "height": 480,
            "xaxis": axis | {"constrain": "domain"},
            "yaxis": axis | {"scaleanchor": "x", "constrain": "domain"},
            "legend": {"orientation": "h", "y": -0.1, "itemsizing": "constant"},
        }
    )
    for radius in (1, 2, 3):
        for line in (HALO, {"color": "#111827", "width": 2 if radius == 1 else 1.2}):
            figure.add_shape(
                type="circle",
                x0=-radius, y0=-radius, x1=radius, y1=radius,
                line=line,
                layer="above",
            )  # fmt: skip
    figure.add_annotation(
        text="circles: N(0, I) at 1, 2 and 3 σ",
        xref="paper", yref="paper", x=0, y=1, xanchor="left", yanchor="bottom",
        showarrow=False,
    )  # fmt: skip
    return figure
