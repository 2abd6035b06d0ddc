"""A Gradio page whose frames cost the event loop little. Knows no tab.

By itself Gradio rebuilds an output's component for every update of a property and for every
``gr.skip()`` (1 ms each), and hands each string of HTML to another thread: of sixteen runs at once,
each with some frames a second, that took most of a core from the models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

OF_BUTTONS = frozenset({"__type__", "interactive"})
OF_CONTROLS = frozenset({"__type__", "value", "maximum"})
CONTROLS = (gr.Number, gr.Slider, gr.Textbox, gr.Dropdown, gr.Checkbox, gr.CheckboxGroup, gr.Radio)
OF_TABS = frozenset({"__type__", "selected"})
SKIPPED = gr.skip()


def is_skip(update: Any) -> bool:
    """Whether an update leaves its output as it is."""
    return isinstance(update, dict) and update == SKIPPED


class LightPage(gr.Blocks):
    """Sends HTML, values of controls, states of buttons and tabs, and skips as they are.

    The end of a run that draws frames changes nothing: Gradio would send the last frame once more,
    over what a newer run in the same place has drawn meanwhile.
    """

    async def postprocess_data(self, block_fn: Any, predictions: Any, state: Any) -> list[Any]:
        """As Gradio's own, to the same end, where it has to look at the components."""
        outputs = block_fn.outputs
        if len(outputs) > 1 and _as_they_are(outputs, predictions):
            return list(predictions)
        return await super().postprocess_data(block_fn, predictions, state)

    def validate_inputs(self, block_fn: Any, inputs: list[Any]) -> None:
        """Raise gr.Error with one sentence if a script's call has too few values."""
        wanted = len(block_fn.inputs)
        if len(inputs) < wanted and block_fn.api_name:
            raise gr.Error(
                f"{block_fn.api_name} takes {wanted} values, but {len(inputs)} came: a call over "
                "plain HTTP names all of them, null for those that are not set.",
                print_exception=False,
            )
        super().validate_inputs(block_fn, inputs)

    def handle_streaming_diffs(
        self, block_fn: Any, data: list[Any], *args: Any, final: bool, **kwargs: Any
    ) -> list[Any]:
        """As Gradio's own, but for the end of the page's own events; scripts get their result."""
        sent = super().handle_streaming_diffs(block_fn, data, *args, final=final, **kwargs)
        if final and block_fn.api_visibility == "private":
            return [SKIPPED] * len(sent)
        return sent


def _as_they_are(outputs: Sequence[Any], predictions: Any) -> bool:
    if not isinstance(predictions, (tuple, list)) or len(predictions) != len(outputs):
        return False
    return all(map(_as_it_is, outputs, predictions))


def _as_it_is(output: Any, value: Any) -> bool:
    """Whether Gradio would send a value unchanged, and nothing of it is read later."""
    if isinstance(value, str):
        return isinstance(output, (gr.HTML, gr.Textbox))
    if not isinstance(value, dict) or value.get("__type__") != "update":
        return False
    kinds = ((gr.Button, OF_BUTTONS), (CONTROLS, OF_CONTROLS), (gr.Tabs, OF_TABS))
    known = (keys for kind, keys in kinds if isinstance(output, kind))
    return is_skip(value) or any(value.keys() <= keys for keys in known)
