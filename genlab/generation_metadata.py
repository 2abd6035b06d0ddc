"""The recipe inside a PNG: all that is needed to draw the same picture again. Knows no model.

It is JSON in the PNG's text chunk ``genlab``, which any program that shows PNG text can show. To
make such a file take ``Catalogue.recipes(request)`` and ``to_png``; to read one,
``Catalogue.restore``.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

import genlab
from genlab.requests import SAMPLE_REQUESTS, SampleRequest, UserError, ask

KEY = "genlab"
LIBRARIES = ("torch", "diffusers", "transformers")
LARGEST = 50_000_000  # bytes; no picture of this lab comes near


@dataclass(frozen=True)
class Recipe:
    """How one picture was drawn: ask ``request`` again and it is the same picture."""

    request: SampleRequest  # of this very picture: its own seed, count 1
    family: str
    sha256: str  # of the checkpoint's weights, see Catalogue.fingerprint
    versions: dict[str, str] = field(default_factory=dict)  # genlab and LIBRARIES

    def to_text(self) -> str:
        """The JSON that a PNG carries; plain ASCII, as its text chunk wants it."""
        return json.dumps(
            {
                "kind": type(self.request).__name__,
                "family": self.family,
                "request": self.request.model_dump(mode="json"),
                "checkpoint_sha256": self.sha256,
                "versions": self.versions,
            }
        )

    @classmethod
    def from_text(cls, text: str) -> Recipe:
        """Read the JSON back; raises UserError with the first thing that is wrong."""
        try:
            told = json.loads(text)
            kind, values = str(told["kind"]), dict(told["request"])
            family, sha256 = str(told["family"]), str(told["checkpoint_sha256"])
            versions = {str(name): str(v) for name, v in dict(told["versions"]).items()}
        except (ValueError, KeyError, TypeError, RecursionError):
            raise UserError("The recipe in this picture is damaged.") from None
        if kind not in SAMPLE_REQUESTS:
            raise UserError(f"The recipe is for a {kind[:60]!r}, which GenLab does not know.")
        try:
            request = ask(SAMPLE_REQUESTS[kind], **values)
        except UserError as error:
            raise UserError(f"The recipe in this picture cannot be used: {error}") from None
        return cls(request, family, sha256, versions)


def recipes(request: SampleRequest, family: str, sha256: str) -> list[Recipe]:
    """One recipe for each of a request's pictures."""
    here = versions_here()
    return [Recipe(request.alone(k), family, sha256, here) for k in range(request.count)]


@cache
def versions_here() -> dict[str, str]:
    """The versions of GenLab and of the libraries that a picture depends on."""
    return {"genlab": genlab.__version__} | {name: version(name) for name in LIBRARIES}


def put(picture: Image.Image, recipe: Recipe) -> Image.Image:
    """The picture with its recipe in ``info``: saved as PNG by Gradio, it is in the file."""
    picture.info[KEY] = recipe.to_text()
    return picture


def to_png(image: np.ndarray, recipe: Recipe) -> bytes:
    """A uint8 (H, W[, 3]) picture as a PNG file, at its own size, that carries its recipe."""
    told = PngInfo()
    told.add_text(KEY, recipe.to_text())
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG", pnginfo=told)
    return file.getvalue()


def read(content: bytes) -> Recipe:
    """The recipe in the bytes of a PNG file; raises UserError with one plain sentence."""
    if len(content) > LARGEST:
        raise UserError(
            f"This file has {len(content) / 1e6:.0f} MB; no picture of GenLab has more than "
            f"{LARGEST / 1e6:.0f} MB."
        )
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
            text = picture.info.get(KEY)
            picture.verify()
    except UnidentifiedImageError:
        raise UserError("This is no PNG file; GenLab's recipes are in PNG files.") from None
    except (Image.DecompressionBombError, ValueError):
        raise UserError("This PNG is larger than any picture of GenLab.") from None
    except Exception:  # Pillow raises SyntaxError, OSError, struct.error... on a damaged file
        raise UserError("This PNG file is damaged.") from None
    if not isinstance(text, str):
        raise UserError(
            "This PNG carries no recipe: it is not from GenLab, or a program that it went through "
            "has removed it."
        )
    return Recipe.from_text(text)


def differences(recipe: Recipe, sha256: str) -> Sequence[str]:
    """Sentences on why the picture may come out differently here; none if all is the same."""
    notes = []
    name = recipe.request.checkpoint
    if recipe.sha256 != sha256:
        notes.append(
            f"The picture was drawn with other weights of {name} than lie here, so it will differ."
        )
    here = versions_here()
    other = [
        f"{library} {recipe.versions[library]} (here {here[library]})"
        for library in here
        if recipe.versions.get(library, here[library]) != here[library]
    ]
    if other:
        notes.append(f"The picture was drawn with {', '.join(other)}; small differences may show.")
    return notes
