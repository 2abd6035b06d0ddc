"""What stays of those who come and go: memory, threads, files and handles, before and after.

``sessions``: thousands of browser sessions open the page, ask once and leave. ``lesson``: visitors
of all families for minutes, some of whom close the tab in the middle of a run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
from matplotlib.figure import Figure

from benchmarks.classroom import a_class
from benchmarks.classroom_servers import Server, again_and_again, serving
from benchmarks.classroom_visitor import Page, Visit, visit

AT_ONCE = 16  # sessions that are open at the same moment
LEAVE = 0.15  # share of a lesson's visitors who close the tab in the middle of a run
EVERY = 5.0  # seconds between two looks
BUTTONS = ("sd-generate", "vae-generate", "gan-generate", "guidance-generate")


@dataclass(frozen=True)
class Held:
    """What a server holds at one moment."""

    memory_mb: float
    threads: int
    handles: int
    files: int


@dataclass(frozen=True)
class Moment:
    """A server at one moment: since the beginning, resident memory, lag of its event loop."""

    seconds: int
    memory_mb: int
    lag_p99_ms: float


def held(server: Server, folder: Path) -> Held:
    """Count now; ``folder`` is where the server keeps its files."""
    return Held(
        server.memory() / 1e6, server.process.num_threads(), server.process.num_fds(),
        sum(path.is_file() for path in folder.rglob("*")),
    )  # fmt: skip


async def come_and_go(url: str, count: int, at_once: int = AT_ONCE) -> int:
    """So many sessions ask for one thing, keep a heartbeat meanwhile, and leave; failures."""
    gate, failed = asyncio.Semaphore(at_once), 0

    async def one(client: httpx.AsyncClient) -> None:
        nonlocal failed
        session = uuid.uuid4().hex
        async with gate, client.stream("GET", f"{url}gradio_api/heartbeat/{session}") as alive:
            beats = alive.aiter_bytes()  # to be kept: the connection goes with it
            await anext(beats)
            body = {"data": ["vae-mnist-20d", 1, 1, 1.0, None], "session_hash": session}
            joined = await client.post(f"{url}gradio_api/call/vae_sample", json=body)
            event = joined.json()["event_id"]
            answer = await client.get(f"{url}gradio_api/call/vae_sample/{event}")
            failed += "event: complete" not in answer.text
            await beats.aclose()

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=at_once)
    async with httpx.AsyncClient(timeout=120, limits=limits) as client:
        await asyncio.gather(*(one(client) for _ in range(count)))
    return failed


async def lesson(page: Page, people: int, seconds: float, seed: int = 0) -> list[Visit]:
    """People who press again and again for so long; each time some of them close the tab."""
    last, visits = time.perf_counter() + seconds, list[Visit]()

    async def one(client: httpx.AsyncClient, k: int) -> None:
        draw, turn = random.Random(f"{seed} {k}"), 0
        while time.perf_counter() < last:
            leave = draw.uniform(0.1, 3.0) if draw.random() < LEAVE else float("inf")
            button = BUTTONS[(k + turn) % len(BUTTONS)]
            values = a_class(people, 1000 * turn + seed)[k] if button == BUTTONS[0] else {}
            visits.append(await visit(client, page, button, values, leave))
            await asyncio.sleep(draw.uniform(0, 2))
            turn += 1

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(timeout=600, limits=limits) as client:
        await asyncio.gather(*(one(client, k) for k in range(people)))
    return visits


@contextmanager
def watching(server: Server) -> Iterator[list[Moment]]:
    """What the server held and how late it was, every few seconds as long as the ``with`` lasts."""
    moments: list[Moment] = []

    def look(now: float) -> None:
        late = server.lag(EVERY)["p99"]
        moments.append(Moment(round(now), round(server.memory() / 1e6), round(1000 * late, 1)))

    with again_and_again(EVERY, look):
        yield moments


def sessions(server: Server, folder: Path, count: int) -> dict[str, Any]:
    """What the server holds after some sessions that warm it up, and after ``count`` more."""
    asyncio.run(come_and_go(server.url, 200))
    before = held(server, folder)
    with watching(server) as moments:
        failed = asyncio.run(come_and_go(server.url, count))
    time.sleep(3)
    after = held(server, folder)
    found = {"sessions": count, "failed": failed, "before": asdict(before), "after": asdict(after)}
    return found | {"over_time": [asdict(moment) for moment in moments]}


def long_lesson(server: Server, folder: Path, people: int, seconds: float) -> dict[str, Any]:
    """A lesson's figures; memory is watched from its second minute on, when models are loaded."""
    page = Page.at(server.url)
    asyncio.run(lesson(page, people, min(60.0, seconds / 2), seed=1))
    before = held(server, folder)
    with server.watched() as usage, watching(server) as moments:
        visits = asyncio.run(lesson(page, people, seconds, seed=2))
    time.sleep(3)
    return {
        "visits": len(visits),
        "pictures": sum(v.picture is not None for v in visits),
        "left": sum(v.failed == "left" for v in visits),
        "failed": [v.failed for v in visits if v.picture is None and v.failed != "left"],
        "loop_lag_p99": usage.lag_p99,
        "before": asdict(before),
        "after": asdict(held(server, folder)),
        "over_time": [asdict(moment) for moment in moments],
    }


def plot(report: dict[str, Any], path: Path) -> None:
    """Memory and the event loop's lag over time, one above the other."""
    moments = report["over_time"]
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    seconds = [moment["seconds"] for moment in moments]
    memory = [moment["memory_mb"] for moment in moments]
    above.plot(seconds, memory, color="#4f46e5")
    above.set_ylim(0, 1.25 * max(memory))
    above.set_ylabel("resident MB")
    below.plot(seconds, [moment["lag_p99_ms"] for moment in moments], color="#d97706")
    below.set_ylim(bottom=0)
    below.set_ylabel(f"loop lag, p99\nof {EVERY:.0f} s, in ms")
    below.set_xlabel("seconds")
    for axes in (above, below):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Parse the command line, measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("sessions", "lesson"))
    parser.add_argument("--sessions", type=int, default=5000)
    parser.add_argument("--people", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--plot", type=Path, help="a PNG of memory and lag over time")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    with serving("GenLab") as server:
        if given.what == "sessions":
            report = sessions(server, server.folder, given.sessions)
        else:
            report = long_lesson(server, server.folder, given.people, 60 * given.minutes)
    print(json.dumps(report | {"load": load}, indent=2))
    if given.plot:
        plot(report, given.plot)


if __name__ == "__main__":
    main()
