"""A whole Stable Diffusion in one .safetensors file, in the original (CompVis) layout.

Knows no job. Only ``repository_of`` needs diffusers; the rest reads the file's header.
"""

from __future__ import annotations

from pathlib import Path

from genlab.formats.headers import Shapes, tensor_shapes
from genlab.formats.metadata import BrokenCheckpoint

UNET = "model.diffusion_model."
VAE = "first_stage_model."
TEXT = ("cond_stage_model.", "conditioner.")
FIRST = f"{UNET}input_blocks.0.0.weight"
INPAINTING = 9  # channels of a UNet that takes a picture and a mask too
LORA = ("lora_", ".lora", "lora.", "_lora")


def check(path: Path) -> None:
    """Raise BrokenCheckpoint unless a file holds a UNet, and with it a VAE and a text encoder."""
    found = tensor_shapes(path)
    if not any(name.startswith(UNET) for name in found):
        raise BrokenCheckpoint(_what_it_is(found))
    if FIRST not in found:
        return  # a transformer, whose parts come in more than one form
    if len(found[FIRST]) == 4 and found[FIRST][1] == INPAINTING:
        raise BrokenCheckpoint(
            f"it is an inpainting model: its UNet takes {INPAINTING} channels, a picture and a "
            "mask beside its latents."
        )
    if not any(name.startswith(VAE) for name in found):
        raise BrokenCheckpoint(f"it holds a UNet alone: it has no VAE ({VAE}...).")
    if not any(name.startswith(TEXT) for name in found):
        raise BrokenCheckpoint(f"it holds no text encoder ({' or '.join(TEXT)}).")


def unet_shapes(path: Path) -> Shapes:
    """The UNet's tensors, under the names that the file has for them."""
    return {name: shape for name, shape in tensor_shapes(path).items() if name.startswith(UNET)}


def repository_of(path: Path) -> str:
    """The hub's model whose configuration fits a file, from the names of its tensors.

    Loads torch and diffusers, which has the table; raises BrokenCheckpoint.
    """
    check(path)
    import torch
    from diffusers.loaders.single_file_utils import fetch_diffusers_config

    shapes = tensor_shapes(path)
    tensors = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    try:
        return str(fetch_diffusers_config(tensors)["pretrained_model_name_or_path"])
    except Exception as error:
        raise BrokenCheckpoint("diffusers does not know which model it is a kind of.") from error


def _what_it_is(found: Shapes) -> str:
    """One sentence on a file that holds no UNet in the original layout."""
    whole = f"it holds no whole Stable Diffusion in the original layout ({UNET}...)"
    if any(word in name for name in found for word in LORA):
        return f"{whole}; it is a LoRA, an addition to another model."
    if all(name.startswith((VAE, "decoder.", "encoder.", "quant", "post_quant")) for name in found):
        return f"{whole}; it is a VAE alone."
    return f"{whole}."
