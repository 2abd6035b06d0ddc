"""What is said of requests while they run and when they have ended, as HTML. Knows no component."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from genlab.engine.events import FINAL, Event, Failed, Loading, Progress, Queued, Result
from genlab.ui.components.metric_strip import bar


def progress(events: Sequence[Event]) -> str:
    """The status line while requests wait or run; the slowest one speaks for all."""
    return status_line(how_far(events)[0])


def how_far(events: Sequence[Event]) -> tuple[str, float]:
    """Where requests that wait or run have got to, in words and from 0 to 1."""
    loading = next((event for event in events if isinstance(event, Loading)), None)
    if loading is not None:
        return f"Loading {loading.title} ...", 0.0
    waiting = [event for event in events if isinstance(event, Queued)]
    if waiting:
        ahead = max(event.position for event in waiting) - 1
        if ahead <= 0:
            return "Starting: you are next in line.", 0.0
        return f"In the queue: {ahead} {plural(ahead, 'request')} before yours.", 0.0
    moving = [event for event in events if isinstance(event, Progress)]
    if not moving:
        return "Finishing.", 1.0
    last = min(moving, key=share_of)
    left = f", about {max(1, round(last.eta))} s left" if last.eta and last.eta >= 0.5 else ""
    return f"Step {last.step} of {last.total}{left}", share_of(last)


def share_of(event: Event) -> float:
    """How much of a request is done, from 0 to 1; what has ended is."""
    if isinstance(event, Progress):
        return event.step / event.total
    return 1.0 if isinstance(event, FINAL) else 0.0


def summary(results: Sequence[Result], seconds: float, noun: str = "picture") -> str:
    """The status line at the end: how much, how long, and what the person should know."""
    count = sum(len(result.images) for result in results)
    waited = max((result.waited for result in results), default=0.0)
    queue = f", {waited:.1f} s of it waiting" if waited >= 0.5 else ""
    notes = dict.fromkeys(note for result in results for note in result.notes)
    done = f"{count} {plural(count, noun)} in {seconds:.2f} s{queue}."
    return status_line(done) + "".join(f'<p class="note">{escape(note)}</p>' for note in notes)


def plural(count: int, noun: str) -> str:
    """The noun, with an s unless there is one of it."""
    return noun if count == 1 else f"{noun}s"


def status_line(sentence: str, done: float | None = None) -> str:
    """A calm status line; with a bar if ``done``, from 0 to 1, is given.

    It has no role: the page's one live region reads it out, every few seconds and at the end.
    """
    line = "" if done is None else bar(done)
    return f'<p class="said">{escape(sentence)}</p>{line}'


def error_line(sentence: str) -> str:
    """A status line that names what was wrong."""
    return f'<p class="complaint" role="alert">{escape(sentence)}</p>'


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
