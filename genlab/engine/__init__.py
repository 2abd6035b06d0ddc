"""The shared inference engine: submit a request, follow its events."""

from genlab.engine.engine import Engine
from genlab.engine.job import FINAL, Cancelled, Event, Failed, Job, Progress, Queued, Result
from genlab.engine.runtime import Runtime

__all__ = [
    "FINAL",
    "Cancelled",
    "Engine",
    "Event",
    "Failed",
    "Job",
    "Progress",
    "Queued",
    "Result",
    "Runtime",
]
