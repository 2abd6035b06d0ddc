"""What several families check of requests and pictures. Knows no network; no torch."""

from __future__ import annotations

from genlab.requests import ImagesRequest, UserError

SIDE = 28
"""Pixels of a side of what MNIST's and Fashion-MNIST's networks take."""


def check_grey(request: ImagesRequest) -> None:
    """Raise UserError unless the pictures of a request are grey and 28x28."""
    if request.images.shape[1:] != (SIDE, SIDE):
        shape = " x ".join(str(size) for size in request.images.shape[1:])
        raise UserError(f"{request.checkpoint} takes grey {SIDE} x {SIDE} pictures, not {shape}.")


def broken_weights(checkpoint: str) -> UserError:
    """The error for numbers that are not finite where no setting can be to blame."""
    return UserError(
        f"{checkpoint} gives numbers that are not finite, so its weights are broken; "
        "train it again, or fetch a sound copy."
    )
