"""Writes a tiny Stable Diffusion as one .safetensors file in the original (CompVis) layout.

The names are those of the first Stable Diffusion's code, as shared models still have them;
diffusers has the way back only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
VAE_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}


def save_original(pipeline: Any, path: Path) -> Path:
    """One file with the UNet, the VAE and the text encoder of a Stable Diffusion 1.x."""
    layers = pipeline.unet.config.layers_per_block
    tensors: dict[str, torch.Tensor] = {}
    for name, tensor in pipeline.unet.state_dict().items():
        tensors["model.diffusion_model." + unet_name(name, layers)] = tensor
    levels = len(pipeline.vae.config.block_out_channels)
    for name, tensor in pipeline.vae.state_dict().items():
        linear = "mid_block.attentions" in name and name.endswith("weight") and tensor.ndim == 2
        tensors["first_stage_model." + vae_name(name, levels)] = (
            tensor[:, :, None, None] if linear else tensor  # there a convolution of one pixel
        )
    for name, tensor in pipeline.text_encoder.state_dict().items():
        key = "text_model." + name.removeprefix("text_model.")
        tensors["cond_stage_model.transformer." + key] = tensor
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


def unet_name(name: str, layers: int) -> str:
    """`down_blocks.1.resnets.0.norm1.weight` is `input_blocks.3.0.in_layers.0.weight`."""
    for ours, theirs in UNET_ENDS.items():
        if name.startswith(ours + "."):
            return theirs + name.removeprefix(ours)
    side, rest = name.split(".", 1)
    if side == "mid_block":
        kind, number, tail = rest.split(".", 2)
        place = 1 if kind == "attentions" else 2 * int(number)
        return f"middle_block.{place}.{_inner(kind, tail)}"
    block, kind, number, tail = rest.split(".", 3)
    k = int(block) * (layers + 1) + int(number)
    if kind == "downsamplers":
        tail = tail.removeprefix("conv.")
        return f"input_blocks.{(int(block) + 1) * (layers + 1)}.0.op.{tail}"
    if kind == "upsamplers":
        last = int(block) * (layers + 1) + layers
        place = 2 if block == "0" else 1  # after a resnet, and an attention if the level has one
        return f"output_blocks.{last}.{place}.{tail}"
    place = 1 if kind == "attentions" else 0
    before = f"input_blocks.{k + 1}" if side == "down_blocks" else f"output_blocks.{k}"
    return f"{before}.{place}.{_inner(kind, tail)}"


def _inner(kind: str, tail: str) -> str:
    if kind == "attentions":
        return tail
    part, end = tail.rsplit(".", 1)
    return f"{RESNET[part]}.{end}"


def vae_name(name: str, levels: int) -> str:
    """`decoder.up_blocks.0.resnets.1.conv1.bias` is `decoder.up.1.block.1.conv1.bias`."""
    for k in range(levels):
        name = name.replace(f"down_blocks.{k}.resnets.", f"down.{k}.block.")
        name = name.replace(f"down_blocks.{k}.downsamplers.0.", f"down.{k}.downsample.")
        name = name.replace(f"up_blocks.{k}.resnets.", f"up.{levels - 1 - k}.block.")
        name = name.replace(f"up_blocks.{k}.upsamplers.0.", f"up.{levels - 1 - k}.upsample.")
    for k in (0, 1):
        name = name.replace(f"mid_block.resnets.{k}.", f"mid.block_{k + 1}.")
    for ours, theirs in VAE_ATTENTION.items():
        name = name.replace(f"mid_block.attentions.0.{ours}.", f"mid.attn_1.{theirs}.")
    return name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
