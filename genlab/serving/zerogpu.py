"""The driver of ZeroGPU Spaces: one lease of a GPU for what an owner asks for at one moment.

A lease is a generator in a forked process (`serving.lease`); a thread of its own feeds the tickets
from it. Knows `spaces` only where it opens, and no torch until then.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from genlab.engine.events import FINAL, Cancelled, Event, Failed, Queued, Result
from genlab.models.registry import Registry
from genlab.requests import Request, UserError
from genlab.serving.admission import Admission
from genlab.serving.client import Client, ServingFigures, Ticket
from genlab.serving.lease_costs import LeaseCosts, Stopwatch, Work
from genlab.serving.lease_errors import TOO_LONG, is_aborted, sentence_of
from genlab.serving.routing import RoutingClient
from genlab.serving.thread import CLOSING, ThreadClient
from genlab.settings import Settings

if TYPE_CHECKING:
    from genlab.engine.core import Core

log = logging.getLogger(__name__)

GATHER = 0.05  # seconds in which the requests of one press of a button arrive
END_LIMIT = 10.0  # seconds that closing waits for leases to end
Draw = Callable[[Work, str], Iterator[list[tuple[int, Event]]]]


@dataclass(frozen=True)
class _Asked:
    """A ticket, and in whose name the GPU is asked for: the visitor's token is in the context."""

    ticket: Ticket
    context: Context


class LeaseClient(Client):
    """Serves requests from leased GPUs: an owner's requests one lease after another, at most
    what fits in each; different owners' leases side by side, as far as there are GPUs.

    Args:
        registry: what models there are.
        settings: limits.
        draw: gives the events of a lease; closing what it returns ends the lease.
        costs: what a lease takes.
        stop: drops one request, by its ticket's id, while others of its lease are drawn.
        admission: shared with another driver of the house; None: one of its own.
    """

    def __init__(
        self,
        registry: Registry,
        settings: Settings,
        draw: Draw,
        costs: LeaseCosts,
        stop: Callable[[int], None],
        admission: Admission | None = None,
    ) -> None:
        self._registry = registry
        self._draw = draw
        self._costs = costs
        self._stop = stop
        self._admission = admission or Admission(settings.max_jobs, settings.max_jobs_per_owner)
        self._lock = threading.Lock()  # guards all that follows
        self._waiting: dict[str, list[_Asked]] = {}  # by owner; those whose lease has not begun
        self._open: dict[int, Ticket] = {}
        self._threads: dict[str, threading.Thread] = {}  # the lease of each owner
        self._aborted = 0
        self._closing = False

    # --- any thread -------------------------------------------------------------------------

    def submit(self, request: Request, owner: str = "local") -> Ticket:
        self._registry.check(request)
        if not self._costs.fits(((0, request),)):
            raise UserError(TOO_LONG)
        self._admission.enter(owner)
        ticket = Ticket(request, owner)
        with self._lock:
            if self._closing:
                self._admission.leave(owner)
                raise UserError(CLOSING)
            self._open[ticket.id] = ticket
            self._waiting.setdefault(owner, []).append(_Asked(ticket, copy_context()))
            ticket.post(Queued(1))
            if owner not in self._threads:
                self._begin_lease(owner)
        return ticket

    def cancel(self, ticket_id: int) -> None:
        with self._lock:
            ticket = self._open.get(ticket_id)
        if ticket is not None:
            ticket.cancelled = True
            self._stop(ticket_id)
            self._deliver(ticket_id, Cancelled())  # a lease of which nothing is left ends itself

    def figures(self) -> ServingFigures:
        with self._lock:
            return ServingFigures(
                "ZeroGPU",
                open_jobs=len(self._open),
                restarts=self._aborted,
                waiting_jobs=sum(map(len, self._waiting.values())),
                wait_seconds=self._admission.wait_seconds(),
            )

    def close(self) -> None:
        with self._lock:
            self._closing = True
            left, threads = list(self._open), list(self._threads.values())
        for ticket_id in left:
            self._deliver(ticket_id, Failed(CLOSING))
        last_moment = time.monotonic() + END_LIMIT
        for thread in threads:
            thread.join(max(0.0, last_moment - time.monotonic()))

    # --- an owner's thread ------------------------------------------------------------------

    def _begin_lease(self, owner: str) -> None:
        """In a new thread: whoever forks must not have computed, for OpenMP's sake."""
        context = self._waiting[owner][0].context
        thread = threading.Thread(
            target=context.run, args=(self._serve, owner), name="genlab-lease", daemon=True
        )
        self._threads[owner] = thread
        thread.start()

    def _serve(self, owner: str) -> None:
        """One lease, then the next one if more has come."""
        time.sleep(GATHER)
        with self._lock:
            tickets = self._next_lease(owner)
        try:
            if tickets:
                self._lease(tickets, owner)
        finally:
            with self._lock:
                if self._waiting.get(owner):
                    self._begin_lease(owner)
                else:
                    self._waiting.pop(owner, None)
                    del self._threads[owner]

    def _next_lease(self, owner: str) -> list[Ticket]:
        """The tickets that wait, as many as fit into one lease, in their order."""
        waiting = [asked for asked in self._waiting.pop(owner, []) if not asked.ticket.ended]
        taken: list[Ticket] = []
        while waiting:
            ticket = waiting[0].ticket
            if taken and not self._costs.fits(_work_of([*taken, ticket])):
                break
            taken.append(ticket)
            waiting.pop(0)
        if waiting:
            self._waiting[owner] = waiting
        return taken

    def _lease(self, tickets: list[Ticket], owner: str) -> None:
        """Feed the tickets from one lease; each has its last event at the end."""
        work = _work_of(tickets)
        stopwatch = Stopwatch(self._costs, work)
        failure = ""
        try:
            with closing(cast(Generator[Any], self._draw(work, owner))) as steps:
                for events in steps:
                    for ticket_id, event in events:
                        stopwatch.saw(ticket_id, event)
                        self._deliver(ticket_id, event)
                    if all(ticket.ended for ticket in tickets):
                        break
        except Exception as error:
            failure = sentence_of(error)
            log.warning("a lease ended early: %r", error)
            if is_aborted(error):
                self._costs.too_short(work)
                with self._lock:
                    self._aborted += 1
        finally:
            stopwatch.stop()
            for ticket in tickets:
                self._deliver(ticket.id, Failed(failure or sentence_of(RuntimeError())))

    def _deliver(self, ticket_id: int, event: Event) -> None:
        with self._lock:
            final = isinstance(event, FINAL)
            ticket = self._open.pop(ticket_id, None) if final else self._open.get(ticket_id)
        if ticket is not None:
            if final:
                self._admission.leave(ticket.owner, isinstance(event, Result))
            ticket.post(event)


def open_zerogpu(registry: Registry, settings: Settings, device: str = "cuda") -> Client:
    """The client of a ZeroGPU Space: small models on the CPU, large ones on leased GPUs.

    To be called in the main thread, before the page is launched and before anything imports torch.

    Args:
        registry: what models there are.
        settings: their ``lease_above_millions`` tells small from large.
        device: of leases.
    """
    import spaces  # pyright: ignore[reportMissingImports]  # before torch; it is on such Spaces only

    from genlab.serving import lease

    def is_large(name: str, known: Registry = registry) -> bool:
        entry = known.find(name)
        return entry is not None and entry.parameters > 1e6 * settings.lease_above_millions

    costs = lease.prepare(settings.model_copy(update={"device": device}), is_large)
    draw = spaces.GPU(duration=lease.seconds_of)(lease.draw)
    door = Admission(settings.max_jobs, settings.max_jobs_per_owner)
    on_cpu = settings.model_copy(update={"device": "cpu"})
    small = ThreadClient(registry, on_cpu, _small_core, door)
    large = LeaseClient(registry, settings, cast(Draw, draw), costs, lease.stop, door)
    return RoutingClient(small, large, lambda request: is_large(request.checkpoint))


def _small_core(registry: Registry, settings: Settings, model_changed: Callable[[], None]) -> Core:
    """The CPU's core; large models are measured by what they take on a GPU all the same."""
    from genlab.serving.local_core import build_core

    bytes_per_weight = registry.bytes_per_weight
    core = build_core(registry, settings, model_changed)
    registry.bytes_per_weight = bytes_per_weight
    return core


def _work_of(tickets: list[Ticket]) -> Work:
    return tuple((ticket.id, ticket.request) for ticket in tickets)
