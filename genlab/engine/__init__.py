"""The shared inference engine: submit a request, follow its events."""

from genlab.engine.core import Engine
from genlab.engine.device import Runtime
from genlab.engine.job import FINAL, Cancelled, Event, Failed, Job, Progress, Queued, Result

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
