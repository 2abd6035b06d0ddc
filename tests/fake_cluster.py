"""A cluster inside this process: replicas are thread drivers over a runner that counts."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from genlab.engine.core import Core
from genlab.engine.events import Event
from genlab.engine.job import Job
from genlab.requests import Request, UserError
from genlab.serving.client import ServingFigures
from genlab.serving.ray_cluster import LostReplica
from genlab.serving.ray_replica import Report
from genlab.serving.thread import ThreadClient
from genlab.settings import Settings
from tests.fakes import CountingRunner, FakeModels, FakeRegistry


class SlowRunner(CountingRunner):
    """Takes so many seconds a step."""

    pace = 0.0

    def predict(self, jobs: Sequence[Job]) -> list[int]:
        time.sleep(self.pace)
        return super().predict(jobs)


class FakeReplica:
    """One replica: it can be killed, be started again, and have no engine."""

    def __init__(self, name: str, pace: float, healthy: bool) -> None:
        self.name = name
        self.pace = pace
        self.healthy = healthy
        self.served: list[Any] = []  # the requests that reached it
        self.deleted = False
        self._numbers = itertools.count()
        self._streams: set[asyncio.Task[Any]] = set()
        self.start()

    def start(self) -> None:
        self.models = FakeModels(SlowRunner())
        self.models.runner.pace = self.pace
        self.client = ThreadClient(
            FakeRegistry(),  # type: ignore[arg-type]
            Settings(max_jobs=10_000, max_jobs_per_owner=10_000),
            lambda *_: Core(self.models),
        ).start()
        self.incarnation = f"{self.name} {next(self._numbers)}"
        self.alive = True

    def kill(self) -> None:
        self.alive = False
        self.client.close()

    async def run(self, request: Request, owner: str) -> AsyncGenerator[Event, None]:
        if not self.alive:
            raise LostReplica(self.name)
        self.served.append(request)
        ticket = self.client.submit(request, owner)
        try:
            async for event in ticket:
                if not self.alive:
                    raise LostReplica(self.name)
                yield event
        finally:
            self.client.cancel(ticket.id)

    async def report(self) -> Report:
        while not self.alive:
            await asyncio.sleep(0.05)
        figures = ServingFigures("cpu" if self.healthy else "", 0, 0, self.healthy)
        return Report(self.incarnation, 1, figures, 4)


class FakeCluster:
    """Where they live. ``healthy``: whether engines start; ``head``: whether it can be joined."""

    def __init__(self, settings: Settings) -> None:
        self.outlives_us = True
        self.replicas: dict[str, FakeReplica] = {}
        self.head = True
        self.connections = 0
        self.healthy = True
        self.pace = 0.0

    async def connect(self) -> None:
        if not self.head:
            raise UserError("There is no Ray cluster at 'nowhere'.")
        self.connections += 1

    async def deploy(self, name: str) -> FakeReplica:
        self.replicas[name] = FakeReplica(name, self.pace, self.healthy)
        return self.replicas[name]

    async def delete(self, name: str) -> None:
        self.replicas[name].deleted = True
        self.replicas[name].kill()

    async def head_answers(self) -> bool:
        return self.head

    async def disconnect(self) -> None:
        for replica in self.replicas.values():
            if replica.alive:
                replica.kill()

    def lose_head(self) -> None:
        """The head dies, and its replicas with it."""
        self.head = False
        for replica in self.replicas.values():
            replica.kill()
