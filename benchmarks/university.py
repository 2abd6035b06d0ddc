"""A SIMULATION: how many replicas 10,000 students need for a picture within 10 seconds.

Nothing is drawn here. Students come at the hour; the real router (`genlab.serving.router`) places
their requests; replicas are formulas: a step takes ``call + row * rows`` seconds. Both numbers are
measured on this machine; for GPUs they are WORKED OUT from the kind's published peak, from Stable
Diffusion 1.5's operations, which are counted, and from an assumed part of the peak that is reached.
`--measured FILE` brings measured ones of other machines.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.serving import median, open_house, warm_up
from genlab.cli.space import HARDWARE
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

PEAK_TFLOPS = {"T4": 65, "L4": 121, "L40S": 362, "A100": 312, "H100": 989}
"""Dense fp16 tensor peaks of NVIDIA's data sheets. Not measured."""
REACHED = 0.35  # part of the peak: an assumption
CALL = 0.012  # seconds a step that do not depend on rows, on a GPU: an assumption

PRICED_AS = {"T4": "t4-small", "L4": "l4x1", "L40S": "l40sx1"}
"""The hardware of Hugging Face Spaces by whose hourly price a kind is counted; others have none."""
CPU = "cpu-upgrade"  # eight cores
CPU_CORES = 8


@dataclass(frozen=True)
class StepTime:
    """Seconds of a step: ``call + row * rows``.

    Attributes:
        dollars: of a replica an hour; None if it is not known.
    """

    call: float
    row: float
    measured: bool
    dollars: float | None = None

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
    price = (HARDWARE[CPU].dollars or 0) * cores() / CPU_CORES
    return StepTime(max(0.0, float(call)), float(row), True, price)


def cores() -> int:
    """How many a replica on this machine's CPU computes with."""
    return int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))


def counted_tflop() -> tuple[float, float]:
    """Operations of Stable Diffusion 1.5: of its UNet a row at 512x512, of its decoder a picture.

    Counted over networks of its sizes without weights; a multiply-add is two operations.
    """
    import torch
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from torch.utils.flop_counter import FlopCounterMode

    widths = (128, 256, 512, 512)
    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=768)
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=widths, layers_per_block=2,
        )  # fmt: skip
        latents, prompt = torch.empty(1, 4, 64, 64), torch.empty(1, 77, 768)
        with torch.no_grad(), FlopCounterMode(display=False) as of_row:
            unet(latents, torch.ones(1), prompt)
        with torch.no_grad(), FlopCounterMode(display=False) as of_picture:
            vae.decode(latents)
    return of_row.get_total_flops() / 1e12, of_picture.get_total_flops() / 1e12


def assumed() -> dict[str, StepTime]:
    """Stable Diffusion 1.5 on GPUs that were not there; a picture's decoding is in its rows."""
    unet, decoder = counted_tflop()
    tflop = unet + decoder / (2 * STEPS)
    return {
        f"{kind}, SD 1.5": StepTime(
            CALL,
            tflop / (peak * REACHED),
            False,
            HARDWARE[PRICED_AS[kind]].dollars if kind in PRICED_AS else None,
        )
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


def simulate(cost: StepTime, replicas: int, present: int, seed: int = 0) -> dict[str, float]:
    """One hour's beginning, ``present`` students; how long pictures took, how busy replicas were.

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

    for student in range(present):
        at(chance.uniform(0, BURST), "press", student)
    presses: dict[int, int] = {}
    came: dict[int, tuple[int, float]] = {}  # (student, when), by job
    working: dict[int, list[int]] = {}  # the unit that each replica is at
    waits: list[float] = []
    now, late = 0.0, 0
    while events and late <= 0.05 * PRESSES * present:
        now, _, what, whom = heapq.heappop(events)
        changed = what == "press"  # the dispatcher places when a request comes or ends, too
        idle: set[str] = set()
        if what == "press":
            presses[whom] = presses.get(whom, 0) + 1
            job = len(came) + 1
            came[job] = (whom, now)
            router.add(job, Work(("model", "picture"), 2, 2.0 * STEPS), str(whom))
        else:
            engine = engines[str(whom)]
            idle.add(str(whom))
            for job in working.pop(whom):
                router.moved(job, STEPS - engine.steps[job], STEPS, now)
                if engine.steps[job] == 0:
                    del engine.steps[job]
                    router.finish(job, now)
                    changed = True
                    student, since = came[job]
                    waits.append(now - since)
                    late += waits[-1] > LIMIT
                    if presses[student] < PRESSES:
                        at(now + chance.expovariate(1 / PAUSE), "press", student)
        for job, name in router.place(now) if changed else ():
            engines[name].steps[job] = STEPS
            idle.add(name)
        for name in sorted(idle):
            if engines[name].steps and int(name) not in working:
                seconds, working[int(name)] = engines[name].unit()
                at(now + seconds, "unit", int(name))
    busy = sum(engine.busy for engine in engines.values())
    return {
        "replicas": replicas,
        "p50": float(np.quantile(waits, 0.5)),
        "p95": float(np.quantile(waits, 0.95)) if not events else float("inf"),
        "device_seconds_a_picture": busy / len(waits),
        "busy_percent": 100 * busy / (replicas * now),
    }


def needed(cost: StepTime, present: int, most: int = 512) -> dict[str, float] | None:
    """The fewest replicas that hold the limit; None if ``most`` do not."""
    one_row = cost.seconds(cost.most_rows) / cost.most_rows
    low = int(0.95 * present * 2 * STEPS * one_row / (BURST + LIMIT))  # too few for all first ones
    high = low + 1
    while (found := simulate(cost, high, present))["p95"] > LIMIT:
        low, high = high, 2 * high
        if high > most:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if (tried := simulate(cost, middle, present))["p95"] <= LIMIT:
            high, found = middle, tried
        else:
            low = middle
    return found


def cents(cost: StepTime, found: Mapping[str, float], present: int) -> dict[str, float]:
    """US cents a picture: of the seconds in which it is drawn, and of replicas kept an hour."""
    if cost.dollars is None:
        return {}
    pictures = present * PRESSES
    return {
        "cents_while_drawing": 100 * cost.dollars * found["device_seconds_a_picture"] / 3600,
        "cents_kept_an_hour": 100 * cost.dollars * found["replicas"] / pictures,
    }


def table(costs: Mapping[str, StepTime], present: int, values: dict[str, object]) -> Iterator[str]:
    """For people, the lines of a table of Markdown as they are found; also as plain values."""
    columns = (
        "", "step times", "seconds a step of 2 rows", "replicas", "p50", "p95", "busy",
        "device seconds a picture", "cents a picture, drawing", "kept for an hour",
    )  # fmt: skip
    yield (
        f"SIMULATED: {present} students at the hour within {BURST:.0f} s, {PRESSES} pictures of "
        f"{STEPS} guided steps each, p95 <= {LIMIT:.0f} s\n"
    )
    yield f"| {' | '.join(columns)} |"
    yield "|---" * len(columns) + "|"
    for name, cost in costs.items():
        found = needed(cost, present)
        price = cents(cost, found, present) if found is not None else {}
        known = {"measured": cost.measured, "call": cost.call, "row": cost.row}
        values[name] = {**known, **(found or {}), **price}
        cells = [name, "measured" if cost.measured else "assumed", f"{cost.seconds(2):.3f}"]
        if found is None:
            cells += ["> 512"]
        else:
            cells += [
                f"{found['replicas']:.0f}", f"{found['p50']:.1f} s", f"{found['p95']:.1f} s",
                f"{found['busy_percent']:.0f} %", f"{found['device_seconds_a_picture']:.3f}",
            ]  # fmt: skip
            cells += [f"{value:.3f}" for value in price.values()]
        cells += [""] * (len(columns) - len(cells))
        yield f"| {' | '.join(cells)} |"


def main() -> None:
    """Parse the command line, measure this machine, simulate, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", type=int, default=STUDENTS)
    parser.add_argument(
        "--present", type=float, default=PRESENT, help="part of them that has class at this hour"
    )
    parser.add_argument(
        "--measured", type=Path, help='JSON: {"H100": {"call": 0.01, "row": 0.001}}'
    )
    parser.add_argument("--no-measure", action="store_true", help="do not time this machine")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    costs = {} if given.no_measure else {f"{cores()} CPU cores, Toybox": measure()}
    costs |= assumed()
    if given.measured is not None:
        found = json.loads(given.measured.read_text(encoding="utf-8"))
        costs |= {name: StepTime(cost["call"], cost["row"], True) for name, cost in found.items()}
    values: dict[str, object] = {}
    for line in table(costs, int(given.students * given.present), values):
        if not given.json:
            print(line, flush=True)
    if given.json:
        print(json.dumps(values, indent=2))


if __name__ == "__main__":
    main()
