"""Finished pictures by address: PNG files in memory, bounded by bytes and age. Knows no model.

The address of a picture is a keyed hash of its file and its height in pixels: equal files share one
entry, a browser may keep what it has loaded, nobody can guess where another visitor's picture lies,
and what shows it knows how large it is.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from genlab.generation_metadata import GenerationMetadata, put_into
from genlab.images import to_png

PREFIX = "pictures/"
"""What every address begins with: relative, so that GenLab may lie under any path of a host."""
HEIGHT = slice(20, 24)
"""Where a PNG file says how many rows it has, big-endian (ISO/IEC 15948, 11.2.2)."""
KEPT_SECONDS = 3600.0  # enough to come back from a break
KEPT_BYTES = 256_000_000
ENCODERS = 2  # threads; a 1024x1024 PNG takes 0.3 s, and zlib leaves the others running meanwhile
GONE = "This picture is not here any more: GenLab keeps pictures for an hour. Draw it again."


class PictureStore:
    """PNG files by address; the oldest go when there are too many bytes, all go with age.

    Args:
        max_bytes: of PNG content that is kept.
        seconds: that a picture is kept after it was last put.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        max_bytes: int = KEPT_BYTES,
        seconds: float = KEPT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_bytes = max_bytes
        self.seconds = seconds
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._files: OrderedDict[str, tuple[float, bytes]] = OrderedDict()  # oldest first
        self._nbytes = 0
        self._encoders = ThreadPoolExecutor(ENCODERS, thread_name_prefix="png")

    @property
    def nbytes(self) -> int:
        """How many bytes of pictures are kept now."""
        return self._nbytes

    async def put(
        self,
        images: np.ndarray,
        metadata: Sequence[GenerationMetadata] = (),
        files: Sequence[bytes] = (),
    ) -> list[str]:
        """Encode pictures beside the event loop and keep them.

        Args:
            images: uint8 (N, H, W[, 3]).
            metadata: none, or one a picture, to be inside its PNG.
            files: none, or the pictures as PNG files, which are not encoded once more then.

        Returns:
            The address of each, such as ``pictures/<64 hex digits>-28.png``.
        """
        inside = [*metadata, *[None] * (len(images) - len(metadata))]
        pictures = files or images
        loop = asyncio.get_running_loop()
        kept = [
            loop.run_in_executor(self._encoders, lambda p=one, m=own: self.keep(encoded(p, m)))
            for one, own in zip(pictures, inside, strict=True)
        ]
        return list(await asyncio.gather(*kept))

    def keep(self, content: bytes) -> str:
        """Keep a PNG file that is there already; its address. Any thread."""
        digest = hmac.new(self._key, content, hashlib.sha256).hexdigest()
        name = f"{digest}-{int.from_bytes(content[HEIGHT])}.png"
        with self._lock:
            if name in self._files:
                self._remove(name)
            self._files[name] = (self._clock(), content)
            self._nbytes += len(content)
            self._expire()
            while self._nbytes > self.max_bytes:
                self._remove(next(iter(self._files)))
        return PREFIX + name

    def get(self, name: str) -> bytes | None:
        """The PNG file of that name, the address without its ``pictures/``; None if it is gone."""
        with self._lock:
            self._expire()
            _, content = self._files.get(name, (0.0, None))
        return content

    def route(self) -> Route:
        """What serves the addresses; to stand before Gradio's own routes."""

        async def picture(request: Request) -> Response:
            content = self.get(request.path_params["name"])
            if content is None:
                return PlainTextResponse(GONE, status_code=404)
            kept = f"private, max-age={int(self.seconds)}, immutable"
            return Response(content, media_type="image/png", headers={"Cache-Control": kept})

        return Route(f"/{PREFIX}{{name}}", picture, methods=["GET"])

    def _expire(self) -> None:
        """Drop what is too old; they lie in the order in which they were put."""
        last = self._clock() - self.seconds
        while self._files and next(iter(self._files.values()))[0] < last:
            self._remove(next(iter(self._files)))

    def _remove(self, name: str) -> None:
        _, content = self._files.pop(name)
        self._nbytes -= len(content)


def height_of(address: str) -> int:
    """How many pixels the picture at an address is high."""
    return int(address.rpartition("-")[2].removesuffix(".png"))


def encoded(picture: np.ndarray | bytes, metadata: GenerationMetadata | None = None) -> bytes:
    """A picture as a PNG file, with what it was drawn by where that is given.

    Args:
        picture: uint8 (H, W[, 3]), or a PNG file without metadata.
        metadata: to be inside the file.
    """
    file = picture if isinstance(picture, bytes) else to_png(picture)
    return file if metadata is None else put_into(file, metadata)
