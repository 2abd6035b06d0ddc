"""Who runs what: the jobs behind each visitor's buttons, so that Stop and a closed tab end them.

Knows no component, no model and no tensor.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from genlab.engine import Engine, Job
from genlab.requests import Request


class Stopped(Exception):
    """The visitor pressed Stop or left."""


class Superseded(Exception):
    """The visitor asked anew before the answer came; the newer run shows its own progress."""


class Run:
    """The jobs behind one press of a button; a context manager that leaves none behind."""

    def __init__(self, desk: Desk, owner: str, slot: str) -> None:
        self.owner = owner
        self.slot = slot
        self.begun = time.monotonic()
        self.ending: Exception | None = None  # why the run has to end, once it has to
        self._desk = desk
        self._jobs: list[Job] = []

    @property
    def open_jobs(self) -> int:
        """How many of its jobs are waiting or running."""
        return sum(not job.ended for job in self._jobs)

    def submit(self, requests: Sequence[Request]) -> list[Job]:
        """Queue every request; raises UserError, or Stopped and Superseded if it is too late."""
        if self.ending is not None:
            raise self.ending
        jobs = []
        for request in requests:
            jobs.append(self._desk.engine.submit(request, self.owner))
            self._jobs.append(jobs[-1])
        return jobs

    def end(self, why: Exception) -> None:
        """Cancel the jobs; whoever follows them is told why."""
        self.ending = self.ending or why
        for job in self._jobs:
            self._desk.engine.cancel(job)

    def __enter__(self) -> Self:
        self._desk.enter(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end(Stopped())
        self._desk.leave(self)


class Desk:
    """The runs of all visitors. A visitor has one run a slot: a newer one replaces it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._lock = threading.Lock()
        self._runs: dict[tuple[str, str], Run] = {}

    def run(self, owner: str, slot: str) -> Run:
        """A new run, to be used in a ``with``; entering it ends the slot's previous one."""
        return Run(self, owner, slot)

    def stop(self, owner: str, slot: str | None = None) -> int:
        """End the owner's run in a slot, or all of them; how many there were."""
        with self._lock:
            runs = [r for (who, _), r in self._runs.items() if who == owner]
        runs = [run for run in runs if slot is None or run.slot == slot]
        for run in runs:
            run.end(Stopped())
        return len(runs)

    def make_way(self, owner: str, slot: str, begun_before: float) -> None:
        """End the owner's run in a slot for a newer one to come, if it is as old as that."""
        with self._lock:
            run = self._runs.get((owner, slot))
        if run is not None and run.begun < begun_before:
            run.end(Superseded())

    @property
    def open_jobs(self) -> int:
        """How many jobs of all visitors are waiting or running."""
        with self._lock:
            return sum(run.open_jobs for run in self._runs.values())

    def enter(self, run: Run) -> None:
        """Make a run the current one of its slot."""
        with self._lock:
            previous = self._runs.get((run.owner, run.slot))
            self._runs[run.owner, run.slot] = run
        if previous is not None:
            previous.end(Superseded())

    def leave(self, run: Run) -> None:
        """Forget a run, unless a newer one has its slot by now."""
        with self._lock:
            if self._runs.get((run.owner, run.slot)) is run:
                del self._runs[run.owner, run.slot]
