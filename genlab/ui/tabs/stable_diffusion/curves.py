"""Mode Curves: what the judge reads against guidance scale and against steps, measured live."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import gradio as gr

from genlab.engine import Event, Result
from genlab.models.registry import Entry
from genlab.requests import StableDiffusionRequest, UserError, ask
from genlab.serving.session_runs import Stopped, Superseded
from genlab.ui.components.obedience import reader, scene_of, world_of
from genlab.ui.components.panel import PRIVATE, buttons, numbered, stoppable
from genlab.ui.components.progress import failures, share_done, told
from genlab.ui.context import Lab
from genlab.ui.live_run import complaint, follow, judged, said
from genlab.ui.tabs.stable_diffusion.controls import NAMES, Controls, asked
from genlab.ui.tabs.stable_diffusion.curves_plot import Point, curves_figure

INTRO = (
    "The judge looks at a few pictures for each value: **how many show all that was asked**, and "
    "how different they are from each other (the distance of their features). What does a higher "
    "scale buy, and what does it cost?"
)
FEW_STEPS = 15  # enough for the scale's curve; so it takes seconds
COUNT = 6


@dataclass(frozen=True)
class Setting:
    """One curve: the setting along it, and where it is measured."""

    slot: str
    name: str
    label: str
    values: tuple[float, ...]

    @property
    def reach(self) -> tuple[float, float]:
        return self.values[0], self.values[-1]


SETTINGS = (
    Setting("sd-curve-scale", "guidance_scale", "scale", (0, 1, 2, 3, 4, 6, 8, 11, 15)),
    Setting("sd-curve-steps", "num_inference_steps", "steps", (1, 2, 3, 5, 8, 12, 20, 30, 50)),
)


def build(lab: Lab, controls: Controls) -> None:
    """Add the mode's content to the tab."""
    gr.Markdown(INTRO, elem_classes=["intro"])
    count, _ = numbered(
        "sd-curve-count", "Pictures for each value",
        "More take longer and make the intervals shorter.", 2, 16, COUNT,
    )  # fmt: skip
    with gr.Row(elem_classes=["panels"]):
        for setting, current in zip(SETTINGS, (controls.guidance, controls.steps), strict=True):
            with gr.Column(min_width=300):
                _curve(lab, controls, setting, current, count)


def _curve(
    lab: Lab, controls: Controls, setting: Setting, current: gr.Number, count: gr.Number
) -> None:
    press = buttons(setting.slot, f"Measure the {setting.label}")
    plot = gr.Plot(
        curves_figure(setting.name, setting.reach, (), None),
        show_label=False, elem_id=f"{setting.slot}-plot", elem_classes=["plotted"],
    )  # fmt: skip
    note = gr.HTML(elem_id=f"{setting.slot}-note", elem_classes=["flush"])
    measured = gr.State((), time_to_live=3600)

    async def measure(request: gr.Request, *values: Any) -> AsyncIterator[tuple[Any, ...]]:
        *settings, count = values
        wanted: list[StableDiffusionRequest] = []

        def build() -> list[StableDiffusionRequest]:
            base = asked(settings, count="" if count is None else count)
            wanted.extend(along(lab, base, setting))
            return wanted

        now = number(settings[NAMES.index(setting.name)])
        async for moment in points(lab, str(request.session_hash), setting, build):
            button = gr.Button(interactive=moment.running)
            if moment.points is None:
                yield moment.status, button, gr.skip(), gr.skip(), gr.skip()
            else:
                figure = curves_figure(setting.name, setting.reach, moment.points, now)
                yield moment.status, button, figure, caption(wanted, setting), moment.points

    press.generate.click(
        measure,
        [*controls.inputs, count],
        [press.status, press.stop, plot, note, measured],
        preprocess=False,
        concurrency_limit=None,
        trigger_mode="multiple",
        **PRIVATE,
    )
    stoppable(lab, setting.slot, press.stop)

    def mark(known: Sequence[Point], now: Any) -> Any:
        if not known:
            return gr.skip()
        return curves_figure(setting.name, setting.reach, known, number(now))

    current.change(
        mark, [measured, current], plot,
        queue=False, preprocess=False, trigger_mode="always_last", **PRIVATE,
    )  # fmt: skip


@dataclass(frozen=True)
class Moment:
    """What the page shows of a curve; ``points`` None: as before."""

    status: str
    running: bool
    points: tuple[Point, ...] | None = None


async def points(
    lab: Lab, owner: str, setting: Setting, build: Callable[[], Sequence[StableDiffusionRequest]]
) -> AsyncGenerator[Moment, None]:
    """Draw and judge for every request, and tell the page each point as soon as it is known."""
    begun = time.monotonic()
    with lab.desk.run(owner, setting.slot) as run:
        known: dict[int, Point] = {}
        events: tuple[Event, ...] = ()
        try:
            requests = build()
            yield Moment(said("Starting.", 0.0), True, ())
            async with aclosing(follow(run, run.submit(requests), apart=True)) as moments:
                async for events in moments:
                    new = [
                        k for k, e in enumerate(events) if isinstance(e, Result) and k not in known
                    ]
                    drawn = [event for k in new if isinstance(event := events[k], Result)]
                    figures = await judged(lab, run, [requests[k] for k in new], drawn)
                    for k, found in zip(new, figures, strict=True):
                        known[k] = point(requests[k], setting, found)
                    spent = time.monotonic() - begun
                    status = told(f"{len(known)} of {len(requests)} values", events, spent)
                    yield Moment(status, share_done(events) < 1, tuple(known.values()))
            pictures = sum(point.count for point in known.values())
            status = said(f"{pictures} pictures in {time.monotonic() - begun:.1f} s.")
            status += failures(events)
            yield Moment(status, False, tuple(known.values()))
        except UserError as error:
            yield Moment(complaint(str(error)), False)
        except Stopped:
            yield Moment(said("Stopped. The engine is free again."), False)
        except Superseded:
            return


def along(lab: Lab, base: StableDiffusionRequest, setting: Setting) -> list[StableDiffusionRequest]:
    """A request for each value of a curve; raises UserError if nobody could judge the pictures."""
    refuse_unjudged(lab, base)
    settings = base.model_dump() | {"preview_every": 0}
    if setting.name == "guidance_scale":
        settings["num_inference_steps"] = min(base.num_inference_steps, FEW_STEPS)
    return [
        ask(StableDiffusionRequest, **settings | {setting.name: value}) for value in setting.values
    ]


def refuse_unjudged(lab: Lab, request: StableDiffusionRequest) -> None:
    """Raise UserError with the reason why pictures for this request cannot be judged, if any."""
    entry = lab.catalogue.entry(request.checkpoint)
    reason = _unjudged(lab, entry, request)
    if reason:
        raise UserError(f"There is nothing to plot: {reason}")


def _unjudged(lab: Lab, entry: Entry, request: StableDiffusionRequest) -> str:
    if request.count < 2:
        return "one picture has no diversity; ask for 2 or more."
    if world_of(entry) is None:
        return f"no judge knows what {entry.title} can draw; choose Toybox."
    if reader(lab.catalogue, entry.dataset) is None:
        return f"the checkpoint that judges {entry.title}'s pictures is not here."
    if scene_of(entry, request) is None:
        return (
            "the judge reads prompts of one or two things it knows, such as “a red 7 on a blue "
            "background”."
        )
    return ""


def point(request: StableDiffusionRequest, setting: Setting, figures: dict[str, Any]) -> Point:
    """What the judge found at one value."""
    return Point(
        float(getattr(request, setting.name)),
        figures["all_as_asked_percent"],
        figures["diversity"],
        request.count,
    )


def caption(requests: Sequence[StableDiffusionRequest], setting: Setting) -> str:
    """How sure the curve is, and with what it was drawn."""
    if not requests:
        return ""
    one = requests[0]
    other = (
        f"{one.num_inference_steps} steps"
        if setting.name == "guidance_scale"
        else f"guidance scale {one.guidance_scale:g}"
    )
    return (
        f'<p class="note">{one.count} pictures for each value, with {other}, {one.scheduler}, seed '
        f"{one.seed}. One picture more or less is {100 / one.count:.0f} %; the bars are 95 % "
        "intervals, so small steps in the curve mean nothing.</p>"
    )


def number(value: Any) -> float | None:
    """What a number box holds, if it holds a number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
