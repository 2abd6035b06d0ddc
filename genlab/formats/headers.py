"""The headers of .safetensors files: names and shapes of tensors. Reads no weight; no torch.

Knows no model: what shapes there should be is for others to say.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from safetensors import safe_open

from genlab.formats.metadata import BrokenCheckpoint

Shapes = dict[str, list[int]]
"""The shape of each tensor, by its name."""


def tensor_shapes(path: Path) -> Shapes:
    """The name and shape of each tensor in a safetensors file.

    Raises:
        BrokenCheckpoint: there is no such file, it was cut short, or it is no safetensors file.
    """
    try:
        if not path.exists():
            raise BrokenCheckpoint(f"it has no {path.name}.")
        if not path.is_file():
            raise BrokenCheckpoint(f"{_where(path)} is no file.")
        with path.open("rb"):  # says more plainly than the next call why it cannot be read
            pass
        with safe_open(path, framework="np") as file:
            return {key: list(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    except BrokenCheckpoint:
        raise
    except OSError as error:
        why = error.strerror or "the disk says no"
        raise BrokenCheckpoint(f"{_where(path)} cannot be read: {why}.") from error
    except Exception as error:
        raise BrokenCheckpoint(f"{_where(path)} is cut short or is no safetensors file.") from error


def check_weights(files: Iterable[Path], wanted: Mapping[str, list[int]] | None) -> None:
    """Raise BrokenCheckpoint unless the files open and hold exactly the wanted names and shapes.

    Args:
        files: that lie beside each other, as shards do.
        wanted: None: any names and shapes will do.
    """
    found: Shapes = {}
    for path in files:
        found |= tensor_shapes(path)
    if wanted is None:
        return
    for key in sorted(found.keys() | wanted.keys()):
        if wanted.get(key) != found.get(key):
            raise BrokenCheckpoint(
                f"its weights do not fit its config.json: {key} is "
                f"{found.get(key, 'missing')}, but should be {wanted.get(key, 'absent')}."
            )


def count_parameters(files: Iterable[Path]) -> int:
    """How many numbers the files hold; raises BrokenCheckpoint."""
    return sum(math.prod(shape) for path in files for shape in tensor_shapes(path).values())


def _where(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
