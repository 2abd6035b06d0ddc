"""Where a GAN's files lie, and its weights' names and shapes. Arithmetic; no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genlab.families import layout
from genlab.families.layout import Shapes, convolution, linear, transposed_convolution
from genlab.formats import layers
from genlab.formats.metadata import BrokenCheckpoint


def weight_shapes(config: Mapping[str, Any]) -> Shapes:
    """What the network of a configuration holds; raises if it makes none.

    It is a `DCGAN`, or one whose layers the configuration lists.
    """
    if layers.is_described(config):
        return layers.weight_shapes(config)
    return _shapes(**config)


def own_config(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any] | None:
    """The configuration of the `DCGAN` that has these weights; None if none has."""
    try:
        config = {
            "latent_dim": shapes["generator.0.weight"][1],
            "channels": [shapes[f"discriminator.{k}.weight"][0] for k in (0, 2)],
            "hidden": shapes["generator.0.weight"][0],
            "batch_norm": "generator.1.running_mean" in shapes,
        }
        return config if _shapes(**config) == shapes else None
    except (KeyError, IndexError, ValueError, TypeError):
        return None


def _shapes(
    latent_dim: int = 64,
    channels: tuple[int, int] = (32, 64),
    hidden: int = 128,
    batch_norm: bool = True,
) -> Shapes:
    c1, c2 = channels
    g, d = "generator", "discriminator"
    shapes = (
        linear(f"{g}.0", latent_dim, hidden)
        | linear(f"{g}.3", hidden, c2 * 7 * 7)
        | transposed_convolution(f"{g}.7", c2, c1, 4)
        | transposed_convolution(f"{g}.10", c1, 1, 4)
        | convolution(f"{d}.0", 1, c1, 4)
        | convolution(f"{d}.2", c1, c2, 4)
        | linear(f"{d}.6", c2 * 7 * 7, hidden)
        | linear(f"{d}.9", hidden, 1)
    )
    if batch_norm:
        for name, width in (
            (f"{g}.1", hidden), (f"{g}.5", c2), (f"{g}.8", c1), (f"{d}.3", c2), (f"{d}.7", hidden),
        ):  # fmt: skip
            shapes |= layout.batch_norm(name, width)
    return shapes


def snapshot_path(folder: Path, step: int) -> Path:
    """The file that keeps both networks as they were after ``step`` training steps."""
    return folder / "snapshots" / f"step-{step:06d}.safetensors"


def snapshot_steps(folder: Path) -> list[int]:
    """The training steps that a checkpoint has snapshots of, ascending; empty if there are none.

    Raises BrokenCheckpoint for a file there that is called otherwise.
    """
    try:
        return sorted(
            int(path.stem.removeprefix("step-"))
            for path in (folder / "snapshots").glob("*.safetensors")
        )
    except ValueError as error:
        raise BrokenCheckpoint(
            "a file in snapshots/ is not called step-000000.safetensors."
        ) from error
