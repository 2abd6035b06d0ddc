"""The metadata of one model, from its card and its files. Loads no weights and no torch."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genlab.formats import distillation, lora, pipelines
from genlab.formats.metadata import BrokenCheckpoint, ModelMetadata
from genlab.formats.model_card import read_genlab
from genlab.formats.pipeline_checks import family_of
from genlab.models.families import BUILT_IN, FAMILIES
from genlab.models.sources import DISTILLED, Source

log = logging.getLogger(__name__)

LORA = "lora"
"""What stands for a family in the metadata of a LoRA, which draws nothing by itself."""
LONGEST = 200  # characters of a name, as a request may have


def checkpoint_metadata(folder: Path) -> ModelMetadata:
    """What a checkpoint folder's card and files say; raises BrokenCheckpoint with a sentence."""
    with _as_broken(folder.name):
        card = read_genlab(folder)
        family = card.get("family")
        if not isinstance(family, str) or family not in FAMILIES:
            known = ", ".join(FAMILIES)
            raise BrokenCheckpoint(f"its README.md must name `genlab: family:` as one of {known}.")
        title = _text(card.get("title")) or folder.name
        pixels, defaults = pipelines.picture_size(folder), card.get("defaults")
        defaults = defaults if isinstance(defaults, dict) else {}
        return _metadata(folder.name, folder, family, title, card, pixels, defaults)


def outside_metadata(source: Source, path: Path, config: Path | None = None) -> ModelMetadata:
    """The metadata of a model from outside checkpoints/.

    Args:
        source: what asked for it.
        path: its diffusers folder, or its one .safetensors file.
        config: for a file, the diffusers folder that describes it.

    Raises:
        BrokenCheckpoint: with one plain sentence.
    """
    with _as_broken(source.name):
        folder = config or path
        family = family_of(folder)
        distilled = source.distilled
        if distilled is None:
            distilled = distillation.draws_without_guidance(folder)
        card: dict[str, Any] = {"family": family, "title": source.title}
        if distilled:
            card["distilled"] = DISTILLED
        if config is not None:
            card["config"] = str(config)
        pixels = pipelines.picture_size(folder)
        defaults = source.defaults(distilled, distillation.draws_in_few_steps(folder))
        return _metadata(source.name, path, family, source.title, card, pixels, defaults)


def lora_metadata(name: str, path: Path) -> ModelMetadata:
    """The metadata of a LoRA, an addition to other models; raises BrokenCheckpoint.

    Its fact ``text_width`` tells which models it fits, see `formats.lora.text_width`.
    """
    with _as_broken(name):
        found = lora.check(path)
        _check_name(name)
        return ModelMetadata(
            name=name,
            path=path,
            family=LORA,
            title=name,
            dataset="",
            facts={"text_width": lora.text_width(found)},
            parameters=sum(math.prod(shape) for shape in found.values()),
        )


def _metadata(
    name: str,
    path: Path,
    family: str,
    title: str,
    card: Mapping[str, Any],
    pixels: int | None,
    defaults: Mapping[str, Any] | None = None,
) -> ModelMetadata:
    _check_name(name)
    description = FAMILIES[family]
    description.check(path, card)
    return ModelMetadata(
        name=name,
        path=path,
        family=family,
        title=title,
        dataset=_text(card.get("dataset")),
        card=card,
        facts=dict(description.facts(path, card)),
        parameters=description.count_parameters(path),
        pixels=pixels,
        defaults=defaults or {},
    )


def _check_name(name: str) -> None:
    if len(name) > LONGEST:
        raise BrokenCheckpoint(f"its name has {len(name)} characters, but may have {LONGEST}.")
    if shown_name(name) != name:
        raise BrokenCheckpoint("its name has bytes that are no text; give it another.")
    if name in BUILT_IN:
        raise BrokenCheckpoint("its name is that of a part of GenLab; give it another.")


def shown_name(name: str) -> str:
    """A folder's name as any page can show it: bytes that are no UTF-8 become question marks."""
    return name.encode(errors="replace").decode()


@contextmanager
def _as_broken(name: str) -> Iterator[None]:
    """Turns whatever goes wrong into BrokenCheckpoint; the app goes on with the other models."""
    try:
        yield
    except BrokenCheckpoint:
        raise
    except OSError as error:
        raise BrokenCheckpoint(f"it cannot be read: {error.strerror or error}.") from error
    except Exception as error:
        log.exception("%s cannot be read", name)
        kind = type(error).__name__
        raise BrokenCheckpoint(f"GenLab cannot read it ({kind}); the log says why.") from error


def _text(value: Any) -> str:
    return str(value) if isinstance(value, str | int | float) else ""
