"""Keeps as many replicas as are wanted: asks for them, watches them, drains and deletes them.

Knows no request and no Ray: a `Cluster` deploys, a `Router` is told who lives. One loop owns it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from genlab.engine.events import Event
from genlab.engine.job import JobId
from genlab.requests import Request
from genlab.serving.autoscaling import Autoscaler
from genlab.serving.ray_cluster import PREFIX, LostReplica
from genlab.serving.ray_replica import Report
from genlab.serving.router import Router
from genlab.serving.thread import DEATHS

log = logging.getLogger(__name__)

PULSE = 0.5  # seconds between two looks at a replica, and at how many there should be
SILENCE = 30.0  # seconds without an answer until a replica counts as lost; death is told at once
RETRY = 2.0  # seconds between two attempts to ask for a replica
HEADLESS = 6  # looks in a row at which the head did not answer, until it counts as lost
DELETING = 10.0  # seconds that giving all places back may take; a dead head never answers
DESERTED = 180.0  # seconds without any living replica until the cluster is joined anew


class Handle(Protocol):
    """A replica."""

    def run(self, request: Request, owner: str) -> AsyncGenerator[Event, None]: ...

    async def report(self) -> Report: ...


class Cluster(Protocol):
    """Where replicas live (`ray_cluster.RayCluster`; a fake in tests)."""

    outlives_us: bool  # whether it goes on without this process

    async def connect(self) -> None: ...

    async def deploy(self, name: str) -> Handle: ...

    async def delete(self, name: str) -> None: ...

    async def head_answers(self) -> bool: ...

    async def disconnect(self) -> None: ...


@dataclass
class Member:
    """One replica of the fleet."""

    name: str
    handle: Handle | None = None  # None until it was asked for
    report: Report | None = None  # None until it has answered
    draining: bool = False  # finishes what it has
    leaving: bool = False  # is being deleted
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class Fleet:
    """The replicas of one connection to a cluster.

    Args:
        cluster: is connected.
        router: is told who lives.
        autoscaler: says how many there should be; None: as many as ``wanted`` says.
        wanted: how many there should be.
        changed: called when a replica lives, has reported, or has gone.
        lost: called with the jobs of a replica that is gone; they wait again.
    """

    def __init__(
        self,
        cluster: Cluster,
        router: Router,
        autoscaler: Autoscaler | None,
        wanted: int,
        changed: Callable[[], None],
        lost: Callable[[Sequence[JobId]], None],
    ) -> None:
        self.wanted = wanted
        self.restarts = 0  # of replicas that had died
        self.broken: set[str] = set()  # incarnations whose engine did not start, or has ended
        self._cluster = cluster
        self._router = router
        self._autoscaler = autoscaler
        self._changed = changed
        self._lost = lost
        self._members: dict[str, Member] = {}
        self._numbers = itertools.count()

    # --- what is there ------------------------------------------------------------------------

    def handle(self, name: str) -> Handle:
        """To talk to a replica."""
        handle = self._members[name].handle
        assert handle is not None, "the router knows only replicas that have answered"
        return handle

    def reports(self) -> dict[str, Report]:
        """What the living replicas last told of themselves, by name."""
        alive = {name: self._members[name].report for name in self._router.alive()}
        return {name: report for name, report in alive.items() if report is not None}

    def drain(self, name: str) -> None:
        """Let a replica finish what it has and go; another one takes its place."""
        if name in self._members:
            self._members[name].draining = True
            self._router.drain(name)

    def replica_lost(self, name: str) -> None:
        """A request has found out that its replica is gone."""
        jobs = self._router.down(name, time.monotonic())
        if jobs:
            self._lost(jobs)
        self._changed()

    # --- its life -----------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the fleet until the cluster is lost, or until engines do not start there."""
        absent, last_alive = 0, time.monotonic()
        try:
            while True:
                absent = 0 if await self._cluster.head_answers() else absent + 1
                now = time.monotonic()
                last_alive = now if self._router.alive() else last_alive
                if absent >= HEADLESS or now - last_alive > DESERTED:
                    log.error("the cluster is lost: %s", "no head" if absent else "no replica")
                    return
                if len(self.broken) >= DEATHS and not self._router.alive():
                    log.error("replicas live, but their engines do not start")
                    return
                if self._autoscaler is not None:
                    backlog, spent = self._router.backlog(), self._router.spent
                    self.wanted = self._autoscaler.wanted(backlog, spent, now)
                self._keep()
                await asyncio.sleep(PULSE)
        finally:
            tasks = [task for member in self._members.values() for task in member.tasks]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def delete_all(self) -> None:
        """Give all places back, where they are not gone with the cluster anyway."""
        if not self._cluster.outlives_us:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(DELETING):
                deleting = [self._cluster.delete(name) for name in self._members]
                await asyncio.gather(*deleting, return_exceptions=True)

    def _keep(self) -> None:
        """Ask for replicas that are missing, drain those that are too many, let drained ones go."""
        staying = [member for member in self._members.values() if not member.draining]
        for _ in range(self.wanted - len(staying)):
            member = Member(f"{PREFIX}{next(self._numbers)}")
            self._members[member.name] = member
            member.tasks.append(asyncio.create_task(self._watch(member)))
        if len(staying) > self.wanted:
            alive = self._router.alive()
            staying.sort(key=lambda m: (m.name in alive, self._router.open_jobs(m.name)))
            for member in staying[: len(staying) - self.wanted]:
                self.drain(member.name)
        for member in list(self._members.values()):
            idle = member.draining and self._router.open_jobs(member.name) == 0
            if idle and member.handle is not None and not member.leaving:
                member.leaving = True
                self.replica_lost(member.name)
                member.tasks.append(asyncio.create_task(self._delete(member)))

    async def _watch(self, member: Member) -> None:
        """Ask for a replica, then how it fares, again and again."""
        while member.handle is None:
            try:
                member.handle = await self._cluster.deploy(member.name)
            except Exception as error:  # Ray's, of any kind; there may be room later
                log.warning("no replica yet: %r", error)
                await asyncio.sleep(RETRY)
        while not member.leaving:
            try:
                async with asyncio.timeout(SILENCE):  # 3.11's wait_for may swallow a cancellation
                    report = await member.handle.report()
            except (LostReplica, TimeoutError) as error:
                if member.name in self._router.alive():
                    log.warning("replica %s is lost: %r", member.name, error)
                    self.replica_lost(member.name)
            else:
                self._take(member, report)
            await asyncio.sleep(PULSE)

    def _take(self, member: Member, report: Report) -> None:
        """Tell the router what a replica says of itself."""
        if member.leaving:
            return
        if member.report is not None and member.report.incarnation != report.incarnation:
            log.warning("replica %s was started again", member.name)
            self.restarts += 1
            self.replica_lost(member.name)
        member.report = report
        if not report.figures.healthy:
            self.broken.add(report.incarnation)
            self.replica_lost(member.name)
            return
        models = report.figures.models
        rows = {name: int(about["rows_a_unit"]) for name, about in models.items()}
        self._router.up(member.name, time.monotonic(), rows)
        if report.figures.device:
            self.broken.clear()
        if member.draining:
            self._router.drain(member.name)
        self._changed()

    async def _delete(self, member: Member) -> None:
        await self._cluster.delete(member.name)
        self._members.pop(member.name, None)
        member.tasks[0].cancel()
        self._changed()
