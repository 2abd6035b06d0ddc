"""The strip at the top of the page: what draws here, how busy it is, and the choice of language.

A script of the page asks for the two every few seconds, of a route that costs a tenth of what an
event of Gradio does: two hundred open pages ask forty times a second.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from genlab.ui.components.progress import plural
from genlab.ui.context import AppContext
from genlab.ui.scripts import script_route

SCRIPT = Path(__file__).with_name("header.js")


def status(context: AppContext) -> dict[str, str]:
    """``device`` and ``queue``, as the page shows them."""
    figures = context.client.figures()
    count = figures.open_jobs
    return {
        "device": figures.device.upper() or "Starting",
        "queue": f"{count} {plural(count, 'request')} running" if count else "idle",
    }


def header(context: AppContext, title: str, tagline: str) -> str:
    """The strip as HTML, as it stands when the page is sent."""
    items = "".join(f'<li id="{k}">{escape(v)}</li>' for k, v in status(context).items())
    return (
        f"<header><h1>{title}</h1><p>{tagline}</p><ul>{items}</ul>"
        '<select id="language" aria-label="Language" translate="no"></select></header>'
    )


def header_routes(context: AppContext) -> list[Route]:
    """What the strip's script asks for, and the script."""

    async def now(_: Request) -> JSONResponse:
        return JSONResponse(status(context), headers={"Cache-Control": "no-store"})

    return [Route("/status", now), script_route(SCRIPT)]
