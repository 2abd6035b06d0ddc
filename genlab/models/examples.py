"""Real test pictures, from the folder of the model that judges their data set. No tensor."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from genlab.models.registry import Registry
from genlab.requests import UserError

FILE = "examples.safetensors"


@dataclass(frozen=True)
class Examples:
    """Test pictures of one data set: ``images`` uint8 (N, 28, 28), ``labels`` int (N,)."""

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]

    def draw(self, count: int, seed: int | None = None) -> np.ndarray:
        """``count`` pictures, the classes in turn; which ones is random unless there is a seed."""
        rng = np.random.default_rng(seed)
        present = np.unique(self.labels)
        in_turn = [present[k % len(present)] for k in range(count)]
        return np.stack(
            [self.images[rng.choice(np.flatnonzero(self.labels == label))] for label in in_turn]
        )

    def sample(self, count: int, seed: int, label: int | None = None) -> np.ndarray:
        """``count`` different pictures at random, of one class if ``label`` is given."""
        places = (
            np.arange(len(self.labels)) if label is None else np.flatnonzero(self.labels == label)
        )
        if len(places) < count:
            of_class = "" if label is None else f" of class {label}"
            raise UserError(f"There are only {len(places)} test pictures{of_class} here.")
        return self.images[np.random.default_rng(seed).choice(places, count, replace=False)]


def examples(registry: Registry, dataset: str) -> Examples:
    """The test pictures of a data set; raises UserError if no judge brings them."""
    missing = UserError(f"There are no test pictures of {dataset or 'this data set'} here.")
    judge = registry.judge(dataset)
    if judge is None or not (judge.path / FILE).is_file():
        raise missing
    try:
        images, labels = _read(judge.path / FILE)
    except Exception as error:  # cut short, or other names in it
        raise missing from error
    names = judge.facts.get("classes") or sorted(set(labels.tolist()))
    return Examples(images, labels, tuple(map(str, names)))


@lru_cache(maxsize=8)
def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    from safetensors.numpy import load_file

    tensors = load_file(path)
    return tensors["images"], tensors["labels"]
