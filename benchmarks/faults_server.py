"""Faults round a running GenLab: clients that vanish, disks, folders, signals. Over real HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.classroom import a_class
from benchmarks.classroom_servers import _free_port, _wait
from benchmarks.classroom_visitor import PICTURE, Page, visit
from benchmarks.faults_house import Report
from genlab.settings import PROJECT

BUTTONS = ("sd-generate", "vae-generate", "gan-generate", "guidance-generate")
END_SECONDS = 10.0  # from SIGTERM on
NOBODY = 65534  # a user who owns nothing
SENTENCE = "shutting down"
COPIED = ("app.py", "genlab", "checkpoints")


@dataclass
class Running:
    """A GenLab in a process of its own.

    Attributes:
        url: with a slash at its end.
        files: the folder that holds its folder of visitors' files.
        log: what it wrote.
    """

    url: str
    process: subprocess.Popen[bytes]
    files: Path
    log: Path

    def figures(self) -> dict[str, Any]:
        """What /healthz says."""
        return httpx.get(f"{self.url}healthz", timeout=30).json()

    def is_idle(self, seconds: float = 60.0) -> bool:
        """Whether nothing is left inside, at last."""
        last_moment = time.monotonic() + seconds
        while self.figures()["open_jobs"]:
            if time.monotonic() > last_moment:
                return False
            time.sleep(0.2)
        return True

    def tracebacks(self) -> int:
        """How many errors it did not turn into a sentence."""
        return self.log.read_text(errors="replace").count("Traceback")


@contextmanager
def running(
    place: Path = PROJECT, files: Path | None = None, user: int | None = None, **environment: str
) -> Iterator[Running]:
    """GenLab of a checkout, ready to draw; what is left of it at the end is killed.

    Args:
        place: the checkout.
        files: the folder for visitors' files; None: one that goes with it.
        user: whose rights it has.
    """
    port = _free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        files = files or folder / "files"
        files.mkdir(exist_ok=True)
        if user is not None:
            os.chown(files, user, user)
        settings = {"GRADIO_TEMP_DIR": str(files), "HF_HUB_OFFLINE": "1", "GENLAB_LOG": "json"}
        with open(folder / "log", "wb") as log:
            process = subprocess.Popen(
                [sys.executable, "app.py", "--port", str(port), "--device", "cpu"], cwd=place,
                env={**os.environ, **settings, **environment}, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, user=user,
            )  # fmt: skip
            try:
                url = f"http://127.0.0.1:{port}/"
                _wait(url, process, folder / "log")
                yield Running(url, process, files, folder / "log")
            finally:
                process.kill()
                process.wait()


def answer(house: Running, count: int = 2) -> str:
    """What one call of the API gives: "pictures", or the error's text."""
    arguments = ["vae-mnist-20d", 1, count, 1.0, None]
    with httpx.Client(timeout=120) as client:
        joined = client.post(
            f"{house.url}gradio_api/call/vae_sample",
            json={"data": arguments, "session_hash": uuid.uuid4().hex},
        )
        if joined.status_code != 200:
            return joined.text
        event = joined.json()["event_id"]
        text = client.get(f"{house.url}gradio_api/call/vae_sample/{event}").text
        if "event: complete" not in text:
            return text
        files = json.loads(text.split("data: ")[1].splitlines()[0])[0]
        good = all(client.get(file["url"]).content[:4] == b"\x89PNG" for file in files)
        return "pictures" if good and len(files) == count else "pictures that cannot be fetched"


def uploaded(house: Running) -> int:
    """The status of an upload."""
    files = {"files": ("a.png", b"\x89PNG" + bytes(300_000), "image/png")}
    return httpx.post(f"{house.url}gradio_api/upload", files=files, timeout=60).status_code


def vanishing_clients(house: Running, people: int = 60) -> Report:
    """Visitors who press a button and close the connection in the middle of the answer."""
    report = Report(f"{people} clients, two of three of which vanish in mid-stream")
    page, draw = Page.at(house.url), random.Random(0)

    async def everybody() -> list[Any]:
        async with httpx.AsyncClient(timeout=300) as client:
            visits = [
                visit(
                    client, page, BUTTONS[k % 4], a_class(people, 0)[k] if k % 4 == 0 else {},
                    draw.uniform(0.1, 4.0) if k % 3 else float("inf"),
                )
                for k in range(people)
            ]  # fmt: skip
            return await asyncio.gather(*visits)

    for one in asyncio.run(everybody()):
        report.jobs += 1
        report.results += one.picture is not None
        report.cancelled += one.failed == "left"
        report.lost += one.picture is None and one.failed != "left"
    begun = time.monotonic()
    report.lost += not house.is_idle(180)
    report.found = f"the engine was free again after {time.monotonic() - begun:.0f} s"
    return report


def a_full_disk(house: Running) -> Report:
    """No file can be written any more; then there is room again."""
    report = Report("disk full: no file can grow")
    page = Page.at(house.url)
    limits = resource.prlimit(house.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(house.process.pid, resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        said = answer(house)
        status = uploaded(house)
        drawn = _pressed(page)
    finally:
        resource.prlimit(house.process.pid, resource.RLIMIT_FSIZE, limits)
    after = answer(house)
    _tell(report, "the page draws", drawn == "picture", drawn)
    _tell(report, "a call of the API gets a sentence", "disk" in said.lower(), said[-200:])
    _tell(report, "an upload is refused", status in (507, 500, 400, 413), str(status))
    _tell(report, "with room again all is well", after == "pictures", after[-200:])
    _tell(report, "healthy", house.figures()["healthy"], "")
    report.found = f"an upload gets status {status}; the API says {_sentence(said)!r}"
    return report


def a_folder_that_is_gone(house: Running) -> Report:
    """The folder for visitors' files is removed under the running server."""
    report = Report("the temp folder is removed")
    page = Page.at(house.url)
    for folder in house.files.iterdir():
        shutil.rmtree(folder)
    _tell(report, "a call of the API gets its files", (said := answer(house)) == "pictures", said)
    status = uploaded(house)
    _tell(report, "an upload is taken", status == 200, str(status))
    _tell(report, "the page draws", (drawn := _pressed(page)) == "picture", drawn)
    return report


def a_read_only_checkout() -> Report:
    """Run by a user who may write nothing but the folder for visitors' files."""
    report = Report("read-only checkout, home folder that is not there")
    with tempfile.TemporaryDirectory() as name:
        place, user = PROJECT, NOBODY if os.geteuid() == 0 else None
        if user is None:  # no other user to be: a copy without rights to write
            place = Path(name)
            for part in COPIED:
                copy = shutil.copytree if (PROJECT / part).is_dir() else shutil.copy
                copy(PROJECT / part, place / part)
            for path in (place, *place.rglob("*")):
                path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
        with running(place, user=user, HOME="/nonexistent") as house:
            said = answer(house)
            _tell(report, "a call of the API gets its files", said == "pictures", said)
            drawn = _pressed(Page.at(house.url))
            _tell(report, "the page draws", drawn == "picture", drawn)
            found = house.tracebacks()
            report.found = f"{found} tracebacks in the log"
            report.lost += found
    return report


def sigterm(people: int = 16) -> Report:
    """The server is asked to end while everybody draws."""
    report = Report(f"SIGTERM while {people} visitors draw")
    with running() as house:
        page = Page.at(house.url)
        heard, seconds, code = asyncio.run(_told_to_end(house, page, people))
        left = len(list(house.files.iterdir()))
        for text in heard:
            report.jobs += 1
            told, drew = SENTENCE in text, bool(PICTURE.search(text))
            report.failed += told
            report.results += drew and not told
            report.lost += not (told or drew)
        report.lost += seconds > END_SECONDS or code != 0 or left > 0
        report.found = (
            f"ended with {code} after {seconds:.1f} s, {left} folders left, "
            f"{house.tracebacks()} tracebacks in the log"
        )
        report.lost += house.tracebacks()
    return report


def left_overs() -> Report:
    """A server is killed; the next one clears what it left."""
    report = Report("kill -9, then a new start")
    with tempfile.TemporaryDirectory() as name:
        files = Path(name)
        with running(files=files) as house:
            _tell(report, "files were made", answer(house, 8) == "pictures", "")
            house.process.send_signal(signal.SIGKILL)
            house.process.wait()
        killed = {path.name for path in files.iterdir()}
        _tell(report, "they were left", len(killed) > 0, "")
        with running(files=files) as house:
            left = killed & {path.name for path in files.iterdir()}
            _tell(report, "they are gone after the next start", not left, str(left))
            _tell(report, "it draws", (said := answer(house)) == "pictures", said)
    report.found = f"{len(killed)} folders were left and cleared"
    return report


# --- visitors -----------------------------------------------------------------------------------


def _pressed(page: Page) -> str:
    """What one press of a button gives: "picture", or what went wrong."""

    async def press() -> str:
        async with httpx.AsyncClient(timeout=120) as client:
            one = await visit(client, page, "vae-generate", {})
            return "picture" if one.picture is not None else one.failed

    return asyncio.run(press())


async def _told_to_end(house: Running, page: Page, people: int) -> tuple[list[str], float, int]:
    """What each visitor heard, in how many seconds the process ended, and with what code."""
    heard = [""] * people
    steps = {"sd-steps": 50, "sd-count": 4}

    async def one(client: httpx.AsyncClient, k: int) -> None:
        session = uuid.uuid4().hex
        body = page.press("sd-generate", steps | {"sd-seed": k}, session)
        await client.post(f"{page.url}/gradio_api/queue/join", json=body)
        stream = f"{page.url}/gradio_api/queue/data?session_hash={session}"
        with contextlib.suppress(httpx.HTTPError):
            async with client.stream("GET", stream) as frames:
                async for line in frames.aiter_lines():
                    heard[k] += line
                    if '"process_completed"' in line:
                        return

    async with httpx.AsyncClient(timeout=120) as client:
        visitors = [asyncio.create_task(one(client, k)) for k in range(people)]
        while not any("Progress" in text or "step" in text for text in heard):
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.5)
        begun = time.monotonic()
        house.process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(_exit_code, house.process)
        seconds = time.monotonic() - begun
        await asyncio.gather(*visitors)
    return heard, seconds, code


def _exit_code(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(60)
    except subprocess.TimeoutExpired:
        return -1


def _tell(report: Report, what: str, holds: bool, instead: str) -> None:
    """Count something that has to hold; say so if it does not."""
    report.jobs += 1
    report.results += holds
    report.lost += not holds
    if not holds:
        report.sentences[f"not so: {what} ({instead.strip()[-200:]})"] += 1


def _sentence(text: str) -> str:
    """The error of an answer of the API."""
    found = re.search(r'"error": ?"([^"]*)"', text)
    return (found[1] if found else text)[:120]


def each_on_a_server(faults: Sequence[Callable[[Running], Report]]) -> list[Callable[[], Report]]:
    """These faults as functions that start a server, each its own."""

    def alone(fault: Callable[[Running], Report]) -> Callable[[], Report]:
        def run() -> Report:
            with running() as house:
                report = fault(house)
                report.lost += not house.figures()["healthy"]
                return report

        run.__name__ = fault.__name__
        return run

    return [alone(fault) for fault in faults]
