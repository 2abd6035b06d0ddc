"""What is said of many requests while they run, taken together. Knows no component."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from genlab.engine.events import Event, Failed, Loading, Queued
from genlab.ui.live_run import progress, share_of, status_line


def share_done(events: Sequence[Event]) -> float:
    """From 0 to 1: the mean of the requests' shares, each by its own steps."""
    return sum(map(share_of, events)) / len(events)


def progress_line(what: str, events: Sequence[Event], seconds: float) -> str:
    """A status line: what there is by now, and how long the rest will take.

    Args:
        what: such as "3 of 9 values".
        events: the newest of each request.
        seconds: since the beginning.
    """
    done = share_done(events)
    if not done:
        return progress([e for e in events if isinstance(e, (Queued, Loading))] or [Queued(1)])
    left = seconds / done - seconds
    remains = f", about {max(1, round(left))} s left" if left >= 0.5 else ""
    return status_line(f"{what}{remains}", done)


def failures(events: Sequence[Event]) -> str:
    """A note on the requests that failed, as HTML, with the first reason; "" if none did."""
    messages = [event.message for event in events if isinstance(event, Failed)]
    if not messages:
        return ""
    return f'<p class="note">{len(messages)} failed: {escape(messages[0])}</p>'
