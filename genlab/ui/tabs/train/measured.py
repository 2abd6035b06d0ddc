"""What the tab opens with: a run that was measured beforehand, and says so.

Written by ``python -m benchmarks.live_training``. Knows no tensor.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from genlab.families.live_training.request import SUBJECTS
from genlab.images import from_png
from genlab.ui.components.progress import status_line
from genlab.ui.tabs.train.history import LossCurve
from genlab.ui.tabs.train.plots import curves, digits, plots_of, points

FOLDER = Path(__file__).with_name("measured")
SIDE = 28


@dataclass(frozen=True)
class MeasuredRun:
    """What there is to see of a run before anybody has pressed a button; HTML."""

    samples: str
    curves: str
    status: str


@cache
def measured(subject: str) -> MeasuredRun:
    """The run of a subject."""
    text = (FOLDER / f"{subject}.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    step = found["step"]
    drawn = _points(found) if SUBJECTS[subject].data == "points" else _digits(found)
    history = {name: _curve(**curve) for name, curve in found["curves"].items()}
    said = (
        f"Measured beforehand: {step:,} steps, {found['seconds']:.0f} seconds on "
        f"{found['hardware']}. Press Train to see yours."
    )
    return MeasuredRun(drawn, curves(plots_of(subject), history, step), status_line(said))


def _points(found: dict[str, Any]) -> str:
    places: dict[str, Any] = {k: np.array(found[k]) for k in ("points", "real")}
    if "field" in found:
        places["field"] = _picture(found["field"])
    return points(places, found["step"])


def _digits(found: dict[str, Any]) -> str:
    return digits(_picture(found["samples"]).reshape(-1, SIDE, SIDE), found["step"])


def _picture(text: str) -> np.ndarray:
    return from_png(base64.b64decode(text))


def _curve(points: list[float], latest: float) -> LossCurve:
    curve = LossCurve()
    curve.points, curve.latest = points, latest
    return curve
