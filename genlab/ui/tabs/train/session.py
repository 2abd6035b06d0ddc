"""One visitor's training: stretches of about a second, one request each. Knows no component.

What is trained stays here between two stretches, so a pause costs the engine nothing, settings may
change on the way, and whoever leaves takes everything along.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np

from genlab.engine.events import Cancelled, Event, Failed, Loading, Queued, Result
from genlab.families.live_training.listing import stages
from genlab.families.live_training.request import SUBJECTS, TrainRequest
from genlab.requests import UserError, parse_request
from genlab.serving.session_runs import Run, Stopped
from genlab.serving.training_slots import TrainingTime
from genlab.ui.tabs.train.history import History

STRETCH = 0.8  # seconds of one request, about
FASTER = 4  # times as many steps as in the stretch before, at most
REDRAW = 0.2  # seconds between two looks at what there is to show
LONGEST_PAUSE = 1800.0  # seconds
CHANGING = ("kl_weight", "learning_rate", "discriminator_rate", "generator_updates")
"""Settings that take effect at once."""


class TrainingSession:
    """A training as long as its page follows it.

    Args:
        request: what is trained and how; its ``steps`` and ``state`` are of no account.
        time_left: the time that it may take, and its place among those that train.
        paused: whether it waits to be led step by step from the start.

    Attributes:
        result: of the newest stretch that brought samples; None before the first.
        state: to go on from.
        step: how many steps are taken.
        history: the losses so far, and how many clusters of points are drawn.
        speed: steps a second lately.
        waiting: the event of a stretch that has not begun; None while it works.
        watched: what each of the six did in the step that one walks through.
        at: how many of those are shown.
        complaint: one sentence on why it does not go on, or on a wrong setting.
    """

    def __init__(
        self, request: TrainRequest, time_left: TrainingTime, paused: bool = False
    ) -> None:
        self.request = request.model_copy(update={"run": secrets.token_hex(8)})
        self.time = time_left
        self.paused = paused
        self.result: Result | None = None
        self.state = b""
        self.step = 0
        self.history = History()
        self.speed = 0.0
        self.waiting: Event | None = None
        self.watched: tuple[tuple[int, str, str], ...] = ()
        self.at = 0
        self.complaint = ""
        self._walks = 0  # steps that are still to be walked through
        self._steps = 2 * SUBJECTS[request.subject].unit

    # --- what the buttons do ------------------------------------------------------------------

    def pause_or_go_on(self) -> None:
        """The Pause button."""
        self.paused = not self.paused
        self.complaint = ""

    def walk(self) -> None:
        """The Step button: one of the six further; pauses what runs."""
        self.complaint = ""
        if self.paused and self.at < len(self.watched):
            self.at += 1
            return
        self.paused = True
        self._walks = 1

    def change(self, values: Mapping[str, Any]) -> None:
        """New settings from the next stretch on; raises UserError for a wrong one."""
        known = {name: getattr(self.request, name) for name in TrainRequest.model_fields}
        self.request = parse_request(TrainRequest, **(known | dict(values)))
        self.complaint = ""

    # --- following it -------------------------------------------------------------------------

    @property
    def family(self) -> str:
        """Whose loop it runs."""
        return SUBJECTS[self.request.subject].family

    @property
    def stage(self) -> int:
        """Which stage of the loop one looks at, counted from 1; 0: none."""
        if not self.watched or not self.at:
            return 0
        phase, part, _ = self.watched[self.at - 1]
        return stages(self.family).index((phase, part)) + 1

    async def follow(self, run: Run) -> AsyncIterator[None]:
        """Train until its time is over; yields whenever there is something new to show.

        Raises:
            UserError: a stretch failed, or the losses are no numbers any more.
            Stopped, Superseded: the visitor has ended it.
        """
        paused_at = time.monotonic()
        while self.time.left > 0:
            if run.ending is not None:
                raise run.ending
            if self.paused and not self._walks:
                if time.monotonic() - paused_at > LONGEST_PAUSE:
                    return
                await asyncio.sleep(REDRAW)
                yield
                continue
            place = ExitStack()
            try:
                place.enter_context(self.time)
            except UserError as error:  # others train
                if not self.step:
                    raise
                self.paused, self._walks, self.complaint = True, 0, str(error)
                yield
                continue
            with place:
                async for _ in self._train(run):
                    yield
            paused_at = time.monotonic()

    async def _train(self, run: Run) -> AsyncIterator[None]:
        """Stretch after stretch until it is paused, or its time is over."""
        while self.time.left > 0 and (self._walks or not self.paused):
            watching = self._walks > 0
            self._walks = 0
            if not watching:
                self.watched, self.at = (), 0
            request = self.request.model_copy(
                update={
                    "steps": 1 if watching else self._steps,
                    "watch": watching,
                    "state": self.state,
                }
            )
            began, shown = time.monotonic(), 0.0
            (ticket,) = run.submit([request])
            async for event in ticket:
                self.waiting = event if isinstance(event, (Queued, Loading)) else None
                if isinstance(event, Failed):
                    raise UserError(event.message)
                if isinstance(event, Cancelled):
                    raise run.ending or Stopped()
                if isinstance(event, Result):
                    self._take(event, time.monotonic() - began)
                elif time.monotonic() - shown < REDRAW:
                    continue
                shown = time.monotonic()
                yield

    def _take(self, result: Result, seconds: float) -> None:
        """What a stretch has brought."""
        extras = result.extras
        steps = extras["step"] - self.step
        self.history.add(extras["losses"])
        if "clusters" in extras:
            self.history.add({"clusters": np.full(steps, extras["clusters"])})
        if not extras["state"]:
            raise UserError(result.notes[0])
        self.state, self.step, self.result = extras["state"], extras["step"], result
        if extras["watched"]:
            self.watched, self.at = extras["watched"], 1
            return
        self.speed = steps / max(seconds, 1e-3)
        self._steps = max(1, min(round(STRETCH * self.speed), FASTER * self._steps, 5000))
