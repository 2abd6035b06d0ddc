"""Faults inside the engine: cancels, errors, memory, NaN, dead workers, models that change."""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.faults_house import GAN, PATIENCE, PIXELS, TOYBOX, VAE, House, Report, sampled
from genlab.engine.events import Result
from genlab.engine.runner import Runner
from genlab.families.vae.request import VAERequest
from genlab.requests import Request, UserError, parse_request
from genlab.settings import PROJECT

AT_ONCE = 48  # jobs that are open at the same moment
METHODS = (
    "batch_key", "rows", "start", "total_steps", "predict", "advance", "undecoded", "decode",
    "store", "preview", "result", "fingerprint_of",
)  # fmt: skip
"""Everything that the engine calls of a family."""
ERRORS: tuple[Callable[[], BaseException], ...] = (
    lambda: RuntimeError("a shape does not fit"),
    lambda: UserError("This cannot be drawn."),
    lambda: SystemExit(3),
    lambda: KeyError("x"),
)


def cancels(house: House, jobs: int = 500) -> Report:
    """Half of the jobs are cancelled, each at a random moment of its life."""
    report = Report(f"{jobs} jobs, half of them cancelled at random moments")
    requests = [sampled(k, judge=k % 7 == 0) for k in range(jobs)]
    house.draw_alone(requests)
    draw, doubles = random.Random(0), 0
    for begin in range(0, jobs, AT_ONCE):
        some = requests[begin : begin + AT_ONCE]
        ended = [house.submit(request, f"visitor {k % 9}") for k, request in enumerate(some)]
        timers = [
            threading.Timer(draw.uniform(0, 2.0), house.client.cancel, [one.id])
            for one in ended
            if draw.random() < 0.5
        ]
        for timer in timers:
            timer.start()
        for request, one in zip(some, ended, strict=True):
            house.check(report, request, one.wait(PATIENCE))
        for timer in timers:
            timer.join()
        doubles += sum(len(one.events) > 1 for one in ended)
    report.found = f"ended twice: {doubles}; left inside: {_left(house)}"
    return report


def raises(house: House) -> Report:
    """One job's model raises, anywhere in its life, beside others of the same model."""
    report = Report("a family raises: each of its methods, each kind of error")
    spared = 0
    for k in range(4):
        for n, method in enumerate(METHODS):
            requests = [sampled(k + 5 * i) for i in range(4)]
            house.draw_alone(requests)
            runner, bad = house.runner(requests[0].checkpoint), requests[0].seed
            with _raising(runner, method, bad, ERRORS[(k + n) % len(ERRORS)]):
                ended = [house.submit(r, f"visitor {i}") for i, r in enumerate(requests)]
                events = [one.wait(PATIENCE) for one in ended]
            for request, event in zip(requests, events, strict=True):
                house.check(report, request, event)
            spared += all(isinstance(event, Result) for event in events[1:])
    report.found = f"the others' pictures came in {spared} of {4 * len(METHODS)} times"
    report.lost += (4 * len(METHODS) - spared) + _left(house)
    return report


def out_of_memory(house: House, rounds: int = 8) -> Report:
    """Network calls of more than a few rows run out of memory; how few changes at every call."""
    report = Report("out of memory at random numbers of rows")
    draw, shortages = random.Random(1), 0
    for turn in range(rounds):
        requests = [sampled(k + 20 * turn, judge=k == 0) for k in range(20)]
        house.draw_alone(requests)
        with ExitStack() as stack:
            for name in (TOYBOX, PIXELS, VAE, GAN):
                stack.enter_context(_little_memory(house.runner(name), draw))
            ended = [house.submit(r, f"visitor {k % 6}") for k, r in enumerate(requests)]
            for request, one in zip(requests, ended, strict=True):
                house.check(report, request, one.wait(PATIENCE))
    models = house.cores[-1].figures()
    shortages = sum(int(model.get("out_of_memory", 0)) for model in models.values())
    report.found = f"{shortages} calls ran out of memory and were tried again with fewer rows"
    report.lost += _left(house)
    return report


def not_a_number(house: House) -> Report:
    """Each network of each model gives NaN, one after another; no such picture may be shown."""
    report = Report("NaN from each network of each model")
    silent, named = [], 0
    requests = {TOYBOX: sampled(3), PIXELS: sampled(2), VAE: sampled(0), GAN: sampled(1)}
    guided = [k for k in range(2, 200, 5) if getattr(sampled(k), "guidance", "") == "classifier"]
    cases = [*requests.values(), sampled(guided[0]), sampled(4), sampled(0, judge=True)]
    house.draw_alone(cases)
    for name, network in _networks(house):
        for k, request in enumerate(cases):
            with _nan_from(network) as fired:
                event = house.submit(request, f"visitor {k}").wait(PATIENCE)
            if not fired:  # another model's network
                continue
            named += 1
            house.check(report, request, event)
            if isinstance(event, Result) and not house.is_right(request, event):
                silent.append(name)
    report.found = f"{named} networks and requests"
    if silent:
        report.found += f"; shown without a word: {', '.join(sorted(set(silent)))}"
    return report


def killed_workers(house: House, kills: int = 6) -> Report:
    """The engine's thread is killed while jobs run."""
    report = Report(f"the worker is killed, {kills} times")
    before = house.client.figures().restarts
    draw = random.Random(2)
    for turn in range(kills):
        requests = [sampled(k + 1000) for k in range(20)]
        house.draw_alone(requests)
        ended = [house.submit(r, f"visitor {k % 6}") for k, r in enumerate(requests)]
        time.sleep(draw.uniform(0.05, 0.6))
        _kill(house.client._worker)
        for request, one in zip(requests, ended, strict=True):
            house.check(report, request, one.wait(PATIENCE))
        report.lost += not house.client.figures().healthy
        if turn == 0:
            house.draw_alone(requests)
    report.found = f"{house.client.figures().restarts - before} workers were replaced"
    report.lost += _left(house)
    return report


def models_that_leave() -> Report:
    """There is room for one model at a time, and visitors ask for all of them."""
    report = Report("models take turns in too little memory")
    requests = [sampled(k) for k in range(60)]
    with House() as large:
        large.draw_alone(requests)
        largest = max(runner.nbytes for runner in large.cores[-1].cache.loaded().values())
    with House(memory_gb=1.01 * largest / 1e9) as house:
        house.know(large)
        cache = house.cores[-1].cache
        ended = [house.submit(r, f"visitor {k % 12}") for k, r in enumerate(requests)]
        for request, one in zip(requests, ended, strict=True):
            house.check(report, request, one.wait(PATIENCE))
        taken = sum(runner.nbytes for runner in cache.loaded().values())
        report.found = f"{taken / 1e6:.0f} of {cache.memory_bytes / 1e6:.0f} MB taken at the end"
        report.lost += _left(house) + (taken > cache.memory_bytes)
    return report


def weights_that_change(switches: int = 10) -> Report:
    """A checkpoint's weights are replaced again and again while visitors draw with it."""
    report = Report(f"a model's weights are replaced under load, {switches} times")
    with tempfile.TemporaryDirectory() as name:
        checkpoints = Path(name)
        for folder in (VAE, "mnist-classifier"):
            shutil.copytree(PROJECT / "checkpoints" / folder, checkpoints / folder)
        twins = [PROJECT / "checkpoints" / f for f in (VAE, f"{VAE}-no-kl")]
        with House(checkpoints) as house:
            request = parse_request(VAERequest, checkpoint=VAE, seed=5, count=4)
            pictures = {}
            for twin in twins:
                _replace(twin, checkpoints / VAE)
                drawn = _drawn(house, request)
                pictures[drawn.fingerprint] = drawn.images
            for turn in range(switches):
                ended = [house.submit(request, f"visitor {k}") for k in range(12)]
                _replace(twins[turn % 2], checkpoints / VAE)
                ended += [house.submit(request, f"visitor {k}") for k in range(12)]
                for one in ended:
                    event = one.wait(PATIENCE)
                    report.count(event)
                    if isinstance(event, Result):
                        right = pictures.get(event.fingerprint)
                        same = right is not None and abs(right.astype(int) - event.images).max() < 3
                        report.results -= not same
                        report.lost += not same
            report.lost += _left(house)
    report.found = f"{len(pictures)} kinds of weights, each named by its pictures"
    return report


# --- how things are broken ----------------------------------------------------------------------


def _left(house: House) -> int:
    """How many jobs are still inside though all should have ended."""
    return 0 if house.is_empty() else house.client.figures().open_jobs


def _drawn(house: House, request: Request) -> Result:
    house.registry.rescan_if_changed()
    event = house.submit(request, "reference").wait(PATIENCE)
    if not isinstance(event, Result):
        raise RuntimeError(str(event))
    return event


def _replace(source: Path, target: Path) -> None:
    """Put one checkpoint's weights in another's place, in one stroke."""
    new = target / "new"
    shutil.copy(source / "model.safetensors", new)
    os.replace(new, target / "model.safetensors")


@contextmanager
def _raising(
    runner: Runner, method: str, seed: int, error: Callable[[], BaseException]
) -> Iterator[None]:
    """Let a model's method raise for the request of that seed."""
    usual = getattr(runner, method)

    def raising(first: Any, *rest: Any) -> Any:
        jobs = first if isinstance(first, list) else [first]
        if any(getattr(job, "request", job).seed == seed for job in jobs):
            raise error()
        return usual(first, *rest)

    setattr(runner, method, raising)
    try:
        yield
    finally:
        delattr(runner, method)


@contextmanager
def _little_memory(runner: Runner, draw: random.Random) -> Iterator[None]:
    """Let a model's network calls run out of memory above a number of rows that changes."""
    device: Any = runner.device
    usual = device.call

    def short(network: Any, *rows: torch.Tensor, **named: torch.Tensor) -> torch.Tensor:
        if min(len(rows[0]), device.max_rows) > draw.randint(1, 16):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return usual(network, *rows, **named)

    device.call = short
    try:
        yield
    finally:
        del device.call
        device.max_rows = device.ceiling


def _networks(house: House) -> Iterator[tuple[str, nn.Module]]:
    """Every network of the loaded models, and the parts that have a name of their own."""
    for name, runner in house.cores[-1].cache.loaded().items():
        owners: list[Any] = [runner, getattr(runner, "text", None)]
        held = [(key, value) for owner in owners if owner for key, value in vars(owner).items()]
        found: dict[str, nn.Module] = {k: v for k, v in held if isinstance(v, nn.Module)}
        for key, value in held:
            if isinstance(value, dict):
                found |= {f"{key}.{k}": v for k, v in value.items() if isinstance(v, nn.Module)}
            if isinstance(value, (list, tuple)):
                found |= {f"{key}.{k}": v for k, v in enumerate(value) if isinstance(v, nn.Module)}
        for key, network in found.items():
            yield f"{name}/{key}", network
            for part, module in network.named_children():
                yield f"{name}/{key}.{part}", module


@contextmanager
def _nan_from(network: nn.Module) -> Iterator[list[bool]]:
    """Let a network answer NaN; the list has something in it once it was asked."""
    fired: list[bool] = []

    def spoiled(module: nn.Module, given: Any, answer: Any) -> Any:
        fired.append(True)
        return _spoil(answer)

    handle = network.register_forward_hook(spoiled)
    try:
        yield fired
    finally:
        handle.remove()


def _spoil(answer: Any) -> Any:
    """The same with NaN for every number."""
    if isinstance(answer, torch.Tensor):
        return answer * float("nan") if answer.is_floating_point() else answer
    if isinstance(answer, dict):  # a ModelOutput, too
        for key in list(answer):
            answer[key] = _spoil(answer[key])
        return answer
    if isinstance(answer, tuple):
        parts = [_spoil(part) for part in answer]
        return type(answer)(*parts) if hasattr(answer, "_fields") else tuple(parts)
    for key, value in getattr(answer, "__dict__", {}).items():
        if isinstance(value, torch.Tensor):
            setattr(answer, key, _spoil(value))
    return answer


def _kill(worker: threading.Thread) -> None:
    """Raise SystemExit in a thread, wherever it is."""
    identity = ctypes.c_ulong(worker.ident or 0)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(identity, ctypes.py_object(SystemExit))
