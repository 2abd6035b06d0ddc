"""The modes of the Stable Diffusion tab in real Chromium, on Toybox."""

from __future__ import annotations

import io
import re
from pathlib import Path
from urllib.parse import urljoin

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.visitor import PATIENCE, Visitor

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]


@pytest.fixture
def bench(visitor: Visitor) -> Visitor:
    """A visitor in the Stable Diffusion tab, with few steps so that it is quick."""
    visitor.open_tab("Stable Diffusion")
    visitor.enter("sd-steps", 4)
    return visitor


def content(visitor: Visitor, address: str) -> bytes:
    """The file at the address of a finished picture."""
    answer = visitor.page.request.get(urljoin(visitor.page.url, address))
    assert answer.status == 200
    return answer.body()


def pixels(file: bytes) -> np.ndarray:
    """The values of a picture in a PNG file."""
    return np.asarray(Image.open(io.BytesIO(file))).astype(int)


def expect_number(visitor: Visitor, name: str, text: str) -> None:
    """Wait until a number box holds this; it follows its slider a frame later."""
    number = visitor.find(name).locator("input[type=number]").first
    expect(number).to_have_value(text, timeout=PATIENCE)


def test_the_words_that_toybox_knows_are_listed_for_one_it_does_not(bench: Visitor) -> None:
    bench.enter("sd-prompt", "a red castle on a blue background")
    words = bench.find("sd-unknown-words")
    expect(words).to_contain_text("does not know “castle”")
    words.locator("summary").click()
    expect(words).to_contain_text("sneaker")


def test_a_grid_fills_in_and_a_cell_gives_its_settings_by_keyboard(bench: Visitor) -> None:
    bench.open_tab("Grid")
    bench.enter("sd-grid-columns-values", "1, 3")
    bench.enter("sd-grid-rows-values", "0, 7.5")
    bench.press("sd-grid-generate")
    expect(bench.find("sd-grid-sheet").locator("a[download]")).to_be_visible(timeout=PATIENCE)
    assert len(bench.pictures("sd-grid-cells", 4)) == 4
    cell = bench.find("sd-grid-cells").get_by_role("button").nth(3)
    cell.focus()
    cell.press("Enter")
    expect(bench.find("sd-grid-chosen")).to_contain_text("7.5")
    expect_number(bench, "sd-steps", "3")
    expect_number(bench, "sd-guidance", "7.5")
    slider = bench.find("sd-guidance").locator("input[type=range]")
    expect(slider).to_have_value("7.5")


def test_a_grid_of_one_setting_twice_is_refused_in_one_sentence(bench: Visitor) -> None:
    bench.open_tab("Grid")
    bench.choose("sd-grid-rows", "num_inference_steps")
    bench.press("sd-grid-generate")
    expect(bench.find("sd-grid-status").get_by_role("alert")).to_contain_text(
        "Columns and rows are both the steps", timeout=PATIENCE
    )


def test_the_step_slider_moves_through_the_run_without_asking_the_server(bench: Visitor) -> None:
    bench.open_tab("What CFG does")
    bench.press("sd-cfg-generate")
    view = bench.find("sd-cfg-film")
    expect(view.locator(".step-image")).to_have_count(4, timeout=PATIENCE)
    expect(view.locator("output")).to_contain_text(re.compile("[123] of 4"))
    seen = view.evaluate(
        """view => {
            const slider = view.querySelector("input");
            slider.value = 1;
            slider.dispatchEvent(new Event("input", {bubbles: true}));
            const images = [...view.querySelectorAll(".step-image")];
            return images.map(image => getComputedStyle(image).backgroundPositionX);
        }"""
    )
    assert seen == ["0%"] * 4, "in the same moment, so nobody was asked"
    expect(view.locator("output")).to_contain_text("1 of 4")
    play = view.get_by_role("button", name="Play", exact=True)
    play.click()
    expect(view.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    expect(view.locator("output")).to_contain_text("4 of 4", timeout=15_000)
    expect(play).to_be_visible()  # it stops at the end


def test_rows_of_a_grid_with_the_same_pictures_are_pointed_out(bench: Visitor) -> None:
    bench.open_tab("Grid")
    bench.enter("sd-grid-columns-values", "2")
    bench.enter("sd-grid-rows-values", "0, 1, 8")
    bench.press("sd-grid-generate")
    cells = bench.find("sd-grid-cells")
    expect(cells).to_contain_text(
        "Same pictures at scale 1 as 0: at 1 and less there is no guidance", timeout=PATIENCE
    )
    expect(cells.locator("tbody th")).to_have_text(["0", "1, as 0", "8"])


def test_curves_are_measured_and_the_slider_is_marked_on_them(bench: Visitor) -> None:
    bench.open_tab("Curves")
    bench.enter("sd-curve-count", 2)
    bench.press("sd-curve-scale-generate")
    expect(bench.find("sd-curve-scale-status")).to_contain_text("10 pictures in", timeout=PATIENCE)
    plot = bench.find("sd-curve-scale-plot")
    expect(plot.locator(".scatterlayer .points path")).to_have_count(10)  # two curves of five
    bench.enter("sd-guidance", 9)
    expect(plot).to_contain_text("slider: 9")
    bench.enter("sd-prompt", "a castle")
    bench.press("sd-curve-scale-generate")
    expect(bench.find("sd-curve-scale-status").get_by_role("alert")).to_contain_text(
        "the judge reads prompts of one or two things", timeout=PATIENCE
    )


def test_in_live_mode_a_moved_slider_redraws_and_the_last_value_wins(bench: Visitor) -> None:
    bench.enter("sd-count", 1)
    bench.enter("sd-guidance", 6)
    bench.generate("sd")
    picture = bench.find("sd-gallery").locator("img")
    expect(picture).to_have_count(1, timeout=PATIENCE)
    expect(bench.find("sd-strip")).to_contain_text("Confidence", timeout=PATIENCE)
    of_six = picture.get_attribute("src") or ""
    bench.enter("sd-guidance", 4)
    bench.find("sd-live").get_by_role("checkbox").check()
    expect(picture).not_to_have_attribute("src", of_six, timeout=PATIENCE)
    slider = bench.find("sd-guidance").locator("input[type=range]")
    for _ in range(4):
        slider.press("ArrowRight")
    expect_number(bench, "sd-guidance", "6")
    expect(picture).to_have_attribute("src", of_six, timeout=PATIENCE)
    bench.page.wait_for_timeout(1000)
    assert picture.get_attribute("src") == of_six, "no older value comes after it"
    bench.wait_until_done("sd")
    live = bench.pictures("sd-gallery", 1)[0].hash
    bench.find("sd-live").get_by_role("checkbox").uncheck()
    bench.enter("sd-preview-every", 0)
    bench.generate("sd")
    bench.page.wait_for_timeout(1000)
    bench.wait_until_done("sd")
    assert bench.pictures("sd-gallery", 1)[0].hash == live, "the picture is that of scale 6"


def test_a_saved_picture_dropped_on_the_tab_sets_every_control(
    bench: Visitor, tmp_path: Path
) -> None:
    bench.enter("sd-prompt", "a green sneaker on a white background")
    bench.enter("sd-seed", 7)
    bench.enter("sd-count", 2)
    bench.press("sd-generate")
    link = bench.find("sd-gallery").locator("a.save").nth(1)
    expect(link).to_be_attached(timeout=PATIENCE)
    bench.wait_until_done("sd")
    with bench.page.expect_download() as saving:
        link.press("Enter")
    file = tmp_path / saving.value.suggested_filename
    saving.value.save_as(file)
    assert file.name == "stable-diffusion-toybox-8.png"
    shown = bench.find("sd-gallery").locator("img").nth(1).get_attribute("src") or ""
    assert file.read_bytes() == content(bench, shown)
    before = pixels(file.read_bytes())
    bench.enter("sd-prompt", "a red 7")
    bench.enter("sd-steps", 9)
    bench.find("sd-png").locator("input[type=file]").set_input_files(file)
    expect(bench.find("sd-png-note")).to_contain_text(f"{file.name}: the controls are as")
    for name, text in (("seed", "8"), ("count", "1"), ("steps", "4")):
        expect_number(bench, f"sd-{name}", text)
    expect(bench.find("sd-prompt").locator("textarea")).to_have_value(re.compile("green sneaker"))
    bench.enter("sd-preview-every", 0)
    bench.press("sd-generate")
    picture = bench.find("sd-gallery").locator("img")
    expect(picture).to_have_count(1, timeout=PATIENCE)
    bench.wait_until_done("sd")
    again = pixels(content(bench, picture.get_attribute("src") or ""))
    assert np.abs(again - before).max() <= 2, "alone, as it was beside another"


def test_a_picture_is_redrawn_where_it_is_painted_over(bench: Visitor, tmp_path: Path) -> None:
    bench.enter("sd-count", 1)
    bench.enter("sd-prompt", "a green sneaker on a white background")
    bench.press("sd-generate")
    drawn = bench.find("sd-gallery").locator("a.save")
    expect(drawn).to_have_count(1, timeout=PATIENCE)
    given = pixels(content(bench, drawn.get_attribute("href") or ""))
    bench.open_tab("Redraw")
    pad = bench.find("sd-redraw-pad")
    pad.get_by_role("button", name="Take Generate's first").click()
    expect(bench.find("sd-redraw-picture").locator("textarea")).to_have_value(
        re.compile("^iVBOR"), timeout=PATIENCE
    )
    pad.get_by_role("button", name="Paint the upper half").click()
    bench.enter("sd-prompt", "a red 7 on a blue background")
    bench.enter("sd-redraw-count", 1)
    bench.enter("sd-redraw-strength", 1)
    bench.press("sd-redraw-generate")
    bench.wait_until_done("sd-redraw")
    redrawn = bench.find("sd-redraw-gallery").locator("a.save")
    expect(redrawn).to_have_count(1, timeout=PATIENCE)
    now = pixels(content(bench, redrawn.get_attribute("href") or ""))
    change = np.abs(now - given).mean(axis=(1, 2))
    assert change[:24].mean() > 4 * change[40:].mean()
    assert len(bench.pictures("sd-redraw-strengths", 4)) == 4, "0.2 of 4 steps is none"

    saved = tmp_path / "redrawn.png"
    saved.write_bytes(content(bench, redrawn.get_attribute("href") or ""))
    mask = bench.find("sd-redraw-mask").locator("textarea")
    painted = mask.input_value()
    pad.get_by_role("button", name="Clear the paint").click()
    expect(mask).to_have_value("")
    bench.enter("sd-redraw-strength", 0.5)
    bench.find("sd-redraw-png").locator("input[type=file]").set_input_files(saved)
    expect(bench.find("sd-redraw-png-note")).to_contain_text("Redraw draws it again.")
    expect_number(bench, "sd-redraw-strength", "1")
    expect(mask).to_have_value(painted)
    bench.press("sd-redraw-generate")
    bench.wait_until_done("sd-redraw")
    again = bench.find("sd-redraw-gallery").locator("a.save")
    assert np.abs(pixels(content(bench, again.get_attribute("href") or "")) - now).max() <= 2
    upper = pad.locator("canvas").evaluate(
        "c => [0.25, 0.75].map(y => [...c.getContext('2d').getImageData(20, y * 512, 1, 1).data])"
    )
    assert upper[0] != upper[1], "what was painted is shown again"
    bench.open_tab("Generate")
    bench.find("sd-png").locator("input[type=file]").set_input_files(saved)
    expect(bench.find("sd-png-note")).to_contain_text("put it into Redraw instead.")
    bench.open_tab("Redraw")

    canvas = pad.locator("canvas")
    box = canvas.bounding_box()
    assert box is not None
    pad.get_by_role("button", name="Clear the paint").click()
    expect(mask).to_have_value("")
    canvas.click(position={"x": box["width"] / 2, "y": box["height"] / 2})
    expect(mask).to_have_value(re.compile("^iVBOR"))
