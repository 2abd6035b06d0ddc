"""Leases without `spaces`: who is served together, what is asked for, and how each one ends."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from genlab.engine.core import Core
from genlab.engine.events import Cancelled, Event, Failed, Loading, Progress, Result
from genlab.requests import UserError
from genlab.serving import lease
from genlab.serving.admission import Admission
from genlab.serving.choose import open_client
from genlab.serving.client import Client, ServingFigures, Ticket
from genlab.serving.lease import LeasedModels, draw
from genlab.serving.lease_costs import LONGEST, SHORTEST, LeaseCosts, Stopwatch, Work
from genlab.serving.lease_errors import NO_GPU, TOO_LONG, UNKNOWN, sentence_of
from genlab.serving.lease_stops import CELLS, SharedStops
from genlab.serving.routing import RoutingClient
from genlab.serving.thread import CLOSING, ThreadClient
from genlab.serving.zerogpu import LeaseClient
from genlab.settings import Host, Settings
from tests.fakes import Clock, CountingRunner, FakeModels, FakeRegistry, picture, request_of

BILLION = 1_000_000_000
PATIENCE = 20  # seconds


class FakeLeases:
    """Draws leases from a counting core; a gate holds them before each step."""

    def __init__(self) -> None:
        self.works: list[Work] = []
        self.closed: list[str] = []  # how each lease ended: "done" or "closed"
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.stopped: list[int] = []  # ids that the process is told to drop

    def __call__(self, work: Work, owner: str) -> Iterator[list[tuple[int, Event]]]:
        self.works.append(work)
        if self.error is not None:
            raise self.error
        core = Core(FakeModels())
        for ticket_id, request in work:
            core.add(ticket_id, request, owner)
        try:
            while not core.idle:
                yield core.step()
                assert self.gate.wait(PATIENCE)
            self.closed.append("done")
        except GeneratorExit:
            self.closed.append("closed")
            raise


class QuotaError(Exception):
    """As gradio.Error: its text is in attributes."""

    def __init__(self, title: str, message: str) -> None:
        super().__init__()
        self.title, self.message = title, message


@pytest.fixture
def leases() -> FakeLeases:
    return FakeLeases()


@pytest.fixture
def client(leases: FakeLeases) -> Iterator[LeaseClient]:
    costs = LeaseCosts(lambda name: BILLION, loaded=["counting"])
    made = LeaseClient(
        FakeRegistry(),  # type: ignore[arg-type]
        Settings(max_jobs_per_owner=8),
        leases,
        costs,
        leases.stopped.append,
    )
    yield made
    leases.gate.set()
    made.close()


def wait_until(true: Any) -> None:
    for _ in range(PATIENCE * 100):
        if true():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it never came true")


# --- the client -------------------------------------------------------------------------------


def test_what_an_owner_asks_for_at_once_is_one_lease(
    client: LeaseClient, leases: FakeLeases
) -> None:
    tickets = [client.submit(request_of(k + 1), "ada") for k in range(4)]
    assert [int(ticket.result().images.flat[0]) for ticket in tickets] == [1, 2, 3, 4]
    assert len(leases.works) == 1


def test_owners_do_not_share_a_lease(client: LeaseClient, leases: FakeLeases) -> None:
    tickets = [client.submit(request_of(), owner) for owner in ("ada", "bob")]
    for ticket in tickets:
        ticket.result()
    assert sorted(len(work) for work in leases.works) == [1, 1]


def test_what_comes_during_a_lease_waits_for_the_next(
    client: LeaseClient, leases: FakeLeases
) -> None:
    leases.gate.clear()
    first = client.submit(request_of(), "ada")
    wait_until(lambda: leases.works)
    second = client.submit(request_of(), "ada")
    assert len(leases.works) == 1
    leases.gate.set()
    first.result(), second.result()
    assert len(leases.works) == 2


def test_what_does_not_fit_into_one_lease_goes_into_the_next(
    client: LeaseClient, leases: FakeLeases
) -> None:
    tickets = [client.submit(request_of(200, count=8), "ada") for _ in range(3)]  # 77 s each
    for ticket in tickets:
        assert int(ticket.result().images.flat[0]) == 200
    assert [len(work) for work in leases.works] == [1, 2], "it has learned how quick it is"


def test_a_request_that_no_lease_is_long_enough_for_is_refused(
    client: LeaseClient, leases: FakeLeases
) -> None:
    with pytest.raises(UserError, match="fewer pictures or steps"):
        client.submit(request_of(5000), "ada")
    assert leases.works == []


def test_a_stopped_request_ends_at_once_and_its_lease_at_the_next_step(
    client: LeaseClient, leases: FakeLeases
) -> None:
    leases.gate.clear()
    ticket = client.submit(request_of(500), "ada")
    wait_until(lambda: leases.works)
    client.cancel(ticket.id)
    assert list(ticket)[-1] == Cancelled()
    assert client.figures().open_jobs == 0
    leases.gate.set()
    wait_until(lambda: leases.closed)
    assert leases.closed == ["closed"]


def test_a_request_stopped_among_others_is_told_to_their_process(
    client: LeaseClient, leases: FakeLeases
) -> None:
    leases.gate.clear()
    stopped, other = (client.submit(request_of(200), "ada") for _ in range(2))
    wait_until(lambda: leases.works)
    client.cancel(stopped.id)
    assert list(stopped)[-1] == Cancelled()
    leases.gate.set()
    assert int(other.result().images.flat[0]) == 200
    assert leases.stopped == [stopped.id]


def test_a_request_stopped_before_its_lease_takes_none(
    client: LeaseClient, leases: FakeLeases
) -> None:
    ticket = client.submit(request_of(), "ada")
    client.cancel(ticket.id)
    assert list(ticket)[-1] == Cancelled()
    client.submit(request_of(), "bob").result()
    assert [len(work) for work in leases.works] == [1]


def test_an_error_is_a_sentence_for_each_and_the_next_lease_works(
    client: LeaseClient, leases: FakeLeases
) -> None:
    leases.error = QuotaError("ZeroGPU queue timeout", "No GPU was available after 60s")
    tickets = [client.submit(request_of(), "ada") for _ in range(2)]
    assert [list(ticket)[-1] for ticket in tickets] == [Failed(NO_GPU)] * 2
    leases.error = None
    assert int(client.submit(request_of(), "ada").result().images.flat[0]) == 3


def test_a_lease_that_was_taken_back_asks_for_more_the_next_time(
    client: LeaseClient, leases: FakeLeases
) -> None:
    work = ((0, request_of(500)),)
    before = client._costs.seconds(work)
    leases.error = QuotaError("ZeroGPU worker error", "GPU task aborted")
    (last,) = list(client.submit(request_of(500), "ada"))[-1:]
    assert isinstance(last, Failed)
    assert "taken back" in last.message
    assert client._costs.seconds(work) > 1.5 * before
    assert client.figures().restarts == 1


def test_an_owner_cannot_fill_the_house(client: LeaseClient, leases: FakeLeases) -> None:
    leases.gate.clear()
    for _ in range(8):
        client.submit(request_of(), "ada")
    with pytest.raises(UserError, match="already have 8 requests"):
        client.submit(request_of(), "ada")


def test_closing_ends_what_is_inside_and_refuses_more(
    client: LeaseClient, leases: FakeLeases
) -> None:
    leases.gate.clear()
    ticket = client.submit(request_of(), "ada")
    wait_until(lambda: leases.works)
    threading.Timer(0.2, leases.gate.set).start()
    client.close()
    assert list(ticket)[-1] == Failed(CLOSING)
    with pytest.raises(UserError, match="shutting down"):
        client.submit(request_of(), "ada")


# --- what runs in the lease -------------------------------------------------------------------


class FakeCache:
    """The part of the cache that a lease asks."""

    def __init__(self, *loaded: str) -> None:
        self._loaded = dict.fromkeys(loaded)

    def loaded(self) -> dict[str, None]:
        return self._loaded

    def title(self, name: str) -> str:
        return name.title()


@pytest.fixture
def leased(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The core that `draw` uses, with its scans counted; "counting" is loaded."""
    core: Any = Core(FakeModels(CountingRunner()))
    core.cache = FakeCache("counting")
    scans: list[int] = []
    registry: Any = SimpleNamespace(
        find=lambda name: object() if name == "counting" else None,
        scan=lambda: scans.append(1),
    )
    monkeypatch.setattr(lease, "_models", LeasedModels(registry, Settings(), core))
    return SimpleNamespace(core=core, scans=scans)


def test_the_first_word_comes_before_any_work(leased: Any) -> None:
    assert next(iter(draw(((1, request_of()),), "ada"))) == []


def test_every_step_says_something_even_if_it_has_no_event(leased: Any) -> None:
    seen = list(draw(((1, request_of(4)), (2, request_of(2))), "ada"))
    assert len(seen) >= 6
    last = {ticket_id: event for events in seen for ticket_id, event in events}
    assert {k: int(event.images.flat[0]) for k, event in last.items()} == {1: 4, 2: 2}  # type: ignore[union-attr]


def test_a_model_that_is_not_loaded_yet_is_announced_and_looked_up(leased: Any) -> None:
    seen = list(draw(((1, request_of(checkpoint="newer")),), "ada"))
    assert (1, Loading("Newer")) in [pair for events in seen for pair in events]
    assert leased.scans == [1]


def test_closing_in_the_middle_leaves_nothing_for_the_next_lease(leased: Any) -> None:
    steps = draw(((1, request_of(50)),), "ada")
    for events in steps:
        if any(isinstance(event, Progress) for _, event in events):
            break
    steps.close()  # type: ignore[attr-defined]
    assert leased.core.idle
    ids = {k for events in draw(((2, request_of()),), "ada") for k, _ in events}
    assert ids == {2}


def test_what_is_stopped_in_the_middle_is_dropped_and_the_others_go_on(leased: Any) -> None:
    moved: list[int] = []
    ends: dict[int, Event] = {}
    for events in draw(((11, request_of(50)), (12, request_of(5))), "ada"):
        for ticket_id, event in events:
            if isinstance(event, Progress) and ticket_id == 11:
                moved.append(event.step)
                lease.stop(11)
            elif isinstance(event, (Cancelled, Result)):
                ends[ticket_id] = event
    assert moved == [1]
    assert isinstance(ends[11], Cancelled)
    assert int(ends[12].images.flat[0]) == 5  # type: ignore[union-attr]


def test_a_stop_is_seen_by_a_process_that_was_forked_before_it() -> None:
    stops = SharedStops()
    stopped, told = os.pipe()
    child = os.fork()
    if child == 0:  # no assertion in here: it must not end as a second test run
        os.read(stopped, 1)
        os._exit(len(stops.among([1, 5, 1 + CELLS])))
    stops.stop(5)
    os.write(told, b"!")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert stops.among([1, 5, 5 + CELLS]) == [5]


def test_a_core_that_breaks_down_takes_its_process_with_it(leased: Any) -> None:
    def broken() -> None:
        if leased.core._jobs:
            raise RuntimeError("the device is lost")

    leased.core.step = broken
    with pytest.raises(RuntimeError):  # `spaces` throws a process away that raises
        list(draw(((1, request_of()),), "ada"))


# --- costs ------------------------------------------------------------------------------------


def test_more_steps_and_pictures_ask_for_more_seconds_within_bounds() -> None:
    costs = LeaseCosts(lambda name: BILLION, ["counting"])
    small, large = ((0, request_of(1)),), ((0, request_of(500, count=2)),)
    assert costs.duration(small) == SHORTEST
    assert SHORTEST < costs.duration(large) < LONGEST
    assert costs.duration(large * 5) == LONGEST
    assert costs.fits(large)
    assert not costs.fits(large * 5)


def test_weights_that_have_to_be_read_first_take_time() -> None:
    work = ((0, request_of()),)
    read = LeaseCosts(lambda name: BILLION).seconds(work)
    assert read > LeaseCosts(lambda name: BILLION, ["counting"]).seconds(work) + 3


def test_a_measured_lease_corrects_the_guess() -> None:
    costs, clock = LeaseCosts(lambda name: BILLION, ["counting"]), Clock()
    work = ((7, request_of(100)),)
    guess = costs.seconds(work)
    watch = Stopwatch(costs, work, clock)
    for step in range(1, 101):
        clock.now += 0.001
        watch.saw(7, Progress(step, 100, None, None))
    watch.saw(7, Result(picture(1)))
    watch.stop()
    assert costs.seconds(work) == pytest.approx(guess - 1.5 * 100 * (0.03 - 0.001), rel=0.05)


# --- sentences --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "message", "parts"),
    [
        (
            "ZeroGPU quota exceeded",
            "You have exceeded your ZeroGPU quota (60s requested vs. 0s left). "
            "Try again in 0:42:10. ",
            ["60 s are needed, 0 s are left", "log in to Hugging Face", "in 0:42:10"],
        ),
        (
            "ZeroGPU quota exceeded",
            "You have exceeded your Pro ZeroGPU quota (60s requested vs. 30s left). "
            "Try again in 1 day, 0:42:10. ",
            ["ask for fewer pictures", "in 1 day, 0:42:10"],
        ),
        ("ZeroGPU quota exceeded", "No GPU was available after 60s. Try", ["log in"]),
        ("ZeroGPU pending credits exceeded", "You have too many", ["wait until they are"]),
        ("ZeroGPU illegal duration", "The requested GPU duration", [TOO_LONG]),
        ("ZeroGPU client error", "No GPU was available", [NO_GPU]),
        ("ZeroGPU client error", "Expired ZeroGPU proxy token", ["load the page again"]),
        ("ZeroGPU worker error", "GPU task aborted", ["taken back"]),
        ("ZeroGPU worker error", "KeyError", [UNKNOWN]),
    ],
)
def test_each_refusal_has_a_sentence(title: str, message: str, parts: list[str]) -> None:
    sentence = sentence_of(QuotaError(title, message))
    for part in parts:
        assert part in sentence
    assert ("log in" in sentence) <= ("Pro ZeroGPU" not in message)
    assert sentence.endswith(".")


def test_an_error_nobody_knows_has_a_sentence_too() -> None:
    assert sentence_of(KeyError("x")) == UNKNOWN


# --- which driver -----------------------------------------------------------------------------


class NamedClient(Client):
    """Remembers what it was given."""

    def __init__(self, name: str) -> None:
        self.name, self.seen, self.cancelled = name, list[str](), list[int]()
        self.open = False

    def __enter__(self) -> NamedClient:
        self.open = True
        return self

    def submit(self, request: Any, owner: str = "local") -> Ticket:
        self.seen.append(request.checkpoint)
        return Ticket(request, owner)

    def cancel(self, ticket_id: int) -> None:
        self.cancelled.append(ticket_id)

    def figures(self) -> ServingFigures:
        return ServingFigures(self.name, len(self.seen), 1, healthy=self.name != "ill")

    def close(self) -> None:
        self.open = False


def test_each_request_goes_to_the_driver_of_its_model() -> None:
    usual, other = NamedClient("cpu"), NamedClient("ZeroGPU")
    with RoutingClient(usual, other, lambda request: request.checkpoint == "sd") as client:
        assert usual.open
        assert other.open
        client.submit(request_of(checkpoint="vae"))
        ticket = client.submit(request_of(checkpoint="sd"))
        client.cancel(ticket.id)
        assert (usual.seen, other.seen) == (["vae"], ["sd"])
        assert ticket.id in other.cancelled
        assert client.figures() == ServingFigures("cpu + ZeroGPU", 2, 2)
    assert not usual.open
    assert not other.open


def test_two_drivers_of_a_house_have_one_door(leases: FakeLeases) -> None:
    door, settings = Admission(4, 2), Settings()
    registry: Any = FakeRegistry()
    small = ThreadClient(registry, settings, admission=door)  # not started: it ends nothing
    costs = LeaseCosts(lambda name: BILLION, loaded=["counting"])
    large = LeaseClient(registry, settings, leases, costs, leases.stopped.append, door)
    client = RoutingClient(small, large, lambda request: request.prompt == "large")
    leases.gate.clear()
    ticket = client.submit(request_of(prompt="large"), "ada")
    client.submit(request_of(), "ada")
    with pytest.raises(UserError, match="already have 2 requests"):
        client.submit(request_of(), "ada")
    leases.gate.set()
    ticket.result()
    client.submit(request_of(prompt="large"), "ada")
    client.close()


def test_a_house_with_one_ill_driver_is_ill() -> None:
    client = RoutingClient(NamedClient("cpu"), NamedClient("ill"), lambda request: False)
    assert not client.figures().healthy


def test_off_zerogpu_one_thread_serves_and_spaces_is_not_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "spaces", None)  # an import would raise
    monkeypatch.setenv("SPACE_ID", "org/genlab")  # a Space, but with hardware of its own
    client = open_client(FakeRegistry(), Settings(), Host())  # type: ignore[arg-type]
    assert isinstance(client, ThreadClient)
    client.close()


def test_the_host_says_that_it_is_zerogpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    assert Host().zero_gpu
    monkeypatch.delenv("SPACES_ZERO_GPU")
    assert not Host().zero_gpu
