"""All models, of checkpoints/ and from outside: load, unload the least recently used."""

from __future__ import annotations

import gc
import hashlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from genlab import generation_metadata as recipe
from genlab.engine.device import Runtime
from genlab.formats.metadata import Entry, read_entry
from genlab.models.downloads import Shelf
from genlab.models.families import FAMILIES, BrokenCheckpoint, Family
from genlab.requests import Request, SampleRequest, UserError

log = logging.getLogger(__name__)


class Catalogue:
    """The models there are; the engine's source of them.

    A damaged checkpoint never stops the app: it is in ``broken`` with one sentence on why, and
    the others are served. ``entries`` and ``broken`` are replaced as a whole by ``scan``, so any
    thread may read them at any time; hold on to one of them while you iterate.

    What the hub has is in ``offers()``; ``weigh``, ``fetch`` and ``stop_fetching`` say how large
    one is, download it and stop that. A model that has arrived is in ``entries`` at once.

    Args:
        root: the folder that holds one folder a checkpoint.
        runtime: where the networks run.
        memory_bytes: weights kept loaded; above it the least recently used are let go.
        models: what GENLAB_MODELS names: hub ids, diffusers folders and .safetensors files.
        downloads: whether models of the hub may be downloaded; if not, none is offered.
    """

    def __init__(
        self,
        root: Path,
        runtime: Runtime,
        memory_bytes: float = 8e9,
        models: Sequence[str] = (),
        downloads: bool = True,
    ) -> None:
        self.root = root
        self.runtime = runtime
        self.memory_bytes = memory_bytes
        self.entries: dict[str, Entry] = {}
        self.broken: dict[str, str] = {}
        self._shelf = Shelf(models, runtime.dtype, self.scan, downloads)
        self.offers = self._shelf.offers
        self.weigh = self._shelf.weigh
        self.stop_fetching = self._shelf.stop_fetching
        self._loaded: OrderedDict[str, Family] = OrderedDict()
        self._fingerprints: dict[str, str] = {}
        self._hashing = threading.Lock()
        self._scanning = threading.Lock()  # the scan that began last has the last word
        self.scan()

    def scan(self) -> None:
        """Look anew at what is there."""
        with self._scanning:
            self._scan()

    def _scan(self) -> None:
        entries: dict[str, Entry] = {}
        broken: dict[str, str] = {}
        folders = sorted(p for p in self.root.iterdir() if p.is_dir()) if self.root.is_dir() else []
        for folder in folders:
            try:
                entries[folder.name] = read_entry(folder, self.runtime.dtype)
            except BrokenCheckpoint as error:
                broken[folder.name] = str(error)
        outside, wrong = self._shelf.scan()
        for name in outside.keys() & (entries.keys() | broken.keys()):
            del outside[name]
            wrong[f"{name} (outside)"] = f"a folder of {self.root.name} has that name already."
        for name, why in (broken | wrong).items():
            log.warning("%s is left out: %s", name, why)
        self.entries, self.broken = entries | outside, broken | wrong  # ours first

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

    def fetch(self, name: str) -> None:
        """Start the download of an offer, or go on with one; see `Shelf.fetch`.

        Raises UserError if there is no such offer, or it would not fit into the memory.
        """
        needed = self._shelf.memory(name)
        if needed is not None and needed > self.memory_bytes:
            raise UserError(
                f"{name} would take about {needed / 1e9:.0f} GB of memory here, but "
                f"GENLAB_MEMORY_GB allows {self.memory_bytes / 1e9:g}."
            )
        self._shelf.fetch(name)

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
            offered = any(offer.name == name for offer in self.offers())
            missing = "is offered, but not downloaded yet" if offered else "is not here"
            raise UserError(f"The picture was drawn by {name!r}, which {missing}.")
        self.check(found.request)
        return found.request, tuple(recipe.differences(found, self.fingerprint(name)))

    # --- what the engine asks ---------------------------------------------------------------

    def check(self, request: Request) -> None:
        """Raise UserError unless the request's checkpoint exists and serves such requests."""
        entry = self.entry(request.checkpoint)
        if entry.nbytes > self.memory_bytes:
            raise UserError(
                f"{entry.title} takes {entry.nbytes / 1e9:.1f} GB of memory, but GENLAB_MEMORY_GB "
                f"allows {self.memory_bytes / 1e9:g}."
            )
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
        while self._loaded and self._loaded_bytes() + entry.nbytes > self.memory_bytes:
            gone, _ = self._loaded.popitem(last=False)
            log.info("unloaded %s to make room for %s", gone, name)
        gc.collect()  # pipelines hold cycles; their weights must be gone before new ones come
        try:
            family = FAMILIES[entry.family].open(entry.folder, self.runtime, dict(entry.card))
        except BrokenCheckpoint as error:
            raise UserError(f"The checkpoint {name} is damaged: {error}") from error
        self._loaded[name] = family
        return family

    def has_room(self, name: str, begun: set[str]) -> bool:
        """Whether a model can be loaded without unloading one of ``begun``. Worker's thread."""
        entry = self.entries.get(name)
        if entry is None or name in self._loaded:  # weighing takes milliseconds
            return True
        held = sum(self._loaded[other].nbytes for other in begun if other in self._loaded)
        return not held or held + entry.nbytes <= self.memory_bytes

    def shrink(self) -> bool:
        """After an out-of-memory: fewer rows a call; False if there is nothing left to give."""
        return self.runtime.shrink()

    def _loaded_bytes(self) -> int:
        return sum(family.nbytes for family in self._loaded.values())


def sha256_of(folder: Path) -> str:
    """``cat`` of the folder's safetensors files, sorted by path, through ``sha256sum``."""
    digest = hashlib.sha256()
    files = [folder] if folder.is_file() else folder.rglob("*.safetensors")
    for path in sorted(files, key=lambda p: p.as_posix()):
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
