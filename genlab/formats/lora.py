"""A LoRA in one .safetensors file: an addition to a Stable Diffusion (Hu et al., 2106.09685).

Two layouts are in use: that of kohya's scripts and that of diffusers. Knows no job and no model
that it may be added to; reads the file's header only, so it needs neither torch nor diffusers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from genlab.formats.headers import Shapes, tensor_shapes
from genlab.formats.metadata import BrokenCheckpoint

MARKS = ("lora_", ".lora", "lora.", "_lora")
KOHYA = ("lora_unet_", "lora_te_", "lora_te1_", "lora_te2_")
DIFFUSERS = ("unet.", "text_encoder.", "text_encoder_2.")
DOWN = ("lora_down.weight", "lora_A.weight", "lora.down.weight", "lora_linear_layer.down.weight")
DOWN_OF_OLD = re.compile(r"_lora\.down\.weight$")
TEXT = re.compile(r"attn2[._](processor\.)?to_k")
"""Where a UNet looks at the text: it takes as many numbers a word as the encoder gives."""
TRANSFORMERS = ("double_blocks", "single_blocks", "joint_blocks")
"""Parts of Flux and Stable Diffusion 3, which have no UNet."""
OTHER_KINDS = {"hada_w1": "LoHa", "lokr_w": "LoKr", "oft_": "OFT", "lora_mid": "Tucker LoRA"}


def is_addition(names: Iterable[str]) -> bool:
    """Whether tensors of these names are an addition to another model, a LoRA or of its kin."""
    return any(mark in name for name in names for mark in (*MARKS, *OTHER_KINDS))


def is_addition_file(path: Path) -> bool:
    """The same of a file; False for one that cannot be read."""
    try:
        return is_addition(tensor_shapes(path)) and not _is_whole(tensor_shapes(path))
    except BrokenCheckpoint:
        return False


def check(path: Path) -> Shapes:
    """The tensors of a LoRA that a Stable Diffusion can wear; raises BrokenCheckpoint."""
    found = tensor_shapes(path)
    for mark, kind in OTHER_KINDS.items():
        if any(mark in name for name in found):
            raise BrokenCheckpoint(f"it is a {kind}, a kin of LoRA that GenLab cannot add.")
    odd = [
        name
        for name in found
        if not name.startswith((*KOHYA, *DIFFUSERS)) or any(part in name for part in TRANSFORMERS)
    ]
    kohya = [name for name in found if name.startswith(KOHYA)]
    if odd or (kohya and len(kohya) < len(found)):
        raise BrokenCheckpoint(
            f"it is no LoRA of a Stable Diffusion's UNet or text encoder: it holds "
            f"{(odd or kohya)[0][:60]}."
        )
    if not any(_is_down(name) for name in found):
        raise BrokenCheckpoint("it holds no pair of LoRA matrices.")
    return found


def text_width(found: Shapes) -> int | None:
    """How many numbers a word has where the UNet looks at the text: 768 for Stable Diffusion 1.x,
    1024 for 2.x, 2048 for XL. None for a LoRA that leaves those layers alone."""
    widths = {
        shape[1]
        for name, shape in found.items()
        if TEXT.search(name) and _is_down(name) and len(shape) > 1
    }
    return widths.pop() if len(widths) == 1 else None


def _is_down(name: str) -> bool:
    return name.endswith(DOWN) or bool(DOWN_OF_OLD.search(name))


def _is_whole(found: Shapes) -> bool:
    """Whether a file holds the UNet itself too, as one does that a LoRA was left in."""
    return any(name.startswith("model.diffusion_model.") for name in found)
