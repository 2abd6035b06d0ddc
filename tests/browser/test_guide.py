"""The lab guide as a student walks it: predict, run, look, come back, reveal."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from genlab.ui.tabs.guide.steps import STEPS, GuideStep
from genlab.ui.tabs.guide.words import guide_words
from tests.browser.visitor import PATIENCE, Visitor

pytestmark = [pytest.mark.browser, pytest.mark.walk, pytest.mark.timeout(900)]

WORDS = guide_words()
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
SHOWN = "img, .step-image, .js-plotly-plot, svg"
RAN = {
    "en": re.compile(r"^(?!.*Drawn once).*(pictures? in|steps?)", re.S),
    "zh-CN": re.compile(r"^(?!.*画一次).*(张图片，用时|步)", re.S),
}


def open_guide(visitor: Visitor, language: str = "en") -> Page:
    """The guide as a cold page shows it."""
    page = visitor.page
    page.goto(f"{page.url.partition('?')[0]}?lang={language}")
    visitor.errors.clear()  # of the page that was left in the middle of its own opening
    visitor.find("guide-list").wait_for()
    expect(page.locator("html")).to_have_attribute("lang", language)
    return page


@pytest.mark.parametrize("language", RAN)
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.key)
def test_predict_run_come_back_and_reveal(visitor: Visitor, step: GuideStep, language: str) -> None:
    words = guide_words(language)
    page = open_guide(visitor, language)
    own = words.steps[step.key]
    expect(visitor.find("guide-list")).to_contain_text(own.title.replace("`", ""))
    page.locator(f"#guide-list [data-go={step.key}]").click()
    asking = visitor.find(f"guide-{step.key}-asking")
    expect(visitor.find(f"guide-{step.key}-pictures").locator("img").first).to_be_visible(
        timeout=PATIENCE
    )
    asking.get_by_role("radio").nth(step.right).check()
    for k, experiment in enumerate(step.experiments):
        button = asking.locator(f"[data-run='{k}']")
        button.scroll_into_view_if_needed()
        page.wait_for_timeout(100)
        before = page.evaluate("scrollY")
        button.click()
        run_is_seen(page, experiment.tab, RAN[language])
        visitor.find("guide-return").get_by_role("button").click()
        expect(button).to_be_visible()
        page.wait_for_function("y => Math.abs(scrollY - y) < 3", arg=before)
        expect(visitor.find("guide-return")).to_have_count(0)
    expect(visitor.find(f"guide-{step.key}-answer")).to_be_hidden()
    asking.get_by_role("button", name=words.page["reveal_button"]).click()
    expect(asking).to_contain_text(words.page["agreed"])
    expect(visitor.find(f"guide-{step.key}-answer").locator(".katex").first).to_be_visible()
    expect(visitor.find(f"guide-{step.key}-answer").locator(".katex-error")).to_have_count(0)
    expect(visitor.find(f"guide-{step.key}-code").locator("pre").first).to_be_visible()


def run_is_seen(page: Page, tab: str, ran: re.Pattern[str] = RAN["en"]) -> None:
    """Wait until the tab is open, its run has ended or gone on for a while, and it shows it."""
    expect(page.locator(f"#tabs [data-tab-id='{tab}']")).to_have_attribute("aria-selected", "true")
    status = page.locator(".status:visible").first
    expect(status).to_contain_text(ran, timeout=PATIENCE)
    if tab == "train":
        page.locator("#train-stop").click()
    else:
        expect(page.locator("button[id$=-stop]:visible").first).to_be_disabled(timeout=PATIENCE)
    expect(page.locator(SHOWN).locator("visible=true").first).to_be_visible()


def test_what_was_predicted_and_revealed_is_there_after_a_reload(visitor: Visitor) -> None:
    page = open_guide(visitor)
    wrong = next(k for k in range(4) if k != STEPS[0].right)
    asking = visitor.find("guide-blur-asking")
    asking.get_by_role("button", name=WORDS.page["reveal_button"]).click()
    expect(asking.get_by_role("alert")).to_have_text(WORDS.page["first"])
    expect(visitor.find("guide-blur-answer")).to_be_hidden()
    asking.get_by_role("radio").nth(wrong).check()
    asking.get_by_role("button", name=WORDS.page["reveal_button"]).click()
    page.reload()
    expect(visitor.find("guide-list")).to_contain_text(f"1 of {len(STEPS)} done")
    expect(visitor.find("guide-blur-answer")).to_be_visible()
    expect(asking.get_by_role("radio").nth(wrong)).to_be_checked()
    expect(asking.get_by_role("radio").first).to_be_disabled()
    expect(asking).to_contain_text(WORDS.steps["blur"].choices[wrong])
    page.get_by_role("button", name=WORDS.page["forget"]).click()
    expect(visitor.find("guide-list")).to_contain_text(f"0 of {len(STEPS)} done")
    expect(visitor.find("guide-blur-answer")).to_be_hidden()


def test_a_link_to_one_question_opens_it(visitor: Visitor) -> None:
    visitor.page.locator("[data-tab-id=lab-guide]").click()
    visitor.page.locator("#guide-list [data-go=collapse]").click()
    link = visitor.page.url
    assert link.endswith("#guide-collapse")
    visitor.page.evaluate("localStorage.clear()")
    visitor.page.goto("about:blank")
    visitor.page.goto(link)
    expect(visitor.find("guide-collapse").get_by_role("heading", level=2)).to_be_visible()


def test_a_question_is_answered_by_keyboard_alone(visitor: Visitor) -> None:
    page = open_guide(visitor)
    second = page.locator(f"#guide-list [data-go={STEPS[1].key}]")
    second.focus()
    page.keyboard.press("Enter")
    expect(visitor.find(f"guide-{STEPS[1].key}").get_by_role("heading", level=2)).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    asking = visitor.find(f"guide-{STEPS[1].key}-asking")
    expect(asking.get_by_role("radio").nth(1)).to_be_checked()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("'reveal' in document.activeElement.dataset"):
            break
    page.keyboard.press("Enter")
    expect(visitor.find(f"guide-{STEPS[1].key}-answer")).to_be_visible()


@pytest.mark.parametrize("visitor", [PHONE], indirect=True, ids=["390 px"])
def test_the_guide_fits_a_phone(visitor: Visitor) -> None:
    page = open_guide(visitor)
    for step in STEPS:
        page.locator(f"#guide-list [data-go={step.key}]").click()
        asking = visitor.find(f"guide-{step.key}-asking")
        asking.get_by_role("radio").first.check()
        asking.get_by_role("button", name=WORDS.page["reveal_button"]).click()
        expect(visitor.find(f"guide-{step.key}-answer")).to_be_visible()
        assert visitor.overflow() == 0, step.key
        for button in asking.get_by_role("button").all():
            if button.is_visible():
                assert (button.bounding_box() or {"height": 0})["height"] >= 44


def test_each_tab_opens_with_a_picture_that_is_said_to_be_everybodys(visitor: Visitor) -> None:
    visitor.open_tab("GAN")
    expect(visitor.find("gan-status")).to_contain_text("Drawn once for everybody", timeout=PATIENCE)
    assert len(visitor.pictures("gan-gallery", 16)) == 16
    visitor.enter("gan-count", 4)
    visitor.generate("gan")
    assert len(visitor.pictures("gan-gallery", 4)) == 4
    visitor.open_tab("VAE")
    visitor.open_tab("GAN")
    visitor.page.wait_for_timeout(500)
    assert len(visitor.pictures("gan-gallery", 4)) == 4
    expect(visitor.find("gan-status")).not_to_contain_text("Drawn once")
