"""The document's head and its way to the browser: small, ours, and never in the way of a stream."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator

import httpx
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from genlab.ui.document import (
    DESCRIPTION,
    FAVICON,
    SOCIAL,
    SOCIAL_SIZE,
    document_middleware,
    document_routes,
    own_head,
    rewritten,
)

GRADIOS = (
    '<!doctype html><html><head><meta charset="utf-8" /><meta property="og:title" '
    'content="Gradio" /><meta\n\tproperty="og:image"\n\tcontent="https://raw.example/a.jpg"\n/>'
    '<meta name="twitter:creator" content="@Gradio" /><link rel="manifest" href="/manifest.json" />'
    "</head><body><gradio-app></gradio-app><p>og:title</p></body></html>"
)
LONG = "digits " * 1000


async def document(_: Request) -> Response:
    return HTMLResponse(GRADIOS.replace("</p>", LONG + "</p>"))


async def other(_: Request) -> Response:
    return HTMLResponse("<html><head></head><body>a file</body></html>")


async def script(_: Request) -> Response:
    return PlainTextResponse(LONG, media_type="text/javascript")


@pytest.fixture
def app() -> Starlette:
    return Starlette(
        routes=[Route("/", document), Route("/other", other), Route("/a.js", script)]
        + document_routes(),
        middleware=document_middleware(""),
    )


def get(app: Starlette, path: str, **headers: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="https://lab.example") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(ask())


def test_the_document_says_what_genlab_is_and_nothing_of_gradio(app: Starlette) -> None:
    page = get(app, "/").text
    assert f'<meta name="description" content="{DESCRIPTION}" />' in page
    assert 'content="https://lab.example/social.png"' in page
    assert "<title>GenLab</title>" in page
    assert "Gradio" not in page
    assert "raw.example" not in page
    assert 'href="./manifest.json"' in page, "it works under a path of a site"
    assert page.count('property="og:title"') == 1


def test_a_host_that_a_caller_makes_up_stays_text() -> None:
    assert '"><script>' not in own_head('https://a"><script>')


def test_html_that_is_not_the_page_is_left_alone(app: Starlette) -> None:
    assert get(app, "/other").text == "<html><head></head><body>a file</body></html>"
    assert rewritten(b"<p>", "https://lab.example") == b"<p>"


def test_the_document_is_compressed_for_who_takes_it(app: Starlette) -> None:
    packed = get(app, "/", **{"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < len(packed.content) / 3
    plain = get(app, "/", **{"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == packed.content


def test_scripts_are_left_to_gradios_own_compression(app: Starlette) -> None:
    assert "content-encoding" not in get(app, "/a.js", **{"Accept-Encoding": "gzip"}).headers


async def test_an_event_stream_is_neither_compressed_nor_kept_back() -> None:
    go_on = asyncio.Event()

    async def events(_: Request) -> Response:
        async def stream() -> AsyncIterator[str]:
            yield "data: " + "first " * 500 + "\n\n"
            await go_on.wait()
            yield "data: second\n\n"

        return StreamingResponse(stream(), media_type="text/event-stream")

    app = Starlette(routes=[Route("/events", events)], middleware=document_middleware(""))
    sent: list[bytes] = []
    begun = asyncio.Event()
    scope = {
        "type": "http", "method": "GET", "path": "/events", "query_string": b"", "root_path": "",
        "headers": [(b"accept-encoding", b"gzip"), (b"host", b"lab")], "asgi": {"version": "3.0"},
        "http_version": "1.1", "scheme": "http", "server": ("lab", 80), "client": ("me", 1),
    }  # fmt: skip

    async def receive() -> dict:
        await asyncio.Event().wait()
        return {}

    async def send(message) -> None:
        if message["type"] == "http.response.body" and message["body"]:
            sent.append(message["body"])
            begun.set()

    answering = asyncio.create_task(app(scope, receive, send))  # pyright: ignore
    await asyncio.wait_for(begun.wait(), 10)
    assert sent == [b"data: " + b"first " * 500 + b"\n\n"], "whole and at once, not as gzip"
    with pytest.raises(OSError, match="gzip"):
        gzip.decompress(sent[0])
    go_on.set()
    await asyncio.wait_for(answering, 10)
    assert sent[1:] == [b"data: second\n\n"]


def test_icon_and_social_picture_are_shipped_and_small() -> None:
    with Image.open(FAVICON) as icon:
        assert icon.size == (192, 192)
    with Image.open(SOCIAL) as picture:
        assert picture.size == SOCIAL_SIZE
    assert FAVICON.stat().st_size < 10_000
    assert SOCIAL.stat().st_size < 200_000
