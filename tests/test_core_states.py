"""Whatever happens in whatever order: each job ends exactly once, and nobody is kept out.

A state machine of hypothesis submits, cancels and steps; breaks runners, takes their memory away,
lets models load and leave. The models count instead of drawing, and time passes when they say so.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from genlab.engine.core import Core, FollowUp
from genlab.engine.costs import UNIT_SECONDS
from genlab.engine.events import FINAL, Cancelled, Failed, Loading, Progress, Queued, Result
from genlab.engine.fairness import OVERDUE, Fairness, Key
from genlab.engine.job import Job
from genlab.requests import UserError
from tests.fakes import Clock, CountingRequest, HungryRunner, request_of

OWNERS = ("ada", "bo", "cy", "di")
SECONDS: dict[str, Callable[[int], float]] = {  # of a network call, by rows
    "quick": lambda rows: 0.005 + 0.004 * rows,
    "slow": lambda rows: 0.2,
    "heavy": lambda rows: 0.02 * rows,
    "one-by-one": lambda rows: 0.1,
    "judge": lambda rows: 0.01 * rows,
}
DRAWING = tuple(name for name in SECONDS if name != "judge")
PLACES = (
    "batch_key", "rows", "start", "total_steps", "predict", "advance", "undecoded", "decode",
    "store", "preview", "result",
)  # fmt: skip
BROKEN = st.sampled_from([""] * 12 + [f"boom in {place}" for place in PLACES])
FOREVER = 3_000  # steps of a core whose visitors ask for nothing more


class OneByOne(HungryRunner):
    """Serves one job after another."""

    exclusive = True


class Shelf:
    """Room for so many models; loading ends when told, and what is not in use may leave."""

    def __init__(self, clock: Clock) -> None:
        self.room = 1
        self.runners: OrderedDict[str, HungryRunner] = OrderedDict()  # least recently used first
        self.loading: set[str] = set()
        self.leaving: set[str] = set()  # their files have changed
        self.damaged: set[str] = set()
        self.no_room_for: set[str] = set()  # said since the last step
        self.changed = False  # whether something has come since then
        self._clock = clock

    def get(self, name: str, in_use: Collection[str]) -> HungryRunner | str:
        if name in self.damaged:
            raise UserError(f"The checkpoint {name} is damaged.")
        if name in self.leaving and name not in in_use:
            self.runners.pop(name, None)
            self.leaving.discard(name)
        if name in self.runners:
            self.runners.move_to_end(name)
            return self.runners[name]
        if name in self.loading:
            return "loading"
        idle = [other for other in self.runners if other not in in_use]
        while len(self.runners) + len(self.loading) >= self.room:
            if not idle:
                self.no_room_for.add(name)
                return "no room"
            del self.runners[idle.pop(0)]
        self.loading.add(name)
        return "loading"

    def title(self, name: str) -> str:
        return name

    def load(self) -> None:
        """What is on its way has come."""
        self.changed = self.changed or bool(self.loading)
        for name in sorted(self.loading):
            kind = OneByOne if name == "one-by-one" else HungryRunner
            self.runners[name] = kind(self._clock, SECONDS[name])
            self.runners[name].room = 64
            self.runners[name].chunks = 2 if name == "slow" else 0
        self.loading.clear()


class Watched(Fairness):
    """Notes for how long those who could have moved were passed over."""

    def __init__(self) -> None:
        super().__init__()
        self.passed_over: dict[str, tuple[float, int]] = {}  # seconds, most people meanwhile
        self.longest = UNIT_SECONDS  # of a unit
        self._could: set[str] = set()

    def next_batch(self, ready: Sequence[tuple[Key, Job]], *others: Any) -> Any:
        self._could = {job.owner for _, job in ready}
        return super().next_batch(ready, *others)

    def charge(self, key: Key, jobs: Sequence[Job], rows: Sequence[int], seconds: float) -> None:
        super().charge(key, jobs, rows, seconds)
        self.longest = max(self.longest, seconds)
        before, people = self.passed_over, len(self._could)
        self.passed_over = {}
        for owner in self._could - {job.owner for job in jobs}:
            waited, most = before.get(owner, (0.0, 0))
            self.passed_over[owner] = waited + seconds, max(most, people)


class Lesson(RuleBasedStateMachine):
    """A house over a core; what it promises is checked after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.shelf = Shelf(self.clock)
        self.core = Core(self.shelf, self._follow_up, self.clock)  # pyright: ignore[reportArgumentType]
        self.core._fairness = self.fairness = Watched()
        self.requests: dict[int, CountingRequest] = {}
        self.events: dict[int, list[Any]] = {}
        self.open: dict[int, str] = {}  # owners
        self.cancelled: set[int] = set()
        self.populations: set[str] = set()

    def _follow_up(self, request: CountingRequest, drawn: Result) -> FollowUp:
        """As `models.judging`: a population that one measures for all, then each its pictures."""
        name = request.checkpoint

        def question(merge: Callable[[Result, Result | None], Any]) -> FollowUp:
            return FollowUp(request_of(1, request.negative_prompt, checkpoint="judge"), merge)

        def told(drawn: Result, answer: Result | None) -> Result:
            return replace(drawn, figures={"read": 1})

        def measured(drawn: Result, answer: Result | None) -> FollowUp:
            self.populations.add(name)
            return question(told)

        if name in self.populations:
            return question(told)
        population = request.model_copy(update={"count": 8, "judge": False, "prompt": ""})
        return FollowUp(population, lambda *_: replace(question(measured), once=name), once=name)

    # --- what may happen --------------------------------------------------------------------

    @initialize(room=st.integers(1, 3))
    def open_the_house(self, room: int) -> None:
        self.shelf.room = room

    @rule(
        owner=st.sampled_from(OWNERS),
        checkpoint=st.sampled_from(DRAWING),
        steps=st.sampled_from((1, 2, 5, 60)),
        count=st.sampled_from((1, 1, 2, 16)),
        prompt=BROKEN,
        to_the_judge=BROKEN,
        judge=st.booleans(),
        jobs=st.integers(1, 4),
    )
    def submit(
        self, owner: str, checkpoint: str, steps: int, count: int, prompt: str,
        to_the_judge: str, judge: bool, jobs: int,
    ) -> None:  # fmt: skip
        request = request_of(
            steps, prompt, checkpoint=checkpoint, count=count, preview_every=2,
            judge=judge, negative_prompt=to_the_judge,
        )  # fmt: skip
        for _ in range(jobs):
            self._add(request, owner)

    @precondition(lambda self: self.requests)
    @rule(which=st.integers(0, 40))
    def cancel(self, which: int) -> None:
        ids = [*self.open, 1, len(self.requests) + 1]  # some that have ended or never began, too
        job_id = ids[which % len(ids)]
        if job_id in self.open:
            self.cancelled.add(job_id)
        self.core.cancel(job_id)

    @rule(count=st.integers(1, 12))
    def step(self, count: int) -> None:
        for _ in range(count):
            self._one_step()

    @rule()
    def load(self) -> None:
        self.shelf.load()

    @rule(name=st.sampled_from(tuple(SECONDS)))
    def evict(self, name: str) -> None:
        """Its files have changed: what was measured with it no longer counts."""
        self.shelf.leaving.add(name)
        self.populations.discard(name)

    @rule(name=st.sampled_from((*SECONDS, *["judge"] * 3)))
    def fail_to_load(self, name: str) -> None:
        if name not in self.shelf.runners:
            self.shelf.damaged.add(name)
            self._one_step()
            self.shelf.damaged.clear()

    @rule(name=st.sampled_from(tuple(SECONDS)), rows=st.sampled_from((0, 1, 3, 64)))
    def run_out_of_memory(self, name: str, rows: int) -> None:
        if name in self.shelf.runners:
            self.shelf.runners[name].room = rows

    @rule(newcomers=st.lists(st.sampled_from(DRAWING), min_size=1, max_size=3), own=st.booleans())
    def stream(self, newcomers: list[str], own: bool) -> None:
        """Somebody whom nobody knows comes at each step, or one asks again and again."""
        for turn in range(40):
            request = request_of(1, checkpoint=newcomers[turn % len(newcomers)])
            self._add(request, OWNERS[0] if own else f"visitor {len(self.requests)}")
            self._one_step()
            self.shelf.load()

    @rule()
    def settle(self) -> None:
        """Nothing new comes, models load: everybody is served."""
        for _ in range(FOREVER):
            if self.core.idle and not self.shelf.loading and not self.shelf.changed:
                break
            self.shelf.load()
            self._one_step()
        at_rest = "though the core is at rest" if self.core.idle else ""
        assert not self.open, f"{self.open} wait for ever {at_rest}"
        assert not self.core._jobs

    def teardown(self) -> None:
        if self.requests:
            self.settle()

    def _add(self, request: CountingRequest, owner: str) -> None:
        job_id = len(self.requests) + 1
        self.requests[job_id], self.open[job_id] = request, owner
        self.core.add(job_id, request, owner)

    # --- what has to hold -------------------------------------------------------------------

    def _one_step(self) -> None:
        self.shelf.no_room_for.clear()
        self.shelf.changed = False
        asked_for = {job.id: job.request.checkpoint for job in self.core._jobs.values()}
        begun = {job.id for job in self.core._jobs.values() if job.started_at is not None}
        for job_id, event in self.core.step():
            self._check(job_id, event)
        self._check_patience()
        late = [
            job.id
            for job in self.core._jobs.values()
            if job.request.checkpoint in self.shelf.no_room_for
            and asked_for[job.id] == job.request.checkpoint
        ]
        for job in self.core._jobs.values():
            if late and job.started_at is not None and job.id not in begun:
                assert job.id < min(late), "nobody overtakes who waits for room"
        assert set(self.core._jobs) == set(self.open)
        doing = [j.once for j in self.core._jobs.values() if j.once is not None and not j.parked]
        assert len(doing) == len(set(doing)), "two do the same for all"

    def _check(self, job_id: int, event: Any) -> None:
        assert job_id in self.open, f"{event} came after the last event"
        past = self.events.setdefault(job_id, [])
        assert past or isinstance(event, Queued), "the first thing is the place in the queue"
        assert not isinstance(event, Loading) or event.title not in self.shelf.runners
        steps = [e.step for e in (*past, event) if isinstance(e, Progress)]
        assert steps == list(range(1, len(steps) + 1)), "no step is told twice or left out"
        past.append(event)
        if isinstance(event, FINAL):
            del self.open[job_id]
            self._check_end(job_id, event)

    def _check_end(self, job_id: int, event: Any) -> None:
        request = self.requests[job_id]
        assert isinstance(event, Cancelled) == (job_id in self.cancelled)
        if isinstance(event, Result):
            assert event.images.flat[0] == request.num_inference_steps
            assert bool(event.figures or event.notes) == bool(request.judge)
            spared = (
                ("preview",) if request.checkpoint == "slow" else ("preview", "decode", "store")
            )
            assert not request.prompt or request.prompt.removeprefix("boom in ") in spared
        if isinstance(event, Failed):
            text = event.message
            assert request.prompt or "memory" in text or "damaged" in text, text

    def _check_patience(self) -> None:
        """Nobody who can move waits for much longer than everybody's turn takes."""
        longest = self.fairness.longest
        for owner, (seconds, people) in self.fairness.passed_over.items():
            # a turn of everybody, twice; then whoever is overdue longer goes before
            assert seconds <= (OVERDUE * people + people + 1) * longest, owner


@pytest.fixture
def quiet() -> Iterator[None]:
    """Jobs fail by the thousand: their tracebacks are not written."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def test_each_job_ends_exactly_once_and_nobody_is_kept_out(quiet: None) -> None:
    run_state_machine_as_test(
        Lesson,
        settings=settings(
            max_examples=120,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
