"""Any client, with what becomes of each of its jobs counted and logged. Knows no driver."""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Callable

from genlab.engine.events import Event, Failed, Result
from genlab.models.registry import Registry
from genlab.requests import Request, UserError
from genlab.serving.client import Client, ServingFigures, Ticket
from genlab.serving.metrics import Meters

log = logging.getLogger("genlab.jobs")


def families_of(registry: Registry) -> Callable[[str], str]:
    """What tells the family of a model's name; "" if there is no such model."""

    def family_of(name: str) -> str:
        found = registry.find(name)
        return found.family if found is not None else ""

    return family_of


class ObservedClient(Client):
    """Does what the client behind it does, and tells meters and log of it.

    Args:
        client: whose jobs these are.
        registry: knows the models.
    """

    def __init__(self, client: Client, registry: Registry) -> None:
        self.meters = Meters()
        self._client = client
        self._family_of = families_of(registry)
        self._salt = secrets.token_bytes(8)  # nobody is known by their name in the log

    def submit(self, request: Request, owner: str = "local") -> Ticket:
        family = self._family_of(request.checkpoint)
        try:
            ticket = self._client.submit(request, owner)
        except UserError as error:
            self.meters.refused(family)
            log.info("a request is refused: %s", error, extra=self._fields(request, owner, family))
            raise
        ticket.when_ended(lambda event: self._ended(ticket, family, event))
        return ticket

    def cancel(self, ticket_id: int) -> None:
        self._client.cancel(ticket_id)

    def figures(self) -> ServingFigures:
        return self._client.figures()

    def wait_until_ready(self) -> None:
        self._client.wait_until_ready()

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> ObservedClient:
        self._client.__enter__()
        return self

    def _ended(self, ticket: Ticket, family: str, event: Event) -> None:
        outcome = type(event).__name__.lower()
        self.meters.ended(family, outcome, event if isinstance(event, Result) else None)
        fields = self._fields(ticket.request, ticket.owner, family)
        fields |= {"job": ticket.id, "outcome": outcome}
        if isinstance(event, Result):
            fields |= {"seconds": round(event.seconds, 3), "waited": round(event.waited, 3)}
        if isinstance(event, Failed):
            fields |= {"why": event.message}
        log.info("job %s ended: %s", ticket.id, outcome, extra=fields)

    def _fields(self, request: Request, owner: str, family: str) -> dict[str, object]:
        name = hashlib.sha256(self._salt + owner.encode(errors="replace")).hexdigest()[:8]
        return {"request": request, "family": family, "owner": name}
