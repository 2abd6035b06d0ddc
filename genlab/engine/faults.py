"""What is done when a model's code raises: one job fails alone, memory is freed and tried again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch

from genlab.engine.device import Device
from genlab.engine.job import Job
from genlab.engine.runner import Runner
from genlab.requests import UserError

log = logging.getLogger(__name__)

GROW_AFTER = 60.0  # seconds without an out-of-memory until a model may try more rows again
TOO_LITTLE = "The device has too little memory for this; ask for fewer images."
LOST = ("device-side assert", "illegal memory access", "unspecified launch")
"""What CUDA says when it will refuse every further call."""
Fail = Callable[[Job, BaseException], None]


class DeviceLost(Exception):
    """The device answers no call of this process any more; only a new process can use it."""


class Guard:
    """Calls a runner so that whatever raises fails one job only.

    Args:
        fail: ends a job with an error's sentence.
        clock: seconds.
    """

    def __init__(self, fail: Fail, clock: Callable[[], float]) -> None:
        self._fail = fail
        self._clock = clock
        self._shrunk_at: WeakKeyDictionary[Runner, float] = WeakKeyDictionary()
        self._shortages: dict[str, int] = {}  # out-of-memories by checkpoint
        self._devices: dict[str, Device] = {}  # of those checkpoints, for their row limits

    def together(
        self, runner: Runner, call: Callable[[list[Job]], Sequence[Any]], jobs: Sequence[Job]
    ) -> list[tuple[Job, Any]]:
        """``call`` for all jobs at once; if it raises, job by job, and only the culprit fails.

        Out of memory: again with fewer rows a call, then with fewer jobs. By then nothing holds
        what the failed call had allocated: its exception and its frames are gone.
        """
        answers: list[tuple[Job, Any]] = []

        def run() -> None:
            answers.extend(zip(jobs, call(list(jobs)), strict=True))

        while (error := _error_of(run)) is not None and is_out_of_memory(error):
            answers.clear()
            if not self._shrink(jobs[0].request.checkpoint, runner):
                error = UserError(TOO_LITTLE)
                break
        if error is None:
            return answers
        if len(jobs) == 1:
            self._fail(jobs[0], error)
            return []
        del error  # and with it the frames that hold what the failed call had allocated
        return [pair for job in jobs for pair in self.together(runner, call, [job])]

    def alone(self, job: Job, call: Callable[[], None]) -> None:
        """A call that touches one job; if it raises, that job fails."""
        error = _error_of(call)
        if error is not None:
            self._fail(job, UserError(TOO_LITTLE) if is_out_of_memory(error) else error)

    def each(self, jobs: Sequence[Job], call: Callable[[Job], Any]) -> Iterator[Any]:
        """What ``call`` says of each job; those for which it raises fail, and are left out."""
        for job in jobs:
            answers: list[Any] = []
            self.alone(job, lambda job=job, answers=answers: answers.append(call(job)))
            yield from answers

    def recover(self, runner: Runner) -> None:
        """Let a model that ran out of memory a while ago take more rows again."""
        shrunk_at = self._shrunk_at.get(runner)
        if shrunk_at is not None and self._clock() - shrunk_at > GROW_AFTER:
            runner.device.grow()
            if runner.device.max_rows < runner.device.ceiling:
                self._shrunk_at[runner] = self._clock()
            else:
                del self._shrunk_at[runner]

    def figures(self, name: str) -> dict[str, int]:
        """What became of a checkpoint's memory, for people who run the house."""
        if name not in self._shortages:
            return {"out_of_memory": 0}
        device = self._devices[name]
        return {
            "out_of_memory": self._shortages[name],
            "rows_a_call": device.max_rows,
            "rows_a_call_at_first": device.ceiling,
        }

    def _shrink(self, name: str, runner: Runner) -> bool:
        """Fewer rows a call of that model; False if it is at one already."""
        self._shrunk_at[runner] = self._clock()
        self._shortages[name] = self._shortages.get(name, 0) + 1
        self._devices[name] = runner.device
        return runner.device.shrink()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or not."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "can't allocate memory" in text or "Failed to allocate" in text
    )


def is_device_lost(error: BaseException) -> bool:
    """Whether an error says that a GPU refuses all further work of this process."""
    text = str(error)
    return isinstance(error, RuntimeError) and any(words in text for words in LOST)


def _error_of(call: Callable[[], Any]) -> BaseException | None:
    """What a call raises; None if nothing. Of an out-of-memory only the text, without its frames.

    Raises:
        DeviceLost: if the device is gone.
        KeyboardInterrupt: as it came.
    """
    try:
        call()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if isinstance(error, DeviceLost) or is_device_lost(error):
            log.exception("the device is lost")
            raise DeviceLost(str(error)) from None
        return MemoryError(str(error)) if is_out_of_memory(error) else error
    return None
