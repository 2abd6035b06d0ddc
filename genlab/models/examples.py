"""Real test pictures, from the folder of the classifier that judges their data set. No tensor."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from genlab.models.registry import Registry
from genlab.requests import UserError


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
        wanted = [present[k % len(present)] for k in range(count)]
        return np.stack(
            [self.images[rng.choice(np.flatnonzero(self.labels == label))] for label in wanted]
        )

    def sample(self, count: int, seed: int, label: int | None = None) -> np.ndarray:
        """``count`` different pictures at random, of one class if ``label`` is given."""
        rows = np.arange(len(self.labels))
        if label is not None:
            rows = rows[self.labels == label]
        if len(rows) < count:
            raise UserError(f"There are only {len(rows)} test pictures of class {label} here.")
        return self.images[np.random.default_rng(seed).choice(rows, count, replace=False)]


def examples(registry: Registry, dataset: str) -> Examples:
    """The test pictures of a data set; raises UserError if no classifier brings them."""
    judge = registry.judge(dataset)
    path = judge.path / "examples.safetensors" if judge is not None else None
    if judge is None or path is None or not path.is_file():
        raise UserError(f"There are no test pictures of {dataset or 'this data set'} here.")
    images, labels = _read(path)
    names = judge.facts.get("classes") or sorted(set(labels.tolist()))
    return Examples(images, labels, tuple(map(str, names)))


@lru_cache(maxsize=8)
def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    tensors = load_file(path)
    return tensors["images"], tensors["labels"]
