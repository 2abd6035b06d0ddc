"""A training loop's steps: progress bar, log, and the state it resumes from. Knows no network."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm

from genlab.requests import UserError


class Stateful(Protocol):
    """Anything with a state: learning rate schedulers, gradient scalers."""

    def state_dict(self) -> dict[str, object]: ...
    def load_state_dict(self, state_dict: dict[str, object]) -> object: ...


class Trainer:
    """Counts the steps of a training loop and makes it resumable.

    Args:
        folder: where `state.pt` is kept; a run that finds one there goes on from it.
        total_steps: length of the whole run, including the steps made before a resume.
        modules: networks (and their EMA copies) by name.
        optimizers: optimizers by name.
        schedulers: learning rate schedulers by name.
        save_every: seconds between two savings of the state.

    Raises:
        UserError: if `state.pt` belongs to another network or training.
    """

    def __init__(
        self,
        folder: Path,
        total_steps: int,
        modules: Mapping[str, nn.Module],
        optimizers: Mapping[str, Optimizer],
        schedulers: Mapping[str, Stateful] | None = None,
        save_every: float = 60.0,
    ) -> None:
        self.folder = Path(folder)
        self.total_steps = total_steps
        self.step = 0
        self.seconds = 0.0  # spent in the loop, summed over resumes
        self.history: dict[str, list[tuple[int, float]]] = {}
        self._parts: dict[str, Mapping[str, Stateful]] = {
            "modules": modules,  # type: ignore[dict-item]
            "optimizers": optimizers,  # type: ignore[dict-item]
            "schedulers": schedulers or {},
        }
        self._save_every = save_every
        self._bar: tqdm | None = None
        self._pending: dict[str, list[Tensor | float]] = {}
        if self.state_file.exists():
            self._load()

    @property
    def state_file(self) -> Path:
        return self.folder / "state.pt"

    def steps(self) -> Iterator[int]:
        """Yield the steps left, saving the state every `save_every` seconds and at the end.

        Ctrl+C waits for the end of the step, saves, and only then raises KeyboardInterrupt.
        """
        started = saved = time.monotonic()
        before = self.seconds
        with (
            _interrupts() as interrupts,
            tqdm(
                total=self.total_steps, initial=self.step, desc=self.folder.name, mininterval=5.0
            ) as self._bar,
        ):
            while self.step < self.total_steps:
                yield self.step
                self.step += 1
                self._bar.update()
                now = time.monotonic()
                self.seconds = before + now - started
                if interrupts:
                    self.save()
                    raise KeyboardInterrupt
                if now - saved >= self._save_every:
                    self.save()
                    saved = time.monotonic()
        self._bar = None
        self.save()

    def log(self, **values: Tensor | float) -> None:
        """Note scalars of the current step, e.g. `trainer.log(loss=loss)`; tensors are detached.

        Values are averaged over up to 20 steps before they enter the history, so that a GPU is not
        made to wait for each one.
        """
        for name, value in values.items():
            pending = self._pending.setdefault(name, [])
            pending.append(value.detach() if isinstance(value, Tensor) else value)
            if len(pending) == 20 or self.step + 1 >= self.total_steps:
                mean = sum(float(v) for v in pending) / len(pending)
                self.history.setdefault(name, []).append((self.step, mean))
                pending.clear()
        if self._bar is not None and self.step % 20 == 0:
            latest = {name: f"{points[-1][1]:.4g}" for name, points in self.history.items()}
            self._bar.set_postfix(latest, refresh=False)

    def save(self) -> None:
        """Write `state.pt` so that a crash while writing leaves the previous one whole."""
        self.folder.mkdir(parents=True, exist_ok=True)
        state: dict[str, object] = {
            kind: {name: part.state_dict() for name, part in parts.items()}
            for kind, parts in self._parts.items()
        }
        state |= {
            "step": self.step,
            "seconds": self.seconds,
            "history": self.history,
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        partial = self.state_file.with_suffix(".partial")
        torch.save(state, partial)
        os.replace(partial, self.state_file)

    def write_loss_curve(self, path: Path) -> None:
        """Draw every logged scalar against the step, raw and smoothed, into a PNG."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure, axes = pyplot.subplots(figsize=(7, 4), dpi=110)
        for name, points in self.history.items():
            steps = [step for step, _ in points]
            line = axes.plot(steps, smoothed([value for _, value in points]), label=name)[0]
            axes.plot(steps, [value for _, value in points], color=line.get_color(), alpha=0.2)
        axes.set_xlabel("step")
        axes.set_ylabel("loss")
        axes.grid(alpha=0.3)
        if self.history:
            axes.legend()
        figure.tight_layout()
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
        pyplot.close(figure)

    def _load(self) -> None:
        state = torch.load(self.state_file, map_location="cpu", weights_only=True)
        for kind, parts in self._parts.items():
            for name, part in parts.items():
                try:
                    part.load_state_dict(state[kind][name])
                except (KeyError, RuntimeError, ValueError) as error:
                    raise UserError(
                        f"{self.state_file} was saved by another training ({kind} {name!r} does "
                        "not fit): delete it to train from the start."
                    ) from error
        self.step = state["step"]
        self.seconds = state["seconds"]
        self.history = state["history"]
        torch.set_rng_state(state["rng"])
        if torch.cuda.is_available() and len(state["cuda_rng"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state["cuda_rng"])


def warmup_cosine(
    optimizer: Optimizer, total_steps: int, warmup: int = 100, cycles: int = 1
) -> LambdaLR:
    """The learning rate climbs for `warmup` steps and falls along a cosine to 2 % of its top.

    Args:
        optimizer: whose rate it is.
        total_steps: of the whole run.
        warmup: steps.
        cycles: equal parts of the run, each of which does so: how a run that has ended is
            lengthened. Source: Loshchilov & Hutter 2017 (arXiv:1608.03983), section 3.
    """
    length = max(1, math.ceil(total_steps / cycles))

    def factor(step: int) -> float:
        step = min(step, total_steps - 1) % length
        if step < warmup:
            return (step + 1) / warmup
        share = (step - warmup) / (length - warmup)
        return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share))

    return LambdaLR(optimizer, factor)


def warmup_hold_fall(
    optimizer: Optimizer, total_steps: int, warmup: int = 200, fall: float = 0.35
) -> LambdaLR:
    """The learning rate climbs for `warmup` steps, stays, and falls to 2 % over the last `fall`.

    While it stays, the length of the run can still be changed: a cosine would have to know it.
    Source: Hu et al., "MiniCPM", 2024 (arXiv:2404.06395), section 4.
    """

    def factor(step: int) -> float:
        left = (total_steps - step) / (fall * total_steps)
        return min((step + 1) / warmup, 1.0, 0.02 + 0.98 * max(0.0, left))

    return LambdaLR(optimizer, factor)


def smoothed(values: list[float], weight: float = 0.9) -> list[float]:
    """Exponential moving average with bias correction, so the first points are not pulled to 0."""
    result, mean = [], 0.0
    for count, value in enumerate(values, start=1):
        mean = weight * mean + (1 - weight) * value
        result.append(mean / (1 - weight**count))
    return result


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """The signals that came instead of KeyboardInterrupt, which would break a step in two."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received  # only the main thread may handle signals
        return
    before = signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, before)
