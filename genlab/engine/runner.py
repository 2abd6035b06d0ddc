"""What a model family is to the engine. Knows no thread, no queue, no page."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from huggingface_hub import ModelCard
from safetensors import safe_open
from safetensors.torch import load_file

from genlab.requests import MAX_SEED, NoisyClassifyRequest, Request, SampleRequest

if TYPE_CHECKING:
    from genlab.engine import Job, Runtime


class BrokenCheckpoint(Exception):
    """A checkpoint folder cannot be used; the text is one plain sentence that says why."""


@dataclass(frozen=True)
class Outcome:
    """What a family hands back for a finished job; the engine adds the times."""

    images: np.ndarray  # uint8 (N, H, W) or (N, H, W, 3)
    extras: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Family(ABC):
    """One loaded checkpoint of a model family.

    A job's life: ``start`` once, then ``predict`` and ``advance`` for each of its ``total_steps``,
    then ``finish``. Everything but ``advance`` takes a list of jobs that share the batch key, runs
    a network once for all of them, and changes nothing: so when a call fails, the engine repeats
    it job by job and only the culprit gets the error. ``advance`` is the only place where a job
    moves, and it touches that job alone.
    """

    name: ClassVar[str]
    """The family's name in a model card's ``genlab.family``."""
    requests: ClassVar[tuple[type[Request], ...]]
    """The kinds of request it serves."""

    def __init__(self, runtime: Runtime, card: dict[str, Any]) -> None:
        self.runtime = runtime
        self.card = card

    @classmethod
    @abstractmethod
    def check(cls, folder: Path) -> None:
        """Cheap look at a folder (no weights read); raises BrokenCheckpoint with a sentence."""

    @classmethod
    def check_request(cls, request: Request, folder: Path) -> None:
        """Cheap look at a request for this folder, before it is queued; raises UserError."""
        return

    @classmethod
    @abstractmethod
    def open(cls, folder: Path, runtime: Runtime, card: dict[str, Any]) -> Self:
        """Load the weights onto the runtime's device; raises BrokenCheckpoint with a sentence."""

    @classmethod
    def weigh(cls, folder: Path, dtype: torch.dtype) -> int:
        """Memory that the weights will take, in bytes, before they are loaded.

        Args:
            folder: one that has passed ``check``.
            dtype: the number format of the runtime's networks.
        """
        network = folder / "model.safetensors"
        files = [network] if network.is_file() else folder.rglob("*.safetensors")
        return sum(path.stat().st_size for path in files)

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Memory that the weights take, in bytes."""

    def taking_part(self, jobs: Sequence[Job]) -> list[Job]:
        """Which jobs of a batch move in this tick; the others wait their turn. All, unless said."""
        return list(jobs)

    @abstractmethod
    def start(self, jobs: Sequence[Job]) -> list[Any]:
        """The first state of each job: its noise, its encoded prompt, its scheduler."""

    def total_steps(self, job: Job) -> int:
        """How many times a started job has to be advanced."""
        return 1

    @abstractmethod
    def predict(self, jobs: Sequence[Job]) -> list[Any]:
        """ONE network call for all jobs; what it says for each of them."""

    @abstractmethod
    def advance(self, job: Job, prediction: Any) -> None:
        """Move one job's state one step on."""

    def preview(self, jobs: Sequence[Job]) -> list[np.ndarray | None]:
        """What each job looks like by now, uint8 (N, H, W[, 3]); None if that cannot be said."""
        raise NotImplementedError(f"{self.name} has no previews")

    @abstractmethod
    def finish(self, jobs: Sequence[Job]) -> list[Outcome]:
        """The pictures of jobs that have taken their last step."""


class OneStepFamily(Family):
    """A family whose one network, saved in the hub layout, runs once.

    A job's state is its input rows, then its output rows.
    """

    network_class: ClassVar[type[torch.nn.Module]]

    def __init__(self, network: Any, runtime: Runtime, card: dict[str, Any]) -> None:
        super().__init__(runtime, card)
        self.network = network.to(runtime.device)

    @classmethod
    def check(cls, folder: Path) -> None:
        check_hub_folder(cls.network_class, folder)

    @classmethod
    def open(cls, folder: Path, runtime: Runtime, card: dict[str, Any]) -> Self:
        return cls(load_hub_module(cls.network_class, folder), runtime, card)

    @property
    def nbytes(self) -> int:
        return parameter_bytes(self.network)

    def advance(self, job: Job, prediction: Any) -> None:
        job.state = prediction


def generators(request: SampleRequest | NoisyClassifyRequest) -> list[torch.Generator]:
    """One CPU generator an image, seeded ``seed + k``: image k never depends on its batchmates."""
    seeds = [(request.seed + k) % (MAX_SEED + 1) for k in range(request.count)]
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def noise_rows(owned: Sequence[torch.Generator], shape: Sequence[int]) -> torch.Tensor:
    """Standard normal rows (len(owned), *shape), row k from generator k, on the CPU."""
    return torch.stack([torch.randn(tuple(shape), generator=g) for g in owned])


def load_hub_module(network: type[torch.nn.Module], folder: Path) -> torch.nn.Module:
    """A network saved in the hub layout; raises BrokenCheckpoint if file and config disagree."""
    check_hub_folder(network, folder)
    module = network(**read_json(folder / "config.json"))
    module.load_state_dict(load_file(folder / "model.safetensors"))
    return module.eval()


def check_hub_folder(network: type[torch.nn.Module], folder: Path) -> None:
    """Compare config.json and the header of model.safetensors without reading any weight."""
    config = read_json(folder / "config.json")
    try:
        with torch.device("meta"):
            wanted = {k: list(v.shape) for k, v in network(**config).state_dict().items()}
    except Exception as error:
        raise BrokenCheckpoint(
            f"its config.json does not describe a {network.__name__}."
        ) from error
    check_weights([folder / "model.safetensors"], wanted)


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a diffusers component, shards included."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise BrokenCheckpoint(f"its {folder.name} folder has no safetensors file.")
    return files


def check_weights(files: Sequence[Path], wanted: dict[str, list[int]] | None) -> None:
    """Raise BrokenCheckpoint unless the files open and hold exactly the wanted names and shapes.

    Only headers are read. ``wanted`` None: any names and shapes will do.
    """
    found: dict[str, list[int]] = {}
    for path in files:
        where = f"{path.parent.name}/{path.name}"
        try:
            with safe_open(path, framework="pt") as file:
                found |= {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118
        except FileNotFoundError:
            raise BrokenCheckpoint(f"it has no {path.name}.") from None
        except Exception as error:
            raise BrokenCheckpoint(f"{where} is cut short or is no safetensors file.") from error
    if wanted is None:
        return
    for key in sorted(found.keys() | wanted.keys()):
        if wanted.get(key) != found.get(key):
            raise BrokenCheckpoint(
                f"its weights do not fit its config.json: {key} is "
                f"{found.get(key, 'missing')}, but should be {wanted.get(key, 'absent')}."
            )


def read_card(folder: Path) -> dict[str, Any]:
    """The `genlab` mapping of a checkpoint's card, as the catalogue has read it too."""
    path = folder / "README.md"
    return _read_card(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _read_card(path: Path, changed: int) -> dict[str, Any]:
    return dict(ModelCard.load(path).data.to_dict().get("genlab") or {})


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; raises BrokenCheckpoint with a sentence."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise BrokenCheckpoint(f"it has no {path.name}.") from None
    except (ValueError, UnicodeDecodeError):
        raise BrokenCheckpoint(f"its {path.name} is not valid JSON.") from None
    if not isinstance(content, dict):
        raise BrokenCheckpoint(f"its {path.name} holds no JSON object.")
    return content


def split_rows(rows: torch.Tensor, jobs: Sequence[Job]) -> list[torch.Tensor]:
    """Cut a batch's rows back into one piece a job, in order, by ``request.rows``."""
    return list(rows.split([job.request.rows for job in jobs]))


def parameter_bytes(*modules: torch.nn.Module) -> int:
    """Bytes of all parameters and buffers."""
    tensors = (t for m in modules for t in (*m.parameters(), *m.buffers()))
    return sum(t.numel() * t.element_size() for t in tensors)
