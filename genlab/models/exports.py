"""The other way: a checkpoint as a state dict, as an ONNX graph or as a ZIP of its folder."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genlab.families.description import load
from genlab.formats import layers, outside_graphs
from genlab.formats.fingerprints import ENDINGS
from genlab.formats.hub_layout import CONFIG, WEIGHTS, read_json
from genlab.formats.metadata import BrokenCheckpoint, ModelMetadata
from genlab.formats.model_card import CARD
from genlab.formats.onnx_files import GRAPH
from genlab.models.families import FAMILIES
from genlab.requests import UserError

DRAWING = ("vae", "gan")
KEPT = (*ENDINGS, ".json", ".md", ".png", ".txt")
"""Endings of what a checkpoint consists of; nothing else is passed on."""


def export(metadata: ModelMetadata, to: str, out: Path) -> str:
    """Write a checkpoint in another form; loads torch for all but "hub".

    Args:
        metadata: of the checkpoint.
        to: "pth", "onnx" or "hub".
        out: the file to write; must not be there.

    Returns:
        A sentence on what was written and how it is used.

    Raises:
        UserError: this checkpoint has no such form, or the file is there already.
    """
    forms = {"pth": _state_dict, "onnx": _graph, "hub": _folder}
    if to not in forms:
        raise UserError(f"--to is {to!r}, but must be one of {', '.join(forms)}.")
    if out.exists():
        raise UserError(f"{out} is there already; name another file.")
    if not metadata.path.is_dir():
        raise UserError(f"{metadata.name} is one file from outside already: {metadata.path}.")
    try:
        return forms[to](metadata, out)
    except BrokenCheckpoint as error:
        raise UserError(f"The checkpoint {metadata.name} is damaged: {error}") from error


def checkpoint_files(folder: Path) -> list[Path]:
    """What belongs to a checkpoint folder, its card first; hidden files and pickles do not."""
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.suffix in KEPT
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    return sorted(found, key=lambda path: path.name != CARD)


def source_names(config: Mapping[str, Any]) -> dict[str, str]:
    """The names that an imported network's tensors had where it came from, by their names here."""
    names: dict[str, str] = {}
    for part, listed in config.get("parts", {}).items():
        for k, layer in enumerate(listed):
            for last in layers.layer_weights(layer):
                names[f"{part}.{k}.{last}"] = f"{layer['source']}.{last}".lstrip(".")
    if config.get("embedding"):
        names["label.weight"] = str(config.get("label_source", "label_emb.weight"))
    return names


def _state_dict(metadata: ModelMetadata, out: Path) -> str:
    weights = metadata.path / WEIGHTS
    if not weights.is_file():
        what = "an ONNX graph" if (metadata.path / GRAPH).is_file() else "several networks"
        raise UserError(f"{metadata.name} is {what}, which no state dict holds; --to hub does.")
    import torch
    from safetensors.torch import load_file

    tensors = load_file(weights)
    config = read_json(metadata.path / CONFIG)
    if layers.is_described(config):
        names = source_names(config)
        tensors = {names[name]: tensor for name, tensor in tensors.items()}
    with out.open("wb") as file:  # torch.save would raise a RuntimeError for a wrong place
        torch.save(tensors, file)
    return (
        f"Wrote {out}: {len(tensors)} tensors. "
        f"Read them with torch.load({out.name!r}, weights_only=True)."
    )


def _graph(metadata: ModelMetadata, out: Path) -> str:
    if metadata.family not in DRAWING:
        label = FAMILIES[metadata.family].label
        raise UserError(
            f"{metadata.name} is a {label} checkpoint; only a VAE's decoder and a GAN's generator "
            "are one graph from z to a picture. --to hub takes any."
        )
    config = read_json(metadata.path / CONFIG)
    if outside_graphs.is_graph(config):
        out.write_bytes((metadata.path / GRAPH).read_bytes())
        return f"Wrote {out}: the graph as it came."
    import torch

    from genlab.engine.graph import exported
    from genlab.families.open_network import drawing_network

    runner = load(FAMILIES[metadata.family].runner)
    network = drawing_network(metadata.path, runner.network_class)
    z = torch.randn(2, network.latent_dim)
    rows = (z, torch.tensor([0, 1])) if metadata.facts.get("classes") else (z,)
    content = exported(network, rows, ("z", "labels")[: len(rows)], "picture")
    out.write_bytes(content)
    inputs = f"z (N, {network.latent_dim})" + (", labels (N,)" if len(rows) > 1 else "")
    channels, height, width = metadata.facts.get("image", (1, 28, 28))
    return (
        f"Wrote {out}: {inputs} in, pictures (N, {channels}, {height}, {width}) from -1 to 1 out."
    )


def _folder(metadata: ModelMetadata, out: Path) -> str:
    files = checkpoint_files(metadata.path)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            archive.write(path, f"{metadata.name}/{path.relative_to(metadata.path).as_posix()}")
    return f"Wrote {out}: {len(files)} files in the hub's layout, the card among them."
