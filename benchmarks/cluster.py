"""What replicas on Ray cost and gain, on this machine: overhead, and one core against two.

Needs requirements-cluster.txt and Linux (`taskset`). With OMP_NUM_THREADS=1 both sides of the
overhead have one thread. The page's process and Ray's own run on the same cores as the replicas; so
the computing time of each is told, and what a replica draws in a second of its own time. The
simulation of a university, which is none of this and is called one, is `benchmarks.university`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

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
BUSY = ("replicas", "page", "Ray")
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


@dataclass(frozen=True)
class Drawn:
    """What a number of replicas have drawn.

    Attributes:
        per_second: pictures, the median of the rounds.
        cores: how many were busy with it on average, by who: replicas, page, Ray.
        per_replica_second: pictures in a second of the replicas' own computing.
    """

    per_second: float
    cores: dict[str, float]
    per_replica_second: float


def computed(client: RayClient) -> dict[str, float]:
    """Seconds of computing until now: of the replicas, of this process, and of Ray's others."""
    own, replicas = psutil.Process(), {report.pid for report in client.reports().values()}
    seconds = {"replicas": 0.0, "page": sum(own.cpu_times()[:2]), "Ray": 0.0}
    for process in own.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            of = "replicas" if process.pid in replicas else "Ray"
            seconds[of] += sum(process.cpu_times()[:2])
    return seconds


def draw(client: RayClient, replicas: int, people: int, rounds: int) -> Drawn:
    """A crowd's pictures a second, replicas pinned to a core each."""
    client.scale(replicas)
    wait_for(client, replicas)
    requests = [digits(4 * k) for k in range(people)]
    warm_up(lambda: genlab(client, requests))  # on all of them: it is more than one has room for
    pin(client)  # threads that the warm-up has made, too
    before, begun = computed(client), time.perf_counter()
    served = [genlab(client, requests) for _ in range(rounds)]
    seconds, after = time.perf_counter() - begun, computed(client)
    busy = {who: after[who] - before[who] for who in after}
    pictures = sum(len(images) for one in served for images in one.images)
    return Drawn(
        median([one.images_per_second for one in served]),
        {who: spent / seconds for who, spent in busy.items()},
        pictures / busy["replicas"],
    )


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
        one = draw(client, 1, people, rounds)
        two = draw(client, 2, people, rounds)
        figures |= {
            "one_core": one.per_second,
            "two_cores": two.per_second,
            "scaling": two.per_second / one.per_second,
            "scaling_of_computing": 2 * two.per_replica_second / one.per_replica_second,
        }
        figures |= {f"one_{who}_cores": cores for who, cores in one.cores.items()}
        figures |= {f"two_{who}_cores": cores for who, cores in two.cores.items()}
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
            f"the same for a second of the replicas' own computing: "
            f"{f['scaling_of_computing']:.2f}x",
            *(
                f"cores that were busy with {number}: "
                + ", ".join(f"{who} {f[f'{number}_{who}_cores']:.2f}" for who in BUSY)
                for number in ("one", "two")
            ),
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
