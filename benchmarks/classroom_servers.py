"""The servers of the classroom benchmark: processes of their own, and what they take meanwhile."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

PROJECT = Path(__file__).resolve().parent.parent
START_SECONDS = 300.0
SAMPLE_SECONDS = 0.25

SIDES = {
    "plain": ["-m", "benchmarks.classroom_plain", "--runtime", "eager", "--port", "{port}"],
    "plain with graphs": ["-m", "benchmarks.classroom_plain", "--runtime", "onnx",
                          "--port", "{port}"],
    "GenLab": ["app.py", "--port", "{port}"],
}  # fmt: skip


@dataclass
class Usage:
    """What a server took while it was watched.

    Attributes:
        memory: the most resident bytes.
        cpu_seconds: of all its threads.
        lag_p99: by how many seconds its event loop was late, 99th percentile.
        memory_over_time: (seconds since the beginning, resident bytes).
    """

    memory: int = 0
    cpu_seconds: float = 0.0
    lag_p99: float = 0.0
    memory_over_time: list[tuple[float, int]] = field(default_factory=list)


class Server:
    """One server of this machine, and the folder in which it keeps its files."""

    def __init__(self, url: str, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.process = psutil.Process(process.pid)

    def memory(self) -> int:
        """Resident bytes of the process and its children now."""
        total = 0
        for process in (self.process, *self.process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
        return total

    def lag(self, seconds: float) -> dict[str, float]:
        """How late its event loop was in the last so many seconds."""
        answer = httpx.get(f"{self.url}healthz?seconds={int(seconds + 1)}", timeout=60)
        return answer.json()["loop_lag_seconds"]

    @contextmanager
    def watched(self) -> Iterator[Usage]:
        """Measure as long as the ``with`` lasts."""
        usage, begun, cpu = Usage(), time.perf_counter(), self._cpu()

        def sample(now: float) -> None:
            usage.memory_over_time.append((now, self.memory()))

        try:
            with again_and_again(SAMPLE_SECONDS, sample):
                yield usage
        finally:
            usage.memory = max((m for _, m in usage.memory_over_time), default=self.memory())
            usage.cpu_seconds = self._cpu() - cpu
            usage.lag_p99 = self.lag(time.perf_counter() - begun)["p99"]

    def _cpu(self) -> float:
        times = self.process.cpu_times()
        return times.user + times.system


@contextmanager
def again_and_again(seconds: float, look: Callable[[float], None]) -> Iterator[None]:
    """Call ``look`` every so many seconds, with those since the beginning, beside the ``with``."""
    done, begun = threading.Event(), time.perf_counter()

    def work() -> None:
        while not done.wait(seconds):
            look(time.perf_counter() - begun)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    try:
        yield
    finally:
        done.set()
        worker.join()


@contextmanager
def serving(side: str, **environment: str) -> Iterator[Server]:
    """One side as a process, ready to draw; it ends with the ``with``."""
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder, open(Path(folder) / "log", "wb") as log:
        settings = {"GRADIO_TEMP_DIR": f"{folder}/files", "HF_HUB_OFFLINE": "1"} | environment
        process = subprocess.Popen(
            [sys.executable, *(part.format(port=port) for part in SIDES[side])],
            cwd=PROJECT, env={**os.environ, **settings}, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            url = f"http://127.0.0.1:{port}/"
            _wait(url, process, Path(folder) / "log")
            yield Server(url, process, Path(folder) / "files")
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    last_moment = time.monotonic() + START_SECONDS
    while time.monotonic() < last_moment and process.poll() is None:
        with contextlib.suppress(httpx.HTTPError, ValueError, KeyError):
            if httpx.get(f"{url}healthz", timeout=5).json()["device"]:
                return
        time.sleep(0.5)
    raise RuntimeError(f"the server did not start:\n{log.read_text(errors='replace')[-3000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
