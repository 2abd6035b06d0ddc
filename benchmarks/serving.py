"""What the benchmarks share: asking both sides in turns, and comparing times and pictures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from genlab.engine.events import Failed, Result
from genlab.models.registry import Registry
from genlab.requests import SampleRequest
from genlab.serving.client import Client, Ticket
from genlab.serving.thread import ThreadClient
from genlab.settings import Settings

WARM = 8.0  # seconds of drawing until a model's weights are loaded and its graphs are made


@dataclass(frozen=True)
class Served:
    """One round: the pictures, and when each person had theirs, in seconds since all asked."""

    seconds: np.ndarray  # (people,)
    images: list[np.ndarray]  # a person's, uint8 (N, H, W) or (N, H, W, 3)

    @property
    def images_per_second(self) -> float:
        return sum(map(len, self.images)) / self.total

    @property
    def total(self) -> float:
        return float(self.seconds.max())

    @property
    def p95(self) -> float:
        return float(np.quantile(self.seconds, 0.95))


Serve = Callable[[], Served]


def open_house(settings: Settings, checkpoint: str) -> ThreadClient:
    """GenLab's own side, not yet started; raises UserError if the checkpoint is not there."""
    registry = Registry(settings.checkpoints)
    registry.entry(checkpoint)
    return ThreadClient(registry, settings)


def warm_up(*serves: Serve) -> None:
    """Serve until weights are loaded, caches filled, and graphs made behind the first pictures."""
    begun = time.perf_counter()
    while time.perf_counter() - begun < WARM:
        for serve in serves:
            serve()


def one_by_one(
    draw: Callable[[SampleRequest], np.ndarray], requests: Sequence[SampleRequest]
) -> Served:
    """Serve in the order of arrival, one request a call of ``draw``."""
    begun = time.perf_counter()
    seconds, images = [], []
    for request in requests:
        images.append(draw(request))
        seconds.append(time.perf_counter() - begun)
    return Served(np.array(seconds), images)


def genlab(client: Client, requests: Sequence[SampleRequest]) -> Served:
    """Submit everything at once, each by a person of their own, and follow the events."""
    return asyncio.run(_everybody(client, requests))


async def _everybody(client: Client, requests: Sequence[SampleRequest]) -> Served:
    begun = time.perf_counter()

    async def wait(ticket: Ticket) -> tuple[float, np.ndarray]:
        async for event in ticket:
            if isinstance(event, Failed):
                raise RuntimeError(event.message)
            if isinstance(event, Result):
                return time.perf_counter() - begun, event.images
        raise RuntimeError(f"ticket {ticket.id} ended without a picture")

    tickets = [client.submit(request, owner=f"person {k}") for k, request in enumerate(requests)]
    answers = await asyncio.gather(*(wait(ticket) for ticket in tickets))
    return Served(np.array([a[0] for a in answers]), [a[1] for a in answers])


Figures = dict[str, dict[str, float]]


def duels(cases: Mapping[str, tuple[Serve, Serve]], rounds: int) -> Figures:
    """The stock way and GenLab's in turns, so that a machine's other work hits both.

    Args:
        cases: the two, by what they are asked for.

    Returns:
        For each case the medians over the rounds, their ratio, and how much the pictures differ.
    """
    figures: Figures = {}
    for case, (stock, own) in cases.items():
        turns = [(stock(), own()) for _ in range(rounds)]
        theirs, ours = zip(*turns, strict=True)
        seconds = [median([served.total for served in side]) for side in (theirs, ours)]
        figures[case] = {
            "stock_seconds": seconds[0],
            "genlab_seconds": seconds[1],
            "ratio": seconds[0] / seconds[1],
            "largest_pixel_difference": difference(theirs, ours),
        }
    return figures


def table(figures: Figures) -> str:
    """The figures of ``duels`` for people."""
    lines = [f"{'seconds until all are served':32}{'stock':>9}{'GenLab':>9}{'ratio':>9}"]
    for case, measured in figures.items():
        seconds = f"{measured['stock_seconds']:9.2f}{measured['genlab_seconds']:9.2f}"
        lines.append(f"{case:32}{seconds}{measured['ratio']:8.2f}x")
    worst = max(measured["largest_pixel_difference"] for measured in figures.values())
    lines.append(f"largest pixel difference: {worst:.0f} of 255")
    return "\n".join(lines)


def median(values: Sequence[float]) -> float:
    """The median, as a plain number."""
    return float(np.median(values))


def difference(one: Sequence[Served], other: Sequence[Served]) -> float:
    """The largest difference of a pixel, of 255: both must have drawn the same pictures."""
    return max(
        float(np.abs(a.astype(int) - b.astype(int)).max())
        for left, right in zip(one, other, strict=True)
        for a, b in zip(left.images, right.images, strict=True)
    )
