"""Whether GenLab can draw with a pipeline, said at the scan: from JSON and headers, no torch.

Only what tells one kind of model from another is compared: widths and numbers of channels. Whether
every weight fits is looked at when it is opened (`pipelines.check_fit`). Knows no family's runner.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genlab.formats import pipelines, single_file
from genlab.formats.config_values import check_number, check_scheduler
from genlab.formats.headers import Shapes
from genlab.formats.metadata import BrokenCheckpoint
from genlab.formats.pipeline_classes import BATCHED, FROM_A_PROMPT, NOT_FOLLOWED, OTHERS

COMPONENTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
MOST_SCALING = 1_000_000  # of a VAE's latents
CROSS_ATTENTION = re.compile(r"\battn2\.to_k\.weight$")


def family_of(folder: Path) -> str:
    """The name of the family that serves a pipeline; raises BrokenCheckpoint if none does."""
    kind = pipelines.class_name(folder)
    unet = pipelines.config_of(folder, "unet")
    if kind in BATCHED and unet.get("time_cond_proj_dim") is None:
        return "stable_diffusion"
    check_draws_from_a_prompt(kind)
    return "text_to_image"


def check_draws_from_a_prompt(kind: str) -> None:
    """Raise BrokenCheckpoint unless a class of diffusers draws from a prompt, step by step."""
    if kind in FROM_A_PROMPT:
        return
    if kind in NOT_FOLLOWED:
        raise BrokenCheckpoint(f"a {kind} cannot be followed or stopped in the middle of its work.")
    if kind in OTHERS:
        raise BrokenCheckpoint(f"a {kind} does not draw pictures from a prompt alone.")
    raise BrokenCheckpoint(
        f"its {pipelines.INDEX} names {kind[:60]}, which diffusers does not have."
    )


def check_stable_diffusion(path: Path, card: Mapping[str, Any]) -> None:
    """Raise BrokenCheckpoint unless the batched engine can draw with a Stable Diffusion.

    Args:
        path: its diffusers folder or its one .safetensors file.
        card: of a file, names the folder of its configuration under ``config``.
    """
    folder = pipelines.configuration(path, card)
    kind = pipelines.class_name(folder)
    if kind not in BATCHED:
        raise BrokenCheckpoint(f"its {pipelines.INDEX} names no {' or '.join(BATCHED)}.")
    missing = [name for name in COMPONENTS if name not in pipelines.components(folder)]
    if missing:
        raise BrokenCheckpoint(f"its {pipelines.INDEX} names no {missing[0]}.")
    _check_weights(path, folder)
    check_scheduler(pipelines.scheduler_config(folder))
    _check_batched_unet(pipelines.config_of(folder, "unet"), kind)
    widths = [pipelines.config_of(folder, name) for name in ("text_encoder", "text_encoder_2")]
    _check_text_width(pipelines.config_of(folder, "unet"), [w for w in widths if w])


def check_text_to_image(path: Path, card: Mapping[str, Any]) -> None:
    """Raise BrokenCheckpoint unless diffusers' own call can draw with a pipeline, step by step.

    Args:
        path: its diffusers folder or its one .safetensors file.
        card: of a file, names the folder of its configuration under ``config``.
    """
    folder = pipelines.configuration(path, card)
    check_draws_from_a_prompt(pipelines.class_name(folder))
    _check_weights(path, folder)


# --- weights against configuration ------------------------------------------------------------


def _check_weights(path: Path, folder: Path) -> None:
    """Headers against configuration, and the UNet's latents against the VAE's."""
    parts = pipelines.components(folder)
    if path.is_file():
        pipelines.check_parts(folder)
        single_file.check(path)
    else:
        pipelines.check_folder(folder)
    unet = pipelines.config_of(folder, "unet")
    vae = pipelines.config_of(folder, "vae")
    has_unet = parts.get("unet", ("", ""))[1] == "UNet2DConditionModel"
    has_vae = parts.get("vae", ("", ""))[1] == "AutoencoderKL"
    if has_unet:
        wanted = _read("unet", _unet_shapes, unet)
        if path.is_dir():
            for half in (True, False):
                found = pipelines.shapes_of_part(folder / "unet", half)
                pipelines.expect(found, wanted)
                _check_cross_attention(found, unet)
        else:
            _check_cross_attention(single_file.unet_shapes(path), unet)
    if has_vae:
        check_number("vae/config.json", vae, "scaling_factor", below=MOST_SCALING)
        wanted = _read("vae", _vae_shapes, vae)
        if path.is_dir():
            for half in (True, False):
                pipelines.expect(pipelines.shapes_of_part(folder / "vae", half), wanted)
    if has_unet and has_vae:
        _check_latents(unet, vae)


def _read(part: str, shapes: Any, config: Mapping[str, Any]) -> Shapes:
    try:
        return shapes(config)
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise BrokenCheckpoint(f"its {part}/config.json describes no {part}.") from error


def _unet_shapes(config: Mapping[str, Any]) -> Shapes:
    """The outer layers of a `UNet2DConditionModel`; defaults are those of diffusers."""
    width = _whole(_list(config.get("block_out_channels", [320, 640, 1280, 1280]))[0])
    inner, outer = (_whole(config.get(f"{side}_channels", 4)) for side in ("in", "out"))
    kernels = {name: _whole(config.get(f"conv_{name}_kernel", 3)) for name in ("in", "out")}
    return {
        "conv_in.weight": [width, inner, kernels["in"], kernels["in"]],
        "conv_in.bias": [width],
        "conv_out.weight": [outer, width, kernels["out"], kernels["out"]],
        "conv_out.bias": [outer],
    }


def _vae_shapes(config: Mapping[str, Any]) -> Shapes:
    """The outer layers of an `AutoencoderKL`; defaults are those of diffusers."""
    widths = _list(config.get("block_out_channels", [64]))
    first, last = _whole(widths[0]), _whole(widths[-1])
    inner, outer = (_whole(config.get(f"{side}_channels", 3)) for side in ("in", "out"))
    latent = _whole(config.get("latent_channels", 4))
    return {
        "encoder.conv_in.weight": [first, inner, 3, 3],
        "encoder.conv_out.weight": [2 * latent, last, 3, 3],
        "decoder.conv_in.weight": [last, latent, 3, 3],
        "decoder.conv_out.weight": [outer, first, 3, 3],
    }


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise TypeError(value)
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise TypeError(value)
    return value


def _check_cross_attention(found: Mapping[str, list[int]], unet: Mapping[str, Any]) -> None:
    """Raise BrokenCheckpoint if the UNet's weights look at a text of another width than its
    config.json says."""
    widths = _cross_widths(unet)
    for key, shape in found.items():
        if CROSS_ATTENTION.search(key) and len(shape) == 2 and shape[1] not in widths:
            raise BrokenCheckpoint(
                f"its weights do not fit its config.json: {key} is {shape}, "
                f"but should be {[shape[0], min(widths)]}."
            )


def _cross_widths(unet: Mapping[str, Any]) -> set[int]:
    stated = unet.get("cross_attention_dim", 1280)
    return _read_widths(stated if isinstance(stated, list) else [stated])


def _read_widths(stated: list[Any]) -> set[int]:
    try:
        return {_whole(width) for width in _list(stated)}
    except TypeError as error:
        raise BrokenCheckpoint("its unet/config.json describes no unet.") from error


# --- configurations against each other --------------------------------------------------------


def _check_latents(unet: Mapping[str, Any], vae: Mapping[str, Any]) -> None:
    """Raise BrokenCheckpoint unless a UNet goes from the VAE's latents to the VAE's latents."""
    latent = vae.get("latent_channels", 4)
    inner, outer = (unet.get(f"{side}_channels", 4) for side in ("in", "out"))
    if inner == 2 * latent + 1:
        raise BrokenCheckpoint(
            f"it is an inpainting model: its UNet takes {inner} channels, a picture and a mask "
            f"beside the {latent} of its latents."
        )
    for channels, verb in ((inner, "takes"), (outer, "gives")):
        if channels != latent:
            raise BrokenCheckpoint(
                f"its UNet {verb} {channels} channels, but its VAE's latents have {latent}."
            )


def _check_batched_unet(unet: Mapping[str, Any], kind: str) -> None:
    """Raise BrokenCheckpoint if a UNet wants more than the batched engine gives it."""
    size = unet.get("sample_size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise BrokenCheckpoint(
            f"its unet/config.json has {str(size)[:40]} as its sample_size, but GenLab needs one "
            "whole number, the side of a square."
        )
    if unet.get("class_embed_type") is not None or unet.get("num_class_embeds") is not None:
        raise BrokenCheckpoint("its UNet wants a class beside the prompt, which GenLab has not.")
    wants = unet.get("addition_embed_type")
    given = ("text_time",) if kind == "StableDiffusionXLPipeline" else (None, "text")
    if wants not in given:
        raise BrokenCheckpoint(
            f"its UNet has {str(wants)[:40]} as its addition_embed_type, which does not go with a "
            f"{kind}."
        )


def _check_text_width(unet: Mapping[str, Any], encoders: list[dict[str, Any]]) -> None:
    """Raise BrokenCheckpoint unless the UNet looks at as many numbers a word as there are."""
    widths = [config.get("hidden_size") for config in encoders]
    given = sum(width for width in widths if isinstance(width, int))
    if not all(isinstance(width, int) for width in widths) or not given:
        return
    hidden = unet.get("encoder_hid_dim")
    wanted = {hidden} if isinstance(hidden, int) else _cross_widths(unet)
    if wanted != {given}:
        raise BrokenCheckpoint(
            f"its UNet looks at texts {' and '.join(map(str, sorted(wanted)))} numbers wide, but "
            f"its text encoder{'s give' if len(encoders) > 1 else ' gives'} {given}."
        )
