"""A page that goes and comes back: the run goes on, and nothing that was set or drawn is lost."""

from __future__ import annotations

import json
import re
import time
import urllib.request

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import PATIENCE, Visitor
from tests.conftest import RETURN_SECONDS

pytestmark = [pytest.mark.browser, pytest.mark.walk, pytest.mark.usefixtures("cut_off")]

LONG = "tab=stable-diffusion&mode=generate&steps=100&count=8&seed=7&run=1"


def begin(visitor: Visitor, url: str) -> None:
    """A run that takes a while, once it is on its way."""
    visitor.page.goto(f"{url}?{LONG}")
    expect(visitor.find("sd-status")).to_contain_text(re.compile(r"Step \d+"), timeout=PATIENCE)


def step(visitor: Visitor) -> int:
    found = re.search(r"Step (\d+) of 100", visitor.status("sd"))
    return int(found[1]) if found else 0


def test_a_reload_finds_the_run_where_it_is_and_then_its_result(
    visitor: Visitor, app_url: str
) -> None:
    begin(visitor, app_url)
    before = step(visitor)
    visitor.page.reload()
    expect(visitor.find("sd-status")).to_contain_text(
        re.compile(r"Step \d+|pictures in"), timeout=PATIENCE
    )
    assert step(visitor) >= before or "pictures in" in visitor.status("sd")
    expect(visitor.find("sd-steps").locator("input[type=number]").first).to_have_value("100")
    visitor.wait_until_done("sd")
    drawn = visitor.pictures("sd-gallery", 8)
    visitor.page.reload()
    visitor.wait_until_done("sd")
    assert visitor.pictures("sd-gallery", 8) == drawn


def test_a_network_that_was_gone_leaves_the_run_alone(visitor: Visitor, app_url: str) -> None:
    begin(visitor, app_url)
    visitor.context.set_offline(True)
    visitor.page.wait_for_timeout(4000)
    visitor.context.set_offline(False)
    expect(visitor.find("sd-status")).to_contain_text(re.compile(r"pictures in"), timeout=PATIENCE)
    assert len(visitor.pictures("sd-gallery", 8)) == 8


def test_stop_on_the_page_that_came_back_ends_the_run(visitor: Visitor, app_url: str) -> None:
    begin(visitor, app_url)
    visitor.page.reload()
    expect(visitor.find("sd-stop")).to_be_enabled(timeout=PATIENCE)
    visitor.press("sd-stop")
    expect(visitor.find("sd-status")).to_contain_text("Stopped", timeout=PATIENCE)


def test_a_page_that_does_not_come_back_frees_the_engine(
    visitor: Visitor, neighbour: Visitor, app_url: str
) -> None:
    begin(neighbour, app_url)
    left = time.monotonic()
    neighbour.page.close()
    while open_jobs(app_url) and time.monotonic() < left + RETURN_SECONDS + 60:
        time.sleep(0.5)
    assert open_jobs(app_url) == 0


def test_a_copy_of_a_tab_is_another_visitor(visitor: Visitor, app_url: str) -> None:
    token = "sessionStorage.getItem('genlab-token')"
    visitor.page.wait_for_function(token)
    mine = visitor.page.evaluate(token)
    copy = visitor.context.new_page()
    copy.add_init_script(
        f"if (!{token}) sessionStorage.setItem('genlab-token', {json.dumps(mine)})"
    )
    copy.goto(app_url)
    copy.wait_for_function(f"{token} && {token} !== {json.dumps(mine)}")
    visitor.page.reload()
    visitor.page.wait_for_function(token)
    assert visitor.page.evaluate(token) == mine


def open_jobs(url: str) -> int:
    with urllib.request.urlopen(f"{url}healthz", timeout=10) as answer:
        return json.load(answer)["open_jobs"]
