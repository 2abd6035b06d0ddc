"""Who goes next, and together: by device time that was measured. Knows no model, no thread.

Every owner has an account of the device seconds that were spent on them; the one with the least
goes next. Inside an owner's share, their own kinds of work take turns the same way.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from typing import Any

from genlab.engine.costs import UNIT_SECONDS, UnitCost
from genlab.engine.job import Job

REMEMBERED = 1024  # accounts; an owner who was away for so many others begins anew

PATIENCE = 1.25
"""How much longer than evenly shared a unit may be: what was measured on a busy machine wavers."""

OVERDUE = 2.0
"""How many times longer than everybody's turn an owner may be passed over. By their accounts nobody
is, but whoever comes begins with the least served: a stream of newcomers would keep others out."""

Key = tuple[str, ...]
"""Jobs with equal keys can share one unit of work: checkpoint, batch key, kind of unit."""


class Accounts:
    """Seconds spent on each name, in a bounded number of accounts."""

    def __init__(self) -> None:
        self._seconds: OrderedDict[Hashable, float] = OrderedDict()

    def enter(
        self,
        name: Hashable,
        at_work: Iterable[Hashable],
        peer: Callable[[Any], bool] = lambda name: True,
    ) -> None:
        """Let a name begin no further back than the least served of those at work.

        So nobody saves up time while away. Whoever comes when nobody is at work begins level with
        the most served: what was had while no one else waited is no debt to those who come later.
        A name that is among those at work keeps its account.

        Args:
            name: who comes.
            at_work: names that are here.
            peer: whether a name that was here before shares with this one.
        """
        before = max((own for n, own in self._seconds.items() if peer(n)), default=0.0)
        least = min(map(self.seconds, at_work), default=before)
        self._set(name, max(self.seconds(name), least))

    def charge(self, name: Hashable, seconds: float) -> None:
        """Add what was spent."""
        self._set(name, self.seconds(name) + seconds)

    def seconds(self, name: Hashable) -> float:
        """What was spent so far; 0 for a new name."""
        return self._seconds.get(name, 0.0)

    def _set(self, name: Hashable, seconds: float) -> None:
        self._seconds[name] = seconds
        self._seconds.move_to_end(name)  # who is at work is not forgotten
        while len(self._seconds) > REMEMBERED:
            self._seconds.popitem(last=False)


class Fairness:
    """Chooses the jobs of the next unit of work, and keeps the accounts."""

    def __init__(self) -> None:
        self._owners = Accounts()
        self._kinds = Accounts()  # by (owner, checkpoint and batch key)
        self._last_units: OrderedDict[tuple[str, Key], int] = OrderedDict()  # by number
        self._units = 0  # that were charged
        self._passed_over: dict[str, float] = {}  # seconds, by owners who could have moved
        self._turns: dict[str, float] = {}  # seconds that each of them had in their last unit

    def enter(self, job: Job, jobs: Iterable[Job]) -> None:
        """A job has come to the ``jobs`` that are here."""
        self._owners.enter(job.owner, {other.owner for other in jobs})

    def enter_kind(self, job: Job, jobs: Iterable[Job]) -> None:
        """It is known by now what kind of work a job is for its owner, who has other ``jobs``."""
        own = (o for o in jobs if o.owner == job.owner and o is not job and o.batch_key)
        at_work = {(o.owner, o.batch_key) for o in own}
        self._kinds.enter((job.owner, job.batch_key), at_work, lambda kind: kind[0] == job.owner)

    def next_batch(
        self,
        ready: Sequence[tuple[Key, Job]],
        cost: Callable[[Key], UnitCost],
        rows: Callable[[Job], int],
    ) -> tuple[Key, list[Job]] | None:
        """The kind of unit that is due and its jobs; None if nothing is ready.

        The least served owner's jobs of one key come first, as many as the row limit has room for,
        one whatever its size. The units of one kind of work take turns, so that who comes begins
        beside those that are under way. Others of the same key ride along in the order of their
        accounts, as long as the unit stays no longer than that owner would wait if the engine were
        shared evenly: so a picture of two rows is not slowed down by a neighbour's thirty-two.

        Args:
            ready: jobs that can move, in the order of arrival, each with its key.
            cost: what units of a key take, learned so far.
            rows: how many rows a job adds to its next unit.
        """
        if not ready:
            return None
        owner = self._due({job.owner: None for _, job in ready})
        own_keys = dict.fromkeys(key for key, job in ready if job.owner == owner)

        def turn(key: Key) -> tuple[float, int]:
            return self._kinds.seconds((owner, key[:-1])), self._last_units.get((owner, key), 0)

        key = min(own_keys, key=turn)
        sharing = [job for k, job in ready if k == key]
        unit_cost = cost(key)
        limit = unit_cost.row_limit()
        batch: list[Job] = []
        total = 0
        for job in (job for job in sharing if job.owner == owner):
            if not batch or total + rows(job) <= limit:
                batch.append(job)
                total += rows(job)
        people = len({job.owner for _, job in ready})
        patience = PATIENCE * people * unit_cost.seconds(total)
        for job in self._in_turn([job for job in sharing if job.owner != owner]):
            more = total + rows(job)
            if more <= limit and unit_cost.seconds(more) <= patience:
                batch.append(job)
                total = more
        return key, batch

    def charge(self, key: Key, jobs: Sequence[Job], rows: Sequence[int], seconds: float) -> None:
        """Share the time of a unit among its jobs by their rows."""
        total = max(1, sum(rows))
        self._units += 1
        for name in self._passed_over:
            self._passed_over[name] += seconds
        for name in {job.owner for job in jobs}:
            self._passed_over[name] = self._turns[name] = 0.0
            self._last_units[name, key] = self._units
            self._last_units.move_to_end((name, key))
        while len(self._last_units) > REMEMBERED:
            self._last_units.popitem(last=False)
        for job, own in zip(jobs, rows, strict=True):
            self._owners.charge(job.owner, seconds * own / total)
            self._turns[job.owner] += seconds * own / total
            self._kinds.charge((job.owner, key[:-1]), seconds * own / total)

    def _due(self, owners: Collection[str]) -> str:
        """Who goes next of the owners who can: who is overdue, else the least served."""
        self._passed_over = {name: self._passed_over.get(name, 0.0) for name in owners}
        self._turns = {name: self._turns.get(name, 0.0) for name in owners}

        def overdue(name: str) -> float:
            turn = max(UNIT_SECONDS, self._turns[name])
            return self._passed_over[name] - OVERDUE * len(owners) * turn

        longest = max(owners, key=overdue)
        return longest if overdue(longest) > 0 else min(owners, key=self._owners.seconds)

    def _in_turn(self, jobs: Sequence[Job]) -> list[Job]:
        """One job of each owner, then the next of each, the least served owners first."""
        by_owner: dict[str, list[Job]] = {}
        for job in jobs:
            by_owner.setdefault(job.owner, []).append(job)
        queues = sorted(by_owner.values(), key=lambda own: self._owners.seconds(own[0].owner))
        most = max(map(len, queues), default=0)
        return [own[turn] for turn in range(most) for own in queues if turn < len(own)]
