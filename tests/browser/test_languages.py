"""The page in another language, by a switch or by an address."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.visitor import CUT_OFF, Visitor

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


def test_the_switch_and_an_address_choose_the_language(browser: Browser, app_url: str):
    visitor = Visitor(browser.new_context(locale="en-US"), app_url)
    html, switch = visitor.page.locator("html"), visitor.find("language")
    expect(html).to_have_attribute("lang", "en")
    switch.select_option("zh-CN")
    expect(html).to_have_attribute("lang", "zh-CN")
    expect(visitor.page.get_by_role("tab", name="实验指南")).to_be_visible()
    visitor.page.reload()
    expect(html).to_have_attribute("lang", "zh-CN")
    visitor.page.goto(f"{app_url}?lang=en&tab=gan")
    expect(html).to_have_attribute("lang", "en")
    expect(visitor.page.get_by_role("tab", name="GAN", selected=True)).to_be_visible()
    assert [error for error in visitor.errors if not CUT_OFF.search(error)] == []
    visitor.context.close()
