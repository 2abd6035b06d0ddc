"""A client without a model: tests post the events by hand. And a registry that knows all names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genlab.engine.events import Cancelled, Event, Result
from genlab.formats.metadata import ModelMetadata
from genlab.generation_metadata import GenerationMetadata, for_pictures
from genlab.models.own import OwnModels
from genlab.requests import Request, SampleRequest, UserError
from genlab.serving.client import Client, ServingFigures, Ticket
from genlab.settings import Settings
from genlab.ui.context import AppContext


class FakeClient(Client):
    """Keeps every ticket; ``answer``, if given, is called with each at once."""

    def __init__(self, answer: Callable[[Ticket], None] | None = None) -> None:
        self.tickets: list[Ticket] = []
        self.cancelled: list[int] = []
        self.room = 1000
        self.state = ServingFigures()
        self._answer = answer

    def submit(self, request: Request, owner: str = "local") -> Ticket:
        if len(self.tickets) >= self.room:
            raise UserError("Too many are waiting; try again in a minute.")
        ticket = Ticket(request, owner)
        self.tickets.append(ticket)
        if self._answer is not None:
            self._answer(ticket)
        return ticket

    def cancel(self, ticket_id: int) -> None:
        self.cancelled.append(ticket_id)
        next(ticket for ticket in self.tickets if ticket.id == ticket_id).post(Cancelled())

    def figures(self) -> ServingFigures:
        return self.state

    def close(self) -> None:
        return


class FakeRegistry:
    """Has a model of one family under every name but "missing"."""

    broken: dict[str, str] = {}
    own = OwnModels(None)

    def __init__(self, family: str = "vae") -> None:
        self.family = family

    def entry(self, name: str) -> ModelMetadata:
        if name == "missing":
            raise UserError("There is no checkpoint called 'missing'.")
        return ModelMetadata(name, Path(name), self.family, f"Tiny {name}", "mnist")

    def find(self, name: str) -> ModelMetadata | None:
        return None if name == "missing" else self.entry(name)

    def check(self, request: Request) -> None:
        self.entry(request.checkpoint)

    def generation_metadata(
        self, request: SampleRequest, fingerprint: str
    ) -> list[GenerationMetadata]:
        return for_pictures(request, self.family, fingerprint)


def fake_context(client: Client, registry: Any = None) -> AppContext:
    """What a page is given, with nothing behind it."""
    models: Any = registry or FakeRegistry()
    return AppContext(Settings(), models, client)


def pictures(request: Any, side: int = 8) -> Result:
    """A result with as many pictures as the request wants, each of another grey."""
    grey = np.arange(request.count, dtype=np.uint8)[:, None, None]
    return Result(np.broadcast_to(grey, (request.count, side, side)).copy(), fingerprint="f" * 64)


def draw(ticket: Ticket) -> None:
    """Answer a ticket with its pictures."""
    ticket.post(pictures(ticket.request))


def answering(events: Callable[[Any], Iterable[Event]]) -> FakeClient:
    """A client that answers each request at once with these events."""

    def answer(ticket: Ticket) -> None:
        for event in events(ticket.request):
            ticket.post(event)

    return FakeClient(answer)


class ListedRegistry(FakeRegistry):
    """Has these models and no others.

    Args:
        refused: sentences for those that nobody may draw with.
    """

    def __init__(self, *models: ModelMetadata, refused: Mapping[str, str] | None = None) -> None:
        self.entries = {metadata.name: metadata for metadata in models}
        self.refused = refused or {}
        self.loras: dict[str, ModelMetadata] = {}

    def entry(self, name: str) -> ModelMetadata:
        if name not in self.entries:
            raise UserError(f"There is no checkpoint called {name!r}.")
        return self.entries[name]

    def find(self, name: str) -> ModelMetadata | None:
        return self.entries.get(name)

    def of_family(self, family: str) -> list[ModelMetadata]:
        return [metadata for metadata in self.entries.values() if metadata.family == family]

    def judge(self, dataset: str) -> ModelMetadata | None:
        judges = (*self.of_family("classifier"), *self.of_family("judge"))
        return next((metadata for metadata in judges if metadata.dataset == dataset), None)

    def check(self, request: Request) -> None:
        self.entry(request.checkpoint)
        if request.checkpoint in self.refused:
            raise UserError(self.refused[request.checkpoint])

    def generation_metadata(
        self, request: SampleRequest, fingerprint: str
    ) -> list[GenerationMetadata]:
        return for_pictures(request, self.entry(request.checkpoint).family, fingerprint)

    def offers(self) -> list[Any]:
        return []


def model(name: str, family: str, dataset: str = "", **more: Any) -> ModelMetadata:
    """A usable model whose path leads nowhere."""
    return ModelMetadata(name, Path("nowhere") / name, family, f"Tiny {name}", dataset, **more)
