"""Who may come in, and who is the teacher: names with passwords, and a key. Knows no page."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable

from genlab.requests import UserError
from genlab.settings import Settings

WRONG_SECONDS = 1.0  # whoever guesses waits so long for each answer


class Teacher:
    """Whoever knows the key; everybody, where none is set.

    Args:
        key: "" for none.
    """

    def __init__(self, key: str = "") -> None:
        self._key = key.encode()

    @property
    def has_key(self) -> bool:
        """Whether only some may do what only a teacher may."""
        return bool(self._key)

    def knows(self, given: str) -> bool:
        """Whether this is the key; compared in a time that tells nothing of it."""
        return not self._key or hmac.compare_digest(given.strip().encode(), self._key)

    async def check(self, given: str, what: str) -> None:
        """Return if this is the key; raises UserError, after a moment, if not.

        Args:
            what: only the teacher may do, as in "start downloads".
        """
        if self.knows(given):
            return
        await asyncio.sleep(WRONG_SECONDS)
        wrong = "this is not the teacher's key" if given.strip() else "the teacher's key is missing"
        raise UserError(f"Only the teacher may {what} here: {wrong}.")


def login(settings: Settings) -> Callable[[str, str], Awaitable[bool]] | None:
    """What says whether a name and its password may come in; None if everybody may."""
    if not settings.auth:
        return None
    pairs = (account.partition(":") for account in settings.auth)
    accounts = {name.strip(): password.encode() for name, _, password in pairs}

    async def may_come_in(name: str, password: str) -> bool:
        known = accounts.get(name.strip(), b"")
        right = hmac.compare_digest(password.encode(), known) and bool(known)
        if not right:
            await asyncio.sleep(WRONG_SECONDS)
        return right

    return may_come_in
