"""axe-core finds nothing on any tab or mode: with something drawn, and with a complaint."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.visitor import PATIENCE, Visitor

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

SIZES = {"laptop": (1440, 900), "phone": (390, 844), "phone on its side": (844, 390)}
LANGUAGES, THEMES = ("en", "zh-CN"), ("light", "dark")
DRAWN = ".go button.stop:visible:not([disabled])"  # of a run that is under way


def window(browser: Browser, url: str, theme: str, language: str, size: str) -> Visitor:
    """A visitor with a window of that size, theme and language."""
    width, height = SIZES[size]
    touch = "phone" in size
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=theme,  # type: ignore[arg-type]
        has_touch=touch, is_mobile=touch, reduced_motion="reduce",
    )  # fmt: skip
    visitor = Visitor(context, url)
    visitor.page.goto(f"{url}?lang={language}&__theme={theme}")
    visitor.page.get_by_role("tab").first.wait_for()
    expect(visitor.page.locator("html")).to_have_attribute("lang", language)
    return visitor


def places(page: Page) -> Iterator[str]:
    """Opens every mode of every tab in turn; how each is called."""
    tabs = page.locator("#tabs > .tab-wrapper [role=tab]:visible")
    for k in range(tabs.count()):
        tabs.nth(k).click()
        title = tabs.nth(k).inner_text()
        modes = page.locator(".modes > .tab-wrapper [role=tab]:visible")
        for n in range(max(1, modes.count())):
            if modes.count():
                modes.nth(n).click()
            yield f"{title}, {modes.nth(n).inner_text()}" if modes.count() else title


def drawn(page: Page) -> None:
    """Wait until what an open panel draws by itself is there."""
    page.get_by_role("tab").first.wait_for()
    page.wait_for_timeout(900)
    expect(page.locator(DRAWN)).to_have_count(0, timeout=PATIENCE)


def found(page: Page) -> list[str]:
    """What axe finds, a line each: rule, element, and what to do."""
    answer: dict[str, Any] = Axe().run(page, options={"resultTypes": ["violations"]}).response
    return [
        f"{rule['id']} ({rule['impact']}): {node['html'][:120]} {node['failureSummary'][:200]}"
        for rule in answer["violations"]
        for node in rule["nodes"]
    ]


def complaint(page: Page) -> Locator:
    return page.get_by_role("alert").filter(visible=True).first


def test_axe_finds_nothing_where_most_is_shown(browser, app_url) -> None:
    theme, language = "dark", "zh-CN"
    visitor = window(browser, app_url, theme, language, "phone")
    page, seen = visitor.page, []
    drawn(page)
    seen += found(page)
    page.goto(f"{app_url}?lang={language}&__theme={theme}&tab=compare")
    drawn(page)
    seen += found(page)
    page.goto(f"{app_url}?lang={language}&__theme={theme}&tab=gan")
    drawn(page)
    visitor.enter("gan-count", 0)
    page.locator("#gan-generate").click()
    expect(complaint(page)).to_be_visible()
    seen += found(page)
    visitor.context.close()
    assert seen == []


@pytest.mark.walk
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("theme", "language"), list(itertools.product(THEMES, LANGUAGES)))
def test_axe_finds_nothing_anywhere(browser, app_url, theme, language, size) -> None:
    visitor = window(browser, app_url, theme, language, size)
    seen = {}
    for place in places(visitor.page):
        drawn(visitor.page)
        if problems := found(visitor.page):
            seen[place] = problems
        assert visitor.overflow() == 0, f"{place} is wider than its window"
    visitor.context.close()
    assert seen == {}
