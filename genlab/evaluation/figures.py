"""The figures that a family can show under its pictures: key, words, looks. No torch, no page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Look = Literal["time", "number", "share", "percent", "percents", "classes", "scores"]
"""``share`` is from 0 to 1, ``percent`` may exceed 100, ``percents`` is a percentage by name,
``classes`` a share by class, ``scores`` shares of pictures by a probability, from 0 to 1."""

JUDGED = "judged_count"
PER_PICTURE = frozenset({"read", "discriminator"})
"""Figures that are lists with an entry for each picture."""
"""How many pictures the judge's figures are of, in the figures beside them."""
BEFOREHAND = "fid_samples"
"""How many samples the card's FID was measured with, long before."""
ENOUGH = 100
"""Of fewer pictures classes are missing by chance: of ten that are drawn equally often one or more
stays below 2 % of the pictures once in fifty draws of 100, but in every second draw of 25."""
WORDS = {"noise": "grain, not strokes", "harsh": "harder edges than real ones"}
"""What stands in the place of a figure that means nothing, and why: noise reaches 1,400 % of real
pictures' sharpness, or 60 %, as its contrast will have it."""


@dataclass(frozen=True)
class Figure:
    """One figure of a result.

    Attributes:
        key: in a result's figures.
        title: over its tile or chart.
        note: what it means, in a few words.
        look: how it is shown.
        word: where the figures have one of WORDS that stands in its place; "": nowhere.
    """

    key: str
    title: str
    note: str
    look: Look = "number"
    word: str = ""


SECONDS = Figure("seconds", "Time", "first step to last", "time")
SHARPNESS = Figure(
    "sharpness_percent", "Sharpness", "of real pictures'", "percent", word="sharpness_word"
)
CONFIDENCE = Figure("mean_confidence", "Confidence", "of the judge", "share")
FID = Figure("fid", "FID", "beforehand; lower is better")
AS_ASKED = Figure("as_asked_percent", "", "as asked, reads the judge", "percents")
CLASSES = Figure("class_histogram", "Classes the judge sees", "- - real data", "classes")
DISCRIMINATOR = Figure(
    "discriminator_histogram", "What the discriminator thinks", "D: how sure it is real", "scores"
)
