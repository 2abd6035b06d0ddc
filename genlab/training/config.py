"""How a checkpoint is made: its loop, data and hyperparameters, and what its card says of it.

Knows no family: each keeps the configurations of its checkpoints beside its loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genlab.formats.model_card import write_card
from genlab.training.data import DatasetName, load_images
from genlab.training.hardware import hardware
from genlab.training.trainer import Trainer

DATASETS: dict[DatasetName, str] = {"mnist": "MNIST", "fashion": "Fashion-MNIST"}


@dataclass(frozen=True)
class TrainingConfig:
    """One checkpoint that one loop trains.

    Attributes:
        family: as the card names it.
        title: as the page names it.
        dataset: whose training half it learns from.
        loop: ``loop(images, labels, folder, work, device, **hyperparameters) -> Trainer`` trains on
            uint8 images (N, 28, 28) with int64 labels (N,), writes the checkpoint into ``folder``
            and keeps its resumable state in ``work``.
        about: one sentence on what it is.
        in_class: what to look at with it.
        hyperparameters: what differs from the loop's defaults.
        card: more for the card's ``genlab`` mapping.
        plots: files that `evaluate` writes beside the card, and what each shows.
        finish: ``finish(images, labels, folder)`` adds to the checkpoint what comes of the
            data set's held-out half.
    """

    family: str
    title: str
    dataset: DatasetName
    loop: Callable[..., Trainer]
    about: str
    in_class: str
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)
    plots: Mapping[str, str] = field(default_factory=dict)
    finish: Callable[[Tensor, Tensor, Path], None] | None = None


@dataclass(frozen=True)
class StagedTraining:
    """One checkpoint of several networks, trained in stages that measure it and write its card.

    Attributes:
        run: ``run(root, device, folder, stage, runs, start_from)``: torchvision root of the data or
            None, a torch device, the checkpoint's folder, one stage or None for all, where
            unfinished state is kept, and a trained checkpoint to go on from or None.
        stages: their names, in order.
        parts: files that a folder must hold to be gone on from.
    """

    run: Callable[[Path | None, str, Path, str | None, Path, Path | None], None]
    stages: tuple[str, ...]
    parts: tuple[str, ...]


def train(
    name: str,
    config: TrainingConfig,
    folder: Path,
    work: Path,
    root: Path | None = None,
    device: str = "cpu",
) -> None:
    """Train one checkpoint, or go on where it was interrupted, and write it with its card.

    Args:
        name: of the checkpoint, for the card.
        config: its training.
        folder: where it is written.
        work: where the resumable state is kept.
        root: torchvision root of the data, see `load_images`.
        device: a torch device.

    Raises:
        UserError: the data is missing and cannot be downloaded, or the state in `work` belongs to
            another training.
    """
    torch.set_flush_denormal(True)  # denormal weights make CPU training several times slower
    images, labels = load_images(config.dataset, train=True, root=root)
    trainer = config.loop(images, labels, folder, work, device, **config.hyperparameters)
    if config.finish is not None:
        config.finish(*load_images(config.dataset, train=False, root=root), folder)
    text = card_text(name, config, trainer, hardware(device))
    write_card(folder, config.family, config.title, config.dataset, text, **config.card)


def card_text(name: str, config: TrainingConfig, trainer: Trainer, hardware: str) -> str:
    """The Markdown below a card's front matter, once a training has ended."""
    settings = "\n".join(f"- `{key}`: {value}" for key, value in config.hyperparameters.items())
    loop = config.loop.__module__.replace(".", "/") + ".py"
    plots = "".join(f"\n![{shows}]({file})\n" for file, shows in config.plots.items())
    return f"""# {config.title}

{config.about}

## In class

{config.in_class}

## How it was trained

`python -m genlab train {name}`: {trainer.total_steps:,} steps on the 60,000 training images of
{DATASETS[config.dataset]}, {trainer.seconds:,.0f} seconds on {hardware}. The loop is
`{loop}`; what differs from its defaults:

{settings}

![Loss against step](loss.png)
{plots}
## Measured

The figures at the top of this file come from `python -m genlab evaluate {name} --write-card`.
Images are float (B, 1, 28, 28) in [-1, 1], bright on black.
"""
