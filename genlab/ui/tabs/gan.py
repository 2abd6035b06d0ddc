"""The GAN tab: sample, walk through the training, see the collapse. Knows no tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from genlab.families.gan.request import GANRequest
from genlab.formats.metadata import ModelMetadata
from genlab.requests import Request, UserError, parse_request
from genlab.ui.components.bring import bring_your_own
from genlab.ui.components.class_choice import class_choice, label_for
from genlab.ui.components.panel import (
    PRIVATE,
    buttons,
    missing,
    pair,
    panel,
    seed_and_count,
    shows_second,
    wire,
)
from genlab.ui.context import AppContext
from genlab.ui.model_choices import lists
from genlab.ui.state.controls import may_reach

INTRO = (
    "The generator only has to fool the discriminator D: **sharp where the VAE blurs**. But "
    "nothing makes it draw every class: move the timeline, count the bars."
)


def build(context: AppContext) -> None:
    """Add the tab's content to the page."""
    entries = context.registry.of_family("gan")
    if not entries:
        missing("GAN", "dcgan-mnist")
        return
    entries.sort(key=lambda entry: (entry.dataset != "mnist", entry.name))
    gr.Markdown(INTRO, elem_classes=["intro"])
    with gr.Row(elem_classes=["bench"]):
        with gr.Column(scale=1, min_width=280, elem_classes=["controls"]):
            first, beside = pair("gan", entries)
            lists([first, beside], ["gan"])
            label = class_choice(context.registry, "gan", [first, beside])

            def known(name: Any) -> ModelMetadata | None:
                return context.registry.entry(str(name)) if name else None

            timeline = _timeline(entries[0])
            may_reach(timeline, max(len(stops(entry)) for entry in entries))
            moment = gr.HTML(
                _moment(entries[0], known(beside.value), len(stops(entries[0]))),
                elem_id="gan-moment",
                elem_classes=["flush"],
            )
            seed, count = seed_and_count("gan", 64, 16)
            press = buttons("gan")
        with gr.Column(scale=3, min_width=300), gr.Row(elem_classes=["panels"]):
            panels = [panel("gan"), panel("gan-beside", bool(beside.value))]

    def requests(
        checkpoint: Any, other: Any, stop: Any, seed: Any, count: Any, label: Any
    ) -> Sequence[Request]:
        same: dict[str, Any] = {"seed": seed, "count": count, "judge": True}
        metadata = context.registry.entry(str(checkpoint))
        snapshot = at(metadata, stop)
        own = same | label_for(context.registry, checkpoint, label)
        wanted = [parse_request(GANRequest, checkpoint=checkpoint, snapshot=snapshot, **own)]
        if other:
            then = beside_at(metadata, stop, context.registry.entry(str(other)))
            own = same | label_for(context.registry, other, label)
            wanted.append(parse_request(GANRequest, checkpoint=other, snapshot=then, **own))
        return wanted

    def rewind(checkpoint: Any, other: Any) -> tuple[Any, str]:
        """The timeline of a newly chosen checkpoint, at its end."""
        metadata = context.registry.entry(str(checkpoint))
        last = len(stops(metadata))
        slider = gr.Slider(maximum=max(last, 1), value=last, interactive=last > 1)
        return slider, _moment(metadata, known(other), last)

    def fit(checkpoint: Any) -> Any:
        """The timeline's end, when something else than the visitor has chosen the checkpoint."""
        last = len(stops(context.registry.entry(str(checkpoint))))
        return gr.Slider(maximum=max(last, 1), interactive=last > 1)

    def tell(checkpoint: Any, other: Any, stop: Any) -> str:
        metadata = context.registry.entry(str(checkpoint))
        return _moment(metadata, known(other), min(stop, len(stops(metadata))))

    light: dict[str, Any] = {"queue": False, "preprocess": False, **PRIVATE}
    first.input(rewind, [first, beside], [timeline, moment], **light)
    first.change(fit, first, timeline, **light)
    gr.on(
        [timeline.change, first.change, beside.change], tell, [first, beside, timeline], moment,
        trigger_mode="always_last", **light,
    )  # fmt: skip
    shows_second(beside, panels[1].column)
    inputs = [first, beside, timeline, seed, count, label]
    wire(
        context, "gan", press, panels, inputs, requests,
        also=[timeline.input], captions=_captions,
    )  # fmt: skip
    bring_your_own(context, "gan")


def stops(metadata: ModelMetadata) -> list[int | None]:
    """Where the timeline halts: the training steps with a snapshot, then None, the finished one."""
    return [*metadata.facts.get("snapshots", ()), None]


def at(metadata: ModelMetadata, position: Any) -> int | None:
    """The snapshot at a position of the timeline, counted from 1; raises UserError beyond it."""
    halts = stops(metadata)
    if position not in range(1, len(halts) + 1):
        raise UserError(
            f"The timeline is at {position!r}, but {metadata.title} has 1 to {len(halts)} only."
        )
    return halts[int(position) - 1]


def beside_at(metadata: ModelMetadata, position: Any, other: ModelMetadata) -> int | None:
    """The snapshot of another GAN for the same moment: its latest one by that training step.

    One whose training began where this one's ended is shown as far on its own way. None, the
    finished one, at the end and for a GAN that kept no snapshot so early.
    """
    step, kept = at(metadata, position), other.facts.get("snapshots", ())
    if step is None or not kept:
        return None
    if kept[0] >= stops(metadata)[-2]:
        share = (int(position) - 1) / (len(stops(metadata)) - 1)
        return stops(other)[round(share * len(kept))]
    return max((own for own in kept if own <= step), default=None)


def _timeline(metadata: ModelMetadata) -> gr.Slider:
    last = len(stops(metadata))
    return gr.Slider(
        1, max(last, 2), value=last, step=1, interactive=last > 1, label="Timeline",
        info="The same z through both trainings: from the first steps, left, to the finished one.",
        elem_id="gan-timeline", elem_classes=["bare"], buttons=[],
    )  # fmt: skip


def _moment(metadata: ModelMetadata, beside: ModelMetadata | None, position: Any) -> str:
    """What the timeline's position means, in words."""
    step = at(metadata, position)
    if len(stops(metadata)) == 1:
        return '<p class="moment">This checkpoint kept no snapshots.</p>'
    texts = [_after(step)]
    if beside is not None and (then := beside_at(metadata, position, beside)) != step:
        texts.append(f"beside it {_after(then).lower()}")
    return f'<p class="moment">{", ".join(texts)}</p>'


def _after(step: int | None) -> str:
    return "Finished generator" if step is None else f"After {step:,} training steps"


def _captions(figures: dict[str, Any]) -> Sequence[str]:
    """The discriminator's opinion of each picture."""
    return [f"D {100 * score:.0f} %" for score in figures.get("discriminator", ())]
