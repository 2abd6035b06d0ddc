"""Where and how a network runs: device, number format, rows a call. Knows no model and no job."""

from __future__ import annotations

import logging
from concurrent.futures import Executor

import torch
from torch import nn

from genlab.engine.graph import Call, Graph

log = logging.getLogger(__name__)

SMALL = 100e6  # bytes of weights; a larger network's time goes into its arithmetic, not its calls


class Device:
    """One device as one model sees it, and how many rows of that model it takes in one call.

    Args:
        name: "auto" (CUDA, then Apple's MPS, then CPU) or a torch device string.
        max_rows: most rows in one network call; halved when the device runs out of memory.
        graphs: on a CPU, let ONNX Runtime run what runners ask for with ``graph``.
        background: where graphs are made while PyTorch serves; None: at once, before the call.
    """

    def __init__(
        self,
        name: str = "auto",
        max_rows: int = 64,
        graphs: bool = True,
        background: Executor | None = None,
    ) -> None:
        self.torch = pick_device(name)
        self.graphs = graphs and self.torch.type == "cpu"
        self.dtype = torch.float16 if self.torch.type == "cuda" else torch.float32
        self.ceiling = max_rows
        self.max_rows = max_rows
        self._background = background

    def for_model(self) -> Device:
        """The same device for another model, with a row limit of its own."""
        return Device(str(self.torch), self.ceiling, self.graphs, self._background)

    def check(self) -> None:
        """Raise RuntimeError or AssertionError unless something can be put on this device."""
        torch.zeros(1, device=self.torch)

    def graph(self, call: Call, network: nn.Module) -> Call:
        """The same function of rows, as fast as it gets here; hand it to ``call``.

        Args:
            call: takes rows (B, ...) and gives rows; no randomness, no gradient.
            network: holds the weights that it uses.
        """
        tensors = (*network.parameters(), *network.buffers())
        if not self.graphs or sum(t.numel() * t.element_size() for t in tensors) >= SMALL:
            return call
        return Graph(call, network, self._background)

    def call(self, network: Call, *rows: torch.Tensor, **named: torch.Tensor) -> torch.Tensor:
        """Run ``network`` without gradients over row tensors (B, ...), at most max_rows at a time.

        Every argument has one row an image; the result is on this device.
        """
        with torch.inference_mode():
            count = len(rows[0])
            parts = []
            for begin in range(0, count, self.max_rows):
                part = slice(begin, begin + self.max_rows)
                parts.append(
                    network(
                        *(r[part].to(self.torch) for r in rows),
                        **{k: v[part].to(self.torch) for k, v in named.items()},
                    )
                )
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def shrink(self) -> bool:
        """After an out-of-memory: free the cache and halve the rows; False if already at one.

        To be called when nothing holds what the failed call had allocated.
        """
        if self.torch.type == "cuda":
            torch.cuda.empty_cache()
        if self.max_rows == 1:
            return False
        self.max_rows //= 2
        log.warning("out of memory: at most %d rows a call from now on", self.max_rows)
        return True

    def grow(self) -> None:
        """Twice as many rows again, up to what was allowed at first."""
        self.max_rows = min(2 * self.max_rows, self.ceiling)


def pick_device(name: str) -> torch.device:
    """The torch device for a setting; "auto" takes the fastest there is."""
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")
