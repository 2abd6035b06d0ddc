"""The engine: submit, cancel, events, tick. Knows no model; one worker thread owns the device."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self

import torch

from genlab.engine.batcher import Batcher
from genlab.engine.job import Cancelled, Event, Failed, Job, Progress, Queued, Result
from genlab.requests import Request, UserError

if TYPE_CHECKING:
    from genlab.engine.runner import Family

log = logging.getLogger(__name__)


class Models(Protocol):
    """Where the engine gets models from (the catalogue; a fake in tests)."""

    def check(self, request: Request) -> None:
        """Raise UserError if no model can serve this request. Cheap; any thread."""

    def load(self, name: str) -> Family:
        """The loaded checkpoint; may be slow. The worker's thread only."""
        ...

    def has_room(self, name: str, begun: set[str]) -> bool:
        """Whether that model can be loaded without unloading one of those. Worker's thread."""
        ...

    def shrink(self) -> bool:
        """After an out-of-memory: make the next try smaller; False if that is impossible."""
        ...


class Engine:
    """Serves everybody's requests from one device by step-level continuous batching.

    Args:
        models: where checkpoints come from.
        max_rows: most rows in one network call.
        max_jobs: most requests waiting or running; more are refused with a sentence.
        max_jobs_per_owner: the same for one owner.
    """

    def __init__(
        self,
        models: Models,
        *,
        max_rows: int = 64,
        max_jobs: int = 256,
        max_jobs_per_owner: int = 64,
    ) -> None:
        self._models = models
        self._batcher = Batcher(max_rows)
        self._max_jobs = max_jobs
        self._max_jobs_per_owner = max_jobs_per_owner
        self._lock = threading.Condition()  # guards the batcher and _closed
        self._closed = False
        self._worker: threading.Thread | None = None

    # --- any thread -------------------------------------------------------------------------

    def submit(self, request: Request, owner: str = "local") -> Job:
        """Queue a request; raises UserError if it cannot be served or the queue is full."""
        self._models.check(request)
        job = Job(request, owner)
        with self._lock:
            if self._closed:
                raise UserError("GenLab is shutting down; please try again in a minute.")
            if len(self._batcher) >= self._max_jobs:
                raise UserError(
                    f"The queue is full: {self._max_jobs} requests are waiting. "
                    "Please try again in a moment."
                )
            if self._batcher.count(owner) >= self._max_jobs_per_owner:
                raise UserError(
                    f"You already have {self._max_jobs_per_owner} requests waiting; "
                    "let some finish or stop them first."
                )
            waiting = sum(other.started_at is None for other in self._batcher.jobs())
            job.post(Queued(position=waiting + 1))
            self._batcher.add(job)
            self._lock.notify_all()
        return job

    def cancel(self, job: Job) -> None:
        """Stop one job, queued or running; nobody else's is touched."""
        job.cancel()
        with self._lock:
            self._lock.notify_all()

    def start(self) -> Self:
        """Start the worker thread."""
        self._worker = threading.Thread(target=self._work, name="genlab-engine", daemon=True)
        self._worker.start()
        return self

    def shutdown(self) -> None:
        """Refuse new requests, end the ones inside with a sentence, and join the worker."""
        with self._lock:
            self._closed = True
            self._lock.notify_all()
        if self._worker is not None:
            self._worker.join()
        for job in self._batcher.jobs():
            self._end(job, Failed("GenLab is shutting down; please try again in a minute."))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.shutdown()

    # --- the worker's thread ----------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._closed or len(self._batcher) > 0)
                if self._closed:
                    return
            try:
                self.tick()
            except Exception:  # a fault of the engine or a family's list: the worker must go on
                log.exception("a tick failed; its jobs are given up")
                for job in self._batcher.jobs():
                    self._end(job, Failed("GenLab had to give up this request; please try again."))

    def tick(self) -> bool:
        """One turn: choose a batch, one network call, hand out what came of it.

        Returns whether there was anything to do.
        """
        self._drop_cancelled()
        with self._lock:
            jobs = self._batcher.next_batch(self._turns())
        if not jobs:
            return False
        family = self._family(jobs)
        if family is None:
            return True
        jobs = family.taking_part(jobs)
        self._start(family, [job for job in jobs if job.started_at is None])
        predictions = self._together(family.predict, [job for job in jobs if not job.ended])
        for job, prediction in predictions.items():
            self._advance(family, job, prediction)
        moved = [job for job in predictions if not job.ended]
        done = [job for job in moved if job.step >= job.total]
        for job, outcome in self._together(family.finish, done).items():
            now = time.monotonic()
            begun = job.started_at or now
            waited = begun - job.submitted_at
            result = Result(outcome.images, outcome.extras, outcome.notes, now - begun, waited)
            self._end(job, result)
        self._report(family, [job for job in moved if job.step < job.total])
        return True

    def _turns(self) -> Callable[[Job], bool]:
        """Whether a job may move in this tick, so that no model is unloaded in the middle of work.

        A job whose model has no room waits for those that have begun, and jobs that came after it
        wait too: else a class that draws with one model would keep another's out for good.
        """
        jobs = self._batcher.jobs()
        begun = {job.request.checkpoint for job in jobs if job.started_at is not None}
        names = {job.request.checkpoint for job in jobs}
        out = {name for name in names if not self._models.has_room(name, begun)}
        first = min((job.id for job in jobs if job.request.checkpoint in out), default=None)
        return lambda job: (
            first is None
            or job.request.checkpoint not in out
            and (job.started_at is not None or job.id < first)
        )

    def _family(self, jobs: Sequence[Job]) -> Family | None:
        """The model of a batch, loaded now if need be; a failure to load ends the batch's jobs."""
        name = jobs[0].request.checkpoint
        try:
            return self._models.load(name)
        except Exception as error:
            for job in jobs:
                self._fail(job, error)
            return None

    def _start(self, family: Family, jobs: Sequence[Job]) -> None:
        if not jobs:
            return
        begun = time.monotonic()
        for job, state in self._together(family.start, jobs).items():
            job.state, job.started_at = state, begun
            job.total = family.total_steps(job)
        with self._lock:
            waiting = [job for job in self._batcher.jobs() if job.started_at is None]
        for position, job in enumerate(waiting, start=1):
            job.post(Queued(position))

    def _advance(self, family: Family, job: Job, prediction: Any) -> None:
        try:
            family.advance(job, prediction)
            job.step += 1
        except Exception as error:
            self._fail(job, error)

    def _report(self, family: Family, jobs: Sequence[Job]) -> None:
        due = [job for job in jobs if _preview_due(job)]
        previews = self._together(family.preview, due)
        for job in jobs:
            if not job.ended:
                elapsed = time.monotonic() - (job.started_at or 0)
                eta = elapsed / job.step * (job.total - job.step)
                job.post(Progress(job.step, job.total, previews.get(job), eta))

    def _together(
        self, call: Callable[[list[Job]], list[Any]], jobs: Sequence[Job]
    ) -> dict[Job, Any]:
        """``call`` for all jobs at once; if it raises, job by job, and only the culprit fails."""
        if not jobs:
            return {}
        try:
            return dict(zip(jobs, self._fitting(call, list(jobs)), strict=True))
        except Exception as error:
            if len(jobs) == 1:
                self._fail(jobs[0], error)
                return {}
            answers: dict[Job, Any] = {}
            for job in jobs:
                answers |= self._together(call, [job])
            return answers

    def _fitting(self, call: Callable[[list[Job]], list[Any]], jobs: list[Job]) -> list[Any]:
        """``call``, again with fewer rows as long as the device runs out of memory."""
        while True:
            try:
                return call(jobs)
            except torch.OutOfMemoryError as error:
                if not self._models.shrink():
                    raise UserError(
                        "The device has too little memory for this; ask for fewer images."
                    ) from error

    def _drop_cancelled(self) -> None:
        with self._lock:
            gone = [job for job in self._batcher.jobs() if job.cancelled.is_set()]
        for job in gone:
            self._end(job, Cancelled())

    def _fail(self, job: Job, error: Exception) -> None:
        if isinstance(error, UserError):
            self._end(job, Failed(str(error)))
            return
        log.error("job %d failed: %r", job.id, job.request, exc_info=error)
        kind = type(error).__name__
        self._end(job, Failed(f"GenLab could not finish this request ({kind}); the log says why."))

    def _end(self, job: Job, event: Event) -> None:
        with self._lock:
            self._batcher.remove(job)
        job.state = None  # frees its latents
        job.post(event)


def _preview_due(job: Job) -> bool:
    every = getattr(job.request, "preview_every", 0)
    return bool(every) and job.step % every == 0
