"""The end of a page: its visitors hear how their runs ended before its server goes. No tab."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from genlab.serving.ending import wait_while

TELL_SECONDS = 2.0  # for what is being answered
SEND_SECONDS = 0.2  # what was answered is on its way through a stream that looks 20 times a second


@contextmanager
def closing(page: gr.Blocks, seconds: float = TELL_SECONDS) -> Iterator[None]:
    """Close the launched page at the end, once those who wait for an answer have theirs."""
    try:
        yield
    finally:
        if wait_while(lambda: _answering(page), seconds):
            time.sleep(SEND_SECONDS)
        page.close(verbose=False)


def _answering(page: gr.Blocks) -> bool:
    """Whether an event is running, or an answer has not been taken by its stream."""
    queue = page._queue
    mailboxes = list(queue.pending_messages_per_session.values())
    return any(job is not None for job in queue.active_jobs) or any(
        not mailbox.empty() for mailbox in mailboxes
    )
