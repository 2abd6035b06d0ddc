"""Measured curves beside a model card: their numbers as JSON and a plot. Knows no model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def write_curves(folder: Path, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Write what of the figures is a curve, and give back the others, which fit into a card.

    ``scales`` (of `evaluate` for pixel diffusion) becomes ``scales.json`` and ``scales.png``, and
    ``sweep`` (for Toybox) ``sweep.json`` and ``sweep.png``; ``accuracy_by_timestep`` (for a noisy
    classifier) is also drawn, as ``accuracy.png``.
    """
    plots = {"scales": _plot_scales, "sweep": _plot_sweep}
    others = {key: value for key, value in figures.items() if key not in plots}
    for name, plot in plots.items():
        if name in figures:
            text = json.dumps(figures[name], indent=1)
            (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
            plot(folder / f"{name}.png", figures[name])
    if "accuracy_by_timestep" in figures:
        _plot_accuracy(folder / "accuracy.png", figures)
    return others


def _plot_scales(path: Path, scales: Mapping[str, Any]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.4), dpi=110)
    shown = (("label_accuracy", "label accuracy"), ("fid", "FID"), ("diversity", "diversity"))
    for axes, (key, title) in zip(figure.subplots(1, 3), shown, strict=True):
        for method in ("classifier-free", "classifier"):
            rows = scales.get(method, [])
            axes.plot([r["guidance_scale"] for r in rows], [r[key] for r in rows], ".-",
                      label=method)  # fmt: skip
        if key == "fid":
            axes.axhline(scales["fid_floor"], color="gray", ls="--", label="real data")
            axes.set_yscale("log")
        if key == "diversity":
            axes.axhline(scales["diversity_floor"], color="gray", ls="--", label="real data")
        axes.set_xscale("symlog", linthresh=1)
        axes.set_xlim(left=-0.1)
        axes.set_xticks([0, 1, 2, 5, 10, 20], labels=["0", "1", "2", "5", "10", "20"])
        axes.set_xlabel("guidance_scale")
        axes.set_title(title)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.tight_layout()
    figure.savefig(path)


def _plot_sweep(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), dpi=110)
    few, more = rows[0]["prompts"], rows[-1]["prompts"]
    schedulers = list(dict.fromkeys(row["scheduler"] for row in rows))
    panels = (("one", "one object"), ("two", "two objects"))
    for axes, (kind, title) in zip(figure.subplots(1, 2, sharey=True), panels, strict=True):
        for k, name in enumerate(schedulers):
            for prompts, style in ((few, ".-"), (more, "*")):
                shown = [r for r in rows if (r["scheduler"], r["prompts"]) == (name, prompts)]
                axes.plot([r["guidance_scale"] for r in shown], [r[kind] for r in shown], style,
                          color=f"C{k}", ms=14 if style == "*" else 6,
                          label=None if style == "*" else name)  # fmt: skip
        axes.set_title(title)
        axes.set_xlabel(f"guidance_scale; a dot is {few} prompts, a star {more}")
        axes.grid(alpha=0.3)
        axes.legend(ncols=2, loc="lower left")
    figure.axes[0].set_ylabel("all as asked")
    figure.tight_layout()
    figure.savefig(path)


def _plot_accuracy(path: Path, figures: Mapping[str, Any]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), dpi=110)
    axes = figure.subplots()
    axes.plot(figures["timesteps"], figures["accuracy_by_timestep"], ".-")
    axes.axhline(0.1, color="gray", ls="--", label="chance")
    axes.set_xlabel("t")
    axes.set_ylabel("accuracy on noised test pictures")
    axes.set_ylim(0, 1.02)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)
