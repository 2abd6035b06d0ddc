"""One part of a network as layers of a config.json: activations go between those with weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genlab.formats.layers import Layer
from genlab.formats.recognise.geometry import Step, free_places


@dataclass(frozen=True)
class NetworkPart:
    """The layers of one part, and where its weights come from.

    Attributes:
        layers: as a config.json has them.
        sources: the name of each layer with weights in the state dict, by its index in ``layers``.
    """

    layers: Sequence[Layer]
    sources: Mapping[int, str]


def part(
    steps: Sequence[Step],
    activation: Layer,
    last: Sequence[Layer] = (),
    eps: float | None = None,
    reshape_active: bool = True,
) -> NetworkPart:
    """Put activations between steps.

    Args:
        steps: layers with weights, in order, with what reshapes between them.
        activation: of hidden layers.
        last: what follows the last one.
        eps: of batch norms that are not the first of a Sequential; None: PyTorch's own.
        reshape_active: whether one stands where numbers become planes, if nobody can know.
    """
    layers: list[Layer] = []
    sources: dict[int, str] = {}
    before_norm = False  # whether this part's activations stand before its norms
    for k, step in enumerate(steps):
        if k:
            active, sure = _active(steps[k - 1], step, before_norm)
            if not sure and _becomes_planes(step):
                active = reshape_active
            if active:
                layers.append(activation)
                before_norm |= step.leaf.is_norm
            layers += steps[k - 1].after
        layers += step.before
        sources[len(layers)] = step.leaf.name
        layers.append(_with_eps(step, eps))
    return NetworkPart([*layers, *last, *(steps[-1].after if steps else ())], sources)


def unknown_reshape(steps: Sequence[Step]) -> str | None:
    """The layer whose numbers become planes, and may have an activation or not; None: no such."""
    for before, step in zip(steps, steps[1:], strict=False):
        if _becomes_planes(step) and not _active(before, step, False)[1]:
            return before.leaf.name
    return None


def _becomes_planes(step: Step) -> bool:
    """Whether a layer is the first of planes; a norm there follows the numbers as they are."""
    return not step.leaf.is_norm and any(layer["op"] == "reshape" for layer in step.before)


def _active(before: Step, step: Step, before_norm: bool) -> tuple[bool, bool]:
    """Whether an activation stands between two layers, and whether that is sure."""
    if "prelu" in (before.layer["op"], step.layer["op"]):
        return False, True
    free = free_places(before.leaf, step.leaf)
    if free is not None:  # neighbours in a Sequential: what has no weights has its place there
        return free - len(before.after) - len(step.before) >= 1, True
    if step.leaf.is_norm:
        return False, False
    if before.leaf.is_norm and before_norm:
        return False, False
    return True, False


def _with_eps(step: Step, eps: float | None) -> dict[str, Any]:
    first = step.leaf.place == 0  # PyTorch-GAN, where a guessed eps comes from, leaves its first
    if step.layer["op"] != "batch_norm" or eps is None or first:
        return step.layer
    return step.layer | {"eps": eps}
