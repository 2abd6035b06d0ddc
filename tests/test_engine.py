"""The engine's promises, driven tick by tick with a fake family."""

from __future__ import annotations

import asyncio
import threading

import pytest

from genlab.engine import Cancelled, Engine, Failed, Job, Progress, Queued, Result
from genlab.requests import StableDiffusionRequest, UserError, ask
from tests.fakes import FakeModels, HungryFamily


@pytest.fixture
def models() -> FakeModels:
    return FakeModels()


@pytest.fixture
def engine(models: FakeModels) -> Engine:
    return Engine(models, max_rows=64, max_jobs=40, max_jobs_per_owner=20)


def wish(steps: int = 3, prompt: str = "", **more: object) -> StableDiffusionRequest:
    values = {"checkpoint": "counting", "count": 1, "guidance_scale": 1.0} | more
    return ask(StableDiffusionRequest, prompt=prompt, num_inference_steps=steps, **values)


def run_until_idle(engine: Engine) -> int:
    ticks = 0
    while engine.tick():
        ticks += 1
        assert ticks < 1000, "the engine never came to rest"
    return ticks


def ending(job: Job) -> object:
    assert job.ended, "the job has not ended"
    return list(job)[-1]


def test_a_job_takes_its_steps_and_gets_its_picture(engine, models):
    job = engine.submit(wish(steps=5))
    assert run_until_idle(engine) == 5
    result = ending(job)
    assert isinstance(result, Result)
    assert result.images.flat[0] == 5


def test_jobs_share_each_network_call(engine, models):
    jobs = [engine.submit(wish(steps=4), owner=f"student {k}") for k in range(8)]
    assert run_until_idle(engine) == 4
    assert models.family.calls == [[job.id for job in jobs]] * 4


def test_a_job_joins_midway_and_each_leaves_when_it_is_done(engine, models):
    long = engine.submit(wish(steps=5), owner="a")
    engine.tick()
    engine.tick()
    short = engine.submit(wish(steps=2), owner="b")
    run_until_idle(engine)
    sizes = [len(call) for call in models.family.calls]
    assert sizes == [1, 1, 2, 2, 1]
    assert ending(long).images.flat[0] == 5
    assert ending(short).images.flat[0] == 2


def test_events_tell_position_progress_eta_and_preview(engine):
    first = engine.submit(wish(steps=4, preview_every=2))
    second = engine.submit(wish(steps=4), owner="b")
    assert next(iter(first)) == Queued(position=1)
    assert next(iter(second)) == Queued(position=2)
    engine.tick()
    one = next(iter(first))
    assert isinstance(one, Progress)
    assert (one.step, one.total, one.preview) == (1, 4, None)
    assert one.eta is not None
    assert one.eta >= 0
    engine.tick()
    two = next(iter(first))
    assert isinstance(two, Progress)
    assert two.preview is not None
    assert two.preview.flat[0] == 2


def test_an_unread_preview_outlives_newer_progress(engine):
    job = engine.submit(wish(steps=9, preview_every=2))
    for _ in range(3):
        engine.tick()
    event = next(iter(job))
    assert event.step == 3
    assert event.preview.flat[0] == 2


def test_cancelling_a_queued_job_removes_it_before_it_runs(engine, models):
    job = engine.submit(wish())
    engine.cancel(job)
    assert run_until_idle(engine) == 0
    assert ending(job) == Cancelled()
    assert models.family.calls == []


def test_cancelling_a_running_job_frees_the_engine_at_the_next_tick(engine, models):
    job = engine.submit(wish(steps=100))
    other = engine.submit(wish(steps=3), owner="b")
    engine.tick()
    engine.cancel(job)
    run_until_idle(engine)
    assert ending(job) == Cancelled()
    assert isinstance(ending(other), Result)
    assert sum(job.id in call for call in models.family.calls) == 1


@pytest.mark.parametrize("where", ["start", "predict", "predict at 1", "advance", "finish"])
def test_one_bad_job_among_eight_fails_alone(engine, where):
    jobs = [
        engine.submit(wish(prompt=f"boom in {where}" if k == 3 else ""), owner=f"student {k}")
        for k in range(8)
    ]
    run_until_idle(engine)
    endings = [ending(job) for job in jobs]
    assert isinstance(endings[3], Failed)
    assert "Boom" in endings[3].message
    assert "Traceback" not in endings[3].message
    for k, event in enumerate(endings):
        if k != 3:
            assert isinstance(event, Result)
            assert event.images.flat[0] == 3, "a neighbour's failure cost or doubled a step"


def test_a_preview_that_raises_fails_only_its_own_job(engine):
    bad = engine.submit(wish(steps=4, prompt="boom in preview", preview_every=1))
    good = engine.submit(wish(steps=4, preview_every=1), owner="b")
    run_until_idle(engine)
    assert isinstance(ending(bad), Failed)
    assert isinstance(ending(good), Result)


def test_a_full_queue_refuses_with_a_sentence_and_keeps_what_it_has(engine):
    jobs = [engine.submit(wish(), owner=f"student {k}") for k in range(40)]
    with pytest.raises(UserError, match=r"queue is full: 40 requests are waiting"):
        engine.submit(wish(), owner="late")
    run_until_idle(engine)
    assert all(isinstance(ending(job), Result) for job in jobs)
    engine.submit(wish(), owner="late")


def test_one_owner_cannot_fill_the_queue(engine):
    for _ in range(20):
        engine.submit(wish(), owner="greedy")
    with pytest.raises(UserError, match=r"already have 20 requests"):
        engine.submit(wish(), owner="greedy")
    engine.submit(wish(), owner="modest")


def test_a_person_with_one_job_never_waits_for_a_person_with_twenty(models):
    engine = Engine(models, max_rows=4)
    many = [engine.submit(wish(steps=6), owner="greedy") for _ in range(20)]
    one = engine.submit(wish(steps=6), owner="modest")
    for _ in range(6):
        engine.tick()
    assert isinstance(ending(one), Result), "served in every tick from its arrival on"
    run_until_idle(engine)
    assert all(isinstance(ending(job), Result) for job in many)


def test_different_checkpoints_take_turns(engine, models):
    slow = engine.submit(wish(steps=50), owner="a")
    quick = engine.submit(wish(steps=2, checkpoint="other"), owner="b")
    for _ in range(4):
        engine.tick()
    assert isinstance(ending(quick), Result)
    assert not slow.ended


def test_rows_bound_a_batch_but_a_large_job_still_runs(models):
    engine = Engine(models, max_rows=4)
    engine.submit(wish(steps=1, count=16), owner="large")
    engine.submit(wish(steps=1, count=3), owner="a")
    engine.submit(wish(steps=1, count=3), owner="b")
    run_until_idle(engine)
    assert [len(call) for call in models.family.calls] == [1, 1, 1]


def test_an_unknown_checkpoint_is_refused_at_once(engine):
    with pytest.raises(UserError, match="no checkpoint called"):
        engine.submit(wish(checkpoint="missing"))


def test_a_checkpoint_that_cannot_load_ends_its_jobs_with_its_sentence(engine):
    job = engine.submit(wish(checkpoint="damaged"))
    other = engine.submit(wish(), owner="b")
    run_until_idle(engine)
    assert ending(job) == Failed("The checkpoint damaged is damaged: it is cut short.")
    assert isinstance(ending(other), Result)


def test_out_of_memory_shrinks_and_tries_again(engine, models):
    models.family = HungryFamily()
    job = engine.submit(wish(steps=2))
    run_until_idle(engine)
    assert isinstance(ending(job), Result)


def test_out_of_memory_for_good_is_a_sentence(engine, models):
    models.family = HungryFamily()
    models.family.room = -100
    job = engine.submit(wish(steps=2))
    run_until_idle(engine)
    assert "too little memory" in ending(job).message


def test_the_worker_serves_many_threads_and_shutdown_ends_what_is_left(models):
    with Engine(models) as engine:
        results: list[int] = []

        def student(k: int) -> None:
            result = engine.submit(wish(steps=3 + k % 5), owner=str(k)).result()
            results.append(int(result.images.flat[0]) - 3 - k % 5)

        threads = [threading.Thread(target=student, args=(k,)) for k in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
        assert results == [0] * 30
    with pytest.raises(UserError, match="shutting down"):
        engine.submit(wish())


def test_the_worker_outlives_a_fault_outside_any_job(models, monkeypatch):
    with Engine(models) as engine:
        monkeypatch.setattr(models.family, "total_steps", lambda job: 1 / 0)
        with pytest.raises(UserError, match="give up this request"):
            engine.submit(wish()).result()
        monkeypatch.undo()
        assert engine.submit(wish()).result().images.flat[0] == 3


def test_shutdown_ends_waiting_jobs_with_a_sentence(engine):
    job = engine.submit(wish())
    engine.shutdown()
    assert "shutting down" in ending(job).message


def test_an_async_reader_gets_the_final_event_from_another_thread(models):
    async def read() -> list[object]:
        job = engine.submit(wish(steps=20))
        return [event async for event in job]

    with Engine(models) as engine:
        events = asyncio.run(asyncio.wait_for(read(), timeout=30))
    assert isinstance(events[-1], Result)


def test_a_reader_that_went_away_disturbs_nobody(models):
    async def leave_early() -> Job:
        job = engine.submit(wish(steps=100))
        async for _ in job:
            return job
        raise AssertionError

    with Engine(models) as engine:
        asyncio.run(leave_early())
        assert engine.submit(wish(), owner="b").result().images.flat[0] == 3
