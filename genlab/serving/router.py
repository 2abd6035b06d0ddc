"""Which replica serves which request: dense batches, and owners fair over all replicas.

A plain function of what it is told, as the core is: no thread, no clock, no Ray, no torch. Requests
wait here, not at the replicas, until one has room: so the least served owner is next wherever room
is made, a new replica has work at once, and one that dies takes little with it.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from genlab.engine.fairness import Accounts
from genlab.engine.job import JobId

BATCHES_AHEAD = 2  # full batches of a key at a replica: the one in work, and the next
LOADING = 5.0  # seconds that a replica is taken to be behind while it has to load the model first
SPILL = 5.0  # seconds that a replica may be behind another one and still be joined for its batch
FIRST_GUESS = 0.02  # device seconds of a unit of work before any was measured
NEWEST = 0.3  # weight of a new measurement


@dataclass(frozen=True)
class Work:
    """What a request needs.

    Attributes:
        key: requests with equal keys are taken to share network calls; the checkpoint comes first.
        rows: that it adds to a call.
        units: rows x steps, to which the device time is taken to be proportional.
    """

    key: tuple[str, ...]
    rows: int
    units: float


def work_of(request: Any) -> Work:
    """What a request needs, as far as that can be said without its model.

    A replica's core knows better which requests share a call: here they meet by checkpoint and kind
    of request, and there they are told apart.
    """
    rows = getattr(request, "count", 1) * getattr(request, "calls_per_step", 1)
    steps = getattr(request, "num_inference_steps", 1)
    return Work((request.checkpoint, type(request).__name__), rows, float(rows * steps))


@dataclass
class _Job:
    id: JobId
    work: Work
    owner: str
    left: float = 1.0  # the part of it that is still to be done
    loading: bool = False  # whether it waits for its model
    charged: float = 0.0  # device seconds so far


@dataclass
class _Replica:
    name: str
    draining: bool = False
    jobs: dict[JobId, _Job] = field(default_factory=dict)
    rows_a_unit: Mapping[str, int] = field(default_factory=dict)  # by model that it has worked with
    since: float = 0.0  # until when its time has been charged

    def rows(self, key: tuple[str, ...]) -> int:
        return sum(job.work.rows for job in self.jobs.values() if job.work.key == key)


class Router:
    """Where requests wait and where they are served. Not thread-safe: one loop owns it.

    Args:
        max_rows: most rows of a network call, until a replica has said what it has learned.
    """

    def __init__(self, max_rows: int = 64) -> None:
        self._max_rows = max_rows
        self._replicas: dict[str, _Replica] = {}  # those that live
        self._waiting: dict[JobId, _Job] = {}  # in the order of arrival
        self._places: dict[JobId, str] = {}  # the replica of each job that is served
        self._accounts = Accounts()
        self._seconds_a_unit: dict[tuple[str, ...], float] = {}
        self.spent = 0.0  # device seconds of all replicas so far

    # --- requests -----------------------------------------------------------------------------

    def add(self, job_id: JobId, work: Work, owner: str) -> None:
        """Let a request wait for room."""
        self._accounts.enter(owner, {job.owner for job in self._all_jobs()})
        self._waiting[job_id] = _Job(job_id, work, owner)

    def place(self, now: float) -> list[tuple[JobId, str]]:
        """Send whatever there is room for; the jobs and their replicas, in order.

        The least served owner goes next, with the first of their jobs that a replica has room for.
        """
        takers = [replica for replica in self._replicas.values() if not replica.draining]
        behind = {replica.name: self.backlog([replica.name]) for replica in takers}
        kinds = {(job.work.key, job.work.rows): job.work for job in self._waiting.values()}
        full = {k for k, work in kinds.items() if self._room_for(work, takers, behind) is None}
        if len(full) == len(kinds):
            return []
        queues: dict[str, deque[_Job]] = {}
        for job in self._waiting.values():
            queues.setdefault(job.owner, deque()).append(job)
        served = {owner: self._accounts.seconds(owner) for owner in queues}
        for replica in self._replicas.values():
            for job in replica.jobs.values():
                if job.owner in served:  # what they have on the way is not charged yet
                    served[job.owner] += self._remaining(job)
        turns = [(seconds, order, owner) for order, (owner, seconds) in enumerate(served.items())]
        heapq.heapify(turns)
        placed: list[tuple[JobId, str]] = []
        while turns and len(full) < len(kinds):
            seconds, order, owner = heapq.heappop(turns)
            while queues[owner]:
                job = queues[owner].popleft()
                kind = (job.work.key, job.work.rows)
                replica = None if kind in full else self._room_for(job.work, takers, behind)
                if replica is None:
                    full.add(kind)
                    continue
                self._send(job, replica, now)
                placed.append((job.id, replica.name))
                more = self._remaining(job)
                behind[replica.name] += more
                heapq.heappush(turns, (seconds + more, order, owner))
                break
        return placed

    def _send(self, job: _Job, replica: _Replica, now: float) -> None:
        self._settle(replica, now)
        del self._waiting[job.id]
        job.left, job.charged, job.loading = 1.0, 0.0, False
        replica.jobs[job.id] = job
        self._places[job.id] = replica.name

    def moved(self, job_id: JobId, step: int, total: int, now: float) -> None:
        """A job has taken a step."""
        self._set_loading(job_id, False, now)
        if (job := self._placed(job_id)) is not None:
            job.left = max(0.0, 1 - step / max(1, total))

    def waits_for_model(self, job_id: JobId, now: float) -> None:
        """A job cannot begin: its model is being loaded. Nobody is charged for that."""
        self._set_loading(job_id, True, now)

    def finish(self, job_id: JobId, now: float, drawn: bool = True) -> None:
        """A job has ended; if it was drawn to the end, what it took is remembered of its kind."""
        self._waiting.pop(job_id, None)
        name = self._places.pop(job_id, None)
        if name is None:
            return
        replica = self._replicas[name]
        self._settle(replica, now)
        job = replica.jobs.pop(job_id)
        if drawn and job.charged > 0:
            new, key = job.charged / job.work.units, job.work.key
            old = self._seconds_a_unit.get(key, new)
            self._seconds_a_unit[key] = old + NEWEST * (new - old)

    def place_of(self, job_id: JobId) -> str | None:
        """The replica that serves a job; None while it waits."""
        return self._places.get(job_id)

    def waiting(self) -> list[JobId]:
        """The jobs that wait here, in the order of arrival."""
        return list(self._waiting)

    # --- replicas -----------------------------------------------------------------------------

    def up(self, name: str, now: float, rows_a_unit: Mapping[str, int] | None = None) -> None:
        """A replica lives, and has so many rows a unit of work with each model that it has."""
        replica = self._replicas.get(name)
        if replica is None:
            replica = self._replicas[name] = _Replica(name, since=now)
        replica.rows_a_unit = dict(rows_a_unit or {})

    def drain(self, name: str) -> None:
        """Send a replica nothing more; it finishes what it has."""
        if name in self._replicas:
            self._replicas[name].draining = True

    def down(self, name: str, now: float) -> list[JobId]:
        """A replica is gone. What it had waits again, before all others; those jobs."""
        replica = self._replicas.pop(name, None)
        if replica is None:
            return []
        self._settle(replica, now)
        lost = replica.jobs
        for job_id in lost:
            del self._places[job_id]
        self._waiting = lost | self._waiting
        return list(lost)

    def open_jobs(self, name: str) -> int:
        """How many jobs a replica has."""
        return len(self._replicas[name].jobs) if name in self._replicas else 0

    def alive(self) -> list[str]:
        """The replicas that can be sent something."""
        return [replica.name for replica in self._replicas.values() if not replica.draining]

    # --- time ---------------------------------------------------------------------------------

    def backlog(self, names: Collection[str] | None = None) -> float:
        """Device seconds still to be worked: of some replicas, or of all and what waits here."""
        if names is None:
            return sum(self._remaining(job) for job in self._all_jobs())
        jobs = [job for name in names for job in self._replicas[name].jobs.values()]
        return sum(map(self._remaining, jobs))

    def _remaining(self, job: _Job) -> float:
        known = self._seconds_a_unit
        mean = sum(known.values()) / len(known) if known else FIRST_GUESS
        return known.get(job.work.key, mean) * job.work.units * job.left

    def _settle(self, replica: _Replica, now: float) -> None:
        """Share the time since the last call among a replica's jobs, by their rows."""
        seconds, replica.since = max(0.0, now - replica.since), now
        if not seconds:
            return
        sharing = [job for job in replica.jobs.values() if not job.loading]
        rows = sum(job.work.rows for job in sharing)
        for job in sharing:
            own = seconds * job.work.rows / rows
            job.charged += own
            self.spent += own
            self._accounts.charge(job.owner, own)

    # --- who goes where -----------------------------------------------------------------------

    def _room_for(
        self, work: Work, takers: Collection[_Replica], behind: Mapping[str, float]
    ) -> _Replica | None:
        """A batch that can be joined, else the replica that will be there first, else none."""
        least = min(behind.values(), default=0.0)
        joinable: list[_Replica] = []
        others: list[_Replica] = []  # where it opens a batch
        later: list[_Replica] = []  # where it is for the batch after this one
        for replica in takers:
            own, limit = replica.rows(work.key), self._limit(replica, work.key)
            if own and own + work.rows <= limit and behind[replica.name] <= least + SPILL:
                joinable.append(replica)
            elif not own and (not replica.jobs or behind[replica.name] <= SPILL):
                others.append(replica)
            elif own and own + work.rows <= BATCHES_AHEAD * limit:
                later.append(replica)
        if joinable:
            return max(joinable, key=lambda replica: replica.rows(work.key))

        def there_at(replica: _Replica) -> float:
            has_model = work.key[0] in replica.rows_a_unit or replica.rows(work.key) > 0
            return behind[replica.name] + (0.0 if has_model else LOADING)

        return min(others or later, key=there_at, default=None)

    def _limit(self, replica: _Replica, key: tuple[str, ...]) -> int:
        return replica.rows_a_unit.get(key[0], self._max_rows)

    # --- small things -------------------------------------------------------------------------

    def _set_loading(self, job_id: JobId, loading: bool, now: float) -> None:
        job = self._placed(job_id)
        if job is not None and job.loading != loading:
            self._settle(self._replicas[self._places[job_id]], now)
            job.loading = loading

    def _placed(self, job_id: JobId) -> _Job | None:
        name = self._places.get(job_id)
        return None if name is None else self._replicas[name].jobs[job_id]

    def _all_jobs(self) -> list[_Job]:
        placed = [job for replica in self._replicas.values() for job in replica.jobs.values()]
        return [*self._waiting.values(), *placed]
