"""Who runs what: the tickets behind each visitor's buttons, so that Stop and a closed tab end them.

Knows no page, no model and no driver.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from genlab.requests import Request
from genlab.serving.client import Client, Ticket


class Stopped(Exception):
    """The visitor pressed Stop or left, or the teacher ended the run; its text says what to say."""

    def __init__(self, sentence: str = "Stopped. The engine is free again.") -> None:
        super().__init__(sentence)


class Superseded(Exception):
    """The visitor wanted something else before the answer came; the newer run shows its own."""


class Run:
    """The tickets behind one press of a button; a context manager that leaves none open."""

    _ids = itertools.count(1)

    def __init__(self, registry: RunRegistry, owner: str, slot: str, account: str = "") -> None:
        self.id = next(self._ids)
        self.owner = owner
        self.account = account or owner
        self.slot = slot
        self.begun = time.monotonic()
        self.ending: Exception | None = None  # why the run has to end, once it has to
        self._registry = registry
        self._tickets: list[Ticket] = []
        self._admitted = False

    @property
    def open_jobs(self) -> int:
        """How many of its requests are waiting or running."""
        return sum(not ticket.ended for ticket in self._tickets)

    def submit(self, requests: Sequence[Request]) -> list[Ticket]:
        """Queue every request; raises UserError, or Stopped and Superseded if it is too late.

        A run that was let in goes on to its end, however many requests come one after another.
        """
        if not self._admitted:
            self._registry.admit(self.account)
            self._admitted = True
        tickets: list[Ticket] = []
        self._tickets = [ticket for ticket in self._tickets if not ticket.ended]
        for request in requests:
            if self.ending is not None:
                raise self.ending
            tickets.append(self._registry.client.submit(request, self.account))
            self._tickets.append(tickets[-1])
        if self.ending is not None:  # it came while the last one was on its way
            self.end(self.ending)
        return tickets

    def end(self, why: Exception) -> None:
        """Cancel what is open; whoever follows it learns why."""
        self.ending = self.ending or why
        for ticket in tuple(self._tickets):
            if not ticket.ended:
                self._registry.client.cancel(ticket.id)

    def __enter__(self) -> Self:
        self._registry.enter(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end(Stopped())
        self._registry.leave(self)


class RunRegistry:
    """The runs of all visitors. A visitor has one run a slot: a newer one replaces it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._lock = threading.Lock()
        self._runs: dict[tuple[str, str], Run] = {}
        self.accounts: dict[str, str] = {}
        """Whose quota an owner's runs take, where that is not the owner's own."""
        self.admit: Callable[[str], None] = lambda account: None
        """Raises UserError if that account may begin no run now."""

    def run(self, owner: str, slot: str, account: str = "") -> Run:
        """A new run, to be used in a ``with``; entering it ends the slot's previous one.

        Args:
            owner: who may stop it.
            slot: where on the page.
            account: whose quota and share of the device it takes; the owner's by default.
        """
        return Run(self, owner, slot, account or self.accounts.get(owner, ""))

    def slots(self, owner: str) -> list[str]:
        """Where the owner has runs."""
        with self._lock:
            return [slot for name, slot in self._runs if name == owner]

    def adopt(self, owner: str, heir: str) -> None:
        """Give an owner's runs to another, who may stop and replace them from now on.

        Where the heir has a run of its own, that one is the newer.
        """
        superseded = []
        with self._lock:
            for slot in [slot for name, slot in self._runs if name == owner]:
                run = self._runs.pop((owner, slot))
                run.owner = heir
                if self._runs.setdefault((heir, slot), run) is not run:
                    superseded.append(run)
        for run in superseded:
            run.end(Superseded())

    def stop(self, owner: str, slot: str | None = None) -> int:
        """End the owner's run in a slot, or all of them; how many there were."""
        with self._lock:
            runs = [run for (name, _), run in self._runs.items() if name == owner]
        runs = [run for run in runs if slot is None or run.slot == slot]
        for run in runs:
            run.end(Stopped())
        return len(runs)

    def make_way(self, owner: str, slot: str, begun_before: float) -> None:
        """End the owner's run in a slot for a newer one to come, if it is as old as that."""
        with self._lock:
            run = self._runs.get((owner, slot))
        if run is not None and run.begun < begun_before:
            run.end(Superseded())

    def under_way(self) -> list[Run]:
        """The runs of all visitors, the oldest first."""
        with self._lock:
            return sorted(self._runs.values(), key=lambda run: run.begun)

    @property
    def count(self) -> int:
        """How many runs of all visitors are under way."""
        return len(self._runs)

    @property
    def open_jobs(self) -> int:
        """How many requests of all visitors are waiting or running."""
        with self._lock:
            return sum(run.open_jobs for run in self._runs.values())

    def enter(self, run: Run) -> None:
        """Make a run the current one of its slot."""
        with self._lock:
            previous = self._runs.get((run.owner, run.slot))
            self._runs[run.owner, run.slot] = run
        if previous is not None:
            previous.end(Superseded())

    def leave(self, run: Run) -> None:
        """Forget a run, unless a newer one has its slot by now."""
        with self._lock:
            if self._runs.get((run.owner, run.slot)) is run:
                del self._runs[run.owner, run.slot]
