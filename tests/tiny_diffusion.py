"""A tiny seeded pixel diffusion with its classifiers, made on disk: real layouts, untrained."""

from __future__ import annotations

from pathlib import Path

import torch

from genlab.families.classifier.network import Classifier
from genlab.families.noisy_classifier.network import NoisyClassifier
from genlab.families.pixel_diffusion.network import (
    PixelDiffusionPipeline,
    build_flow_scheduler,
    build_scheduler,
    build_unet,
)
from genlab.formats.model_card import write_card


def save_tiny_pixel_diffusion(
    root: Path, name: str = "ddpm", classifier: str = "noisy", dataset: str = "mnist"
) -> None:
    """A pipeline ``root/name`` of a few thousand weights whose card names ``classifier``."""
    torch.manual_seed(0)
    pipeline = PixelDiffusionPipeline(build_unet((8, 32)).eval(), build_scheduler())
    pipeline.save_pretrained(root / name, safe_serialization=True)
    write_card(root / name, "pixel_diffusion", f"Tiny {name}", dataset, "", classifier=classifier)


def save_tiny_flow(root: Path, name: str = "flow", classifier: str = "noisy") -> None:
    """The same network as that of the tiny pixel diffusion, taken for a flow's velocity."""
    torch.manual_seed(0)
    pipeline = PixelDiffusionPipeline(build_unet((8, 32)).eval(), build_flow_scheduler())
    pipeline.save_pretrained(root / name, safe_serialization=True)
    write_card(root / name, "pixel_diffusion", f"Tiny {name}", "mnist", "", classifier=classifier)


def save_tiny_noisy_classifier(root: Path, name: str = "noisy", dataset: str = "mnist") -> None:
    """A classifier of noised digits, untrained."""
    torch.manual_seed(1)
    NoisyClassifier((8, 8), hidden=16).eval().save_pretrained(root / name)
    write_card(root / name, "noisy_classifier", f"Tiny {name}", dataset, "")


def save_tiny_judge(root: Path, name: str = "judge", dataset: str = "mnist") -> None:
    """A classifier of clean digits, untrained."""
    torch.manual_seed(2)
    Classifier((2, 2, 2), 8).eval().save_pretrained(root / name)
    figures = {"sharpness": 0.2}
    write_card(root / name, "classifier", f"Tiny {name}", dataset, "", metrics=figures)
