"""What a class does together in a lesson: a vote on who drew what, and a wall of pictures.

Nameless: a visitor is only counted once. In memory, gone with the lesson. For one event loop; knows
no page and no model.
"""

from __future__ import annotations

import random
import secrets
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from genlab.requests import UserError

COLUMNS = (2, 10)  # of a vote
PICTURES = 9  # shown of a column of a vote
MAX_TITLE = 80
MAX_VOTERS = 4000
MAX_POSTS = 60  # on the wall; the oldest makes room
POST_PICTURES = 4  # of one visitor

OVER = "This vote is over."
NO_WALL = "Your teacher has opened no wall."


@dataclass
class Vote:
    """Which model drew which column? The columns come shuffled, and the models' names sorted.

    Attributes:
        titles: the models' names, which are the choices.
        columns: addresses of the pictures of each column, in the order that is shown.
        truth: which of ``titles`` drew each column.
        revealed: whether pages are told ``truth``, and what the room thought.
    """

    titles: tuple[str, ...]
    columns: tuple[tuple[str, ...], ...]
    truth: tuple[int, ...]
    id: str = field(default_factory=lambda: secrets.token_hex(6))
    revealed: bool = False
    answers: dict[str, tuple[int | None, ...]] = field(default_factory=dict)

    @classmethod
    def on(cls, columns: Sequence[tuple[str, Sequence[str]]], shuffle: random.Random) -> Vote:
        """A vote on columns of a title and addresses of pictures each.

        Raises UserError for too few or too many, for equal titles, or for one without pictures.
        """
        least, most = COLUMNS
        if not least <= len(columns) <= most:
            raise UserError(
                f"A vote is on {least} to {most} columns with pictures, but there are "
                f"{len(columns)}: open Compare and draw."
            )
        titles = sorted({title for title, _ in columns})
        if len(titles) < len(columns) or not all(0 < len(t) <= MAX_TITLE for t in titles):
            raise UserError(
                f"Each column of a vote has a name of its own, of 1 to {MAX_TITLE} characters."
            )
        if not all(pictures for _, pictures in columns):
            raise UserError("Each column of a vote has at least 1 picture.")
        shown = list(columns)
        shuffle.shuffle(shown)
        return cls(
            tuple(titles),
            tuple(tuple(pictures[:PICTURES]) for _, pictures in shown),
            tuple(titles.index(title) for title, _ in shown),
        )

    def answer(self, account: str, answers: Sequence[Any]) -> None:
        """What a visitor thinks drew each column, None for no idea; a later answer replaces it.

        Raises UserError once it is revealed, or for what is no answer.
        """
        if self.revealed:
            raise UserError(OVER)
        choices = range(len(self.titles))
        given = tuple(answers)
        if len(given) != len(self.columns) or not all(
            a is None or (type(a) is int and a in choices) for a in given
        ):
            raise UserError(
                f"An answer has {len(self.columns)} entries, each null or 0 to {len(choices) - 1}."
            )
        if account not in self.answers and len(self.answers) >= MAX_VOTERS:
            raise UserError(f"{MAX_VOTERS} have voted already, which is as many as there may be.")
        self.answers[account] = given

    def counts(self) -> list[list[int]]:
        """For each column how many named each title."""
        named = [Counter(column) for column in zip(*self.answers.values(), strict=True)]
        named = named or [Counter() for _ in self.columns]
        return [[column[choice] for choice in range(len(self.titles))] for column in named]

    def public(self) -> dict[str, Any]:
        """What every page is told; who drew what only once it is revealed."""
        known: dict[str, Any] = {"id": self.id, "titles": self.titles, "columns": self.columns}
        if self.revealed:
            known |= {"truth": self.truth, "counts": self.counts(), "voters": len(self.answers)}
        return known


class Wall:
    """The newest pictures of each visitor who puts some up.

    Attributes:
        open: whether anything may be put up.
        changes: grows with each change.
    """

    def __init__(self) -> None:
        self.open = False
        self.changes = 0
        self._posts: OrderedDict[str, dict[str, Any]] = OrderedDict()  # by account, oldest first

    def put(self, account: str, place: Mapping[str, str], pictures: Sequence[str]) -> None:
        """Put up a visitor's pictures, in the place of their earlier ones.

        Args:
            account: whose they are.
            place: the ``tab`` and ``mode`` that drew them.
            pictures: their addresses.

        Raises UserError unless the wall is open and there are pictures.
        """
        if not self.open or not account:
            raise UserError(NO_WALL)
        if not 1 <= len(pictures) <= POST_PICTURES:
            raise UserError(
                f"1 to {POST_PICTURES} pictures go on the wall, but these are {len(pictures)}."
            )
        self._posts.pop(account, None)
        post = {"id": secrets.token_hex(6), "pictures": list(pictures)} | dict(place)
        self._posts[account] = post
        while len(self._posts) > MAX_POSTS:
            self._posts.popitem(last=False)
        self.changes += 1

    def take_down(self, post: str) -> None:
        """Remove one; nothing if it is gone."""
        kept = {k: p for k, p in self._posts.items() if p["id"] != post}
        if len(kept) < len(self._posts):
            self._posts = OrderedDict(kept)
            self.changes += 1

    def clear(self) -> None:
        """Close it, and forget what was on it."""
        self.open = False
        self._posts.clear()
        self.changes += 1

    def posts(self) -> list[dict[str, Any]]:
        """Newest first: ``id``, ``pictures``, ``tab`` and ``mode``."""
        return list(reversed(self._posts.values()))

    def public(self) -> dict[str, Any] | None:
        """What every page is told; None while there is none."""
        if not self.open and not self._posts:
            return None
        return {"open": self.open, "count": len(self._posts), "changes": self.changes}
