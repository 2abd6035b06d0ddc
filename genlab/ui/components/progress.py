"""How far many jobs are, taken together, and what is said of it. Knows no component."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from genlab.engine import Event, Failed, Progress, Queued, Result
from genlab.ui.live_run import progress, said


def share_done(events: Sequence[Event]) -> float:
    """From 0 to 1: the mean of the jobs' shares, each by its own steps."""
    return sum(map(_share, events)) / len(events)


def told(what: str, events: Sequence[Event], seconds: float) -> str:
    """A status line: what there is by now, and how long the rest will take.

    Args:
        what: such as "3 of 9 values".
        events: the newest of each job.
        seconds: since the beginning.
    """
    done = share_done(events)
    if not done:
        return progress([event for event in events if isinstance(event, Queued)] or [Queued(1)])
    left = seconds / done - seconds
    remains = f", about {max(1, round(left))} s left" if left >= 0.5 else ""
    return said(f"{what}{remains}", done)


def failures(events: Sequence[Event]) -> str:
    """A note on the jobs that failed, as HTML, with the first reason; "" if none did."""
    messages = [event.message for event in events if isinstance(event, Failed)]
    if not messages:
        return ""
    return f'<p class="note">{len(messages)} failed: {escape(messages[0])}</p>'


def _share(event: Event) -> float:
    if isinstance(event, Progress):
        return event.step / event.total
    return 1.0 if isinstance(event, (Result, Failed)) else 0.0
