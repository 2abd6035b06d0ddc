"""The address in a real browser: it follows the page, leads back to it, and can be shared."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as trying
from hypothesis import strategies as st
from PIL import Image
from playwright.sync_api import Page, expect

from genlab.ui.state.address import Place, read, write
from genlab.ui.state.controls import Tab
from tests.browser.visitor import PATIENCE, Visitor
from tests.test_address import TABS, values_of

pytestmark = [pytest.mark.browser, pytest.mark.walk, pytest.mark.usefixtures("cut_off")]

WIDE = pytest.mark.parametrize(
    "visitor",
    [{"viewport": {"width": 1440, "height": 900}, "permissions": ["clipboard-read"]}],
    indirect=True,
)


def opened(visitor: Visitor, url: str, query: str) -> Page:
    """The page at an address, once it has gone there."""
    visitor.page.goto(f"{url}?{query}")
    visitor.page.get_by_role("tab").first.wait_for()
    return visitor.page


def until(page: Page, right: Callable[[], Any]) -> Any:
    """What ``right`` returns, as soon as it is true."""
    for _ in range(PATIENCE // 100):
        if found := right():
            return found
        page.wait_for_timeout(100)
    return right()


def query_of(page: Page) -> str:
    return page.evaluate("location.search")


def parts_of(page: Page) -> set[str]:
    return set(query_of(page)[1:].split("&"))


def number(visitor: Visitor, name: str) -> str:
    return visitor.find(name).locator("input[type=number]").first.input_value()


def test_the_address_follows_the_page_and_a_reload_leads_back(visitor: Visitor) -> None:
    page = visitor.page
    visitor.open_tab("VAE")
    visitor.enter("vae-temperature", "1.7")
    visitor.open_tab("Guidance")
    visitor.open_tab("Steps")
    visitor.enter("guidance-steps", "12")
    wanted = {"tab=guidance", "mode=steps", "steps=12", "vae.temperature=1.7"}
    assert until(page, lambda: parts_of(page) == wanted), query_of(page)
    page.reload()
    expect(visitor.find("guidance-ladder-generate")).to_be_visible()
    assert until(page, lambda: number(visitor, "guidance-steps") == "12")
    assert visitor.find("guidance-steps").locator("input[type=range]").input_value() == "12"
    visitor.open_tab("VAE")
    assert until(page, lambda: number(visitor, "vae-temperature") == "1.7")


def test_what_an_address_says_wrongly_is_told_and_what_is_right_is_done(
    visitor: Visitor, app_url: str
) -> None:
    page = opened(visitor, app_url, "tab=guidance&mode=scale&steps=500&eta=0.5&moon=full")
    note = visitor.find("address-note")
    expect(note).to_contain_text("steps is '500', but must be a whole number from 1 to 100.")
    expect(note).to_contain_text("The Guidance tab has no control called 'moon'.")
    assert until(page, lambda: number(visitor, "guidance-eta") == "0.5")
    assert number(visitor, "guidance-steps") == "50"
    wanted = {"tab=guidance", "mode=scale", "eta=0.5"}
    assert until(page, lambda: parts_of(page) == wanted), query_of(page)


def test_an_address_can_draw_at_once_and_a_reload_does_not_draw_again(
    visitor: Visitor, app_url: str
) -> None:
    page = opened(visitor, app_url, "tab=vae&mode=sample&count=4&seed=3&run=1")
    visitor.wait_until_done("vae")
    assert len(visitor.pictures("vae-gallery", 4)) == 4
    wanted = {"tab=vae", "mode=sample", "seed=3", "count=4"}
    assert until(page, lambda: parts_of(page) == wanted), query_of(page)


def test_an_experiment_goes_to_its_tab_sets_it_and_draws(visitor: Visitor) -> None:
    visitor.open_tab("GAN")
    visitor.enter("gan-count", "9")
    query = "tab=gan&checkpoint=dcgan-mnist-collapsed&timeline=1&run=1"
    visitor.page.evaluate(f"genlab.go({json.dumps(query)})")
    visitor.wait_until_done("gan")
    assert len(visitor.pictures("gan-gallery", 16)) == 16, "the count is its default again"
    expect(visitor.find("gan-moment")).to_contain_text("After 7,000 training steps")


def test_of_two_places_in_a_row_the_second_counts(visitor: Visitor) -> None:
    page = visitor.page
    page.wait_for_function("document.querySelector('#go')")
    first, second = "tab=vae&mode=sample", "tab=guidance&mode=steps&steps=7"
    page.evaluate(f"genlab.go({json.dumps(first)}); genlab.go({json.dumps(second)})")
    page.evaluate(f"genlab.go({json.dumps(first)})")
    page.wait_for_timeout(20)
    page.evaluate(f"genlab.go({json.dumps(second)})")
    wanted = {"tab=guidance", "mode=steps", "steps=7"}
    assert until(page, lambda: parts_of(page) == wanted), query_of(page)
    page.wait_for_timeout(1000)
    assert parts_of(page) == wanted


@st.composite
def typed(draw: st.DrawFn, tab: Tab) -> Place:
    """A place with values that a browser's boxes keep as they are."""
    mode = draw(st.sampled_from([*tab.modes])) if tab.modes else ""
    seen = [c for c in tab.controls if c.mode in ("", mode)]
    chosen = draw(st.lists(st.sampled_from(seen), unique_by=id, min_size=1))
    texts = st.text("aZ9 ü&=+%#?/,;'\"<>漢🎲", min_size=1, max_size=20).map(str.strip)
    values = {
        c.element: draw(texts if isinstance(c.default, str) and not c.choices else values_of(c))
        for c in chosen
        if c.name != "live"  # it would draw
    }
    return Place(tab.name, {tab.name: mode} if mode else {}, values)


@pytest.mark.parametrize(
    "tab", [tab for tab in TABS.values() if tab.controls], ids=lambda t: t.name
)
def test_the_browser_writes_every_tab_as_the_server_reads_it(visitor: Visitor, tab: Tab) -> None:
    page = visitor.page
    page.wait_for_function("document.querySelector('#go')")

    # no shrinking: a place that is not written back is waited for as long as PATIENCE
    @trying(
        max_examples=5, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
    )  # fmt: skip
    @given(place=typed(tab))
    def there_and_back(place: Place) -> None:
        page.evaluate(f"genlab.go({json.dumps(write(TABS, place))})")
        begin = _ordered({c.element: c.default for c in tab.controls})
        wanted = {k: v for k, v in _ordered(place.values).items() if v != begin[k]}
        other_modes = {  # which a place does not speak of: they stay as they were left
            c.element for c in tab.controls if c.mode not in ("", *place.modes.values())
        }

        def written() -> tuple[str, str | None, dict[str, Any]]:
            found = read(TABS, query_of(page))
            values = {k: v for k, v in found.values.items() if k not in other_modes}
            return found.tab, found.modes.get(tab.name), _ordered(values)

        there = place.tab, place.modes.get(tab.name), wanted
        assert until(page, lambda: written() == there), (written(), there)

    there_and_back()


def _ordered(values: dict[str, Any]) -> dict[str, Any]:
    """The values, those of several choices in one order."""
    return {k: sorted(v) if isinstance(v, (list, tuple)) else v for k, v in values.items()}


# --- sharing ----------------------------------------------------------------------------------


@WIDE
def test_the_open_mode_is_copied_as_a_link_shown_as_a_code_and_reset(visitor: Visitor) -> None:
    page = visitor.page
    visitor.open_tab("VAE")
    visitor.enter("vae-temperature", "0.5")
    visitor.open_tab("Guidance")
    visitor.enter("guidance-steps", "9")
    page.get_by_role("button", name="Copy link").click()
    expect(visitor.find("share")).to_contain_text("Link copied.")
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.endswith("/?tab=guidance&mode=side&steps=9"), "other tabs are not part of a link"
    page.get_by_role("button", name="QR code").click()
    code = page.get_by_role("dialog")
    expect(code).to_contain_text(link)
    assert until(page, lambda: code.locator("img").evaluate("image => image.naturalWidth")) > 20
    page.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Reset").click()
    assert until(page, lambda: number(visitor, "guidance-steps") == "50")
    visitor.open_tab("VAE")
    assert number(visitor, "vae-temperature") == "0.5", "another tab's settings stay"


def test_a_panel_can_stand_alone(visitor: Visitor, app_url: str) -> None:
    visitor.page.goto(f"{app_url}?embed=guidance-steps&steps=7")
    expect(visitor.find("guidance-ladder-generate")).to_be_visible()
    for hidden in ("header", "share"):
        expect(visitor.find(hidden)).to_be_hidden()
    expect(visitor.page.get_by_role("tab")).to_have_count(0)
    assert until(visitor.page, lambda: number(visitor, "guidance-steps") == "7")
    visitor.enter("guidance-steps", "8")
    assert until(visitor.page, lambda: query_of(visitor.page) == "?embed=guidance-steps&steps=8")


@WIDE
def test_what_is_shown_is_saved_as_picture_figures_and_archive(visitor: Visitor) -> None:
    page = visitor.page
    visitor.open_tab("VAE")
    visitor.enter("vae-count", "4")
    visitor.generate("vae")
    visitor.pictures("vae-gallery", 4)

    def saved(words: str) -> bytes:
        page.get_by_text("Export", exact=True).click()
        with page.expect_download() as download:
            page.get_by_role("button", name=words).click()
        page.get_by_text("Export", exact=True).click()
        return download.value.path().read_bytes()

    sheet = Image.open(io.BytesIO(saved("as PNG")))
    assert min(sheet.size) > 400
    assert len(set(sheet.convert("L").resize((64, 64)).getdata())) > 20, "there is something on it"
    rows = list(csv.DictReader(io.StringIO(saved("as CSV").decode("utf-8-sig"))))
    assert {"Sharpness", "FID"} <= {row["figure"] for row in rows}
    with zipfile.ZipFile(io.BytesIO(saved("as ZIP"))) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert {"vae-mnist-20d-42.png", "settings.txt", "figures.csv"} <= set(names)
        inside = Image.open(io.BytesIO(archive.read("vae-mnist-20d-42.png"))).info
        assert "genlab" in inside, "the recipe came along"
        assert "count 4" in archive.read("settings.txt").decode()
