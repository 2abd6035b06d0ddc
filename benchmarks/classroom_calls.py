"""What a call of the API costs over the engine's own time, in a known session and in a new one.

A call of two VAE samples is little work for the engine, so what is left is HTTP, Gradio and GenLab.
The engine's own time is that of the same request in this process, through the serving client.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np

from benchmarks.classroom_servers import Server, serving
from benchmarks.serving import genlab, open_house
from genlab.families.vae.request import VAERequest
from genlab.settings import Settings

ENDPOINT = "gradio_api/call/vae_sample"
CHECKPOINT, SEED, COUNT, TEMPERATURE = ARGUMENTS = "vae-mnist-20d", 1, 2, 1.0
SESSIONS: dict[str, Callable[[], str]] = {
    "known session": lambda: "known",
    "new session": lambda: uuid.uuid4().hex,
}


def engine(calls: int) -> float:
    """Milliseconds of the same request, judged as the API's are, without HTTP; the median."""
    request = VAERequest(
        checkpoint=CHECKPOINT, seed=SEED, count=COUNT, temperature=TEMPERATURE, judge=True
    )
    with open_house(Settings(), CHECKPOINT) as client:
        for _ in range(20):
            genlab(client, [request])
        return float(np.median([1000 * genlab(client, [request]).total for _ in range(calls)]))


def call(client: httpx.Client, url: str, session: str) -> float:
    """Milliseconds of one call."""
    begun = time.perf_counter()
    body = {"data": [*ARGUMENTS, None], "session_hash": session}
    event = client.post(f"{url}{ENDPOINT}", json=body).json()["event_id"]
    with client.stream("GET", f"{url}{ENDPOINT}/{event}") as frames:
        lines = frames.iter_lines()
        while (line := next(lines)) != "event: complete":
            if line == "event: error":
                raise RuntimeError(next(lines))
        next(lines)
    return 1000 * (time.perf_counter() - begun)


def measure(server: Server, rounds: int, calls: int, own: float) -> dict[str, dict[str, float]]:
    """Quantiles of milliseconds over the engine's own time, and bytes that a session leaves."""
    over = {name: list[float]() for name in SESSIONS}
    grown = {name: list[float]() for name in SESSIONS}
    with httpx.Client(timeout=60) as client:
        for _ in range(20):
            call(client, server.url, "known")
        for _ in range(rounds):
            for name, session in SESSIONS.items():
                before = server.memory()
                took = [call(client, server.url, session()) for _ in range(calls)]
                over[name] += [whole - own for whole in took]
                grown[name].append((server.memory() - before) / calls)
    return {
        name: {
            "p10": float(np.quantile(over[name], 0.1)),
            "p50": float(np.quantile(over[name], 0.5)),
            "p95": float(np.quantile(over[name], 0.95)),
            "kilobytes": float(np.median(grown[name])) / 1e3,
        }
        for name in SESSIONS
    }


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    alone = engine(given.calls)
    with serving("GenLab") as server:
        figures: dict[str, Any] = dict(measure(server, given.rounds, given.calls, alone))
    if given.json:
        print(json.dumps(figures | {"engine": alone, "load": load}, indent=2))
        return
    print(f"{'milliseconds over the engine':30}{'p10':>8}{'p50':>8}{'p95':>8}{'kB left':>9}")
    for name, own in figures.items():
        print(
            f"{name:30}{own['p10']:8.1f}{own['p50']:8.1f}{own['p95']:8.1f}{own['kilobytes']:9.1f}"
        )
    print(f"the engine's own: {alone:.1f} ms; load of the machine before: {load:.1f}")


if __name__ == "__main__":
    main()
