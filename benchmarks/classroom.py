"""A class asks over HTTP: GenLab's app against a plain Gradio app round the stock pipeline.

All sides are real servers on this machine, visited in turns in one run, by visitors who press
Generate and fetch their picture as a browser does. The plain app runs twice: as it comes, and with
the graphs that GenLab runs, so that what batching gives can be told from what the runtime gives.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.classroom_plot import plot
from benchmarks.classroom_servers import PROJECT, SIDES, Server, serving
from benchmarks.classroom_visitor import Page, Visit, visit

PROMPTS = (
    "a red 7 on a blue background",
    "a green sneaker on a black background",
    "a yellow 3 on a white background",
    "a white bag on a red background",
)
VISITORS = (1, 4, 16, 32, 64)
SPREAD = 4.0  # seconds in which a class comes on average when it does not come at once
WARM = 10.0  # seconds of drawing before anything is measured
Values = dict[str, Any]


def a_class(people: int, seed: int) -> list[Values]:
    """What each visitor sets: 10 to 50 steps; prompts, scales and seeds differ."""
    draw = random.Random(seed)
    return [
        {
            "sd-prompt": PROMPTS[k % len(PROMPTS)],
            "sd-steps": draw.randint(10, 50),
            "sd-guidance": draw.choice([2.0, 4.0, 7.5]),
            "sd-seed": seed + k,
            "sd-count": 1,
        }
        for k in range(people)
    ]


def arrivals(people: int, spread: float, seed: int) -> list[float]:
    """When each of them presses, in seconds; 0 for all without a spread, else a Poisson process."""
    draw = random.Random(seed)
    now, times = 0.0, []
    for _ in range(people):
        times.append(now)
        now += draw.expovariate(people / spread) if spread else 0.0
    return times


async def attend(page: Page, people: Sequence[Values], when: Sequence[float]) -> list[Visit]:
    """Let everybody press at their moment; their visits."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(timeout=600, limits=limits) as client:

        async def come(values: Values, moment: float) -> Visit:
            await asyncio.sleep(moment)
            return await visit(client, page, "sd-generate", values)

        return await asyncio.gather(*map(come, people, when))


def jain(shares: Sequence[float]) -> float:
    """Jain's fairness index: 1 when all have the same, 1/n when one has everything."""
    values = np.array(shares)
    return float(values.sum() ** 2 / (len(values) * (values**2).sum()))


def lesson(server: Server, page: Page, people: Sequence[Values], when: Sequence[float]) -> Values:
    """One class on one side: its figures."""
    begun = time.perf_counter()
    with server.watched() as usage:
        visits = asyncio.run(attend(page, people, when))
        total = time.perf_counter() - begun
    done = [(v, p) for v, p in zip(visits, people, strict=True) if v.picture is not None]
    pictures = [v.picture for v, _ in done]
    previews = [v.preview for v, _ in done if v.preview is not None]
    return {
        "failed": [v.failed for v in visits if v.picture is None],
        "seconds": total,
        "images_per_second": len(done) / total,
        "picture_p50": _quantile(pictures, 0.5),
        "picture_p95": _quantile(pictures, 0.95),
        "preview_p50": _quantile(previews, 0.5),
        "preview_p95": _quantile(previews, 0.95),
        "jain": jain([p["sd-steps"] / (v.picture or 1) for v, p in done]) if done else 0.0,
        "steps": sum(p["sd-steps"] for _, p in done),
        "memory_mb": usage.memory / 1e6,
        "cpu_seconds": usage.cpu_seconds,
        "loop_lag_p99": usage.lag_p99,
        "received_mb": sum(v.received for v in visits) / 1e6,
    }


def _quantile(values: Sequence[float | None], share: float) -> float:
    return float(np.quantile([v for v in values if v is not None], share)) if values else 0.0


def share_of_peak(figures: Values, work: Values) -> float:
    """Which part of the machine's best matrix products a lesson's arithmetic would have filled."""
    flops = 2 * figures["steps"] * work["row"]  # two rows a step: guided and unguided
    flops += figures["images_per_second"] * figures["seconds"] * work["decoding"]
    return flops / figures["seconds"] / work["peak"]


def compare(sides: Sequence[str], visitors: Sequence[int], rounds: int) -> Values:
    """All sides in turns; for each, by arrival and number of visitors, the medians of the rounds.

    A side is visited by all numbers of visitors before the next one comes, round by round.
    """
    load = os.getloadavg()[0]
    work = json.loads(
        subprocess.run(
            [sys.executable, "-m", "benchmarks.classroom_work"],
            cwd=PROJECT, check=True, stdout=subprocess.PIPE,
        ).stdout
    )  # fmt: skip
    lessons: dict[str, list[Values]] = {}
    with ExitStack() as stack:
        servers = {side: stack.enter_context(serving(side)) for side in sides}
        pages = {side: Page.at(server.url) for side, server in servers.items()}
        for side, server in servers.items():
            begun = time.perf_counter()
            while time.perf_counter() - begun < WARM:
                lesson(server, pages[side], a_class(4, seed=1), [0.0] * 4)
        for turn in range(rounds):
            for count in visitors:
                for arrival, spread in (("at once", 0.0), ("Poisson", SPREAD)):
                    if count == 1 and spread:
                        continue
                    people = a_class(count, seed=1000 * turn)
                    when = arrivals(count, spread, seed=turn)
                    for side, server in servers.items():
                        figures = lesson(server, pages[side], people, when)
                        figures["share_of_peak"] = share_of_peak(figures, work)
                        lessons.setdefault(f"{side}, {arrival}, {count}", []).append(figures)
                        rate = f"{figures['images_per_second']:.2f} images/s"
                        print(f"{turn}: {side}, {arrival}, {count}: {rate}", file=sys.stderr)
    return {
        "load_before": load, "load_after": os.getloadavg()[0], "cores": os.cpu_count(),
        "rounds": rounds, "work": work,
        "lessons": {name: medians(turns) for name, turns in lessons.items()},
    }  # fmt: skip


def medians(turns: Sequence[Values]) -> Values:
    """The medians of several rounds; of what failed, everything."""
    figures: Values = {"failed": [text for turn in turns for text in turn["failed"]]}
    for name in turns[0].keys() - {"failed"}:
        figures[name] = float(np.median([turn[name] for turn in turns]))
    return figures


def table(report: Values) -> str:
    """The report for people."""
    lines = [
        f"{'':34}{'images/s':>9}{'preview p50':>12}{'p95':>7}{'picture p50':>12}{'p95':>7}"
        f"{'Jain':>6}{'MB':>7}{'lag p99':>9}{'of peak':>9}{'failed':>7}"
    ]
    for name, f in report["lessons"].items():
        lines.append(
            f"{name:34}{f['images_per_second']:9.2f}{f['preview_p50']:12.2f}"
            f"{f['preview_p95']:7.2f}{f['picture_p50']:12.2f}{f['picture_p95']:7.2f}"
            f"{f['jain']:6.2f}{f['memory_mb']:7.0f}{f['loop_lag_p99']:9.3f}"
            f"{f['share_of_peak']:8.0%}{len(f['failed']):7}"
        )
    lines.append(
        f"load of the machine before {report['load_before']:.1f}, after "
        f"{report['load_after']:.1f}; {report['work']['peak'] / 1e9:.0f} GFLOP/s at its peak; "
        f"medians of {report['rounds']} rounds"
    )
    return "\n".join(lines)


def main() -> None:
    """Parse the command line, compare, print, and write what docs/ shows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", type=int, nargs="+", default=list(VISITORS))
    parser.add_argument("--sides", nargs="+", choices=list(SIDES), default=list(SIDES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="folder for classroom.json and classroom.png")
    given = parser.parse_args()
    report = compare(given.sides, given.visitors, given.rounds)
    print(table(report))
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "classroom.json").write_text(json.dumps(report, indent=2) + "\n")
        plot(report, given.out / "classroom.png")


if __name__ == "__main__":
    main()
