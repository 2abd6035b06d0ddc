"""What runs while a GPU is leased: a generator that a forked process goes through, and its models.

The process is a copy of this one as it was when it was forked, with one thread. So what it uses is
used by nobody else: a registry and a core of its own, made in the main thread before the first
fork, and no lock that another thread could have held. Knows no page, no ticket and no `spaces`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from genlab.engine.events import FINAL, Event, Failed, Loading
from genlab.families.description import load
from genlab.models.families import FAMILIES
from genlab.models.registry import Registry
from genlab.requests import UserError
from genlab.serving.lease_costs import LeaseCosts, Work
from genlab.serving.lease_stops import SharedStops
from genlab.serving.local_core import LocalCore, build_core
from genlab.settings import Settings

log = logging.getLogger(__name__)


@dataclass
class LeasedModels:
    """What a leased process has to draw with.

    Attributes:
        core: built before the first fork, so its weights come along; None: built by the process.
        preloaded: names of the models that are in it from the start.
    """

    registry: Registry
    settings: Settings
    core: LocalCore | None = None
    preloaded: tuple[str, ...] = ()

    def ready_core(self) -> LocalCore:
        """The core, built if there is none; raises UserError if there is no such device."""
        if self.core is None:
            self.core = build_core(self.registry, self.settings)
        return self.core


_models: LeasedModels | None = None
_costs = LeaseCosts(lambda name: 0)
_stops = SharedStops()


def prepare(settings: Settings, is_large: Callable[[str, Registry], bool]) -> LeaseCosts:
    """Make ready what leased processes will use; in the main thread, before the page is launched.

    Models that are here already are put on the device now: on ZeroGPU their weights wait beside
    it, and a lease begins with them there. One that cannot be loaded now is loaded in its lease.

    Args:
        settings: with the device of leases.
        is_large: whether a model, by its name, is drawn in leases.
    """
    global _models, _costs
    for description in FAMILIES.values():
        load(description.runner)  # no thread may be importing it when a process is forked
    memory = settings.memory_gb * 1e9
    registry = Registry(settings.checkpoints, settings.models, False, memory)
    _models = LeasedModels(registry, settings)
    names = [name for name in registry.entries if is_large(name, registry)]
    with suppress(UserError):
        _models.preloaded = tuple(preload(_models.ready_core(), names))

    def parameters(name: str) -> int:
        entry = registry.find(name)
        return entry.parameters if entry is not None else 0

    _costs = LeaseCosts(parameters, _models.preloaded)
    return _costs


def preload(core: LocalCore, names: Iterable[str]) -> list[str]:
    """Load models as long as there is room; the names of those that are loaded."""
    loaded: list[str] = []
    for name in names:
        try:
            if core.cache.get(name, loaded) == "no room":
                break
        except UserError as error:
            log.warning("%s is not loaded at the start: %s", name, error)
            continue
        loaded.append(name)
    return loaded


def seconds_of(work: Work, owner: str) -> int:
    """How long a lease has to last; called with what ``draw`` is called with."""
    return _costs.duration(work)


def stop(ticket_id: int) -> None:
    """Drop one request of a lease that is being drawn, at its next step; the others go on."""
    _stops.stop(ticket_id)


def draw(work: Work, owner: str) -> Iterator[list[tuple[int, Event]]]:
    """Serve requests, and give the events of each step as it is done.

    A step without an event gives an empty list: whoever closes the generator is heard at the next.
    Closing it ends what has not ended.

    Args:
        work: the requests by id; all of them share what they can.
        owner: whose they are.
    """
    yield []  # the GPU is here
    assert _models is not None, "prepare() comes first"
    left = [ticket_id for ticket_id, _ in work]
    core: LocalCore | None = None
    try:
        core = _models.ready_core()
        _look_up(_models.registry, work)
        yield _announced(core, work)
        for ticket_id, request in work:
            core.add(ticket_id, request, owner)
        while left:
            for ticket_id in _stops.among(left):
                core.cancel(ticket_id)
            events = core.step()
            ended = {ticket_id for ticket_id, event in events if isinstance(event, FINAL)}
            left = [ticket_id for ticket_id in left if ticket_id not in ended]
            yield events
    except UserError as error:
        yield [(ticket_id, Failed(str(error))) for ticket_id in left]
    except Exception:  # it tells `spaces` not to use this process again, but its text is lost
        log.exception("a leased GPU ended its work early")
        raise
    finally:
        if core is not None:
            for ticket_id in left:
                core.cancel(ticket_id)
            core.step()  # takes their last events out: the next lease begins with nothing


def _look_up(registry: Registry, work: Work) -> None:
    """This process may be older than a model that was downloaded since."""
    if any(registry.find(request.checkpoint) is None for _, request in work):
        registry.scan()


def _announced(core: LocalCore, work: Work) -> list[tuple[int, Event]]:
    """Who has to wait for a model to be loaded is told so."""
    loaded = core.cache.loaded()
    return [
        (ticket_id, Loading(core.cache.title(request.checkpoint)))
        for ticket_id, request in work
        if request.checkpoint not in loaded
    ]
