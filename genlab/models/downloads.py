"""Models from outside checkpoints/: which are here, which can be had, and their downloads.

A download runs in a thread of its own, which never touches the device: the engine goes on serving.
Nothing is asked of the network unless a person asks: finding what is cached needs none. No torch,
and huggingface_hub is imported when it is first needed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from genlab.formats import lora, single_file
from genlab.formats.metadata import BrokenCheckpoint, ModelMetadata
from genlab.formats.pipelines import INDEX
from genlab.models.checkpoints import lora_metadata, outside_metadata
from genlab.models.sources import Source, sources
from genlab.requests import UserError

if TYPE_CHECKING:
    from genlab.models.hub import Listing

log = logging.getLogger(__name__)

State = Literal["ready", "available", "downloading", "failed"]


@dataclass(frozen=True)
class Offer:
    """A model of the hub, as the page offers it."""

    name: str  # of the model that it is, or becomes
    title: str
    gb: float | None  # to download; None: unknown until the hub is asked (``download_size``)
    about: bool  # whether gb is a rough figure
    state: State
    progress: float = 0.0  # of the download, 0 to 1
    reason: str = ""  # one sentence on why it failed


class Downloads:
    """The presets and what GENLAB_MODELS names. Every method may be called from any thread.

    Args:
        specs: hub ids, folders and .safetensors files.
        changed: called, from the download's thread, when a model has arrived.
        enabled: whether anything may be downloaded.
    """

    def __init__(
        self, specs: Sequence[str], changed: Callable[[], None], enabled: bool = True
    ) -> None:
        self._sources, self._wrong = sources(specs)
        self._changed = changed
        self._enabled = enabled
        self._lock = threading.Lock()  # guards the three below
        self._offers: dict[str, Offer] = {}
        self._listings: dict[str, Listing] = {}
        self._stops: dict[str, threading.Event] = {}

    # --- what is here -----------------------------------------------------------------------

    def scan(self) -> tuple[dict[str, ModelMetadata], dict[str, str]]:
        """The usable models, and why others are not; reads headers, asks no network."""
        usable: dict[str, ModelMetadata] = {}
        broken = dict(self._wrong)
        for source in self._sources:
            try:
                metadata = self._look(source)
            except BrokenCheckpoint as error:
                broken[source.name] = str(error)
                continue
            if metadata is not None:
                usable[source.name] = metadata
        return usable, broken

    def local_paths(self) -> list[Path]:
        """The folders and files that were named, and the folder beside a file."""
        paths = [Path(s.where) for s in self._sources if s.kind != "hub"]
        return [*paths, *(p.with_suffix("") for p in paths if p.suffix == ".safetensors")]

    def _look(self, source: Source) -> ModelMetadata | None:
        """A source's metadata; None if it has yet to be downloaded, which makes it an offer."""
        path = Path(source.where)
        if source.kind == "folder":
            return outside_metadata(source, path)
        if source.kind == "file" and lora.is_addition_file(path):
            return lora_metadata(source.name, path)
        if source.kind == "file" and (path.with_suffix("") / INDEX).is_file():
            return outside_metadata(source, path, path.with_suffix(""))
        metadata = None
        folder = _cached(_repository(source)[0])
        if folder is not None:
            try:
                if source.kind == "file":
                    metadata = outside_metadata(source, path, folder)
                else:
                    metadata = outside_metadata(source, folder)
            except BrokenCheckpoint as error:  # a download that was interrupted, most likely
                log.info("%s is not whole: %s", source.where, error)
        self._offer(source, "ready" if metadata else "available")
        return metadata

    def _offer(self, source: Source, state: State) -> None:
        title, gb = source.title, source.gb
        if source.kind == "file":
            title, gb = f"{title}: its configuration", 0.01
        with self._lock:
            offer = self._offers.get(source.name)
            if offer is None:
                self._offers[source.name] = Offer(source.name, title, gb, True, state)
            elif offer.state in ("ready", "available"):
                self._offers[source.name] = replace(offer, state=state)

    # --- what can be had --------------------------------------------------------------------

    def offers(self) -> list[Offer]:
        """Every model of the hub that is known here, ready or not, in the order of the settings.

        Where downloads are switched off, only those that are ready.
        """
        with self._lock:
            offers = list(self._offers.values())
        return [offer for offer in offers if self._enabled or offer.state == "ready"]

    def download_size(self, name: str) -> Offer:
        """Ask the hub how large a download is. Seconds: not for a thread where others wait.

        Raises UserError if the name is unknown, or the hub cannot be reached or cannot serve it.
        """
        source = self._source(name)
        listing = self._listing(source)
        with self._lock:
            offer = replace(self._offers[name], gb=listing.nbytes / 1e9, about=False)
            self._offers[name] = offer
        return offer

    def memory_bytes(self, name: str, bytes_per_weight: int) -> float | None:
        """Bytes of memory that an offer's weights will take, about; None if that is unknown.

        Raises UserError if there is no such offer.
        """
        parameters = self._source(name).parameters
        return None if parameters is None else parameters * 1e9 * bytes_per_weight

    def fetch(self, name: str) -> None:
        """Start a download, or go on with one that was stopped; nothing if it runs already.

        Its progress, and the sentence if it fails, are in ``offers()``. Raises UserError if there
        is no such offer.
        """
        source = self._source(name)
        with self._lock:
            offer = self._offers[name]
            if offer.state in ("ready", "downloading"):
                return
            self._offers[name] = replace(offer, state="downloading", progress=0.0, reason="")
            stop = self._stops[name] = threading.Event()
        threading.Thread(
            target=self._download, args=(source, stop), name=f"genlab-fetch-{name}", daemon=True
        ).start()

    def stop_fetching(self, name: str) -> None:
        """End a download, at its next few megabytes; what has arrived is kept for the next try."""
        self._source(name)
        with self._lock:
            if name in self._stops:
                self._stops[name].set()

    def _source(self, name: str) -> Source:
        if not self._enabled:
            raise UserError("Downloads are switched off here (GENLAB_DOWNLOADS).")
        with self._lock:
            if name in self._offers:
                return next(source for source in self._sources if source.name == name)
            offered = ", ".join(self._offers)
        raise UserError(
            f"There is no model called {name[:200]!r} to download; there are: {offered}."
        )

    def _listing(self, source: Source) -> Listing:
        from genlab.models import hub

        with self._lock:
            earlier = self._listings.get(source.name)
        if earlier is not None:
            return earlier
        listing = hub.listing(*_repository(source))
        with self._lock:
            self._listings[source.name] = listing
        return listing

    # --- the download's thread --------------------------------------------------------------

    def _download(self, source: Source, stop: threading.Event) -> None:
        from genlab.models import hub

        def report(share: float) -> None:
            self._set(source.name, progress=share)

        try:
            listing = self._listing(source)
            self._set(source.name, gb=listing.nbytes / 1e9, about=False)
            folder = hub.download(_repository(source)[0], listing, report, stop.is_set)
            if source.kind == "hub":
                outside_metadata(source, folder)  # raises, if it cannot be used
            self._changed()
            self._set(source.name, state="ready", progress=1.0)
        except hub.DownloadStopped:
            self._set(source.name, state="available", progress=0.0)
        except UserError as error:
            self._set(source.name, state="failed", reason=str(error))
        except BrokenCheckpoint as error:
            self._set(source.name, state="failed", reason=f"It cannot be used: {error}")
        except Exception:
            log.exception("the download of %s failed", source.where)
            self._set(source.name, state="failed", reason="The download failed; the log says why.")

    def _set(self, name: str, **values: object) -> None:
        with self._lock:
            self._offers[name] = replace(self._offers[name], **values)


def _repository(source: Source) -> tuple[str, bool]:
    """The repository to fetch from, and whether its weights are wanted."""
    if source.kind == "file":
        if source.config:
            single_file.check(Path(source.where))
        return source.config or single_file.repository_of(Path(source.where)), False
    return source.where, True


def _cached(repo_id: str) -> Path | None:
    from genlab.models import hub

    return hub.cached(repo_id)
