"""What lies in checkpoints/: scan, validate, load, unload the least recently used."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard

from genlab import recipe
from genlab.engine.runtime import Runtime
from genlab.families import FAMILIES, BrokenCheckpoint, Family
from genlab.requests import Request, SampleRequest, UserError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """One usable checkpoint: its folder and what its card says."""

    name: str
    folder: Path
    family: str
    title: str
    dataset: str
    card: Mapping[str, Any] = field(default_factory=dict)  # the card's `genlab` mapping

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The figures that ``evaluate`` measured, as the card gives them."""
        return self.card.get("metrics", {})


class Catalogue:
    """The checkpoints of one folder; the engine's source of models.

    A damaged checkpoint never stops the app: it is in ``broken`` with one sentence on why, and
    the others are served.

    Args:
        root: the folder that holds one folder a checkpoint.
        runtime: where the networks run.
        memory_bytes: weights kept loaded; above it the least recently used are let go.
    """

    def __init__(self, root: Path, runtime: Runtime, memory_bytes: float = 8e9) -> None:
        self.root = root
        self.runtime = runtime
        self.memory_bytes = memory_bytes
        self.entries: dict[str, Entry] = {}
        self.broken: dict[str, str] = {}
        self._loaded: OrderedDict[str, Family] = OrderedDict()
        self._fingerprints: dict[str, str] = {}
        self._hashing = threading.Lock()
        self.scan()

    def scan(self) -> None:
        """Read the folder anew."""
        self.entries.clear()
        self.broken.clear()
        folders = sorted(p for p in self.root.iterdir() if p.is_dir()) if self.root.is_dir() else []
        for folder in folders:
            try:
                self.entries[folder.name] = read_entry(folder)
            except BrokenCheckpoint as error:
                self.broken[folder.name] = str(error)
                log.warning("checkpoint %s is left out: %s", folder.name, error)

    def of_family(self, family: str) -> list[Entry]:
        """The usable checkpoints of a family, by name."""
        return [entry for entry in self.entries.values() if entry.family == family]

    def judge(self, dataset: str) -> Entry | None:
        """The classifier that judges a dataset's pictures, if there is one."""
        return next((e for e in self.of_family("classifier") if e.dataset == dataset), None)

    def entry(self, name: str) -> Entry:
        """The entry of that name; raises UserError with what there is instead."""
        if name in self.entries:
            return self.entries[name]
        if name in self.broken:
            raise UserError(f"The checkpoint {name} is damaged: {self.broken[name]}")
        there = ", ".join(self.entries) or "none"
        raise UserError(f"There is no checkpoint called {name!r}; there are: {there}.")

    # --- recipes ----------------------------------------------------------------------------

    def fingerprint(self, name: str) -> str:
        """The sha256 of a checkpoint's weights: of its safetensors files' bytes, in path order.

        Reads every byte once and remembers; call it where nobody waits (``asyncio.to_thread``).
        """
        entry = self.entry(name)
        with self._hashing:
            if name not in self._fingerprints:
                self._fingerprints[name] = sha256_of(entry.folder)
            return self._fingerprints[name]

    def recipes(self, request: SampleRequest) -> list[recipe.Recipe]:
        """One recipe for each picture of a request; reads the weights the first time."""
        sha256 = self.fingerprint(request.checkpoint)
        return recipe.recipes(request, self.entry(request.checkpoint).family, sha256)

    def restore(self, content: bytes) -> tuple[SampleRequest, tuple[str, ...]]:
        """What the picture in a PNG file was asked with, and sentences on what differs here.

        Raises UserError if the file carries no usable recipe, or one for a checkpoint that is
        not here.
        """
        found = recipe.read(content)
        name = found.request.checkpoint
        if name not in self.entries:
            raise UserError(f"The picture was drawn by {name!r}, which is not here.")
        self.check(found.request)
        return found.request, tuple(recipe.differences(found, self.fingerprint(name)))

    # --- what the engine asks ---------------------------------------------------------------

    def check(self, request: Request) -> None:
        """Raise UserError unless the request's checkpoint exists and serves such requests."""
        entry = self.entry(request.checkpoint)
        if not isinstance(request, FAMILIES[entry.family].requests):
            raise UserError(
                f"{entry.name} is a {entry.family.replace('_', ' ')} checkpoint; "
                f"it cannot serve a {type(request).__name__}."
            )
        FAMILIES[entry.family].check_request(request, entry.folder)

    def load(self, name: str) -> Family:
        """The checkpoint, loaded; the least recently used others make room. Worker's thread."""
        if name in self._loaded:
            self._loaded.move_to_end(name)
            return self._loaded[name]
        entry = self.entry(name)
        try:
            family = FAMILIES[entry.family].open(entry.folder, self.runtime, dict(entry.card))
        except BrokenCheckpoint as error:
            raise UserError(f"The checkpoint {name} is damaged: {error}") from error
        self._loaded[name] = family
        while len(self._loaded) > 1 and self._loaded_bytes() > self.memory_bytes:
            gone, _ = self._loaded.popitem(last=False)
            log.info("unloaded %s", gone)
        return family

    def shrink(self) -> bool:
        """After an out-of-memory: fewer rows a call; False if there is nothing left to give."""
        return self.runtime.shrink()

    def _loaded_bytes(self) -> int:
        return sum(family.nbytes for family in self._loaded.values())


def sha256_of(folder: Path) -> str:
    """``cat`` of the folder's safetensors files, sorted by path, through ``sha256sum``."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.safetensors"), key=lambda p: p.as_posix()):
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def read_entry(folder: Path) -> Entry:
    """What a checkpoint folder's card and files say; raises BrokenCheckpoint with a sentence."""
    path = folder / "README.md"
    if not path.is_file():
        raise BrokenCheckpoint("it has no README.md (the model card that names its family).")
    try:
        data = ModelCard.load(path).data.to_dict()
    except Exception as error:
        raise BrokenCheckpoint("the YAML at the top of its README.md cannot be read.") from error
    card = data.get("genlab")
    if not isinstance(card, dict) or card.get("family") not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise BrokenCheckpoint(f"its README.md must name `genlab: family:` as one of {known}.")
    FAMILIES[card["family"]].check(folder)
    return Entry(
        name=folder.name,
        folder=folder,
        family=card["family"],
        title=str(card.get("title", folder.name)),
        dataset=str(card.get("dataset", "")),
        card=card,
    )
