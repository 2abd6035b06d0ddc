"""The Train tab in a real browser: it learns, waits, is led through the six steps, and ends."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import PATIENCE, Visitor

pytestmark = [pytest.mark.browser, pytest.mark.walk]
LIT = """() => [...document.querySelectorAll("#train-loop .line[data-stage]")]
    .filter(line => getComputedStyle(line).backgroundColor !== "rgba(0, 0, 0, 0)")
    .map(line => Number(line.dataset.stage))"""


def step_of(visitor: Visitor) -> int:
    """How many steps the status line tells of."""
    found = re.search(r"Step ([\d,]+)", visitor.status("train"))
    return int(found[1].replace(",", "")) if found else 0


def test_a_gan_of_points_learns_waits_and_is_led_through_its_steps(visitor: Visitor):
    visitor.open_tab("Train")
    visitor.press("train-generate")
    expect(visitor.find("train-status")).to_contain_text("a second", timeout=PATIENCE)
    expect(visitor.find("train-samples").locator("svg")).to_be_visible()
    visitor.press("train-pause")
    expect(visitor.find("train-status")).to_contain_text("Paused", timeout=PATIENCE)
    paused = step_of(visitor)
    assert paused > 0
    visitor.press("train-step")
    expect(visitor.find("train-lights").locator("li")).to_have_count(1, timeout=PATIENCE)
    expect(visitor.find("train-lights")).to_contain_text("x: 256 x 2")
    assert step_of(visitor) == paused + 1
    visitor.press("train-step")
    expect(visitor.find("train-lights").locator("li")).to_have_count(2, timeout=PATIENCE)
    assert set(visitor.page.evaluate(LIT)) == {2}, "the lines of the second step are lit"
    visitor.press("train-pause")
    expect(visitor.find("train-status")).to_contain_text("a second", timeout=PATIENCE)
    visitor.press("train-stop")
    expect(visitor.find("train-status")).to_contain_text("Stopped", timeout=PATIENCE)
    assert step_of(visitor) > paused
    assert visitor.overflow() <= 0


def test_digits_leave_a_checkpoint_to_take_home(visitor: Visitor):
    visitor.open_tab("Train")
    visitor.choose("train-subject", "VAE, digits, convolutional")
    expect(visitor.find("train-loop")).to_contain_text("vae_loop")
    visitor.press("train-generate")
    expect(visitor.find("train-status")).to_contain_text("a second", timeout=PATIENCE)
    visitor.press("train-stop")
    with visitor.page.expect_download() as download:
        visitor.press("train-download")
    assert re.fullmatch(r"my-conv-vae-\d+\.zip", download.value.suggested_filename)


def test_a_wrong_setting_is_a_sentence(visitor: Visitor):
    visitor.open_tab("Train")
    visitor.enter("train-latent-dim", 65)
    visitor.press("train-generate")
    expect(visitor.find("train-status")).to_contain_text(
        "latent_dim is 65, but must be a whole number from 1 to 64.", timeout=PATIENCE
    )
