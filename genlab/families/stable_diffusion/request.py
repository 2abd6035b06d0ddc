"""What a text-to-image model can be asked for. No torch."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from genlab.diffusion.schedulers import scheduler_names
from genlab.requests import SampleRequest, one_of

_CHOICES: Any = {"choices": scheduler_names}  # pydantic would have JSON here; see `one_of`


class StableDiffusionRequest(SampleRequest):
    """Text to image with classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598).

    As in diffusers, guidance runs at a scale above 1; at 1 and less, 0 included, the model
    predicts once, with the prompt.
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

    @property
    def as_trained(self) -> bool:
        return False  # the card's FID is for many prompts, not for one

    @property
    def guided(self) -> bool:
        """Whether classifier-free guidance runs: at a scale of 1 or less it adds nothing."""
        return self.guidance_scale > 1

    @property
    def calls_per_step(self) -> int:
        return 2 if self.guided else 1
