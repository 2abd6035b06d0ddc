"""Unpacks a checkpoint folder that comes as a ZIP: only what belongs to one, and not too much."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path, PurePosixPath
from typing import IO

from genlab.formats.hub_layout import CONFIG, WEIGHTS
from genlab.formats.metadata import BrokenCheckpoint
from genlab.formats.model_card import CARD
from genlab.formats.state_dicts import MAX_BYTES, PICKLED

FOLDER = Path()
"""What ``unpack`` returns of an archive that held a whole folder."""
MOST = 1000  # parts of an archive
SMALL = 1_000_000  # bytes of a card or a configuration
WANTED = re.compile(r"README\.md|config\.json|model\.safetensors|model\.onnx|"
                    r"snapshots/step-\d{6}\.safetensors")  # fmt: skip
ALONE = (*PICKLED, ".safetensors", ".onnx")


def unpack(archive: Path, target: Path) -> Path:
    """Put what belongs to a checkpoint of a ZIP into a folder.

    Returns:
        FOLDER; or, if the archive holds one file of weights instead, where that lies now.

    Raises:
        BrokenCheckpoint: it holds neither, or more than it may.
    """
    size = archive.stat().st_size
    if size > MAX_BYTES:
        raise BrokenCheckpoint(
            f"the ZIP has {size / 1e6:,.0f} MB, but may have at most {MAX_BYTES / 1e6:.0f} MB."
        )
    try:
        with zipfile.ZipFile(archive) as opened:
            inside = [item for item in opened.infolist() if not item.is_dir()]
            _check(inside)
            root = _root(inside)
            if root is not None:
                for item in inside:
                    name = item.filename.removeprefix(root)
                    if item.filename.startswith(root) and WANTED.fullmatch(name):
                        _copy(opened, item, target / name, MAX_BYTES)
                return FOLDER
            alone = [item for item in inside if item.filename.lower().endswith(ALONE)]
            if len(alone) != 1:
                raise BrokenCheckpoint(
                    f"the ZIP holds no {CONFIG} with a {WEIGHTS} beside it, and not exactly one "
                    f"file of weights but {len(alone)}."
                )
            place = target / f"inner{PurePosixPath(alone[0].filename).suffix.lower()}"
            _copy(opened, alone[0], place, MAX_BYTES)
            return place
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise BrokenCheckpoint("the ZIP is damaged, or locked with a password.") from error


def _check(inside: list[zipfile.ZipInfo]) -> None:
    unpacked = sum(item.file_size for item in inside)
    if unpacked > MAX_BYTES or len(inside) > MOST:
        raise BrokenCheckpoint(
            f"the ZIP would unpack to {unpacked / 1e6:,.0f} MB in {len(inside):,} files, but may "
            f"have at most {MAX_BYTES / 1e6:.0f} MB in {MOST:,}."
        )


def _root(inside: list[zipfile.ZipInfo]) -> str | None:
    """Where in the archive the folder begins: "" or "name/"; None if there is none."""
    names = {item.filename for item in inside}
    roots = [name.removesuffix(CONFIG) for name in names if PurePosixPath(name).name == CONFIG]
    held = [r for r in roots if names & {r + WEIGHTS, r + "model.onnx"} and ".." not in r]
    least = min((r.count("/") for r in held), default=0)
    outermost = sorted(r for r in held if r.count("/") == least)
    if len(outermost) > 1:
        found = ", ".join(r.rstrip("/")[:40] for r in outermost[:4])
        raise BrokenCheckpoint(f"the ZIP holds {len(outermost)} checkpoints ({found}); pack one.")
    return next(iter(outermost), None)


def _copy(opened: zipfile.ZipFile, item: zipfile.ZipInfo, target: Path, most: int) -> None:
    """Unpack one file, and no more of it than it says."""
    most = SMALL if target.name in (CARD, CONFIG) else most
    if item.file_size > most:
        raise BrokenCheckpoint(f"its {target.name} has {item.file_size / 1e6:,.0f} MB.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with opened.open(item) as source, target.open("wb") as sink:
        _bounded(source, sink, item.file_size)


def _bounded(source: IO[bytes], sink: IO[bytes], most: int) -> None:
    left = most
    while block := source.read(min(1 << 20, left + 1)):
        left -= len(block)
        if left < 0:
            raise BrokenCheckpoint("the ZIP unpacks to more than it says.")
        sink.write(block)
