"""Files that visitors send, and files made for them: few, small, soon gone. Knows no model.

They lie in a folder of this process. It goes with the process; what a killed one has left is
cleared by the next start.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Iterator, MutableSet
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

try:
    import fcntl
except ImportError:  # Windows: left-overs stay until its own clearing
    fcntl = None

log = logging.getLogger(__name__)

MAX_FILE_BYTES = 64_000_000
"""Of a checkpoint that a visitor brings; the PNGs from which recipes are read have far less."""
MAX_BODY_BYTES = MAX_FILE_BYTES + 1_000_000  # one file and what is round it
MAX_TEXT_BYTES = 25_000_000  # of a call without a file
UPLOAD_SECONDS = 120.0  # an uploaded file is read at once; whoever sends the same shares it
KEPT_SECONDS = 3600.0  # files made for the API's clients, who fetch them at once
FOLDER_BYTES = 500_000_000
LATELY_SECONDS = 60.0  # after which at the latest the folder is swept, see `sweep_folder`
HEARD_OUT = 4  # times the limit; whoever sends even more is cut off without an answer
PREFIX, LOCK = "genlab-", ".genlab-lock"
TOO_LARGE = (
    f"This file is too large: GenLab takes at most {MAX_FILE_BYTES // 1_000_000} MB at a time. "
    "It reads settings from PNG files that it has drawn, and checkpoints of VAEs and GANs."
)
NO_ROOM = (
    "GenLab could not write a file: its machine's disk is full, or its folder cannot be written. "
    "Whoever runs GenLab has to see to that."
)
TOO_MANY = "GenLab was sent very many files in the last minute. Please try again in a minute."


@contextmanager
def upload_folder(parent: str | Path | None = None) -> Iterator[Path]:
    """A folder for this process's files inside ``parent``, the system's folder for such by default.

    First removes those of processes that were killed; it goes when the ``with`` ends.
    """
    place = Path(parent or tempfile.gettempdir())
    place.mkdir(parents=True, exist_ok=True)
    clear_left_overs(place)
    with (
        tempfile.TemporaryDirectory(prefix=PREFIX, dir=place, ignore_cleanup_errors=True) as name,
        open(Path(name) / LOCK, "w") as lock,
    ):
        _locked(lock)  # as long as this process lives, however it ends
        yield Path(name)


def clear_left_overs(parent: Path) -> int:
    """Remove the folders of processes that are gone; how many there were."""
    count = 0
    for lock_file in parent.glob(f"{PREFIX}*/{LOCK}"):
        with suppress(OSError), open(lock_file, "r+") as lock:  # not ours: leave it alone
            if _locked(lock):
                shutil.rmtree(lock_file.parent, ignore_errors=True)
                count += 1
    return count


def _locked(lock: IO[str]) -> bool:
    """Whether the file could be locked for this process, and so belongs to no other."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def sweep_folder(
    folder: Path,
    uploaded: MutableSet[str],
    max_bytes: int = FOLDER_BYTES,
    upload_seconds: float = UPLOAD_SECONDS,
    seconds: float = KEPT_SECONDS,
) -> None:
    """Remove what is old, and the oldest files while all together are too large.

    Args:
        uploaded: paths of the files that were sent; those that are gone are taken out. Files that
            lie in the folder itself, in none of its own, are of an upload that was broken off.
    """
    now = time.time()
    files: list[tuple[float, int, Path]] = []  # when it was written, bytes, where
    for path in folder.rglob("*"):
        with suppress(OSError):
            if path.is_file() and path.name != LOCK:
                found = path.stat()
                files.append((found.st_mtime, found.st_size, path))
    total = sum(size for _, size, _ in files)
    for written, size, path in sorted(files):
        sent = str(path) in uploaded or path.parent == folder
        if now - written > (upload_seconds if sent else seconds) or total > max_bytes:
            total -= size
            with suppress(OSError):
                path.unlink()
                path.parent.rmdir()  # which Gradio made for this file; fails if it is not empty
    for name in [name for name in tuple(uploaded) if not os.path.exists(name)]:
        uploaded.discard(name)


class BodyLimit:
    """Refuses what is larger than a checkpoint: status 413, a sentence, nothing kept.

    The files of a minute together have a bound too, as they lie in the folder until it is swept:
    status 503.
    """

    def __init__(
        self, app: ASGIApp, max_bytes: int = MAX_BODY_BYTES, lately_bytes: int = FOLDER_BYTES
    ) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._lately_bytes = lately_bytes
        self._lately: deque[tuple[float, int]] = deque()  # of files: when, how many bytes
        self._lately_total = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        has_files = headers.get(b"content-type", b"").startswith(b"multipart/")
        length = headers.get(b"content-length", b"0")
        most = self._max_bytes if has_files else min(self._max_bytes, MAX_TEXT_BYTES)
        if not length.isdigit() or int(length) > most:
            await _pass_over(receive, HEARD_OUT * self._max_bytes)
            await _refuse(send)
            return
        if has_files and self._received_lately() > self._lately_bytes:
            await _pass_over(receive, HEARD_OUT * self._max_bytes)
            await _refuse(send, 503, TOO_MANY)
            return
        received, begun, refused = 0, False, False

        async def counted() -> Message:
            nonlocal received, refused
            message = await receive()
            received += len(message.get("body", b""))
            if has_files:
                self._note(len(message.get("body", b"")))
            if received <= most:
                return message
            if not begun and not refused:
                refused = True
                if message.get("more_body"):
                    await _pass_over(receive, HEARD_OUT * self._max_bytes)
                await _refuse(send)
            return {"type": "http.disconnect"}

        async def unless_refused(message: Message) -> None:
            nonlocal begun
            if not refused:
                begun = True
                await send(message)

        try:
            await self._app(scope, counted, unless_refused)
        except OSError as error:
            if begun or refused or not has_files:
                raise
            log.error("an upload could not be kept: %s", error)
            await _refuse(send, 507, NO_ROOM)
        except Exception:
            if not refused:  # else the app has only noticed that its client was sent away
                raise

    def _note(self, count: int) -> None:
        self._lately.append((time.monotonic(), count))
        self._lately_total += count

    def _received_lately(self) -> int:
        """Bytes of files in the last minute."""
        since = time.monotonic() - LATELY_SECONDS
        while self._lately and self._lately[0][0] < since:
            self._lately_total -= self._lately.popleft()[1]
        return self._lately_total


async def _pass_over(receive: Receive, most: int) -> None:
    """Let the sender finish, so that it listens to the answer; what it sends is kept nowhere."""
    more = True
    while more and most > 0:
        message = await receive()
        most -= len(message.get("body", b""))
        more = message.get("more_body", False)


async def _refuse(send: Send, status: int = 413, sentence: str = TOO_LARGE) -> None:
    body = json.dumps({"detail": sentence}).encode()
    headers: list[Any] = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
