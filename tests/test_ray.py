"""The driver over replicas on a real Ray cluster on this machine. Slow: Ray starts ten processes.

To run it: `pip install -r requirements-cluster.txt && pytest tests/test_ray.py`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from genlab.engine.events import Loading, Progress, Queued, Result
from genlab.families.pixel_diffusion.request import PixelDiffusionRequest
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.families.vae.request import VAERequest
from genlab.images import from_png
from genlab.models.registry import Registry
from genlab.requests import UserError
from genlab.serving.client import Ticket
from genlab.serving.ray import RayClient
from genlab.settings import PROJECT, Settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        find_spec("ray") is None, reason="Ray is not installed: requirements-cluster.txt"
    ),
]

PATIENCE = 180.0  # seconds; a replica imports torch, and this machine may be busy


def digits(seed: int, steps: int = 60) -> PixelDiffusionRequest:
    return PixelDiffusionRequest(
        checkpoint="ddpm-mnist", seed=seed, count=2, num_inference_steps=steps
    )


def client_of(replicas: int, **settings: object) -> RayClient:
    own = Settings(replicas=replicas, replica_cpus=0.5, **settings)  # type: ignore[arg-type]
    return RayClient(Registry(own.checkpoints), own)


def wait(holds: Callable[[], bool]) -> None:
    last_moment = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < last_moment
        time.sleep(0.1)


@pytest.fixture(scope="module")
def client() -> Iterator[RayClient]:
    with client_of(2, max_rows=8) as made:
        made.wait_until_ready()
        wait(lambda: len(made.replicas()) == 2)
        yield made
        begun = time.monotonic()
        made.close()
        assert time.monotonic() - begun < 10, "a cluster of its own ends within seconds"


def begun(ticket: Ticket) -> None:
    for event in ticket:
        if isinstance(event, (Progress, Result)):
            return


def pictures(ticket: Ticket) -> np.ndarray:
    return ticket.result().images


def apart(left: np.ndarray, right: np.ndarray) -> int:
    """The largest difference of a pixel, of 255."""
    return int(np.abs(left.astype(int) - right.astype(int)).max())


def test_a_request_streams_its_steps_and_gives_its_pictures(client: RayClient) -> None:
    request = digits(0, 8).model_copy(update={"preview_every": 2})
    events = list(client.submit(request))
    assert isinstance(events[-1], Result)
    assert events[-1].images.shape == (2, 28, 28)
    assert events[-1].fingerprint
    assert all(isinstance(event, (Queued, Loading, Progress)) for event in events[:-1])


def test_large_pictures_come_as_files_and_arrays_can_be_written(client: RayClient) -> None:
    request = StableDiffusionRequest(
        checkpoint="stable-diffusion-toybox", prompt="a red 7", num_inference_steps=2, count=8
    )
    result = client.submit(request).result()
    assert len(result.files) == 8
    assert [int(np.abs(from_png(file) - image).max()) for file, image in zip(
        result.files, result.images, strict=True)] == [0] * 8  # fmt: skip
    assert result.images.flags.writeable


def test_figures_of_a_judge_come_with_the_pictures(client: RayClient) -> None:
    result = client.submit(VAERequest(checkpoint="vae-mnist-20d", count=4, judge=True)).result()
    assert result.figures


def test_a_replica_killed_in_mid_run_loses_nothing_and_equal_seeds_give_equal_pictures(
    client: RayClient,
) -> None:
    seeds = range(6)
    undisturbed = [pictures(client.submit(digits(seed), f"student {seed}")) for seed in seeds]
    tickets = [client.submit(digits(seed), f"student {seed}") for seed in seeds]
    begun(tickets[0])
    name = max(client.replicas().items(), key=lambda item: item[1])[0]
    os.kill(client.reports()[name].pid, signal.SIGKILL)
    for before, ticket in zip(undisturbed, tickets, strict=True):
        assert apart(before, pictures(ticket)) <= 1
    assert any(ticket.repeated for ticket in tickets)
    wait(lambda: client.figures().restarts == 1)
    wait(lambda: len(client.replicas()) == 2)


def test_a_drained_replica_finishes_its_work_and_is_replaced(client: RayClient) -> None:
    ticket = client.submit(digits(1, 300))
    begun(ticket)
    name = max(client.replicas().items(), key=lambda item: item[1])[0]
    client.drain(name)
    pictures(client.submit(digits(2, 5), "late"))
    pictures(ticket)
    assert not ticket.repeated
    wait(lambda: name not in client.replicas() and len(client.replicas()) == 2)


def test_cancelling_reaches_the_replica(client: RayClient) -> None:
    ticket = client.submit(digits(1, 1000))
    begun(ticket)
    client.cancel(ticket.id)
    with pytest.raises(UserError, match="stopped"):
        ticket.result()
    wait(lambda: all(r.figures.open_jobs == 0 for r in client.reports().values()))


def test_scaling_from_one_to_three_and_back_under_load_loses_nothing(client: RayClient) -> None:
    client.scale(1)
    wait(lambda: len(client.replicas()) == 1)
    tickets = [client.submit(digits(seed, 100), f"student {seed}") for seed in range(40)]
    client.scale(3)
    wait(lambda: len(client.replicas()) == 3)
    wait(lambda: min(client.replicas().values()) > 0 or all(t.ended for t in tickets))
    used = sum(count > 0 for count in client.replicas().values())
    client.scale(1)
    assert all(pictures(ticket).shape == (2, 28, 28) for ticket in tickets)
    assert not any(ticket.repeated for ticket in tickets)
    assert used == 3
    wait(lambda: len(client.replicas()) == 1)


HEAD = """
import os, signal, subprocess, sys, time
from genlab.families.vae.request import VAERequest
from genlab.models.registry import Registry
from genlab.requests import UserError
from genlab.serving.ray import AWAY, RayClient
from genlab.settings import Settings

ray, port = sys.argv[1:]

def start_head():
    flags = ["--head", "--block", f"--port={port}", "--num-cpus=2", "--disable-usage-stats",
             "--include-dashboard=false", "--object-store-memory=200000000"]
    return subprocess.Popen([ray, "start", *flags], stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL, start_new_session=True)

def draw(client, seed=3):
    while True:
        try:
            return client.submit(VAERequest(checkpoint="vae-mnist-20d", seed=seed)).result().images
        except UserError as error:
            assert str(error) == AWAY, error
            time.sleep(0.5)

head = start_head()
time.sleep(1)
try:
    settings = Settings(replicas=1, ray_address=f"127.0.0.1:{port}")
    for attempt in range(5):
        client = RayClient(Registry(settings.checkpoints), settings)
        client.start()
        try:
            client.wait_until_ready()
            break
        except UserError as error:
            print(error, flush=True)
            client.close()
            time.sleep(3)
    before = draw(client)
    heavy = {"torch", "diffusers", "transformers"} & sys.modules.keys()
    print("heavy:", *heavy)
    waiting = client.submit(VAERequest(checkpoint="vae-mnist-20d", count=64))
    os.killpg(head.pid, signal.SIGKILL)
    head.wait()
    while client.figures().healthy:
        time.sleep(0.1)
    try:
        client.submit(VAERequest(checkpoint="vae-mnist-20d"))
    except UserError as error:
        print("told:", error)
    head = start_head()
    print("same picture:", (draw(client) == before).all())
    client.close()
finally:
    os.killpg(head.pid, signal.SIGKILL)
"""


def test_a_head_that_restarts_is_told_and_joined_again_by_a_process_without_torch(
    tmp_path: Path,
) -> None:
    ray = Path(sys.executable).with_name("ray")
    environment = os.environ | {
        "RAY_AUTH_MODE": "token",  # what joins a cluster has to have its token
        "RAY_AUTH_TOKEN": os.urandom(32).hex(),
        "PYTHONPATH": str(PROJECT),
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(HEAD), str(ray), "63791"],
        env=environment, capture_output=True, text=True, timeout=400, cwd=tmp_path,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert "heavy:" in lines, done.stdout + done.stderr[-3000:]
    assert any(line.startswith("told: The machines that draw") for line in lines), done.stdout
    assert "same picture: True" in lines, done.stdout + done.stderr[-3000:]


NODE = """
import time
from ray.cluster_utils import Cluster
from genlab.families.pixel_diffusion.request import PixelDiffusionRequest
from genlab.models.registry import Registry
from genlab.serving.ray import RayClient
from genlab.settings import Settings

def wait(holds):
    last_moment = time.monotonic() + 150
    while not holds():
        assert time.monotonic() < last_moment
        time.sleep(0.1)

node = {"num_cpus": 1, "object_store_memory": 100_000_000}
cluster = Cluster(initialize_head=True, head_node_args=node | {"include_dashboard": False})
try:
    settings = Settings(replicas=2, ray_address=cluster.address, max_rows=8)
    with RayClient(Registry(settings.checkpoints), settings) as client:
        client.wait_until_ready()
        time.sleep(5)
        print("at first:", len(client.replicas()))
        cluster.add_node(**node)
        wait(lambda: len(client.replicas()) == 2)
        print("then:", len(client.replicas()))
        tickets = [
            client.submit(
                PixelDiffusionRequest(
                    checkpoint="ddpm-mnist", seed=seed, count=2, num_inference_steps=100
                ),
                f"student {seed}",
            )
            for seed in range(8)
        ]
        wait(lambda: min(client.replicas().values()) > 0 or all(t.ended for t in tickets))
        print("used:", sum(count > 0 for count in client.replicas().values()))
        print("drawn:", sum(len(ticket.result().images) for ticket in tickets))
finally:
    cluster.shutdown()
"""


def test_a_node_that_joins_is_used(tmp_path: Path) -> None:
    environment = os.environ | {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(NODE)],
        env=environment, capture_output=True, text=True, timeout=400, cwd=tmp_path,
    )  # fmt: skip
    said = done.stdout.splitlines()
    assert said == ["at first: 1", "then: 2", "used: 2", "drawn: 16"], done.stdout + done.stderr
