"""Tiny seeded diffusers pipelines, made on disk: real layouts, untrained weights."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

WORDS = [
    "a", "red", "green", "blue", "seven", "sneaker",
    "on", "black", "background", "and", "left", "of",
]  # fmt: skip
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


def save_tiny_stable_diffusion(folder: Path, prediction_type: str = "epsilon") -> Path:
    """A complete Stable Diffusion of a few thousand weights; 8x8 latents, 16x16 pictures."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=8,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=2,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        sample_size=16,
    )
    tokenizer = tiny_tokenizer()
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=12,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
    )
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction_type,
    )
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    (folder / "README.md").write_text(CARD)
    return folder
