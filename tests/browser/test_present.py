"""The presenter's view in a real browser: what is shown fills the page, and a way leads back."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import Visitor

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("cut_off")]


def test_presenting_shows_what_is_drawn_alone_and_large_and_leads_back(visitor: Visitor) -> None:
    page, pictures = visitor.page, visitor.find("vae-gallery").locator("img")
    visitor.generate("vae")
    before = pictures.first.bounding_box()
    visitor.enter("vae-seed", 7)
    page.get_by_role("button", name="Present", exact=True).click()
    leave = page.get_by_role("button", name="Leave the presenter view")
    expect(leave).to_be_focused()
    for name in ("header", "vae-seed", "vae-generate", "keys"):
        expect(visitor.find(name)).to_be_hidden()
    now = pictures.first.bounding_box()
    assert before is not None
    assert now is not None
    assert now["width"] > 1.2 * before["width"]
    assert visitor.overflow() == 0

    drawn = pictures.first.get_attribute("src")
    page.keyboard.press("Control+Enter")  # the button that nobody sees
    expect(pictures.first).not_to_have_attribute("src", str(drawn))

    page.reload()
    expect(leave).to_be_visible()
    leave.click()
    expect(visitor.find("header")).to_be_visible()
    assert "present" not in page.evaluate("location.search")
