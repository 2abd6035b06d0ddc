"""The Guidance tab in real Chromium, on the pixel diffusion of MNIST in checkpoints/."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import PATIENCE, Picture, Visitor

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

METHODS = ("none", "classifier", "classifier-free")
STEPS = (1, 2, 5, 10, 25, 50, 100)
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.fixture
def guidance(visitor: Visitor) -> Visitor:
    """A visitor on the Guidance tab who asks for three digits in a few steps."""
    visitor.open_tab("Guidance")
    visitor.enter("guidance-digits", "3 1 4")
    visitor.enter("guidance-steps", 12)
    return visitor


def drawn(pictures: list[Picture]) -> bool:
    """Whether all of them show something, and not all the same."""
    return len({p.hash for p in pictures}) > 1 and all(p.deviation > 5 for p in pictures)


def run(guidance: Visitor, mode: str) -> None:
    """Press a mode's button and wait for its pictures and their figures."""
    guidance.press(f"{mode}-generate")
    guidance.wait_until_done(mode, timeout=3 * PATIENCE)


def test_a_typed_row_is_drawn_three_ways_from_the_same_noise(guidance: Visitor) -> None:
    run(guidance, "guidance")
    assert "9 pictures in" in guidance.status("guidance")
    seen = {name: guidance.pictures(f"guidance-{name}-gallery", 3) for name in METHODS}
    assert all(drawn(pictures) for pictures in seen.values())
    assert len({tuple(p.hash for p in pictures) for pictures in seen.values()}) == 3
    for name in METHODS:
        expect(guidance.find(f"guidance-{name}-strip")).to_contain_text("as asked")
        expect(guidance.find(f"guidance-{name}-strip")).to_contain_text("Time")
        strip, bars = (
            guidance.find(f"guidance-{name}-strip").locator(part).bounding_box() or {}
            for part in (".strip", ".plot")
        )
        assert bars["width"] == pytest.approx(strip["width"], abs=2), "the classes have room"


@pytest.mark.parametrize(
    "visitor", [{"viewport": {"width": width, "height": 768}} for width in (1024, 1280)],
    indirect=True, ids=["1024 px", "1280 px"],
)  # fmt: skip
def test_the_three_columns_begin_at_one_height(visitor: Visitor) -> None:
    visitor.open_tab("Guidance")
    visitor.wait_until_quiet()  # the page moves while it opens
    names = [f"guidance-{name}-gallery" for name in METHODS]
    boxes = visitor.page.evaluate(
        "names => names.map(n => document.getElementById(n).getBoundingClientRect().toJSON())",
        names,
    )
    assert len({round(box["y"]) for box in boxes}) == 1, boxes
    assert len({round(box["width"]) for box in boxes}) == 1, boxes


def test_the_classifiers_scale_does_not_begin_at_its_end(visitor: Visitor) -> None:
    visitor.open_tab("Guidance")
    slider = visitor.find("guidance-classifier-scale").locator("input[type=range]")
    expect(slider).to_be_visible()
    assert float(slider.input_value()) < float(slider.get_attribute("max") or 0) / 2


def test_without_scale_both_kinds_draw_what_the_unguided_model_draws(guidance: Visitor) -> None:
    guidance.enter("guidance-free-scale", 0)
    guidance.enter("guidance-classifier-scale", 0)
    run(guidance, "guidance")
    seen = [guidance.pictures(f"guidance-{name}-gallery", 3) for name in METHODS]
    for pictures in seen[1:]:
        for one, other in zip(seen[0], pictures, strict=True):
            assert one.deviation == pytest.approx(other.deviation, abs=1)


def test_the_trajectory_follows_the_arrow_keys_without_asking_anybody(guidance: Visitor) -> None:
    guidance.open_tab("Filmstrip")
    run(guidance, "guidance-film")
    shown = guidance.find("guidance-film-shown")
    expect(shown.locator(".step-image")).to_have_count(2 + 4 + 5)
    expect(shown).to_contain_text("Step 12 of 12")
    frame = shown.locator(".step-image").first
    place = "element => getComputedStyle(element).backgroundPositionX"
    assert frame.evaluate(place) == "100%"
    mark = "curve => [curve.querySelector('.mark'), ...curve.querySelectorAll('.dot')].map("
    mark += "part => [part.offsetLeft, part.offsetTop]).join()"
    last = guidance.find("guidance-film-confidence").evaluate(mark)
    guidance.wait_until_quiet()  # an event that follows the run is not the slider's
    sent: list[str] = []
    guidance.page.on("request", lambda request: sent.append(request.url))
    slider = guidance.find("guidance-film-step").locator("input[type=range]")
    slider.focus()
    slider.press("Home")
    expect(shown).to_contain_text("Step 1 of 12")
    assert frame.evaluate(place) == "0%"
    slider.press("ArrowRight")
    expect(shown).to_contain_text("Step 2 of 12")
    assert guidance.find("guidance-film-confidence").evaluate(mark) != last
    guidance.page.wait_for_timeout(300)
    assert [url for url in sent if "queue/join" in url] == []


def test_a_new_run_is_shown_at_the_step_where_the_slider_stood(guidance: Visitor) -> None:
    guidance.open_tab("Filmstrip")
    run(guidance, "guidance-film")
    shown = guidance.find("guidance-film-shown")
    slider = guidance.find("guidance-film-step").locator("input[type=range]")
    slider.focus()
    slider.press("Home")
    slider.press("ArrowRight")
    expect(shown).to_contain_text("Step 2 of 12")
    guidance.enter("guidance-steps", 9)
    run(guidance, "guidance-film")
    expect(shown).to_contain_text("Step 2 of 9")
    slider.press("End")
    expect(shown).to_contain_text("Step 9 of 9")
    guidance.enter("guidance-steps", 11)
    run(guidance, "guidance-film")
    expect(shown).to_contain_text("Step 11 of 11")


def test_the_trajectory_is_of_the_chosen_picture(guidance: Visitor) -> None:
    guidance.open_tab("Filmstrip")
    guidance.enter("guidance-film-picture", 4)
    guidance.press("guidance-film-generate")
    expect(guidance.find("guidance-film-status").get_by_role("alert")).to_have_text(
        "Picture is 4, but the row has 1 to 3.", timeout=PATIENCE
    )
    guidance.enter("guidance-film-picture", 2)
    run(guidance, "guidance-film")
    expect(guidance.find("guidance-film-shown").locator(".step-image").first).to_be_visible()


def test_the_same_noise_is_drawn_in_one_to_a_hundred_steps(guidance: Visitor) -> None:
    guidance.open_tab("Steps")
    run(guidance, "guidance-ladder")
    rows = {steps: guidance.pictures(f"guidance-ladder-{steps}", 3) for steps in STEPS}
    assert all(drawn(pictures) for pictures in rows.values())
    assert rows[1][0].hash != rows[50][0].hash
    for steps in STEPS:
        expect(guidance.find(f"guidance-ladder-{steps}")).to_contain_text("as asked")
        expect(guidance.find(f"guidance-ladder-{steps}")).to_contain_text(re.compile(r"\d m?s"))


def test_scales_are_plotted_as_measured_and_redrawn_live(guidance: Visitor) -> None:
    guidance.enter("guidance-steps", 4)
    guidance.enter("guidance-free-scale", 8)
    guidance.open_tab("Scale")
    expect(guidance.find("guidance-scales-measured")).to_contain_text("pictures a point")
    dots = guidance.find("guidance-scales-label-accuracy").locator(".scatterlayer .points path")
    expect(dots.nth(5)).to_be_attached(timeout=PATIENCE)
    before = dots.count()
    plot = guidance.find("guidance-scales-fid")
    place = plot.evaluate(
        """plot => (parseFloat(getComputedStyle(plot, '::after').left) - 46)
            / (plot.clientWidth - 58)"""
    )
    assert place == pytest.approx((8 / 32) ** 0.5, abs=0.01), "the mark is at the slider's scale"
    guidance.enter("guidance-scales-samples", 10)
    run(guidance, "guidance-scales")
    for method in METHODS[1:]:
        for scale in (0, 1, 16):
            assert drawn(guidance.pictures(f"guidance-scales-{method}-{scale}", 10))
    expect(guidance.find("guidance-scales-classifier-4")).to_contain_text("as asked")
    expect(dots).to_have_count(before + 12, timeout=PATIENCE)


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("digits", "giraffe", "“giraffe” is no class; write classes from 0 to 9."),
        ("digits", "3 12", "labels is 12, but must be whole numbers from 0 to 9"),
        ("seed", -1, "seed is -1, but must be a whole number from 0 to 4294967295"),
        ("steps", 0, "num_inference_steps is 0, but must be a whole number from 1 to 1000"),
    ],
)
def test_a_bad_value_shows_its_sentence(
    guidance: Visitor, field: str, value: object, sentence: str
) -> None:
    guidance.enter(f"guidance-{field}", value)
    guidance.press("guidance-generate")
    expect(guidance.find("guidance-status").get_by_role("alert")).to_contain_text(
        sentence, timeout=PATIENCE
    )


def test_what_one_method_refuses_is_said_in_its_place_and_the_others_draw(
    guidance: Visitor,
) -> None:
    guidance.enter("guidance-classifier-scale", 1e6)
    run(guidance, "guidance")
    expect(guidance.find("guidance-classifier-gallery").get_by_role("alert")).to_contain_text(
        "guidance_scale is 1000000, but must be a number from 0 to 50"
    )
    assert drawn(guidance.pictures("guidance-none-gallery", 3))
    assert drawn(guidance.pictures("guidance-classifier-free-gallery", 3))


def test_stop_stops_all_three(guidance: Visitor) -> None:
    guidance.enter("guidance-steps", 1000)
    guidance.press("guidance-generate")
    expect(guidance.find("guidance-status")).to_contain_text("of 1000", timeout=PATIENCE)
    guidance.press("guidance-stop")
    expect(guidance.find("guidance-status")).to_contain_text("Stopped", timeout=PATIENCE)


@pytest.mark.parametrize("visitor", [PHONE], indirect=True, ids=["390 px"])
def test_a_phone_never_scrolls_sideways(guidance: Visitor) -> None:
    guidance.enter("guidance-steps", 3)
    assert guidance.overflow() == 0
    for title, mode in (
        ("Side by side", "guidance"), ("Filmstrip", "guidance-film"),
        ("Steps", "guidance-ladder"), ("Scale", "guidance-scales"),
    ):  # fmt: skip
        guidance.open_tab(title)
        assert guidance.overflow() == 0, title
        run(guidance, mode)
        assert guidance.overflow() == 0, f"{title} with pictures"
