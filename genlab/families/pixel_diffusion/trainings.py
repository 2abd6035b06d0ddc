"""How the pixel diffusions and the flow that ship were made: loops, data, hyperparameters."""

from __future__ import annotations

from genlab.families.pixel_diffusion.train import train_pixel_diffusion
from genlab.families.pixel_diffusion.train_flow import train_flow_matching
from genlab.training.config import TrainingConfig

IN_CLASS = (
    "One network gives the unconditional and the conditional prediction, so every kind of guidance "
    "can be put side by side from the same noise; and few steps beside many."
)
PLOTS = {"scales.png": "Accuracy, FID and diversity against guidance_scale"}

TRAINING: dict[str, TrainingConfig] = {
    "ddpm-mnist": TrainingConfig(
        "pixel_diffusion",
        "Pixel diffusion, MNIST",
        "mnist",
        train_pixel_diffusion,
        "A denoising diffusion model of digits, in pixel space, told the class or not.",
        IN_CLASS,
        {"steps": 48_000, "cycles": 2, "label_dropout": 0.5},
        card={"classifier": "mnist-noisy-classifier"},
        plots=PLOTS,
    ),
    "ddpm-fashion": TrainingConfig(
        "pixel_diffusion",
        "Pixel diffusion, Fashion-MNIST",
        "fashion",
        train_pixel_diffusion,
        "A denoising diffusion model of garments, in pixel space, told the class or not.",
        IN_CLASS,
        {"steps": 20_000},
        card={"classifier": "fashion-noisy-classifier"},
        plots=PLOTS,
    ),
    "flow-mnist": TrainingConfig(
        "pixel_diffusion",
        "Flow matching, MNIST",
        "mnist",
        train_flow_matching,
        "A flow of digits along straight paths, in pixel space, told the class or not.",
        "The same network on the same pictures as the pixel diffusion, taught the direction from "
        "noise to picture: put both beside each other in few steps.",
        {"steps": 10_000},
        card={"classifier": "mnist-noisy-classifier"},
        plots=PLOTS,
    ),
}
"""The checkpoints of this family, by name."""
