"""The places of a page that a run fills: what is wanted in each, and how it stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np

from genlab.engine.events import Event, Failed, Progress, Result
from genlab.requests import Request, UserError
from genlab.ui.components.pictures import reduced
from genlab.ui.components.progress import share_of


@dataclass(frozen=True)
class Cell:
    """What is wanted in one place of the page: usually one request, or why there is none."""

    requests: tuple[Request, ...] = ()
    refused: str = ""

    @classmethod
    def of(cls, build: Callable[[], Request]) -> Self:
        """The cell of the request that ``build`` makes, or of the UserError that it raises."""
        try:
            return cls((build(),))
        except UserError as error:
            return cls(refused=str(error))


@dataclass(frozen=True)
class CellView:
    """What is to be seen of a cell at one moment.

    Attributes:
        events: the newest of each request; ``(Failed(refused),)`` for a refusal.
        pictures: addresses of the finished pictures of its sample requests, in order, once all of
            its requests have their results; other requests' images are in ``results`` alone.
    """

    events: tuple[Event, ...]
    pictures: tuple[str, ...] = ()

    @property
    def results(self) -> tuple[Result, ...]:
        """Those of its finished requests, in order."""
        return tuple(event for event in self.events if isinstance(event, Result))

    @property
    def done(self) -> bool:
        """Whether every request has its result."""
        return len(self.results) == len(self.events)

    @property
    def failed(self) -> str:
        """The sentence of the first request that failed; "" if none did."""
        return next((event.message for event in self.events if isinstance(event, Failed)), "")

    @property
    def previews(self) -> np.ndarray | None:
        """What its pictures look like by now, thinned, uint8 (N, H, W[, 3]).

        None unless the newest event of every request shows something, and not all are done.
        """
        if self.done:
            return None
        seen = [_seen(event) for event in self.events]
        if any(some is None for some in seen):
            return None
        shown = [reduced(picture) for some in seen if some is not None for picture in some]
        alike = len({picture.shape for picture in shown}) == 1  # previews may be smaller
        return np.stack(shown) if alike else None

    @property
    def share(self) -> float:
        """How much of it is done, from 0 to 1: the mean of its requests' shares."""
        return sum(map(share_of, self.events)) / len(self.events) if self.events else 1.0


def _seen(event: Event) -> np.ndarray | None:
    """What a request's pictures look like by now, if its newest event says so."""
    if isinstance(event, Result):
        return event.images
    return event.preview if isinstance(event, Progress) else None
