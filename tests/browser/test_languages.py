"""The page in another language: all of it, by the browser's choice, a switch, or an address."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.visitor import Visitor

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

CHINESE = {"locale": "zh-CN", "viewport": {"width": 1440, "height": 900}}
NAMES = """
    VAE GAN MNIST Fashion-MNIST KL FID DDIM DDPM DPM Euler PNDM UNet ELBO CFG Adam Toybox Stable
    Diffusion GenLab LoRA PNG CSV ZIP CPU PyTorch diffusers sigmoid log eta dpmpp-2m ms Ctrl Enter
    Esc Home End Tab state dict hub MB Toy DCGAN euler-ancestral ddim ddpm euler processing org name
""".split()  # noqa: SIM905
"""What is called the same in every language: names, and the code of settings."""
PROMPTS = re.compile(r"(on|above) an? |^red 7|0…9|oil painting|in a storm")
"""Prompts: what Toybox and the real models read is English."""


@pytest.mark.parametrize("visitor", [CHINESE], indirect=True)
def test_every_tab_and_mode_is_in_the_browsers_language(visitor: Visitor):
    page = visitor.page
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    english: dict[str, str] = {}

    def look(where: str) -> None:
        page.wait_for_timeout(700)
        for text in page.evaluate("names => genlabUntranslated(names)", NAMES):
            if not PROMPTS.search(text):
                english.setdefault(text, where)

    for tab in page.locator("#tabs > .tab-wrapper [role=tab]").all():
        tab.click()
        look(tab.inner_text())
        for mode in page.locator(".modes:visible > .tab-wrapper [role=tab]").all():
            mode.click()
            look(f"{tab.inner_text()} > {mode.inner_text()}")
    page.locator("#tabs > .tab-wrapper [role=tab]").first.click()
    for question in page.locator("nav [data-go]").all():
        question.click()
        page.locator("input[name^=guide-choice]:visible").first.check()
        page.locator("[data-reveal]:visible").click()
        look(question.inner_text())
    assert english == {}


@pytest.mark.parametrize("visitor", [CHINESE], indirect=True)
def test_a_run_and_its_errors_are_told_in_the_browsers_language(visitor: Visitor):
    visitor.open_tab("VAE")
    visitor.enter("vae-count", 4)
    visitor.press("vae-generate")
    expect(visitor.find("vae-status")).to_contain_text(re.compile("^4 张图片，用时"))
    visitor.enter("vae-count", 400)
    visitor.press("vae-generate")
    expect(visitor.find("vae-status")).to_contain_text("必须是 1 到 64 的整数")


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
    assert visitor.errors == []
    visitor.context.close()
