"""Runs requests through a runner as the engine does, without one: what shares a call, shares it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genlab.engine.device import Device
from genlab.engine.events import Result
from genlab.engine.job import Job
from genlab.engine.runner import Runner
from genlab.families.description import FamilyDescription, Find, load
from genlab.formats.metadata import ModelMetadata
from genlab.formats.model_card import read_genlab
from genlab.requests import Request


def begin(runner: Runner, *requests: Request) -> list[Job]:
    """Started jobs, one a request."""
    jobs = [Job(k, request, f"person {k}", 0.0) for k, request in enumerate(requests)]
    for job, state in zip(jobs, runner.start(jobs), strict=True):
        job.state, job.started = state, True
        job.total = runner.total_steps(job)
    return jobs


def move(runner: Runner, jobs: Sequence[Job]) -> None:
    """One step of jobs that have equal batch keys."""
    for job, prediction in zip(jobs, runner.predict(jobs), strict=True):
        runner.advance(job, prediction)
        job.step += 1


def finish(runner: Runner, job: Job) -> Result:
    """The result of a job that has taken its steps."""
    while left := runner.undecoded(job):
        (decoded,) = runner.decode([job])
        runner.store(job, decoded)
        assert runner.undecoded(job) < left, "a chunk of decoding brings its job nearer to its end"
    return runner.result(job)


def drive(runner: Runner, *requests: Request, joins: Sequence[int] = ()) -> list[Result]:
    """Results in the order of the requests.

    Args:
        joins: before which turn each request comes; all of them before the first unless told.

    Raises what the runner raises.
    """
    coming = list(joins) or [0] * len(requests)
    jobs: dict[int, Job] = {}
    results: dict[int, Result] = {}
    turn = 0
    while len(results) < len(requests):
        arrived = [k for k, when in enumerate(coming) if when == turn]
        if arrived:
            jobs |= dict(zip(arrived, begin(runner, *(requests[k] for k in arrived)), strict=True))
        together: dict[tuple[str, ...], list[Job]] = {}
        for k, job in jobs.items():
            if k not in results:
                together.setdefault(runner.batch_key(job.request), []).append(job)
        for batch in together.values():
            move(runner, batch)
        for k, job in jobs.items():
            if k not in results and job.step >= job.total:
                results[k] = finish(runner, job)
        turn += 1
    return [results[k] for k in range(len(requests))]


def metadata_of(family: FamilyDescription, folder: Path) -> ModelMetadata:
    """What the registry knows of a checkpoint folder; raises BrokenCheckpoint as it does."""
    card = read_genlab(folder)
    family.check(folder, card)
    return ModelMetadata(
        name=folder.name,
        path=folder,
        family=family.name,
        title=card["title"],
        dataset=card["dataset"],
        card=card,
        facts=family.facts(folder, card),
        parameters=family.count_parameters(folder),
    )


def opened(family: FamilyDescription, folder: Path, find: Find = lambda name: None) -> Any:
    """The runner of a checkpoint folder, on the CPU, without graphs."""
    device = Device("cpu", graphs=False)
    return load(family.runner).open(metadata_of(family, folder), device, find)
