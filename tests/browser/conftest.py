"""Real Chromium for the browser tests: one browser a session, one fresh visitor a test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.visitor import CUT_OFF, Visitor

NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; skips where there is none, but never in continuous integration."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        why = "no Chromium here: `make chromium`, or sudo apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture
def visitor(browser: Browser, app_url: str, request: pytest.FixtureRequest) -> Iterator[Visitor]:
    """A fresh visitor before the VAE tab; an indirect parameter may change the browser's options.

    Fails the test if anything went wrong in the console.
    """
    options = {"viewport": {"width": 1280, "height": 900}} | getattr(request, "param", {})
    seen = Visitor(browser.new_context(**options), app_url)
    seen.open_tab("VAE")
    yield seen
    seen.context.close()
    assert seen.errors == [], "the browser's console shows errors"


@pytest.fixture
def cut_off(visitor: Visitor) -> Iterator[None]:
    """For tests that leave a page while it listens: what Gradio says of that is no fault."""
    yield
    visitor.errors[:] = [error for error in visitor.errors if not CUT_OFF.search(error)]


@pytest.fixture
def neighbour(browser: Browser, app_url: str) -> Iterator[Visitor]:
    """A second visitor, on another laptop."""
    seen = Visitor(browser.new_context(), app_url)
    seen.open_tab("VAE")
    yield seen
    seen.context.close()
