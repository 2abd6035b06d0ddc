"""The lesson of a house with a teacher's key: what is shown, whether pages are held, vote, wall.

All of it is in memory, and gone when the lesson ends: by the teacher, or by itself when none of the
teacher's pages has given a sign for a while. Open pages ask for it every few seconds, so it is one
small JSON that is written once a change. For one event loop; knows no page, no model and no driver.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from genlab.requests import UserError
from genlab.serving.kept_runs import visitor_of
from genlab.serving.room import Vote, Wall

MAX_TEACHERS = 16  # pages that are signed in; a new one takes the place of the oldest
MAX_NUMBERED = 4000  # visitors that have a number in the list of runs
MAX_QUERY = 16_000  # characters of what is shown, as of any address
HELD_SECONDS = 600.0  # without a sign of the teacher; then held pages are let go
LESSON_SECONDS = 3 * 3600.0  # the same for the lesson

HELD = "Your teacher has paused all pages. Nothing is drawn until they go on."
ENDED_BY_TEACHER = "Your teacher has ended this run."


class Lesson:
    """One lesson at a time.

    Args:
        clock: seconds that only grow.

    Attributes:
        shown: what the teacher shows: ``id``, ``query`` and ``run``; None before anything.
        frozen: whether the pages of all others are held.
        vote: the one that is on, or None; whoever changes it says ``changed()``.
        wall: of the class's pictures; the same.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.shown: dict[str, Any] | None = None
        self.frozen = False
        self.vote: Vote | None = None
        self.wall = Wall()
        self._clock = clock
        self._sign = clock()
        self._teachers: OrderedDict[str, str] = OrderedDict()  # visitors by hashed token
        self._numbers: OrderedDict[str, int] = OrderedDict()  # of visitors, in the list of runs
        self._body = b""
        self._tag = ""

    def sign_in(self, token: str) -> str:
        """A page has shown the key; what it says it by from now on.

        Args:
            token: whose page it is; what the teacher draws is not held.
        """
        own = secrets.token_urlsafe(32)
        self._teachers[_hashed(own)] = visitor_of(token)
        while len(self._teachers) > MAX_TEACHERS:
            self._teachers.popitem(last=False)
        self._sign = self._clock()
        return own

    def is_teacher(self, own: str) -> bool:
        """Whether a page has signed in by this; a sign that the teacher is there."""
        known = _hashed(own) in self._teachers
        if known:
            self._expire()
            self._sign = self._clock()
        return known

    def sign_out(self, own: str) -> None:
        """Forget that a page has signed in."""
        self._teachers.pop(_hashed(own), None)

    def show(self, query: str, run: bool) -> None:
        """Let all pages that follow go where a query says, and press the button there if asked.

        Raises UserError for what is no query of a page.
        """
        if not query or len(query) > MAX_QUERY:
            raise UserError(
                f"What is to be shown has {len(query)} characters, but must have 1 to {MAX_QUERY}."
            )
        self.shown = {"id": secrets.token_hex(6), "query": query, "run": run}
        self._body = b""

    def freeze(self, frozen: bool) -> None:
        """Hold the pages of all others, or let them go on."""
        self.frozen = frozen
        self._body = b""

    def admit(self, account: str) -> None:
        """Return if this visitor may begin a run; raises UserError while pages are held."""
        self._expire()
        if self.frozen and (not account or account not in self._teachers.values()):
            raise UserError(HELD)

    def number(self, account: str) -> int:
        """What a visitor is called in the list of runs: nobody's name, and the same all lesson."""
        if account not in self._numbers:
            last = next(reversed(self._numbers.values()), 0)
            self._numbers[account] = last + 1
            if len(self._numbers) > MAX_NUMBERED:
                self._numbers.popitem(last=False)
        return self._numbers[account]

    def end(self) -> None:
        """Let go of everything; whoever is signed in stays so."""
        self.shown, self.frozen, self.vote = None, False, None
        self.wall.clear()
        self._numbers.clear()
        self._body = b""

    def state(self) -> tuple[str, bytes]:
        """What every page may know, as JSON, and a tag that changes with it."""
        self._expire()
        if not self._body:
            known = {
                "shown": self.shown,
                "frozen": self.frozen,
                "vote": self.vote and self.vote.public(),
                "wall": self.wall.public(),
            }
            self._body = json.dumps(known, separators=(",", ":")).encode()
            self._tag = f'"{hashlib.sha256(self._body).hexdigest()[:16]}"'
        return self._tag, self._body

    def changed(self) -> None:
        """Vote or wall are not what pages have been told."""
        self._body = b""

    def _expire(self) -> None:
        """A teacher whose laptop has died holds nobody for ever."""
        away = self._clock() - self._sign
        if self.frozen and away > HELD_SECONDS:
            self.freeze(False)
        if away > LESSON_SECONDS:
            self._sign = self._clock()
            self.end()


def _hashed(token: str) -> str:
    """As which a token is kept, so that comparing it takes a time that tells nothing."""
    return hashlib.sha256(token.encode()).hexdigest()
