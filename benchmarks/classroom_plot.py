"""The plot of the classroom benchmark: images a second and waiting times by number of visitors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

LOOKS = {
    "GenLab": ("#4f46e5", "-"),
    "plain with graphs": ("#d97706", "--"),
    "plain": ("#6b7280", ":"),
}
PANELS = (
    ("images_per_second", "images a second"),
    ("picture_p95", "seconds to the picture, p95"),
    ("preview_p50", "seconds to the first preview, p50"),
)


def plot(report: Mapping[str, Any], path: Path) -> None:
    """Write the picture of a report's classes that came at once."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    for axes, (key, label) in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        for side, (colour, style) in LOOKS.items():
            points = sorted(
                (int(name.rsplit(", ", 1)[1]), figures[key])
                for name, figures in report["lessons"].items()
                if name.startswith(f"{side}, at once, ")
            )
            if points:
                axes.plot(*zip(*points, strict=True), style, color=colour, marker="o", label=side)
        axes.set_xscale("log", base=2)
        counts = sorted({int(name.rsplit(", ", 1)[1]) for name in report["lessons"]})
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.set_yscale("linear" if key == "images_per_second" else "log")
        axes.set_xlabel("visitors at once")
        axes.set_title(label, fontsize=10)
        axes.grid(alpha=0.3)
    figure.axes[0].legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=110)
