"""A box for a GenLab PNG: the controls become what they were for it. No tensor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.requests import UserError
from genlab.ui.components.panel import PRIVATE
from genlab.ui.components.progress import error_line
from genlab.ui.context import AppContext
from genlab.ui.tabs.stable_diffusion.controls import Controls, restored

RESTORED = "the controls are as they were for this picture: {button} draws it again."
FORGET = """for (const event of ["change", "drop"])
    document.addEventListener(event, ({target}) => {
        if (target.closest?.("#%s")) props.value = "";
    }, true);"""
"""Client-side: what was said of an earlier file goes when another is chosen."""


class RecipeBox:
    """The box and the place of what is said of the file in it; made where they are to stand.

    Args:
        name: the box's element id; the note's is ``<name>-note``.
        label: what to drop.
    """

    def __init__(self, name: str, label: str) -> None:
        self.dropped = gr.File(label=label, height=150, elem_id=name)
        self.note = gr.HTML(
            elem_id=f"{name}-note", elem_classes=["flush"], js_on_load=FORGET % name
        )

    def wire(
        self,
        context: AppContext,
        controls: Controls,
        button: str,
        check: Callable[[StableDiffusionRequest], None],
        outputs: Sequence[Any],
        values: Callable[[StableDiffusionRequest], Sequence[Any]],
    ) -> Any:
        """Let a dropped picture set the controls; returns the event, to go on from.

        Args:
            button: what the mode's button is called.
            check: raises UserError for a picture that another mode draws.
            outputs: the mode's own controls.
            values: what they are for a request.
        """

        def restore(file: Any) -> list[Any]:
            path = Path(file["path"])
            name = f"{Path(str(file.get('orig_name') or path.name)).name[:80]}: "
            try:
                request, notes = restored_from(context, path)
                check(request)
            except UserError as error:
                line = error_line(name + str(error))
                own = len(controls.outputs) + len(controls.loras) + len(outputs)
                return [line, None, *[gr.skip()] * own]
            first, *others = (name + RESTORED.format(button=button), *notes)
            sentences = f'<p class="note" role="status">{escape(first)}</p>'
            sentences += "".join(f'<p class="note">{escape(text)}</p>' for text in others)
            settings = restored(request.model_dump())
            added = [request.lora, request.lora_scale] if controls.loras else []
            return [sentences, None, *settings, *added, *values(request)]

        return self.dropped.upload(
            restore, self.dropped,
            [self.note, self.dropped, *controls.outputs, *controls.loras, *outputs],
            queue=False, preprocess=False, **PRIVATE,
        )  # fmt: skip


def restored_from(
    context: AppContext, path: Path
) -> tuple[StableDiffusionRequest, tuple[str, ...]]:
    """The request that drew the picture in an uploaded PNG, and what differs here.

    Raises UserError. The file is left to Gradio's clearing: thirty students who drop the teacher's
    picture share one file.
    """
    request, notes = context.registry.restore(path.read_bytes())
    if not isinstance(request, StableDiffusionRequest):
        title = context.registry.entry(request.checkpoint).title
        raise UserError(f"That picture was drawn by {title}, which is in another tab.")
    return request, notes
