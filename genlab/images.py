"""Tensors to pictures, contact sheets, and the recipe inside a PNG. Knows no model."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image


def to_uint8(images: torch.Tensor) -> np.ndarray:
    """Float images (B, C, H, W) in [-1, 1] to uint8 (B, H, W), or (B, H, W, 3) if C is 3."""
    levels = ((images.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    array = levels.permute(0, 2, 3, 1).cpu().numpy()
    return array[..., 0] if array.shape[-1] == 1 else array


def to_tensor(images: np.ndarray) -> torch.Tensor:
    """uint8 (B, H, W[, 3]) to float (B, C, H, W) in [-1, 1]."""
    tensor = torch.from_numpy(np.ascontiguousarray(images)).float().div(127.5).sub(1)
    return tensor.unsqueeze(1) if tensor.ndim == 3 else tensor.permute(0, 3, 1, 2)


def to_pil(image: np.ndarray, size: int | None = None) -> Image.Image:
    """One uint8 (H, W[, 3]) picture; enlarged to ``size`` pixels high by whole pixels if asked."""
    picture = Image.fromarray(image)
    if size is None or size <= picture.height:
        return picture
    scale = size // picture.height
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)


def contact_sheet(
    images: Sequence[np.ndarray], columns: int | None = None, gap: int = 2
) -> Image.Image:
    """Pictures of one size in rows of ``columns`` (default: near square) on a dark ground."""
    columns = columns or math.ceil(math.sqrt(len(images)))
    height, width = images[0].shape[:2]
    rows = math.ceil(len(images) / columns)
    mode = "L" if images[0].ndim == 2 else "RGB"
    sheet = Image.new(mode, (columns * (width + gap) - gap, rows * (height + gap) - gap))
    for k, image in enumerate(images):
        row, column = divmod(k, columns)
        sheet.paste(Image.fromarray(image), (column * (width + gap), row * (height + gap)))
    return sheet
