"""Whether GenLab serves, for whoever watches it: ``/healthz``. Knows no driver and no page."""

from __future__ import annotations

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from genlab.serving.client import Client


def health_route(client: Client) -> Route:
    """``/healthz``: the client's figures as JSON, with status 503 while it is not healthy."""

    async def health(request: Request) -> JSONResponse:
        figures = client.figures()
        content = asdict(figures) | {"models": {k: dict(v) for k, v in figures.models.items()}}
        status = 200 if figures.healthy else 503
        return JSONResponse(content, status, headers={"Cache-Control": "no-store"})

    return Route("/healthz", health, methods=["GET"])
