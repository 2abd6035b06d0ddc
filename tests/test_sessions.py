"""What a visitor leaves behind: nothing, whether known, idle, gone or killed."""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import subprocess
import sys
import time
import tracemalloc
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from gradio.state_holder import SessionState
from gradio_client import Client as Script
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from genlab.models.registry import Registry
from genlab.serving.loop_lag import LoopLag
from genlab.serving.uploads import (
    LOCK,
    MAX_BODY_BYTES,
    BodyLimit,
    clear_left_overs,
    sweep_folder,
    upload_folder,
)
from genlab.settings import Settings
from genlab.ui.context import AppContext
from genlab.ui.page import build_page, launch_options
from genlab.ui.sessions import CAPACITY, SharedConfig, forget, share_descriptions, sweep
from tests.conftest import PROJECT
from tests.fake_client import FakeClient


@pytest.fixture(scope="module")
def page() -> gr.Blocks:
    """GenLab's page over the real checkpoints; nothing is drawn."""
    registry = Registry(PROJECT / "checkpoints", downloads=False)
    return build_page(AppContext(Settings(), registry, FakeClient()))


@pytest.fixture(scope="module")
def url(page: gr.Blocks) -> Iterator[str]:
    context = AppContext(Settings(), Registry(PROJECT / "nowhere", downloads=False), FakeClient())
    page.queue(default_concurrency_limit=None)
    _, address, _ = page.launch(
        prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **launch_options(context)
    )
    yield address
    page.close()


def call(url: str, session: str | None = None) -> list[Any]:
    """What a script gets that knows only HTTP."""
    body = {"data": []} | ({} if session is None else {"session_hash": session})
    request = urllib.request.Request(
        f"{url}gradio_api/call/checkpoints", json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=30) as answer:
        event = json.load(answer)["event_id"]
    with urllib.request.urlopen(f"{url}gradio_api/call/checkpoints/{event}", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    assert lines[0] == "event: complete"
    return json.loads(lines[1].removeprefix("data: "))


# --- what a session costs ---------------------------------------------------------------------


def test_a_new_session_is_small(page: gr.Blocks) -> None:
    SessionState(page)
    tracemalloc.start()
    states = [SessionState(page) for _ in range(20)]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(page.blocks) > 200
    assert size / len(states) < 60_000, "bytes a session; Gradio's own were 700,000"


def test_a_session_knows_every_component_and_event_of_its_page(page: gr.Blocks) -> None:
    config = SessionState(page).blocks_config
    assert dict(config.blocks) == dict(page.blocks)
    assert dict(config.fns) == dict(page.fns)


def test_what_one_session_changes_no_other_sees() -> None:
    with gr.Blocks() as small:
        text = gr.Textbox("as built")
    share_descriptions(small)
    mine, yours = SessionState(small), SessionState(small)
    mine[text._id] = gr.Textbox("changed", render=False)
    assert mine[text._id].value == "changed"
    assert yours[text._id] is text
    assert small.blocks[text._id] is text
    mine._update_value_in_config(text._id, "typed")
    assert not any(yours.components)


def test_the_page_itself_is_described_as_before(page: gr.Blocks) -> None:
    assert isinstance(page.default_config, SharedConfig)
    components = page.get_config_file()["components"]
    assert len(components) == len(page.blocks)
    assert all("props" in component for component in components)


def test_scripts_with_and_without_gradios_client_get_their_answers(url: str) -> None:
    names = {entry["name"] for entry in call(url)[0]}
    assert "vae-mnist-20d" in names
    script = Script(url, verbose=False)
    assert {entry["name"] for entry in script.predict(api_name="/checkpoints")} == names


# --- who is forgotten, and when ---------------------------------------------------------------


def kept(page: gr.Blocks, session: str) -> bool:
    queue = page._queue
    return any(
        session in place
        for place in (
            page.state_holder.session_data,
            page.state_holder.time_last_used,
            queue.pending_event_ids_session,
            queue.pending_messages_per_session,
        )
    )


def test_a_session_that_is_gone_is_forgotten(page: gr.Blocks, url: str) -> None:
    session = uuid.uuid4().hex
    call(url, session)
    assert kept(page, session)
    forget(page, session)
    assert not kept(page, session)
    call(url, session)  # who comes back is served


def test_an_idle_session_is_forgotten_and_a_busy_one_is_not(page: gr.Blocks, url: str) -> None:
    idle, lively, drawing = (uuid.uuid4().hex for _ in range(3))
    for session in (idle, lively, drawing):
        call(url, session)
    long_ago = datetime.datetime.now() - datetime.timedelta(hours=3)
    page.state_holder.time_last_used[idle] = long_ago
    page.state_holder.time_last_used[drawing] = long_ago
    queue: Any = page._queue
    queue.pending_event_ids_session[drawing].add("event")
    queue.event_ids_to_events["event"] = object()
    sweep(page)
    assert [kept(page, session) for session in (idle, lively, drawing)] == [False, True, True]
    del queue.event_ids_to_events["event"]  # it has ended and nobody came for the answer
    sweep(page)
    assert not kept(page, drawing)


def test_there_are_never_more_sessions_than_a_bound(page: gr.Blocks, url: str) -> None:
    assert page.state_holder.capacity == CAPACITY
    for k in range(CAPACITY + 50):
        _ = page.state_holder[f"invented-{k}"]
    assert len(page.state_holder.session_data) == CAPACITY
    assert len(page.state_holder.time_last_used) <= CAPACITY
    for k in range(CAPACITY + 50):
        forget(page, f"invented-{k}")


def test_a_class_of_hundreds_runs_at_once(page: gr.Blocks, url: str) -> None:
    assert len(page._queue.active_jobs) >= 256, "Gradio's own 40 would keep the 41st waiting"


async def test_a_loop_that_was_held_up_is_said_to_be_late() -> None:
    lag = LoopLag()
    async with lag.watching():
        await asyncio.sleep(0.3)
        assert lag.figures()["max"] < 0.2
        time.sleep(0.4)
        await asyncio.sleep(0.1)
    assert lag.figures()["max"] > 0.3
    assert lag.figures()["p99"] > 0.3
    assert lag.figures(0)["max"] == 0


# --- uploads ----------------------------------------------------------------------------------


def send(url: str, size: int) -> int:
    boundary = "x" * 20
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    body = head.encode() + b"0" * size + f"\r\n--{boundary}--\r\n".encode()
    request = urllib.request.Request(
        f"{url}gradio_api/upload", body,
        {"Content-Type": f"multipart/form-data; boundary={boundary}"},
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.status


def test_a_file_larger_than_any_recipe_is_refused_with_a_sentence(url: str) -> None:
    assert send(url, 1000) == 200
    with pytest.raises(urllib.error.HTTPError) as refused:
        send(url, MAX_BODY_BYTES + 1)
    assert refused.value.code == 413
    assert "GenLab takes at most 64 MB" in json.load(refused.value)["detail"]


def test_a_body_without_a_length_is_cut_off_where_it_grows_too_large() -> None:
    read = 0

    async def endpoint(request: Request) -> PlainTextResponse:
        nonlocal read
        async for chunk in request.stream():
            read += len(chunk)
        return PlainTextResponse("taken")

    routes = [Route("/upload", endpoint, methods=["POST"])]
    app = Starlette(routes=routes, middleware=[Middleware(BodyLimit, max_bytes=10_000)])
    browser = TestClient(app)
    chunks = [b"0" * 1000] * 100
    assert browser.post("/upload", content=iter(chunks[:10])).text == "taken"
    read = 0
    answer = browser.post("/upload", content=iter(chunks))
    assert answer.status_code == 413
    assert read <= 10_000


def test_very_many_files_within_a_minute_are_refused_and_buttons_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def take(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(len(await request.body())))

    routes = [Route("/upload", take, methods=["POST"])]
    limited = Middleware(BodyLimit, max_bytes=10_000, lately_bytes=15_000)
    browser = TestClient(Starlette(routes=routes, middleware=[limited]))

    def upload() -> int:
        return browser.post("/upload", files={"file": b"0" * 8000}).status_code

    assert [upload(), upload()] == [200, 200]
    refused = browser.post("/upload", files={"file": b"0" * 8000})
    assert refused.status_code == 503
    assert "very many files" in refused.json()["detail"]
    assert browser.post("/upload", json={"press": "a button"}).status_code == 200
    later = time.monotonic() + 61
    # Its own view of the clock alone: the loops of other pages here go by the real one.
    monkeypatch.setattr("genlab.serving.uploads.time", SimpleNamespace(monotonic=lambda: later))
    assert upload() == 200


def test_a_file_that_finds_no_room_on_the_disk_is_a_sentence() -> None:
    async def keep(request: Request) -> PlainTextResponse:
        await request.body()
        raise OSError(28, "No space left on device")

    routes = [Route("/upload", keep, methods=["POST"])]
    browser = TestClient(Starlette(routes=routes, middleware=[Middleware(BodyLimit)]))
    refused = browser.post("/upload", files={"file": b"0" * 100})
    assert refused.status_code == 507
    assert "disk is full" in refused.json()["detail"]
    with pytest.raises(OSError, match="No space"):
        browser.post("/upload", json={"press": "a button"})


def aged(path: Path, seconds: float, size: int = 10) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"0" * size)
    when = path.stat().st_mtime - seconds
    os.utime(path, (when, when))
    return path


def test_uploads_go_within_minutes_and_files_for_scripts_within_the_hour(tmp_path: Path) -> None:
    sent, fresh = aged(tmp_path / "a" / "sent.png", 300), aged(tmp_path / "b" / "fresh.png", 10)
    broken_off = aged(tmp_path / "tmp1234", 300)
    made, old = aged(tmp_path / "c" / "made.png", 300), aged(tmp_path / "d" / "old.png", 4000)
    uploaded = {str(sent), str(fresh)}
    sweep_folder(tmp_path, uploaded)
    assert [path.exists() for path in (sent, fresh, broken_off, made, old)] == [
        False, True, False, True, False,
    ]  # fmt: skip
    assert uploaded == {str(fresh)}
    assert not sent.parent.exists()


def test_the_folder_is_bounded_and_the_oldest_go_first(tmp_path: Path) -> None:
    files = [aged(tmp_path / str(k) / "a.png", 100 - k, size=1000) for k in range(10)]
    sweep_folder(tmp_path, set(), max_bytes=4500)
    assert [path.exists() for path in files] == [False] * 6 + [True] * 4


def test_a_start_clears_what_a_killed_process_left_and_nothing_else(tmp_path: Path) -> None:
    foreign = tmp_path / "genlab-thesis"
    foreign.mkdir()
    code = f"""
import os, signal
from genlab.serving.uploads import upload_folder
with upload_folder({str(tmp_path)!r}) as folder:
    (folder / "picture.png").write_bytes(b"0")
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True
    )
    left = Path(killed.stdout.strip())
    assert (left / "picture.png").exists()
    with upload_folder(str(tmp_path)) as own:
        assert not left.exists()
        assert (own / LOCK).exists()
        assert clear_left_overs(tmp_path) == 0, "one that is alive is left alone"
        assert foreign.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["genlab-thesis"]


def test_leaving_the_page_forgets_the_session(page: gr.Blocks, url: str) -> None:
    session = uuid.uuid4().hex
    call(url, session)
    left = next(f for f in page.fns.values() if any(e == "unload" for _, e in f.targets))

    async def leave() -> None:
        assert left.fn is not None
        await left.fn(gr.Request(session_hash=session))

    asyncio.run(leave())
    assert not kept(page, session)


def test_a_tab_that_closes_amid_a_run_is_forgotten_twice_without_a_word(
    page: gr.Blocks, url: str
) -> None:
    session = uuid.uuid4().hex
    call(url, session)
    mailboxes = page._queue.pending_messages_per_session
    assert session in mailboxes
    forget(page, session)
    assert session not in mailboxes
    del mailboxes[session]  # as Gradio does when the session's stream breaks
