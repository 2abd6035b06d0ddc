"""Frames that a page sends as they are: the same as Gradio's own, without its work."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import gradio as gr
import pytest

from genlab.ui import live_run
from genlab.ui.light_page import LightPage


@pytest.fixture
def page() -> LightPage:
    with LightPage() as made:
        status, stop, pictures, choice = gr.HTML(), gr.Button(), gr.HTML(), gr.Dropdown(["a"])
        stop.click(lambda: None, None, [status, stop, pictures, choice], api_name="frames")
    return made


def sent(page: gr.Blocks, frame: Any, own: bool) -> list[Any]:
    """What of a frame goes to the browser, by Gradio's own way or by the page's."""
    [event] = page.fns.values()
    post = gr.Blocks.postprocess_data if own else LightPage.postprocess_data
    values = asyncio.run(post(page, event, copy.deepcopy(frame), None))  # type: ignore[arg-type]
    for value in values:  # Gradio lets skipped HTML have a property "__type__" of its own
        if isinstance(value, dict) and value.get("props") == gr.skip():
            del value["props"]
    return values


@pytest.mark.parametrize(
    "frame",
    [
        ("<p>Step 3 of 25</p>", gr.update(interactive=True), "<img>", gr.skip()),
        ("", gr.update(interactive=False), gr.skip(), gr.skip()),
        [gr.skip(), gr.skip(), gr.skip(), gr.skip()],
        ("done", gr.update(interactive=False), "<img>", "a"),
        ("done", gr.update(value="Again"), "<img>", gr.update(choices=["b"], value="b")),
        ("done", gr.skip(), gr.update(value="<img>", visible=False), gr.skip()),
    ],
)
def test_a_frame_reaches_the_browser_as_gradio_would_send_it(page, frame):
    assert sent(page, frame, own=False) == sent(page, frame, own=True)


def test_a_frame_builds_no_component(page, monkeypatch):
    built = []
    for kind in (gr.HTML, gr.Button, gr.Dropdown):
        monkeypatch.setattr(kind, "__init__", lambda self, **settings: built.append(self))
    sent(page, ("status", gr.update(interactive=True), gr.skip(), gr.skip()), own=False)
    assert built == []


def test_a_scripts_call_with_too_few_values_gets_a_sentence():
    def sample(name: str, seed: int) -> str:
        return name * seed

    with LightPage() as page:
        gr.api(sample, api_name="sample")
    [event] = page.fns.values()
    with pytest.raises(gr.Error, match=r"^'?sample takes 2 values, but 1 came: a call over plain"):
        page.validate_inputs(event, ["vae"])
    page.validate_inputs(event, ["vae", 1])


@pytest.mark.parametrize("api_visibility", ["private", "public"])
def test_the_end_of_a_run_draws_over_nothing_and_is_a_scripts_result(api_visibility):
    with LightPage() as page:
        status, stop = gr.HTML(), gr.Button()
        stop.click(lambda: None, None, [status, stop], api_visibility=api_visibility)
    [event] = page.fns.values()

    def send(data: list[Any], final: bool) -> list[Any]:
        return page.handle_streaming_diffs(
            event, data, session_hash="somebody", run="first", final=final
        )

    frame = ["<img>", gr.update(interactive=True)]
    assert send(list(frame), final=False) == frame
    ended = send([None, None], final=True)
    assert ended == ([gr.skip(), gr.skip()] if api_visibility == "private" else frame)


def test_too_few_values_are_gradios_to_complain_about(page):
    with pytest.raises(ValueError, match="output"):
        sent(page, ("status", gr.skip()), own=False)


@pytest.mark.parametrize(("runs", "seconds"), [(1, 0.12), (16, 16 / 30), (64, 2.0), (500, 2.0)])
def test_many_runs_draw_fewer_frames_each(runs, seconds):
    assert live_run.between_frames(runs) == pytest.approx(seconds)


def test_values_of_controls_and_open_tabs_are_sent_as_gradio_would_send_them():
    with LightPage() as page:
        with gr.Tabs() as tabs, gr.Tab("One", id="one"):
            number, slider, text = gr.Number(1), gr.Slider(1, 9, 2), gr.Textbox()
            choice, choices = gr.Dropdown(["a", "b"]), gr.CheckboxGroup(["a", "b"])
            switch = gr.Checkbox()
        outputs = [tabs, number, slider, text, choice, choices, switch, text]
        gr.Button().click(lambda: None, None, outputs, api_name="go")
    frame = (
        gr.update(selected="one"), gr.update(value=7), gr.update(maximum=12, value=11),
        gr.update(value="red"), gr.update(value="b"), gr.update(value=["a"]),
        gr.update(value=True), "plain",
    )  # fmt: skip
    assert sent(page, frame, own=False) == sent(page, frame, own=True)
