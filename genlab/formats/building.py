"""Networks that are built while other threads build theirs. Knows no file.

While diffusers opens a pipeline, or PEFT adds a LoRA, they replace ``torch.nn.init`` and how a
module registers its parameters, for the whole process. Two at a time could put back each other's
replacements and leave them for good; and a network that another thread built the usual way would
stay without weights. For a GPU they also make half precision PyTorch's default meanwhile, so what
the engine draws says its own number format (``tests/test_building.py``).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

ONE_AT_A_TIME = threading.RLock()
"""Held by whoever has diffusers, transformers or PEFT build networks."""

if hasattr(os, "register_at_fork"):  # a process forked meanwhile would keep the replacements
    os.register_at_fork(
        before=ONE_AT_A_TIME.acquire,
        after_in_parent=ONE_AT_A_TIME.release,
        after_in_child=ONE_AT_A_TIME.release,
    )


def without_weights(build: Callable[[], Any]) -> Any:
    """A network in fp32 on the CPU whose numbers are whatever lies in memory: fill in all of them.

    Args:
        build: makes the torch module; it is called where tensors take no memory.
    """
    import torch

    with torch.device("meta"):
        network = build()
    return network.to_empty(device="cpu").float()


def with_weights(build: Callable[[], Any], tensors: Mapping[str, Any]) -> Any:
    """A network with copies of the tensors in fp32, on the CPU, ready to be called.

    Args:
        build: makes the torch module, as `without_weights` calls it.
        tensors: all of its state dict, in any number format.
    """
    network = without_weights(build)
    network.load_state_dict(tensors)
    return network.eval()
