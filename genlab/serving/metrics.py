"""What Prometheus reads at ``/metrics``: counts and times, nobody's prompt or name. Knows no page.

A step of this house is a unit of work: ``genlab_rows_total / genlab_steps_total`` is rows a step.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from genlab.engine.events import Result
from genlab.serving.client import Client
from genlab.serving.loop_lag import LoopLag
from genlab.serving.teacher import Teacher

CONTENT = "text/plain; version=1.0.0; charset=utf-8"
SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)  # bounds of the histograms
LAG_SECONDS = 60.0
COUNTED = {
    "device_seconds": "seconds of device time, by family",
    "steps": "units of work of a network's steps",
    "rows": "rows in them: an image, or two with guidance, is a row",
    "out_of_memory": "network calls that ran out of memory and were tried again smaller",
}
"""What a driver counts for each model and only grows."""


class Meters:
    """What became of the jobs, counted as they end. Any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._jobs = Counter(
            "genlab_jobs", "jobs that ended, and those that were refused", ["family", "outcome"],
            registry=self.registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "genlab_job_seconds", "from a job's first step to its result", ["family"],
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self._waited = Histogram(
            "genlab_job_wait_seconds", "in the queue, of jobs that got their result", ["family"],
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip

    def refused(self, family: str) -> None:
        """A request was not taken."""
        self._jobs.labels(family, "refused").inc()

    def ended(self, family: str, outcome: str, result: Result | None) -> None:
        """A job has had its last event: "result", "failed" or "cancelled"."""
        self._jobs.labels(family, outcome).inc()
        if result is not None:
            self._seconds.labels(family).observe(result.seconds)
            self._waited.labels(family).observe(result.waited)


@dataclass(frozen=True)
class House:
    """Where the figures of a moment come from.

    Attributes:
        client: queue, restarts, and what the models have done.
        lag: of the page's event loop.
        family_of: the family of a model's name; "" if there is no such model.
        sessions: how many browser sessions are remembered.
        picture_bytes: of finished pictures that are kept.
    """

    client: Client
    lag: LoopLag
    family_of: Callable[[str], str]
    sessions: Callable[[], int]
    picture_bytes: Callable[[], int]

    def collect(self) -> Iterator[Metric]:
        """Every figure of this moment; called by Prometheus' library."""
        figures = self.client.figures()
        lag = self.lag.figures(LAG_SECONDS)
        yield _gauge("healthy", "1 unless GenLab has to be restarted", float(figures.healthy))
        yield _gauge("open_jobs", "jobs waiting or running", figures.open_jobs)
        yield _gauge("waiting_jobs", "jobs whose first step is still to come", figures.waiting_jobs)
        yield _gauge("sessions", "browser sessions that are remembered", self.sessions())
        yield _gauge("picture_bytes", "finished pictures in memory", self.picture_bytes())
        late = GaugeMetricFamily(
            "genlab_event_loop_lag_seconds",
            f"by how much the event loop was late in the last {LAG_SECONDS:.0f} seconds",
            labels=["quantile"],
        )
        for quantile, name in (("0.5", "p50"), ("0.99", "p99"), ("1", "max")):
            late.add_metric([quantile], lag[name])
        yield late
        yield CounterMetricFamily(
            "genlab_restarts", "workers that died and were replaced", figures.restarts
        )
        yield from self._by_family(figures.models)

    def _by_family(self, models: Mapping[str, Mapping[str, Any]]) -> Iterator[Metric]:
        """What the models did and take; there is one line a family, whoever brings models."""
        totals: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        for name, model in models.items():
            family = self.family_of(name) or "unknown"
            for key in (*COUNTED, "weight_bytes"):
                totals[key][family] += model.get(key, 0)
        for key, words in COUNTED.items():
            counter = CounterMetricFamily(f"genlab_{key}", words, labels=["family"])
            for family, total in totals[key].items():
                counter.add_metric([family], total)
            yield counter
        weights = GaugeMetricFamily(
            "genlab_weight_bytes", "weights in the device's memory", labels=["family"]
        )
        for family, total in totals["weight_bytes"].items():
            weights.add_metric([family], total)
        yield weights


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(f"genlab_{name}", words, value)


def metrics_route(house: House, meters: Meters, teacher: Teacher) -> Route:
    """``/metrics``; where there is a teacher's key, for ``Authorization: Bearer <key>`` only."""
    meters.registry.register(house)
    ProcessCollector(registry=meters.registry)  # memory, processor time, open files
    PlatformCollector(registry=meters.registry)

    def metrics(request: Request) -> Response:  # in a thread: it may wait for a driver's lock
        header = request.headers.get("authorization", "").encode("latin-1")  # as it came
        given = header.decode(errors="replace").removeprefix("Bearer ")
        if not teacher.knows(given):
            return PlainTextResponse(
                "GenLab's figures want `Authorization: Bearer <the teacher's key>`.\n", 401
            )
        return Response(generate_latest(meters.registry), media_type=CONTENT)

    return Route("/metrics", metrics, methods=["GET"])
