"""What a live training can be asked for, and what there is to train. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from genlab.requests import MAX_SEED, Request, one_of

NAME = "live-training"
"""The model that trains: it is part of GenLab and has no checkpoint folder."""
MAX_STATE_BYTES = 64_000_000


@dataclass(frozen=True)
class Subject:
    """One of the things that can be trained live.

    Attributes:
        title: for a chooser.
        about: what is trained, one sentence.
        family: whose loop and whose losses.
        data: what it learns to draw.
        batch_size: examples a step.
        unit: steps in one unit of the engine's work: a few hundredths of a second on two cores.
        latent_dim: to begin with, as are the next three.
        learning_rate: of the VAE, or of the generator.
        discriminator_rate: of the discriminator.
    """

    title: str
    about: str
    family: Literal["vae", "gan"]
    data: Literal["points", "digits"]
    batch_size: int
    unit: int
    latent_dim: int
    learning_rate: float = 1e-3
    discriminator_rate: float = 1e-3


SUBJECTS: Mapping[str, Subject] = {
    "points-gan": Subject(
        "GAN, points", "Learns a ring of eight clusters of points.",
        "gan", "points", 256, 12, 2, 1e-3, 2e-3,
    ),
    "points-vae": Subject(
        "VAE, points", "Learns a ring of eight clusters of points.",
        "vae", "points", 256, 20, 2,
    ),
    "mlp-vae": Subject(
        "VAE, digits, fully connected", "784 - 400 - z - 400 - 784, the VAE of the tutorials.",
        "vae", "digits", 128, 5, 20,
    ),
    "conv-vae": Subject(
        "VAE, digits, convolutional", "Two strided convolutions either way.",
        "vae", "digits", 64, 3, 20,
    ),
    "mlp-gan": Subject(
        "GAN, digits, fully connected", "Three layers against three layers.",
        "gan", "digits", 64, 4, 64, 2e-4, 2e-4,
    ),
    "conv-gan": Subject(
        "GAN, digits, convolutional", "A small DCGAN.",
        "gan", "digits", 64, 2, 64, 1e-3, 3e-4,
    ),
}  # fmt: skip

PHASES = ("data to device", "zero_grad", "forward", "loss", "backward", "step")
"""The six steps of a training loop, as the lab sheet names them."""


def subjects() -> tuple[str, ...]:
    """The names of what can be trained."""
    return tuple(SUBJECTS)


CHOICES: dict[str, Any] = {"choices": subjects}


class TrainRequest(Request):
    """Take a training so many steps further: from its start, or from where ``state`` says.

    The answer brings the next ``state``, so nothing of a training stays in the engine between two
    requests, and settings may differ from one to the next.
    """

    checkpoint: str = Field(NAME, max_length=200, description="who trains")
    run: str = Field(
        min_length=1, max_length=64, description="requests of one training have the same"
    )
    subject: Annotated[str, one_of(subjects)] = Field(
        "mlp-vae", description="what is trained", json_schema_extra=CHOICES
    )
    seed: int = Field(0, ge=0, le=MAX_SEED, description="same seed, same training")
    latent_dim: int = Field(20, ge=1, le=64, description="numbers in a code z")
    kl_weight: float = Field(
        1.0, ge=0, le=10, allow_inf_nan=False, description="weight of a VAE's KL term"
    )
    learning_rate: float = Field(
        1e-3, ge=0, le=1, allow_inf_nan=False, description="of the VAE, or of the generator"
    )
    discriminator_rate: float = Field(
        1e-3, ge=0, le=1, allow_inf_nan=False, description="learning rate of the discriminator"
    )
    generator_updates: int = Field(
        1, ge=1, le=10, description="updates of the generator for each of the discriminator"
    )
    steps: int = Field(10, ge=1, le=5000, description="how many steps further")
    watch: bool = Field(False, description="say what each of the six did; of one step alone")
    state: bytes = Field(
        b"", max_length=MAX_STATE_BYTES, repr=False, json_schema_extra={"allowed": "a state"}
    )

    @model_validator(mode="after")
    def _one_watched(self) -> TrainRequest:
        if self.watch and self.steps != 1:
            raise ValueError("one step can be watched at a time")
        return self
