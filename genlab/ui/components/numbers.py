"""Numbers on their way from the browser. Knows no tab."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr


def as_typed(inputs: Sequence[gr.components.Component]) -> str:
    """Client-side: whole numbers that JavaScript would round go to the server as they were typed.

    So that a sentence about 9223372036854775808 does not speak of 9223372036854776000.
    """
    count = len(inputs)
    typed = """value => Number.isInteger(value) && !Number.isSafeInteger(value)
        ? [...document.querySelectorAll("input[type=number]")]
            .find(box => Number(box.value) === value)?.value ?? value
        : value"""
    if count == 1:  # Gradio wraps what a function of one input returns
        return typed
    return f"(...values) => values.slice(0, {count}).map({typed})"
