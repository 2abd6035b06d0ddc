"""What a pixel diffusion's folder must hold, from configurations and headers alone. No torch.

Whether every tensor of the UNet fits is for diffusers to say, when the model is opened.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genlab.families.layout import Shapes, convolution
from genlab.formats import headers
from genlab.formats.config_values import FILE, check_scheduler
from genlab.formats.hub_layout import read_json
from genlab.formats.metadata import BrokenCheckpoint

CLASSES = 10
NULL_LABEL = CLASSES
"""The label that stands for "no class said", Ho & Salimans 2022 (arXiv:2207.12598), section 3.1."""

PIPELINE = "PixelDiffusionPipeline"


def check(path: Path, card: Mapping[str, Any]) -> None:
    """A cheap look at the folder of a `PixelDiffusionPipeline`; raises BrokenCheckpoint."""
    if read_json(path / "model_index.json").get("_class_name") != PIPELINE:
        raise BrokenCheckpoint(f"its model_index.json names no {PIPELINE}.")
    check_scheduler(read_json(path / "scheduler" / FILE))
    config = read_json(path / "unet" / "config.json")
    try:
        wanted = outer_shapes(config)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BrokenCheckpoint("its unet/config.json describes no UNet2DModel.") from error
    channels = wanted["conv_in.weight"][1]
    if math.isqrt(channels) ** 2 != channels:
        raise BrokenCheckpoint(
            f"its unet/config.json has {channels} in_channels, which is no square number: they "
            "are the pixels of square blocks."
        )
    halved = 2 ** (len(config["block_out_channels"]) - 1)
    if int(config["sample_size"]) % halved:
        raise BrokenCheckpoint(
            f"its unet/config.json has {config['sample_size']} as sample_size, but its blocks "
            f"need a multiple of {halved}."
        )
    classifier = card.get("classifier")
    if classifier is not None and not isinstance(classifier, str):
        raise BrokenCheckpoint("the classifier that its card names is no text.")
    found: Shapes = {}
    for file in unet_files(path):
        found |= headers.tensor_shapes(file)
    for name, shape in wanted.items():
        if found.get(name) != shape:
            raise BrokenCheckpoint(
                f"its weights do not fit its config.json: {name} is "
                f"{found.get(name, 'missing')}, but should be {shape}."
            )


def outer_shapes(config: Mapping[str, Any]) -> Shapes:
    """The tensors where pixels, time and class enter a `UNet2DModel`, and where eps leaves it.

    Raises KeyError, TypeError, ValueError or IndexError if the configuration is none of one.
    """
    channels, width = int(config["in_channels"]), int(config["block_out_channels"][0])
    if min(channels, width, int(config["sample_size"])) < 1:
        raise ValueError("a size below 1")
    shapes = convolution("conv_in", channels, width, 3)
    shapes |= convolution("conv_out", width, channels, 3)
    # The sines and cosines of t are as many as the first block is wide; diffusers quadruples them.
    shapes |= {"time_embedding.linear_1.weight": [4 * width, width]}
    return shapes | {"class_embedding.weight": [CLASSES + 1, 4 * width]}


def unet_files(path: Path) -> list[Path]:
    """The UNet's safetensors files, shards included; raises BrokenCheckpoint if there are none."""
    files = sorted((path / "unet").glob("*.safetensors"))
    if not files:
        raise BrokenCheckpoint("its unet folder has no safetensors file.")
    return files


def count_parameters(path: Path) -> int:
    """Numbers in the UNet's weights; raises BrokenCheckpoint."""
    return headers.count_parameters(unet_files(path))
