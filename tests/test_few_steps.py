"""Mode Few steps: which two models are put under each other, and what is said of their pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from genlab.engine.events import Failed, Result
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.requests import UserError, parse_request
from genlab.ui.cells import CellView
from genlab.ui.tabs.stable_diffusion.few_steps import (
    COUNT,
    STEPS,
    Pair,
    pair_of,
    requests_for,
    row_of,
)
from tests.sd_page import SD, TOYBOX

TURBO = replace(
    TOYBOX,
    name="turbo",
    title="Turbo",
    card={**TOYBOX.card, "distilled": "It was distilled."},
    defaults={"num_inference_steps": 4, "guidance_scale": 1.0, "scheduler": "lcm"},
)
BASE = parse_request(
    StableDiffusionRequest, checkpoint="sd", prompt="a red 7", guidance_scale=4, seed=5, lora="x"
)


def test_a_distilled_model_stands_under_one_of_its_data_set_that_is_not() -> None:
    assert pair_of([SD, TURBO, TOYBOX]) == Pair(TOYBOX, TURBO)
    assert pair_of([SD, TOYBOX]) is None, "nothing was distilled"
    assert pair_of([SD, TURBO]) is None, "its teacher is not here"
    outside = replace(SD, card={"distilled": "Yes."}, dataset="")
    assert pair_of([outside, SD]) is None, "of models from outside nobody knows who taught whom"


def test_the_teacher_has_the_pages_settings_and_the_student_its_own() -> None:
    requests = requests_for(Pair(TOYBOX, TURBO), BASE)
    taught, learnt = requests[: len(STEPS)], requests[len(STEPS) :]
    for row in (taught, learnt):
        assert tuple(one.num_inference_steps for one in row) == STEPS
        assert {(one.prompt, one.seed, one.count) for one in row} == {("a red 7", 5, COUNT)}
    assert {(r.checkpoint, r.guidance_scale, r.scheduler, r.lora) for r in taught} == {
        (TOYBOX.name, 4, "dpmpp-2m", "x")
    }
    assert {(r.checkpoint, r.guidance_scale, r.scheduler, r.lora) for r in learnt} == {
        ("turbo", 1, "lcm", "")
    }


def test_a_row_says_the_judges_count_the_diversity_and_what_failed() -> None:
    requests = requests_for(Pair(TOYBOX, TURBO), BASE)[len(STEPS) :]
    pictures = np.zeros((COUNT, 64, 64, 3), np.uint8)
    figures = {"all_as_asked_percent": 93.75, "diversity": 3.14}
    addresses = tuple(f"/{k}-64.png" for k in range(COUNT))
    done = CellView((Result(pictures, figures=figures),), addresses)
    waiting, failed = CellView((None,)), CellView((Failed("It cannot."),))
    html = row_of(TURBO, requests, [done, waiting, failed, waiting, waiting])
    assert "Turbo<small>LCM</small>" in html
    assert "<b>1 step</b>" in html
    assert "<b>25 steps</b>" in html
    assert "15 of 16 as asked" in html
    assert "diversity 3.1" in html
    assert "It cannot." in html
    assert html.count('class="blank"') == 3


def test_a_wrong_prompt_is_refused_before_anything_is_drawn() -> None:
    with pytest.raises(UserError, match="prompt is 1001 characters long"):
        requests_for(Pair(TOYBOX, TURBO), BASE.model_copy(update={"prompt": "x" * 1001}))
