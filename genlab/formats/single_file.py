"""A whole Stable Diffusion in one .safetensors file, in the original (CompVis) layout.

Knows no job. Only ``repository_of`` needs diffusers; the rest reads the file's header.
"""

from __future__ import annotations

from pathlib import Path

from genlab.formats import lora
from genlab.formats.headers import Shapes, tensor_shapes
from genlab.formats.metadata import BrokenCheckpoint

UNET = "model.diffusion_model."
VAE = "first_stage_model."
TEXT = ("cond_stage_model.", "conditioner.")
FIRST = f"{UNET}input_blocks.0.0.weight"
INPAINTING = 9  # channels of a UNet that takes a picture and a mask too
OF_VERSION_2 = f"{UNET}input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight"
SAYS_V = "v_pred"  # an empty tensor that marks an XL which predicts v
LATENT = 4  # channels that a UNet takes which is told nothing but the prompt
WORDS = ("emb_params", "clip_l", "clip_g")  # a textual inversion's tensors
WORD_WIDTHS = (768, 1024, 1280)
CONTROL = ("control_model.", "controlnet_", "input_hint_block.")


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
    if len(found[FIRST]) == 4 and found[FIRST][1] != LATENT:
        raise BrokenCheckpoint(
            f"it does not draw from a prompt alone: its UNet takes {found[FIRST][1]} channels, a "
            f"picture beside the {LATENT} of its latents."
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

    Loads torch and diffusers, which has the table; raises BrokenCheckpoint, also for a file that
    fits more than one.
    """
    check(path)
    _check_one_kind(tensor_shapes(path))
    import torch
    from diffusers.loaders.single_file_utils import fetch_diffusers_config

    shapes = tensor_shapes(path)
    tensors = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    try:
        return str(fetch_diffusers_config(tensors)["pretrained_model_name_or_path"])
    except Exception as error:
        raise BrokenCheckpoint("diffusers does not know which model it is a kind of.") from error


def _check_one_kind(found: Shapes) -> None:
    """Raise BrokenCheckpoint for tensors that come with more than one configuration."""
    if found.get(OF_VERSION_2, [0])[-1] == 1024:
        kinds = "Stable Diffusion 2 base, 2.1, which predicts v, and SD-Turbo"
        example = "stabilityai/sd-turbo"
    elif SAYS_V in found:
        kinds = "Stable Diffusion XL and one that predicts v"
        example = "org/name"
    else:
        return
    raise BrokenCheckpoint(
        f"its tensors are those of {kinds} alike: say whose configuration it takes, as in "
        f"file.safetensors@{example}, or put that into a folder of its name beside it."
    )


def _what_it_is(found: Shapes) -> str:
    """One sentence on a file that holds no UNet in the original layout."""
    whole = f"it holds no whole Stable Diffusion in the original layout ({UNET}...)"
    if lora.is_addition(found):
        return f"{whole}; it is a LoRA, an addition to another model."
    if _is_word(found):
        return (
            f"{whole}; it is a textual inversion, a word for another model, which GenLab has not."
        )
    if any(name.startswith(CONTROL) for name in found):
        return f"{whole}; it is a ControlNet, which leads another model by a picture."
    if all(name.startswith((VAE, "decoder.", "encoder.", "quant", "post_quant")) for name in found):
        return f"{whole}; it is a VAE alone."
    return f"{whole}."


def _is_word(found: Shapes) -> bool:
    """Whether a file holds a few vectors of a text encoder's width, and nothing else."""
    alone = len(found) == 1 or all(name in WORDS for name in found)
    vectors = all(1 <= len(s) <= 2 and s[-1] in WORD_WIDTHS for s in found.values())
    return bool(found) and alone and vectors
