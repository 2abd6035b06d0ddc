"""What several test files share: the app as a person runs it, and who skips where."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

# Tiny networks gain nothing from a second thread, and two pools that wait for each other on a busy
# machine are many times slower. The app that the browser tests start has its own.
THREADS = os.environ.get("OMP_NUM_THREADS")
os.environ.setdefault("OMP_NUM_THREADS", "1")

PROJECT = Path(__file__).resolve().parent.parent
START_LIMIT = 240  # seconds; a busy two-core machine imports torch and gradio in 40
RETURN_SECONDS = 30  # that a run goes on for a page that is gone
BROKEN = "cut-short"  # a damaged checkpoint that lies among the real ones


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what needs the app last, and skip what needs a GPU where there is none."""
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)
    wanting = [item for item in items if item.get_closest_marker("gpu")]
    if wanting:
        import torch

        if not torch.cuda.is_available():
            for item in wanting:
                item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(autouse=True)
def own_log_level() -> Iterator[None]:
    """The command line quiets GenLab's log for its process; the next test wants to hear it."""
    log = logging.getLogger("genlab")
    before = log.level
    yield
    log.setLevel(before)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real checkpoints, and a VAE among them whose weights were cut short on the way."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for real in (PROJECT / "checkpoints").iterdir():
        (folder / real.name).symlink_to(real, target_is_directory=True)
    source = PROJECT / "checkpoints" / "vae-mnist-20d"
    damaged = folder / BROKEN
    damaged.mkdir()
    for name in ("README.md", "config.json"):
        (damaged / name).write_bytes((source / name).read_bytes())
    weights = (source / "model.safetensors").read_bytes()
    (damaged / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    return folder


@pytest.fixture(scope="session")
def app_url(checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`python app.py` in a process of its own, with a damaged checkpoint among the real ones."""
    port = free_port()
    own = tmp_path_factory.mktemp("app")
    log = own / "log.txt"
    settings = {
        "GENLAB_HOST": "127.0.0.1",
        "GENLAB_PORT": str(port),
        "GENLAB_CHECKPOINTS": str(checkpoints),
        "GRADIO_TEMP_DIR": str(own / "pictures"),
        "HF_HUB_OFFLINE": "1",
        "GENLAB_RETURN_SECONDS": str(RETURN_SECONDS),
    }
    url = f"http://127.0.0.1:{port}/"
    with log.open("w") as out:
        app = subprocess.Popen(
            [sys.executable, "app.py"],
            cwd=PROJECT,
            env=own_threads() | settings,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_until_it_answers(app, url, log)
            yield url
        finally:
            app.terminate()
            try:
                app.wait(20)
            except subprocess.TimeoutExpired:
                app.kill()
    assert "Traceback" not in log.read_text(), log.read_text()[-5000:]


def own_threads() -> dict[str, str]:
    """The environment as it was before the tests took one thread for themselves."""
    environment = dict(os.environ)
    if THREADS is None:
        del environment["OMP_NUM_THREADS"]
    return environment


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_it_answers(app: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Return when the page is served; fail with the end of the log if it never is."""
    last_moment = time.monotonic() + START_LIMIT
    while time.monotonic() < last_moment:
        if app.poll() is not None:
            pytest.fail(f"app.py ended with {app.returncode}:\n{log.read_text()[-5000:]}")
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    pytest.fail(f"app.py did not answer in {START_LIMIT} s:\n{log.read_text()[-5000:]}")
