"""Whether GenLab serves, for whoever watches it: ``/healthz``. Knows no driver and no page."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from genlab.serving.client import Client, ServingFigures
from genlab.serving.loop_lag import LoopLag

State = Literal["starting", "ready", "degraded", "broken"]
LATE = 0.5  # seconds by which the event loop may be late, 99th percentile
RECENT = 600.0  # seconds after which a worker that died is no news
LEAST_BYTES = 200_000_000  # that should be free where files of visitors lie
CROWDED = 60.0  # seconds that a visitor should not have to wait


class Health:
    """How the house fares, in one word and in sentences.

    Args:
        client: queue, restarts and models.
        lag: of the page's event loop.
        broken: names of checkpoints that could not be read.
        folder: where files of visitors lie, once there are any; None: the system's folder for such.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        client: Client,
        lag: LoopLag,
        broken: Callable[[], Collection[str]] = tuple,
        folder: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._lag = lag
        self._broken = broken
        self._folder = Path(folder or tempfile.gettempdir()).absolute()
        self._clock = clock
        self._restarts = 0
        self._restarted = float("-inf")  # when that was seen last

    def report(self, seconds: float = 60.0) -> tuple[int, dict[str, Any]]:
        """Status code and content of ``/healthz``.

        Args:
            seconds: of the past, over which the event loop's lag is looked at.
        """
        figures = self._client.figures()
        lag = self._lag.figures(seconds)
        if figures.restarts != self._restarts:
            self._restarts, self._restarted = figures.restarts, self._clock()
        state, why = self._state(figures, lag["p99"])
        content = asdict(figures) | {"models": {k: dict(v) for k, v in figures.models.items()}}
        content |= {"status": state, "why": why, "loop_lag_seconds": lag}
        return (503 if state == "broken" else 200), content

    def _state(self, figures: ServingFigures, lag: float) -> tuple[State, list[str]]:
        if not figures.healthy:
            return "broken", ["The engine does not run: GenLab has to be restarted."]
        if not figures.device:
            return "starting", ["The engine is being started."]
        why = list(self._troubles(figures, lag))
        return ("degraded" if why else "ready"), why

    def _troubles(self, figures: ServingFigures, lag: float) -> Iterator[str]:
        if self._clock() - self._restarted < RECENT:
            yield "A worker died in the last ten minutes and was replaced; the log says why."
        if lag > LATE:
            yield f"The page answers up to {lag:.1f} seconds late: the machine has too much to do."
        if figures.wait_seconds is not None and figures.wait_seconds > CROWDED:
            yield f"Who asks now waits about {figures.wait_seconds:.0f} seconds."
        for name, model in figures.models.items():
            rows = model.get("rows_a_call", 0)
            if rows < model.get("rows_a_call_at_first", 0):
                yield f"{name} ran out of memory: it takes {rows} rows a call for now."
        broken = sorted(self._broken())
        if broken:
            yield f"These checkpoints cannot be read: {', '.join(broken)}."
        free = _free_bytes(self._folder)
        if free is not None and free < LEAST_BYTES:
            yield f"Only {free // 1_000_000} MB are free in {self._folder}."


def _free_bytes(folder: Path) -> int | None:
    """What is free where a folder is, or will be made; None if that cannot be told."""
    place = next(place for place in (folder, *folder.parents) if place.exists())
    with suppress(OSError):
        return shutil.disk_usage(place).free
    return None


def health_route(health: Health) -> Route:
    """``/healthz``: JSON, with status 503 only when GenLab has to be restarted.

    ``?seconds=`` says how far back the event loop's lag is looked at; a minute by default.
    """

    def answer(request: Request) -> JSONResponse:  # in a thread: disks may be slow
        seconds = request.query_params.get("seconds", "60")
        status, content = health.report(int(seconds) if seconds.isdecimal() else 60)
        return JSONResponse(content, status, headers={"Cache-Control": "no-store"})

    return Route("/healthz", answer, methods=["GET"])
