"""A core on this process's device: what every driver steps, in whatever thread or process."""

from __future__ import annotations

import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from weakref import WeakKeyDictionary

from genlab.engine.core import Core
from genlab.engine.device import Device
from genlab.engine.faults import is_device_lost
from genlab.engine.runner import Runner
from genlab.models.cache import ModelCache
from genlab.models.judging import Judging
from genlab.models.registry import Registry
from genlab.requests import UserError
from genlab.settings import Settings


class LocalCore(Core):
    """A core that knows which device it runs on, and its loaded models."""

    def __init__(self, cache: ModelCache, judging: Judging, device: Device) -> None:
        super().__init__(cache, judging.follow_up)
        self.cache = cache
        self.device = device.torch
        self._weight_bytes: WeakKeyDictionary[Runner, int] = WeakKeyDictionary()

    def figures(self) -> dict[str, dict[str, Any]]:
        """Of the models that have taken steps; those in memory say how much they take."""
        figures = super().figures()
        for name, runner in self.cache.loaded().items():
            if runner not in self._weight_bytes:
                self._weight_bytes[runner] = runner.nbytes
            if name in figures:
                figures[name]["weight_bytes"] = self._weight_bytes[runner]
        return figures


def build_core(
    registry: Registry,
    settings: Settings,
    model_changed: Callable[[], None] | None = None,
) -> LocalCore:
    """A core over the registry's models.

    Args:
        registry: what models there are.
        settings: device, memory and rows.
        model_changed: called from a thread of its own when a model has been loaded; None: models
            are loaded, and graphs made, at once, in the thread that steps.

    Raises:
        UserError: if there is no such device.
    """
    # What the heavy imports have made lives as long as the process: frozen, it is not looked
    # through again by each full collection, which would hold up everybody for a second.
    gc.collect()
    gc.freeze()
    background = None
    if model_changed is not None:
        background = ThreadPoolExecutor(1, thread_name_prefix="genlab-load")
    try:
        device = Device(settings.device, settings.max_rows, background=background)
        device.check()
    except (RuntimeError, AssertionError) as error:
        if is_device_lost(error):
            raise UserError("The device stopped working; GenLab has to be restarted.") from None
        raise UserError(
            f"There is no device {settings.device!r} here: choose another with GENLAB_DEVICE or "
            "--device."
        ) from None
    registry.bytes_per_weight = device.dtype.itemsize
    cache = ModelCache(registry, device, settings.memory_gb * 1e9, background)
    if model_changed is not None:
        cache.on_change = model_changed
    return LocalCore(cache, Judging(registry), device)
