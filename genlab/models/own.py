"""Models that belong to one visitor: uploaded or trained in the page, gone when they are not used.

Each is a checkpoint folder like any other, under a name that nobody can guess; whoever knows the
name can draw with it, and only its owner is told it. Knows no page and no torch.
"""

from __future__ import annotations

import re
import secrets
import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from genlab.formats.metadata import BrokenCheckpoint, ModelMetadata
from genlab.models.checkpoints import checkpoint_metadata
from genlab.requests import UserError

NAME = re.compile(r"own-[0-9a-f]{16}")
MOST = 4  # models of one owner; a fifth replaces the oldest
MOST_BYTES = 2_000_000_000  # of all owners together; the longest unused ones go first
IDLE_SECONDS = 2 * 3600.0


@dataclass
class _Own:
    """One of them: whose it is, and when it was last used."""

    metadata: ModelMetadata
    owner: str
    nbytes: int
    used: float = field(default_factory=time.monotonic)


class OwnModels:
    """The models of all visitors. Every method may be called from any thread.

    Args:
        root: a folder for them, of this process alone; None: visitors can bring none. Another
            process that serves the same page is given the same folder, and finds them by name.
    """

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._lock = threading.Lock()  # guards the one below
        self._models: dict[str, _Own] = {}  # the oldest first

    @property
    def allowed(self) -> bool:
        """Whether visitors can bring models."""
        return self._root is not None

    def add(self, owner: str, folder: Path) -> ModelMetadata:
        """Take a finished checkpoint folder, with its card, as a visitor's own; it is moved.

        Args:
            owner: the visitor, as runs know them.
            folder: holds README.md, config.json and weights, as in ``checkpoints/``.

        Returns:
            Its metadata; ``name`` is what requests call it.

        Raises:
            UserError: the folder is damaged, too large, or visitors can bring none.
        """
        if self._root is None:
            raise UserError("This GenLab takes no models of its visitors.")
        nbytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        if nbytes > MOST_BYTES / 8:
            raise UserError(
                f"The model has {nbytes / 1e6:.0f} MB, but a visitor's own may have at most "
                f"{MOST_BYTES / 8e6:.0f} MB."
            )
        target = self._root / f"own-{secrets.token_hex(8)}"
        self._root.mkdir(parents=True, exist_ok=True)
        shutil.move(folder, target)
        try:
            metadata = checkpoint_metadata(target)
        except BrokenCheckpoint as error:
            shutil.rmtree(target, ignore_errors=True)
            raise UserError(f"The model cannot be used: {error}") from error
        with self._lock:
            self._models[target.name] = _Own(metadata, owner, nbytes)
            mine = [name for name, own in self._models.items() if own.owner == owner]
            gone = [self._models.pop(name) for name in mine[:-MOST]]
        self._remove(gone)
        self.sweep()
        return metadata

    def of(self, owner: str, family: str | None = None) -> list[ModelMetadata]:
        """A visitor's models, the newest first; of one family, if it is named."""
        with self._lock:
            mine = [own.metadata for own in self._models.values() if own.owner == owner]
        return [entry for entry in reversed(mine) if family in (None, entry.family)]

    def find(self, name: str) -> ModelMetadata | None:
        """The model of that name, whoever's it is; None if there is none (any more)."""
        if self._root is None or not NAME.fullmatch(name):
            return None
        with self._lock:
            own = self._models.get(name)
            if own is not None:
                own.used = time.monotonic()
                return own.metadata
        try:  # another process took it in
            metadata = checkpoint_metadata(self._root / name)
        except BrokenCheckpoint:
            return None
        with self._lock:
            return self._models.setdefault(name, _Own(metadata, "", 0)).metadata

    def adopt(self, owner: str, heir: str) -> None:
        """Give a visitor's models to the page with which they come back."""
        with self._lock:
            for own in self._models.values():
                if own.owner == owner:
                    own.owner = heir

    def drop(self, owner: str, name: str) -> None:
        """Remove one of a visitor's models; nothing happens if it is not theirs."""
        with self._lock:
            own = self._models.get(name)
            gone = [self._models.pop(name)] if own is not None and own.owner == owner else []
        self._remove(gone)

    def forget(self, owner: str) -> None:
        """Remove a visitor's models: they have left."""
        with self._lock:
            mine = [name for name, own in self._models.items() if own.owner == owner]
            gone = [self._models.pop(name) for name in mine]
        self._remove(gone)

    def sweep(self, idle_seconds: float = IDLE_SECONDS) -> int:
        """Remove what was not used for so long, and more while all are too large; how many."""
        last = time.monotonic() - idle_seconds
        with self._lock:
            total = sum(own.nbytes for own in self._models.values())
            gone: list[_Own] = []
            for name, own in sorted(self._models.items(), key=lambda item: item[1].used):
                if own.used >= last and total <= MOST_BYTES:
                    break
                total -= own.nbytes
                gone.append(self._models.pop(name))
        self._remove(gone)
        return len(gone)

    @staticmethod
    def _remove(gone: list[_Own]) -> None:
        for own in gone:
            if own.owner:  # else another process has taken it in, and removes it
                shutil.rmtree(own.metadata.path, ignore_errors=True)
