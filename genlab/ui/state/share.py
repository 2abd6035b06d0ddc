"""Copy link, QR code, Reset, Present and Export of what is open, and what they are served.

Knows no tab.
"""

from __future__ import annotations

import io
from pathlib import Path

import segno
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from genlab.ui.scripts import script_address, script_route

LONGEST = 1200  # characters; a code of more is too fine for a phone at the back of the room
TOO_LONG = (
    f"This link has more than {LONGEST} characters, too many for a QR code: use Copy link, or a "
    "shorter prompt."
)
TOOLS = """<div class="share" role="group" aria-label="Share what is open">
<button type="button" data-share="copy">Copy link</button>
<button type="button" data-share="code">QR code</button>
<button type="button" data-share="reset">Reset</button>
<button type="button" data-share="present">Present</button>
<details><summary>Export</summary><div>
<button type="button" data-share="png">What is shown, as PNG</button>
<button type="button" data-share="csv">Figures, as CSV</button>
<button type="button" data-share="zip">Pictures with their recipes, as ZIP</button></div></details>
<span role="status"></span></div>
<div class="leave"><button type="button" data-leave>Leave the presenter view</button></div>
<dialog class="share-code" aria-label="QR code of this page"><img alt="QR code of the link below">
<p class="link"></p><p class="note" role="status"></p>
<form method="dialog"><button>Close</button></form></dialog>"""
"""The buttons; ``share.js`` listens to them."""


SCRIPTS = tuple(Path(__file__).with_name(name) for name in ("share.js", "export.js", "present.js"))


def addresses() -> list[str]:
    """The scripts that a page loads, each with the version that it has now."""
    return [script_address(path) for path in SCRIPTS]


def share_routes() -> list[Route]:
    """The scripts, and ``qr.svg?text=...``, the text as a QR code."""

    async def code(request: Request) -> Response:
        text = request.query_params.get("text", "")
        if not 0 < len(text.encode()) <= LONGEST:
            return PlainTextResponse(TOO_LONG, status_code=400)
        return Response(
            qr_svg(text), media_type="image/svg+xml", headers={"Cache-Control": "no-store"}
        )

    return [Route("/qr.svg", code), *map(script_route, SCRIPTS)]


def qr_svg(text: str) -> bytes:
    """A text as a QR code: SVG, dark on white with its quiet zone, as phones want it."""
    file = io.BytesIO()
    segno.make_qr(text, error="m", boost_error=False).save(
        file, kind="svg", border=4, dark="#000", light="#fff", svgclass=None, lineclass=None
    )
    return file.getvalue()
