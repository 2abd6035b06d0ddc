"""What a training ran on, in words for a model card. Knows no loop."""

from __future__ import annotations

import torch


def hardware(device: str) -> str:
    """The GPU's name, or how many CPU threads PyTorch uses.

    Args:
        device: a torch device string.
    """
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{threads} CPU thread{'s' if threads > 1 else ''}"
