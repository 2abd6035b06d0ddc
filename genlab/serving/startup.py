"""What is done before a page is built: log, signals, a look at the address, the models."""

from __future__ import annotations

import gc
import logging
from typing import Any

from genlab.models.registry import Registry
from genlab.requests import UserError
from genlab.serving import logs
from genlab.serving.ending import check_address, end_on_signals
from genlab.settings import Host, Settings, unknown_settings

log = logging.getLogger(__name__)


def prepare(settings: Settings, host: Host) -> None:
    """Make the process ready to serve; raises UserError without an address or a folder to serve."""
    logs.lose_what_cannot_be_written()
    logs.set_up(settings.log, settings.log_prompts)
    for sentence in unknown_settings():
        log.warning("%s", sentence)
    end_on_signals()
    if not settings.checkpoints.is_dir():
        folder = str(settings.checkpoints)
        raise UserError(f"GENLAB_CHECKPOINTS is {folder!r}, but must be a folder that is there.")
    where = address(settings, host)
    check_address(where["server_name"], where["server_port"])


def settled() -> None:
    """All that stays as long as the process is there: the collector need not look at it again.

    Half a million objects of libraries and of the page cost each full collection a quarter of a
    second, during which no page gets an answer.
    """
    gc.collect()
    gc.freeze()


def address(settings: Settings, host: Host) -> dict[str, Any]:
    """Where the page's server listens, as Gradio's ``launch`` takes it."""
    name = "0.0.0.0" if host.space_id else settings.host
    return {"server_name": name, "server_port": settings.port, "share": settings.share}


def open_registry(settings: Settings) -> Registry:
    """The models there are, and those that visitors may bring or download."""
    return Registry(
        settings.checkpoints, settings.models, settings.downloads, settings.memory_gb * 1e9,
        settings.visitor_models,
    )  # fmt: skip
