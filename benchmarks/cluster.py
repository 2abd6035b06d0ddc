"""What replicas on Ray cost and gain, on this machine: overhead, and one core against two.

Needs requirements-cluster.txt and Linux (`taskset`). With OMP_NUM_THREADS=1 both sides of the
overhead have one thread. The simulation of a university, which is none
of this and is called one, is `benchmarks.university`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from collections.abc import Callable

from benchmarks.serving import genlab, median, open_house, warm_up
from genlab.engine.events import Progress
from genlab.families.pixel_diffusion.request import PixelDiffusionRequest
from genlab.families.vae.request import VAERequest
from genlab.models.registry import Registry
from genlab.serving.client import Client
from genlab.serving.ray import RayClient
from genlab.settings import Settings

VAE, DDPM = "vae-mnist-20d", "ddpm-mnist"
STEPS = 50
PATIENCE = 300.0  # seconds for a replica to be there


def digits(seed: int, count: int = 4, preview_every: int = 0) -> PixelDiffusionRequest:
    """Guided digits in STEPS steps: two rows each."""
    return PixelDiffusionRequest(
        checkpoint=DDPM, seed=seed, count=count, num_inference_steps=STEPS,
        preview_every=preview_every,
    )  # fmt: skip


def timed(work: Callable[[], object]) -> float:
    """Seconds that something takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def follow(client: Client, seed: int) -> int:
    """A run with a preview at each step; how many steps were told."""
    ticket = client.submit(digits(seed, count=1, preview_every=1))
    return sum(isinstance(event, Progress) for event in ticket)


def overhead(client: Client, requests: int) -> dict[str, float]:
    """Milliseconds of a VAE request, and of a run of STEPS told steps, one after another."""
    warm_up(lambda: client.submit(VAERequest(checkpoint=VAE, count=1)).result())
    warm_up(lambda: follow(client, 0))
    vae = [
        timed(lambda k=k: client.submit(VAERequest(checkpoint=VAE, count=1, seed=k)).result())
        for k in range(requests)
    ]
    told: list[int] = []
    runs = [
        timed(lambda k=k: told.append(follow(client, k))) for k in range(max(3, requests // 10))
    ]
    return {
        "vae_ms": 1000 * median(vae),
        "run_ms": 1000 * median(runs),
        "steps_told": median(told),
    }


def pin(client: RayClient) -> None:
    """Give each replica one core of its own, all its threads."""
    cores = sorted(os.sched_getaffinity(0))
    for core, report in zip(cores, client.reports().values(), strict=False):
        command = ["taskset", "--all-tasks", "--cpu-list", "--pid", str(core), str(report.pid)]
        subprocess.run(command, check=True, capture_output=True)


def wait_for(client: RayClient, replicas: int) -> None:
    """Until so many replicas live and have built their engines."""
    begun = time.monotonic()
    while sum(bool(r.figures.device) for r in client.reports().values()) != replicas:
        if time.monotonic() - begun > PATIENCE:
            raise RuntimeError(f"{replicas} replicas were not there in {PATIENCE:.0f} s")
        time.sleep(0.2)


def images_per_second(client: RayClient, replicas: int, people: int, rounds: int) -> float:
    """A crowd's pictures a second, replicas pinned to a core each."""
    client.scale(replicas)
    wait_for(client, replicas)
    requests = [digits(4 * k) for k in range(people)]
    warm_up(lambda: genlab(client, requests))  # on all of them: it is more than one has room for
    pin(client)  # threads that the warm-up has made, too
    return median([genlab(client, requests).images_per_second for _ in range(rounds)])


def load() -> float:
    """What else runs on this machine: its load average of the last minute."""
    return os.getloadavg()[0]


def compare(requests: int, people: int, rounds: int) -> dict[str, float]:
    """Everything that is measured here."""
    figures = {"load_before": load()}
    with open_house(Settings(), VAE) as client:
        client.wait_until_ready()
        own = overhead(client, requests)
    settings = Settings(replicas=1, replica_cpus=1, max_jobs=4 * people)
    with RayClient(Registry(settings.checkpoints), settings) as client:
        figures["start_seconds"] = timed(client.wait_until_ready)
        behind = overhead(client, requests)
        steps = behind["steps_told"]
        figures |= {
            "vae_ms_in_process": own["vae_ms"],
            "vae_ms_on_ray": behind["vae_ms"],
            "overhead_ms_a_request": behind["vae_ms"] - own["vae_ms"],
            "run_ms_in_process": own["run_ms"],
            "run_ms_on_ray": behind["run_ms"],
            "overhead_ms_an_event": (behind["run_ms"] - own["run_ms"]) / max(1.0, steps),
        }
        one = images_per_second(client, 1, people, rounds)
        two = images_per_second(client, 2, people, rounds)
        figures |= {"one_core": one, "two_cores": two, "scaling": two / one}
    return figures | {"load_after": load(), "cores": float(len(os.sched_getaffinity(0)))}


def table(figures: dict[str, float]) -> str:
    """The figures for people."""
    f = figures
    return "\n".join(
        [
            f"{f['cores']:.0f} cores, load {f['load_before']:.1f}, then {f['load_after']:.1f}",
            f"start of Ray and one replica     {f['start_seconds']:8.1f} s",
            f"{'milliseconds':32}{'in process':>12}{'on Ray':>9}{'more':>9}",
            f"{'a VAE request':32}{f['vae_ms_in_process']:12.1f}{f['vae_ms_on_ray']:9.1f}"
            f"{f['overhead_ms_a_request']:9.1f}",
            f"{f'{STEPS} steps, each told':32}{f['run_ms_in_process']:12.1f}"
            f"{f['run_ms_on_ray']:9.1f}{f['overhead_ms_an_event']:9.2f} an event",
            f"pictures a second: one replica on one core {f['one_core']:.2f}, two on two cores "
            f"{f['two_cores']:.2f}: {f['scaling']:.2f}x",
        ]
    )


def main() -> None:
    """Parse the command line, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=50)
    parser.add_argument("--people", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    figures = compare(given.requests, given.people, given.rounds)
    print(json.dumps(figures, indent=2) if given.json else table(figures))


if __name__ == "__main__":
    main()
