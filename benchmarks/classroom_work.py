"""What this machine can and what a picture costs: peak of matrix products, operations of Toybox.

Run as a process of its own, so that the measuring side keeps no network in memory.
"""

from __future__ import annotations

import json
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.classroom_plain import CHECKPOINT
from benchmarks.serve_toybox import open_stock
from genlab.settings import Settings

SIDE = 1536  # of the square matrices
SECONDS = 2.0


def peak_flops() -> float:
    """Multiplications and additions a second of the best of many float32 matrix products."""
    a, b = torch.rand(SIDE, SIDE), torch.rand(SIDE, SIDE)
    best, begun = float("inf"), time.perf_counter()
    while time.perf_counter() - begun < SECONDS:
        start = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - start)
    return 2 * SIDE**3 / best


def picture_flops() -> dict[str, float]:
    """Operations of one row of the UNet and of decoding one picture."""
    pipeline = open_stock(Settings(), CHECKPOINT)
    unet, vae = pipeline.unet, pipeline.vae
    latent = torch.zeros(1, unet.config.in_channels, unet.config.sample_size,
                         unet.config.sample_size)  # fmt: skip
    length = pipeline.text_encoder.config.max_position_embeddings
    text = torch.zeros(1, length, unet.config.cross_attention_dim)
    with torch.inference_mode():
        with FlopCounterMode(display=False) as row:
            unet(latent, torch.tensor([1]), encoder_hidden_states=text)
        with FlopCounterMode(display=False) as decoding:
            vae.decode(latent)
    return {"row": float(row.get_total_flops()), "decoding": float(decoding.get_total_flops())}


if __name__ == "__main__":
    print(json.dumps({"peak": peak_flops()} | picture_flops()))
