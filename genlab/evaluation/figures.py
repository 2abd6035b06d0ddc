"""The figures that a family can show under its pictures: key, words, looks. No torch, no page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Look = Literal["time", "number", "share", "percent", "percents", "classes", "scores"]
"""``share`` is from 0 to 1, ``percent`` may exceed 100, ``percents`` is a percentage by name,
``classes`` a share by class, ``scores`` a probability a picture."""


@dataclass(frozen=True)
class Figure:
    """One figure of a result.

    Attributes:
        key: in a result's figures.
        title: over its tile or chart.
        note: what it means, in a few words.
        look: how it is shown.
    """

    key: str
    title: str
    note: str
    look: Look = "number"


SECONDS = Figure("seconds", "Time", "first step to last", "time")
SHARPNESS = Figure("sharpness_percent", "Sharpness", "of real pictures'", "percent")
CONFIDENCE = Figure("mean_confidence", "Confidence", "of the judge", "share")
FID = Figure("fid", "FID", "lower is better")
AS_ASKED = Figure("as_asked_percent", "", "as asked, reads the judge", "percents")
CLASSES = Figure("class_histogram", "Classes the judge sees", "- - real data", "classes")
DISCRIMINATOR = Figure(
    "discriminator", "What the discriminator thinks", "D: how sure it is real", "scores"
)
