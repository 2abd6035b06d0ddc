"""The page's own scripts: where they are served, and the tags that load them. Knows none of them.

A script's address changes with its content, so a browser may keep it for a day.
"""

from __future__ import annotations

import hashlib
from functools import cache
from html import escape
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

KEPT = {"Cache-Control": "public, max-age=86400"}


@cache
def script_address(file: Path) -> str:
    """Where the page finds a script, from its own address, in the version that it has now."""
    return f"{file.name}?v={hashlib.sha256(file.read_bytes()).hexdigest()[:8]}"


def script_tag(file: Path, **data: str) -> str:
    """The tag for the document's head; ``data`` are its ``data-...`` attributes."""
    given = "".join(f' data-{name}="{escape(value)}"' for name, value in data.items())
    return f'<script defer src="./{script_address(file)}"{given}></script>'


def script_route(file: Path) -> Route:
    """What serves it."""

    async def script(_: Request) -> FileResponse:
        return FileResponse(file, media_type="text/javascript", headers=KEPT)

    return Route(f"/{file.name}", script)
