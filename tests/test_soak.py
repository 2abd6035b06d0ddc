"""Visitors who come and go leave nothing behind: a small version of benchmarks.classroom_soak."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from benchmarks.classroom_soak import come_and_go
from genlab.models.registry import Registry
from genlab.serving.client import Ticket
from genlab.settings import Settings
from genlab.ui.context import AppContext
from genlab.ui.page import build_page, launch_options
from tests.conftest import PROJECT
from tests.fake_client import FakeClient, draw

pytestmark = pytest.mark.slow
SESSIONS = 300
MEGABYTES = 25  # Gradio by itself would keep 210
WORKERS = 40  # of anyio's pool, which fills up whoever comes; a thread a session would be 300


@pytest.fixture(scope="module")
def page() -> Iterator[gr.Blocks]:
    """GenLab's page over the real checkpoints, served; requests are answered without a model."""

    def answer(ticket: Ticket) -> None:
        draw(ticket)
        client.tickets.clear()

    client = FakeClient(answer)
    registry = Registry(PROJECT / "checkpoints", downloads=False)
    context = AppContext(Settings(), registry, client)
    page = build_page(context).queue(default_concurrency_limit=None, max_size=10_000)
    page.launch(
        prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **launch_options(context)
    )
    yield page
    page.close()


def memory() -> int:
    """Resident bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def settled(page: gr.Blocks) -> int:
    """How many sessions the page knows, once those that left have been noticed."""
    state: Any = page.state_holder
    last = time.monotonic() + 20
    while state.session_data and time.monotonic() < last:
        time.sleep(0.2)
    return len(state.session_data)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="counts in Linux's /proc")
def test_hundreds_of_sessions_that_come_and_go_leave_nothing(page: gr.Blocks) -> None:
    url: Any = page.local_url
    assert asyncio.run(come_and_go(url, 60)) == 0
    assert settled(page) == 0
    memory_before, threads_before = memory(), threading.active_count()
    handles_before = len(os.listdir("/proc/self/fd"))

    assert asyncio.run(come_and_go(url, SESSIONS)) == 0

    assert settled(page) == 0
    queue = page._queue
    assert not queue.pending_event_ids_session
    assert not queue.pending_messages_per_session
    assert not queue.event_ids_to_events
    assert memory() - memory_before < MEGABYTES * 1e6
    assert threading.active_count() <= threads_before + WORKERS
    assert len(os.listdir("/proc/self/fd")) <= handles_before + 8
