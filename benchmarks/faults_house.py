"""What the faults are done to: an engine of this process over the real models, and its requests.

Every picture is drawn alone first; whatever is broken meanwhile, the same request must give that
picture again, or a sentence, and nothing may be lost.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from genlab.engine.device import Device
from genlab.engine.events import Cancelled, Event, Failed, Result
from genlab.engine.runner import Runner
from genlab.families.gan.request import GANRequest
from genlab.families.pixel_diffusion.request import PixelDiffusionRequest
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.families.vae.request import VAERequest
from genlab.models.cache import ModelCache
from genlab.models.judging import Judging
from genlab.models.registry import Registry
from genlab.requests import Request, SampleRequest, parse_request
from genlab.serving.client import Ticket
from genlab.serving.local_core import LocalCore, build_core
from genlab.serving.thread import ThreadClient
from genlab.settings import PROJECT, Settings

PATIENCE = 240.0  # seconds until a job without an end counts as lost
LEVELS = 2  # of 255, by which a picture may differ from the one that was drawn alone
TOYBOX, PIXELS, VAE, GAN = "stable-diffusion-toybox", "ddpm-mnist", "vae-mnist-20d", "dcgan-mnist"
PROMPTS = ("a red 7 on a blue background", "a green sneaker on a white background", "a yellow bag")


@dataclass
class Report:
    """What became of the jobs of one fault.

    Attributes:
        lost: jobs without an end, or with a wrong one: a picture that is not the one asked for, or
            one of numbers that are no pictures.
        found: what was observed beside, in a few words.
    """

    fault: str
    jobs: int = 0
    results: int = 0
    failed: int = 0
    cancelled: int = 0
    lost: int = 0
    seconds: float = 0.0
    found: str = ""
    sentences: Counter[str] = field(default_factory=Counter)

    def count(self, event: Event | None) -> None:
        """One job more, with how it ended; None if it did not."""
        self.jobs += 1
        self.results += isinstance(event, Result)
        self.failed += isinstance(event, Failed)
        self.cancelled += isinstance(event, Cancelled)
        self.lost += event is None
        if isinstance(event, Failed):
            self.sentences[event.message] += 1


def sampled(k: int, **more: Any) -> SampleRequest:
    """The k-th request of a class: all families in turn, few steps, another seed each."""
    draw = random.Random(k)
    kind = k % 5
    if kind == 0:
        return parse_request(VAERequest, checkpoint=VAE, seed=k, count=4, **more)
    if kind == 1:
        return parse_request(GANRequest, checkpoint=GAN, seed=k, count=4, **more)
    if kind == 2:
        guidance = draw.choice(("none", "classifier-free", "classifier"))
        return parse_request(
            PixelDiffusionRequest, checkpoint=PIXELS, seed=k, count=1, guidance=guidance,
            labels=(k % 10,), num_inference_steps=draw.randint(4, 12), **more,
        )  # fmt: skip
    return parse_request(
        StableDiffusionRequest, checkpoint=TOYBOX, prompt=PROMPTS[k % 3], seed=k, count=1,
        num_inference_steps=draw.randint(4, 12), guidance_scale=(1.0, 4.0)[kind % 2],
        preview_every=2, **more,
    )  # fmt: skip


class House:
    """An engine and what was drawn alone with it; usable in a ``with``.

    Args:
        checkpoints: where its models lie.
        graphs: whether ONNX Runtime runs the networks, as it does on a CPU.
        settings: of the engine.
    """

    def __init__(
        self, checkpoints: Path = PROJECT / "checkpoints", graphs: bool = True, **settings: Any
    ) -> None:
        own = {"device": "cpu", "max_jobs": 4096, "max_jobs_per_owner": 4096} | settings
        self.settings = Settings(checkpoints=checkpoints, **own)
        self.registry = Registry(checkpoints, memory_bytes=self.settings.memory_gb * 1e9)
        self.cores: list[LocalCore] = []
        self._graphs = graphs
        self._alone: dict[str, np.ndarray] = {}
        self.client = ThreadClient(self.registry, self.settings, self._build)

    def _build(self, registry: Registry, settings: Settings, changed: Any) -> LocalCore:
        core = build_core(registry, settings, changed)
        if not self._graphs:
            device = Device("cpu", settings.max_rows, graphs=False)
            core = LocalCore(ModelCache(registry, device), Judging(registry), device)
        self.cores.append(core)
        return core

    def __enter__(self) -> Self:
        self.client.start()
        self.client.wait_until_ready()
        return self

    def __exit__(self, *error: object) -> None:
        self.client.close()

    def runner(self, name: str) -> Runner:
        """The loaded model of that name."""
        return self.cores[-1].cache.loaded()[name]

    def submit(self, request: Request, owner: str) -> Ended:
        """Ask for something; what is given back knows how it ended."""
        return Ended(self.client.submit(request, owner))

    def draw_alone(self, requests: Iterable[Request]) -> None:
        """Remember what each gives when nothing is broken; several at a time."""
        for some in _chunked([r for r in requests if repr(r) not in self._alone], 32):
            waiting = [(request, self.submit(request, "reference")) for request in some]
            for request, ended in waiting:
                event = ended.wait(PATIENCE)
                if not isinstance(event, Result):
                    raise RuntimeError(f"{request!r} cannot be drawn: {event}")
                self._alone[repr(request)] = event.images

    def know(self, other: House) -> None:
        """Take over what another house has drawn alone."""
        self._alone |= other._alone

    def is_right(self, request: Request, result: Result) -> bool:
        """Whether a result has the pictures that were drawn alone."""
        alone = self._alone[repr(request)].astype(int)
        return alone.shape == result.images.shape and bool(
            (np.abs(alone - result.images) <= LEVELS).all()
        )

    def check(self, report: Report, request: Request, event: Event | None) -> None:
        """Count a job; a picture that is not the one asked for counts as lost."""
        report.count(event)
        if isinstance(event, Result) and not self.is_right(request, event):
            report.results -= 1
            report.lost += 1

    def is_empty(self, seconds: float = 30.0) -> bool:
        """Whether nothing is left inside, at last."""
        last_moment = time.monotonic() + seconds
        while self.client.figures().open_jobs:
            if time.monotonic() > last_moment:
                return False
            time.sleep(0.02)
        return True


class Ended:
    """How a ticket ends, and how often."""

    def __init__(self, ticket: Ticket) -> None:
        self.id = ticket.id
        self.events: list[Event] = []
        self._over = threading.Event()
        ticket.when_ended(self._note)

    def _note(self, event: Event) -> None:
        self.events.append(event)
        self._over.set()

    def wait(self, seconds: float) -> Event | None:
        """The end, as soon as it is there; None if it never comes."""
        self._over.wait(seconds)
        return self.events[0] if self.events else None


def timed(fault: Callable[[], Report]) -> Report:
    """A fault's report, with how long it took."""
    begun = time.monotonic()
    report = fault()
    report.seconds = time.monotonic() - begun
    return report


def _chunked(items: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]
