"""What the buttons beside the tabs are served: the QR code of a link, and their scripts."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from genlab.ui.state.share import LONGEST, TOOLS, addresses, qr_svg, share_routes


@pytest.fixture
def browser() -> TestClient:
    return TestClient(Starlette(routes=share_routes()))


def test_a_link_becomes_a_code_that_names_nothing_but_its_squares(browser: TestClient) -> None:
    answer = browser.get("/qr.svg", params={"text": "http://lab:7860/?tab=vae&seed=3"})
    assert answer.headers["content-type"].startswith("image/svg+xml")
    assert answer.headers["cache-control"] == "no-store"
    drawing = ElementTree.fromstring(answer.content)
    kinds = {part.tag.rpartition("}")[2] for part in drawing.iter()}
    assert kinds <= {"svg", "path", "g"}
    assert b"lab:7860" not in answer.content


def test_another_link_is_another_code() -> None:
    assert qr_svg("http://lab/?a=1") != qr_svg("http://lab/?a=2")


@pytest.mark.parametrize("text", ["", "a" * (LONGEST + 1), "漢" * (LONGEST // 2)])
def test_a_link_that_no_phone_could_read_is_refused(browser: TestClient, text: str) -> None:
    answer = browser.get("/qr.svg", params={"text": text})
    assert answer.status_code == 400
    assert f"{LONGEST} characters" in answer.text
    assert browser.get("/qr.svg").status_code == 400


def test_the_longest_link_still_fits(browser: TestClient) -> None:
    assert browser.get("/qr.svg", params={"text": "漢" * (LONGEST // 3)}).status_code == 200
    assert browser.get("/qr.svg", params={"text": "a" * LONGEST}).status_code == 200


def test_every_script_that_the_page_names_is_served_for_every_button(browser: TestClient) -> None:
    scripts = "".join(browser.get(f"/{address}").text for address in addresses())
    for action in ("copy", "code", "reset", "png", "csv", "zip"):
        assert f'data-share="{action}"' in TOOLS
        assert f"{action}(bar)" in scripts or f"{action}:" in scripts or f"{action}()" in scripts
