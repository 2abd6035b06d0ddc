"""What tells one set of weights from another: the sha256 of its files. Knows no model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from genlab.formats.metadata import BrokenCheckpoint

ENDINGS = (".safetensors", ".onnx")  # of files that hold weights
BLOCK = 1 << 20  # bytes read at once


def weight_files(path: Path) -> list[Path]:
    """The safetensors and ONNX files of a checkpoint, sorted by path; of a file, itself."""
    files = [path] if path.is_file() else [f for end in ENDINGS for f in path.rglob(f"*{end}")]
    return sorted(files, key=lambda p: p.as_posix())


def sha256_of_file(path: Path) -> str:
    """The sha256 of one file, as ``sha256sum`` gives it; raises OSError."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def sha256_of(path: Path) -> str:
    """``cat`` of a checkpoint's safetensors and ONNX files, sorted by path, through ``sha256sum``.

    Reads every byte: not for a thread where others wait.

    Raises:
        BrokenCheckpoint: there is no such file, or one of them cannot be read.
    """
    digest = hashlib.sha256()
    try:
        files = weight_files(path)
        if not files:
            raise BrokenCheckpoint("it has no safetensors file any more.")
        for file in files:
            with file.open("rb") as opened:
                while block := opened.read(BLOCK):
                    digest.update(block)
    except OSError as error:
        raise BrokenCheckpoint(f"its weights cannot be read: {error.strerror}.") from error
    return digest.hexdigest()


def stamp_of(path: Path) -> tuple[tuple[str, int, int], ...]:
    """Path, time of change and size of each of those files: equal as long as nothing changed."""
    try:
        return tuple(
            (file.as_posix(), (about := file.stat()).st_mtime_ns, about.st_size)
            for file in weight_files(path)
        )
    except OSError:
        return ()


def together(fingerprints: Sequence[str]) -> str:
    """That of a model and what was added to it: theirs with a plus between them."""
    return "+".join(fingerprints)
