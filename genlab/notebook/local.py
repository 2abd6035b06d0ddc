"""A Lab in this process: its own models and its own engine. Torch is loaded when it is opened."""

from __future__ import annotations

import weakref
from typing import Any

from pydantic import ValidationError

from genlab.engine.events import Failed, Result
from genlab.generation_metadata import put
from genlab.images import to_pil
from genlab.models.registry import Registry
from genlab.notebook.lab import Lab, drawing
from genlab.notebook.pictures import Pictures
from genlab.notebook.progress import ProgressDisplay
from genlab.requests import UserError, explain, parse_request
from genlab.serving.client import Client
from genlab.serving.thread import ThreadClient
from genlab.settings import Settings

PREVIEW_EVERY = 5
"""Steps from one preview to the next."""


class LocalLab(Lab):
    """Draws with a client of this process, which ends with it.

    Args:
        registry: what models there are.
        client: what serves them; it runs already.
    """

    def __init__(self, registry: Registry, client: Client) -> None:
        self._registry = registry
        self._client = client
        self._end = weakref.finalize(self, client.close)  # at the latest when Python ends

    def checkpoints(self) -> list[dict[str, Any]]:
        return [metadata.summary() for metadata in self._registry.entries.values()]

    def sample(self, checkpoint: str, **settings: Any) -> Pictures:
        metadata = self._registry.entry(checkpoint)
        _, kind = drawing(checkpoint, metadata.family)
        with ProgressDisplay(metadata.title) as progress:
            if progress.previews and "preview_every" in kind.model_fields:
                settings = {"preview_every": PREVIEW_EVERY} | settings
            request = parse_request(kind, checkpoint=checkpoint, **{"judge": True} | settings)
            ticket = self._client.submit(request)
            try:
                for event in ticket:
                    progress.show(event)
            except BaseException:  # the notebook's Interrupt
                self._client.cancel(ticket.id)
                raise
        if isinstance(event, Failed):
            raise UserError(event.message)
        if not isinstance(event, Result):
            raise UserError("The run was stopped.")
        own = self._registry.generation_metadata(request, event.fingerprint)
        images = [put(to_pil(image), one) for image, one in zip(event.images, own, strict=True)]
        figures = dict(event.figures)
        figures |= {"seconds": round(event.seconds, 3), "notes": list(event.notes)}
        return Pictures(tuple(images), figures)

    def close(self) -> None:
        self._end()


def open_here(settings: Settings) -> LocalLab:
    """A Lab on this machine's device; raises UserError if there is no such device."""
    memory = settings.memory_gb * 1e9
    registry = Registry(settings.checkpoints, settings.models, settings.downloads, memory)
    client = ThreadClient(registry, settings).start()
    lab = LocalLab(registry, client)
    client.wait_until_ready()
    return lab


def settings_with(values: dict[str, Any]) -> Settings:
    """The environment's settings with some of them given; raises UserError for a wrong one."""
    unknown = [name for name in values if name not in Settings.model_fields]
    if unknown:
        raise UserError(f"GenLab has no setting called {unknown[0]}.")
    try:
        return Settings(**values)
    except ValidationError as error:
        raise UserError(explain(Settings, error.errors()[0])) from None
