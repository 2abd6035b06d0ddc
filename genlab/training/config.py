"""Every checkpoint's recipe by name: which loop, which data, which hyperparameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from genlab.families.classifier.train import train_classifier, write_examples
from genlab.families.gan.train import train_gan
from genlab.families.noisy_classifier.train import train_noisy_classifier
from genlab.families.pixel_diffusion.train import train_pixel_diffusion
from genlab.families.vae.train import train_vae
from genlab.formats.model_card import write_card
from genlab.training.data import CLASSES, DatasetName, load_images
from genlab.training.trainer import TrainingRun


@dataclass(frozen=True)
class Recipe:
    """How one checkpoint is made, and what its card says about it."""

    family: str
    title: str
    dataset: DatasetName
    train: Callable[..., TrainingRun]
    about: str
    in_class: str
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)  # more for the card's `genlab` mapping


TOYBOX = "stable-diffusion-toybox"
"""Trained in stages by `genlab.toybox.train.stages`, not by one loop as the others."""

TIMELINE = (0, 25, 100, 300, 700, 1500, 3000, 5000)

_VAE_IN_CLASS = (
    "Samples of the prior are digits, but soft: the decoder answers every uncertainty with an "
    "average. Put it beside its twin without the KL term, from the same z."
)
_NO_KL_IN_CLASS = (
    "Same network, same data, same seed; only the KL weight is 0. Reconstructions are as good or "
    "better, but nothing ties the codes to N(0, I): samples of the prior land where the decoder "
    "has never been."
)

_DDPM_IN_CLASS = (
    "One network gives the unconditional and the conditional prediction, so every kind of guidance "
    "can be put side by side from the same noise; and few steps beside many."
)
_NOISY_IN_CLASS = (
    "Classifier guidance follows the gradient of its log-probability. At high t it sees noise and "
    "can only guess, at low t it is sure: that is why guidance is weak early and strong late."
)

RECIPES: dict[str, Recipe] = {
    "mnist-classifier": Recipe(
        "classifier",
        "Classifier, MNIST",
        "mnist",
        train_classifier,
        "A three-layer convolutional classifier of handwritten digits.",
        "The judge of every MNIST model here: class histograms, confidence, and the features that "
        "FID is measured in.",
        {"epochs": 14},
    ),
    "fashion-classifier": Recipe(
        "classifier",
        "Classifier, Fashion-MNIST",
        "fashion",
        train_classifier,
        "A three-layer convolutional classifier of garments.",
        "The judge of every Fashion-MNIST model here: class histograms, confidence, and the "
        "features that FID is measured in.",
        {"epochs": 7, "max_shift": 1},
    ),
    "vae-mnist-20d": Recipe(
        "vae",
        "VAE, 20-D, MNIST",
        "mnist",
        train_vae,
        "A convolutional variational autoencoder with 20 latent variables.",
        _VAE_IN_CLASS,
        {"latent_dim": 20, "beta": 1.0, "epochs": 5},
    ),
    "vae-mnist-20d-no-kl": Recipe(
        "vae",
        "VAE without KL, 20-D, MNIST",
        "mnist",
        train_vae,
        "The 20-D autoencoder trained without the KL term.",
        _NO_KL_IN_CLASS,
        {"latent_dim": 20, "beta": 0.0, "epochs": 5},
    ),
    "vae-mnist-2d": Recipe(
        "vae",
        "VAE, 2-D, MNIST",
        "mnist",
        train_vae,
        "A convolutional variational autoencoder whose code is a point in the plane.",
        "Its codes can be plotted: ten clouds that share N(0, I) without gaps. Two numbers are not "
        "enough for a digit, so pictures blur more than with twenty.",
        {"latent_dim": 2, "beta": 1.0, "epochs": 5, "batch_size": 64, "depth": 3},
    ),
    "vae-mnist-2d-no-kl": Recipe(
        "vae",
        "VAE without KL, 2-D, MNIST",
        "mnist",
        train_vae,
        "The 2-D autoencoder trained without the KL term.",
        "Its codes can be plotted: they spread far beyond N(0, I), with holes between the classes. "
        "Compare with the twin that has the KL term.",
        {"latent_dim": 2, "beta": 0.0, "epochs": 5, "batch_size": 64, "depth": 3},
    ),
    "vae-fashion-20d": Recipe(
        "vae",
        "VAE, 20-D, Fashion-MNIST",
        "fashion",
        train_vae,
        "A convolutional variational autoencoder with 20 latent variables, on garments.",
        "Outlines come out right and textures do not: fine detail is what the average loses.",
        {"latent_dim": 20, "beta": 1.0, "epochs": 4},
    ),
    "dcgan-mnist": Recipe(
        "gan",
        "DCGAN, MNIST",
        "mnist",
        train_gan,
        "A DCGAN: a generator and a discriminator that learnt from each other.",
        "Sharp where the VAE blurs. Its timeline shows the same z on its way from noise to digit.",
        {"steps": 7000, "snapshots": TIMELINE},
    ),
    "dcgan-fashion": Recipe(
        "gan",
        "DCGAN, Fashion-MNIST",
        "fashion",
        train_gan,
        "A DCGAN on garments.",
        "Textures and prints that the VAE cannot draw.",
        {"steps": 3500},
    ),
    "dcgan-mnist-collapsed": Recipe(
        "gan",
        "DCGAN, collapsed, MNIST",
        "mnist",
        train_gan,
        "A DCGAN without batch norm, whose generator lost track of its z.",
        "Mode collapse: whatever the z, the picture is the same, because it is the one that fools "
        "the discriminator today. Move the timeline: each time the discriminator learns to reject "
        "it, the whole generator jumps to another. Nothing was edited: it is dcgan-mnist's loop "
        "and network with the settings below, above all without batch norm.",
        {
            "steps": 400,
            "snapshots": (0, 25, 50, 100, 150, 200, 250, 300, 350),
            "batch_norm": False,
            "generator_rate": 3e-4,
            "ema": 0.0,
            "decay_from": 1.0,
        },
    ),
    "ddpm-mnist": Recipe(
        "pixel_diffusion",
        "Pixel diffusion, MNIST",
        "mnist",
        train_pixel_diffusion,
        "A denoising diffusion model of digits, in pixel space, told the class or not.",
        _DDPM_IN_CLASS,
        {"steps": 10_000},
        {"classifier": "mnist-noisy-classifier"},
    ),
    "ddpm-fashion": Recipe(
        "pixel_diffusion",
        "Pixel diffusion, Fashion-MNIST",
        "fashion",
        train_pixel_diffusion,
        "A denoising diffusion model of garments, in pixel space, told the class or not.",
        _DDPM_IN_CLASS,
        {"steps": 5_500},
        {"classifier": "fashion-noisy-classifier"},
    ),
    "mnist-noisy-classifier": Recipe(
        "noisy_classifier",
        "Classifier of noised digits",
        "mnist",
        train_noisy_classifier,
        "A convolutional classifier that is told t and reads digits through the noise of that t.",
        _NOISY_IN_CLASS,
        {"steps": 4_000},
    ),
    "fashion-noisy-classifier": Recipe(
        "noisy_classifier",
        "Classifier of noised garments",
        "fashion",
        train_noisy_classifier,
        "A convolutional classifier that is told t and reads garments through the noise of that t.",
        _NOISY_IN_CLASS,
        {"steps": 3_000},
    ),
}


def trainable() -> list[str]:
    """The names that `train` knows."""
    return [*RECIPES, TOYBOX]


def train(
    name: str,
    checkpoints: Path = Path("checkpoints"),
    runs: Path = Path("runs"),
    root: Path | None = None,
    device: str = "cpu",
    start_from: Path | None = None,
    stage: str | None = None,
) -> Path:
    """Train one checkpoint, or go on where it was interrupted, and write it with its card.

    Args:
        name: one of `trainable()`.
        checkpoints: the new folder is `checkpoints/<name>`.
        runs: resumable state is kept in `runs/<name>`.
        root: torchvision root of the data, see `load_images`.
        start_from: for Toybox, a trained one whose UNet or `stage` goes on training.
        stage: of Toybox, only this one; None: all.

    Raises:
        KeyError: if there is no such recipe.
        UserError: if the data is missing and cannot be downloaded, or there is no such stage.
    """
    if name == TOYBOX:
        from genlab.toybox.train import stages as toybox

        toybox.train(root, device, checkpoints / name, stage, runs / name, start_from=start_from)
        return checkpoints / name
    recipe = RECIPES[name]
    torch.set_flush_denormal(True)  # denormal weights make CPU training several times slower
    images, labels = load_images(recipe.dataset, train=True, root=root)
    folder = checkpoints / name
    run = recipe.train(images, labels, folder, runs / name, device, **recipe.hyperparameters)
    extra: dict[str, Any] = dict(recipe.card)
    if recipe.family == "classifier":
        extra["classes"] = list(CLASSES[recipe.dataset])
        write_examples(*load_images(recipe.dataset, train=False, root=root), folder)
    text = _card_text(name, recipe, run, hardware(device))
    write_card(folder, recipe.family, recipe.title, recipe.dataset, text, **extra)
    return folder


def hardware(device: str) -> str:
    """What a card says the training ran on."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{threads} CPU thread{'s' if threads > 1 else ''}"


_CURVES = {
    "pixel_diffusion": "\n![Accuracy, FID and diversity against guidance_scale](scales.png)\n",
    "noisy_classifier": "\n![Accuracy against t](accuracy.png)\n",
}


def _card_text(name: str, recipe: Recipe, run: TrainingRun, hardware: str) -> str:
    settings = "\n".join(f"- `{key}`: {value}" for key, value in recipe.hyperparameters.items())
    loop = recipe.train.__module__.replace(".", "/") + ".py"
    data = {"mnist": "MNIST", "fashion": "Fashion-MNIST"}[recipe.dataset]
    return f"""# {recipe.title}

{recipe.about}

## In class

{recipe.in_class}

## How it was trained

`python -m genlab train {name}`: {run.total_steps:,} steps on the 60,000 training images of {data},
{run.seconds:,.0f} seconds on {hardware}. The loop is `{loop}`; what differs from its defaults:

{settings}

![Loss against step](loss.png)
{_CURVES.get(recipe.family, "")}
## Measured

The figures at the top of this file come from `python -m genlab evaluate {name} --write-card`.
Images are float (B, 1, 28, 28) in [-1, 1], bright on black.
"""
