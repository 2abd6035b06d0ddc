"""Who goes next, and together. Knows batch keys, rows and owners; no model, no thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from genlab.engine.job import Job

Lane = tuple[str, tuple[str, ...]]  # (owner, batch key)


class Batcher:
    """Fair step-level batching.

    Jobs wait in lanes, one for each owner and batch key, first come first served inside a lane.
    The lane served longest ago picks the batch key; then every lane of that key gives one job in
    turn until ``max_rows`` rows are full. So an owner with twenty jobs never delays an owner with
    one, and a batch key never waits for another to run dry.
    """

    def __init__(self, max_rows: int) -> None:
        self.max_rows = max_rows
        self._lanes: dict[Lane, deque[Job]] = {}  # least recently served first

    def __len__(self) -> int:
        return sum(len(lane) for lane in self._lanes.values())

    def jobs(self) -> list[Job]:
        """Every job inside, in the order of arrival."""
        return sorted((j for lane in self._lanes.values() for j in lane), key=lambda j: j.id)

    def count(self, owner: str) -> int:
        """How many jobs this owner has inside; cancelled ones are as good as gone."""
        lanes = [lane for (who, _), lane in self._lanes.items() if who == owner]
        return sum(not job.cancelled.is_set() for lane in lanes for job in lane)

    def add(self, job: Job) -> None:
        """Let a job take part from the next batch on."""
        self._lanes.setdefault((job.owner, job.request.batch_key), deque()).append(job)

    def remove(self, job: Job) -> None:
        """Take a finished, failed or cancelled job out."""
        lane = (job.owner, job.request.batch_key)
        self._lanes[lane].remove(job)
        if not self._lanes[lane]:
            del self._lanes[lane]

    def next_batch(self, may_move: Callable[[Job], bool] = lambda job: True) -> list[Job]:
        """The jobs of the next network call; empty when there is nothing to do.

        The first job is taken whatever its size (the runtime splits what is too large); the rest
        only while their rows fit. Jobs that may not move keep their place.
        """
        key = next((k for (_, k), jobs in self._lanes.items() if any(map(may_move, jobs))), None)
        if key is None:
            return []
        sharing = [lane for lane in self._lanes if lane[1] == key]
        batch: list[Job] = []
        rows = 0
        for turn in range(max(len(self._lanes[lane]) for lane in sharing)):
            for lane in sharing:
                if turn >= len(self._lanes[lane]):
                    continue
                job = self._lanes[lane][turn]
                if not may_move(job):
                    continue
                if batch and rows + job.request.rows > self.max_rows:
                    continue
                batch.append(job)
                rows += job.request.rows
        served = {(job.owner, key) for job in batch}
        for lane in [lane for lane in sharing if lane in served]:
            self._lanes[lane] = self._lanes.pop(lane)  # to the end of the order
        return batch
