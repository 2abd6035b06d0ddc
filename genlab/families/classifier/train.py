"""Trains the classifier of a dataset: the judge of every generated picture, and FID's features."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from genlab.families.classifier.network import Classifier
from genlab.training.config import TrainingConfig
from genlab.training.data import CLASSES, Minibatches, to_network
from genlab.training.trainer import Trainer

EXAMPLES = 1000  # held-out images shipped with the checkpoint


def train_classifier(
    images: Tensor,
    labels: Tensor,
    folder: Path,
    work: Path,
    device: str = "cpu",
    *,
    epochs: float,
    batch_size: int = 128,
    learning_rate: float = 4e-3,
    weight_decay: float = 0.02,
    label_smoothing: float = 0.05,
    max_shift: int = 2,
    channels: tuple[int, int, int] = (16, 32, 64),
) -> Trainer:
    """Train on uint8 images (N, 28, 28) with int64 labels (N,), and write the checkpoint.

    Args:
        folder: the checkpoint's folder.
        work: where the resumable state is kept.
        max_shift: images are shifted at random by up to so many pixels each way.
    """
    torch.manual_seed(0)
    network = Classifier(channels).to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=weight_decay)
    batches = Minibatches(len(images), batch_size)
    total_steps = max(2, round(epochs * batches.per_epoch))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps)
    trainer = Trainer(
        work, total_steps, {"network": network}, {"optimizer": optimizer}, {"schedule": schedule}
    )

    network.train()
    for step in trainer.steps():
        # 1. data to device
        chosen = batches.indices(step)
        x = to_network(random_shift(images[chosen], max_shift)).to(device)
        y = labels[chosen].to(device)
        # 2. zero_grad
        optimizer.zero_grad()
        # 3. forward
        logits = network(x)
        # 4. loss
        loss = F.cross_entropy(logits, y, label_smoothing=label_smoothing)
        # 5. backward
        loss.backward()
        # 6. step
        optimizer.step()
        schedule.step()
        trainer.log(loss=loss)

    network.eval().cpu().save_pretrained(folder)
    trainer.write_loss_curve(folder / "loss.png")
    return trainer


def random_shift(images: Tensor, max_shift: int) -> Tensor:
    """Shift each uint8 image (B, 28, 28) by its own random offset, black coming in at the edges."""
    if max_shift == 0:
        return images
    count, height, width = images.shape
    padded = F.pad(images, [max_shift] * 4)
    offsets = torch.randint(0, 2 * max_shift + 1, (2, count, 1))
    rows = offsets[0] + torch.arange(height)  # (B, 28)
    columns = offsets[1] + torch.arange(width)  # (B, 28)
    return padded[torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]


def write_examples(images: Tensor, labels: Tensor, folder: Path) -> None:
    """Ship the first held-out images with the judge, for use where no dataset is on disk."""
    save_file(
        {
            "images": images[:EXAMPLES].clone(),  # uint8 (1000, 28, 28)
            "labels": labels[:EXAMPLES].clone(),  # int64 (1000,)
        },
        folder / "examples.safetensors",
    )


@torch.inference_mode()
def accuracy(network: Classifier, images: Tensor, labels: Tensor) -> float:
    """Share of uint8 images (N, 28, 28) whose most probable class is the label, in [0, 1]."""
    network.eval()
    device = next(network.parameters()).device
    correct = 0
    for x, y in zip(images.split(500), labels.split(500), strict=True):
        correct += int((network(to_network(x).to(device)).argmax(1).cpu() == y).sum())
    return correct / len(images)


TRAINING: dict[str, TrainingConfig] = {
    "mnist-classifier": TrainingConfig(
        "classifier",
        "Classifier, MNIST",
        "mnist",
        train_classifier,
        "A three-layer convolutional classifier of handwritten digits.",
        "The judge of every MNIST model here: class histograms, confidence, and the features that "
        "FID is measured in.",
        {"epochs": 14},
        card={"classes": list(CLASSES["mnist"])},
        finish=write_examples,
    ),
    "fashion-classifier": TrainingConfig(
        "classifier",
        "Classifier, Fashion-MNIST",
        "fashion",
        train_classifier,
        "A three-layer convolutional classifier of garments.",
        "The judge of every Fashion-MNIST model here: class histograms, confidence, and the "
        "features that FID is measured in.",
        {"epochs": 7, "max_shift": 1},
        card={"classes": list(CLASSES["fashion"])},
        finish=write_examples,
    ),
}
"""The checkpoints that this loop made, by name."""
