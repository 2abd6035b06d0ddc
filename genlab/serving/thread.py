"""The usual driver: one worker thread in this process owns the device and steps a core.

Torch is imported by that thread, so a page is there before it. A worker that dies, whatever killed
it, is replaced, and what it was working on is begun anew, once. No torch at import time.
"""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

from genlab.engine.events import FINAL, Cancelled, Event, Failed, Loading, Result
from genlab.models.registry import Registry
from genlab.requests import Request, UserError
from genlab.serving.admission import Admission
from genlab.serving.client import Client, ServingFigures, Ticket
from genlab.settings import Settings

if TYPE_CHECKING:
    from genlab.engine.core import Core

log = logging.getLogger(__name__)

CLOSING = "GenLab is shutting down; please try again in a minute."
GAVE_UP = "GenLab had to give up this request; please try again."
BROKEN = "GenLab's engine stopped working and could not be started again; it has to be restarted."
END_SECONDS = 3.0  # that the worker is given to end its unit of work when the house closes
DEATHS = 3  # of workers, without a finished job between them, until the engine counts as broken
MakeCore = Callable[[Registry, Settings, Callable[[], None]], "Core"]


class ThreadClient(Client):
    """Serves requests from one device of this process.

    Args:
        registry: what models there are.
        settings: device, memory and limits.
        make_core: builds the core in the worker's thread; its last argument is to be called when
            a model has been loaded. None: `serving.local_core.build_core`.
        admission: shared with another driver of the house; None: one of its own.
    """

    def __init__(
        self,
        registry: Registry,
        settings: Settings,
        make_core: MakeCore | None = None,
        admission: Admission | None = None,
    ) -> None:
        self._registry = registry
        self._settings = settings
        self._make_core = make_core or _build_core
        self._admission = admission or Admission(settings.max_jobs, settings.max_jobs_per_owner)
        self._lock = threading.Condition()  # guards all that follows
        self._inbox: deque[tuple[str, int]] = deque()  # ("add" | "cancel", ticket's id)
        self._tickets: dict[int, Ticket] = {}
        self._changed = False  # whether a model has been loaded since the worker last looked
        self._closing = False
        self._broken = ""  # why no worker runs any more; one sentence
        self._device = ""
        self._restarts = 0
        self._deaths = 0  # since a job was finished
        self._models: Mapping[str, Mapping[str, Any]] = {}
        self._waiting = 0  # jobs that have not begun, of those that the core has
        self._ready = threading.Event()  # a core was built, or none can be
        self._worker = threading.Thread(target=self._run, name="genlab-engine", daemon=True)

    def start(self) -> Self:
        """Let the worker begin; what was submitted before waits for it."""
        self._worker.start()
        return self

    def __enter__(self) -> Self:
        return self.start()

    # --- any thread -------------------------------------------------------------------------

    def submit(self, request: Request, owner: str = "local") -> Ticket:
        self._registry.check(request)
        self._admission.enter(owner)
        ticket = Ticket(request, owner)
        with self._lock:
            if self._closing or self._broken:
                self._admission.leave(owner)
                raise UserError(self._broken or CLOSING)
            self._tickets[ticket.id] = ticket
            self._inbox.append(("add", ticket.id))
            if not self._ready.is_set():
                ticket.post(Loading("the engine"))
            self._lock.notify_all()
        return ticket

    def cancel(self, ticket_id: int) -> None:
        with self._lock:
            if ticket_id in self._tickets:
                self._tickets[ticket_id].cancelled = True
                self._inbox.append(("cancel", ticket_id))
                self._lock.notify_all()

    def figures(self) -> ServingFigures:
        with self._lock:
            return ServingFigures(
                device=self._device,
                open_jobs=len(self._tickets),
                restarts=self._restarts,
                healthy=not self._broken and (self._worker.is_alive() or not self._ready.is_set()),
                models=self._models,
                waiting_jobs=self._waiting,
                wait_seconds=self._admission.wait_seconds(),
            )

    def wait_until_ready(self) -> None:
        """Return when the engine can draw; raises UserError if it never will."""
        self._ready.wait()
        if self._broken or self._closing:
            raise UserError(self._broken or CLOSING)

    def close(self) -> None:
        with self._lock:
            self._closing = True
            self._lock.notify_all()
        if self._worker.ident is not None:
            self._worker.join(END_SECONDS)  # whoever waits must not wait for a stranger's long unit
        self._ready.set()  # whoever waited for an engine: there will be none
        self._end_all(CLOSING)

    # --- the worker's thread ----------------------------------------------------------------

    def _run(self) -> None:
        """Work until closed; a worker that dies is followed by another."""
        while not self._closing and not self._broken:
            try:
                self._work()
            except UserError as error:  # of a core that cannot be built
                self._give_up(str(error))
            except BaseException:
                log.exception("the engine's worker died")
                self._begin_anew()
            gc.collect()  # the dead core's models must be gone before they are loaded again

    def _work(self) -> None:
        core = self._make_core(self._registry, self._settings, self._model_changed)
        with self._lock:
            self._device = str(getattr(core, "device", ""))
        self._ready.set()
        while True:
            with self._lock:
                self._lock.wait_for(
                    lambda: self._closing or self._inbox or self._changed or not core.idle
                )
                if self._closing:
                    return
                arrived = list(self._inbox)
                self._inbox.clear()
                self._changed = False
            for what, ticket_id in arrived:
                self._take(core, what, ticket_id)
            for ticket_id, event in core.step():
                self._deliver(ticket_id, event)
            with self._lock:
                self._models, self._waiting = core.figures(), core.waiting

    def _take(self, core: Core, what: str, ticket_id: int) -> None:
        with self._lock:
            ticket = self._tickets.get(ticket_id)
        if ticket is None:
            return
        if ticket.cancelled:  # its job may not be in there: a dead worker's were queued anew
            core.cancel(ticket.id)
            self._deliver_end(ticket, Cancelled())
        elif what == "add":
            core.add(ticket.id, ticket.request, ticket.owner)

    def _deliver(self, ticket_id: int, event: Event) -> None:
        with self._lock:
            final = isinstance(event, FINAL)
            ticket = self._tickets.pop(ticket_id, None) if final else self._tickets.get(ticket_id)
            if final:
                self._deaths = 0
        if ticket is not None:
            if final:
                self._admission.leave(ticket.owner, isinstance(event, Result))
            ticket.post(event)

    def _model_changed(self) -> None:
        """Called from the thread that loads models."""
        with self._lock:
            self._changed = True
            self._lock.notify_all()

    # --- faults -----------------------------------------------------------------------------

    def _begin_anew(self) -> None:
        """Queue once more what the dead worker had; what has been repeated before is given up."""
        with self._lock:
            self._restarts += 1
            self._deaths += 1
            untouched = {ticket_id for what, ticket_id in self._inbox if what == "add"}
            tickets = list(self._tickets.values())
            self._inbox.clear()
        for ticket in tickets:
            if ticket.cancelled:
                self._deliver_end(ticket, Cancelled())
            elif ticket.repeated and ticket.id not in untouched:
                self._deliver_end(ticket, Failed(GAVE_UP))
            else:
                ticket.repeated = ticket.id not in untouched
                with self._lock:
                    self._inbox.append(("add", ticket.id))
        if self._deaths >= DEATHS:
            self._give_up(BROKEN)
        else:
            time.sleep(0.05 * self._deaths)

    def _give_up(self, sentence: str) -> None:
        log.warning("the engine does not run: %s", sentence)
        with self._lock:
            self._broken = sentence
        self._ready.set()
        self._end_all(sentence)

    def _end_all(self, sentence: str) -> None:
        with self._lock:
            tickets = list(self._tickets.values())
        for ticket in tickets:
            self._deliver_end(ticket, Failed(sentence))

    def _deliver_end(self, ticket: Ticket, event: Event) -> None:
        with self._lock:
            if self._tickets.pop(ticket.id, None) is None:
                return
        self._admission.leave(ticket.owner, isinstance(event, Result))
        ticket.post(event)


def _build_core(registry: Registry, settings: Settings, model_changed: Callable[[], None]) -> Core:
    from genlab.serving.local_core import build_core  # loads torch

    return build_core(registry, settings, model_changed)
