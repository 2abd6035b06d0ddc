"""Tensors to pictures and back. Knows no model and no file."""

from __future__ import annotations

import numpy as np
import torch


def to_uint8(images: torch.Tensor) -> np.ndarray:
    """Float images (B, C, H, W) in [-1, 1] to uint8 (B, H, W), or (B, H, W, 3) if C is 3."""
    levels = ((images.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    array = levels.permute(0, 2, 3, 1).cpu().numpy()
    return array[..., 0] if array.shape[-1] == 1 else array


def to_tensor(images: np.ndarray) -> torch.Tensor:
    """uint8 (B, H, W[, 3]) to float (B, C, H, W) in [-1, 1]."""
    tensor = torch.from_numpy(np.ascontiguousarray(images)).float().div(127.5).sub(1)
    return tensor.unsqueeze(1) if tensor.ndim == 3 else tensor.permute(0, 3, 1, 2)
