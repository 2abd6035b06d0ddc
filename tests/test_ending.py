"""How the process begins and ends: a sentence when it cannot begin, and nobody left waiting."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from genlab.requests import UserError
from genlab.serving.ending import END_SECONDS, check_address, wait_while
from genlab.ui.closing import closing
from tests.conftest import PROJECT, free_port, own_threads, wait_until_it_answers

KEY = "sésame, ouvre-toi"


# --- where it listens ---------------------------------------------------------------------------


def test_a_port_in_use_is_a_sentence_that_names_the_variable_and_another() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError) as caught:
            check_address("127.0.0.1", port)
    assert str(caught.value) == (
        f"GENLAB_PORT is {port}, but another program listens there already: end it, or choose "
        f"another port, such as GENLAB_PORT={port + 1}."
    )


@pytest.mark.parametrize(
    ("host", "says"),
    [
        ("no such host.", "GENLAB_HOST is 'no such host.', which is no address."),
        ("192.0.2.1", "GENLAB_HOST is '192.0.2.1', which is no address of this machine."),
    ],
)
def test_an_address_of_nobody_is_a_sentence(host: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        check_address(host, free_port())
    assert str(caught.value) == says


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "[::1]"])
def test_where_it_can_listen_nothing_is_said(host: str) -> None:
    if host == "[::1]" and not Path("/proc/net/if_inet6").exists():
        pytest.skip("no IPv6 here")
    check_address(host, free_port())


def refusal(**environment: str) -> str:
    """What `python app.py` says that ends at once."""
    done = subprocess.run(
        [sys.executable, "app.py"], cwd=PROJECT, env=own_threads() | environment,
        capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_the_app_says_so_before_it_loads_anything() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        begun = time.monotonic()
        said = refusal(GENLAB_PORT=str(port))
    assert said.startswith(f"GENLAB_PORT is {port}, but another program listens there")
    assert time.monotonic() - begun < 60


def test_without_cuda_a_house_that_is_to_use_it_does_not_open() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is CUDA here")
    said = refusal(GENLAB_DEVICE="cuda", GENLAB_PORT=str(free_port()))
    assert said == "There is no device 'cuda' here: choose another with GENLAB_DEVICE or --device."


# --- how it ends --------------------------------------------------------------------------------


def test_waiting_ends_with_what_is_waited_for_or_with_patience() -> None:
    looks = iter((True, True, False))
    assert wait_while(lambda: next(looks), 10)
    begun = time.monotonic()
    assert not wait_while(lambda: True, 0.2)
    assert time.monotonic() - begun < 5


def test_a_page_is_closed_once_its_visitors_have_their_answer() -> None:
    begun, may_answer = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        may_answer.wait(30)
        return "the end of your run"

    with gr.Blocks() as page:
        gr.api(slow)
    page.queue()
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    heard: list[str] = []

    def visit() -> None:
        event = posted(f"{url}gradio_api/call/slow", {"data": []})["event_id"]
        with urllib.request.urlopen(f"{url}gradio_api/call/slow/{event}", timeout=60) as answer:
            heard.append(answer.read().decode())

    visitor = threading.Thread(target=visit)
    with closing(page, seconds=20):
        visitor.start()
        assert begun.wait(30)
        threading.Timer(0.5, may_answer.set).start()
    visitor.join(30)
    assert "the end of your run" in heard[0]
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=5)


# --- the app ------------------------------------------------------------------------------------


def posted(url: str, content: Any, **headers: str) -> dict[str, Any]:
    request = urllib.request.Request(
        url, json.dumps(content).encode(), {"Content-Type": "application/json"} | headers
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen, str, Path]]:
    """`python app.py` with a login and a teacher: its process, its address, its folder."""
    port, folder = free_port(), tmp_path_factory.mktemp("app")
    settings = {
        "GENLAB_PORT": str(port), "GENLAB_AUTH": "class:blackboard", "GENLAB_TEACHER_KEY": KEY,
        "GENLAB_LOG": "json", "GRADIO_TEMP_DIR": str(folder / "files"), "HF_HUB_OFFLINE": "1",
        "GENLAB_DEVICE": "cpu", "GENLAB_MAXROWS": "5",
    }  # fmt: skip
    with (folder / "log").open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=PROJECT, env=own_threads() | settings,
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            wait_until_it_answers(process, f"http://127.0.0.1:{port}/", folder / "log")
            yield process, f"http://127.0.0.1:{port}/", folder
        finally:
            process.kill()
            process.wait()


def status(url: str, **headers: str) -> int:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=given), timeout=30) as got:
            return got.status
    except urllib.error.HTTPError as error:
        return error.code


def cookie(url: str, password: str) -> str:
    form = f"username=class&password={password}".encode()
    request = urllib.request.Request(f"{url}login", form)
    with urllib.request.urlopen(request, timeout=30) as answer:
        cookies = answer.headers.get_all("set-cookie")
    return "; ".join(one.split(";")[0] for one in cookies)


def test_the_app_lets_in_whom_it_should(app: tuple[subprocess.Popen, str, Path]) -> None:
    _, url, folder = app
    assert status(f"{url}config") == 401
    with pytest.raises(urllib.error.HTTPError):
        cookie(url, "chalk")
    assert status(f"{url}config", Cookie=cookie(url, "blackboard")) == 200
    assert status(f"{url}healthz") == 200
    assert status(f"{url}metrics") == 401
    assert status(f"{url}metrics", Authorization=f"Bearer {KEY}".encode().decode("latin1")) == 200
    assert status(f"{url}config", Origin="http://evil.example") == 403
    assert status(url, Host="rebound.example") == 403
    assert status(f"{url}monitoring/summary", Cookie=cookie(url, "blackboard")) == 403
    log = (folder / "log").read_text()
    assert "perhaps GENLAB_MAX_ROWS is meant" in log
    assert KEY not in log


def test_asked_to_end_it_tells_everybody_and_does(app: tuple[subprocess.Popen, str, Path]) -> None:
    process, url, folder = app
    known, heard = {"Cookie": cookie(url, "blackboard")}, list[str]()
    call = f"{url}gradio_api/call/v2/stable_diffusion_sample"
    asked = {"prompt": "a red 7", "num_inference_steps": 100, "count": 16}
    event = posted(call, asked, **known)["event_id"]

    def listen() -> None:
        request = urllib.request.Request(
            f"{url}gradio_api/call/stable_diffusion_sample/{event}", headers=known
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            heard.append(answer.read().decode())

    visitor = threading.Thread(target=listen)
    visitor.start()
    time.sleep(1.0)
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert time.monotonic() - begun < END_SECONDS + 1
    visitor.join(30)
    assert "GenLab is shutting down; please try again in a minute." in heard[0]
    assert list((folder / "files").iterdir()) == []
    lines = [line for line in (folder / "log").read_text().splitlines() if line.startswith("{")]
    jobs = [json.loads(line) for line in lines if '"genlab.jobs"' in line]
    assert {job.get("outcome", "refused") for job in jobs} <= {"failed", "refused"}
    assert "a red 7" not in (folder / "log").read_text()
    assert "Traceback" not in (folder / "log").read_text()
    assert os.environ.get("GENLAB_TEACHER_KEY") is None
