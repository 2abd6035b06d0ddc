"""Drawn pictures as a notebook wants them: PIL images that show themselves. Knows no lab."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from genlab.generation_metadata import KEY
from genlab.images import contact_sheet

SHOWN_HEIGHT = 128
"""Pixels that a small picture is enlarged to in a notebook, by whole numbers."""


@dataclass(frozen=True, repr=False, eq=False)
class Pictures(Sequence[Image.Image]):
    """The pictures of one request, in order; a notebook shows them as a contact sheet.

    Attributes:
        images: each carries its metadata as ``image.info["genlab"]``.
        figures: what was measured of them: ``seconds``, ``notes``, and what docs/api.md lists.
    """

    images: tuple[Image.Image, ...]
    figures: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, k: Any) -> Any:
        return self.images[k]

    def __iter__(self) -> Iterator[Image.Image]:
        return iter(self.images)

    @property
    def metadata(self) -> list[dict[str, Any]]:
        """How each was drawn: request, sha256 of the weights, versions of the libraries."""
        return [json.loads(image.info[KEY]) for image in self.images]

    @property
    def arrays(self) -> np.ndarray:
        """All of them as uint8 (N, H, W) or (N, H, W, 3)."""
        return np.stack([np.asarray(image) for image in self.images])

    def sheet(self, columns: int | None = None) -> Image.Image:
        """All of them on one picture, in rows of ``columns``."""
        return shown(self.arrays, columns)

    def save(self, folder: str | Path) -> list[Path]:
        """Write 000.png, 001.png, ... with their metadata into a folder, which is made."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{k:03}.png" for k in range(len(self))]
        for path, image in zip(paths, self.images, strict=True):
            chunks = PngInfo()
            chunks.add_text(KEY, image.info[KEY])
            image.save(path, pnginfo=chunks)
        return paths

    def __repr__(self) -> str:
        width, height = self.images[0].size
        return f"<{len(self)} pictures of {width}x{height} in {self.figures['seconds']:.2f} s>"

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        file = io.BytesIO()
        self.sheet().save(file, format="PNG")
        return file.getvalue()


def shown(images: np.ndarray, columns: int | None = None) -> Image.Image:
    """uint8 (N, H, W[, 3]) as one contact sheet, small pictures enlarged for the eye."""
    sheet = contact_sheet(list(images), columns)
    scale = max(1, SHOWN_HEIGHT // images.shape[1])
    return sheet.resize((sheet.width * scale, sheet.height * scale), Image.Resampling.NEAREST)
