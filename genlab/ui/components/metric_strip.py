"""The figures under a gallery: sharpness, classes, confidence, FID. Plain HTML, no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from genlab.engine import Result
from genlab.evaluation.metrics import (
    class_histogram,
    classes_above,
    confidence,
    diversity_within,
    sharpness,
)
from genlab.models.registry import Entry
from genlab.requests import PixelDiffusionRequest, Request, SampleRequest
from genlab.toybox.world import Scene
from genlab.ui.components.obedience import obedience

SHORT = 4  # letters of a class name that fit under a bar


def measure(
    entry: Entry,
    request: Request,
    judge: Entry | None,
    result: Result,
    opinion: Mapping[str, Any],
    scene: Scene | None = None,
) -> dict[str, Any]:
    """Figures of one result as plain JSON values; only those that can be known are there.

    Args:
        entry: the checkpoint that drew the pictures.
        request: what was asked of it; the card's FID is shown only for what it was measured on.
        judge: who judged them, if anybody could.
        result: the pictures, and the family's extras.
        opinion: the judge's extras: ``probs`` (N, K), or what it read in each picture.
        scene: what the prompt asked for, where that is known.
    """
    figures: dict[str, Any] = {}
    real = judge.metrics.get("sharpness") if judge is not None else None
    if real:
        figures["sharpness_percent"] = round(100 * sharpness(result.images) / float(real), 1)
    if judge is not None and "probs" in opinion:
        shares = class_histogram(opinion["probs"])
        names = judge.card.get("classes") or range(len(shares))
        figures["class_histogram"] = {
            str(name): round(float(share), 4) for name, share in zip(names, shares, strict=True)
        }
        figures["classes_above_2_percent"] = classes_above(shares)
        figures["mean_confidence"] = round(confidence(opinion["probs"]), 4)
        if isinstance(request, PixelDiffusionRequest) and (
            request.labels or request.guidance != "none"
        ):
            figures |= _as_wished(request, opinion)
    if scene is not None and "nouns" in opinion:
        figures |= obedience(scene, opinion)
        figures["mean_confidence"] = round(float(np.mean(opinion["confidence"])), 4)
    if "scores" in result.extras:
        figures["discriminator"] = [round(float(s), 4) for s in result.extras["scores"].ravel()]
    if "fid" in entry.metrics and _measured_so(request, entry.metrics):
        figures["fid"] = float(entry.metrics["fid"])
    return figures


def _as_wished(request: PixelDiffusionRequest, opinion: Mapping[str, Any]) -> dict[str, Any]:
    """How many pictures the judge reads as the class wished for, and how they differ within one."""
    wished = np.asarray(request.wished)
    right = 100 * float((opinion["probs"].argmax(axis=1) == wished).mean())
    figures: dict[str, Any] = {"as_asked_percent": {"class": round(right, 1)}}
    within = diversity_within(opinion["features"], wished)
    return figures if within is None else figures | {"diversity": round(within, 3)}


def _measured_so(request: Request, known: Mapping[str, Any]) -> bool:
    """Whether the FID among a card's metrics is that of a request's settings."""
    if isinstance(request, PixelDiffusionRequest):
        settings = ("guidance_scale", "num_inference_steps", "scheduler")
        return (request.guidance, request.eta) == ("classifier-free", 0) and all(
            getattr(request, name) == known.get(name) for name in settings
        )
    return isinstance(request, SampleRequest) and request.as_trained


def strip(figures: dict[str, Any]) -> str:
    """The strip as HTML; "" when nothing is known."""
    tiles = []
    if "seconds" in figures:
        tiles.append(_tile("Time", duration(figures["seconds"]), "first step to last"))
    if "sharpness_percent" in figures:
        value = figures["sharpness_percent"]
        tiles.append(_tile("Sharpness", f"{value:.0f} %", "of real pictures'", value / 100))
    if "mean_confidence" in figures:
        value = figures["mean_confidence"]
        tiles.append(_tile("Confidence", f"{100 * value:.0f} %", "of the judge", value))
    if "fid" in figures:
        tiles.append(_tile("FID", f"{figures['fid']:.3g}", "lower is better"))
    for what, value in figures.get("as_asked_percent", {}).items():
        tiles.append(
            _tile(what.capitalize(), f"{value:.0f} %", "as asked, reads the judge", value / 100)
        )
    charts = []
    if "class_histogram" in figures:
        shares = figures["class_histogram"]
        covered = figures["classes_above_2_percent"]
        title = f"Classes the judge sees: {covered} of {len(shares)}"
        charts.append(_bars(title, list(shares.items()), 1 / len(shares), "- - real data"))
    if "discriminator" in figures:
        shares = _deciles(figures["discriminator"])
        charts.append(_bars("What the discriminator thinks", shares, key="D: how sure it is real"))
    if not tiles and not charts:
        return ""
    return f'<div class="strip"><div class="tiles">{"".join(tiles)}</div>{"".join(charts)}</div>'


def compact(figures: Mapping[str, Any], unknown: Mapping[str, str] | None = None) -> str:
    """The strip for a narrow place, as HTML: always the same lines, so that strips can be compared.

    Args:
        figures: as of ``measure``; and ``seconds``, how long it took.
        unknown: why a figure has a dash, by its key; said when the dash is pointed at.
    """
    seen = figures.get("class_histogram", {})
    lines = {
        "seconds": ("Time", lambda value: duration(value)),
        "fid": ("FID", lambda value: f"{value:.2f}"),
        "sharpness_percent": ("Sharpness", lambda value: f"{value:.0f} %"),
        "mean_confidence": ("Confidence", lambda value: f"{value:.0%}".replace("%", " %")),
        "classes_above_2_percent": ("Classes", lambda value: f"{value} of {len(seen)}"),
    }
    rows = []
    for key, (name, write) in lines.items():
        if key in figures:
            rows.append(f"<dt>{name}</dt><dd>{write(figures[key])}</dd>")
        else:
            why = escape((unknown or {}).get(key, "not known"))
            rows.append(f'<dt>{name}</dt><dd title="{why}">–</dd>')
    shares = list(seen.items()) or [(str(k), 0.0) for k in range(10)]
    return f'<div class="strip compact"><dl>{"".join(rows)}</dl>{_bars("", shares)}</div>'


def duration(seconds: float) -> str:
    """A time in two or three digits: "0.33 ms", "38 ms", "1.25 s"."""
    if seconds < 0.01:
        return f"{1000 * seconds:.2g} ms"
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.3g} s"


def bar(done: float) -> str:
    """A bar that is filled from 0 to 1."""
    return f'<div class="bar"><i style="width:{min(done, 1):.0%}"></i></div>'


def _deciles(scores: Sequence[float]) -> list[tuple[str, float]]:
    """Shares of scores in ten equal bins from 0, surely fake, to 1, surely real."""
    counts, _ = np.histogram(scores, bins=10, range=(0, 1))
    names = ["fake", *[""] * 8, "real"]
    return [(name, float(n) / len(scores)) for name, n in zip(names, counts, strict=True)]


def _tile(name: str, value: str, what: str, filled: float | None = None) -> str:
    line = "" if filled is None else bar(filled)
    return f'<div class="tile"><span>{name}</span><b>{value}</b><small>{what}</small>{line}</div>'


def _bars(title: str, shares: Sequence[tuple[str, float]], even: float = 0, key: str = "") -> str:
    """Vertical bars; ``even`` draws a dashed line at that share, ``key`` explains."""
    top = max(0.25, *(share for _, share in shares))
    columns = "".join(
        f'<div title="{escape(name)} {share:.0%}"><i style="height:{share / top:.1%}"></i>'
        f"<span>{escape(name[:SHORT])}</span></div>"
        for name, share in shares
    )
    spoken = ", ".join(f"{name} {share:.0%}" for name, share in shares)
    dashed = f'<hr style="bottom:{even / top:.1%}">' if even else ""
    return (
        f'<figure><figcaption>{title}<em>{key}</em></figcaption><div class="plot" role="img" '
        f'aria-label="{escape(spoken)}">{columns}{dashed}</div></figure>'
    )
