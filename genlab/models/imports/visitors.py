"""A visitor's own checkpoint: brought in, fetched from the hub, corrected. No page, no thread.

Each takes a second or two of one core, and loads torch where nothing else has.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from genlab.formats.metadata import ModelMetadata
from genlab.formats.recognise.guesses import Corrections
from genlab.models.imports.convert import Imported, convert
from genlab.models.imports.from_hub import fetch
from genlab.models.registry import Registry
from genlab.models.sources import HUB_ID
from genlab.requests import UserError

SOURCE = ".source"
"""The folder inside a visitor's model that keeps the file it came from, to correct guesses."""


@dataclass(frozen=True)
class Brought:
    """What came of a visitor's file.

    Attributes:
        metadata: of the checkpoint that is theirs now.
        imported: how it was understood.
    """

    metadata: ModelMetadata
    imported: Imported


def bring(
    registry: Registry,
    owner: str,
    source: Path,
    shown_as: str,
    dataset: str = "",
    corrections: Corrections | None = None,
) -> Brought:
    """Make a visitor's file one of their own models; takes seconds: not for an event loop.

    Args:
        registry: what models there are.
        owner: the visitor, as runs know them.
        source: the file.
        shown_as: what the visitor calls the file.
        dataset: whose classifier judges its pictures; "" for nobody's.
        corrections: what they know of it.

    Raises:
        UserError: one sentence on what was found and what would fit.
    """
    if not registry.own.allowed:
        raise UserError("This GenLab takes no checkpoints of its visitors.")
    name = Path(shown_as).name[:100] or "checkpoint"
    title = Path(name).stem[:60] or "Mine"
    with tempfile.TemporaryDirectory(prefix="genlab-import-") as temporary:
        folder = Path(temporary) / "model"
        imported = convert(
            source, folder, "", dataset, corrections, shown_as=name, default_title=title
        )
        (folder / SOURCE).mkdir()
        shutil.copyfile(source, folder / SOURCE / f"file{source.suffix.lower()}")
        return Brought(registry.own.add(owner, folder), imported)


def bring_from_hub(registry: Registry, owner: str, repo_id: str, dataset: str = "") -> Brought:
    """Fetch a model of the hub and make it a visitor's own; asks the hub.

    Raises:
        UserError: as `bring`, or the hub cannot be reached or has nothing that fits.
    """
    if not HUB_ID.fullmatch(repo_id):
        raise UserError(f"{repo_id[:60]!r} is no hub id, such as org/name.")
    with tempfile.TemporaryDirectory(prefix="genlab-import-") as temporary:
        path = fetch(repo_id, Path(temporary))
        name = repo_id.split("/")[1] + path.suffix
        return bring(registry, owner, path, name, dataset)


def correct(
    registry: Registry, owner: str, name: str, corrections: Corrections, dataset: str
) -> Brought:
    """Bring a visitor's model in anew, with what they know of it; it replaces the former.

    Raises:
        UserError: it is not theirs or is gone, or the corrections do not fit it.
    """
    metadata = next((entry for entry in registry.own.of(owner) if entry.name == name), None)
    kept = next((metadata.path / SOURCE).glob("file.*"), None) if metadata is not None else None
    if metadata is None or kept is None:
        raise UserError("This model of your own is gone: bring it again.")
    stated = metadata.card.get("imported")
    shown_as = str(stated.get("file", kept.name)) if isinstance(stated, dict) else kept.name
    brought = bring(registry, owner, kept, shown_as, dataset, corrections)
    registry.own.drop(owner, name)
    return brought
