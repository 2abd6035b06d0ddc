"""Pictures in words, for who does not see them: how they were drawn, and what the judge saw.

Knows no family: it reads a request's fields, and ``read``, which judges leave among the figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genlab.formats.metadata import ModelMetadata
from genlab.requests import Request, SampleRequest

SILENT = {
    "checkpoint", "seed", "count", "judge", "preview_every", "trajectory", "interpolation",
    "picture", "mask",
}  # fmt: skip
"""Fields that a group's name has elsewhere, that leave a picture as it is, or are one."""
OF = {"lora_scale": "lora", "strength": "picture"}
"""Fields that say nothing where another one is empty."""
READ = "read"
"""What the judge saw, a text a picture, in the figures of a result."""


def words_of(
    request: Request, figures: Mapping[str, Any], entry: ModelMetadata | None
) -> dict[str, Any]:
    """What ``pictures.grid`` is told of a request's pictures: ``alts`` and ``name``.

    {} where they were given, not drawn, or nothing is known of who drew them.
    """
    if entry is None or not isinstance(request, SampleRequest):
        return {}
    return {"alts": alt_texts(request, figures), "name": group_name(entry.title, request)}


def group_name(title: str, request: SampleRequest) -> str:
    """What a request's pictures are called together: "4 pictures by Toybox, prompt a red 7"."""
    noun = "picture" if request.count == 1 else "pictures"
    return ", ".join([f"{request.count} {noun} by {title}", *_settings(request)])


def alt_texts(request: SampleRequest, figures: Mapping[str, Any]) -> list[str]:
    """One text a picture: its place, its seed, what it alone was asked, what the judge saw.

    Args:
        figures: of the request's result; {} before there is one.
    """
    seen, shared = figures.get(READ, ()), set(_settings(request))
    texts = []
    for k in range(request.count):
        alone = request.for_image(k)
        own = [text for text in _settings(alone) if text not in shared]
        parts = [f"picture {k + 1} of {request.count}", f"seed {alone.seed}", *own]
        saw = f": the judge sees {seen[k]}" if k < len(seen) else ""
        texts.append(", ".join(parts) + saw)
    return texts


def _settings(request: SampleRequest) -> list[str]:
    """The settings of a request in words, as "temperature 1"; those that say nothing left out."""
    values = request.model_dump(exclude=SILENT)
    empty = {name for name, value in values.items() if value in (None, "", ()) or value is False}
    return [
        f"{name.replace('_', ' ')} {_in_words(value)}"
        for name, value in values.items()
        if name not in empty and getattr(request, OF.get(name, name), None) not in (None, "")
    ]


def _in_words(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return " ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
