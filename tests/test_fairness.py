"""Who goes next: device time is shared evenly between owners, counted on a fake clock."""

from __future__ import annotations

import pytest

from genlab.engine.core import Core
from genlab.engine.costs import FIRST_ROWS, UnitCost
from genlab.engine.events import Progress, Result
from genlab.engine.fairness import OVERDUE, REMEMBERED, Fairness
from genlab.engine.job import Job
from tests.fakes import Clock, CountingRunner, FakeModels, request_of


def linear(rows: int) -> float:
    """Seconds of a call: what a small UNet takes on two cores."""
    return 0.005 + 0.004 * rows


def house(*, seconds=linear, **others) -> tuple[Core, Clock, FakeModels]:
    """A core whose models take time: "counting" by ``seconds``, others by their own."""
    clock = Clock()
    models = FakeModels(CountingRunner(clock, seconds))
    for name, own in others.items():
        models.runners[name] = CountingRunner(clock, own)
    return Core(models, clock=clock), clock, models


def finished_after(core: Core, clock: Clock, job_id: int) -> tuple[float, float]:
    """Seconds until a job has its result, and its longest gap between two events."""
    begun = last = clock.now
    longest = 0.0
    while True:
        for event_of, event in core.step():
            if event_of == job_id and isinstance(event, (Progress, Result)):
                longest = max(longest, clock.now - last)
                last = clock.now
                if isinstance(event, Result):
                    return clock.now - begun, longest


def alone(steps: int = 25) -> float:
    """Seconds that one picture takes in an empty house that has warmed up."""
    core, clock, _ = house()
    core.add(1, request_of(steps=steps), "b")
    return finished_after(core, clock, 1)[0]


HEAVY = {
    "16 pictures of the same model, 100 steps": ("counting", linear, 1, 16, 100),
    "64 jobs of the same model": ("counting", linear, 64, 1, 50),
    "long steps of another model": ("other", lambda rows: 0.2, 1, 16, 100),
    "64 jobs of another model": ("other", lambda rows: 0.03 * rows, 64, 1, 100),
    "a thousand steps of another model": ("other", lambda rows: 0.18, 1, 16, 100),
}


@pytest.mark.parametrize("heavy", HEAVY)
def test_a_picture_beside_any_neighbour_takes_at_most_twice_an_even_share(heavy):
    name, seconds, jobs, count, steps = HEAVY[heavy]
    core, clock, _ = house(**({"other": seconds} if name == "other" else {}))
    for k in range(jobs):
        core.add(k + 1, request_of(steps=steps, count=count, checkpoint=name), "greedy")
    for _ in range(20):  # the neighbour is at work when the other comes
        core.step()
    core.add(1000, request_of(steps=25), "modest")
    took, _ = finished_after(core, clock, 1000)
    evenly = 2 * alone()
    assert took <= 2 * evenly


def test_no_unit_is_long_once_a_model_is_known():
    core, clock, models = house()
    for k in range(64):
        core.add(k + 1, request_of(steps=20), f"student {k}")
    gaps = []
    for _ in range(60):
        before = clock.now
        core.step()
        gaps.append(clock.now - before)
    assert max(gaps[10:]) <= 0.3
    assert max(map(len, models.runner.calls)) >= 32, "and yet a class shares its calls"


def test_a_class_shares_each_call_whatever_its_order():
    core, _, models = house()
    for k in range(16):
        core.add(k + 1, request_of(steps=30), f"student {k}")
    for _ in range(60):
        core.step()
    assert len(models.runner.calls[-1]) == 16


def test_an_owner_with_twenty_jobs_gets_no_more_time_than_one_with_one():
    core, clock, models = house()
    for k in range(20):
        core.add(k + 1, request_of(steps=100), "greedy")
    core.add(1000, request_of(steps=10_000, checkpoint="other"), "modest")
    models.runners["other"] = CountingRunner(clock, linear)
    while clock.now < 3.0:
        core.step()
    greedy, modest = (core._fairness._owners.seconds(name) for name in ("greedy", "modest"))
    assert greedy == pytest.approx(modest, rel=0.2)


def test_who_comes_later_does_not_get_the_time_that_others_had_before():
    core, clock, models = house(other=linear)
    core.add(1, request_of(steps=100), "early")
    while clock.now < 0.5:
        core.step()
    core.add(2, request_of(steps=100, checkpoint="other"), "late")
    before = len(models.runner.calls)
    for _ in range(20):
        core.step()
    assert len(models.runner.calls) - before >= 8, "the early one is not shut out meanwhile"


def test_an_owners_long_run_does_not_hold_up_their_own_quick_one():
    core, clock, _ = house(other=lambda rows: 0.2)
    core.add(1, request_of(steps=100, checkpoint="other"), "one")
    for _ in range(5):
        core.step()
    core.add(2, request_of(steps=10), "one")
    took, _ = finished_after(core, clock, 2)
    assert took < 0.2 * 5


def test_an_owners_next_run_of_the_same_kind_joins_the_one_that_is_under_way():
    core, clock, models = house()
    core.add(1, request_of(steps=200), "one address")
    for _ in range(5):
        core.step()
    core.add(2, request_of(steps=10), "one address")
    took, _ = finished_after(core, clock, 2)
    assert took < 0.5
    assert models.runner.calls[-1] == [1, 2]


def test_what_was_had_while_nobody_else_was_there_is_no_debt_to_a_class_that_comes_later():
    def teacher_waits(before: float) -> float:
        core, clock, _ = house(other=linear)
        while clock.now < before:
            core.add(1, request_of(steps=100), "teacher")
            while not core.idle:
                core.step()
        for k in range(30):
            core.add(1000 + k, request_of(steps=250, checkpoint="other"), f"student {k}")
        for _ in range(40):
            core.step()
        core.add(2, request_of(steps=25), "teacher")
        return finished_after(core, clock, 2)[0]

    assert teacher_waits(before=60.0) <= 1.1 * teacher_waits(before=0.0)


def test_of_an_owners_kinds_none_has_a_debt_from_when_it_was_alone():
    core, clock, models = house(other=linear)
    core.add(1, request_of(steps=200), "one")
    while not core.idle:
        core.step()
    core.add(2, request_of(steps=200, checkpoint="other"), "one")
    for _ in range(5):
        core.step()
    core.add(3, request_of(steps=200), "one")
    before = len(models.runner.calls)
    for _ in range(20):
        core.step()
    assert len(models.runner.calls) - before >= 8


def test_a_large_job_runs_though_it_exceeds_every_limit():
    core, clock, _ = house(seconds=lambda rows: 1.0 * rows)
    core.add(1, request_of(steps=2, count=16), "a")
    assert finished_after(core, clock, 1)[0] > 0


def test_row_limits_are_found_by_measuring():
    small, large = UnitCost(), UnitCost()
    assert small.row_limit() == large.row_limit() == FIRST_ROWS
    for rows in (16, 32, 64, 128):
        small.measured(rows, 0.0001 * rows)  # a VAE of 28x28
    large.measured(2, 1.0)  # SDXL of 1024x1024
    assert small.row_limit() == 256
    assert large.row_limit() == 1


def test_a_busy_machine_does_not_make_units_so_small_that_they_waste_it():
    cost = UnitCost()
    cost.measured(2, 0.1)  # five times as slow as usual
    cost.measured(32, 1.6)
    assert cost.row_limit() == FIRST_ROWS
    cost.measured(4, 0.02)  # quiet again: rows are as cheap as before
    assert cost.row_limit() >= 32


def test_a_first_call_that_was_slow_is_soon_forgotten():
    cost = UnitCost()
    cost.measured(16, 5.0)  # compiles, warms up
    for _ in range(8):
        cost.measured(16, 0.05)
    assert cost.seconds(16) < 0.1


def test_who_asks_for_more_keeps_the_turn_that_is_due_to_them():
    """Beside a neighbour who rode along in many units, a second request costs no place."""
    core, clock, models = house(other=linear)
    for k in range(30):
        core.add(k + 1, request_of(steps=9999), "class of thirty")
    core.add(100, request_of(steps=9999), "modest")
    while clock.now < 4.0:
        core.step()
    accounts = core._fairness._owners
    before = accounts.seconds("modest")
    assert before < accounts.seconds("class of thirty")
    core.add(101, request_of(steps=5, checkpoint="other"), "modest")
    assert accounts.seconds("modest") == before


def test_an_owners_new_kind_of_work_does_not_shut_out_what_they_have_long_had():
    core, clock, models = house(other=linear)
    core.add(1, request_of(steps=1000), "one")
    while clock.now < 5.0:  # much time for the first kind
        core.step()
    core.add(2, request_of(steps=1000, checkpoint="other"), "one")
    before = len(models.runner.calls)
    for _ in range(21):
        core.step()
    assert len(models.runner.calls) - before >= 8


def test_accounts_do_not_grow_with_the_visitors():
    core, _, _ = house(seconds=lambda rows: 0.0)
    for k in range(1100):
        core.add(k + 1, request_of(steps=1), f"visitor {k}")
        while not core.idle:
            core.step()
    fairness = core._fairness
    assert len(fairness._owners._seconds) <= REMEMBERED
    assert len(fairness._kinds._seconds) <= REMEMBERED


def test_who_rides_along_goes_by_turns_of_people_not_of_requests():
    """Twenty requests of one person do not fill the seats beside somebody's picture."""
    core, _, models = house()
    core.add(1, request_of(), "first")
    for k in range(20):
        core.add(k + 2, request_of(), "greedy")
    core.add(100, request_of(), "modest")
    while not models.runner.calls:
        core.step()
    assert 100 in models.runner.calls[0]


def test_who_is_overdue_goes_next_and_only_then():
    fairness = Fairness()
    ahead, newcomer = (Job(k, request_of(), name, 0.0) for k, name in ((1, "ahead"), (2, "new")))
    key = ("counting", "", "step")
    fairness._owners.charge("ahead", 5.0)
    fairness._owners.charge("new", 0.0)
    ready = [(key, ahead), (("other", "", "step"), newcomer)]
    turns = []
    for _ in range(30):
        chosen = fairness.next_batch(ready, lambda key: _cost(), lambda job: 1)
        assert chosen is not None
        turns.append(chosen[1][0].owner)
        fairness.charge(chosen[0], chosen[1], [1], 0.1)
    first = turns.index("ahead")
    assert 0.1 * first >= OVERDUE * 2 * 0.25
    assert turns.count("ahead") < 6, "the debt of five seconds is still paid"


def _cost() -> UnitCost:
    cost = UnitCost()
    cost.measured(1, 0.1)
    return cost
