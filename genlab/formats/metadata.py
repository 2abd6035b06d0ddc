"""What the catalogue knows of one usable model, read from its files. Loads no weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCard

from genlab.formats import pipelines
from genlab.models.families import FAMILIES, BrokenCheckpoint
from genlab.models.sources import Source


@dataclass(frozen=True)
class Entry:
    """One usable model: where it lies and what its card, or its source, says."""

    name: str
    folder: Path  # or the .safetensors file of a model that is one
    family: str
    title: str
    dataset: str
    card: Mapping[str, Any] = field(default_factory=dict)  # the card's `genlab` mapping
    nbytes: int = 0  # memory its weights will take
    pixels: int | None = None  # of a picture's side, where it is known
    defaults: Mapping[str, Any] = field(default_factory=dict)  # fields of its requests

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The figures that ``evaluate`` measured, as the card gives them."""
        return self.card.get("metrics", {})

    @property
    def distilled(self) -> str | None:
        """Why guidance_scale has no use here, for models that were distilled to do without it."""
        return self.card.get("distilled")

    @property
    def own_scheduler(self) -> bool:
        """Whether the model always runs with its own scheduler, whatever a request names."""
        return self.family == "text_to_image"


def read_entry(folder: Path, dtype: torch.dtype = torch.float32) -> Entry:
    """What a checkpoint folder's card and files say; raises BrokenCheckpoint with a sentence.

    Args:
        folder: in checkpoints/.
        dtype: the number format that its weights will be loaded in.
    """
    path = folder / "README.md"
    if not path.is_file():
        raise BrokenCheckpoint("it has no README.md (the model card that names its family).")
    try:
        data = ModelCard.load(path).data.to_dict()
    except Exception as error:
        raise BrokenCheckpoint("the YAML at the top of its README.md cannot be read.") from error
    card = data.get("genlab")
    if not isinstance(card, dict) or card.get("family") not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise BrokenCheckpoint(f"its README.md must name `genlab: family:` as one of {known}.")
    family = FAMILIES[card["family"]]
    family.check(folder)
    return Entry(
        name=folder.name,
        folder=folder,
        family=card["family"],
        title=str(card.get("title", folder.name)),
        dataset=str(card.get("dataset", "")),
        card=card,
        nbytes=family.weigh(folder, dtype),
        pixels=pipelines.picture_size(folder),
    )


def outside_entry(
    source: Source, path: Path, config: Path | None = None, dtype: torch.dtype = torch.float32
) -> Entry:
    """The entry of a model from outside checkpoints/; raises BrokenCheckpoint with a sentence.

    Args:
        source: what asked for it.
        path: its diffusers folder, or its one .safetensors file.
        config: for a file, the diffusers folder that describes it.
        dtype: the number format that its weights will be loaded in.
    """
    folder = config or path
    family = pipelines.family_of(folder)
    if path.is_dir():
        FAMILIES[family].check(path)
    else:
        pipelines.check_parts(folder)
    card = {"family": family, "title": source.title, "distilled": source.distilled}
    return Entry(
        name=source.name,
        folder=path,
        family=family,
        title=source.title,
        dataset="",
        card=card | ({"config": str(config)} if config else {}),
        nbytes=pipelines.nbytes(path, dtype),
        pixels=pipelines.picture_size(folder),
        defaults={
            "num_inference_steps": source.num_inference_steps,
            "guidance_scale": source.guidance_scale,
            "scheduler": source.scheduler,
        },
    )
