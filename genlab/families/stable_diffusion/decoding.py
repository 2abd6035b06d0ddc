"""How many pictures are decoded in one unit of work. Knows no network."""

from __future__ import annotations

from genlab.engine.device import Device

CPU_PIXELS = 2**16  # sixteen pictures of 64x64
GPU_PIXELS = 2**21  # eight pictures of 512x512


def pictures_at_once(device: Device, pixels: float) -> int:
    """Pictures of so many pixels that may be decoded together without holding others up."""
    budget = CPU_PIXELS if device.torch.type == "cpu" else GPU_PIXELS
    return max(1, int(budget // pixels))
