"""Files that visitors send, and files made for them: few, small, soon gone. Knows no model.

They lie in a folder of this process. It goes with the process; what a killed one has left is
cleared by the next start.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, MutableSet
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

try:
    import fcntl
except ImportError:  # Windows: left-overs stay until its own clearing
    fcntl = None

MAX_FILE_BYTES = 24_000_000
"""A recipe is read from a PNG; the largest that GenLab gives, a contact sheet, has less."""
MAX_BODY_BYTES = MAX_FILE_BYTES + 1_000_000  # one file and what is round it
UPLOAD_SECONDS = 120.0  # an uploaded file is read at once; whoever sends the same shares it
KEPT_SECONDS = 3600.0  # files made for the API's clients, who fetch them at once
FOLDER_BYTES = 500_000_000
HEARD_OUT = 4  # times the limit; whoever sends even more is cut off without an answer
PREFIX, LOCK = "genlab-", ".genlab-lock"
TOO_LARGE = (
    f"This file is too large: GenLab takes at most {MAX_FILE_BYTES // 1_000_000} MB at a time. "
    "It reads settings from PNG files that it has drawn."
)


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
    """Refuses what is larger than a recipe's picture: status 413, a sentence, nothing kept."""

    def __init__(self, app: ASGIApp, max_bytes: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._max_bytes:
            await _pass_over(receive, HEARD_OUT * self._max_bytes)
            await _refuse(send)
            return
        received, begun, refused = 0, False, False

        async def counted() -> Message:
            nonlocal received, refused
            message = await receive()
            received += len(message.get("body", b""))
            if received <= self._max_bytes:
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
        except Exception:
            if not refused:  # else the app has only noticed that its client was sent away
                raise


async def _pass_over(receive: Receive, most: int) -> None:
    """Let the sender finish, so that it listens to the answer; what it sends is kept nowhere."""
    more = True
    while more and most > 0:
        message = await receive()
        most -= len(message.get("body", b""))
        more = message.get("more_body", False)


async def _refuse(send: Send) -> None:
    body = json.dumps({"detail": TOO_LARGE}).encode()
    headers: list[Any] = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
