"""What the Compare tab sets side by side, and how it is drawn: one column after another.

Knows no component and no tensor. Columns run in turn, not at once: side by side they would share
network calls, and the time of each would be that of all.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from genlab.engine import Result
from genlab.evaluation.metrics import classes_above
from genlab.models.examples import examples
from genlab.models.registry import Catalogue, Entry
from genlab.requests import (
    MAX_SEED,
    GANRequest,
    PixelDiffusionRequest,
    Request,
    StableDiffusionRequest,
    UserError,
    VAERequest,
    ask,
)
from genlab.serving.session_runs import Run, Stopped
from genlab.toybox.world import Scene
from genlab.ui.components.metric_strip import measure
from genlab.ui.components.obedience import question, reader, scene_of
from genlab.ui.context import Lab
from genlab.ui.live_run import Frame, finished, follow, how_far, plural, previews, said

DIGITS = tuple(map(str, range(10)))
PROMPT = "a white {} on a black background"
MEASURED = {"fid": "fid", "sharpness": "sharpness", "diversity": "diversity"}


class Wish(BaseModel):
    """What every column is asked for."""

    model_config = ConfigDict(frozen=True)

    seed: int = Field(default=0, ge=0, le=MAX_SEED)
    count: int = Field(default=9, ge=1, le=16)
    label: int | None = Field(default=None, ge=0, le=9)

    def label_of(self, k: int) -> int:
        """The class of picture k, where one must be told: all ten by the seed if any will do."""
        return (self.seed + k) % len(DIGITS) if self.label is None else self.label


@dataclass(frozen=True)
class Column:
    """One of the models to compare, and how to ask it.

    Attributes:
        key: part of the element's id.
        look: one line on what to look at.
        checkpoint: who draws; for real pictures, whose test pictures they are.
        requests: what to ask for; None: real pictures, which nobody draws.
        told: a remark when one class is wanted, with ``{}`` in its place.
        free: a remark when any class will do.
        measured: how the card calls what was measured of such pictures, by figure.
    """

    key: str
    title: str
    look: str
    checkpoint: str
    requests: Callable[[Entry, Wish], Sequence[Request]] | None
    told: str = "Cannot be told a class."
    free: str = ""
    measured: Mapping[str, str] = field(default_factory=lambda: MEASURED)

    def remark(self, label: int | None) -> str:
        """What becomes of the wished class here."""
        return self.free if label is None else self.told.format(label)

    def figure(self, entry: Entry, name: str) -> float | None:
        """What the card says of a figure in MEASURED; None if it was not measured."""
        value = entry.metrics.get(self.measured.get(name, ""))
        return None if value is None else float(value)


@dataclass(frozen=True)
class Card:
    """What a column shows at one moment."""

    pictures: np.ndarray | None = None  # uint8 (N, H, W[, 3])
    figures: Mapping[str, Any] = field(default_factory=dict)
    news: str = ""  # how far it is
    done: float | None = None  # the same from 0 to 1
    problem: str = ""  # one sentence


@dataclass(frozen=True)
class Board(Frame):
    """A frame with the columns that have news, by key."""

    cards: Mapping[str, Card] = field(default_factory=dict)


def _vae(entry: Entry, wish: Wish) -> list[Request]:
    return [ask(VAERequest, checkpoint=entry.name, seed=wish.seed, count=wish.count)]


def _gan(entry: Entry, wish: Wish) -> list[Request]:
    return [ask(GANRequest, checkpoint=entry.name, seed=wish.seed, count=wish.count)]


def _unguided(entry: Entry, wish: Wish) -> list[Request]:
    return [_diffusion(entry, wish, guidance="none")]


def _guided(entry: Entry, wish: Wish) -> list[Request]:
    """At the scale that the card's figures are of."""
    labels = tuple(wish.label_of(k) for k in range(wish.count))
    scale = entry.metrics.get("guidance_scale", 2.0)
    return [
        _diffusion(entry, wish, guidance="classifier-free", labels=labels, guidance_scale=scale)
    ]


def _diffusion(entry: Entry, wish: Wish, **how: Any) -> Request:
    return ask(
        PixelDiffusionRequest, checkpoint=entry.name, seed=wish.seed, count=wish.count,
        preview_every=PREVIEW_EVERY, **how,
    )  # fmt: skip


def _toybox(entry: Entry, wish: Wish) -> list[Request]:
    """One request a picture, as each has a prompt of its own; they share network calls."""
    return [
        ask(
            StableDiffusionRequest, checkpoint=entry.name, count=1,
            seed=(wish.seed + k) % (MAX_SEED + 1), prompt=PROMPT.format(wish.label_of(k)),
        )
        for k in range(wish.count)
    ]  # fmt: skip


PREVIEW_EVERY = 5  # steps; what a pixel diffusion has to show costs it next to nothing

COLUMNS = (
    Column("vae", "VAE", "One network call. Soft edges: it draws averages.", "vae-mnist-20d", _vae),
    Column(
        "vae-no-kl", "VAE without KL", "The same z, but its codes were never tied to N(0, I).",
        "vae-mnist-20d-no-kl", _vae,
    ),
    Column("gan", "GAN", "One network call, sharp. Does every digit occur?", "dcgan-mnist", _gan),
    Column(
        "gan-collapsed", "GAN, collapsed", "Whatever the z, the same picture: count the bars.",
        "dcgan-mnist-collapsed", _gan,
    ),
    Column(
        "diffusion", "Diffusion", "Many steps from noise, pushed nowhere.", "ddpm-mnist", _unguided,
        told="Not guided, so told no class.",
        measured={name: f"unguided_{key}" for name, key in MEASURED.items()},
    ),
    Column(
        "guided", "Diffusion, guided", "The same noise, each step pushed towards a class.",
        "ddpm-mnist", _guided, "Asked for {}.", "Asked for the digits in turn.",
        MEASURED | {"diversity": "diversity_of_all"},
    ),
    Column(
        "toybox", "Toybox", "Diffusion of latents, guided by a prompt.",
        "stable-diffusion-toybox", _toybox, f"“{PROMPT}”", f"“{PROMPT.format('0…9')}”",
        measured={},  # of pictures in another size and in colours: not to be compared
    ),
    Column(
        "real", "Real digits", "Test pictures: what all others should be like.",
        "mnist-classifier", None, "Only {}. FID: real against real.", "FID: real against real.",
        MEASURED | {"fid": "fid_floor"},
    ),
)  # fmt: skip


def columns(lab: Lab) -> list[Column]:
    """The columns whose checkpoint is there; a damaged one is, and says so."""
    there = lab.catalogue.entries.keys() | lab.catalogue.broken.keys()
    return [column for column in COLUMNS if column.checkpoint in there]


async def compare(
    lab: Lab, run: Run, chosen: Sequence[Column], wish: Wish
) -> AsyncGenerator[Board, None]:
    """Draw and judge the columns in turn; one that fails says why, and the others go on.

    Raises Stopped or Superseded.
    """
    begun = time.monotonic()
    waiting = {column.key: Card(news="Waits for its turn.") for column in chosen}
    status = said("Drawing one column after another.", 0)
    yield Board(status, cards=dict(waiting))
    pictures = 0
    try:
        for k, column in enumerate(chosen):
            card = waiting.pop(column.key)
            status = said(f"{column.title}: {k + 1} of {len(chosen)}.", k / len(chosen))
            try:
                async with aclosing(draw(lab, run, column, wish)) as cards:
                    async for card in cards:
                        yield Board(status, cards={column.key: card})
                pictures += wish.count
            except UserError as error:
                failed = Card(card.pictures, problem=str(error))
                yield Board(status, cards={column.key: failed})
            except Stopped:
                waiting[column.key] = Card()
                raise
    except Stopped:
        yield Board(status, cards={key: Card(news="Stopped.") for key in waiting})
        raise
    took = time.monotonic() - begun
    yield Board(said(f"{pictures} {plural(pictures, 'picture')} in {took:.1f} s."))


async def draw(lab: Lab, run: Run, column: Column, wish: Wish) -> AsyncGenerator[Card, None]:
    """One column, from its first step to its figures; raises UserError, Stopped, Superseded."""
    entry = lab.catalogue.entry(column.checkpoint)
    figures: dict[str, Any] = {}
    scene: Scene | None = None  # what the prompts ask for: one object
    if column.requests is None:
        pictures = examples(lab.catalogue, entry.dataset).sample(wish.count, wish.seed, wish.label)
    else:
        asked = column.requests(entry, wish)
        scene = scene_of(entry, asked[0])
        results: list[Result] = []
        shown: tuple[np.ndarray, ...] | None = None
        async with aclosing(follow(run, run.submit(asked))) as moments:
            async for events in moments:
                results = [event for event in events if isinstance(event, Result)]
                if len(results) < len(events):
                    shown = previews(events) or shown
                    news, done = how_far(events)
                    yield Card(np.concatenate(shown) if shown else None, {}, news, done)
        pictures = np.concatenate([result.images for result in results])
        begun = min(result.waited for result in results)  # all were submitted at one moment
        figures["seconds"] = max(result.waited + result.seconds for result in results) - begun
    fid = column.figure(entry, "fid")
    figures |= {} if fid is None else {"fid": fid}
    yield Card(pictures, figures)
    yield Card(pictures, figures | await judged(lab, run, entry, scene, pictures))


async def judged(
    lab: Lab, run: Run, entry: Entry, scene: Scene | None, pictures: np.ndarray
) -> dict[str, Any]:
    """The figures of a column's pictures, as far as there is somebody to judge them."""
    find = reader if scene is not None else Catalogue.judge
    judge = find(lab.catalogue, entry.dataset)
    if judge is None:
        return {}
    asked = question(judge, pictures, scene)
    (answer,) = await finished(run, [asked])
    opinion = answer.extras
    if scene is None:
        return measure(entry, asked, judge, Result(pictures), opinion)
    confidence = round(float(np.mean(opinion["confidence"])), 4)
    return as_digits([noun for (noun,) in opinion["nouns"]]) | {"mean_confidence": confidence}


def as_digits(nouns: Sequence[str]) -> dict[str, Any]:
    """The class figures of pictures of one noun each, as a classifier of digits would give them.

    What is no digit is in no bar. Sharpness and FID are not among them: they compare with real
    pictures of the same size and colours only.
    """
    read = Counter(nouns)
    shares = {digit: round(read[digit] / len(nouns), 4) for digit in DIGITS}
    return {
        "class_histogram": shares,
        "classes_above_2_percent": classes_above(list(shares.values())),
    }
