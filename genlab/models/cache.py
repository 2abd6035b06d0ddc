"""Loaded models on one device: load beside the work of others, unload the least recently used.

Knows no job: who asks says which models are in use.
"""

from __future__ import annotations

import gc
import logging
import threading
import time
import traceback
import weakref
from collections import OrderedDict
from collections.abc import Callable, Collection
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Literal

import torch

from genlab.engine.device import Device
from genlab.engine.runner import Runner
from genlab.families.description import load
from genlab.formats.fingerprints import stamp_of
from genlab.formats.metadata import BrokenCheckpoint, ModelMetadata
from genlab.models.families import FAMILIES
from genlab.models.registry import Registry, Stamp
from genlab.requests import UserError

log = logging.getLogger(__name__)

Waiting = Literal["loading", "no room"]
GOING = 20.0  # seconds that an unloaded model may still be held by whoever was using it
STALE = 60.0  # seconds after which a failed load is no news: nobody was waiting for it
POLL = 0.1  # seconds between two looks at it; each look costs a garbage collection


@dataclass
class _Loaded:
    """A model in memory, and which files it was loaded from."""

    runner: Runner
    entry: ModelMetadata
    stamp: Stamp


@dataclass
class _Load:
    """A model on its way into memory."""

    entry: ModelMetadata
    nbytes: int
    leaving: list[weakref.ref[Runner]] = field(default_factory=list)  # have to be gone before


class ModelCache:
    """The models that are loaded on one device; at most ``memory_bytes`` of weights.

    ``get`` is for one thread, the one that steps the core; ``loaded`` and ``title`` are for any.
    Loads run one after another in ``background``; the lock is held for bookkeeping only, never
    while a model is loaded or freed.

    Args:
        registry: what models there are.
        device: where they go; each has its own limit of rows on it.
        memory_bytes: of weights kept loaded; above it the least recently used are let go.
        background: runs one task at a time; None: models are loaded by ``get`` itself.

    Attributes:
        on_change: called in the loading thread when a load has ended, well or not.
    """

    def __init__(
        self,
        registry: Registry,
        device: Device,
        memory_bytes: float = 8e9,
        background: Executor | None = None,
    ) -> None:
        self.memory_bytes = memory_bytes
        self.on_change: Callable[[], None] = lambda: None
        self._registry = registry
        self._device = device
        self._background = background
        self._lock = threading.Lock()  # guards the three below
        self._loaded: OrderedDict[str, _Loaded] = OrderedDict()  # the last used is the last
        self._loading: dict[str, _Load] = {}
        self._failed: dict[str, tuple[float, str]] = {}  # when, and the sentence

    def title(self, name: str) -> str:
        """What a person calls a model."""
        entry = self._registry.find(name)
        return entry.title if entry is not None else name

    def loaded(self) -> dict[str, Runner]:
        """The models in memory, by name; the least recently used first."""
        with self._lock:
            return {name: model.runner for name, model in self._loaded.items()}

    def get(self, name: str, in_use: Collection[str] = ()) -> Runner | Waiting:
        """The loaded model, or why it has to be asked for again.

        Args:
            name: of the model.
            in_use: models that must stay. Others may be unloaded for this one, so whoever asks
                must not go on with one that is not among them.

        Returns:
            The runner; "loading" if it is on its way; "no room" until one in use may go.

        Raises:
            UserError: the model does not exist, can never fit, or could not be loaded. The next
                call tries again.
        """
        with self._lock:
            failed_at, failure = self._failed.pop(name, (0.0, ""))
            if name in self._loaded and name in in_use:
                self._loaded.move_to_end(name)
                return self._loaded[name].runner
        if failure and time.monotonic() - failed_at <= STALE:
            raise UserError(failure)
        entry = self._registry.entry(name)
        with self._lock:
            if name in self._loaded and self._is_current(self._loaded[name], entry):
                self._loaded.move_to_end(name)
                return self._loaded[name].runner
            if name in self._loading:
                return "loading"
            task = self._make_room(entry, in_use)
            if task is None:
                return "no room"
            self._loading[name] = task
        if self._background is None:
            self._load(name)
            return self.get(name, in_use)
        try:
            self._background.submit(self._load, name)
        except RuntimeError:  # it was shut down
            with self._lock:
                del self._loading[name]
            raise
        return "loading"

    # --- room -----------------------------------------------------------------------------------

    def _is_current(self, model: _Loaded, entry: ModelMetadata) -> bool:
        """Whether the weights in memory are those that lie on disk."""
        if model.entry is entry:
            return True
        if model.entry.path != entry.path or model.stamp != stamp_of(entry.path):
            return False
        model.entry = entry  # a new card beside the same weights
        return True

    def _make_room(self, entry: ModelMetadata, in_use: Collection[str]) -> _Load | None:
        """Drop as many models as have to go for this one; None if those in use leave no room."""
        needed = entry.memory_bytes(self._device.dtype.itemsize)
        if needed > self.memory_bytes:
            raise UserError(
                f"{entry.title} takes {needed / 1e9:.1f} GB of memory, but GENLAB_MEMORY_GB "
                f"allows {self.memory_bytes / 1e9:g}."
            )
        idle = [name for name in self._loaded if name not in in_use and name != entry.name]
        leaving = [entry.name] if entry.name in self._loaded else []
        taken = sum(m.runner.nbytes for name, m in self._loaded.items() if name != entry.name)
        taken += sum(load.nbytes for load in self._loading.values())
        while taken + needed > self.memory_bytes:
            if not idle:
                return None
            taken -= self._loaded[idle[0]].runner.nbytes
            leaving.append(idle.pop(0))
        task = _Load(entry, needed)
        for name in leaving:
            log.info("unloading %s to make room for %s", name, entry.name)
            task.leaving.append(weakref.ref(self._loaded.pop(name).runner))
        return task

    # --- the loading thread ---------------------------------------------------------------------

    def _load(self, name: str) -> None:
        """Load one model once those that leave are gone, and say so."""
        with self._lock:
            task = self._loading[name]
        failure, model = "", None
        try:
            _wait_until_gone(task.leaving, patient=self._background is not None)
            model = self._open(task.entry)
        except KeyboardInterrupt:
            with self._lock:
                del self._loading[name]
            raise
        except BaseException as error:  # SystemExit too: whoever waits must hear of it
            failure = _sentence(task.entry, error)
        if failure:
            _free_memory()  # of what had come; the exception that held it is gone by now
        with self._lock:
            del self._loading[name]
            if model is not None:
                self._loaded[name] = model
            else:
                self._failed[name] = (time.monotonic(), failure)
        del model
        self.on_change()

    def _open(self, entry: ModelMetadata) -> _Loaded:
        """Weights from disk onto the device; raises whatever goes wrong."""
        stamp = stamp_of(entry.path)
        kind = load(FAMILIES[entry.family].runner)
        runner: Runner = kind.open(entry, self._device.for_model(), self._registry.find)
        runner.fingerprint = self._registry.fingerprint(entry.name)
        return _Loaded(runner, entry, stamp)


def _wait_until_gone(leaving: list[weakref.ref[Runner]], patient: bool) -> None:
    """Return when nothing holds the models that were dropped and their memory is free.

    Args:
        leaving: what was dropped.
        patient: wait for a step that still works with one; without it nobody else could end it.
    """
    if not leaving:
        return
    last_moment = time.monotonic() + (GOING if patient else 0)
    while True:
        gone = not any(model() for model in leaving)
        _free_memory()  # also when it is gone by now: only this frees what it held in a cycle
        if gone:
            return
        if time.monotonic() >= last_moment:
            break
        time.sleep(POLL)
    if any(model() for model in leaving):
        log.warning("an unloaded model is still held by somebody")


def _free_memory() -> None:
    """Give back what nothing holds any more; pipelines hold cycles, and PyTorch keeps a cache."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _sentence(entry: ModelMetadata, error: BaseException) -> str:
    """Why a model could not be loaded; the log has the rest."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, BrokenCheckpoint):
        return f"The checkpoint {entry.name} is damaged: {error}"
    lines = traceback.format_exception(error)  # as text: a record that kept the error itself
    log.error("%s could not be loaded\n%s", entry.name, "".join(lines))  # would keep the weights
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return f"The device has too little memory left for {entry.title}."
    return f"{entry.title} could not be loaded ({type(error).__name__}); the log says why."
