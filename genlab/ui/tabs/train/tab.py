"""The Train tab: a VAE or a GAN learns live, and its six steps light up. Knows no tensor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import gradio as gr

from genlab.families.live_training.request import SUBJECTS, TrainRequest
from genlab.requests import UserError, parse_request
from genlab.serving.session_runs import Run, Stopped, Superseded
from genlab.serving.training_slots import TrainingSlots
from genlab.ui.components.panel import PRIVATE, chooser, numbered, seed_with_dice
from genlab.ui.context import AppContext
from genlab.ui.first_runs import WAITS
from genlab.ui.model_choices import LOOK
from genlab.ui.state.kept import kept as outliving
from genlab.ui.tabs.train import view
from genlab.ui.tabs.train.code import code, lights
from genlab.ui.tabs.train.keep import Kept, keep
from genlab.ui.tabs.train.measured import measured
from genlab.ui.tabs.train.session import CHANGING, TrainingSession

SLOT = "train"
INTRO = (
    "**Watch one learn.** Six steps, again and again: what is drawn below is always drawn from the "
    "same z, so each change is the network's. Lead it step by step, or change a setting on the way."
)
FIRST = "points-gan"
RATES = ("0.0001", "0.0002", "0.0003", "0.001", "0.002", "0.003", "0.01", "0.03", "0.1")


def build(context: AppContext) -> None:
    """Add the tab's content to the page."""
    settings = context.settings
    slots = TrainingSlots(settings.trainings, settings.training_seconds)
    sessions: dict[Run, TrainingSession] = {}  # of those who train now
    subject = SUBJECTS[FIRST]
    gr.Markdown(INTRO, elem_classes=["intro"])
    with gr.Row(elem_classes=["guided", "training"]):
        with gr.Column(min_width=0):
            what = chooser(
                f"{SLOT}-subject", "What learns", "What is trained, and what it learns to draw.",
                [(about.title, name) for name, about in SUBJECTS.items()], FIRST,
            )  # fmt: skip
            with gr.Row(elem_classes=["go", "four-buttons"]):
                generate = gr.Button(
                    "Train", variant="primary", elem_id=f"{SLOT}-generate", elem_classes=[WAITS]
                )
                pause = gr.Button("Pause", elem_id=f"{SLOT}-pause", interactive=False)
                step = gr.Button("Step", elem_id=f"{SLOT}-step")
                stop = gr.Button("Stop", variant="stop", elem_id=f"{SLOT}-stop", interactive=False)
            status = gr.HTML(
                measured(FIRST).status, elem_id=f"{SLOT}-status", elem_classes=["status", "flush"]
            )
            download = gr.DownloadButton(
                "Download the checkpoint", visible=False, elem_id=f"{SLOT}-download"
            )
        with gr.Column(min_width=0, elem_classes=["shown"]), gr.Row(elem_classes=["watch"]):
            with gr.Column(min_width=300, elem_classes=["panel"]):
                samples = gr.HTML(
                    measured(FIRST).samples, elem_id=f"{SLOT}-samples", elem_classes=["flush"]
                )
                curves = gr.HTML(
                    measured(FIRST).curves, elem_id=f"{SLOT}-curves", elem_classes=["flush"]
                )
            with gr.Column(min_width=300, elem_classes=["panel"]):
                loop = gr.HTML(code(subject.family), elem_id=f"{SLOT}-loop", elem_classes=["flush"])
                lit = gr.HTML(
                    lights(subject.family, running=False),
                    elem_id=f"{SLOT}-lights",
                    elem_classes=["flush"],
                )
        with gr.Column(min_width=0, elem_classes=["settings"]):
            with gr.Column(visible=subject.family == "vae") as of_vae:
                kl, _ = numbered(
                    f"{SLOT}-kl-weight", "KL weight",
                    "0: a plain autoencoder. Large: every code is N(0, I) and says nothing.",
                    0, 10, 1, 0.1,
                )  # fmt: skip
            rate = _rate(
                "learning-rate", _rate_label(subject.family), _rate_info(subject.family), "0.001"
            )
            with gr.Column(visible=subject.family == "gan") as of_gan:
                other_rate = _rate(
                    "discriminator-rate", "Learning rate of D", "Of the discriminator.", "0.002"
                )
                updates, _ = numbered(
                    f"{SLOT}-generator-updates", "Updates of G",
                    "Of the generator, for each one of the discriminator. 5: points collapse.",
                    1, 10, 1,
                )  # fmt: skip
            latent, _ = numbered(
                f"{SLOT}-latent-dim", "Latent size",
                "Numbers in z. From the next start on.", 1, 64, subject.latent_dim,
            )  # fmt: skip
            seed = seed_with_dice(SLOT)

    inputs = [what, seed, latent, kl, rate, other_rate, updates]
    names = ("subject", "seed", "latent_dim", *CHANGING)
    shown = [status, pause, stop, samples, curves, lit, download, loop]

    async def train(
        request: gr.Request, *values: Any, paused: bool = False
    ) -> AsyncIterator[tuple[Any, ...]]:
        try:
            asked = parse_request(TrainRequest, run="new", **_given(names, values))
        except UserError as error:
            yield view.complaint(str(error))
            return
        session = TrainingSession(asked, slots.training(), paused)
        if paused:
            session.walk()
        with context.runs.run(str(request.session_hash), SLOT) as run:
            sessions[run] = session
            try:
                yield view.begun(session)
                async for _ in session.follow(run):
                    yield view.frame(session)
                yield view.ended(session, "Its time is over.", await keep_it(run, session))
            except UserError as error:
                yield view.ended(session, str(error), await keep_it(run, session), wrong=True)
            except Stopped as stopped:
                own = await keep_it(run, session)
                yield view.ended(session, str(stopped), own)
            except Superseded:
                return
            finally:
                del sessions[run]

    def opened(request: gr.Request, name: Any) -> list[Any]:
        """What was chosen, as it was measured; while one trains, that stays in view."""
        controls, places = _controls(name), _places(name)
        return controls + ([gr.skip()] * len(places) if session_of(request) else places)

    async def keep_it(run: Run, session: TrainingSession) -> Kept:
        return await asyncio.to_thread(keep, context.registry, run.owner, session)

    def session_of(request: gr.Request) -> TrainingSession | None:
        """What the visitor trains now; a page that came back has its runs, see `RunRegistry`."""
        owner = str(request.session_hash)
        return next((own for run, own in sessions.items() if run.owner == owner), None)

    async def lead(request: gr.Request, *values: Any) -> AsyncIterator[tuple[Any, ...]]:
        """One of the six further, or the first of a new training."""
        session = session_of(request)
        if session is not None:
            session.walk()
            yield (gr.skip(),) * len(shown)  # whoever follows it shows that
            return
        async for frame in begin_paused(request, *values):
            yield frame

    async def train_paused(request: gr.Request, *values: Any) -> AsyncIterator[tuple[Any, ...]]:
        async for frame in train(request, *values, paused=True):
            yield frame

    begin_paused = outliving(context, SLOT, train_paused)

    def pause_or_go_on(request: gr.Request) -> None:
        session = session_of(request)
        if session is not None:
            session.pause_or_go_on()

    def change(request: gr.Request, *values: Any) -> None:
        session = session_of(request)
        if session is None:
            return
        try:
            session.change(_given(CHANGING, values))
        except UserError as error:
            session.complaint = str(error)

    def end(request: gr.Request) -> None:
        context.runs.stop(str(request.session_hash), SLOT)

    quick: dict[str, Any] = {"queue": False, "preprocess": False, **PRIVATE}
    running: dict[str, Any] = {
        "preprocess": False, "concurrency_limit": None, "trigger_mode": "multiple", **PRIVATE,
    }  # fmt: skip
    began = generate.click(outliving(context, SLOT, train), inputs, shown, **running)
    led = step.click(lead, inputs, shown, **running)
    for ended in (began, led):
        ended.then(None, None, None, js=LOOK)  # choosers list what was kept
    pause.click(pause_or_go_on, None, None, **quick)
    stop.click(end, None, None, **quick)
    changing = [kl, rate, other_rate, updates]
    gr.on([part.change for part in changing], change, changing, None, **quick)
    what.input(_defaults, what, [latent, rate, other_rate], **quick)
    places = [status, samples, curves, loop, lit]
    what.change(opened, what, [of_vae, of_gan, rate, *places], **quick)


def _given(names: tuple[str, ...], values: tuple[Any, ...]) -> dict[str, Any]:
    """The fields of a request; an empty box sends None, which would read oddly in a sentence."""
    return {n: "" if v is None else v for n, v in zip(names, values, strict=True)}


def _rate(name: str, label: str, info: str, value: str) -> gr.Dropdown:
    return chooser(f"{SLOT}-{name}", label, info, [(rate, rate) for rate in RATES], value)


def _rate_label(family: str) -> str:
    return "Learning rate of G" if family == "gan" else "Learning rate"


def _rate_info(family: str) -> str:
    return "Of the generator." if family == "gan" else "How far each step goes."


def _defaults(name: Any) -> list[Any]:
    """Latent size and learning rates that suit what was chosen."""
    subject = SUBJECTS[str(name)]
    rates = (subject.learning_rate, subject.discriminator_rate)
    return [subject.latent_dim, *(f"{rate:.4f}".rstrip("0") for rate in rates)]


def _controls(name: Any) -> list[Any]:
    """The controls of what was chosen."""
    family = SUBJECTS[str(name)].family
    return [
        gr.update(visible=family == "vae"),
        gr.update(visible=family == "gan"),
        gr.update(label=_rate_label(family), info=_rate_info(family)),
    ]


def _places(name: Any) -> list[Any]:
    """Status, samples, curves, loop and lights of what was chosen."""
    seen, family = measured(str(name)), SUBJECTS[str(name)].family
    return [seen.status, seen.samples, seen.curves, code(family), lights(family, running=False)]
