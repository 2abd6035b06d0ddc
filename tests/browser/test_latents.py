"""The Latents tab in real Chromium: walks, dimensions, a digit drawn by hand or from a file."""

from __future__ import annotations

import io
import re

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import expect

from tests.browser.visitor import PATIENCE, Visitor

pytestmark = [pytest.mark.browser, pytest.mark.walk]

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
SEVEN = [(0.25, 0.2), (0.7, 0.2), (0.45, 0.85)]


def stroke(visitor: Visitor) -> None:
    """Draw a 7 with the mouse."""
    square = visitor.find("latents-draw-pad").locator("canvas")
    square.scroll_into_view_if_needed()
    box = square.bounding_box()
    assert box is not None
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in SEVEN]
    visitor.page.mouse.move(*places[0])
    visitor.page.mouse.down()
    for place in places[1:]:
        visitor.page.mouse.move(*place, steps=8)
    visitor.page.mouse.up()


def test_a_digit_is_drawn_by_keys_alone(visitor: Visitor) -> None:
    visitor.open_tab("Latents")
    visitor.open_tab("Draw a digit")
    visitor.pictures("latents-draw-restored", 5)
    pad = visitor.find("latents-draw-pad")
    pad.locator("canvas").focus()
    for key, times in (("ArrowUp", 9), (" ", 1), ("ArrowDown", 18), (" ", 1)):
        for _ in range(times):
            visitor.page.keyboard.press(key)
    expect(visitor.find("latents-draw-places")).to_contain_text("Nearest test code: class 1")
    assert pad.locator(".pad.keyed").count() == 1
    visitor.page.keyboard.press("Tab")
    assert pad.locator(".pad.keyed").count() == 0


def test_two_test_pictures_are_joined_in_pixels_and_in_codes(visitor: Visitor) -> None:
    visitor.open_tab("Latents")
    visitor.open_tab("Between pictures")
    faded = visitor.find("latents-between-pixels").locator("img")
    expect(faded).to_have_count(9)
    before = visitor.pictures("latents-between-vae-1", 18)
    visitor.enter("latents-between-to-picture", 4)
    first = visitor.find("latents-between-vae-1").locator("img").last
    expect(visitor.find("latents-between-status")).to_contain_text("pictures in")
    expect(first).to_be_visible()
    visitor.wait_until_quiet()
    after = visitor.pictures("latents-between-vae-1", 18)
    assert after[0].hash == before[0].hash, "the same beginning"
    assert after[8].hash != before[8].hash
    assert after[8].hash == after[17].hash, "both ways end at one code"


def test_a_drawn_digit_is_restored_placed_and_denoised(visitor: Visitor) -> None:
    visitor.open_tab("Latents")
    visitor.open_tab("Draw a digit")
    before = visitor.pictures("latents-draw-restored", 5)[0]
    stroke(visitor)
    given = visitor.find("latents-draw-restored").locator("img").first
    source = given.get_attribute("src")
    expect(given).not_to_have_attribute("src", source or "", timeout=PATIENCE)
    drawn = visitor.pictures("latents-draw-restored", 5)[0]
    assert (drawn.width, drawn.height) == (28, 28)
    assert drawn.hash != before.hash
    expect(visitor.find("latents-draw-places")).to_contain_text("Nearest test code: class 7")
    visitor.enter("latents-draw-timestep", 700)
    expect(visitor.find("latents-draw-denoised")).to_contain_text("Begun at t = 699.")
    expect(visitor.page).to_have_url(re.compile("draw-timestep=700"))


def test_a_picture_file_becomes_white_ink_on_black_in_the_browser(visitor: Visitor) -> None:
    visitor.open_tab("Latents")
    visitor.open_tab("Draw a digit")
    visitor.pictures("latents-draw-restored", 5)
    picture = Image.new("RGB", (300, 200), (245, 245, 240))
    places = [(100 + 100 * x, 20 + 160 * y) for x, y in SEVEN]
    ImageDraw.Draw(picture).line(places, fill=(20, 20, 60), width=14)
    file = io.BytesIO()
    picture.save(file, format="JPEG")
    sent = []
    visitor.page.on("request", lambda request: sent.append(len(request.post_data or "")))
    box = visitor.find("latents-draw-pad").locator("input[type=file]")
    given = visitor.find("latents-draw-restored").locator("img").first
    source = given.get_attribute("src")
    box.set_input_files({"name": "7.jpg", "mimeType": "image/jpeg", "buffer": file.getvalue()})
    expect(given).not_to_have_attribute("src", source or "", timeout=PATIENCE)
    expect(visitor.find("latents-draw-places")).to_contain_text("Nearest test code: class 7")
    assert max(sent) < 5000, "the file itself stays in the browser"
    box.set_input_files({"name": "a.txt", "mimeType": "text/plain", "buffer": b"no picture"})
    expect(visitor.find("latents-draw-pad")).to_contain_text("cannot read that file")


@pytest.mark.parametrize("visitor", [PHONE], indirect=True)
def test_sliders_move_one_dimension_each_on_a_phone_too(visitor: Visitor) -> None:
    visitor.open_tab("Latents")
    visitor.open_tab("Single dimensions")
    before = visitor.pictures("latents-dimensions-picture", 1)[0]
    image = visitor.find("latents-dimensions-picture").locator("img")
    source = image.get_attribute("src")
    visitor.enter("latents-dimensions-row-1", 3)
    expect(image).not_to_have_attribute("src", source or "", timeout=PATIENCE)
    assert visitor.pictures("latents-dimensions-picture", 1)[0].hash != before.hash
    assert len(visitor.pictures("latents-dimensions-rows", 72)) == 72
    assert visitor.overflow() <= 0


def test_a_walk_begins_and_ends_alike_on_both_ways(visitor: Visitor) -> None:
    visitor.open_tab("Latents")
    visitor.enter("latents-walk-count", 3)
    visitor.generate("latents-walk")
    for name in ("vae", "gan", "diffusion"):
        straight = visitor.pictures(f"latents-walk-{name}-straight", 3)
        sphere = visitor.pictures(f"latents-walk-{name}-sphere", 3)
        assert straight[0].hash == sphere[0].hash
        assert straight[2].hash == sphere[2].hash
        assert straight[1].hash != sphere[1].hash
