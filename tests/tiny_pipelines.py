"""Tiny seeded diffusers pipelines, made on disk: real layouts, untrained weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    LatentConsistencyModelPipeline,
    LCMScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

WORDS = [
    "a", "red", "green", "blue", "seven", "sneaker",
    "on", "black", "background", "and", "left", "of",
]  # fmt: skip
NOISE: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
}
CARD = """---
license: apache-2.0
genlab:
  family: stable_diffusion
  title: Tiny
  dataset: tiny
---
Untrained; for tests.
"""


def tiny_tokenizer() -> CLIPTokenizer:
    """A word-level CLIP tokenizer: letters, and merges that make each of WORDS one token."""
    letters = sorted({c for word in WORDS for c in word})
    pieces = [*letters, *(c + "</w>" for c in letters)]
    merges: list[str] = []
    for word in WORDS:
        left = word[0]
        for k, c in enumerate(word[1:], start=2):
            right = c + "</w>" if k == len(word) else c
            merges.append(f"{left} {right}")
            left += right
            pieces.append(left)
    tokens = ["<|startoftext|>", "<|endoftext|>", *dict.fromkeys(pieces)]
    return CLIPTokenizer(
        vocab={token: k for k, token in enumerate(tokens)},
        merges=[tuple(m.split()) for m in dict.fromkeys(merges)],
        model_max_length=12,
    )


def tiny_unet(**more: Any) -> UNet2DConditionModel:
    """Two levels, 8 and 16 wide, for 8x8 latents; ``more`` replaces and adds arguments."""
    usual: dict[str, Any] = {
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": 16,
        "attention_head_dim": 2,
    }
    return UNet2DConditionModel(**usual | more)


def tiny_vae(**more: Any) -> AutoencoderKL:
    """Two levels: 8x8 latents of four channels, 16x16 pictures."""
    return AutoencoderKL(
        block_out_channels=(8, 8),
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        sample_size=16,
        **more,
    )


def tiny_text_config(tokenizer: CLIPTokenizer, **more: Any) -> CLIPTextConfig:
    """Two layers, 16 wide."""
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=12,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        **more,
    )


def save_tiny_xl(folder: Path, zeros_for_none: bool = True) -> Path:
    """A complete Stable Diffusion XL: two text encoders, pooled embeddings, time ids."""
    torch.manual_seed(1)
    tokenizer = tiny_tokenizer()
    unet = tiny_unet(
        cross_attention_dim=32,  # both encoders side by side
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 2),
        projection_class_embeddings_input_dim=6 * 8 + 12,
    )
    pipeline = StableDiffusionXLPipeline(
        vae=tiny_vae(),
        text_encoder=CLIPTextModel(tiny_text_config(tokenizer)),
        text_encoder_2=CLIPTextModelWithProjection(
            tiny_text_config(tokenizer, projection_dim=12, hidden_act="gelu")
        ),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=EulerDiscreteScheduler(**NOISE),
        force_zeros_for_empty_prompt=zeros_for_none,
        add_watermarker=False,
    )
    pipeline.save_pretrained(folder)
    (folder / "README.md").write_text(CARD)
    return folder


def save_tiny_sd3(folder: Path) -> Path:
    """A Stable Diffusion 3 without T5: a transformer, flow matching, two text encoders."""
    torch.manual_seed(2)
    tokenizer = tiny_tokenizer()
    encoders = [
        CLIPTextModelWithProjection(tiny_text_config(tokenizer, projection_dim=12))
        for _ in range(2)
    ]
    pipeline = StableDiffusion3Pipeline(
        transformer=SD3Transformer2DModel(
            sample_size=8,
            patch_size=1,
            in_channels=4,
            num_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            caption_projection_dim=16,
            joint_attention_dim=32,
            pooled_projection_dim=24,
            out_channels=4,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=tiny_vae(shift_factor=0.06),
        text_encoder=encoders[0],
        tokenizer=tokenizer,
        text_encoder_2=encoders[1],
        tokenizer_2=tokenizer,
        text_encoder_3=None,
        tokenizer_3=None,
    )
    pipeline.save_pretrained(folder)
    (folder / "README.md").write_text(CARD.replace("stable_diffusion", "text_to_image"))
    return folder


def save_tiny_lcm(folder: Path) -> Path:
    """A latent consistency model: a UNet that is told the guidance scale, a noisy scheduler."""
    torch.manual_seed(3)
    tokenizer = tiny_tokenizer()
    pipeline = LatentConsistencyModelPipeline(
        vae=tiny_vae(),
        text_encoder=CLIPTextModel(tiny_text_config(tokenizer)),
        tokenizer=tokenizer,
        unet=tiny_unet(time_cond_proj_dim=8),
        scheduler=LCMScheduler(**NOISE, clip_sample=False, set_alpha_to_one=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    (folder / "README.md").write_text(CARD.replace("stable_diffusion", "text_to_image"))
    return folder


def save_tiny_stable_diffusion(folder: Path, prediction_type: str = "epsilon") -> Path:
    """A complete Stable Diffusion of a few thousand weights; 8x8 latents, 16x16 pictures."""
    torch.manual_seed(0)
    unet = tiny_unet()
    tokenizer = tiny_tokenizer()
    pipeline = StableDiffusionPipeline(
        vae=tiny_vae(),
        text_encoder=CLIPTextModel(tiny_text_config(tokenizer)),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(
            **NOISE, clip_sample=False, set_alpha_to_one=False, prediction_type=prediction_type
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    (folder / "README.md").write_text(CARD)
    return folder


def save_tiny_pipelines(root: Path) -> None:
    """Stable Diffusion, its twin that predicts v, and XL: ``tiny``, ``tiny-v``, ``tiny-xl``."""
    save_tiny_stable_diffusion(root / "tiny")
    save_tiny_stable_diffusion(root / "tiny-v", prediction_type="v_prediction")
    save_tiny_xl(root / "tiny-xl")
