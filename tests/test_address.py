"""The address: what it says of the page's tabs, modes and controls, read and written."""

from __future__ import annotations

import asyncio
import math
from typing import Any
from urllib.parse import parse_qsl, urlencode

import gradio as gr
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as trying
from hypothesis import strategies as st

from genlab.models.registry import Registry
from genlab.settings import Settings
from genlab.ui.components.panel import numbered
from genlab.ui.context import AppContext
from genlab.ui.page import build_page
from genlab.ui.state.address import LONGEST, Place, query_of, read, visit, write
from genlab.ui.state.controls import MAX_TEXT, UNSHARED, Control, Tab, may_reach, tabs_of
from tests.conftest import PROJECT
from tests.fake_client import FakeClient

CONTEXT = AppContext(Settings(), Registry(PROJECT / "checkpoints", downloads=False), FakeClient())
PAGE = build_page(CONTEXT)
TABS = tabs_of(PAGE)
SLOWLY = trying(
    max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
"""A busy machine takes seconds for the first text that it makes up."""


def notes(query: str) -> list[str]:
    return read(TABS, query).notes


# --- what is found on the page ----------------------------------------------------------------


def test_the_names_of_tabs_modes_and_controls_stay_as_links_have_them() -> None:
    assert [*TABS["vae"].modes] == ["sample", "reconstruct", "codes"]
    assert [*TABS["guidance"].modes] == ["side", "film", "steps", "scale"]
    assert [*TABS["stable-diffusion"].modes] == [
        "generate", "grid", "curves", "what-cfg-does", "few-steps", "redraw",
    ]  # fmt: skip
    assert TABS["gan"].modes == {}
    wanted = {
        "vae": {"checkpoint", "beside", "temperature", "seed", "count", "reconstruct-checkpoint"},
        "gan": {"checkpoint", "beside", "timeline", "seed", "count"},
        "guidance": {"digits", "steps", "free-scale", "classifier-scale", "scheduler", "eta"},
        "stable-diffusion": {"prompt", "negative-prompt", "steps", "guidance", "grid-rows", "live"},
        "compare": {"seed", "class", "count", "columns"},
    }
    for tab, names in wanted.items():
        assert names <= {control.name for control in TABS[tab].controls}, tab


def test_every_control_with_an_id_has_a_name() -> None:
    named = {control.element for tab in TABS.values() for control in tab.controls}
    form = (gr.Number, gr.Slider, gr.Dropdown, gr.Textbox, gr.Checkbox, gr.CheckboxGroup, gr.Radio)
    for block in PAGE.blocks.values():
        if isinstance(block, form) and block.elem_id and block.visible is True:
            assert block.elem_id in named


def test_a_control_belongs_to_its_mode_or_to_all_of_them() -> None:
    modes = {control.name: control.mode for control in TABS["guidance"].controls}
    assert modes["steps"] == ""
    assert modes["ladder-method"] == "steps"
    assert modes["film-picture"] == "film"


def test_a_new_tab_takes_part_by_its_ids_alone() -> None:
    with gr.Blocks() as page, gr.Tabs(), gr.Tab("Flow matching", id="flow"):
        numbered("flow-steps", "Steps", "", 1, 50, 10)
        gr.Textbox(elem_id="flow-secret", elem_classes=[UNSHARED])
        gr.Textbox(elem_id="flow-hidden", visible="hidden")
        gr.Button("Go", elem_id="flow-generate")
    tab = tabs_of(page)["flow"]
    assert [(control.name, control.bounds) for control in tab.controls] == [("steps", (1, 50))]
    assert read({"flow": tab}, "tab=flow&steps=7&run=1") == Place(
        "flow", {}, {"flow-steps": 7}, "1"
    )


def test_two_controls_of_a_tab_cannot_have_one_name() -> None:
    with gr.Blocks() as page, gr.Tabs(), gr.Tab("Flow", id="flow"):
        gr.Textbox(elem_id="flow-text")
        gr.Number(elem_id="flow-text")
    with pytest.raises(ValueError, match="flow are called text"):
        tabs_of(page)


def test_a_slider_whose_end_moves_may_reach_further() -> None:
    with gr.Blocks() as page, gr.Tabs(), gr.Tab("Flow", id="flow"):
        slider = gr.Slider(1, 9, 9, step=1, elem_id="flow-time")
        may_reach(slider, 12)
    tabs = tabs_of(page)
    assert read(tabs, "time=12").values == {"flow-time": 12}
    assert "must be a whole number from 1 to 12" in read(tabs, "time=13").notes[0]


# --- what an address says ---------------------------------------------------------------------


def test_an_address_names_tab_mode_and_controls_also_of_other_tabs() -> None:
    place = read(TABS, "?tab=vae&mode=codes&temperature=0.5&gan.seed=7&guidance.mode=film")
    assert place == Place(
        "vae", {"vae": "codes", "guidance": "film"}, {"vae-temperature": 0.5, "gan-seed": 7}
    )


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("tab=vea", "tab is 'vea', but must be one of "),
        ("tab=vae&mode=grid", "mode is 'grid', but must be one of sample, reconstruct, codes."),
        ("tab=gan&mode=x", "mode is 'x', but the GAN tab has no modes."),
        ("tab=guidance&steps=500", "steps is '500', but must be a whole number from 1 to 100. It"),
        ("tab=guidance&steps=2.5", "steps is '2.5', but must be a whole number from 1 to 100."),
        ("tab=guidance&steps=", "steps is '', but must be a whole number from 1 to 100."),
        ("tab=guidance&eta=nan", "eta is 'nan', but must be a number from 0 to 1. It stays at 0."),
        ("tab=vae&seed=-1", "seed is '-1', but must be a whole number from 0 to 4294967295."),
        ("tab=vae&checkpoint=sd", "checkpoint is 'sd', but must be one of vae-mnist-20d, "),
        ("tab=compare&columns=vae,me", "columns is 'me', but must be one of vae, "),
        ("tab=stable-diffusion&live=yes", "live is 'yes', but must be one of 0, 1."),
        ("tab=vae&stepps=3", "The VAE tab has no control called 'stepps'."),
        ("moon.phase=full", "The address says 'moon.phase', but there is no such tab."),
        ("tab=vae&run=2", "run is '2', but must be 0, 1, "),
        ("embed=moon", "There is no panel called 'moon'"),
        (f"tab=stable-diffusion&prompt={'a' * (MAX_TEXT + 1)}", "prompt is 4001 characters long"),
        ("tab=vae&seed=" + "1" * LONGEST, f"but may have at most {LONGEST}."),
    ],
)  # fmt: skip
def test_what_cannot_be_used_gets_one_sentence_and_the_default(query: str, sentence: str) -> None:
    place = read(TABS, query)
    (note,) = place.notes
    assert sentence in note
    assert place.values == {}
    assert len(note) < 600


def test_what_is_right_is_used_beside_what_is_wrong() -> None:
    place = read(TABS, "tab=vae&temperature=9&count=4")
    assert place.values == {"vae-count": 4}
    assert len(place.notes) == 1


def test_parameters_of_the_frame_round_the_page_are_not_complained_about() -> None:
    assert notes("__theme=dark&__sign=x&lang=zh&view=api") == []


def test_an_embedded_panel_is_a_tab_and_its_mode() -> None:
    assert read(TABS, "embed=guidance-steps&steps=9") == Place(
        "guidance", {"guidance": "steps"}, {"guidance-steps": 9}
    )
    place = read(TABS, "embed=stable-diffusion-what-cfg-does")
    assert (place.tab, place.modes) == (
        "stable-diffusion", {"stable-diffusion": "what-cfg-does"},
    )  # fmt: skip
    assert read(TABS, "embed=gan").tab == "gan"


def test_a_run_is_of_the_first_button_or_of_one_that_is_named() -> None:
    assert read(TABS, "tab=vae&run=1").run == "1"
    assert read(TABS, "tab=vae&run=0").run == ""
    assert read(TABS, "tab=stable-diffusion&run=curve-steps").run == "sd-curve-steps-generate"


def test_a_model_that_came_later_is_known() -> None:
    place = read(TABS, "tab=vae&checkpoint=own-1", lambda value, offered: value == "own-1")
    assert place.values == {"vae-checkpoint": "own-1"}


# --- there and back ---------------------------------------------------------------------------


def values_of(control: Control) -> st.SearchStrategy[Any]:
    """Any value that a control may hold."""
    if isinstance(control.component, gr.Checkbox):
        return st.booleans()
    if isinstance(control.component, gr.Textbox):
        return st.text(max_size=60)
    if control.several:
        return st.lists(st.sampled_from(control.choices), unique=True)
    if control.choices:
        return st.sampled_from(control.choices)
    low, high = control.bounds
    whole = st.integers(math.ceil(low), math.floor(high))
    return whole if control.whole else st.floats(low, high) | whole


@st.composite
def places(draw: st.DrawFn, tab: Tab) -> Place:
    modes = {
        other.name: draw(st.sampled_from([*other.modes]))
        for other in TABS.values()
        if other.modes and draw(st.booleans())
    }
    chosen = draw(st.lists(st.sampled_from(tab.controls), unique_by=id))
    elsewhere = [c for other in TABS.values() if other is not tab for c in other.controls]
    chosen += draw(st.lists(st.sampled_from(elsewhere), unique_by=id, max_size=5))
    values = {control.element: draw(values_of(control)) for control in chosen}
    return Place(tab.name, modes, values, draw(st.sampled_from(["", "1", *tab.buttons.values()])))


@pytest.mark.parametrize(
    "tab", [tab for tab in TABS.values() if tab.controls], ids=lambda t: t.name
)
@SLOWLY
@given(data=st.data())
def test_an_address_gives_back_what_it_was_written_from(tab: Tab, data: st.DataObject) -> None:
    place = data.draw(places(tab))
    again = read(TABS, write(TABS, place))
    assert again.notes == []
    assert (again.tab, again.modes, again.run) == (place.tab, place.modes, place.run)
    for control in (c for each in TABS.values() for c in each.controls):
        wanted = place.values.get(control.element, control.default)
        found = again.values.get(control.element, control.default)
        if control.several:
            assert set(found) == set(wanted)
        else:
            assert found == wanted


@SLOWLY
@given(query=st.text(max_size=200) | st.dictionaries(st.text(), st.text()).map(urlencode))
def test_nothing_in_an_address_can_break_the_page(query: str) -> None:
    place = read(TABS, query)
    assert all(isinstance(note, str) for note in place.notes)


def test_only_what_differs_is_written_and_readably() -> None:
    place = Place(
        "stable-diffusion",
        {"stable-diffusion": "generate"},
        {"sd-prompt": "a red 7, big", "sd-steps": 10, "sd-guidance": 4, "vae-temperature": 2.0},
    )
    text = "tab=stable-diffusion&mode=generate&vae.temperature=2&prompt=a+red+7,+big&steps=10"
    assert sorted(write(TABS, place).split("&")) == sorted(text.split("&"))


def test_an_experiment_is_a_query_in_a_buttons_script() -> None:
    query = query_of("compare", values={"columns": ["vae", "gan"], "seed": 7}, run=True)
    assert dict(parse_qsl(query)) == {
        "tab": "compare", "columns": "vae,gan", "seed": "7", "run": "1",
    }  # fmt: skip
    assert notes(query) == []
    assert visit("vae", "codes", {}) == '() => genlab.go("tab=vae&mode=codes")'


# --- what the page does with it ---------------------------------------------------------------


def arrived(query: str) -> list[tuple[Any, Any]]:
    """Each block that the page sets for a query, with its update."""
    go = next(block for block in PAGE.blocks.values() if block.elem_id == "go")
    event = next(f for f in PAGE.fns.values() if (go._id, "click") in f.targets)
    assert event.fn is not None
    return list(zip(event.outputs, asyncio.run(event.fn(query)), strict=True))


def test_an_experiment_starts_from_the_defaults_of_its_mode() -> None:
    named = {id(control.component): control.name for control in TABS["guidance"].controls}
    updates = arrived("tab=guidance&mode=steps&free-scale=8")
    new = {named[id(block)]: update for block, update in updates if id(block) in named}
    assert new["free-scale"]["value"] == 8
    assert new["steps"]["value"] == 50
    assert new["ladder-method"]["value"] == "classifier-free"
    assert new["film-picture"] == gr.skip(), "another mode's controls stay"


def test_a_slider_under_a_number_goes_along() -> None:
    control = TABS["guidance"].find("steps")
    assert control is not None
    assert control.slider is not None
    new = {id(block): update for block, update in arrived("tab=guidance&steps=9")}
    number, slider = new[id(control.component)], new[id(control.slider)]
    assert number["value"] == slider["value"] == 9
    assert number is not slider, "Gradio takes an update apart"


def test_a_slider_whose_end_moves_is_lengthened_for_its_value() -> None:
    control = TABS["gan"].find("timeline")
    assert control is not None
    last = int(control.bounds[1])
    assert last > control.component.maximum, "the collapsed one has kept more snapshots"
    query = f"tab=gan&checkpoint=dcgan-mnist-collapsed&timeline={last}"
    new = {id(block): update for block, update in arrived(query)}
    assert new[id(control.component)]["maximum"] == last


def test_the_page_says_what_it_could_not_use() -> None:
    updates = arrived("tab=vae&count=999&<b>=1")
    said = next(new for block, new in updates if block.elem_id == "address-note")
    assert "count is &#x27;999&#x27;, but must be a whole number from 1 to 64. It stays" in said
    assert "&lt;b&gt;" in said


def test_a_page_that_comes_back_fills_the_places_of_every_button() -> None:
    back = next(block for block in PAGE.blocks.values() if block.elem_id == "back")
    event = next(f for f in PAGE.fns.values() if (back._id, "click") in f.targets)
    filled = {block.elem_id for block in event.outputs}
    buttons = {e for tab in TABS.values() for e in tab.buttons.values() if tab.name != "train"}
    assert {button.replace("-generate", "-status") for button in buttons} <= filled
