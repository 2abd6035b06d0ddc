"""How a replica's events cross to the page: finished pictures as PNG files. No Ray and no torch.

A page shows PNG files, and to make one of a megapixel takes 0.3 s. Its process is one, so the
replicas do that. What is small goes as it is: up to 100 kB Ray sends with the answer itself; what
is larger lies in its object store, read-only, and keeps its place there as long as it is used.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from genlab.engine.events import Event, Progress, Result
from genlab.images import from_png, to_png

LARGE = 64_000  # bytes of pictures from which they go as files


@dataclass(frozen=True)
class PackedResult:
    """A result whose pictures are PNG files.

    Attributes:
        result: everything else; it has no images.
        files: of its pictures, in their order.
    """

    result: Result
    files: tuple[bytes, ...]


async def packed(event: Event) -> Event | PackedResult:
    """What a replica sends for an event; pictures are encoded beside its loop."""
    if not isinstance(event, Result) or event.images.nbytes < LARGE:
        return event
    return await asyncio.to_thread(_pack, event)


async def unpacked(sent: Event | PackedResult) -> Event:
    """The event of what was sent, with arrays of its own; files are decoded beside the loop."""
    if isinstance(sent, PackedResult):
        sent = await asyncio.to_thread(_unpack, sent)
    if isinstance(sent, Result):
        extras = {name: _own(value) for name, value in sent.extras.items()}
        return replace(sent, images=_own(sent.images), extras=extras)
    return replace(sent, preview=_own(sent.preview)) if isinstance(sent, Progress) else sent


def _pack(result: Result) -> PackedResult:
    files = tuple(to_png(image) for image in result.images)
    return PackedResult(replace(result, images=result.images[:0]), files)


def _unpack(sent: PackedResult) -> Result:
    images = np.stack([from_png(file) for file in sent.files])
    return replace(sent.result, images=images, files=sent.files)


def _own(value: Any) -> Any:
    """An array that is written like those of the other drivers, and pins nothing elsewhere."""
    return value.copy() if isinstance(value, np.ndarray) and not value.flags.writeable else value
