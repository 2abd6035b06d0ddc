"""What Toybox's training stages share: real data, the learning rate, safe saving."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import torch

from genlab.training.data import load_images
from genlab.training.toybox.composer import Composer, Glyphs
from genlab.world import World

CHECKPOINT = Path(__file__).parents[3] / "checkpoints" / "stable-diffusion-toybox"
JUDGE_CHECKPOINT = CHECKPOINT.with_name("toybox-judge")
CLIP = "clip"
"""The folder of the other half of CLIP, beside the parts that the pipeline names."""
MAX_SHARD = "9MB"


def make_composer(
    world: World, data: Path | None, train: bool, device: str | torch.device
) -> Composer:
    """A composer over the training or the held-out test pictures of both data sets."""
    glyphs = {
        "mnist": Glyphs(*load_images("mnist", train, data)),
        "fashion": Glyphs(*load_images("fashion", train, data)),
    }
    return Composer(world, glyphs, device)


def prepare_cpu() -> None:
    """Denormal numbers cost a CPU a hundred times a normal one's time; networks don't need them."""
    torch.set_flush_denormal(True)


def publish(save: Callable[[Path], None], folder: Path) -> None:
    """Save into a neighbour folder, then move each file into place, so that readers never see half.

    Args:
        save: writes a whole checkpoint into the folder it is given.
        folder: the checkpoint; files that `save` does not write (the card, `world.json`) stay.
    """
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        save(draft)
        for source in sorted(path for path in draft.rglob("*") if path.is_file()):
            target = folder / source.relative_to(draft)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(source, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def time_spent(folder: Path) -> tuple[int, float] | None:
    """Steps and seconds that the run in `folder` has taken so far; None before its first saving."""
    file = folder / "state.pt"
    if not file.exists():
        return None
    state = torch.load(file, weights_only=True, map_location="cpu")
    return state["step"], state["seconds"]
