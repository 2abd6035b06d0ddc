"""How a training stands, as updates of the tab's outputs. Knows no engine and no tensor."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from genlab.engine.events import Queued
from genlab.families.live_training.request import SUBJECTS
from genlab.ui.components.progress import error_line, how_far, status_line
from genlab.ui.tabs.train.code import code, lights, shares, walked
from genlab.ui.tabs.train.keep import Kept
from genlab.ui.tabs.train.plots import curves, digits, plots_of, points
from genlab.ui.tabs.train.session import TrainingSession


def begun(session: TrainingSession) -> tuple[Any, ...]:
    """The tab's outputs at the start; what was there before goes, but for the last samples."""
    status, *rest, _ = frame(session)
    rest[3] = curves(plots_of(session.request.subject), {}, 0)
    return (status, *rest, code(session.family))


def frame(session: TrainingSession) -> tuple[Any, ...]:
    """Status, Pause, Stop, samples, curves, lights, Download and the loop while it is followed."""
    pause = gr.update(value="Go on" if session.paused else "Pause", interactive=True)
    hidden = gr.update(visible=False)
    on = gr.update(interactive=True)
    return (_status(session), pause, on, *_shown(session), hidden, gr.skip())


def ended(session: TrainingSession, why: str, kept: Kept, wrong: bool = False) -> tuple[Any, ...]:
    """The same once it has ended; ``wrong`` if it could not go on."""
    session.paused = True
    status = error_line(why) if wrong else status_line(f"{_so_far(session)} {why}".strip())
    note = f'<p class="note">{escape(kept.note)}</p>' if kept.note else ""
    return (
        status + note,
        gr.update(value="Pause", interactive=False),
        gr.update(interactive=False),
        *_shown(session),
        gr.update(value=kept.archive, visible=kept.archive is not None),
        gr.skip(),
    )


def complaint(sentence: str) -> tuple[Any, ...]:
    """The same when nothing could begin."""
    return (error_line(sentence), *[gr.skip()] * 7)


def _status(session: TrainingSession) -> str:
    if session.complaint:
        return error_line(session.complaint)
    if session.paused and session.step:
        return status_line(f"{_so_far(session)} Paused: Step leads through the six, one by one.")
    if not session.step:
        return status_line(how_far([session.waiting or Queued(1)])[0])
    left = f"{session.time.left:.0f} s left"
    speed = f"{session.speed:,.0f} a second, " if session.speed else ""
    return status_line(f"{_so_far(session)} {speed}{left}.", _share(session))


def _share(session: TrainingSession) -> float:
    whole = session.time.left + session.time.spent
    return session.time.spent / whole if whole else 1.0


def _so_far(session: TrainingSession) -> str:
    if session.result is None:
        return ""
    steps = f"Step {session.step:,}"
    if SUBJECTS[session.request.subject].data == "points":
        return f"{steps}."
    return f"{steps} on {session.result.extras['examples']:,} digits."


def _shown(session: TrainingSession) -> list[Any]:
    """Samples, curves and lights."""
    subject, result = session.request.subject, session.result
    if result is None:
        return [gr.skip(), gr.skip(), lights(session.family, running=not session.paused)]
    if SUBJECTS[subject].data == "points":
        drawn = points(result.extras, session.step)
    else:
        drawn = digits(result.images, session.step)
    what = walked(session.watched[: session.at])
    if not session.watched:
        what = shares(result.extras["shares"])
    return [
        drawn,
        curves(plots_of(subject), session.history.curves, session.step),
        lights(session.family, not session.paused, session.stage, what),
    ]
