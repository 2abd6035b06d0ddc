"""The page of `python -m genlab serve --replicas 2` in real Chromium, on a real local Ray.

To run it: `pip install -r requirements-cluster.txt && pytest tests/browser/test_replicas.py`.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any
from urllib.parse import urljoin

import numpy as np
import psutil
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from tests.browser.visitor import PATIENCE, Visitor
from tests.conftest import PROJECT, free_port, wait_until_it_answers

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(450),
    pytest.mark.skipif(
        find_spec("ray") is None, reason="Ray is not installed: requirements-cluster.txt"
    ),
]

START_LIMIT = 240.0  # seconds; two replicas import torch
CLOSING = 10.0  # seconds in which the page, and a cluster of its own, have to be gone


class House:
    """The page's process, and the replicas that it has started.

    Attributes:
        closing_seconds: how long it took to end, once it has ended.
        left: processes of its cluster that were there after its end.
    """

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self.url = url
        self.closing_seconds = float("nan")
        self.left: list[str] = []
        self._process = process

    def health(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}healthz", timeout=10) as answer:
            return json.load(answer)

    def replicas(self) -> list[psutil.Process]:
        """Their processes, oldest first."""
        found = []
        for process in psutil.Process(self._process.pid).children(recursive=True):
            if "ray::ServeReplica:genlab-" in " ".join(process.cmdline()):
                found.append(process)
        return sorted(found, key=lambda process: process.create_time())

    def wait(self, holds: Callable[[], bool]) -> None:
        last_moment = time.monotonic() + START_LIMIT
        while not holds():
            assert time.monotonic() < last_moment
            time.sleep(0.2)

    def end(self) -> None:
        """As systemd and Docker do."""
        family = psutil.Process(self._process.pid).children(recursive=True)
        begun = time.monotonic()
        self._process.terminate()
        self._process.wait(60)
        self.closing_seconds = time.monotonic() - begun
        _, alive = psutil.wait_procs(family, timeout=5)
        self.left = [" ".join(process.cmdline())[:80] for process in alive]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    own, port = tmp_path_factory.mktemp("replicas"), free_port()
    settings = {
        "GENLAB_PORT": str(port), "GENLAB_MAX_ROWS": "8", "HF_HUB_OFFLINE": "1",
        "GRADIO_TEMP_DIR": str(own / "uploads"),
    }  # fmt: skip
    log, url = own / "log.txt", f"http://127.0.0.1:{port}/"
    command = [sys.executable, "-m", "genlab", "serve", "--replicas", "2", "--replica-cpus", "0.5"]
    with log.open("w") as out:
        process = subprocess.Popen(
            command, cwd=PROJECT, env=os.environ | settings, stdin=subprocess.DEVNULL,
            stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
        made = House(process, url)
        try:
            wait_until_it_answers(process, url, log)
            made.wait(lambda: made.health()["device"] == "2 x cpu")
            yield made
        finally:
            if process.poll() is None:
                made.end()
    assert "Traceback" not in log.read_text(), log.read_text()[-5000:]


@pytest.fixture
def visitor(browser: Browser, house: House) -> Iterator[Visitor]:
    seen = Visitor(browser.new_context(viewport={"width": 1440, "height": 900}), house.url)
    yield seen
    seen.context.close()
    assert seen.errors == []


def ask_for_toybox(visitor: Visitor, steps: int, count: int, preview_every: int = 0) -> None:
    visitor.open_tab("Stable Diffusion")
    visitor.enter("sd-prompt", "a red 7 on a blue background")
    visitor.enter("sd-seed", 5)
    visitor.enter("sd-steps", steps)
    visitor.enter("sd-count", count)
    visitor.enter("sd-preview-every", preview_every)


def pixels(visitor: Visitor, address: str | None) -> np.ndarray:
    """The values of a finished picture."""
    answer = visitor.page.request.get(urljoin(visitor.page.url, address))
    assert answer.status == 200
    return np.asarray(Image.open(io.BytesIO(answer.body()))).astype(int)


def test_pictures_and_their_figures_come_from_replicas(visitor: Visitor, house: House) -> None:
    visitor.open_tab("VAE")
    visitor.enter("vae-count", 4)
    visitor.generate("vae")
    assert len({picture.hash for picture in visitor.pictures("vae-gallery", 4)}) == 4
    expect(visitor.find("vae-strip")).to_contain_text("Sharpness")
    assert house.health()["models"]


def test_previews_come_while_a_replica_draws_and_stop_frees_it(
    visitor: Visitor, house: House
) -> None:
    ask_for_toybox(visitor, steps=100, count=16, preview_every=1)
    visitor.press("sd-generate")
    expect(visitor.find("sd-status")).to_contain_text("Step ", timeout=PATIENCE)
    first = visitor.find("sd-gallery").locator("img").first
    early = first.get_attribute("src", timeout=PATIENCE) or ""
    expect(first).not_to_have_attribute("src", early, timeout=PATIENCE)
    visitor.press("sd-stop")
    expect(visitor.find("sd-status")).to_contain_text("Stopped", timeout=PATIENCE)
    house.wait(lambda: house.health()["open_jobs"] == 0)


def test_a_replica_killed_in_mid_run_costs_no_picture(visitor: Visitor, house: House) -> None:
    def draw() -> np.ndarray:  # (4, 64, 64, 3)
        visitor.wait_until_done("sd")
        assert "4 pictures in" in visitor.status("sd")
        images = visitor.find("sd-gallery").locator("img")
        expect(images).to_have_count(4, timeout=PATIENCE)
        return np.stack([pixels(visitor, image.get_attribute("src")) for image in images.all()])

    ask_for_toybox(visitor, steps=100, count=4)
    visitor.press("sd-generate")
    undisturbed = draw()
    assert undisturbed.std() > 10
    visitor.press("sd-generate")
    expect(visitor.find("sd-status")).to_contain_text("Step ", timeout=PATIENCE)
    working = max(house.replicas(), key=lambda process: process.cpu_percent(0.3))
    working.kill()
    assert np.abs(draw() - undisturbed).max() <= 1, "equal within float tolerance"
    house.wait(lambda: house.health()["restarts"] == 1)
    house.wait(lambda: house.health()["device"] == "2 x cpu")


def test_the_page_ends_within_seconds_and_leaves_no_process(house: House) -> None:
    house.end()
    assert house.closing_seconds < CLOSING
    assert house.left == []
