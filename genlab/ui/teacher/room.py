"""What pages and the teacher send about the vote and the wall: checked, then said to the lesson."""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Callable, Mapping
from typing import Any

from genlab.requests import UserError
from genlab.serving.kept_runs import visitor_of
from genlab.serving.room import OVER, Vote
from genlab.ui.context import AppContext
from genlab.ui.picture_store import GONE, PREFIX

Given = Mapping[str, Any]
SLUG = re.compile(r"[a-z][a-z0-9-]{0,39}")  # of a tab or a mode, as an address has it
INSIDE, PNG = "data:image/png;base64,", b"\x89PNG\r\n\x1a\n"
MAX_INSIDE = 8_000  # bytes of a picture that came inside the page: digits, not photographs
LOST = "This page is not known as a visitor's: reload it."


def open_actions(context: AppContext) -> dict[str, Callable[[Given], Any]]:
    """What every page may send, by name."""
    lesson = context.lesson

    def vote(given: Given) -> Any:
        if lesson.vote is None or given.get("id") != lesson.vote.id:
            raise UserError(OVER)
        answers = given.get("answers")
        lesson.vote.answer(_account(given), answers if isinstance(answers, list) else [])
        return {}

    def post(given: Given) -> Any:
        place = {key: str(given.get(key) or "") for key in ("tab", "mode")}
        known = {key: text for key, text in place.items() if SLUG.fullmatch(text)}
        lesson.wall.put(_account(given), known, _pictures(context, given.get("pictures")))
        lesson.changed()
        return {}

    return {"vote": vote, "post": post}


def teachers_actions(context: AppContext) -> dict[str, Callable[[Given], Any]]:
    """What only the teacher may send, by name."""
    lesson = context.lesson

    def ask(given: Given) -> Any:
        columns = given.get("columns")
        if not isinstance(columns, list) or not all(isinstance(c, dict) for c in columns):
            raise UserError("columns must be a list of columns with title and pictures.")
        lesson.vote = Vote.on(
            [(str(c.get("title", "")), _compared(context, c.get("pictures"))) for c in columns],
            random.SystemRandom(),
        )
        lesson.changed()
        return {}

    def voters(given: Given) -> Any:
        return {"voters": len(lesson.vote.answers) if lesson.vote else 0}

    def reveal(given: Given) -> Any:
        if lesson.vote is not None:
            lesson.vote.revealed = True
            lesson.changed()
        return {}

    def end_vote(given: Given) -> Any:
        lesson.vote = None
        lesson.changed()
        return {}

    def wall(given: Given) -> Any:
        if given.get("open"):
            lesson.wall.open = True
        else:
            lesson.wall.clear()
        lesson.changed()
        return {}

    def take_down(given: Given) -> Any:
        lesson.wall.take_down(str(given.get("post", "")))
        lesson.changed()
        return {}

    return {
        "ask": ask,
        "voters": voters,
        "reveal": reveal,
        "end-vote": end_vote,
        "wall": wall,
        "take-down": take_down,
    }


def _account(given: Given) -> str:
    """Whose page it is; raises UserError for a page without a visitor."""
    account = visitor_of(str(given.get("visitor", "")))
    if not account:
        raise UserError(LOST)
    return account


def _compared(context: AppContext, given: Any) -> list[str]:
    """Addresses of a teacher's pictures; those inside the page itself, real ones, get one here."""
    held = given if isinstance(given, list) else []
    return _pictures(context, [_kept(context, one) for one in held])


def _kept(context: AppContext, address: Any) -> Any:
    if not isinstance(address, str) or not address.startswith(INSIDE):
        return address
    try:
        content = base64.b64decode(address[len(INSIDE) :], validate=True)
    except ValueError:
        return ""
    is_picture = content.startswith(PNG) and len(content) <= MAX_INSIDE
    return context.pictures.keep(content) if is_picture else ""


def _pictures(context: AppContext, given: Any) -> list[str]:
    """Addresses of pictures that are here; raises UserError for others."""
    if not isinstance(given, list):
        raise UserError("pictures must be a list of addresses of pictures.")
    for address in given:
        text = address if isinstance(address, str) else ""
        if not text.startswith(PREFIX) or context.pictures.get(text[len(PREFIX) :]) is None:
            raise UserError(GONE)
    return given
