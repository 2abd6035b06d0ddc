"""The page in another language, by a switch or by an address."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.visitor import CUT_OFF, Visitor

MIXED = """() => {
  const untouched = "script, style, textarea, code, kbd, pre, [translate=no], .katex";
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const { data, parentElement } = walker.currentNode;
    if (parentElement.closest(untouched) || !/[\u4e00-\u9fff]/.test(data)) continue;
    if (/(?:\\b[A-Za-z]{2,}\\b,? ){3,}/.test(data)) found.push(data.trim());
  }
  return found;
}"""
"""Texts of the page that are Chinese and also have four English words in a row."""

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


def test_no_sentence_is_half_translated(browser: Browser, app_url: str):
    visitor = Visitor(browser.new_context(locale="zh-CN"), app_url)
    names = ["guide", "vae", "gan", "latents", "guidance", "stable-diffusion", "compare", "train"]
    for number, tab in enumerate(names):
        visitor.page.goto(f"{app_url}?lang=zh-CN&tab={tab}")
        opened = visitor.page.get_by_role("tab").nth(number)
        expect(opened).to_have_attribute("aria-selected", "true")
        expect(visitor.page.locator("html")).to_have_attribute("lang", "zh-CN")
        visitor.wait_until_quiet()
        assert visitor.page.evaluate(MIXED) == [], tab
    visitor.context.close()


def test_a_place_of_an_entry_takes_no_other_sentence_in(browser: Browser, app_url: str):
    """The footnote of Compare: `{words}, t = {t}` or the like once took in all of it."""
    visitor = Visitor(browser.new_context(locale="zh-CN"), app_url)
    visitor.page.goto(f"{app_url}?lang=zh-CN")
    expect(visitor.page.get_by_role("tab", name="实验指南")).to_be_visible()
    known = "Sharpness and diversity are shares of real pictures'."
    visitor.page.evaluate(
        """text => {
          const p = document.createElement("p");
          p.id = "probe";
          p.textContent = text;
          document.body.append(p);
        }""",
        f"{known} Nobody has translated this. {known}",
    )
    probe = visitor.page.locator("#probe")
    own = "清晰度和多样性都是相对于真实图片的比例。"
    expect(probe).to_have_text(f"{own} Nobody has translated this. {own}")
    visitor.context.close()
