"""The page as a Space shows it: in a frame of another site, with a theme in its address."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.browser.visitor import PATIENCE

pytestmark = pytest.mark.browser

OUTSIDE = "http://space.test/"
FRAME = "<body style='margin:0'><iframe src='{}' style='width:100%;height:800px;border:0'></iframe>"


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_in_a_frame_it_draws_obeys_the_theme_and_asks_nobody_else(
    browser: Browser, app_url: str, theme: str
) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 800})
    elsewhere: list[str] = []

    def outside(route: Route) -> None:
        if route.request.url == OUTSIDE:
            html = FRAME.format(f"{app_url}?__theme={theme}")
            route.fulfill(body=html, content_type="text/html")
        else:
            elsewhere.append(route.request.url)
            route.abort()

    context.route(lambda asked: not asked.startswith((app_url, "data:", "blob:")), outside)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(OUTSIDE)
    frame = page.frame_locator("iframe")
    frame.locator("#vae-generate").click()
    picture = frame.locator("#vae-gallery img").first
    expect(picture).to_be_visible(timeout=PATIENCE)
    # by its address, which needs no cookie: a frame of another site has none
    assert picture.evaluate("async image => (await image.decode(), image.naturalWidth)") > 0
    dark = frame.locator("body").evaluate("body => body.classList.contains('dark')")
    assert dark == (theme == "dark")
    sideways = "page => page.scrollWidth - page.clientWidth"
    assert frame.locator("html").evaluate(sideways) == 0
    assert elsewhere == []
    context.close()
