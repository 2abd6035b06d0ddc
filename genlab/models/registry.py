"""Which models there are and what is known of each. Metadata only: no weights, no torch."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from genlab import generation_metadata
from genlab.formats.fingerprints import sha256_of, stamp_of, together
from genlab.formats.metadata import BrokenCheckpoint, ModelMetadata
from genlab.generation_metadata import GenerationMetadata
from genlab.models.checkpoints import LORA, checkpoint_metadata, shown_name
from genlab.models.downloads import Downloads, Offer
from genlab.models.families import BUILT_IN, FAMILIES
from genlab.models.own import NAME, OwnModels
from genlab.requests import Request, SampleRequest, UserError

log = logging.getLogger(__name__)

Stamp = tuple[tuple[str, int, int], ...]


class Registry:
    """The models there are. Every method may be called from any thread.

    A damaged checkpoint never stops the app: it is in ``broken`` with one sentence on why, and
    the others are served. ``entries`` and ``broken`` are replaced as a whole by ``scan``, so any
    thread may read them at any time; hold on to one of them while you iterate.

    What the hub has is in ``offers()``; ``download_size``, ``fetch`` and ``stop_fetching`` say how
    large one is, download it and stop that. A model that has arrived is in ``entries`` at once.

    Args:
        root: the folder that holds one folder a checkpoint.
        models: what GENLAB_MODELS names: hub ids, diffusers folders and .safetensors files.
        downloads: whether models of the hub may be downloaded; if not, none is offered.
        memory_bytes: weights that may be loaded at once; larger models are refused.
        own: a folder for the models of visitors; None: they can bring none.

    Attributes:
        entries: the usable models by name, those of ``root`` first.
        own: the models of visitors, which are in no list but their owner's.
        loras: what can be added to a Stable Diffusion, by name; they draw nothing by themselves.
        broken: why others cannot be used, by name.
        bytes_per_weight: of the number format that weights are loaded in. Who opens the device
            sets it; until then the smaller one counts, so that nothing is refused that may fit.
    """

    def __init__(
        self,
        root: Path,
        models: Sequence[str] = (),
        downloads: bool = True,
        memory_bytes: float = 8e9,
        own: Path | None = None,
    ) -> None:
        self.root = Path(root)
        self.own = OwnModels(own)
        self.memory_bytes = memory_bytes
        self.bytes_per_weight = 2
        self.entries: dict[str, ModelMetadata] = {}
        self.broken: dict[str, str] = {}
        self.loras: dict[str, ModelMetadata] = {}
        self._downloads = Downloads(models, self.scan, downloads)
        self._fingerprints: dict[Path, tuple[Stamp, str]] = {}
        self._hashing = threading.Lock()  # guards the above
        self._scanning = threading.Lock()  # the scan that began last has the last word
        self._seen: Stamp = ()
        self.scan()

    # --- what there is ------------------------------------------------------------------------

    def scan(self) -> None:
        """Look anew at what is there: models added, changed and removed."""
        with self._scanning:
            seen = self._look()
            entries: dict[str, ModelMetadata] = {}
            broken: dict[str, str] = {}
            for folder in self._folders():
                try:
                    entries[folder.name] = checkpoint_metadata(folder)
                except BrokenCheckpoint as error:
                    broken[shown_name(folder.name)] = shown_name(str(error))
            outside, wrong = self._downloads.scan()
            for name in outside.keys() & (entries.keys() | broken.keys()):
                del outside[name]
                wrong[f"{name} (outside)"] = f"a folder of {self.root.name} has that name already."
            for name, why in (broken | wrong).items():
                if self.broken.get(name) != why:
                    log.warning("%s is left out: %s", name, why)
            loras = {name: entry for name, entry in outside.items() if entry.family == LORA}
            models = {name: entry for name, entry in outside.items() if name not in loras}
            self.entries, self.broken = entries | models, broken | wrong  # ours first
            self.loras = loras
            self._seen = seen

    def rescan_if_changed(self) -> bool:
        """Scan if a file of ``root`` or of a model beside it came, changed or went; whether so.

        Reads no file: milliseconds for a hundred folders.
        """
        if self._look() == self._seen:
            return False
        self.scan()
        return True

    def of_family(self, family: str) -> list[ModelMetadata]:
        """The usable models of a family, by name."""
        return [entry for entry in self.entries.values() if entry.family == family]

    def judge(self, dataset: str) -> ModelMetadata | None:
        """The model that judges a dataset's pictures, if there is one."""
        return next(
            (
                entry
                for entry in self.entries.values()
                if dataset and entry.dataset == dataset and FAMILIES[entry.family].judge
            ),
            None,
        )

    def find(self, name: str) -> ModelMetadata | None:
        """The metadata of the model or LoRA of that name, if there is one that can be used."""
        listed = self.entries.get(name) or self.loras.get(name) or BUILT_IN.get(name)
        return listed or self.own.find(name)

    def entry(self, name: str) -> ModelMetadata:
        """The metadata of that name; raises UserError with what there is instead.

        Looks anew at the folder for a name that is not known.
        """
        if self.find(name) is None and not NAME.fullmatch(name):
            self.rescan_if_changed()
        entries, broken = self.entries, self.broken
        if name in entries:
            return entries[name]
        if name in BUILT_IN:
            return BUILT_IN[name]
        if name in broken:
            raise UserError(f"The checkpoint {name} is damaged: {broken[name]}")
        if (own := self.own.find(name)) is not None:
            return own
        if NAME.fullmatch(name):
            raise UserError("This model of your own is gone: bring it again.")
        if name in self.loras:
            raise UserError(f"{name} is a LoRA, an addition to a model: choose one that wears it.")
        names = ", ".join(entries) or "none"
        raise UserError(f"There is no checkpoint called {name!r}; there are: {names}.")

    def check(self, request: Request) -> None:
        """Raise UserError unless the request's model exists and serves such requests."""
        entry = self.entry(request.checkpoint)
        self.check_memory(entry)
        description = FAMILIES[entry.family]
        if not isinstance(request, description.requests):
            raise UserError(
                f"{entry.name} is a {entry.family.replace('_', ' ')} checkpoint; "
                f"it cannot serve a {type(request).__name__}."
            )
        description.check_request(request, entry, self.find)

    def check_memory(self, entry: ModelMetadata) -> None:
        """Raise UserError if a model alone takes more memory than all models may."""
        needed = entry.memory_bytes(self.bytes_per_weight)
        if needed > self.memory_bytes:
            raise UserError(
                f"{entry.title} takes {needed / 1e9:.1f} GB of memory, but GENLAB_MEMORY_GB "
                f"allows {self.memory_bytes / 1e9:g}."
            )

    # --- what can be had ----------------------------------------------------------------------

    def offers(self) -> list[Offer]:
        """The models of the hub that are known here, ready or not; see `Downloads.offers`."""
        return self._downloads.offers()

    def download_size(self, name: str) -> Offer:
        """Ask the hub how large a download is; see `Downloads.download_size`."""
        return self._downloads.download_size(name)

    def fetch(self, name: str) -> None:
        """Start the download of an offer, or go on with one; see `Downloads.fetch`.

        Raises UserError if there is no such offer, or it would not fit into the memory.
        """
        needed = self._downloads.memory_bytes(name, self.bytes_per_weight)
        if needed is not None and needed > self.memory_bytes:
            raise UserError(
                f"{name} would take about {needed / 1e9:.0f} GB of memory here, but "
                f"GENLAB_MEMORY_GB allows {self.memory_bytes / 1e9:g}."
            )
        self._downloads.fetch(name)

    def stop_fetching(self, name: str) -> None:
        """End a download; see `Downloads.stop_fetching`."""
        self._downloads.stop_fetching(name)

    # --- pictures and the weights that drew them ----------------------------------------------

    def generation_metadata(
        self, request: SampleRequest, fingerprint: str
    ) -> list[GenerationMetadata]:
        """What each picture of a request is to carry.

        Args:
            request: what was served.
            fingerprint: of the weights that drew it, as its result has it.
        """
        entry = self.find(request.checkpoint)  # None if its folder has vanished meanwhile
        serving = (name for name, family in FAMILIES.items() if type(request) in family.requests)
        family = entry.family if entry is not None else next(serving)
        return generation_metadata.for_pictures(request, family, fingerprint)

    def restore(self, content: bytes) -> tuple[SampleRequest, tuple[str, ...]]:
        """What the picture in a PNG file was asked with, and sentences on what differs here.

        Reads the weights if they were not hashed before: not for a thread where others wait.

        Raises:
            UserError: the file carries no usable metadata, or its model is not here.
        """
        found = generation_metadata.read(content, _sample_requests())
        name = found.request.checkpoint
        if self.find(name) is None:
            offered = any(offer.name == name for offer in self.offers())
            missing = "is offered, but not downloaded yet" if offered else "is not here"
            raise UserError(f"The picture was drawn by {name!r}, which {missing}.")
        self.check(found.request)
        added = getattr(found.request, "lora", "")
        fingerprint = together([self.fingerprint(n) for n in (name, added) if n])
        return found.request, tuple(generation_metadata.differences(found, fingerprint))

    def fingerprint(self, name: str) -> str:
        """The sha256 of a model's weights as they lie on disk now; see `fingerprints.sha256_of`.

        Reads every byte, the first time and after a change: call it where nobody waits.

        Raises:
            UserError: there is no such model, or its weights have vanished.
        """
        if name in BUILT_IN:
            return ""  # it has no weights of its own
        path = (self.loras.get(name) or self.entry(name)).path
        with self._hashing:
            stamp = stamp_of(path)
            kept = self._fingerprints.get(path)
            if kept is not None and stamp and kept[0] == stamp:
                return kept[1]
            try:
                sha256 = sha256_of(path)
            except BrokenCheckpoint as error:
                raise UserError(f"The checkpoint {name} is damaged: {error}") from error
            self._fingerprints[path] = (stamp, sha256)
            return sha256

    # --- the folder ---------------------------------------------------------------------------

    def _folders(self) -> list[Path]:
        try:
            return sorted(p for p in self.root.iterdir() if p.is_dir())
        except FileNotFoundError:
            return []
        except OSError as error:
            log.warning("%s cannot be read: %s", self.root, error)
            return []

    def _look(self) -> Stamp:
        """Path, time of change and size of all that lies in ``root`` and was named beside it."""
        seen = []
        for folder in (*self._folders(), *self._downloads.local_paths()):
            try:
                inside = [folder, *folder.rglob("*")]
            except OSError:  # removed meanwhile
                inside = [folder]
            for path in inside:
                try:
                    about = path.stat()
                except OSError:
                    continue
                seen.append((path.as_posix(), about.st_mtime_ns, about.st_size))
        return tuple(sorted(seen))


def _sample_requests() -> dict[str, type[SampleRequest]]:
    """The kinds of request that draw pictures, by class name."""
    kinds = (kind for description in FAMILIES.values() for kind in description.requests)
    return {kind.__name__: kind for kind in kinds if issubclass(kind, SampleRequest)}
