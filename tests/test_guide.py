"""The lab guide: its words fit its steps, its figures are the cards', its code is the real one."""

from __future__ import annotations

import ast
import re
from collections.abc import AsyncIterator
from pathlib import Path

import gradio as gr
import pytest

from genlab.models.registry import Registry
from genlab.settings import Settings
from genlab.ui.context import AppContext
from genlab.ui.first_runs import WAITS, everybodys
from genlab.ui.opening import Updates
from genlab.ui.page import build_page
from genlab.ui.state.address import read
from genlab.ui.state.controls import tabs_of
from genlab.ui.tabs.guide.card_figures import PLACE, UNKNOWN, with_figures
from genlab.ui.tabs.guide.layout import SAID_BY_SCRIPT, asking, code, contents, heading, onward
from genlab.ui.tabs.guide.source import Excerpt, excerpt_html, six_steps
from genlab.ui.tabs.guide.steps import STEPS, GuideStep
from genlab.ui.tabs.guide.words import GuideWords, guide_words, inline
from tests.fake_client import FakeClient

PROJECT = Path(__file__).resolve().parent.parent
LOOPS = [excerpt for step in STEPS for excerpt in step.excerpts if excerpt.six_steps]
WORDS = guide_words()


@pytest.fixture(scope="module")
def registry() -> Registry:
    """The checkpoints that ship."""
    return Registry(PROJECT / "checkpoints")


@pytest.fixture(scope="module")
def page(registry: Registry) -> gr.Blocks:
    """The whole page for them."""
    return build_page(AppContext(Settings(), registry, FakeClient()))


# --- words ------------------------------------------------------------------------------------


def test_the_words_are_those_of_the_steps_in_their_order() -> None:
    assert list(WORDS.steps) == [step.key for step in STEPS]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.key)
def test_every_choice_picture_experiment_and_piece_of_code_has_its_words(step: GuideStep) -> None:
    own = WORDS.steps[step.key]
    assert 3 <= len(own.choices) <= 4
    assert step.right in range(len(own.choices))
    assert len(own.captions) == len(step.pictures)
    assert len(own.experiments) == len(step.experiments)
    assert len(own.code) == len(step.excerpts)
    assert own.symbols


def test_the_right_choice_is_not_always_in_the_same_place() -> None:
    assert len({step.right for step in STEPS}) > 2


def test_every_dollar_and_brace_of_an_answer_has_its_partner() -> None:
    for key, own in WORDS.steps.items():
        for text in (own.answer, *(f"${symbol}${meaning}" for symbol, meaning in own.symbols)):
            bare = text.replace("\\{", "").replace("\\}", "").replace("\\$", "")
            assert bare.count("$") % 2 == 0, key
            for formula in re.findall(r"\$\$?(.+?)\$\$?", bare, re.S):
                assert formula.count("{") == formula.count("}"), f"{key}: {formula}"


def test_words_are_text_and_not_markup() -> None:
    assert inline("`a < b` is *so* **bold** & <b>") == (
        "<code>a &lt; b</code> is <i>so</i> <b>bold</b> &amp; &lt;b&gt;"
    )


def test_every_word_of_a_language_is_used_and_there() -> None:
    class Noting(dict):
        asked: set[str] = set()

        def __getitem__(self, name: str) -> str:
            self.asked.add(name)
            return super().__getitem__(name)

    noting = GuideWords(Noting(WORDS.page), WORDS.six, WORDS.steps)
    contents(noting, STEPS)
    for k, step in enumerate(STEPS):
        own = WORDS.steps[step.key]
        heading(noting, own, k, len(STEPS)), asking(noting, own, step), code(noting, own, step)
        onward(noting, STEPS, k)
    elsewhere = {"drawn", "waiting", "symbols"}  # of pictures and answers
    assert set(WORDS.page) - elsewhere == Noting.asked
    assert set(SAID_BY_SCRIPT) < Noting.asked


# --- figures ----------------------------------------------------------------------------------


def test_every_figure_of_an_answer_is_that_of_a_card(registry: Registry) -> None:
    for key, own in WORDS.steps.items():
        shown = with_figures(own.answer, registry)
        assert UNKNOWN not in shown, key
        assert "[[" not in shown, key
    answers = "".join(own.answer for own in WORDS.steps.values())
    assert len(PLACE.findall(answers)) > 20


def test_figures_are_written_as_the_page_writes_them(registry: Registry) -> None:
    metrics = registry.entry("vae-mnist-20d").metrics
    real = registry.entry("mnist-classifier").metrics["sharpness"]
    text = with_figures("[[vae-mnist-20d sharpness]] [[vae-mnist-20d fid]]", registry)
    assert text == f"{100 * metrics['sharpness'] / real:.0f} % {metrics['fid']:.2f}"


def test_what_a_card_does_not_say_is_a_dash(tmp_path: Path) -> None:
    assert with_figures("[[vae-mnist-20d fid]]", Registry(tmp_path)) == UNKNOWN


# --- code -------------------------------------------------------------------------------------


def test_code_is_the_files_own_lines_under_their_numbers() -> None:
    for step in STEPS:
        for excerpt in step.excerpts:
            file = (PROJECT / excerpt.path).read_text(encoding="utf-8").splitlines()
            lines = excerpt.lines()
            assert lines
            assert [file[line.number - 1] for line in lines] == [line.text for line in lines]


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.name)
def test_the_six_steps_are_found_in_every_loop_in_their_order(loop: Excerpt) -> None:
    steps = [line.step for line in loop.lines() if line.step]
    first = [steps.index(k) for k in range(1, 7)]
    assert first == sorted(first)


def test_each_of_the_six_steps_is_what_its_line_does() -> None:
    for loop in LOOPS:
        for line in loop.lines():
            for text, step in (("zero_grad(", 2), ("backward()", 5), ("optimizer.step()", 6)):
                if text in line.text:
                    assert line.step == step, line.text
            if line.text.strip().startswith(("schedule.step", "trainer.", "#")):
                assert line.step == 0, line.text


def test_a_loop_that_forgets_a_step_is_not_marked_for_it() -> None:
    loop = "for step in trainer.steps():\n    x = data()\n    loss = net(x)\n    loss.backward()\n"
    assert 2 not in six_steps(ast.parse(loop)).values()


def test_code_that_is_not_there_is_an_error_and_not_an_empty_box() -> None:
    with pytest.raises(ValueError, match="There is no train_flow"):
        Excerpt("genlab.families.vae.train", "train_flow").lines()
    with pytest.raises(ValueError, match="No line begins with"):
        Excerpt("genlab.families.vae.train", "train_vae", "flow =").lines()


def test_code_is_escaped_and_coloured() -> None:
    excerpt = Excerpt("genlab.families.vae.train", "elbo_terms")
    shown = excerpt_html(excerpt.lines(), "train.py")
    assert '<b class="kw">def</b> elbo_terms' in shown
    assert "-&gt; tuple" in shown
    assert "evidence lower bound" not in shown  # the docstring


# --- experiments ------------------------------------------------------------------------------


def test_every_experiment_is_an_address_of_the_page(page: gr.Blocks) -> None:
    tabs = tabs_of(page)
    for step in STEPS:
        for experiment in step.experiments:
            place = read(tabs, experiment.query)
            assert place.notes == [], experiment.query
            assert place.run
            assert place.tab == experiment.tab
            assert len(place.values) == len(experiment.values)


def test_every_question_is_in_the_page_and_the_guide_comes_first(page: gr.Blocks) -> None:
    assert next(iter(tabs_of(page))) == "lab-guide"
    shown = str(page.get_config_file())
    assert all(f"guide-{step.key}-answer" in shown for step in STEPS)


def test_the_pictures_of_the_questions_can_be_served(registry: Registry) -> None:
    for step in STEPS:
        for request in step.pictures:
            registry.check(request)


# --- what panels open with --------------------------------------------------------------------


def test_every_button_that_draws_has_drawn_something_when_its_panel_is_opened(
    page: gr.Blocks,
) -> None:
    names = {str(b.elem_id): b for b in page.blocks.values() if isinstance(b, gr.Button)}
    buttons = {n.removesuffix("-generate"): b for n, b in names.items() if n.endswith("-generate")}
    assert len(buttons) > 10
    for slot, button in buttons.items():
        assert (f"first-{slot}" in names) != (WAITS in button.elem_classes), slot
    assert "train" in buttons
    assert "first-train" not in names


def test_a_panel_opens_with_what_its_button_draws(page: gr.Blocks) -> None:
    targets = {
        page.blocks[k].elem_id: event
        for event in page.fns.values()
        for k, kind in event.targets
        if kind == "click" and k in page.blocks
    }
    assert targets["first-vae"].outputs == targets["vae-generate"].outputs
    assert targets["first-vae"].inputs == []


async def test_who_has_something_of_their_own_is_not_emptied(registry: Registry) -> None:
    context = AppContext(Settings(), registry, FakeClient())
    context.openings.has_own("me", "vae")

    async def nobody() -> AsyncIterator[Updates]:
        yield ("drawn", None)

    seen = [updates async for updates in everybodys(context, "me", "vae", nobody, 2)]
    assert seen == [(gr.skip(), gr.skip())]
