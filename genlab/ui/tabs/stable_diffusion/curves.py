"""Mode Curves: what the judge finds against guidance scale and against steps, measured live."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from genlab.engine.events import Result
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.formats.metadata import ModelMetadata
from genlab.requests import MAX_SEED, UserError, limits, parse_request
from genlab.toybox.prompt_adherence import scene_of, world_of
from genlab.ui.cells import Cell, CellView
from genlab.ui.components.panel import PRIVATE, buttons, numbered
from genlab.ui.components.progress import failures, progress_line
from genlab.ui.components.run_button import ended, on_press
from genlab.ui.context import AppContext
from genlab.ui.live_run import live_run
from genlab.ui.tabs.stable_diffusion.controls import NAMES, Controls, request_of
from genlab.ui.tabs.stable_diffusion.curves_plot import Point, curves_figure

INTRO = (
    "The judge looks at many pictures for each value: **how many show all that was asked**, and "
    "how different they are from each other (the distance of their features). What does a higher "
    "scale buy, and what does it cost?"
)
COUNT = 64
"""Pictures for each value. Of Toybox's red sevens 86 % are as asked at a scale of 1, all at 15: the
95 % intervals of 64 pictures, 75 to 92 and 94 to 100, lie apart, those of 48 do not."""
PART = limits(StableDiffusionRequest.model_fields["count"])[1]  # of them in one request


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
    Setting("sd-curve-scale", "guidance_scale", "scale", (1, 2, 4, 8, 15)),
    Setting("sd-curve-steps", "num_inference_steps", "steps", (1, 2, 4, 8, 16, 25, 50)),
)


def build(context: AppContext, controls: Controls) -> None:
    """Add the mode's content to the tab."""
    gr.Markdown(INTRO, elem_classes=["intro"])
    count, _ = numbered(
        "sd-curve-count", "Pictures for each value",
        "Fewer are quicker, but the intervals hide what changes.", 2, 64, COUNT,
    )  # fmt: skip
    with gr.Row(elem_classes=["panels"]):
        for setting, current in zip(SETTINGS, (controls.guidance, controls.steps), strict=True):
            with gr.Column(min_width=300):
                _curve(context, controls, setting, current, count)


def _curve(
    context: AppContext, controls: Controls, setting: Setting, current: gr.Number, count: gr.Number
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
        asked: list[tuple[StableDiffusionRequest, ...]] = []

        def build() -> Sequence[tuple[StableDiffusionRequest, ...]]:
            asked.extend(along(context, request_of(settings), setting, count))
            return asked

        now = number(settings[NAMES.index(setting.name)])
        owner = str(request.session_hash)
        async for frame in measured_curve(context, owner, setting, build):
            button = gr.update(interactive=frame.running)
            if frame.points is None:
                yield frame.status, button, gr.skip(), gr.skip(), gr.skip()
            else:
                figure = curves_figure(setting.name, setting.reach, frame.points, now)
                yield frame.status, button, figure, caption(asked[0], setting), frame.points

    on_press(
        context, setting.slot, press, measure, [*controls.inputs, count], [plot, note, measured]
    )

    def mark(points: Sequence[Point], now: Any) -> Any:
        if not points:
            return gr.skip()
        return curves_figure(setting.name, setting.reach, points, number(now))

    current.change(
        mark, [measured, current], plot,
        queue=False, preprocess=False, trigger_mode="always_last", **PRIVATE,
    )  # fmt: skip


@dataclass(frozen=True)
class CurveFrame:
    """What the page shows of a curve at one moment; ``points`` None: as before."""

    status: str
    running: bool
    points: tuple[Point, ...] | None = None


async def measured_curve(
    context: AppContext,
    owner: str,
    setting: Setting,
    build: Callable[[], Sequence[tuple[StableDiffusionRequest, ...]]],
) -> AsyncIterator[CurveFrame]:
    """Draw what is requested for each value, and show its point as soon as it is judged."""
    begun = time.monotonic()

    def cells() -> Sequence[Cell]:
        return [Cell(requests) for requests in build()]

    async for frame in live_run(context, owner, setting.slot, cells):
        views = frame.cells
        points = points_of(views, setting) if frame.changed else None
        status = frame.status
        if frame.running:
            events = [event for view in views for event in view.events]
            count = sum(view.done for view in views)
            spent = time.monotonic() - begun
            status = progress_line(f"{count} of {len(views)} values", events, spent)
        elif ended(frame):
            status += failures([event for view in views for event in view.events])
        yield CurveFrame(status, frame.running, points)


def along(
    context: AppContext, base: StableDiffusionRequest, setting: Setting, count: Any
) -> list[tuple[StableDiffusionRequest, ...]]:
    """The requests for each value of a curve, of ``count`` pictures together, base's seed first.

    Raises:
        UserError: for another count, or if nobody could judge the pictures.
    """
    refuse_unjudged(context, base)
    if count not in range(2, COUNT + 1):
        raise UserError(
            f"Pictures for each value is {count!r}, but must be a whole number from 2 to {COUNT}: "
            "one picture has no diversity."
        )
    settings = base.model_dump() | {"preview_every": 0, "judge": True}
    parts = [
        {"seed": (base.seed + begin) % (MAX_SEED + 1), "count": min(PART, int(count) - begin)}
        for begin in range(0, int(count), PART)
    ]
    return [
        tuple(
            parse_request(StableDiffusionRequest, **settings | part | {setting.name: value})
            for part in parts
        )
        for value in setting.values
    ]


def refuse_unjudged(context: AppContext, request: StableDiffusionRequest) -> None:
    """Raise UserError with the reason why pictures for this request cannot be judged, if any."""
    metadata = context.registry.entry(request.checkpoint)
    reason = _unjudged(context, metadata, request)
    if reason:
        raise UserError(f"There is nothing to plot: {reason}")


def _unjudged(context: AppContext, metadata: ModelMetadata, request: StableDiffusionRequest) -> str:
    if world_of(metadata) is None:
        return f"no judge knows what {metadata.title} can draw; choose Toybox."
    if context.registry.judge(metadata.dataset) is None:
        return f"the checkpoint that judges {metadata.title}'s pictures is not here."
    if scene_of(metadata, request) is None:
        return (
            "the judge reads prompts of one or two things it knows, such as “a red 7 on a blue "
            "background”."
        )
    return ""


def points_of(views: Sequence[CellView], setting: Setting) -> tuple[Point, ...]:
    """What the judge found at the values whose pictures are there and could be judged."""
    return tuple(
        point
        for value, view in zip(setting.values, views, strict=True)
        if view.done and (point := point_of(value, view.results)) is not None
    )


def point_of(value: float, results: Sequence[Result]) -> Point | None:
    """What a judge found in the pictures of one value; None unless it judged all of them.

    Diversity is that within each request, averaged over their pictures; a last single one has none.
    """
    if not all("all_as_asked_percent" in result.figures for result in results):
        return None
    counts = [len(result.images) for result in results]
    asked = [result.figures["all_as_asked_percent"] for result in results]
    several = [(len(r.images), r.figures["diversity"]) for r in results if "diversity" in r.figures]
    diversity = sum(n * d for n, d in several) / max(sum(n for n, _ in several), 1)
    return Point(value, float(np.average(asked, weights=counts)), diversity, sum(counts))


def caption(requests: Sequence[StableDiffusionRequest], setting: Setting) -> str:
    """How sure the curve is, and with what it was drawn; the requests of one of its values."""
    one, count = requests[0], sum(request.count for request in requests)
    other = (
        f"{one.num_inference_steps} steps"
        if setting.name == "guidance_scale"
        else f"guidance scale {one.guidance_scale:g}"
    )
    return (
        f'<p class="note">{count} pictures for each value, with {other}, {one.scheduler}, seeds '
        f"from {one.seed}. One picture more or less is {100 / count:.1f} %; the bars are 95 % "
        "intervals: where two overlap, the difference may be chance.</p>"
    )


def number(value: Any) -> float | None:
    """What a number box holds, if it holds a number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
