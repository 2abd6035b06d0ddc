"""One Toybox picture beside a neighbour's heavy run: how long it takes, and its longest silence.

Both are compared with an engine that is shared evenly between the two: twice what the picture takes
alone, in the same run. GenLab's rule is a ratio of at most 2.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.serving import median, open_house, warm_up
from genlab.engine.events import Failed, Progress, Result
from genlab.families.pixel_diffusion.request import PixelDiffusionRequest
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.requests import Request
from genlab.serving.client import Client, Ticket
from genlab.settings import Settings

TOYBOX = "stable-diffusion-toybox"
PROMPT = "a red 7 on a blue background"
AHEAD = 0.7  # seconds that the neighbour is at work when the visitor comes
SETTLE = 3.0  # seconds between two measurements: a model that was loaded still gets its graph made
Neighbour = Callable[[int], Sequence[Request]]


def toybox(**settings: object) -> StableDiffusionRequest:
    """A request for Toybox with the page's own settings, but for those named."""
    return StableDiffusionRequest(**{"checkpoint": TOYBOX, "prompt": PROMPT, **settings})


def long_trajectory(turn: int) -> list[Request]:
    """A trajectory of 100 steps, of a run of 16 pictures."""
    return [toybox(seed=turn, num_inference_steps=100, count=16, trajectory=True)]


def grid(turn: int) -> list[Request]:
    """64 cells: steps against scales."""
    return [
        toybox(seed=turn, count=1, num_inference_steps=steps, guidance_scale=scale)
        for steps in (5, 10, 15, 20, 25, 30, 40, 50)
        for scale in (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 15.0)
    ]


def curves(turn: int) -> list[Request]:
    """Nine scales of six judged pictures each."""
    return [
        toybox(seed=turn, count=6, num_inference_steps=15, guidance_scale=scale, judge=True)
        for scale in (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 11.0, 15.0)
    ]


def classifier_guidance(turn: int) -> list[Request]:
    """64 digits in 1000 steps, led by a classifier's gradient."""
    return [
        PixelDiffusionRequest(
            checkpoint="ddpm-mnist", seed=turn, count=64, num_inference_steps=1000,
            guidance="classifier", guidance_scale=8.0,
        )
    ]  # fmt: skip


def loading(turn: int) -> list[Request]:
    """One picture of a model that was not loaded yet."""
    return [toybox(checkpoint=f"copy-{turn}", count=1, num_inference_steps=1)]


NEIGHBOURS: dict[str, Neighbour | None] = {
    "nobody": None,
    "a 100-step trajectory of 16 pictures": long_trajectory,
    "a grid of 64 cells": grid,
    "curves, 9 x 6 pictures, judged": curves,
    "64 digits x 1000 steps, classifier": classifier_guidance,
    "a model being loaded": loading,
}


def follow(ticket: Ticket) -> tuple[float, float]:
    """Seconds until the picture, and the longest between two of its events."""
    begun = last = time.perf_counter()
    longest = 0.0
    for event in ticket:
        now = time.perf_counter()
        if isinstance(event, Failed):
            raise RuntimeError(event.message)
        if isinstance(event, (Progress, Result)):
            longest, last = max(longest, now - last), now
    return last - begun, longest


def beside(client: Client, neighbour: Neighbour | None, turn: int) -> tuple[float, float]:
    """The visitor's picture while a neighbour's requests run; they are stopped when it is there."""
    tickets = []
    if neighbour is not None:
        tickets = [client.submit(request, "neighbour") for request in neighbour(turn)]
        # What is being loaded is quick: the visitor comes at the same moment.
        time.sleep(0.0 if neighbour is loading else AHEAD)
    measured = follow(client.submit(toybox(count=1, seed=turn), "visitor"))
    for ticket in tickets:
        client.cancel(ticket.id)
    for ticket in tickets:
        for _ in ticket:
            pass
    return measured


def compare(rounds: int, settings: Settings) -> dict[str, dict[str, float]]:
    """For each neighbour the medians, and the ratios to what even sharing gives in this run."""
    with copies(settings.checkpoints, rounds) as folder:
        settings = settings.model_copy(update={"checkpoints": folder})
        with open_house(settings, TOYBOX) as client:
            kinds = [n for n in NEIGHBOURS.values() if n is not None and n is not loading]
            warm_up(
                lambda: follow(client.submit(toybox(count=1), "visitor")),
                *(lambda kind=kind: beside(client, kind, 0) for kind in kinds),
            )
            turns = {name: list[tuple[float, float]]() for name in NEIGHBOURS}
            for turn in range(rounds):
                for name, neighbour in NEIGHBOURS.items():
                    time.sleep(SETTLE)
                    turns[name].append(beside(client, neighbour, turn))
    medians = {
        name: {"seconds": median([a for a, _ in own]), "longest_gap": median([b for _, b in own])}
        for name, own in turns.items()
    }
    alone = medians["nobody"]
    return {
        name: measured
        | {
            "ratio_to_even_share": measured["seconds"] / (2 * alone["seconds"]),
            "gap_ratio_to_even_share": measured["longest_gap"] / (2 * alone["longest_gap"]),
        }
        for name, measured in medians.items()
    }


@contextmanager
def copies(checkpoints: Path, rounds: int) -> Iterator[Path]:
    """The checkpoints, and copies of Toybox among them: one to be loaded in each round."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for real in Path(checkpoints).iterdir():
            (folder / real.name).symlink_to(real.resolve(), target_is_directory=True)
        for turn in range(rounds):
            shutil.copytree(Path(checkpoints) / TOYBOX, folder / f"copy-{turn}")
        yield folder


def table(figures: dict[str, dict[str, float]]) -> str:
    """The figures for people."""
    lines = [f"{'beside':38}{'seconds':>9}{'of even':>9}{'gap, s':>9}{'of even':>9}"]
    lines += [
        f"{name:38}{measured['seconds']:9.2f}{measured['ratio_to_even_share']:8.2f}x"
        f"{measured['longest_gap']:9.3f}{measured['gap_ratio_to_even_share']:8.2f}x"
        for name, measured in figures.items()
    ]
    return "\n".join(lines)


def main() -> None:
    """Parse the command line, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    figures = compare(given.rounds, Settings())
    print(json.dumps(figures, indent=2) if given.json else table(figures))


if __name__ == "__main__":
    main()
