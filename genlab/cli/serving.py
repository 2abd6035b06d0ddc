"""What the commands serve themselves from: the models there are, and a client. No torch."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from genlab.models.registry import Registry
from genlab.serving.client import Client
from genlab.serving.thread import ThreadClient
from genlab.settings import Settings


def settings_for(device: str | None) -> Settings:
    """The settings, with the device of the command line, and no visitor's limits."""
    settings = Settings()
    own = {"max_jobs": 256, "max_jobs_per_owner": 256}  # there is nobody to share with
    return settings.model_copy(update=own | ({"device": device} if device else {}))


def open_registry(settings: Settings) -> Registry:
    """The models there are."""
    memory = settings.memory_gb * 1e9
    return Registry(settings.checkpoints, settings.models, memory_bytes=memory)


@contextmanager
def serving(registry: Registry, settings: Settings) -> Iterator[Client]:
    """A client on this machine's device; raises UserError if there is no such device."""
    # stdout is for the answer, but huggingface_hub prints there while it loads
    with redirect_stdout(io.StringIO()), ThreadClient(registry, settings) as client:
        client.wait_until_ready()
        yield client
