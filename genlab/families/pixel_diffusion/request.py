"""What a pixel diffusion can be asked for. No torch."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Literal, Self, get_args

import numpy as np
from pydantic import Field, field_validator

from genlab.diffusion.schedulers import pixel_scheduler_names
from genlab.families.checks import SIDE
from genlab.families.walk import WalkRequest
from genlab.requests import one_of

GuidanceName = Literal["none", "classifier-free", "classifier"]
GUIDANCES: tuple[str, ...] = get_args(GuidanceName)
_CHOICES: Any = {"choices": pixel_scheduler_names}  # pydantic would have JSON here; see `one_of`


class PixelDiffusionRequest(WalkRequest):
    """Digits or garments from noise by a DDPM in pixel space, under one kind of guidance.

    ``none`` draws from the unconditional model; guidance leads image k to ``target_classes[k]``.
    Under either kind a scale of 0 is the unconditional model; classifier-free guidance at 1 is
    the conditional one.
    """

    labels: tuple[Annotated[int, Field(ge=0, le=9)], ...] = Field(
        (),
        max_length=64,
        description="classes 0 to 9, of which picture k is labels[k % len(labels)]",
        json_schema_extra={"allowed": "whole numbers from 0 to 9, at most 64 of them"},
    )
    guidance: GuidanceName = Field("classifier-free", description="the kind of guidance")
    guidance_scale: float = Field(
        2.0, ge=0, le=50, allow_inf_nan=False, description="strength of guidance"
    )
    classifier: str | None = Field(
        None,
        max_length=200,
        description="the classifier to follow, or null for the one that the model's card names",
    )
    num_inference_steps: int = Field(50, ge=1, le=1000, description="denoising steps")
    scheduler: Annotated[str, one_of(pixel_scheduler_names)] = Field(
        "ddim",
        description="the rule from predicted noise to the next picture",
        json_schema_extra=_CHOICES,
    )
    eta: float = Field(
        0.0, ge=0, le=1, allow_inf_nan=False, description="noise that DDIM adds; of DDIM only"
    )
    preview_every: int = Field(0, ge=0, le=1000, description="0: no previews")
    trajectory: bool = Field(False, description="keep what was predicted at each step")

    def for_image(self, k: int) -> Self:
        own = (self.labels[k % len(self.labels)],) if self.labels else ()
        return super().for_image(k).model_copy(update={"labels": own})

    @property
    def target_classes(self) -> tuple[int, ...]:
        """The class of each image: ``labels`` in turn, or without labels all ten by the seed."""
        if self.labels:
            return tuple(self.labels[k % len(self.labels)] for k in range(self.count))
        return tuple(self.seed_of(k) % 10 for k in range(self.count))

    @property
    def guided(self) -> bool:
        """Whether guidance moves the prediction: at a scale of 0 none does.

        Nor does classifier-free guidance at 1, where it gives the conditional prediction itself.
        """
        if self.guidance == "classifier-free":
            return self.guidance_scale not in (0, 1)
        return self.guidance == "classifier" and self.guidance_scale != 0

    @property
    def predictions(self) -> tuple[str, ...]:
        """What the UNet predicts at each step: "uncond", "cond" or both, one row an image each.

        A trajectory under classifier-free guidance shows both, whether or not they are combined.
        """
        if self.guidance == "classifier-free":
            if self.guided or self.trajectory:
                return ("uncond", "cond")
            if self.guidance_scale == 1:
                return ("cond",)
        return ("uncond",)

    @property
    def calls_per_step(self) -> int:
        return len(self.predictions)

    @property
    def as_trained(self) -> bool:
        return (self.guidance, self.eta, self.to_seed) == ("classifier-free", 0, None)


GREYS = f"the {SIDE} x {SIDE} grey values of a picture, a byte each, as base64"


class DenoiseRequest(PixelDiffusionRequest):
    """A given picture, noised to about ``start_timestep`` and denoised from there.

    That is img2img (SDEdit, Meng et al. 2022, arXiv:2108.01073). Picture k begins with the noise of
    its own seed, at the latest of the chosen timesteps that is not above ``start_timestep``.
    """

    picture: str = Field(json_schema_extra={"allowed": GREYS})
    start_timestep: int = Field(500, ge=0, le=999, description="the timestep to begin at")

    @field_validator("picture")
    @classmethod
    def _check(cls, picture: str) -> str:
        try:
            greys = base64.b64decode(picture, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError(GREYS) from None
        if len(greys) != SIDE * SIDE:
            raise ValueError(GREYS)
        return picture

    @property
    def clean(self) -> np.ndarray:
        """The picture, uint8 (28, 28)."""
        return np.frombuffer(base64.b64decode(self.picture), np.uint8).reshape(SIDE, SIDE)

    @property
    def as_trained(self) -> bool:
        return False


def written(picture: np.ndarray) -> str:
    """A uint8 (28, 28) picture as a ``DenoiseRequest`` has it."""
    return base64.b64encode(np.ascontiguousarray(picture, np.uint8).tobytes()).decode()
