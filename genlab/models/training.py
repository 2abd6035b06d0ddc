"""Every checkpoint's training, looked up by name in the families' descriptions. Knows no loop."""

from __future__ import annotations

from pathlib import Path

from genlab.families.description import load
from genlab.models.families import FAMILIES
from genlab.requests import UserError
from genlab.training import config
from genlab.training.config import StagedTraining, TrainingConfig


def trainings() -> dict[str, TrainingConfig | StagedTraining]:
    """Every training by its checkpoint's name, family by family; loads all their loops."""
    parts = [description.training for description in FAMILIES.values() if description.training]
    return {name: training for part in parts for name, training in load(part).items()}


def train(
    name: str,
    checkpoints: Path = Path("checkpoints"),
    runs: Path = Path("runs"),
    root: Path | None = None,
    device: str = "cpu",
    start_from: Path | None = None,
    stage: str | None = None,
) -> TrainingConfig | StagedTraining:
    """Train one checkpoint, or go on where it was interrupted, and write it with its card.

    Args:
        name: of the checkpoint.
        checkpoints: the new folder is `checkpoints/<name>`.
        runs: resumable state is kept in `runs/<name>`.
        root: torchvision root of the data, see `load_images`.
        device: a torch device.
        start_from: of a checkpoint that is trained in stages, a finished one to go on from.
        stage: of such a checkpoint, only this one; None: all.

    Returns:
        Its training.

    Raises:
        UserError: there is no such training or stage, or it does not take these arguments, or the
            data is missing and cannot be downloaded.
    """
    names = trainings()
    if name not in names:
        raise UserError(f"There is no recipe called {name!r}; there are: {', '.join(names)}.")
    training, folder, work = names[name], checkpoints / name, runs / name
    if isinstance(training, StagedTraining):
        if start_from is not None:
            _check_parts(name, training, start_from)
        training.run(root, device, folder, stage, work, start_from)
        return training
    staged = " and ".join(n for n, other in names.items() if isinstance(other, StagedTraining))
    if stage is not None:
        raise UserError(f"Only {staged} is trained in stages.")
    if start_from is not None:
        raise UserError(f"Only {staged} can be trained on from finished weights.")
    config.train(name, training, folder, work, root, device)
    return training


def _check_parts(name: str, training: StagedTraining, start_from: Path) -> None:
    for part in training.parts:
        if not (start_from / part).is_file():
            raise UserError(f"{start_from} is no trained {name}: it has no {part}.")
