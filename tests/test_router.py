"""Routing over replicas: batches stay dense, owners are served evenly, nothing is lost."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from genlab.families.pixel_diffusion.request import PixelDiffusionRequest
from genlab.families.vae.request import ReconstructRequest, VAERequest
from genlab.serving.autoscaling import LONGEST_WAIT, Autoscaler
from genlab.serving.router import BATCHES_AHEAD, LOADING, SPILL, Router, Work, work_of

ROWS = 8  # most rows of a network call here


class House:
    """A router, and seconds that pass only when a test says so."""

    def __init__(self, *replicas: str) -> None:
        self.now = 0.0
        self.router = Router(max_rows=ROWS)
        self._ids = itertools.count(1)
        for name in replicas:
            self.router.up(name, self.now)

    def ask(self, owner: str = "a", key: str = "m", rows: int = 1, units: float = 10) -> int:
        job = next(self._ids)
        self.router.add(job, Work((key, "Request"), rows, units), owner)
        return job

    def place(self) -> dict[int, str]:
        return dict(self.router.place(self.now))

    def finish(self, *jobs: int, after: float = 1.0) -> None:
        self.now += after
        for job in jobs:
            self.router.finish(job, self.now)


def learn(house: House, seconds: float, key: str = "m") -> None:
    """Let the router see that a request of ``ask`` takes so many device seconds."""
    job = house.ask("before", key)
    house.place()
    house.finish(job, after=seconds)


# --- dense batches --------------------------------------------------------------------------------


def test_requests_of_a_key_meet_on_one_replica_until_its_batch_is_full():
    house = House("one", "two")
    jobs = [house.ask(f"student {k}") for k in range(ROWS + 3)]
    places = house.place()
    assert {places[job] for job in jobs[:ROWS]} == {"one"}
    assert {places[job] for job in jobs[ROWS:]} == {"two"}


def test_different_keys_go_to_different_replicas():
    house = House("one", "two")
    a, b = house.ask(key="vae"), house.ask(key="gan")
    places = house.place()
    assert places[a] != places[b]


def test_what_is_more_than_two_batches_a_replica_waits_here_where_anybody_can_take_it():
    house = House("one", "two")
    jobs = [house.ask(f"student {k}") for k in range(2 * BATCHES_AHEAD * ROWS + 5)]
    assert len(house.place()) == 2 * BATCHES_AHEAD * ROWS
    assert house.router.waiting() == jobs[-5:]
    house.router.up("three", house.now)
    assert set(house.place().values()) == {"three"}


def test_a_request_larger_than_a_batch_is_served_all_the_same():
    house = House("one")
    job = house.ask(rows=10 * ROWS)
    assert house.place() == {job: "one"}


def test_what_a_replica_has_learned_bounds_its_batches():
    house = House("one", "two")
    house.router.up("one", 0.0, {"m": 2})
    for k in range(4):
        house.ask(f"student {k}")
    places = list(house.place().values())
    assert (places.count("one"), places.count("two")) == (2, 2)


def test_a_replica_that_has_the_model_is_preferred():
    house = House("one", "two")
    house.router.up("two", 0.0, {"m": ROWS})
    job = house.ask()
    assert house.place() == {job: "two"}


def test_a_long_queue_is_worth_loading_the_model_elsewhere():
    house = House("one", "two")
    learn(house, LOADING + SPILL + 1)
    house.router.up("one", house.now, {"m": 1})
    first, second = house.ask("a"), house.ask("b")
    assert house.place() == {first: "one", second: "two"}


def test_a_batch_on_a_replica_that_is_far_behind_is_not_joined():
    house = House("one", "two")
    learn(house, 1.0, "m")
    learn(house, SPILL + 2, "heavy")
    house.router.up("one", house.now, {"m": ROWS, "heavy": ROWS})
    light, heavy = house.ask("a", "m"), house.ask("b", "heavy")
    house.router.drain("two")
    places = house.place()
    assert places == {light: "one", heavy: "one"}
    house.router.up("three", house.now)
    late = house.ask("c", "m")
    assert house.place() == {late: "three"}


# --- owners ---------------------------------------------------------------------------------------


def test_an_owner_with_many_requests_leaves_room_to_one_with_a_single_request():
    house = House("one")
    learn(house, 1.0)
    crowd = [house.ask("greedy") for _ in range(6 * ROWS)]
    house.place()
    modest = house.ask("modest")
    assert house.place() == {}
    house.finish(crowd[0])
    assert house.place() == {modest: "one"}


def test_owners_share_the_replicas_evenly_however_many_requests_they_have():
    house = House("one", "two")
    learn(house, 0.5)
    of: dict[int, str] = {}
    for owner, count in [("greedy", 200), ("diligent", 60), ("also", 60)]:
        of |= {house.ask(owner, units=10): owner for _ in range(count)}
    served: list[str] = []
    open_jobs: list[int] = list(house.place())
    while len(served) < 150:
        done, open_jobs = open_jobs[:4], open_jobs[4:]
        served += [of[job] for job in done]
        house.finish(*done, after=0.1)
        open_jobs += house.place()
    shares = [served.count(owner) for owner in ("greedy", "diligent", "also")]
    assert max(shares) <= 1.2 * min(shares), shares


def test_waiting_for_a_model_costs_an_owner_nothing():
    house = House("one")
    loads = house.ask("patient", "large")
    house.place()
    house.router.waits_for_model(loads, house.now)
    house.now += 30
    house.router.moved(loads, 1, 10, house.now)
    house.finish(loads, after=2)
    assert house.router.spent == pytest.approx(2)


# --- replicas come and go -------------------------------------------------------------------------


def test_nothing_is_sent_before_a_replica_lives():
    house = House()
    job = house.ask()
    assert house.place() == {}
    house.router.up("one", house.now)
    assert house.place() == {job: "one"}


def test_what_a_dead_replica_had_is_served_elsewhere_before_what_waits():
    house = House("one")
    learn(house, 1.0)
    jobs = [house.ask(f"student {k}") for k in range(BATCHES_AHEAD * ROWS)]
    house.place()
    late = house.ask("late")
    assert house.router.down("one", house.now) == jobs
    assert house.router.waiting() == [*jobs, late]
    house.router.up("two", house.now)
    assert set(house.place()) == set(jobs)


def test_a_drained_replica_takes_nothing_more_and_keeps_what_it_has():
    house = House("one", "two")
    first = house.ask()
    assert house.place() == {first: "one"}
    house.router.drain("one")
    house.router.up("one", house.now, {"m": ROWS})  # still lives, still drains
    second = house.ask()
    assert house.place() == {second: "two"}
    assert house.router.open_jobs("one") == 1


def test_a_stopped_request_makes_room_and_teaches_nothing():
    house = House("one")
    job = house.ask(units=10)
    house.place()
    house.now += 100
    house.router.finish(job, house.now, drawn=False)
    house.ask(units=10)
    assert house.router.backlog() < 1


def test_the_backlog_is_what_is_left_of_everything_open():
    house = House("one")
    learn(house, 4.0)
    job = house.ask()
    assert house.router.backlog() == pytest.approx(4)
    house.place()
    house.router.moved(job, 3, 4, house.now)
    assert house.router.backlog() == pytest.approx(1)


# --- what a request needs -------------------------------------------------------------------------


def test_guidance_doubles_the_rows_and_steps_multiply_the_work():
    request = PixelDiffusionRequest(
        checkpoint="ddpm-mnist", count=4, num_inference_steps=50, guidance="classifier-free"
    )
    plain = VAERequest(checkpoint="vae", count=4)
    assert work_of(plain) == Work(("vae", "VAERequest"), 4, 4.0)
    assert work_of(request).units == work_of(request).rows * 50
    assert work_of(request).rows == 4 * request.calls_per_step


def test_pictures_that_are_given_count_as_rows():
    request = ReconstructRequest(checkpoint="vae", images=np.zeros((7, 28, 28), np.uint8))
    assert work_of(request).rows == 7


# --- how many replicas ----------------------------------------------------------------------------


def test_a_long_queue_calls_for_more_replicas_at_once_up_to_the_most():
    scaler = Autoscaler(1, 3)
    assert scaler.wanted(LONGEST_WAIT / 2, 0, 0) == 1
    assert scaler.wanted(1.5 * LONGEST_WAIT, 0, 1) == 2
    assert scaler.wanted(100 * LONGEST_WAIT, 0, 2) == 3


def test_replicas_are_given_back_one_by_one_after_a_calm_while():
    scaler = Autoscaler(1, 3, calm=60)
    scaler.wanted(100 * LONGEST_WAIT, 0, 0)
    wanted = [scaler.wanted(0, 0, now) for now in range(1, 200, 10)]
    assert wanted[0] == 3
    assert wanted[-1] == 1
    assert sorted(wanted, reverse=True) == wanted
    assert 2 in wanted


def test_replicas_that_work_all_the_while_are_kept_although_nothing_waits():
    scaler = Autoscaler(1, 3, calm=60)
    scaler.wanted(100 * LONGEST_WAIT, 0, 0)
    wanted = [scaler.wanted(1.0, 1.9 * now, now) for now in range(1, 400, 5)]
    assert wanted[-1] == 3


def test_a_short_lull_gives_nothing_back():
    scaler = Autoscaler(1, 2, calm=60)
    scaler.wanted(2 * LONGEST_WAIT, 0, 0)
    scaler.wanted(0, 0, 10)
    scaler.wanted(2 * LONGEST_WAIT, 0, 50)
    assert scaler.wanted(0, 0, 75) == 2
