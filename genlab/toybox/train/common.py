"""What Toybox's training stages share: real data, the learning rate, safe saving."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from genlab.families.classifier.network import Classifier
from genlab.formats.hub_layout import load_hub_module
from genlab.toybox.composer import Composer, Glyphs, to_network
from genlab.toybox.world import World
from genlab.training.data import load_images

CHECKPOINT = Path(__file__).parents[3] / "checkpoints" / "stable-diffusion-toybox"
TURBO = CHECKPOINT.with_name("stable-diffusion-toybox-turbo")
JUDGE_CHECKPOINT = CHECKPOINT.with_name("toybox-judge")
CLIP = "clip"
"""The folder of the other half of CLIP, beside the parts that the pipeline names."""
MAX_SHARD = "9MB"
GARMENT_CLASSIFIER = CHECKPOINT.with_name("fashion-classifier")
"""It says how clear a garment is; the judge, which measures Toybox, has no say in its training."""


def make_composer(
    world: World,
    data: Path | None,
    train: bool,
    device: str | torch.device,
    clear_garments: float = 1.0,
) -> Composer:
    """A composer over the training or the held-out test pictures of both data sets.

    Args:
        world: what can be drawn.
        data: torchvision root with MNIST and Fashion-MNIST.
        train: the training pictures; else the test pictures.
        device: where pictures are drawn.
        clear_garments: share of each garment's pictures to draw from; see `clearest`.
    """
    garments = Glyphs(*load_images("fashion", train, data))
    if clear_garments < 1:
        garments = clearest(garments, GARMENT_CLASSIFIER, clear_garments)
    glyphs = {"mnist": Glyphs(*load_images("mnist", train, data)), "fashion": garments}
    return Composer(world, glyphs, device)


@torch.inference_mode()
def clearest(glyphs: Glyphs, classifier: Path, share: float) -> Glyphs:
    """Of each class the pictures that a classifier takes for it most surely.

    As web pictures are filtered by how well CLIP finds that their caption fits, with a classifier
    in CLIP's place. Source: Schuhmann et al., "LAION-400M", 2021 (arXiv:2111.02114), section 2.

    Args:
        glyphs: pictures with their labels.
        classifier: folder of one for their data set.
        share: of each class, above 0 and at most 1, rounded up.
    """
    network = load_hub_module(Classifier, classifier)
    logits = torch.cat([network(to_network(part)[:, None]) for part in glyphs.images.split(500)])
    sure = logits.softmax(dim=1).gather(1, glyphs.labels[:, None]).flatten()  # p(label | picture)
    kept = []
    for label in glyphs.labels.unique():
        members = (glyphs.labels == label).nonzero().flatten()
        kept.append(members[sure[members].topk(math.ceil(share * len(members))).indices])
    rows = torch.cat(kept).sort().values
    return Glyphs(glyphs.images[rows], glyphs.labels[rows])


def prepare_cpu() -> None:
    """Denormal numbers cost a CPU a hundred times a normal one's time; networks don't need them."""
    torch.set_flush_denormal(True)


def publish(save: Callable[[Path], object], folder: Path) -> None:
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


def kept_latents(file: Path, settings: str, make: Callable[[], Tensor]) -> Tensor:
    """Latents that take long to make, read from `file` if the same settings left it there.

    Args:
        file: where they are kept.
        settings: what they depend on; what other settings left there is replaced.
        make: makes them.
    """
    if file.exists():
        kept = torch.load(file, weights_only=True, map_location="cpu")
        if kept.get("settings") == settings:
            return kept["latents"]
    latents = make()
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"settings": settings, "latents": latents.cpu()}, file)
    return latents


def time_spent(folder: Path) -> tuple[int, float] | None:
    """Steps and seconds that the run in `folder` has taken so far; None before its first saving."""
    file = folder / "state.pt"
    if not file.exists():
        return None
    state = torch.load(file, weights_only=True, map_location="cpu")
    return state["step"], state["seconds"]
