"""Reads a checkpoint's small text files, and says in one sentence why one cannot be read."""

from __future__ import annotations

from pathlib import Path

from genlab.formats.metadata import BrokenCheckpoint


def read_text(path: Path, encoding: str = "utf-8") -> str:
    """What a text file holds.

    Raises:
        BrokenCheckpoint: there is none, it is no file, or it may not be read.
        ValueError: it is no text.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise BrokenCheckpoint(f"its {path.name} is no file.")
        return path.read_text(encoding=encoding)
    except FileNotFoundError:
        raise BrokenCheckpoint(f"it has no {path.name}.") from None
    except OSError as error:
        why = error.strerror or "the disk says no"
        raise BrokenCheckpoint(f"its {path.name} cannot be read: {why}.") from None
