"""What a browser loads beside Gradio's page: the document's head, its icon and script.

Gradio sends its document uncompressed, and to a chat that shows a shared link it speaks of Gradio.
Knows no tab and no model.
"""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

from gradio.route_utils import get_root_url
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genlab.ui.scripts import KEPT, script_route, script_tag

TITLE = "GenLab"
TAGLINE = "Why VAEs blur, why GANs collapse, what guidance does"
DESCRIPTION = (
    "A lab for teaching generative models, live in the browser: VAEs, GANs, pixel diffusion and "
    "Stable Diffusion side by side, from one seed, for a whole class at once."
)
STATIC = Path(__file__).with_name("static")
FAVICON = STATIC / "favicon.png"
SOCIAL = STATIC / "social.png"
SOCIAL_SIZE = (1200, 630)
SCRIPT = Path(__file__).with_name("access.js")

COMPRESSION = 6
"""Level of gzip. At 9 the document is 1 % smaller and takes twice the time."""
UNTOUCHED = (
    *DEFAULT_EXCLUDED_CONTENT_TYPES,
    "text/css",
    "text/javascript",
    "application/javascript",
)
"""Event streams must not wait for a buffer; scripts and styles are compressed by Gradio itself."""

_SHARED = re.compile(rb'\s*<meta\s+(?:property|name)="(?:og|twitter):[^>]*>')
_HEAD = b"<head>"


def document_routes() -> list[Route]:
    """The page's own script, and the picture that stands for it where a link is shared."""

    async def social(_: Request) -> FileResponse:
        return FileResponse(SOCIAL, headers=KEPT)

    return [Route(f"/{SOCIAL.name}", social), script_route(SCRIPT)]


def document_middleware(root_path: str) -> list[Middleware]:
    """What writes the document's head, and compresses what is text and no stream.

    Args:
        root_path: where a reverse proxy shows GenLab; "" for the top of its site.
    """
    return [
        Middleware(
            GZipMiddleware,
            minimum_size=1000, compresslevel=COMPRESSION, exclude_content_types=UNTOUCHED,
        ),
        Middleware(OwnHead, root_path=root_path),
    ]  # fmt: skip


class OwnHead:
    """Gives Gradio's document GenLab's title, description and picture."""

    def __init__(self, app: ASGIApp, root_path: str = "") -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        parts: list[bytes] = []

        async def with_own_head(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_html(message):
                start = message
            elif start is not None and message["type"] == "http.response.body":
                parts.append(message.get("body", b""))
                if message.get("more_body"):
                    return
                body = rewritten(b"".join(parts), self._address(scope))
                MutableHeaders(raw=start["headers"])["Content-Length"] = str(len(body))
                await send(start)
                await send({"type": "http.response.body", "body": body})
            else:
                await send(message)

        await self._app(scope, receive, with_own_head)

    def _address(self, scope: Scope) -> str:
        root_path = self._root_path or scope.get("root_path") or None
        return get_root_url(Request(scope), "/", root_path)


def rewritten(document: bytes, address: str) -> bytes:
    """Gradio's document with GenLab's own head; any other HTML as it is.

    Args:
        document: HTML.
        address: of the page, without a slash at its end; a chat wants whole addresses.
    """
    if b"<gradio-app" not in document:
        return document
    head, body, rest = document.partition(b"</head>")
    head = _SHARED.sub(b"", head).replace(b'href="/manifest.json"', b'href="./manifest.json"')
    return head.replace(_HEAD, _HEAD + own_head(address).encode(), 1) + body + rest


def own_head(address: str) -> str:
    """The tags that say what GenLab is: for browsers, search engines and chats."""
    url, (width, height) = escape(address), SOCIAL_SIZE
    named = {"description": DESCRIPTION, "theme-color": "#4f46e5"}
    named |= {"twitter:card": "summary_large_image"}
    shared = {
        "og:type": "website",
        "og:site_name": TITLE,
        "og:title": f"{TITLE}: {TAGLINE[0].lower()}{TAGLINE[1:]}",
        "og:description": DESCRIPTION,
        "og:url": f"{url}/",
        "og:image": f"{url}/{SOCIAL.name}",
        "og:image:width": str(width),
        "og:image:height": str(height),
        "og:image:alt": "Digits and garments that GenLab's models have drawn",
    }
    tags = [f'<meta name="{name}" content="{text}" />' for name, text in named.items()]
    tags += [f'<meta property="{name}" content="{text}" />' for name, text in shared.items()]
    tags += [
        '<link rel="icon" type="image/png" href="./favicon.ico" />',
        script_tag(SCRIPT),
    ]
    return "\n".join(["", f"<title>{TITLE}</title>", *tags])


def _is_html(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    kind = headers.get("content-type", "")
    return kind.startswith("text/html") and "content-encoding" not in headers
