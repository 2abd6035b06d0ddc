"""The engine's core: add, cancel, step. A plain function of its jobs: no thread, no lock, no model.

Whoever drives it calls `step` again and again; each does one bounded unit of work for all jobs that
can share it, so jobs join and leave at any step.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from genlab.engine.costs import UnitCost
from genlab.engine.events import Cancelled, Event, Failed, Loading, Progress, Queued, Result
from genlab.engine.fairness import Fairness, Key
from genlab.engine.faults import DeviceLost, Guard
from genlab.engine.job import Job, JobId
from genlab.engine.previews import PreviewBudget
from genlab.engine.runner import Runner
from genlab.requests import Request, UserError

log = logging.getLogger(__name__)

START, STEP, DECODE = "start", "step", "decode"  # the kinds of work unit
Waiting = Literal["loading", "no room"]


class Models(Protocol):
    """Where the core gets loaded models from (`models.cache`; a fake in tests)."""

    def get(self, name: str, in_use: Collection[str]) -> Runner | Waiting:
        """The loaded model, or why it has to be asked for again; raises UserError. Never slow."""
        ...

    def title(self, name: str) -> str:
        """What a person calls that model."""
        ...


@dataclass(frozen=True)
class FollowUp:
    """What is to be done with a drawn result before its owner gets it.

    Attributes:
        request: served as a part of the same job; None if there is nobody to ask.
        merge: the result, or what to ask next, from what is drawn and the answer (None: nobody's).
        once: names what other jobs need too. One job does it; the others wait meanwhile, and then
            are told anew what is to be done with theirs. None: nobody else needs it.
    """

    request: Request | None
    merge: Callable[[Result, Result | None], Result | FollowUp]
    once: Hashable = None


class Core:
    """Serves everybody's requests from one device, one unit of work a step.

    Args:
        models: where loaded models come from.
        follow_up: what becomes of the result of a request that asks to be judged.
        clock: seconds; what it says between two calls is a unit's device time.
    """

    def __init__(
        self,
        models: Models,
        follow_up: Callable[[Any, Result], FollowUp | None] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._models = models
        self._follow_up = follow_up or (lambda request, result: None)
        self._clock = clock
        self._jobs: dict[JobId, Job] = {}  # in the order of arrival
        self._events: list[tuple[JobId, Event]] = []
        self._fairness = Fairness()
        self._costs: dict[tuple[str, str], UnitCost] = {}  # by checkpoint and kind of unit
        self._previews = PreviewBudget()
        self._guard = Guard(self._fail, clock)
        self._no_room_from: JobId | None = None  # the first job whose model has no room
        self._doing: dict[Hashable, JobId] = {}  # who does a `FollowUp.once` for the others
        self._stuck = False  # whether every job waits for a model

    # --- what a driver calls ----------------------------------------------------------------

    def add(self, job_id: JobId, request: Request, owner: str) -> None:
        """Let a request take part from the next step on."""
        job = Job(job_id, request, owner, self._clock())
        self._fairness.enter(job, self._jobs.values())
        waiting = sum(not other.started for other in self._jobs.values())
        self._jobs[job_id] = job
        self._post(job, Queued(waiting + 1))

    def cancel(self, job_id: JobId) -> None:
        """Drop a job; unknown ids are none. Its last event comes with the next step."""
        if job_id in self._jobs:
            self._end(self._jobs[job_id], Cancelled())

    @property
    def idle(self) -> bool:
        """Whether a step has nothing to do until a job comes or a model has been loaded."""
        return not self._events and (not self._jobs or self._stuck)

    def step(self) -> list[tuple[JobId, Event]]:
        """One unit of work: choose the jobs, run their network once, tell what came of it.

        Raises:
            DeviceLost: if no further unit can run in this process; jobs keep their place.
        """
        self._unpark()
        runners = self._runners()
        ready = self._ready(runners)
        chosen = self._fairness.next_batch(ready, self._cost, self._rows)
        self._stuck = chosen is None and not self._events  # an end may let others go on
        if chosen is not None:
            key, jobs = chosen
            rows = [self._rows(job) for job in jobs]
            began = self._clock()
            self._run(runners[key[0]], key[-1], jobs)
            seconds = self._clock() - began
            self._cost(key).measured(sum(rows), seconds)
            self._fairness.charge(key, jobs, rows, seconds)
            self._previews.worked(runners[key[0]], seconds)
            self._guard.recover(runners[key[0]])
        events, self._events = self._events, []
        return events

    @property
    def waiting(self) -> int:
        """How many jobs have not begun."""
        return sum(not job.started and job.drawn is None for job in self._jobs.values())

    def figures(self) -> dict[str, dict[str, Any]]:
        """For each model that has taken steps: what it did, rows a unit and a call, shortages."""
        figures: dict[str, dict[str, Any]] = {}
        for (name, unit), cost in self._costs.items():
            if unit == STEP:
                own = {"rows_a_unit": cost.row_limit(), "steps": cost.units, "rows": cost.rows}
                figures[name] = own | {"device_seconds": 0.0} | self._guard.figures(name)
        for (name, _), cost in self._costs.items():
            if name in figures:
                figures[name]["device_seconds"] += cost.device_seconds
        return figures

    # --- who can move -----------------------------------------------------------------------

    def _runners(self) -> dict[str, Runner]:
        """The loaded models that jobs are for; loads others, and fails jobs whose model cannot be.

        A job whose model has no room waits for those that have begun, and jobs that came after it
        do not begin either: else a class that draws with one model would keep another's out.
        """
        in_use = {job.request.checkpoint for job in self._jobs.values() if job.started}
        runners: dict[str, Runner] = {}
        self._no_room_from: JobId | None = None
        jobs_of: dict[str, list[Job]] = {}
        for job in self._jobs.values():
            if not job.parked:  # it has what its model could give
                jobs_of.setdefault(job.request.checkpoint, []).append(job)
        for name, jobs in jobs_of.items():
            try:
                model = self._models.get(name, in_use | runners.keys())
            except BaseException as error:
                for job in jobs:
                    self._fail(job, error)
                continue
            if isinstance(model, Runner):
                runners[name] = model
                continue
            if model == "no room":
                first = min(job.id for job in jobs)
                self._no_room_from = min(first, self._no_room_from or first)
            for job in jobs:
                if not job.announced:
                    job.announced = True
                    self._post(job, Loading(self._models.title(name)))
        return runners

    def _ready(self, runners: dict[str, Runner]) -> list[tuple[Key, Job]]:
        """The jobs that can move, each with the key of its next unit."""
        ready: list[tuple[Key, Job]] = []
        exclusive: set[str] = set()  # models whose one job at a time is in ``ready``
        for job in sorted(self._jobs.values(), key=lambda job: not job.started):
            name = job.request.checkpoint
            if job.parked or name not in runners or name in exclusive:
                continue
            late = self._no_room_from is not None and job.id >= self._no_room_from
            if late and not job.started and job.drawn is None:
                continue
            runner = runners[name]
            for key in self._guard.each([job], lambda j, r=runner: self._key(r, j)):
                ready.append((key, job))
                if runner.exclusive:
                    exclusive.add(name)
        return sorted(ready, key=lambda pair: pair[1].id)

    def _key(self, runner: Runner, job: Job) -> Key:
        if not job.batch_key:
            job.batch_key = (job.request.checkpoint, *runner.batch_key(job.request))
            job.rows = max(1, runner.rows(job.request))
            self._fairness.enter_kind(job, self._jobs.values())
        return (*job.batch_key, _next_unit(runner, job) or DECODE)

    def _cost(self, key: Key) -> UnitCost:
        return self._costs.setdefault((key[0], key[-1]), UnitCost())

    def _rows(self, job: Job) -> int:
        return job.rows

    # --- one unit ---------------------------------------------------------------------------

    def _run(self, runner: Runner, unit: str, jobs: Sequence[Job]) -> None:
        """Run a unit for jobs that share it and move each of them on."""
        now = self._clock()
        if unit == START:
            for job, state in self._guard.together(runner, runner.start, jobs):
                job.state, job.started = state, True
                job.started_at = job.started_at or now
                self._guard.alone(job, lambda job=job: _count_steps(runner, job))
            self._tell_queue()
        elif unit == STEP:
            for job, prediction in self._guard.together(runner, runner.predict, jobs):
                self._guard.alone(job, lambda job=job, p=prediction: _advance(runner, job, p))
            self._report(runner, [job for job in jobs if job.id in self._jobs])
        else:
            for job, decoded in self._guard.together(runner, runner.decode, jobs):
                self._guard.alone(job, lambda job=job, d=decoded: runner.store(job, d))
        for job in [job for job in jobs if job.id in self._jobs and job.started]:
            self._guard.alone(job, lambda job=job: self._finish_if_done(runner, job))

    def _finish_if_done(self, runner: Runner, job: Job) -> None:
        if _next_unit(runner, job) is not None:
            return
        result = runner.result(job)
        if job.drawn is not None and job.merge is not None:
            self._go_on(job, job.drawn, job.merge(job.drawn, result))
            return
        begun = job.started_at or job.added_at
        times = {"seconds": self._clock() - begun, "waited": begun - job.added_at}
        result = replace(result, fingerprint=runner.fingerprint_of(job.request), **times)
        if getattr(job.request, "judge", False):
            job.drawn = result  # from here on the pictures are safe, whatever fails
            job.state, job.started = None, False  # and the model is free to go
            self._follow(job)
        else:
            self._end(job, result)

    def _go_on(self, job: Job, drawn: Result, news: Result | FollowUp) -> None:
        while isinstance(news, FollowUp):
            self._let_go(job)
            job.once = news.once
            if self._is_done_by_another(job):
                job.parked = True
                return None
            if job.once is not None:
                self._doing[job.once] = job.id
            if news.request is not None:
                return job.goes_on_as(news.request, news.merge)
            news = news.merge(drawn, None)
        return self._end(job, news)

    def _is_done_by_another(self, job: Job) -> bool:
        return self._doing.get(job.once, job.id) != job.id

    def _let_go(self, job: Job) -> None:
        """A job no longer does what others may be waiting for."""
        if self._doing.get(job.once) == job.id:
            del self._doing[job.once]

    def _unpark(self) -> None:
        """Let jobs go on that waited for what another one did, or no longer does."""
        for job in [job for job in self._jobs.values() if job.parked]:
            if not self._is_done_by_another(job):
                job.parked = False
                self._guard.alone(job, lambda job=job: self._follow(job))

    def _follow(self, job: Job) -> None:
        if job.drawn is not None:
            self._go_on(job, job.drawn, self._follow_up(job.request, job.drawn) or job.drawn)

    def _report(self, runner: Runner, jobs: Sequence[Job]) -> None:
        """Tell how far jobs are, with previews as far as their share of the time allows."""
        jobs = [job for job in jobs if job.drawn is None]
        due = self._previews.due(runner, jobs)
        began = self._clock()
        previews = dict(self._guard.together(runner, runner.preview, due)) if due else {}
        self._previews.spent(runner, due, self._clock() - began)
        for job in [job for job in jobs if job.id in self._jobs]:
            eta = (self._clock() - (job.started_at or 0)) / job.step * (job.total - job.step)
            self._post(job, Progress(job.step, job.total, previews.get(job), eta))

    def _tell_queue(self) -> None:
        waiting = [job for job in self._jobs.values() if not job.started and job.drawn is None]
        for position, job in enumerate(waiting, start=1):
            if not job.announced:
                self._post(job, Queued(position))

    # --- how it ends ------------------------------------------------------------------------

    def _fail(self, job: Job, error: BaseException) -> None:
        """End a job with a sentence; pictures that were drawn before are given, without figures."""
        if isinstance(error, DeviceLost):
            raise error
        if isinstance(error, UserError):
            sentence = str(error)
        else:
            log.error("job %s failed", job.id, exc_info=error, extra=_fields(job))
            kind = type(error).__name__
            sentence = f"GenLab could not finish this request ({kind}); the log says why."
        if job.drawn is not None:
            note = f"The pictures could not be measured: {sentence}"
            self._end(job, replace(job.drawn, notes=(*job.drawn.notes, note)))
        else:
            self._end(job, Failed(sentence))

    def _end(self, job: Job, event: Event) -> None:
        if self._jobs.pop(job.id, None) is not None:
            self._let_go(job)
            job.state = job.drawn = None  # frees its latents
            self._post(job, event)

    def _post(self, job: Job, event: Event) -> None:
        self._events.append((job.id, event))


def _next_unit(runner: Runner, job: Job) -> str | None:
    """The kind of unit that a job needs next; None when only its result is left."""
    if not job.started:
        return START
    if job.step < job.total:
        return STEP
    return DECODE if runner.undecoded(job) > 0 else None


def _fields(job: Job) -> dict[str, Any]:
    """What the log is told of a job; who writes it knows what is nobody's business."""
    return {"job": job.id, "request": job.request}


def _count_steps(runner: Runner, job: Job) -> None:
    job.total = runner.total_steps(job)


def _advance(runner: Runner, job: Job, prediction: Any) -> None:
    runner.advance(job, prediction)
    job.step += 1
