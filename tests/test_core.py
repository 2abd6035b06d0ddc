"""The core's promises, driven step by step with a fake runner."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
import torch

from genlab.engine.core import Core, FollowUp
from genlab.engine.events import FINAL, Cancelled, Failed, Loading, Progress, Queued, Result
from genlab.engine.faults import GROW_AFTER, DeviceLost
from genlab.requests import UserError
from tests.fakes import (
    Clock,
    CountingRunner,
    FakeModels,
    HungryRunner,
    picture,
    request_of,
    run_until_idle,
)


@pytest.fixture
def models() -> FakeModels:
    return FakeModels()


@pytest.fixture
def core(models: FakeModels) -> Core:
    return Core(models)


def add(core: Core, *requests: object, owner: str = "") -> list[int]:
    """Add requests, each of an owner of their own unless one is named; their ids."""
    first = len(core._jobs) + 1
    ids = list(range(first, first + len(requests)))
    for job_id, request in zip(ids, requests, strict=True):
        core.add(job_id, request, owner or f"student {job_id}")
    return ids


def value(event: object) -> int:
    """What the picture of a result holds."""
    assert isinstance(event, Result), event
    return int(event.images.flat[0])


def test_a_job_takes_its_steps_and_gets_its_picture(core, models):
    add(core, request_of(steps=5))
    events = run_until_idle(core)[1]
    assert value(events[-1]) == 5
    assert models.runner.calls == [[1]] * 5
    assert events[-1].fingerprint == "of what was loaded"


def test_jobs_share_each_network_call(core, models):
    ids = add(core, *[request_of(steps=4)] * 8)
    run_until_idle(core)
    assert [sorted(call) for call in models.runner.calls] == [ids] * 4


def test_a_job_joins_midway_and_each_leaves_when_it_is_done(core, models):
    core.add(1, request_of(steps=5), "a")
    for _ in range(3):  # its start and two steps
        core.step()
    core.add(2, request_of(steps=2), "b")
    events = run_until_idle(core)
    assert value(events[1][-1]) == 5
    assert value(events[2][-1]) == 2
    assert [1, 2] in [sorted(call) for call in models.runner.calls]


def test_events_tell_position_progress_eta_and_preview(core):
    add(core, request_of(steps=4, preview_every=2), request_of(steps=4))
    events = run_until_idle(core)
    assert events[1][0] == Queued(position=1)
    assert events[2][0] == Queued(position=2)
    progress = [event for event in events[1] if isinstance(event, Progress)]
    assert [(event.step, event.total) for event in progress] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [event.preview is not None for event in progress] == [False, True, False, False]
    assert progress[1].preview.flat[0] == 2
    assert all(event.eta is not None and event.eta >= 0 for event in progress)


def test_requests_and_events_can_be_pickled_and_are_frozen(core):
    add(core, request_of(steps=2, preview_every=1), request_of(prompt="boom in predict"))
    core.add(3, request_of(), "c")
    core.cancel(3)
    core.add(4, request_of(checkpoint="slow"), "d")
    events = [event for own in run_until_idle(core).values() for event in own]
    kinds = {type(event) for event in events}
    assert kinds == {Queued, Loading, Progress, Result, Failed, Cancelled}
    for event in [*events, request_of()]:
        assert repr(pickle.loads(pickle.dumps(event))) == repr(event)
        with pytest.raises((AttributeError, TypeError, ValueError)):
            event.step = 1


def test_cancelling_a_waiting_job_removes_it_before_it_runs(core, models):
    add(core, request_of())
    core.cancel(1)
    assert run_until_idle(core)[1][-1] == Cancelled()
    assert models.runner.calls == []


def test_cancelling_a_running_job_stops_it_at_once_and_nobody_else(core, models):
    add(core, request_of(steps=100), request_of(steps=3))
    core.step()
    core.step()
    core.cancel(1)
    events = run_until_idle(core)
    assert events[1][-1] == Cancelled()
    assert isinstance(events[2][-1], Result)
    assert sum(1 in call for call in models.runner.calls) == 1


def test_decoding_goes_in_chunks_and_can_be_cancelled_between_them(core, models):
    models.runner.chunks = 4
    add(core, request_of(steps=1), request_of(steps=1))
    for _ in range(4):
        core.step()
    assert len(models.runner.decodes) == 2
    core.cancel(1)
    events = run_until_idle(core)
    assert events[1][-1] == Cancelled()
    assert isinstance(events[2][-1], Result)
    assert sum(1 in call for call in models.runner.decodes) == 2
    assert sum(2 in call for call in models.runner.decodes) == 4


PLACES = [
    "batch_key", "rows", "start", "total_steps", "predict", "predict at 1", "advance", "undecoded",
    "decode", "store", "preview", "result",
]  # fmt: skip


@pytest.mark.parametrize("error", [ValueError("odd"), SystemExit(3), GeneratorExit()], ids=repr)
@pytest.mark.parametrize("where", PLACES)
def test_whatever_raises_anywhere_fails_that_job_only(where, error):
    models = FakeModels(CountingRunner(error=error))
    models.runner.chunks = 1
    core = Core(models)
    bad = request_of(prompt=f"boom in {where}", preview_every=1)
    add(core, *[bad if k == 3 else request_of(preview_every=1) for k in range(8)])
    events = run_until_idle(core)
    last = events[4][-1]
    assert isinstance(last, Failed)
    assert type(error).__name__ in last.message
    assert "Traceback" not in last.message
    for k in range(8):
        if k != 3:
            assert value(events[k + 1][-1]) == 3, "a neighbour's failure cost or doubled a step"


def test_a_model_that_cannot_be_loaded_ends_its_jobs_with_its_sentence(core):
    add(core, request_of(checkpoint="damaged"), request_of())
    events = run_until_idle(core)
    assert events[1][-1] == Failed("The checkpoint damaged is damaged: it is cut short.")
    assert isinstance(events[2][-1], Result)


def test_others_go_on_while_a_model_is_loaded_and_its_owner_is_told(core, models):
    add(core, request_of(checkpoint="slow"), request_of(steps=9))
    events = run_until_idle(core)
    assert isinstance(events[2][-1], Result)
    assert events[1] == [Queued(1), Loading("Slow")], "told once, and still waiting"
    models.loading.clear()
    core.step()
    assert value(run_until_idle(core)[1][-1]) == 3


def test_a_job_whose_model_has_no_room_waits_for_those_that_began_and_later_ones_wait_too(
    core, models
):
    models.without_room.add("large")
    core.add(1, request_of(steps=6), "a")
    core.step()
    core.add(2, request_of(steps=1, checkpoint="large"), "b")
    core.add(3, request_of(steps=1), "c")
    order: list[int] = []
    while not core.idle:
        order += [job for job, event in core.step() if isinstance(event, (Progress, Result))]
    assert order[:6] == [1] * 6, "neither began before the first had ended"
    assert {2, 3} < set(order)


def test_an_exclusive_model_serves_one_job_after_another(core, models):
    models.runner.exclusive = True
    add(core, request_of(steps=3), request_of(steps=2))
    run_until_idle(core)
    assert models.runner.calls == [[1], [1], [1], [2], [2]]


# --- memory and other faults ------------------------------------------------------------------


def test_out_of_memory_shrinks_that_model_tries_again_and_grows_back_later():
    clock = Clock()
    hungry = HungryRunner(clock, lambda rows: 1.0)
    hungry.room = 8
    models = FakeModels(CountingRunner())
    models.runners["hungry"] = hungry
    core = Core(models, clock=clock)
    core.add(1, request_of(steps=2, count=16, checkpoint="hungry"), "a")
    core.add(2, request_of(steps=1, count=16, checkpoint="hungry"), "b")
    events = run_until_idle(core)
    assert value(events[1][-1]) == 2
    assert hungry.device.max_rows == 8
    assert models.runner.device.max_rows == models.runner.device.ceiling, "another model's stays"
    assert core.figures()["hungry"]["out_of_memory"] == 3
    assert core.figures()["hungry"]["rows_a_call"] == 8
    hungry.room = 64
    clock.now += GROW_AFTER + 1
    core.add(3, request_of(steps=1, checkpoint="hungry"), "a")
    run_until_idle(core)
    assert hungry.device.max_rows == 16, "it grows back step by step"
    clock.now += GROW_AFTER + 1
    core.add(4, request_of(steps=1, checkpoint="hungry"), "a")
    run_until_idle(core)
    assert hungry.device.max_rows == 32


def test_out_of_memory_for_good_is_a_sentence_for_that_job_only():
    hungry = HungryRunner()
    core = Core(FakeModels(hungry))
    core.add(1, request_of(steps=2), "a")
    assert "too little memory" in run_until_idle(core)[1][-1].message


def test_out_of_memory_in_a_jobs_own_step_is_a_sentence_too(core, models):
    models.runner = CountingRunner(error=torch.OutOfMemoryError())
    add(core, request_of(prompt="boom in advance"))
    assert "too little memory" in run_until_idle(core)[1][-1].message


def test_the_failed_call_holds_nothing_when_the_retry_begins():
    """The exception's frames would keep the activations alive, and the retry would fail too."""
    import weakref

    alive: list[int] = []

    class Leaky(HungryRunner):
        last: weakref.ref | None = None

        def predict(self, jobs):
            alive.append(int(self.last is not None and self.last() is not None))
            activations = torch.zeros(1000)
            self.last = weakref.ref(activations)
            return super().predict(jobs)

    runner = Leaky()
    runner.room = 8
    core = Core(FakeModels(runner))
    core.add(1, request_of(steps=1, count=16), "a")
    assert isinstance(run_until_idle(core)[1][-1], Result)
    assert len(alive) == 4
    assert not any(alive)


def test_a_lost_device_is_told_to_the_driver_and_ends_no_job(core, models):
    error = RuntimeError("CUDA error: device-side assert triggered")
    models.runner = CountingRunner(error=error)
    add(core, request_of(prompt="boom in predict"))
    core.step()
    with pytest.raises(DeviceLost):
        core.step()
    assert len(core._jobs) == 1


# --- judging ----------------------------------------------------------------------------------


def judging(request, result):
    """Asks the model "judge", whose picture is the figure."""
    question = request_of(steps=2, checkpoint="judge", prompt=request.negative_prompt)
    return FollowUp(question, lambda drawn, answer: replace(drawn, figures={"read": value(answer)}))


def test_a_request_to_be_judged_gets_its_figures_with_its_picture(models):
    models.runners["judge"] = CountingRunner()
    core = Core(models, judging)
    add(core, request_of(steps=4, judge=True), request_of(steps=4))
    events = run_until_idle(core)
    assert value(events[1][-1]) == 4
    assert events[1][-1].figures == {"read": 2}
    assert events[2][-1].figures == {}
    assert [e.total for e in events[1] if isinstance(e, Progress)] == [4] * 4, "judging is silent"


@pytest.mark.parametrize("where", PLACES)
def test_what_was_drawn_is_given_even_if_the_judge_fails(models, where):
    models.runners["judge"] = CountingRunner()
    models.runners["judge"].chunks = 1
    core = Core(models, judging)
    judged = request_of(steps=4, judge=True, negative_prompt=f"boom in {where}")
    add(core, judged)
    result = run_until_idle(core)[1][-1]
    assert value(result) == 4
    assert where == "preview" or "could not be measured" in result.notes[0]


def test_what_was_drawn_is_given_even_if_nobody_knows_whom_to_ask(models):
    def lost(request, result):
        raise KeyError("odd card")

    core = Core(models, lost)
    add(core, request_of(judge=True))
    result = run_until_idle(core)[1][-1]
    assert value(result) == 3
    assert "could not be measured" in result.notes[0]


def test_a_judge_that_is_damaged_costs_the_figures_only(models):
    def damaged(request, result):
        return FollowUp(request_of(checkpoint="damaged"), lambda drawn, answer: drawn)

    core = Core(models, damaged)
    add(core, request_of(judge=True))
    result = run_until_idle(core)[1][-1]
    assert value(result) == 3
    assert "it is cut short" in result.notes[0]


def test_figures_can_be_known_without_asking_anybody(models):
    core = Core(
        models,
        lambda request, result: FollowUp(None, lambda drawn, _: replace(drawn, figures={"fid": 1})),
    )
    add(core, request_of(judge=True))
    assert run_until_idle(core)[1][-1].figures == {"fid": 1}


def test_a_user_error_of_a_runner_is_shown_as_it_is(core, models):
    models.runner = CountingRunner(error=UserError("Lower the scale."))
    add(core, request_of(prompt="boom in result"))
    assert run_until_idle(core)[1][-1] == Failed("Lower the scale.")


def test_previews_take_at_most_a_twentieth_of_the_time():
    clock = Clock()
    runner = CountingRunner(clock, lambda rows: 1.0)
    runner.preview_seconds = 2.0  # as dear as two steps
    core = Core(FakeModels(runner), clock=clock)
    core.add(1, request_of(steps=100, preview_every=1), "a")
    run_until_idle(core)
    assert 1 <= runner.previews <= 100 * 0.05 / 2.0 + 1
    cheap = CountingRunner(clock, lambda rows: 1.0)
    cheap.preview_seconds = 0.01
    core = Core(FakeModels(cheap), clock=clock)
    core.add(1, request_of(steps=100, preview_every=1), "a")
    run_until_idle(core)
    assert cheap.previews == 99


def test_a_picture_has_the_value_of_its_steps():
    assert picture(7).flat[0] == 7


def test_jobs_take_turns_in_what_previews_may_cost():
    clock = Clock()
    runner = CountingRunner(clock, lambda rows: 0.02)
    runner.preview_seconds = 0.02
    core = Core(FakeModels(runner), clock=clock)
    for job_id in (1, 2, 3):
        core.add(job_id, request_of(steps=100, preview_every=1), "whose grid it is")
    shown = {
        job_id: sum(isinstance(e, Progress) and e.preview is not None for e in events)
        for job_id, events in run_until_idle(core).items()
    }
    assert max(shown.values()) - min(shown.values()) <= 1, shown


# --- what a change of one line would break -----------------------------------------------------


class Listening(FakeModels):
    """Remembers which models were said to be in use when each was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.in_use: list[tuple[str, set[str]]] = []

    def get(self, name, in_use):
        self.in_use.append((name, set(in_use)))
        return super().get(name, in_use)


def test_a_model_that_works_or_is_about_to_is_not_unloaded_for_another():
    models = Listening()
    core = Core(models)
    core.add(1, request_of(checkpoint="slow"), "a")
    core.add(2, request_of(steps=9), "b")
    core.add(3, request_of(checkpoint="other"), "c")
    core.step()
    assert ("other", {"counting"}) in models.in_use, "it was given in this very step"
    while core._jobs[2].step < 2:
        core.step()
    models.in_use.clear()
    core.step()
    assert "counting" in dict(models.in_use)["slow"], "it has jobs that began"


def test_who_waits_for_a_judge_is_not_held_up_by_another_judge_without_room(models):
    models.runners |= {"judge": CountingRunner(), "reader": CountingRunner()}
    models.without_room.add("judge")

    def by_prompt(request, result):
        question = request_of(steps=2, checkpoint=request.negative_prompt)
        return FollowUp(question, lambda drawn, answer: replace(drawn, figures={"read": 1}))

    core = Core(models, by_prompt)
    core.add(1, request_of(judge=True, negative_prompt="judge"), "a")
    core.add(2, request_of(steps=60), "b")
    core.add(3, request_of(judge=True, negative_prompt="reader"), "c")
    for _ in range(40):
        ended = [job for job, event in core.step() if isinstance(event, Result)]
        if ended:
            break
    assert ended == [3]
    assert 2 in core._jobs


def test_an_exclusive_model_ends_what_it_began_though_an_older_job_asks_it_to_judge(models):
    models.runners["judge"] = CountingRunner()
    models.runners["judge"].exclusive = True
    core = Core(models, judging)
    core.add(1, request_of(steps=6, judge=True), "a")
    core.add(2, request_of(steps=30, checkpoint="judge"), "b")
    run_until_idle(core)
    assert models.runners["judge"].calls == [[2]] * 30 + [[1]] * 2


def test_times_are_those_of_the_drawing_and_of_the_waiting_before_it():
    clock = Clock()
    runner = CountingRunner(clock, lambda rows: 1.0)
    runner.exclusive = True
    core = Core(FakeModels(runner), clock=clock)
    core.add(1, request_of(steps=3), "a")
    core.add(2, request_of(steps=4), "b")
    events = run_until_idle(core)
    assert (events[1][-1].waited, events[1][-1].seconds) == (0.0, 3.0)
    assert (events[2][-1].waited, events[2][-1].seconds) == (3.0, 4.0)
    assert [e.eta for e in events[2] if isinstance(e, Progress)] == [3.0, 2.0, 1.0, 0.0]


def test_a_job_that_has_ended_holds_nothing_whoever_holds_the_job(core):
    add(core, request_of(steps=9))
    core.step()
    core.step()
    job = core._jobs[1]
    assert job.state is not None
    core.cancel(1)
    assert job.state is None


def test_a_model_may_have_nothing_to_do(models):
    class Idle(CountingRunner):
        def total_steps(self, job):
            return 0

    models.runner = Idle()
    core = Core(models)
    add(core, request_of())
    events = run_until_idle(core)[1]
    assert value(events[-1]) == 0
    assert not any(isinstance(event, Progress) for event in events)


def test_nothing_comes_after_the_last_event(core):
    add(core, request_of(steps=4), request_of(steps=4))
    core.step()
    core.cancel(1)
    core.cancel(1)
    events = run_until_idle(core)
    assert [isinstance(event, FINAL) for event in events[1]].count(True) == 1
    assert isinstance(events[1][-1], FINAL)
