"""Follows every open request to its replica and back, again if the replica dies under it.

Belongs to one loop. Knows no Ray: replicas are what the fleet has.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from genlab.engine.events import FINAL, Event, Failed, Loading, Progress, Queued, Result
from genlab.engine.job import JobId
from genlab.serving.client import Ticket
from genlab.serving.fleet import Fleet
from genlab.serving.ray_cluster import LostReplica
from genlab.serving.router import Router, work_of
from genlab.serving.thread import DEATHS, GAVE_UP

log = logging.getLogger(__name__)

TOLD = 0.25  # seconds between two tellings of who is where in the queue


@dataclass
class _Open:
    """A request on its way."""

    ticket: Ticket
    losses: int = 0  # of replicas under it
    task: asyncio.Task[None] | None = None  # follows it at its replica
    position: int = 0  # in the queue, as last told


class Dispatcher:
    """The open requests.

    Args:
        router: says where each is served.
        deliver: hands an event to the reader of a ticket, and knows what to do with the last one.
    """

    def __init__(self, router: Router, deliver: Callable[[Ticket, Event], None]) -> None:
        self.fleet: Fleet | None = None  # None while there is no cluster
        self._router = router
        self._deliver = deliver
        self._open: dict[JobId, _Open] = {}
        self._told = 0.0

    def add(self, ticket: Ticket) -> None:
        """Let a request wait for its place, unless it has ended on its way here."""
        if ticket.ended:
            return
        self._open[ticket.id] = _Open(ticket)
        self._router.add(ticket.id, work_of(ticket.request), ticket.owner)
        self.dispatch()

    def end(self, job_id: JobId, event: Event) -> None:
        """A request has ended, here or there; a replica that is at work on it is stopped."""
        ended = self._open.pop(job_id, None)
        if ended is None:
            return
        self._router.finish(job_id, time.monotonic(), isinstance(event, Result))
        self._deliver(ended.ticket, event)
        if ended.task is not None and ended.task is not asyncio.current_task():
            ended.task.cancel()
        self.dispatch()

    def end_all(self, event: Event) -> None:
        """End everything that is open."""
        fleet, self.fleet = self.fleet, None  # nothing is sent meanwhile
        for job_id in list(self._open):
            self.end(job_id, event)
        self.fleet = fleet

    def dispatch(self) -> None:
        """Send what there is room for, and tell the others where they are in the queue."""
        if self.fleet is None:
            return
        now = time.monotonic()
        for job_id, name in self._router.place(now):
            self._open[job_id].task = asyncio.create_task(self._follow(job_id, name, self.fleet))
        if self._router.alive() and now - self._told >= TOLD:
            self._told = now
            for position, job_id in enumerate(self._router.waiting(), start=1):
                waiting = self._open[job_id]
                if waiting.position != position:
                    waiting.position = position
                    self._deliver(waiting.ticket, Queued(position))

    def lost(self, job_ids: Sequence[JobId]) -> None:
        """Their replica is gone: they wait again, unless they have lost too many."""
        here = asyncio.current_task()
        for job_id in job_ids:
            lost = self._open[job_id]
            lost.losses += 1
            lost.ticket.repeated = True
            if lost.task is not None and lost.task is not here:
                lost.task.cancel()
            lost.task = None
            lost.position = 0
            if lost.losses >= DEATHS:
                self.end(job_id, Failed(GAVE_UP))

    async def _follow(self, job_id: JobId, name: str, fleet: Fleet) -> None:
        """Hand a replica's events on, up to the last one."""
        ticket, ended = self._open[job_id].ticket, False
        events = fleet.handle(name).run(ticket.request, ticket.owner)
        try:
            async with contextlib.aclosing(events):
                async for event in events:
                    ended = ended or isinstance(event, FINAL)
                    self._take(job_id, event)
            if not ended:
                raise LostReplica("it ended its answer without an end")
        except LostReplica as error:
            if not ended:
                log.warning("replica %s is lost: %s", name, error)
                fleet.replica_lost(name)

    def _take(self, job_id: JobId, event: Event) -> None:
        now = time.monotonic()
        if isinstance(event, FINAL):
            self.end(job_id, event)
            return
        if isinstance(event, Progress):
            self._router.moved(job_id, event.step, event.total, now)
        elif isinstance(event, Loading):
            self._router.waits_for_model(job_id, now)
        self._deliver(self._open[job_id].ticket, event)
