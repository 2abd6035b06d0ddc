"""What VAEs and GANs share of classes and of pictures of other sizes. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from genlab.families.checks import SIDE
from genlab.formats import layers, outside_graphs
from genlab.formats.hub_layout import CONFIG, check_hub_folder, count_parameters, read_json
from genlab.formats.metadata import BrokenCheckpoint, ModelMetadata
from genlab.requests import ImagesRequest, UserError

MULTIPLICATIONS = 1_000_000_000
"""Of one picture; a DCGAN for 64x64 takes a tenth of it, and 64 pictures are drawn in one call."""
LABEL = "class to draw, for models that are told one; all in turn unless given"


class SeededRequest(Protocol):
    """A request for pictures, each of a class of its own if the network is told one."""

    @property
    def count(self) -> int: ...

    def seed_of(self, k: int) -> int: ...


def check_network(
    path: Path, shapes: Callable[[Mapping[str, Any]], Mapping[str, list[int]]], part: str, what: str
) -> None:
    """Raise BrokenCheckpoint unless a folder holds a network that draws; reads no weight.

    Args:
        path: a checkpoint's folder.
        shapes: of the family's networks, see `check_hub_folder`.
        part: of a network whose layers are listed, the one that draws.
        what: the class of the family's own networks, for the sentence.
    """
    config = read_json(path / CONFIG)
    if outside_graphs.is_graph(config):
        outside_graphs.check_graph(path, config)
        return
    check_hub_folder(path, shapes, what)
    if not layers.is_described(config):
        return
    network = layers.described(config)
    if part not in network.parts:
        raise BrokenCheckpoint(f"its {CONFIG} lists no {part}.")
    if (needed := layers.multiplications(network)) > MULTIPLICATIONS:
        raise BrokenCheckpoint(
            f"it takes {needed / 1e9:.1f} billion multiplications a picture, but may take "
            f"{MULTIPLICATIONS / 1e9:.0f}: nobody else should wait for it."
        )


def parameters(path: Path) -> int:
    """Numbers in the weights of such a folder; raises BrokenCheckpoint."""
    if outside_graphs.is_graph(read_json(path / CONFIG)):
        return outside_graphs.count_graph_parameters(path)
    return count_parameters(path)


def drawing_facts(path: Path) -> dict[str, Any]:
    """What of a VAE's or a GAN's files is shown and needed.

    ``latent_dim``: how many numbers z has. ``classes``: that it is told one of; 0 for most.
    ``image``: channels, height and width. ``reconstructs``: whether it has an encoder.
    """
    config = read_json(path / CONFIG)
    if outside_graphs.is_graph(config):
        about = outside_graphs.graph_config(config)
        of_graph = {"latent_dim": about.latent_dim, "classes": about.classes}
        return of_graph | {"image": list(about.image), "reconstructs": False}
    if not layers.is_described(config):
        own = {"classes": 0, "image": [1, SIDE, SIDE], "reconstructs": True}
        return {"latent_dim": int(config.get("latent_dim", 64))} | own
    network = layers.described(config)
    return {
        "latent_dim": network.latent_dim,
        "classes": network.classes,
        "image": list(network.image),
        "reconstructs": network.encodes,
    }


def check_label(label: int | None, metadata: ModelMetadata) -> None:
    """Raise UserError for a class that a model does not have."""
    classes = int(metadata.facts.get("classes", 0))
    if label is None or label < classes:
        return
    if not classes:
        raise UserError(f"label is {label}, but {metadata.title} is told no class.")
    raise UserError(
        f"label is {label}, but {metadata.title} has classes from 0 to {classes - 1} only."
    )


def check_pictures(request: ImagesRequest, metadata: ModelMetadata) -> None:
    """Raise UserError unless a model can encode such pictures."""
    facts: Mapping[str, Any] = metadata.facts
    if not facts.get("reconstructs", True):
        raise UserError(f"{metadata.title} only draws: no encoder of it is here.")
    channels, height, width = facts.get("image", (1, SIDE, SIDE))
    wanted = (height, width) if channels == 1 else (height, width, channels)
    if request.images.shape[1:] != wanted:
        shape = " x ".join(str(size) for size in request.images.shape[1:])
        kind = "grey" if channels == 1 else "colour"
        raise UserError(
            f"{request.checkpoint} takes {kind} {height} x {width} pictures, not {shape}."
        )


def labels_of(request: SeededRequest, label: int | None, classes: int) -> list[int]:
    """The class of each picture: the one that is asked for, or all in turn by the seed."""
    if label is not None:
        return [label] * request.count
    return [request.seed_of(k) % classes for k in range(request.count)]
