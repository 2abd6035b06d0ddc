"""A SIMULATION: how many replicas 10,000 students need for a picture within 10 seconds.

Nothing is drawn here. Students come at the hour; the real router (`genlab.serving.router`) places
their requests; replicas are formulas: a step takes ``call + row * rows`` seconds. Both numbers are
measured on this machine; for GPUs they are WORKED OUT from the kind's published peak and an assumed
part of it that is reached. `--measured FILE` brings measured ones of other machines.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.serving import median, open_house, warm_up
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.serving.router import Router, Work
from genlab.settings import Settings

TOYBOX = "stable-diffusion-toybox"
STEPS = 25
LIMIT = 10.0  # seconds within which 95 of 100 have their picture
UNIT = 0.25  # seconds that the engine lets a unit of work take

STUDENTS = 10_000
PRESENT = 0.1  # of them are in a class that begins at this hour
BURST = 120.0  # seconds within which those press for the first time
PRESSES = 5  # pictures that each of them asks for
PAUSE = 60.0  # seconds on average between a student's picture and the next press

PEAK_TFLOPS = {"T4": 65, "L4": 121, "A100": 312, "H100": 989}
"""Dense fp16 tensor peaks as published by NVIDIA. Not measured."""
REACHED = 0.35  # part of the peak: an assumption
CALL = 0.012  # seconds a step that do not depend on rows, on a GPU: an assumption
SD15_TFLOP = 0.8  # of Stable Diffusion 1.5's UNet a row at 512x512: about 0.4 T multiply-adds


@dataclass(frozen=True)
class StepTime:
    """Seconds of a step: ``call + row * rows``."""

    call: float
    row: float
    measured: bool

    def seconds(self, rows: int) -> float:
        return self.call + self.row * rows

    @property
    def most_rows(self) -> int:
        """As many as fit into a unit of work, but at least one picture's two."""
        return int(min(64, max(2, (UNIT - self.call) / self.row)))


def measure(rounds: int = 3) -> StepTime:
    """Toybox on this machine: one request alone at three sizes, fitted by a line."""
    settings = Settings()
    sizes = (1, 4, 16)
    with open_house(settings, TOYBOX) as client:

        def step(count: int) -> float:
            request = StableDiffusionRequest(
                checkpoint=TOYBOX, prompt="a red 7", count=count, num_inference_steps=STEPS
            )
            return client.submit(request).result().seconds / STEPS

        warm_up(lambda: step(16))
        seconds = [median([step(count) for _ in range(rounds)]) for count in sizes]
    row, call = np.polyfit([2 * count for count in sizes], seconds, 1)
    return StepTime(max(0.0, float(call)), float(row), True)


def assumed() -> dict[str, StepTime]:
    """Stable Diffusion 1.5 on GPUs that were not there."""
    return {
        f"{kind}, SD 1.5": StepTime(CALL, SD15_TFLOP / (peak * REACHED), False)
        for kind, peak in PEAK_TFLOPS.items()
    }


class Replica:
    """One engine as a formula: all that it has of one kind, in units of so many rows."""

    def __init__(self, cost: StepTime) -> None:
        self.cost = cost
        self.steps: dict[int, int] = {}  # left, by job; those at the front are next
        self.busy = 0.0

    def unit(self) -> tuple[float, list[int]]:
        """The next unit: its seconds and its jobs, which then go to the end of the line."""
        jobs = list(self.steps)[: max(1, self.cost.most_rows // 2)]
        for job in jobs:
            self.steps[job] = self.steps.pop(job) - 1
        seconds = self.cost.seconds(2 * len(jobs))
        self.busy += seconds
        return seconds, jobs


def simulate(cost: StepTime, replicas: int, students: int, seed: int = 0) -> dict[str, float]:
    """One hour's beginning; how long pictures took, and how busy replicas were.

    It ends early, with those that it has, when too many pictures have come too late already.
    """
    chance = random.Random(seed)
    router = Router()
    engines = {str(k): Replica(cost) for k in range(replicas)}
    for name in engines:
        router.up(name, 0.0, {"model": cost.most_rows})
    events: list[tuple[float, int, str, int]] = []  # (time, order, what, student or replica)
    order = 0

    def at(when: float, what: str, whom: int) -> None:
        nonlocal order
        order += 1
        heapq.heappush(events, (when, order, what, whom))

    for student in range(int(students * PRESENT)):
        at(chance.uniform(0, BURST), "press", student)
    presses: dict[int, int] = {}
    came: dict[int, tuple[int, float]] = {}  # (student, when), by job
    working: dict[int, list[int]] = {}  # the unit that each replica is at
    waits: list[float] = []
    now, late = 0.0, 0
    while events and late <= 0.05 * PRESSES * int(students * PRESENT):
        now, _, what, whom = heapq.heappop(events)
        if what == "press":
            presses[whom] = presses.get(whom, 0) + 1
            job = len(came) + 1
            came[job] = (whom, now)
            router.add(job, Work(("model", "picture"), 2, 2.0 * STEPS), str(whom))
        else:
            engine = engines[str(whom)]
            for job in working.pop(whom):
                router.moved(job, STEPS - engine.steps[job], STEPS, now)
                if engine.steps[job] == 0:
                    del engine.steps[job]
                    router.finish(job, now)
                    student, since = came[job]
                    waits.append(now - since)
                    late += waits[-1] > LIMIT
                    if presses[student] < PRESSES:
                        at(now + chance.expovariate(1 / PAUSE), "press", student)
        for job, name in router.place(now):
            engines[name].steps[job] = STEPS
        for name, engine in engines.items():
            if engine.steps and int(name) not in working:
                seconds, working[int(name)] = engine.unit()
                at(now + seconds, "unit", int(name))
    busy = sum(engine.busy for engine in engines.values())
    return {
        "replicas": replicas,
        "p50": float(np.quantile(waits, 0.5)),
        "p95": float(np.quantile(waits, 0.95)) if not events else float("inf"),
        "device_seconds_a_picture": busy / len(waits),
        "busy_percent": 100 * busy / (replicas * now),
    }


def needed(cost: StepTime, students: int, most: int = 512) -> dict[str, float] | None:
    """The fewest replicas that hold the limit; None if ``most`` do not."""
    high = 1
    while (found := simulate(cost, high, students))["p95"] > LIMIT:
        high *= 2
        if high > most:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        if (tried := simulate(cost, middle, students))["p95"] <= LIMIT:
            high, found = middle, tried
        else:
            low = middle
    return found


def table(costs: Mapping[str, StepTime], students: int) -> tuple[str, dict[str, object]]:
    """For people, and as plain values."""
    lines = [
        f"SIMULATED: {students} students, {PRESENT:.0%} of them at the hour within {BURST:.0f} s, "
        f"{PRESSES} pictures of {STEPS} guided steps each, p95 <= {LIMIT:.0f} s",
        f"{'':22}{'step times':>12}{'replicas':>10}{'p50':>7}{'p95':>7}{'busy':>7}"
        f"{'device s a picture':>20}",
    ]
    values: dict[str, object] = {}
    for name, cost in costs.items():
        known = needed(cost, students)
        values[name] = {"measured": cost.measured, "call": cost.call, "row": cost.row} | (
            known or {}
        )
        source = "measured" if cost.measured else "assumed"
        if known is None:
            lines.append(f"{name:22}{source:>12}{'> 512':>10}")
            continue
        lines.append(
            f"{name:22}{source:>12}{known['replicas']:10.0f}{known['p50']:7.1f}{known['p95']:7.1f}"
            f"{known['busy_percent']:6.0f}%{known['device_seconds_a_picture']:20.3f}"
        )
    return "\n".join(lines), values


def main() -> None:
    """Parse the command line, measure this machine, simulate, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", type=int, default=STUDENTS)
    parser.add_argument(
        "--measured", type=Path, help='JSON: {"H100": {"call": 0.01, "row": 0.001}}'
    )
    parser.add_argument("--no-measure", action="store_true", help="do not time this machine")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    costs = {} if given.no_measure else {"this machine, Toybox": measure()}
    costs |= assumed()
    if given.measured is not None:
        found = json.loads(given.measured.read_text(encoding="utf-8"))
        costs |= {name: StepTime(cost["call"], cost["row"], True) for name, cost in found.items()}
    text, values = table(costs, given.students)
    print(json.dumps(values, indent=2) if given.json else text)


if __name__ == "__main__":
    main()
