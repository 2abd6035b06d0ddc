"""How many trainings run at once, and what who comes too late is told."""

from __future__ import annotations

import pytest

from genlab.requests import UserError
from genlab.serving.training_slots import TrainingSlots
from tests.fakes import Clock


def test_one_too_many_is_told_how_long_to_wait():
    clock = Clock()
    slots = TrainingSlots(2, 60, clock)
    first, second, third = (slots.training() for _ in range(3))
    with first:
        clock.now += 20
        with second:
            with pytest.raises(UserError, match="2 trainings are running.* in 40 seconds at most"):
                third.__enter__()
            clock.now += 39.5
            with pytest.raises(UserError, match="in 1 second at most"):
                third.__enter__()
        with third:
            assert third.left == 60


def test_a_pause_gives_the_place_away_and_costs_no_time():
    clock = Clock()
    slots = TrainingSlots(1, 60, clock)
    mine, other = slots.training(), slots.training()
    with mine:
        clock.now += 10
    clock.now += 1000
    assert mine.left == 50
    with other, pytest.raises(UserError, match="One training is running"):
        mine.__enter__()
    with mine:
        clock.now += 60
        assert mine.left == 0
    assert mine.spent == 70


def test_a_training_that_raises_leaves_its_place():
    slots = TrainingSlots(1, 60, Clock())
    with pytest.raises(ZeroDivisionError), slots.training():
        raise ZeroDivisionError
    with slots.training():
        pass


def test_where_none_may_train_it_says_so():
    with pytest.raises(UserError, match="GENLAB_TRAININGS is 0"):
        TrainingSlots(0, 60).training().__enter__()
