"""The driver over replicas, driven over a cluster inside this process: no Ray is needed here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from genlab.engine.events import Cancelled, Failed, Loading, Queued, Result
from genlab.requests import UserError
from genlab.serving import fleet
from genlab.serving.client import ServingFigures
from genlab.serving.ray import AWAY, NO_ENGINE, RayClient
from genlab.serving.ray_replica import Report
from genlab.serving.router import Router
from genlab.serving.thread import GAVE_UP
from genlab.settings import Settings
from tests.fake_cluster import FakeCluster, FakeReplica
from tests.fakes import FakeRegistry, request_of
from tests.test_thread_client import last, value

PATIENCE = 20.0  # seconds; nothing here takes more than a few


class House:
    """A client over replicas of this process."""

    def __init__(self, replicas: int = 2, pace: float = 0.0, **settings: Any) -> None:
        self.cluster: FakeCluster = None  # type: ignore[assignment]

        def make(given: Settings) -> FakeCluster:
            self.cluster = FakeCluster(given)
            self.cluster.pace = pace
            return self.cluster

        own = Settings(replicas=replicas, **settings)
        self.client = RayClient(FakeRegistry(), own, make)  # type: ignore[arg-type]

    def start(self) -> House:
        self.client.start().wait_until_ready()
        self.wait(lambda: len(self.client.replicas()) == self.client._settings.replicas)
        return self

    def busy(self) -> FakeReplica:
        """The replica that has something to do."""
        name = max(self.client.replicas().items(), key=lambda item: item[1])[0]
        return self.cluster.replicas[name]

    def wait(self, holds: Callable[[], bool]) -> None:
        last_moment = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < last_moment
            time.sleep(0.02)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "PULSE", 0.05)


@pytest.fixture
def house() -> Iterator[House]:
    made = House(pace=0.02, max_jobs=200).start()
    yield made
    made.client.close()


def begun(ticket: Any) -> Any:
    """Wait until a ticket's request is at work; its further events."""
    events = iter(ticket)
    while isinstance(next(events), (Queued, Loading)):
        pass
    return events


def test_everybody_is_served_and_a_batch_meets_on_one_replica(house):
    tickets = [house.client.submit(request_of(5), f"student {k}") for k in range(10)]
    assert [value(last(ticket)) for ticket in tickets] == [5] * 10
    assert sorted(len(replica.served) for replica in house.cluster.replicas.values()) == [0, 10]
    assert house.client.figures().open_jobs == 0
    assert house.client.figures().device == "2 x cpu"


def test_it_tells_how_many_wait_and_for_how_long(house):
    house.client.submit(request_of(1)).result()
    tickets = [house.client.submit(request_of(5, count=64), f"student {k}") for k in range(12)]
    house.wait(lambda: house.client.figures().waiting_jobs > 0)
    house.wait(lambda: (house.client.figures().wait_seconds or 0) > 0)
    for ticket in tickets:
        ticket.result()
    house.wait(lambda: house.client.figures().waiting_jobs == 0)


def test_a_killed_replica_loses_nothing(house):
    tickets = [house.client.submit(request_of(20), f"student {k}") for k in range(8)]
    begun(tickets[0])
    house.busy().kill()
    assert [value(last(ticket)) for ticket in tickets] == [20] * 8
    assert {len(replica.served) for replica in house.cluster.replicas.values()} == {8}
    assert all(ticket.repeated for ticket in tickets)


def test_a_replica_that_was_started_again_is_used_again_and_counted(house):
    names = set(house.client.replicas())
    victim = house.cluster.replicas[min(names)]
    victim.kill()
    victim.start()
    house.wait(lambda: house.client.figures().restarts == 1)
    house.wait(lambda: set(house.client.replicas()) == names)


def test_a_request_that_loses_replica_after_replica_is_given_up(house):
    ticket = house.client.submit(request_of(100))
    for _ in range(3):
        house.wait(lambda: sum(house.client.replicas().values()) == 1)
        victim = house.busy()
        victim.kill()
        house.wait(lambda v=victim: house.client.replicas().get(v.name, 0) == 0)
        victim.start()
    assert last(ticket) == Failed(GAVE_UP)
    assert value(last(house.client.submit(request_of()))) == 3


def test_a_drained_replica_finishes_its_work_and_another_takes_its_place(house):
    ticket = house.client.submit(request_of(30))
    begun(ticket)
    drained = house.busy()
    house.client.drain(drained.name)
    later = house.client.submit(request_of(3), "late")
    assert value(last(later)) == 3
    assert len(drained.served) == 1
    assert value(last(ticket)) == 30
    assert not ticket.repeated
    house.wait(lambda: drained.deleted and len(house.client.replicas()) == 2)
    assert drained.name not in house.client.replicas()


def test_scaling_up_and_down_under_load_loses_nothing():
    house = House(1, pace=0.01, max_rows=2, max_jobs=500).start()
    tickets = [house.client.submit(request_of(20), f"student {k}") for k in range(60)]
    house.client.scale(3)
    house.wait(lambda: len(house.client.replicas()) == 3)
    house.wait(lambda: min(house.client.replicas().values()) > 0)
    house.client.scale(1)
    assert [value(last(ticket)) for ticket in tickets] == [20] * 60
    assert not any(ticket.repeated for ticket in tickets)
    house.wait(lambda: len(house.client.replicas()) == 1)
    assert all(len(replica.served) > 2 for replica in house.cluster.replicas.values())
    house.client.close()


def test_a_long_queue_brings_replicas_by_itself(monkeypatch):
    monkeypatch.setattr("genlab.serving.autoscaling.LONGEST_WAIT", 0.2)
    house = House(1, pace=0.02, max_replicas=3, max_rows=2, max_jobs=500).start()
    tickets = [house.client.submit(request_of(20), f"student {k}") for k in range(40)]
    house.wait(lambda: len(house.client.replicas()) == 3)
    assert [value(last(ticket)) for ticket in tickets] == [20] * 40
    house.client.close()


def test_cancelling_ends_that_one_only_and_reaches_the_replica(house):
    stuck = house.client.submit(request_of(10_000), "a")
    begun(stuck)
    other = house.client.submit(request_of(5), "b")
    house.client.cancel(stuck.id)
    house.client.cancel(987654)  # nobody's
    assert last(stuck) == Cancelled()
    assert value(last(other)) == 5
    replicas = house.cluster.replicas.values()
    house.wait(lambda: all(replica.client.figures().open_jobs == 0 for replica in replicas))


def test_admission_is_at_the_door(house):
    with pytest.raises(UserError, match="no checkpoint called"):
        house.client.submit(request_of(checkpoint="missing"))
    for _ in range(64):
        house.client.submit(request_of(10_000), "greedy")
    with pytest.raises(UserError, match="already have 64 requests"):
        house.client.submit(request_of(), "greedy")


def test_what_waits_hears_its_place_in_the_queue():
    house = House(1, pace=0.02, max_rows=1).start()
    tickets = [house.client.submit(request_of(10), f"student {k}") for k in range(6)]
    events = list(tickets[-1])
    positions = [event.position for event in events if isinstance(event, Queued)]
    assert positions[0] > 1
    assert isinstance(events[-1], Result)
    house.client.close()


def test_a_request_that_comes_before_there_is_a_replica_is_told_so_and_served():
    house = House(1)
    ticket = house.client.submit(request_of())
    assert next(iter(ticket)) == Loading("the engine")
    house.client.start()
    assert value(last(ticket)) == 3
    house.client.close()


def test_a_lost_head_is_told_to_those_inside_and_the_cluster_is_joined_again(house, monkeypatch):
    monkeypatch.setattr("genlab.serving.ray.RETRY", 0.05)
    ticket = house.client.submit(request_of(10_000))
    begun(ticket)
    house.cluster.lose_head()
    assert last(ticket) == Failed(AWAY)
    assert not house.client.figures().healthy
    with pytest.raises(UserError, match="being started again"):
        house.client.submit(request_of())
    house.cluster.head = True
    house.wait(lambda: house.client.figures().healthy)
    assert value(last(house.client.submit(request_of()))) == 3
    assert house.cluster.connections == 2


def test_without_a_cluster_the_sentence_says_so():
    house = House()
    house.cluster.head = False
    ticket = house.client.submit(request_of())
    house.client.start()
    with pytest.raises(UserError, match="no Ray cluster"):
        house.client.wait_until_ready()
    assert "no Ray cluster" in last(ticket).message
    house.client.close()


def test_replicas_whose_engine_does_not_start_are_not_waited_for():
    house = House(3)
    house.cluster.healthy = False
    ticket = house.client.submit(request_of())
    house.client.start()
    with pytest.raises(UserError, match="engine does not start"):
        house.client.wait_until_ready()
    assert last(ticket) == Failed(NO_ENGINE)
    house.client.close()


def test_closing_ends_what_is_left_and_gives_the_replicas_back(house):
    ticket = house.client.submit(request_of(10_000))
    begun(ticket)
    house.client.close()
    assert "shutting down" in last(ticket).message
    assert all(replica.deleted for replica in house.cluster.replicas.values())
    with pytest.raises(UserError, match="shutting down"):
        house.client.submit(request_of())


def test_a_cluster_that_ends_with_its_page_is_not_emptied_replica_by_replica():
    house = House()
    house.start()
    house.cluster.outlives_us = False
    house.client.close()
    assert not any(replica.deleted for replica in house.cluster.replicas.values())


def test_a_cluster_that_does_not_answer_does_not_keep_its_page_from_closing(house, monkeypatch):
    monkeypatch.setattr(fleet, "DELETING", 0.2)
    house.cluster.delete = lambda name: asyncio.Event().wait()
    begun = time.monotonic()
    house.client.close()
    assert time.monotonic() - begun < PATIENCE / 2


@pytest.mark.parametrize("turns", range(6))
def test_a_fleet_that_is_ended_just_as_a_report_arrives_ends(turns):
    async def live() -> None:
        cluster = FakeCluster(Settings())
        replica = await cluster.deploy("replica")

        async def report() -> Report:
            for _ in range(turns):  # so many turns of the loop before the report is here
                await asyncio.sleep(0)
            asyncio.get_running_loop().call_soon(life.cancel)
            return Report("replica 0", 1, ServingFigures("cpu"), 4)

        replica.report = report  # type: ignore[method-assign]
        cluster.deploy = lambda name: asyncio.sleep(0, replica)  # type: ignore[method-assign]
        kept = fleet.Fleet(cluster, Router(4), None, 1, lambda: None, lambda jobs: None)
        life = asyncio.create_task(kept.run())
        _, running = await asyncio.wait({life}, timeout=PATIENCE)
        replica.kill()
        assert not running

    asyncio.run(live())
