"""The page as a Space shows it: in a frame of another site, with a theme in its address."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.visitor import PATIENCE

pytestmark = pytest.mark.browser

FRAME = "<body style='margin:0'><iframe src='{}' style='width:100%;height:800px;border:0'></iframe>"


@pytest.fixture
def framed(app_url: str) -> Iterator[str]:
    """The address of another site, to which a theme is added; it frames the app."""

    class Outside(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            theme = self.path.strip("/")
            self.wfile.write(FRAME.format(f"{app_url}?__theme={theme}").encode())

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Outside)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}/"  # the app's site is 127.0.0.1
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_in_a_frame_it_draws_obeys_the_theme_and_asks_nobody_else(
    browser: Browser, app_url: str, framed: str, theme: str
) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 800})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(framed + theme)
    frame = page.frame_locator("iframe")
    frame.get_by_role("tab", name="VAE", exact=True).click()
    frame.locator("#vae-generate").click()
    picture = frame.locator("#vae-gallery img").first
    expect(picture).to_be_visible(timeout=PATIENCE)
    # by its address, which needs no cookie: a frame of another site has none
    assert picture.evaluate("async image => (await image.decode(), image.naturalWidth)") > 0
    dark = frame.locator("body").evaluate("body => body.classList.contains('dark')")
    assert dark == (theme == "dark")
    sideways = "page => page.scrollWidth - page.clientWidth"
    assert frame.locator("html").evaluate(sideways) == 0
    own = (app_url, framed, "data:", "blob:")
    assert [url for url in asked if not url.startswith(own)] == []
    context.close()
