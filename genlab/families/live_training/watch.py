"""What each of the six steps did to a network, in words and figures. Knows no loop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn


class Watcher:
    """Looks at the networks after each of the six steps.

    Args:
        parts: the networks that have an optimizer of their own, by name.
    """

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        self._parts = parts
        self._before: dict[str, Tensor] = {}

    def see(self, phase: int, part: str, values: Mapping[str, Tensor]) -> str:
        """One short text on the step that was just taken."""
        parameters = list(self._parts[part].parameters()) if part in self._parts else []
        if phase == 2:
            self._before[part] = _flat(parameters)
            held = sum(p.grad is not None for p in parameters)
            return f"{held} of {len(parameters)} weight tensors hold a gradient"
        if phase == 5:
            gradients = [p.grad for p in parameters if p.grad is not None]
            count = sum(p.numel() for p in parameters)
            return f"gradient of {count:,} weights, norm {float(_flat(gradients).norm()):.3g}"
        if phase == 6:
            now = _flat(parameters)
            moved, size = float((now - self._before[part]).norm()), float(now.norm())
            share = 100 * moved / max(size, 1e-12)
            return f"weights moved by {moved:.3g}, {share:.2g} % of their norm"
        return ", ".join(_shown(name, value) for name, value in values.items())


def _flat(tensors: Iterable[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def _shown(name: str, value: Tensor) -> str:
    words = name.replace("_", " ")
    if value.ndim == 0:
        return f"{words} {value.item():.4g}"
    return f"{words}: {' x '.join(map(str, value.shape))}"
