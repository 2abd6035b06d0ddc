"""What a text-to-image model can be asked for. No torch."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator

from genlab.diffusion.schedulers import scheduler_names
from genlab.images import PICTURE_FILE, open_picture
from genlab.requests import SampleRequest, one_of

_PICTURE: Any = {"allowed": f"{PICTURE_FILE}, as base64", "picture_file": True}
_CHOICES: Any = {"choices": scheduler_names}  # pydantic would have JSON here; see `one_of`


class StableDiffusionRequest(SampleRequest):
    """Text to image with classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598).

    As in diffusers, guidance runs at a scale above 1; at 1 and less, 0 included, the model
    predicts once, with the prompt.

    With a ``picture`` it is image to image (SDEdit, Meng et al. 2022, arXiv:2108.01073): the
    picture is noised and denoised over the last ``strength`` of the steps. With a ``mask`` too it
    is inpainting (Lugmayr et al. 2022, arXiv:2201.09865, without its resampling): after each step
    what is dark in the mask is the picture again, noised as far. Both as diffusers' own pipelines.
    """

    prompt: str = Field("", max_length=1000, description="what the picture should show")
    negative_prompt: str = Field(
        "", max_length=1000, description="what guidance should lead away from"
    )
    num_inference_steps: int = Field(25, ge=1, le=100, description="denoising steps")
    guidance_scale: float = Field(
        4.0, ge=0, le=20, allow_inf_nan=False, description="strength of guidance"
    )
    scheduler: Annotated[str, one_of(scheduler_names)] = Field(
        "dpmpp-2m",
        description="the rule from predicted noise to the next, cleaner picture",
        json_schema_extra=_CHOICES,
    )
    lora: str = Field("", max_length=200, description="name of a LoRA to add; empty: none")
    lora_scale: float = Field(
        1.0, ge=0, le=2, allow_inf_nan=False, description="strength of the LoRA"
    )
    count: int = Field(4, ge=1, le=16, description="how many images")
    preview_every: int = Field(0, ge=0, le=100, description="0: no previews")
    trajectory: bool = Field(
        False, description="keep what was predicted at each step, of picture 0"
    )

    picture: str = Field(
        "",
        description="what to begin with instead of noise",
        json_schema_extra=_PICTURE,
    )
    mask: str = Field(
        "",
        description="light where the picture is to be drawn anew, dark where it is to stay",
        json_schema_extra=_PICTURE,
    )
    strength: float = Field(
        0.6, ge=0.01, le=1, allow_inf_nan=False,
        description="with a picture: the share of the steps, the last ones, that are taken",
    )  # fmt: skip

    @field_validator("picture", "mask")
    @classmethod
    def _check_picture(cls, written: str) -> str:
        if written:
            open_picture(written)
        return written

    @property
    def as_trained(self) -> bool:
        return False  # the card's FID is for many prompts, not for one

    @property
    def steps_taken(self) -> int:
        """How many of ``num_inference_steps`` are taken, the last ones: all from noise."""
        if not self.picture:
            return self.num_inference_steps
        return min(int(self.num_inference_steps * self.strength), self.num_inference_steps)

    @property
    def guided(self) -> bool:
        """Whether classifier-free guidance runs: at a scale of 1 or less it adds nothing."""
        return self.guidance_scale > 1

    @property
    def calls_per_step(self) -> int:
        return 2 if self.guided else 1
