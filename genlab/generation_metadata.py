"""What a PNG carries so that its picture can be drawn again. Knows no model and no family.

It is JSON in the PNG's text chunk ``genlab``, which any program that shows PNG text can show. To
make such a file take ``Registry.generation_metadata`` and ``to_png``; to read one,
``Registry.restore``.
"""

from __future__ import annotations

import io
import json
import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

import genlab
from genlab import images
from genlab.requests import SampleRequest, UserError, parse_request

KEY = "genlab"
FORMAT = 1
"""Of the JSON; pictures from before it was written down have none and are read like 1."""
LIBRARIES = ("torch", "diffusers", "transformers")
HEADER = 33  # bytes of a PNG file: its signature and its first chunk, which says its size
LARGEST = 50_000_000  # bytes; no picture of this lab comes near
LONGEST_VERSION = 40  # characters that are shown of one
RENAMED = {"film": "trajectory"}
"""Settings that were called otherwise in earlier versions."""

Kinds = Mapping[str, type[SampleRequest]]
"""The kinds of request that draw pictures, by class name."""


@dataclass(frozen=True)
class GenerationMetadata:
    """How one picture was drawn: serve ``request`` again and it is the same picture."""

    request: SampleRequest  # of this very picture: its own seed, count 1
    family: str
    sha256: str  # of the checkpoint's weights, see `formats.fingerprints`
    versions: Mapping[str, str] = field(default_factory=dict)  # genlab and LIBRARIES

    def to_text(self) -> str:
        """The JSON that a PNG carries; plain ASCII, as its text chunk wants it."""
        return json.dumps(
            {
                "format": FORMAT,
                "kind": type(self.request).__name__,
                "family": self.family,
                "request": self.request.model_dump(mode="json"),
                "checkpoint_sha256": self.sha256,
                "versions": dict(self.versions),
            }
        )

    @classmethod
    def from_text(cls, text: str, kinds: Kinds) -> GenerationMetadata:
        """Read the JSON back; raises UserError with the first thing that is wrong."""
        try:
            content = json.loads(text)
            json.dumps(
                content, ensure_ascii=False
            ).encode()  # no half of a character, such as \ud800
            number = int(content.get("format", FORMAT))
            name = str(content["kind"])
            values = {str(key): value for key, value in dict(content["request"]).items()}
            family, sha256 = str(content["family"]), str(content["checkpoint_sha256"])
            versions = {
                str(name): " ".join(str(v).split())[:LONGEST_VERSION]
                for name, v in dict(content["versions"]).items()
            }
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            raise UserError("The recipe in this picture is damaged.") from None
        if name not in kinds:
            raise UserError(f"The recipe is for a {name[:60]!r}, which GenLab does not know.")
        values = {RENAMED.get(key, key): value for key, value in values.items()}
        if number > FORMAT or _is_newer(versions.get("genlab", "")):
            _refuse_unknown(kinds[name], values, versions)
        try:
            request = parse_request(kinds[name], **values)
        except UserError as error:
            raise UserError(f"The recipe in this picture cannot be used: {error}") from None
        return cls(request, family, sha256, versions)


def _is_newer(other: str) -> bool:
    """Whether a version of GenLab is above this one."""
    ours, theirs = (tuple(map(int, re.findall(r"\d{1,9}", v))) for v in (genlab.__version__, other))
    return theirs > ours


def _refuse_unknown(
    kind: type[SampleRequest], values: Mapping[str, Any], versions: Mapping[str, str]
) -> None:
    """Raise UserError with the settings of a newer version that this one does not have."""
    unknown = [name for name in values if name not in kind.model_fields]
    if unknown:
        names = ", ".join(name[:40] for name in unknown[:5])
        raise UserError(
            f"The picture was drawn by a newer GenLab ({versions.get('genlab', '?')[:20]}) with "
            f"settings that this one does not have: {names}."
        )


def for_pictures(request: SampleRequest, family: str, sha256: str) -> list[GenerationMetadata]:
    """What each of a request's pictures is to carry."""
    here = versions_here()
    return [
        GenerationMetadata(request.for_image(k), family, sha256, here) for k in range(request.count)
    ]


@cache
def versions_here() -> dict[str, str]:
    """The versions of GenLab and of the libraries that a picture depends on."""
    return {"genlab": genlab.__version__} | {name: version(name) for name in LIBRARIES}


def put(picture: Image.Image, metadata: GenerationMetadata) -> Image.Image:
    """The picture with its metadata in ``info``: saved as PNG by Gradio, it is in the file."""
    picture.info[KEY] = metadata.to_text()
    return picture


def to_png(image: np.ndarray, metadata: GenerationMetadata) -> bytes:
    """A uint8 (H, W[, 3]) picture as a PNG file, at its own size, with its metadata inside."""
    return put_into(images.to_png(image), metadata)


def put_into(png: bytes, metadata: GenerationMetadata) -> bytes:
    """A PNG file with the metadata inside; its pixels stay compressed as they are."""
    text = b"tEXt" + KEY.encode() + b"\0" + metadata.to_text().encode("latin-1")
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    return png[:HEADER] + chunk + png[HEADER:]


def read(content: bytes, kinds: Kinds) -> GenerationMetadata:
    """The metadata in the bytes of a PNG file; raises UserError with one plain sentence."""
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
    return GenerationMetadata.from_text(text, kinds)


def differences(metadata: GenerationMetadata, sha256: str) -> Sequence[str]:
    """Sentences on why the picture may come out differently here; none if all is the same."""
    notes = []
    name = metadata.request.checkpoint
    if metadata.sha256 != sha256:
        notes.append(
            f"The picture was drawn with other weights of {name} than lie here, so it will differ."
        )
    here = versions_here()
    other = [
        f"{library} {metadata.versions[library]} (here {here[library]})"
        for library in here
        if metadata.versions.get(library, here[library]) != here[library]
    ]
    if other:
        notes.append(f"The picture was drawn with {', '.join(other)}; small differences may show.")
    return notes
