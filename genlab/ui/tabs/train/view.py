"""How a training stands, as updates of the tab's outputs. Knows no engine and no tensor."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr

from genlab.families.live_training.request import SUBJECTS
from genlab.ui.components.pictures import blank
from genlab.ui.components.progress import error_line, how_far, status_line
from genlab.ui.tabs.train.code import lights, shares, walked
from genlab.ui.tabs.train.keep import Kept
from genlab.ui.tabs.train.plots import PLOTS, Plot, curves, digits, points
from genlab.ui.tabs.train.session import TrainingSession

UNSEEN = "Samples from the same z, once a second"


def frame(session: TrainingSession) -> tuple[Any, ...]:
    """Status, Pause, Stop, samples, curves, lights and Download while it is followed."""
    pause = gr.update(value="Go on" if session.paused else "Pause", interactive=True)
    hidden = gr.update(visible=False)
    return (_status(session), pause, gr.update(interactive=True), *_shown(session), hidden)


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
    )


def complaint(sentence: str) -> tuple[Any, ...]:
    """The same when nothing could begin."""
    return (error_line(sentence), *[gr.skip()] * 6)


def nothing(subject: str) -> str:
    """The place of the samples before there are any."""
    return blank(1, 1, f"{SUBJECTS[subject].about} {UNSEEN}.")


def no_curves(subject: str) -> str:
    """The axes before there is anything to draw."""
    return curves(plots_of(subject), {}, 0)


def no_lights(subject: str) -> str:
    """The place of the six steps' words."""
    return lights(SUBJECTS[subject].family, running=False)


def plots_of(subject: str) -> Sequence[Plot]:
    """What is plotted of a training."""
    about = SUBJECTS[subject]
    return [*PLOTS[about.family], *(PLOTS["points"] if about.data == "points" else ())]


def _status(session: TrainingSession) -> str:
    if session.complaint:
        return error_line(session.complaint)
    if session.paused and session.step:
        return status_line(f"{_so_far(session)} Paused: Step leads through the six, one by one.")
    if session.waiting is not None and not session.step:
        return status_line(how_far([session.waiting])[0])
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
