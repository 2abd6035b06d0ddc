"""Whether GenLab serves, for whoever watches it: ``/healthz``. Knows no driver and no page."""

from __future__ import annotations

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from genlab.serving.client import Client
from genlab.serving.loop_lag import LoopLag


def health_route(client: Client, lag: LoopLag) -> Route:
    """``/healthz``: the client's figures as JSON, with status 503 while it is not healthy.

    With them goes how late the event loop was in the last minute, or in the last ``?seconds=``.
    """

    async def health(request: Request) -> JSONResponse:
        figures = client.figures()
        content = asdict(figures) | {"models": {k: dict(v) for k, v in figures.models.items()}}
        seconds = request.query_params.get("seconds", "60")
        content["loop_lag_seconds"] = lag.figures(int(seconds) if seconds.isdigit() else 60)
        status = 200 if figures.healthy else 503
        return JSONResponse(content, status, headers={"Cache-Control": "no-store"})

    return Route("/healthz", health, methods=["GET"])
