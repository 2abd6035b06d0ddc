"""``/lesson``: what every page asks for, and what only a signed-in teacher may send. No component.

A teacher's page sends the key once, in a body, and is known by a token of its own from then on,
which it sends as ``Authorization: Bearer <token>``: no other site's page can, and no address or log
has either.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from genlab.requests import UserError
from genlab.serving.lesson import ENDED_BY_TEACHER
from genlab.serving.session_runs import Stopped
from genlab.ui.context import AppContext
from genlab.ui.first_runs import EVERYBODY
from genlab.ui.scripts import script_route
from genlab.ui.teacher.layout import SCRIPTS
from genlab.ui.teacher.room import open_actions, teachers_actions

MAX_BODY = 40_000  # bytes; an address in JSON
SIGNED_OUT = "You are not signed in as the teacher. Sign in with the key at the end of the page."
LOGIN = "Log in first."
FRESH = {"Cache-Control": "no-cache"}  # kept, but asked for anew each time

Action = Callable[[dict[str, Any], str], Awaitable[Any]]
"""Does what the body of a call says; with the token it came with. Returns JSON."""


def lesson_routes(context: AppContext) -> list[Route]:
    """The routes and scripts of a house with a teacher's key; none where there is no key."""
    if not context.teacher.has_key:
        return []
    actions = {"sign-in": _sign_in(context), **_at_once(open_actions(context))}
    guarded = _guarded(context) | _at_once(teachers_actions(context))

    async def state(request: Request) -> Response:
        if not may_come_in(request):
            return JSONResponse({"error": LOGIN}, 401)
        tag, body = context.lesson.state()
        headers = FRESH | {"ETag": tag}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(body, media_type="application/json", headers=headers)

    async def wall(request: Request) -> Response:
        if not may_come_in(request):
            return JSONResponse({"error": LOGIN}, 401)
        return JSONResponse(context.lesson.wall.posts(), headers={"Cache-Control": "no-store"})

    async def act(request: Request) -> Response:
        name, own = request.path_params["action"], _token(request)
        if not may_come_in(request):
            return JSONResponse({"error": LOGIN}, 401)
        if name in guarded and not context.lesson.is_teacher(own):
            return JSONResponse({"error": SIGNED_OUT}, 403)
        action = guarded.get(name) or actions.get(name)
        if action is None:
            return JSONResponse({"error": f"A lesson has no {name[:40]!r}."}, 404)
        try:
            return JSONResponse(await action(await _body(request), own))
        except UserError as error:
            return JSONResponse({"error": str(error)}, 400)

    return [
        Route("/lesson", state, methods=["GET"]),
        Route("/lesson/wall", wall, methods=["GET"]),
        Route("/lesson/{action}", act, methods=["POST"]),
        *map(script_route, SCRIPTS),
    ]


def may_come_in(request: Request) -> bool:
    """Whether a browser has logged in, where a login is set; Gradio asks only at its own routes."""
    app = request.app
    if getattr(app, "auth", None) is None:
        return True
    names = (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}")
    return any(request.cookies.get(name) in app.tokens for name in names)


def _sign_in(context: AppContext) -> Action:
    async def sign_in(given: dict[str, Any], own: str) -> Any:
        await context.teacher.check(str(given.get("key", "")), "lead the lesson")
        return {"token": context.lesson.sign_in(str(given.get("visitor", "")))}

    return sign_in


def _guarded(context: AppContext) -> dict[str, Action]:
    """What only the teacher may do, by name."""
    lesson, runs = context.lesson, context.runs

    async def sign_out(given: dict[str, Any], own: str) -> Any:
        lesson.sign_out(own)
        return {}

    async def show(given: dict[str, Any], own: str) -> Any:
        lesson.show(str(given.get("query", "")), bool(given.get("run")))
        return {}

    async def freeze(given: dict[str, Any], own: str) -> Any:
        lesson.freeze(bool(given.get("frozen")))
        return {}

    async def end(given: dict[str, Any], own: str) -> Any:
        lesson.end()
        return {}

    async def waiting(given: dict[str, Any], own: str) -> Any:
        now = time.monotonic()
        return [
            {
                "run": run.id,
                "visitor": 0 if run.owner.startswith(EVERYBODY) else lesson.number(run.account),
                "where": run.slot,
                "requests": run.open_jobs,
                "seconds": int(now - run.begun),
            }
            for run in runs.under_way()
        ]

    async def cancel(given: dict[str, Any], own: str) -> Any:
        wanted = [run for run in runs.under_way() if run.id == given.get("run")]
        for run in wanted:
            run.end(Stopped(ENDED_BY_TEACHER))
        return {"ended": len(wanted)}

    return {
        "sign-out": sign_out,
        "show": show,
        "freeze": freeze,
        "end": end,
        "waiting": waiting,
        "cancel": cancel,
    }


def _at_once(actions: Mapping[str, Callable[[dict[str, Any]], Any]]) -> dict[str, Action]:
    """Actions that wait for nothing and care for no token."""

    def made(action: Callable[[dict[str, Any]], Any]) -> Action:
        async def act(given: dict[str, Any], own: str) -> Any:
            return action(given)

        return act

    return {name: made(action) for name, action in actions.items()}


def _token(request: Request) -> str:
    return request.headers.get("authorization", "").removeprefix("Bearer ").strip()


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object of a call; raises UserError if it is none, or too long."""
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > MAX_BODY:
            raise UserError(f"This is more than {MAX_BODY} bytes.")
    try:
        given = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        raise UserError("This is not JSON.") from None
    if not isinstance(given, dict):
        raise UserError("This is no JSON object.")
    return given
