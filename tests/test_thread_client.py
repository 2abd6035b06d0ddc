"""The thread driver: many readers, admission, and a worker that dies and is replaced."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from genlab.engine.core import Core
from genlab.engine.events import FINAL, Cancelled, Failed, Loading, Progress, Queued, Result
from genlab.engine.faults import DeviceLost
from genlab.requests import UserError
from genlab.serving.client import Ticket
from genlab.serving.thread import CLOSING, DEATHS, ThreadClient
from genlab.settings import Settings
from tests.fakes import CountingRunner, FakeModels, FakeRegistry, request_of

PATIENCE = 30  # seconds; nothing here takes more than a moment


class House:
    """A client over fake models, and the cores that its workers have built."""

    def __init__(self, may_build: bool = True, **settings: Any) -> None:
        self.models = FakeModels()
        self.cores: list[Core] = []
        self.model_changed: Callable[[], None] = lambda: None
        self.may_build = threading.Event()
        if may_build:
            self.may_build.set()
        self.client = ThreadClient(FakeRegistry(), Settings(**settings), self._build)  # type: ignore[arg-type]
        self.client.start()

    def _build(self, registry: Any, settings: Any, model_changed: Callable[[], None]) -> Core:
        assert self.may_build.wait(PATIENCE)
        self.model_changed = model_changed
        self.cores.append(Core(self.models))
        return self.cores[-1]


@pytest.fixture
def house() -> Iterator[House]:
    made = House(max_jobs=40, max_jobs_per_owner=20)
    yield made
    made.client.close()


def last(ticket: Ticket) -> object:
    """The final event, waited for as long as a person would."""
    seen: list[object] = []
    reader = threading.Thread(target=lambda: seen.extend(ticket), daemon=True)
    reader.start()
    reader.join(PATIENCE)
    assert not reader.is_alive(), f"ticket {ticket.id} waits forever; so far {seen}"
    return seen[-1]


def value(event: object) -> int:
    assert isinstance(event, Result), event
    return int(event.images.flat[0])


def test_many_threads_are_served_at_once(house):
    values: list[int] = []

    def student(k: int) -> None:
        values.append(value(house.client.submit(request_of(3 + k % 5), str(k)).result()) - k % 5)

    threads = [threading.Thread(target=student, args=(k,)) for k in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert values == [3] * 30


def test_an_async_reader_gets_every_kind_of_event_and_the_final_one(house):
    async def read() -> list[object]:
        return [event async for event in house.client.submit(request_of(20))]

    events = asyncio.run(asyncio.wait_for(read(), PATIENCE))
    assert isinstance(events[-1], Result)
    assert all(isinstance(event, (Queued, Loading, Progress, Result)) for event in events)


def test_a_reader_that_went_away_disturbs_nobody(house):
    async def leave_early() -> None:
        async for _ in house.client.submit(request_of(100)):
            return

    asyncio.run(leave_early())
    assert value(house.client.submit(request_of(), "b").result()) == 3


def test_an_unread_preview_outlives_newer_progress():
    ticket = Ticket(request_of(), "a")
    ticket.post(Progress(2, 9, picture := CountingRunner().preview([_job(2)])[0], 0.0))
    ticket.post(Progress(3, 9, None, 0.0))
    event = next(iter(ticket))
    assert isinstance(event, Progress)
    assert (event.step, event.preview is picture) == (3, True)


def _job(count: int) -> Any:
    class Job:
        request = request_of()
        state = {"count": count}  # noqa: RUF012
        step = 1

    return Job()


def test_cancelling_by_id_ends_that_one_only(house):
    house.models.loading = {"slow"}
    stuck = house.client.submit(request_of(checkpoint="slow"), "a")
    other = house.client.submit(request_of(), "b")
    assert value(other.result()) == 3
    house.client.cancel(stuck.id)
    house.client.cancel(987654)  # nobody's
    assert last(stuck) == Cancelled()


def test_an_unknown_checkpoint_is_refused_at_once(house):
    with pytest.raises(UserError, match="no checkpoint called"):
        house.client.submit(request_of(checkpoint="missing"))


def test_a_full_house_refuses_with_a_sentence_and_keeps_what_it_has(house):
    house.models.loading = {"counting"}
    tickets = [house.client.submit(request_of(), f"student {k}") for k in range(40)]
    with pytest.raises(UserError, match="queue is full: 40 requests are waiting"):
        house.client.submit(request_of(), "late")
    house.models.loading.clear()
    house.model_changed()
    assert [value(last(ticket)) for ticket in tickets] == [3] * 40
    assert value(house.client.submit(request_of(), "late").result()) == 3


def test_one_owner_cannot_fill_the_house(house):
    house.models.loading = {"counting"}
    for _ in range(20):
        house.client.submit(request_of(), "greedy")
    with pytest.raises(UserError, match="already have 20 requests"):
        house.client.submit(request_of(), "greedy")
    house.client.submit(request_of(), "modest")


def test_a_model_that_has_been_loaded_wakes_a_worker_that_waits(house):
    ticket = house.client.submit(request_of(checkpoint="slow"))
    events = iter(ticket)
    while not isinstance(next(events), Loading):
        pass
    house.models.loading.clear()
    house.model_changed()
    assert value(last(ticket)) == 3


def test_a_request_that_comes_before_the_engine_is_there_is_told_so_and_served():
    house = House(may_build=False)
    ticket = house.client.submit(request_of())
    assert next(iter(ticket)) == Loading("the engine")
    assert house.client.figures().device == ""
    house.may_build.set()
    assert value(last(ticket)) == 3
    house.client.close()


def test_closing_ends_what_is_left_with_a_sentence_and_refuses_more():
    house = House()
    ticket = house.client.submit(request_of(checkpoint="slow"))
    house.client.close()
    ending = last(ticket)
    assert isinstance(ending, Failed)
    assert "shutting down" in ending.message
    with pytest.raises(UserError, match="shutting down"):
        house.client.submit(request_of())


# --- a worker that dies ---------------------------------------------------------------------


def die_after(house: House, steps: int, error: BaseException, times: int = 1) -> None:
    """Let the next ``times`` cores raise in the middle of their work."""
    build = house._build
    left = [times]

    def armed(*args: Any) -> Core:
        core = build(*args)
        if left[0] > 0:
            left[0] -= 1
            arm(core, steps, error)
        return core

    house.client._make_core = armed
    if house.cores:
        left[0] -= 1
        arm(house.cores[-1], steps, error)


def arm(core: Core, steps: int, error: BaseException) -> None:
    step, taken = core.step, [0]

    def dying() -> Any:
        taken[0] += 1
        if taken[0] > steps:
            raise error
        return step()

    core.step = dying  # type: ignore[method-assign]


ERRORS = [SystemExit(1), MemoryError(), KeyboardInterrupt(), DeviceLost("device-side assert")]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_a_worker_that_dies_is_replaced_and_its_jobs_are_run_again(house, error):
    house.client.wait_until_ready()
    die_after(house, 4, error)
    tickets = [house.client.submit(request_of(9), f"student {k}") for k in range(5)]
    assert [value(last(ticket)) for ticket in tickets] == [9] * 5
    assert house.client.figures().restarts == 1
    assert house.client.figures().healthy
    assert len(house.cores) == 2


def test_jobs_are_repeated_once_and_then_given_up_with_a_sentence(house):
    house.client.wait_until_ready()
    die_after(house, 4, SystemExit(1), times=2)
    ticket = house.client.submit(request_of(9))
    ending = last(ticket)
    assert isinstance(ending, Failed)
    assert "try again" in ending.message
    assert value(last(house.client.submit(request_of(9)))) == 9


def test_a_request_that_the_dead_worker_never_saw_still_has_its_repetition():
    house = House()
    house.client.wait_until_ready()
    late: list[Ticket] = []
    error = SystemExit(1)

    def dying() -> Any:
        if not late:
            late.append(house.client.submit(request_of(9), "late"))
        raise error

    house.cores[-1].step = dying  # type: ignore[method-assign]
    build, left = house._build, [1]

    def armed(*args: Any) -> Core:
        core = build(*args)
        if left:
            left.pop()
            arm(core, 2, error)
        return core

    house.client._make_core = armed
    early = house.client.submit(request_of(9), "early")
    assert isinstance(last(early), Failed)
    assert value(last(late[0])) == 9
    house.client.close()


def test_deaths_with_finished_work_between_them_do_not_add_up(house):
    house.client.wait_until_ready()
    for k in range(DEATHS + 1):
        arm(house.cores[-1], 0, SystemExit(1))
        assert value(last(house.client.submit(request_of(3)))) == 3
        assert house.client.figures().restarts == k + 1
    assert house.client.figures().healthy


def test_who_was_given_up_may_ask_again():
    house = House(max_jobs_per_owner=1)
    house.client.wait_until_ready()
    die_after(house, 4, SystemExit(1), times=2)
    assert isinstance(last(house.client.submit(request_of(9))), Failed)
    assert value(last(house.client.submit(request_of(9)))) == 9
    house.client.close()


def test_a_stopped_job_is_not_repeated_when_its_worker_dies(house):
    house.client.wait_until_ready()
    ticket = house.client.submit(request_of(checkpoint="slow"))
    events = iter(ticket)
    while not isinstance(next(events), Loading):
        pass
    arm(house.cores[-1], 0, SystemExit(1))
    house.client.cancel(ticket.id)  # wakes the worker, which dies before it can say so
    assert last(ticket) == Cancelled()


def test_a_stop_that_comes_while_a_dead_workers_jobs_are_queued_again_is_heard(house):
    """It may come after the new queue was begun and before its job is in there."""
    house.client.wait_until_ready()
    house.models.loading = {"slow", "counting"}
    ticket = house.client.submit(request_of(), "a")

    class Queue(type(house.client._inbox)):  # type: ignore[misc]
        def append(self, item: tuple[str, int]) -> None:
            if item == ("add", ticket.id):
                ticket.cancelled = True  # as ``cancel`` does, whose word is before the job here
                super().append(("cancel", ticket.id))
            super().append(item)

    while house.client._inbox:
        time.sleep(0.005)
    house.client._inbox = Queue()
    arm(house.cores[-1], 0, SystemExit(1))
    house.model_changed()
    assert last(ticket) == Cancelled()


def test_who_waits_for_an_engine_that_is_closed_before_it_is_there_hears_of_it():
    client = ThreadClient(FakeRegistry(), Settings(), lambda *_: Core(FakeModels()))  # type: ignore[arg-type]
    client.close()
    heard: list[str] = []

    def wait() -> None:
        try:
            client.wait_until_ready()
        except UserError as error:
            heard.append(str(error))

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    waiting.join(5)
    assert heard == [CLOSING]


def test_an_engine_that_cannot_live_says_so_and_nobody_waits_forever(house):
    house.client.wait_until_ready()
    die_after(house, 1, SystemExit(1), times=100)
    tickets = [house.client.submit(request_of(9), f"student {k}") for k in range(3)]
    for ticket in tickets:
        assert isinstance(last(ticket), Failed)
    assert len(house.cores) < DEATHS
    last(house.client.submit(request_of(9)))
    with pytest.raises(UserError, match="has to be restarted"):
        house.client.submit(request_of(9))
    assert not house.client.figures().healthy


def test_a_core_that_cannot_be_built_is_one_sentence_for_all():
    def no_device(*_: Any) -> Core:
        raise UserError("There is no device 'cuda' here.")

    client = ThreadClient(FakeRegistry(), Settings(), no_device)  # type: ignore[arg-type]
    client.start()
    with pytest.raises(UserError, match="no device 'cuda'"):
        client.wait_until_ready()
    with pytest.raises(UserError, match="no device 'cuda'"):
        client.submit(request_of())
    assert not client.figures().healthy
    client.close()


def test_no_ticket_ends_twice():
    ticket = Ticket(request_of(), "a")
    ticket.post(Cancelled())
    ticket.post(Failed("late"))
    assert [event for event in ticket if isinstance(event, FINAL)] == [Cancelled()]
