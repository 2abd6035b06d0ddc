"""The faults benchmark notices what it looks for: a lost job, a wrong picture, NaN, many rows."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.faults import every_fault, table
from benchmarks.faults_engine import METHODS, _little_memory, _nan_from, _raising, _spoil
from benchmarks.faults_house import House, Report, sampled
from genlab.engine.device import Device
from genlab.engine.events import Cancelled, Failed, Result
from genlab.engine.job import Job
from genlab.engine.runner import Runner
from tests.fakes import Boom, CountingRunner, request_of


def test_every_end_is_counted_and_none_is_lost() -> None:
    report = Report("a fault")
    images = np.zeros((1, 2, 2), np.uint8)
    for event in (Result(images), Failed("It broke."), Cancelled(), None):
        report.count(event)
    counts = (report.jobs, report.results, report.failed, report.cancelled, report.lost)
    assert counts == (4, 1, 1, 1, 1)
    assert report.sentences == {"It broke.": 1}
    assert "| a fault | 4 | 1 | 1 | 1 | 1 |" in table([report])


def test_another_picture_than_the_one_drawn_alone_is_lost() -> None:
    house, request, report = House.__new__(House), request_of(), Report("a fault")
    house._alone = {repr(request): np.full((1, 2, 2), 100, np.uint8)}
    house.check(report, request, Result(np.full((1, 2, 2), 101, np.uint8)))
    house.check(report, request, Result(np.full((1, 2, 2), 140, np.uint8)))
    house.check(report, request, Result(np.full((2, 2, 2), 100, np.uint8)))
    assert (report.results, report.lost) == (1, 2)


def test_requests_are_of_all_families_and_the_same_each_time() -> None:
    assert len({type(sampled(k)) for k in range(5)}) == 4
    assert sampled(7) == sampled(7)
    assert sampled(7) != sampled(12)


def test_everything_that_the_engine_calls_of_a_family_is_made_to_raise() -> None:
    public = {name for name in vars(Runner) if not name.startswith("_")}
    assert public - {"open", "nbytes", "exclusive", "fingerprint"} == set(METHODS)
    runner = CountingRunner()
    bad, good = (Job(k, request_of(seed=k), "a", 0.0) for k in (1, 2))
    with _raising(runner, "predict", 1, Boom):
        assert runner.predict([good]) == [1]
        with pytest.raises(Boom):
            runner.predict([good, bad])
    assert runner.predict([bad]) == [1]


def test_a_network_is_made_to_answer_nan_and_says_that_it_was_asked() -> None:
    network = torch.nn.Linear(2, 2)
    with _nan_from(network) as fired:
        assert not fired
        assert network(torch.ones(1, 2)).isnan().all()
        assert fired
    assert network(torch.ones(1, 2)).isfinite().all()
    spoiled = _spoil((SimpleNamespace(sample=torch.ones(1)), {"a": torch.ones(1)}, 3))
    assert spoiled[0].sample.isnan().all()
    assert spoiled[1]["a"].isnan().all()


def test_calls_of_many_rows_run_out_of_memory_and_single_rows_never() -> None:
    runner: Any = SimpleNamespace(device=Device("cpu", graphs=False))
    with _little_memory(runner, random.Random(0)):
        for _ in range(50):
            runner.device.call(torch.nn.Identity(), torch.ones(1, 2))
        with pytest.raises(torch.OutOfMemoryError):
            runner.device.call(torch.nn.Identity(), torch.ones(17, 2))
    runner.device.call(torch.nn.Identity(), torch.ones(64, 2))


def test_every_fault_has_a_name_to_run_it_by() -> None:
    assert {"cancels", "not_a_number", "sigterm", "a_full_disk", "killed_workers"} <= set(
        every_fault()
    )
