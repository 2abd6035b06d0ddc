"""What runs inside a replica: an ordinary thread driver whose events are streamed out.

Its process is Ray's, its engine is the one that a laptop runs. Ray itself is not imported here.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from genlab.engine.events import Event, Failed
from genlab.models.registry import Registry
from genlab.requests import Request, UserError
from genlab.serving.client import ServingFigures
from genlab.serving.ray_pictures import PackedResult, packed
from genlab.serving.thread import ThreadClient
from genlab.settings import Settings

UNLIMITED = 1_000_000  # admission is at the page's door, once for all replicas


class ReplicaBroken(Exception):
    """This replica's engine cannot go on; another replica may serve the request."""


@dataclass(frozen=True)
class Report:
    """How a replica fares."""

    incarnation: str  # another one after it was restarted
    pid: int
    figures: ServingFigures
    bytes_per_weight: int  # of the number format of its device


class Replica:
    """One engine on one device, as a deployment of Ray Serve.

    Args:
        settings: the page's, as a mapping: checkpoints and models have to lie at the same place.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        limits: dict[str, Any] = {"max_jobs": UNLIMITED, "max_jobs_per_owner": UNLIMITED}
        own = Settings(**{**settings, **limits})
        memory = own.memory_gb * 1e9
        self._incarnation = uuid.uuid4().hex
        self._registry = Registry(
            own.checkpoints, own.models, own.downloads, memory, own.visitor_models
        )
        self._client = ThreadClient(self._registry, own).start()

    async def run(self, request: Request, owner: str) -> AsyncGenerator[Event | PackedResult, None]:
        """Serve a request; its events up to the final one. To close this stops the request.

        Raises:
            ReplicaBroken: if the engine here has ended for good.
        """
        if self._registry.find(request.checkpoint) is None:
            self._registry.scan()  # downloaded by the page since
        try:
            ticket = self._client.submit(request, owner)
        except UserError as error:
            self._raise_if_broken()
            yield Failed(str(error))
            return
        try:
            async for event in ticket:
                if isinstance(event, Failed):
                    self._raise_if_broken()
                yield await packed(event)
        finally:
            if not ticket.ended:
                self._client.cancel(ticket.id)

    async def report(self) -> Report:
        """How it fares; answers as soon as the replica lives, before any model is loaded."""
        figures, bytes_per_weight = self._client.figures(), self._registry.bytes_per_weight
        return Report(self._incarnation, os.getpid(), figures, bytes_per_weight)

    def check_health(self) -> None:
        """Called by Serve, which replaces a replica that raises here."""
        self._raise_if_broken()

    def _raise_if_broken(self) -> None:
        if not self._client.figures().healthy:
            raise ReplicaBroken
