"""The real page in real Chromium: what a visitor presses and what comes of it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import PATIENCE, Picture, Visitor
from tests.conftest import BROKEN

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

TABS = ["VAE", "GAN", "Stable Diffusion", "Compare"]
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
DARK = {"color_scheme": "dark"}


def drawn(pictures: list[Picture]) -> bool:
    """Whether all of them show something, and not all the same."""
    several = len({picture.hash for picture in pictures}) > 1 or len(pictures) == 1
    return several and all(p.width >= 28 and p.deviation > 5 for p in pictures)


def test_the_page_opens_with_every_tab(visitor: Visitor) -> None:
    for title in TABS:
        visitor.open_tab(title)
    visitor.open_tab("Stable Diffusion")
    expect(visitor.find("sd-generate")).to_be_visible()


def test_a_damaged_checkpoint_is_named_with_its_reason(visitor: Visitor) -> None:
    visitor.find("broken").get_by_role("button").first.click()
    expect(visitor.find("broken")).to_contain_text(BROKEN)
    expect(visitor.find("broken")).to_contain_text("cut short")


def test_a_vae_draws_beside_its_twin_without_kl(visitor: Visitor) -> None:
    visitor.enter("vae-count", 9)
    visitor.generate("vae")
    assert "18 pictures in" in visitor.status("vae")
    with_kl = visitor.pictures("vae-gallery", 9)
    without = visitor.pictures("vae-beside-gallery", 9)
    assert drawn(with_kl)
    assert drawn(without)
    assert [p.hash for p in with_kl] != [p.hash for p in without]
    expect(visitor.find("vae-strip")).to_contain_text("Sharpness")


def test_finished_pictures_come_by_address_and_are_enlarged_by_whole_pixels(
    visitor: Visitor,
) -> None:
    visitor.enter("vae-count", 4)
    visitor.generate("vae")
    visitor.pictures("vae-gallery", 4)
    for image in visitor.find("vae-gallery").locator("img").all():
        assert re.fullmatch(r"pictures/[0-9a-f]{64}-\d+\.png", image.get_attribute("src") or "")
        expect(image).to_have_css("image-rendering", "pixelated")
        home = visitor.page.url.partition("?")[0]
        answer = visitor.page.request.get(f"{home}{image.get_attribute('src')}")
        assert "immutable" in answer.headers["cache-control"]


def test_the_same_seed_gives_the_same_pictures_and_the_dice_others(visitor: Visitor) -> None:
    seen = []
    for seed in (7, 8, 7):
        visitor.enter("vae-seed", seed)
        visitor.enter("vae-count", 4)
        before = visitor.find("vae-gallery").locator("img").first
        source = before.get_attribute("src") if before.count() else None
        visitor.press("vae-generate")
        if source is not None:
            expect(before).not_to_have_attribute("src", source, timeout=PATIENCE)
        visitor.wait_until_done("vae")
        seen.append([p.hash for p in visitor.pictures("vae-gallery", 4)])
    assert seen[0] == seen[2]
    assert seen[0][1] == seen[1][0], "picture k uses seed + k"
    visitor.press("vae-dice")
    expect(visitor.find("vae-seed").locator("input")).not_to_have_value("7")


def test_a_vae_reconstructs_test_digits(visitor: Visitor) -> None:
    visitor.open_tab("Reconstruct")
    visitor.press("vae-reconstruct-generate")
    for row in ("originals", "first", "second"):
        assert drawn(visitor.pictures(f"vae-reconstruct-{row}", 1))


def test_codes_lie_in_a_plane_and_a_touched_place_is_drawn_at_once(visitor: Visitor) -> None:
    visitor.open_tab("2-D codes")
    plane = visitor.find("vae-codes-first").locator("svg")
    expect(plane.locator(".dots path").nth(9)).to_be_attached(timeout=PATIENCE)
    before = visitor.pictures("vae-codes-digits", 2)
    plane.scroll_into_view_if_needed()
    box = plane.bounding_box()
    assert box is not None
    plane.click(position={"x": box["width"] * 0.75, "y": box["height"] * 0.25})
    expect(visitor.find("vae-codes-digits")).to_contain_text(
        re.compile(r"z = \((2|1\.9\d|2\.0\d), (2|1\.9\d|2\.0\d)\)")
    )
    touched = visitor.pictures("vae-codes-digits", 2)
    assert all(drawn([picture]) for picture in touched)
    assert [p.hash for p in touched] != [p.hash for p in before]
    visitor.enter("vae-codes-z1", -3)
    expect(visitor.find("vae-codes-digits")).to_contain_text("z = (−3, ")
    expect(visitor.page).to_have_url(re.compile("codes-z1=-3&codes-z2="))


def test_a_gan_draws_and_its_class_histogram_is_shown(visitor: Visitor) -> None:
    visitor.open_tab("GAN")
    visitor.generate("gan")
    assert drawn(visitor.pictures("gan-gallery", 16))
    expect(visitor.find("gan-strip")).to_contain_text("Classes the judge sees")
    expect(visitor.find("gan-strip")).to_contain_text("What the discriminator thinks")


def test_the_timeline_goes_back_to_the_first_training_steps(visitor: Visitor) -> None:
    visitor.open_tab("GAN")
    visitor.generate("gan")
    finished = visitor.pictures("gan-gallery", 16)
    beside = visitor.pictures("gan-beside-gallery", 16)
    expect(visitor.find("gan-strip")).to_contain_text("10 of 10 in 256 samples")
    expect(visitor.find("gan-beside-strip")).to_contain_text("1 of 10 in 256 samples")
    slider = visitor.find("gan-timeline").locator("input[type=range]")
    source = visitor.find("gan-gallery").locator("img").first.get_attribute("src")
    slider.focus()
    slider.press("Home")
    slider.dispatch_event("pointerup")
    expect(visitor.find("gan-moment")).to_contain_text("training steps")
    visitor.press("gan-generate")
    first = visitor.find("gan-gallery").locator("img").first
    expect(first).not_to_have_attribute("src", source or "", timeout=PATIENCE)
    visitor.wait_until_done("gan")
    early = visitor.pictures("gan-gallery", 16)
    assert all(a.hash != b.hash for a, b in zip(early, finished, strict=True))
    moved = visitor.pictures("gan-beside-gallery", 16)
    assert all(a.hash != b.hash for a, b in zip(moved, beside, strict=True)), "both move"
    expect(visitor.find("gan-strip")).to_contain_text("noise")


def test_stable_diffusion_draws_what_the_prompt_asks(visitor: Visitor) -> None:
    visitor.open_tab("Stable Diffusion")
    visitor.enter("sd-prompt", "a red 7 on a blue background")
    visitor.enter("sd-steps", 12)
    visitor.enter("sd-count", 2)
    visitor.generate("sd")
    assert "2 pictures in" in visitor.status("sd")
    assert drawn(visitor.pictures("sd-gallery", 2))


def test_families_are_compared_from_one_seed(visitor: Visitor) -> None:
    visitor.open_tab("Compare")
    visitor.enter("compare-count", 4)
    visitor.choose("compare-class", "3")
    visitor.page.get_by_role("checkbox", name="VAE without KL", exact=True).uncheck()
    expect(visitor.find("compare-vae-no-kl")).to_be_hidden()
    visitor.press("compare-generate")
    for column in ("vae", "gan", "diffusion", "guided", "toybox", "real"):
        assert drawn(visitor.pictures(f"compare-{column}", 4)), column
        expect(visitor.find(f"compare-{column}")).to_contain_text("Confidence")
    visitor.wait_until_done("compare")
    expect(visitor.find("compare-vae")).to_contain_text("Cannot be told a class.")
    expect(visitor.find("compare-toybox")).to_contain_text("a white 3 on a black background")
    expect(visitor.find("compare-table")).to_contain_text("soft")


def test_previews_and_the_time_left_are_shown_on_the_way(visitor: Visitor) -> None:
    visitor.open_tab("Stable Diffusion")
    visitor.enter("sd-steps", 100)
    visitor.enter("sd-count", 8)
    visitor.enter("sd-preview-every", 1)
    visitor.press("sd-generate")
    expect(visitor.find("sd-gallery").locator("img")).to_have_count(8, timeout=PATIENCE)
    expect(visitor.find("sd-status")).to_contain_text(re.compile(r"Step \d+ of 100"))
    visitor.press("sd-stop")
    visitor.wait_until_done("sd")


def test_stop_stops_and_the_next_request_is_served(visitor: Visitor) -> None:
    visitor.open_tab("Stable Diffusion")
    visitor.enter("sd-steps", 100)
    visitor.enter("sd-count", 16)
    visitor.press("sd-generate")
    expect(visitor.find("sd-status")).to_contain_text("of 100", timeout=PATIENCE)
    visitor.press("sd-stop")
    expect(visitor.find("sd-status")).to_contain_text("Stopped", timeout=PATIENCE)
    visitor.enter("sd-steps", 2)
    visitor.enter("sd-count", 1)
    visitor.press("sd-generate")
    expect(visitor.find("sd-status")).to_contain_text("1 picture in", timeout=PATIENCE)


def test_stop_leaves_a_neighbours_picture_alone(visitor: Visitor, neighbour: Visitor) -> None:
    for person, steps, count in ((visitor, 100, 16), (neighbour, 40, 1)):
        person.open_tab("Stable Diffusion")
        person.enter("sd-steps", steps)
        person.enter("sd-count", count)
        person.press("sd-generate")
    expect(visitor.find("sd-status")).to_contain_text("of 100", timeout=PATIENCE)
    visitor.press("sd-stop")
    expect(visitor.find("sd-status")).to_contain_text("Stopped", timeout=PATIENCE)
    expect(neighbour.find("sd-status")).to_contain_text("1 picture in", timeout=PATIENCE)
    assert drawn(neighbour.pictures("sd-gallery", 1))


@pytest.mark.parametrize(
    ("title", "tab", "field", "value", "sentence"),
    [
        ("VAE", "vae", "seed", -1, "seed is -1, but must be a whole number from 0 to 4294967295"),
        ("GAN", "gan", "seed", 2**40, "but must be a whole number from 0 to 4294967295"),
        ("Stable Diffusion", "sd", "prompt", "x" * 10_000, "but may have at most 1000"),
    ],
)
def test_a_bad_value_shows_its_sentence(
    visitor: Visitor, title: str, tab: str, field: str, value: object, sentence: str
) -> None:
    visitor.open_tab(title)
    visitor.enter(f"{tab}-{field}", value)
    visitor.press(f"{tab}-generate")
    expect(visitor.find(f"{tab}-status").get_by_role("alert")).to_contain_text(
        sentence, timeout=PATIENCE
    )


def test_a_prompt_beyond_the_tokenizer_says_what_was_cut(visitor: Visitor) -> None:
    visitor.open_tab("Stable Diffusion")
    visitor.enter("sd-prompt", "a red 7 on a blue background " * 30)
    visitor.enter("sd-steps", 2)
    visitor.enter("sd-count", 1)
    visitor.generate("sd")
    expect(visitor.find("sd-status")).to_contain_text("was left out")


@pytest.mark.parametrize("visitor", [PHONE], indirect=True, ids=["390 px"])
def test_a_phone_never_scrolls_sideways(visitor: Visitor) -> None:
    for title, tab in zip(TABS, ("vae", "gan", "sd", "compare"), strict=True):
        visitor.open_tab(title)
        assert visitor.overflow() == 0, title
        if tab == "sd":
            visitor.enter("sd-steps", 2)
        if tab == "compare":
            visitor.enter("compare-count", 1)
        visitor.generate(tab)
        assert visitor.overflow() == 0, f"{title} with pictures"


@pytest.mark.parametrize("visitor", [DARK], indirect=True, ids=["dark"])
def test_dark_mode_is_dark_and_readable(visitor: Visitor) -> None:
    visitor.generate("vae")
    colours = visitor.page.evaluate(
        """() => [document.body, document.querySelector("#vae-status p")].map((element, k) => {
            const style = getComputedStyle(element);
            return (k ? style.color : style.backgroundColor).match(/[\\d.]+/g).map(Number);
        })"""
    )
    ground, ink = (sum(colour[:3]) / 3 for colour in colours)
    assert ground < 60
    assert ink > 150
    assert drawn(visitor.pictures("vae-gallery", 16))
