"""The driver over several machines or GPUs: replicas on Ray Serve, one door before them.

The page's process has no torch: it admits, routes and follows. A replica that dies loses nothing:
what it had is repeated elsewhere by its requests, and equal seeds give equal pictures.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Self

from genlab.engine.events import FINAL, Cancelled, Event, Failed, Loading, Result
from genlab.engine.job import JobId
from genlab.models.registry import Registry
from genlab.requests import Request, UserError
from genlab.serving.admission import Admission
from genlab.serving.autoscaling import Autoscaler
from genlab.serving.client import Client, ServingFigures, Ticket
from genlab.serving.dispatch import Dispatcher
from genlab.serving.fleet import Cluster, Fleet
from genlab.serving.ray_cluster import RayCluster
from genlab.serving.ray_replica import Report
from genlab.serving.router import Router
from genlab.serving.thread import CLOSING, DEATHS
from genlab.settings import Settings

log = logging.getLogger(__name__)

AWAY = "The machines that draw are being started again; please try again in a minute."
NO_ENGINE = "The replicas' engine does not start; Ray's logs on their machines say why."
RETRY = 3.0  # seconds between two attempts to join a cluster again


class RayClient(Client):
    """Serves requests from replicas on a Ray cluster.

    Args:
        registry: what models there are; replicas see the same folder.
        settings: how many replicas, where, and what each takes.
        make_cluster: None: `ray_cluster.RayCluster`.
    """

    def __init__(
        self,
        registry: Registry,
        settings: Settings,
        make_cluster: Callable[[Settings], Cluster] | None = None,
    ) -> None:
        self._registry = registry
        self._settings = settings
        self._admission = Admission(settings.max_jobs, settings.max_jobs_per_owner)
        self._lock = threading.Lock()  # guards the next three
        self._tickets: dict[JobId, Ticket] = {}
        self._refused = ""  # why nothing is taken any more, or for now; one sentence
        self._figures = ServingFigures()
        self._ready = threading.Event()  # a replica can draw, or none ever will
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="genlab-ray", daemon=True)
        # The rest belongs to the loop.
        self._cluster = (make_cluster or RayCluster)(settings)
        self._router = Router(settings.max_rows)
        self._dispatcher = Dispatcher(self._router, self._deliver)
        self._fleet: Fleet | None = None
        self._restarts = 0
        self._life: asyncio.Task[None] | None = None

    def start(self) -> Self:
        """Join or start the cluster in the background; what was submitted before waits for it."""
        self._thread.start()
        return self

    def __enter__(self) -> Self:
        return self.start()

    # --- any thread ---------------------------------------------------------------------------

    def submit(self, request: Request, owner: str = "local") -> Ticket:
        self._registry.check(request)
        self._admission.enter(owner)
        ticket = Ticket(request, owner)
        with self._lock:
            if self._refused:
                self._admission.leave(owner)
                raise UserError(self._refused)
            self._tickets[ticket.id] = ticket
        if not self._ready.is_set():
            ticket.post(Loading("the engine"))
        self._soon(self._dispatcher.add, ticket)
        return ticket

    def cancel(self, ticket_id: int) -> None:
        with self._lock:
            ticket = self._tickets.get(ticket_id)
        if ticket is not None:
            ticket.cancelled = True
            self._soon(self._dispatcher.end, ticket.id, Cancelled())

    def figures(self) -> ServingFigures:
        with self._lock:
            known, count, refused = self._figures, len(self._tickets), self._refused
        healthy = not refused and (known.healthy or not self._ready.is_set())
        wait = self._admission.wait_seconds()
        return replace(known, open_jobs=count, healthy=healthy, wait_seconds=wait)

    def wait_until_ready(self) -> None:
        """Return when a replica can draw; raises UserError if none ever will."""
        self._ready.wait()
        if self._refused not in ("", AWAY):
            raise UserError(self._refused)

    def scale(self, replicas: int) -> None:
        """Want so many replicas from now on; those too many finish what they have."""
        self._of_fleet(lambda fleet: setattr(fleet, "wanted", replicas))

    def drain(self, name: str) -> None:
        """Let one replica finish what it has and go; another one takes its place."""
        self._of_fleet(lambda fleet: fleet.drain(name))

    def replicas(self) -> dict[str, int]:
        """The replicas that live and take requests, each with the number of those it has."""
        names = self._router.alive
        return self._of_fleet(lambda _: {name: self._router.open_jobs(name) for name in names()})

    def reports(self) -> dict[str, Report]:
        """What the living replicas last told of themselves, by name."""
        return self._of_fleet(lambda fleet: fleet.reports())

    def close(self) -> None:
        self._refuse(CLOSING)
        if self._thread.is_alive():
            self._soon(self._end_life)
            self._thread.join()
        self._end_all(CLOSING)
        self._ready.set()

    # --- the loop's thread --------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._life = self._loop.create_task(self._live())
        try:
            self._loop.run_until_complete(self._life)
        except asyncio.CancelledError:
            pass
        except BaseException:
            log.exception("the driver of the replicas died")
            self._give_up("GenLab's replicas cannot be reached any more; it has to be restarted.")
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def _end_life(self) -> None:
        if self._life is not None:
            self._life.cancel()

    async def _live(self) -> None:
        """Join the cluster, keep its replicas, and join it again whenever it was lost."""
        try:
            await self._cluster.connect()
        except UserError as error:
            self._give_up(str(error))
            return
        try:
            while not await self._keep_fleet():
                self._refuse(AWAY)
                self._end_all(AWAY)
                await self._join_again()
                self._refuse("")
        finally:
            self._dispatcher.end_all(Failed(CLOSING))
            if self._fleet is not None:
                await self._fleet.delete_all()
            await self._cluster.disconnect()

    async def _keep_fleet(self) -> bool:
        """Until the cluster is lost, or until no engine starts there; whether it is the latter."""
        most, wanted = self._settings.max_replicas, max(1, self._settings.replicas)
        autoscaler = Autoscaler(wanted, most) if most > wanted else None
        self._fleet = self._dispatcher.fleet = Fleet(
            self._cluster, self._router, autoscaler, wanted, self._changed, self._dispatcher.lost
        )
        await self._fleet.run()
        broken = len(self._fleet.broken) >= DEATHS and not self._ready.is_set()
        if broken:
            self._give_up(NO_ENGINE)
        self._restarts += self._fleet.restarts
        self._dispatcher.fleet = None
        return broken

    async def _join_again(self) -> None:
        self._fleet = None
        for name in self._router.alive():
            self._router.down(name, time.monotonic())
        while True:
            await self._cluster.disconnect()
            try:
                await self._cluster.connect()
            except UserError as error:
                log.warning("%s", error)
                await asyncio.sleep(RETRY)
            else:
                return

    def _changed(self) -> None:
        """A replica has told how it fares, or is gone."""
        if self._fleet is None:
            return
        reports = self._fleet.reports().values()
        devices = [report.figures.device for report in reports if report.figures.device]
        models: dict[str, Any] = {}
        for report in reports:
            models |= report.figures.models
            self._registry.bytes_per_weight = report.bytes_per_weight
        restarts = self._restarts + self._fleet.restarts
        waiting = len(self._router.waiting())
        with self._lock:
            self._figures = ServingFigures(
                _in_words(devices), 0, restarts, bool(reports), models, waiting
            )
        if devices:
            self._ready.set()
        self._dispatcher.dispatch()

    # --- how it ends --------------------------------------------------------------------------

    def _deliver(self, ticket: Ticket, event: Event) -> None:
        if isinstance(event, FINAL):
            with self._lock:
                if self._tickets.pop(ticket.id, None) is None:
                    return
            self._admission.leave(ticket.owner, isinstance(event, Result))
        ticket.post(event)

    def _refuse(self, sentence: str) -> None:
        with self._lock:
            if self._refused != CLOSING:
                self._refused = sentence

    def _give_up(self, sentence: str) -> None:
        log.error("no replica serves: %s", sentence)
        self._refuse(sentence)
        self._ready.set()
        self._end_all(sentence)

    def _end_all(self, sentence: str) -> None:
        """End what is open; also what is still on its way to the loop, or comes after its end."""
        if threading.current_thread() is self._thread and self._loop.is_running():
            self._dispatcher.end_all(Failed(sentence))
        for ticket in list(self._tickets.values()):
            self._deliver(ticket, Failed(sentence))

    # --- small things -------------------------------------------------------------------------

    def _soon(self, function: Callable[..., None], *arguments: Any) -> None:
        with suppress(RuntimeError):  # the loop has ended: so has every ticket
            self._loop.call_soon_threadsafe(function, *arguments)

    def _of_fleet(self, function: Callable[[Fleet], Any]) -> Any:
        """What a function makes of the fleet, in the loop; raises UserError without one."""

        async def call() -> Any:
            if self._fleet is None:
                raise UserError(self._refused or AWAY)
            return function(self._fleet)

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(10)


def _in_words(devices: Sequence[str]) -> str:
    """["cpu", "cpu"] is "2 x cpu"."""
    return ", ".join(f"{devices.count(kind)} x {kind}" for kind in dict.fromkeys(devices))
