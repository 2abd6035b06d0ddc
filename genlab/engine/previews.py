"""How often a model shows what it is drawing: previews may take a share of its time, no more."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

from genlab.engine.job import Job
from genlab.engine.runner import Runner

SHARE = 0.05  # of device time


class _Spent:
    """Of one loaded model: seconds since its first step, and what a preview costs."""

    def __init__(self) -> None:
        self.steps = 0.0
        self.previews = 0.0
        self.each = 0.0  # of one job, lately


class PreviewBudget:
    """Which of the previews that are due are drawn, so that they stay within their share."""

    def __init__(self) -> None:
        self._spent: WeakKeyDictionary[Runner, _Spent] = WeakKeyDictionary()

    def worked(self, runner: Runner, seconds: float) -> None:
        """A unit of a model took so long."""
        self._of(runner).steps += seconds

    def due(self, runner: Runner, jobs: Sequence[Job]) -> list[Job]:
        """The jobs whose turn it is by ``preview_every``, as many as there is time for.

        Those come first that were shown least.
        """
        jobs = sorted((job for job in jobs if _wanted(job)), key=lambda job: job.previews)
        spent = self._of(runner)
        left = SHARE * spent.steps - spent.previews
        if not spent.each:
            return jobs[:1] if left < 0 else jobs
        return jobs[: max(0, int(left / spent.each))]

    def spent(self, runner: Runner, jobs: Sequence[Job], seconds: float) -> None:
        """The previews of these jobs took so long."""
        for job in jobs:
            job.previews += 1
        if jobs:
            spent = self._of(runner)
            spent.previews += seconds
            spent.each = seconds / len(jobs)

    def _of(self, runner: Runner) -> _Spent:
        return self._spent.setdefault(runner, _Spent())


def _wanted(job: Job) -> bool:
    every = getattr(job.request, "preview_every", 0)
    return bool(every) and job.step % every == 0 and job.step < job.total
