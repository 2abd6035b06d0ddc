"""Looks at what a recognised network draws: do its pictures bear out the guesses? Needs torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from genlab.formats.building import with_weights
from genlab.formats.recognise.guesses import Guess, Seen
from genlab.formats.recognise.networks import Recognised
from genlab.requests import UserError

COUNT = 64
FLAT = 0.03
"""Standard deviation of pixels in [0, 1] below which pictures are taken for empty."""


def look(network: Recognised, tensors: Mapping[str, Any]) -> tuple[Seen, list[str]]:
    """Draw once, and say what the pictures tell.

    Args:
        network: as it was recognised.
        tensors: of its state dict, by its names.

    Returns:
        What they tell of the last activation and its range, where nobody said it; and sentences on
        what looks wrong.

    Raises:
        UserError: the network gives numbers that are not finite.
    """
    import torch

    from genlab.families.layered import LayeredNetwork

    own = {new: tensors[old] for new, old in network.weights.items()}
    module = with_weights(lambda: LayeredNetwork(**network.config), own)
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(COUNT, module.latent_dim, generator=generator, dtype=torch.float32)
    classes = module.about.classes
    labels = torch.arange(COUNT) % classes if classes else None
    with torch.inference_mode():
        drawn = module(z, labels).float().numpy()
        raw = _before_last(module, z, labels)
    if not np.isfinite(drawn).all():
        raise UserError(
            "The network gives numbers that are not finite for an ordinary z; its weights are "
            "broken, or a guess is far off."
        )
    made = {guess.name: guess for guess in network.guesses}
    seen = _range(raw, made)
    return seen, [] if seen else _doubts(np.clip((drawn + 1) / 2, 0, 1), made)


def _before_last(module: Any, z: Any, labels: Any) -> np.ndarray:
    """What the last layer with weights gives, before an activation that was only guessed."""
    part = getattr(module, module.about.source)
    guessed = module.about.parts[module.about.source][-1]["op"] in ("sigmoid", "tanh")
    return (part[:-1] if guessed else part)(module.with_class(z, labels)).float().numpy()


def _range(raw: np.ndarray, made: Mapping[str, Guess]) -> Seen:
    """Whether the numbers before the last activation are grey values already."""
    if made["output"].certain or made["range"].certain:
        return {}
    low, high = np.quantile(raw, (0.01, 0.99))
    if raw.std() < 0.15 or high > 1.2:
        return {}
    why = f"98 % of what its last layer gives lies between {low:.2f} and {high:.2f}"
    if low >= -0.2:
        return {"output": ("none", why), "range": ("0 to 1", why)}
    black_or_white = np.abs(np.abs(raw) - 1.0) < 0.15
    if low >= -1.2 and black_or_white.mean() > 0.3:
        return {"output": ("none", why), "range": ("-1 to 1", why)}
    return {}


def _doubts(pictures: np.ndarray, made: Mapping[str, Guess]) -> list[str]:
    """Sentences on pictures (N, C, H, W) in [0, 1] that look wrong."""
    if pictures.std() < FLAT:
        return [
            f"All pictures are nearly the same grey (a spread of {pictures.std():.3f} of 1): the "
            "weights are untrained, or a guess is wrong."
        ]
    if len(pictures[0]) > 1 or made["invert"].certain:
        return []
    frame = np.ones(pictures.shape[2:], bool)
    frame[2:-2, 2:-2] = False
    edge, middle = pictures[:, :, frame].mean(), pictures[:, :, ~frame].mean()
    if edge > 0.6 and edge > middle + 0.1:
        return [
            "The pictures are dark on bright, but MNIST and Fashion-MNIST are bright on black: "
            "say invert if they were trained that way round."
        ]
    return []
