"""One network in huggingface_hub's layout: config.json and model.safetensors. Knows no family.

All but ``load_hub_module`` need no torch: what shapes a configuration makes is for the family to
say, by arithmetic.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from genlab.formats import headers
from genlab.formats.building import with_weights
from genlab.formats.files import read_text
from genlab.formats.metadata import BrokenCheckpoint

CONFIG = "config.json"
WEIGHTS = "model.safetensors"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; raises BrokenCheckpoint with a sentence."""
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        raise BrokenCheckpoint(f"its {path.name} is not valid JSON.") from None
    if not isinstance(content, dict):
        raise BrokenCheckpoint(f"its {path.name} holds no JSON object.")
    return content


def check_hub_folder(
    folder: Path, shapes: Callable[[Mapping[str, Any]], Mapping[str, list[int]]], what: str
) -> None:
    """Compare config.json with the header of model.safetensors; reads no weight, needs no torch.

    Args:
        folder: a checkpoint's.
        shapes: name and shape of every tensor that a configuration makes; may raise anything for
            one that makes no network.
        what: the network's class, for the sentence.

    Raises:
        BrokenCheckpoint: they do not fit, or one of them cannot be read.
    """
    config = read_json(folder / CONFIG)
    try:
        wanted = shapes(config)
    except Exception as error:
        raise BrokenCheckpoint(f"its {CONFIG} does not describe a {what}.") from error
    headers.check_weights([folder / WEIGHTS], wanted)


def count_parameters(folder: Path) -> int:
    """Numbers in model.safetensors; raises BrokenCheckpoint."""
    return headers.count_parameters([folder / WEIGHTS])


def load_hub_module(network_class: Any, folder: Path) -> Any:
    """A network with its weights, on the CPU, ready to be called.

    Args:
        network_class: a torch module that takes what config.json says.
        folder: a checkpoint's.

    Raises:
        BrokenCheckpoint: file and configuration do not fit each other.
    """
    import torch
    from safetensors.torch import load_file

    config = read_json(folder / CONFIG)

    def shapes(config: Mapping[str, Any]) -> dict[str, list[int]]:
        with torch.device("meta"):
            tensors = network_class(**config).state_dict()
        return {name: list(tensor.shape) for name, tensor in tensors.items()}

    check_hub_folder(folder, shapes, network_class.__name__)
    try:
        return with_weights(lambda: network_class(**config), load_file(folder / WEIGHTS))
    except Exception as error:
        raise BrokenCheckpoint(f"its {WEIGHTS} changed while it was being loaded.") from error
