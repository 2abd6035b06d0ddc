"""What Gradio keeps for every browser session, made small, bounded and forgotten. Knows no tab.

By itself Gradio describes every component of the page anew for each session: 40 ms of the event
loop and 0.7 MB that stay until 10,000 others have come. Those descriptions serve deep links and
``gr.render``; GenLab has neither of the first, so sessions get none.
"""

from __future__ import annotations

import asyncio
import datetime
from collections import ChainMap
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.blocks import BlocksConfig
from gradio.utils import LRUCache

from genlab.serving.loop_lag import LoopLag
from genlab.serving.uploads import sweep_folder

CAPACITY = 2000  # sessions; the page of each asks every few seconds, so idle ones go first
IDLE_SECONDS = 2 * 3600.0
SWEEP_SECONDS = 60.0
MAX_RUNNING = 1024
"""Events that Gradio lets run at once. Its own 40 would keep a class's 41st visitor waiting though
the engine has room; how much work there may be is the engine's business."""


class SharedConfig(BlocksConfig):
    """The components and events of a page, of which a session's copy shares all it can."""

    def __copy__(self) -> BlocksConfig:
        """What a new session gets: its own changes, over what all have in common."""
        session: Any = _SessionConfig(self.root_block)
        session.blocks = ChainMap({}, self.blocks)
        session.fns = ChainMap({}, self.fns)
        session.fn_id = self.fn_id
        session.renderables = list(self.renderables)
        return session


class _SessionConfig(BlocksConfig):
    """One session's components; it does not describe those that the page was sent with."""

    @staticmethod
    def config_for_block(
        _id: int, rendered_ids: list[int], block: Any, renderable: Any = None
    ) -> dict:
        if renderable is None:
            return _NOTHING
        return BlocksConfig.config_for_block(_id, rendered_ids, block, renderable)


_NOTHING: dict = {}  # nobody writes into it: Gradio puts values only where it finds "props"


class _Mailboxes(LRUCache):
    """The answers that sessions have not fetched yet. One may be taken away twice.

    Gradio takes a session's away when its stream breaks, and the page when its tab is gone: of one
    that is closed amid a run both happen, in either order.
    """

    def __delitem__(self, session: str) -> None:
        self.pop(session, None)


def share_descriptions(page: gr.Blocks) -> None:
    """Let sessions of a finished page cost next to nothing."""
    own = page.default_config
    shared = SharedConfig(page)
    shared.blocks, shared.fns = own.blocks, own.fns
    shared._id, shared.fn_id, shared.renderables = own._id, own.fn_id, own.renderables
    page.default_config = shared


def forget(page: gr.Blocks, session: str) -> None:
    """Drop what Gradio keeps for a session that is gone; to be called on the event loop.

    Where an answer was not fetched yet its mailbox stays until the next sweep: a proxy may have cut
    off what tells that a tab is open, and not the tab.
    """
    _forget_state(page, session)
    if not page._queue.pending_event_ids_session.get(session):
        _forget_mailbox(page, session)


def sweep(page: gr.Blocks, idle_seconds: float = IDLE_SECONDS) -> int:
    """Forget sessions that are idle for so long, and mailboxes of those that are gone.

    To be called on the event loop. Returns how many there were.
    """
    state, queue = page.state_holder, page._queue
    last = datetime.datetime.now() - datetime.timedelta(seconds=idle_seconds)
    sessions = {
        *state.session_data,
        *queue.pending_event_ids_session,
        *queue.pending_messages_per_session,
    }
    idle = [
        session
        for session in sessions
        if state.time_last_used.get(session, datetime.datetime.min) < last
        and not _busy(queue, session)
    ]
    for session in idle:
        _forget_state(page, session)
        _forget_mailbox(page, session)
    return len(idle)


def remembered(page: gr.Blocks) -> int:
    """How many sessions Gradio keeps something for."""
    return len(page.state_holder.session_data)


def _forget_state(page: gr.Blocks, session: str) -> None:
    state = page.state_holder
    with state.lock:
        state.session_data.pop(session, None)
        state.time_last_used.pop(session, None)


def _forget_mailbox(page: gr.Blocks, session: str) -> None:
    page._queue.pending_event_ids_session.pop(session, None)
    page._queue.pending_messages_per_session.pop(session, None)


def _busy(queue: Any, session: str) -> bool:
    """Whether one of its events is waiting or running, and not only unread."""
    events = queue.pending_event_ids_session.get(session, ())
    return any(event in queue.event_ids_to_events for event in events)


def beside(lag: LoopLag) -> Callable[[Any], AbstractAsyncContextManager[None]]:
    """What lives beside a page's server: the measuring of its loop, and the sweeping.

    Once a minute sessions are swept, and the files of uploads, these in a thread.
    """

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        page = app.get_blocks()
        queue = page._queue
        queue.pending_messages_per_session = _Mailboxes(queue.pending_messages_per_session.max_size)
        task = asyncio.create_task(_sweep_for_ever(page, Path(app.uploaded_file_dir)))
        try:
            async with lag.watching():
                yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return lifespan


async def _sweep_for_ever(page: gr.Blocks, folder: Path) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        sweep(page)
        await asyncio.to_thread(sweep_folder, folder, page.upload_file_set)
