"""From requests to frames of a page: submit, follow, judge. Knows no component and no tensor."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from genlab.engine import FINAL, Cancelled, Event, Failed, Job, Progress, Queued, Result
from genlab.requests import Request, UserError
from genlab.serving.session_runs import Run, Stopped, Superseded
from genlab.ui.components.metric_strip import bar, measure
from genlab.ui.components.obedience import question, reader, scene_of
from genlab.ui.components.pictures import reduced
from genlab.ui.context import Lab

REDRAW = 0.12  # seconds between two frames: quick enough to look live, light for thirty visitors
HEARTBEAT = 1.0  # Gradio notices a closed browser tab only when a generator yields


@dataclass(frozen=True)
class Frame:
    """What a page shows at one moment of a run; tuples have one item a request, None: no news."""

    status: str  # HTML
    running: bool = True
    events: tuple[Event, ...] | None = None  # the newest of each, for a page that shows them apart
    pictures: tuple[np.ndarray, ...] | None = None
    results: tuple[Result, ...] | None = None
    measures: tuple[dict[str, Any], ...] | None = None


async def play(
    lab: Lab,
    owner: str,
    slot: str,
    build: Callable[[], Sequence[Request]],
    judge: bool = True,
    apart: bool = False,
) -> AsyncGenerator[Frame, None]:
    """Run what ``build`` asks for and tell the page about it; ends by a frame that is not running.

    What a visitor can mend becomes a sentence in the status; pictures shown before stay. A run
    that a newer one has replaced ends without a word. If ``apart``, a request that fails leaves
    the others alone and its event says why; the run itself only fails if all of them do.
    """
    act = attended(lab, owner, slot, lambda run: perform(lab, run, build(), judge, apart))
    async with aclosing(act) as frames:
        async for frame in frames:
            yield frame


async def attended(
    lab: Lab, owner: str, slot: str, act: Callable[[Run], AsyncGenerator[Frame, None]]
) -> AsyncGenerator[Frame, None]:
    """The frames of ``act`` at the visitor's place, and how it ended in a frame of its own."""
    with lab.desk.run(owner, slot) as run:
        status = ""
        try:
            async with aclosing(act(run)) as frames:
                async for frame in frames:
                    status = frame.status
                    yield frame
            yield Frame(status, running=False)
        except UserError as error:
            yield Frame(complaint(str(error)), running=False)
        except Stopped:
            yield Frame(said("Stopped. The engine is free again."), running=False)
        except Superseded:
            return


async def perform(
    lab: Lab, run: Run, requests: Sequence[Request], judge: bool, apart: bool = False
) -> AsyncGenerator[Frame, None]:
    """Run requests side by side; if ``judge``, have the judges look at the pictures.

    Raises UserError, Stopped or Superseded.
    """
    begun = time.monotonic()
    events: tuple[Event, ...] = ()
    async with aclosing(follow(run, run.submit(requests), apart)) as moments:
        async for events in moments:
            if not all(isinstance(event, FINAL) for event in events):
                yield Frame(progress(events), events=events, pictures=previews(events))
    drawn = {k: event for k, event in enumerate(events) if isinstance(event, Result)}
    results = tuple(drawn.values())
    status = summary(results, time.monotonic() - begun)
    whole = len(results) == len(requests)
    pictures = tuple(result.images for result in results) if whole else None
    yield Frame(status, events=events, pictures=pictures, results=results if whole else None)
    if judge:
        known = iter(await judged(lab, run, [requests[k] for k in drawn], results))
        measures = tuple(next(known) if k in drawn else {} for k in range(len(requests)))
        yield Frame(status, events=events, pictures=pictures, measures=measures)


def previews(events: Sequence[Event]) -> tuple[np.ndarray, ...] | None:
    """What every job looks like by now, made small; None unless all can say."""
    shown = [event.preview for event in events if isinstance(event, Progress)]
    if len(shown) < len(events):
        return None
    there = tuple(preview for preview in shown if preview is not None)
    thinned = tuple(np.stack([reduced(picture) for picture in some]) for some in there)
    return thinned if len(there) == len(events) else None


async def judged(
    lab: Lab, run: Run, requests: Sequence[Request], results: Sequence[Result]
) -> tuple[dict[str, Any], ...]:
    """The figures of each result, with a judge's opinion where one knows the data set."""
    entries = [lab.catalogue.entry(request.checkpoint) for request in requests]
    scenes = [scene_of(entry, request) for entry, request in zip(entries, requests, strict=True)]
    judges = [
        lab.catalogue.judge(entry.dataset)
        or (reader(lab.catalogue, entry.dataset) if scene is not None else None)
        for entry, scene in zip(entries, scenes, strict=True)
    ]
    asked = [
        question(judge, result.images, scene)
        for judge, result, scene in zip(judges, results, scenes, strict=True)
        if judge is not None
    ]
    opinions = iter(await finished(run, asked))
    return tuple(
        measure(entry, request, judge, result, next(opinions).extras if judge else {}, scene)
        for entry, request, judge, result, scene in zip(
            entries, requests, judges, results, scenes, strict=True
        )
    )


async def finished(run: Run, requests: Sequence[Request]) -> tuple[Result, ...]:
    """Run requests and wait for all results; raises UserError, Stopped or Superseded."""
    if not requests:
        return ()
    async with aclosing(follow(run, run.submit(requests))) as moments:
        last = [events async for events in moments][-1]
    return tuple(event for event in last if isinstance(event, Result))


async def follow(
    run: Run, jobs: Sequence[Job], apart: bool = False
) -> AsyncGenerator[tuple[Event, ...], None]:
    """The newest event of each job, again and again, up to the moment when all have ended.

    Raises UserError if one failed, or all if they are ``apart``, and what ended the run if one was
    cancelled.
    """
    newest: list[Event] = [Queued(0) for _ in jobs]
    shown: tuple[Event, ...] = ()

    async def read(k: int, job: Job) -> None:
        async for event in job:
            seen = bool(shown) and newest[k] is shown[k]
            newest[k] = (
                event.after(newest[k]) if isinstance(event, Progress) and not seen else event
            )

    reading = asyncio.gather(*(read(k, job) for k, job in enumerate(jobs)))
    try:
        told = time.monotonic()
        ended = False
        while not ended:
            await asyncio.wait({reading}, timeout=REDRAW)
            ended = reading.done()  # asked before the events are read, so the last ones are told
            failed = [event for event in newest if isinstance(event, Failed)]
            if len(failed) > (len(newest) - 1 if apart else 0):
                raise UserError(failed[0].message)
            if any(isinstance(event, Cancelled) for event in newest):
                raise run.ending or Stopped()
            now = time.monotonic()
            if tuple(map(id, newest)) != tuple(map(id, shown)) or now - told > HEARTBEAT:
                shown, told = tuple(newest), now
                yield shown
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


# --- sentences ------------------------------------------------------------------------------


def progress(events: Sequence[Event]) -> str:
    """The status line while jobs wait or run; the slowest one speaks for all."""
    return said(*how_far(events))


def how_far(events: Sequence[Event]) -> tuple[str, float]:
    """Where jobs that wait or run have got to, in words and from 0 to 1."""
    waiting = [event for event in events if isinstance(event, Queued)]
    if waiting:
        ahead = max(event.position for event in waiting) - 1
        if ahead <= 0:
            return "Starting: you are next in line.", 0.0
        return f"In the queue: {ahead} {plural(ahead, 'request')} before yours.", 0.0
    moving = [event for event in events if isinstance(event, Progress)]
    last = min(moving, key=lambda event: event.step / event.total)
    left = f", about {max(1, round(last.eta))} s left" if last.eta and last.eta >= 0.5 else ""
    return f"Step {last.step} of {last.total}{left}", last.step / last.total


def summary(results: Sequence[Result], seconds: float) -> str:
    """The status line at the end: how much, how long, and what the family wants to be known."""
    count = sum(len(result.images) for result in results)
    waited = max(result.waited for result in results)
    queue = f", {waited:.1f} s of it waiting" if waited >= 0.5 else ""
    notes = dict.fromkeys(note for result in results for note in result.notes)
    done = f"{count} {plural(count, 'picture')} in {seconds:.2f} s{queue}."
    return said(done) + "".join(f'<p class="note">{escape(note)}</p>' for note in notes)


def plural(count: int, noun: str) -> str:
    """The noun, with an s unless there is one of it."""
    return noun if count == 1 else f"{noun}s"


def said(sentence: str, done: float | None = None) -> str:
    """A calm status line; with a bar if ``done``, from 0 to 1, is given."""
    line = "" if done is None else bar(done)
    return f'<p class="said" role="status">{escape(sentence)}</p>{line}'


def complaint(sentence: str) -> str:
    """A status line that names what was wrong."""
    return f'<p class="complaint" role="alert">{escape(sentence)}</p>'
