"""What a person can ask for: one frozen, validated model each. Knows no torch and no page."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypeVar, get_args

import numpy as np
from annotated_types import Ge, Le, MaxLen
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails

MAX_SEED = 2**32 - 1
"""The largest seed; image k of a request uses ``seed + k``, and 0 comes after the largest."""

SchedulerName = Literal["ddim", "euler", "euler-ancestral", "dpmpp-2m", "pndm", "ddpm"]
SCHEDULERS: tuple[str, ...] = get_args(SchedulerName)
PixelSchedulerName = Literal["ddim", "ddpm", "dpmpp-2m", "euler"]
PIXEL_SCHEDULERS: tuple[str, ...] = get_args(PixelSchedulerName)
GuidanceName = Literal["none", "classifier-free", "classifier"]
GUIDANCES: tuple[str, ...] = get_args(GuidanceName)
FILM_FRAMES = 50
"""Most steps that a film keeps; a longer run's are evenly spaced."""


PICTURES = "from 1 to 10000 pictures, uint8 (N, H, W) or (N, H, W, 3)"


class UserError(Exception):
    """Something a person can mend; its text is one plain sentence, shown as it is."""


class Request(BaseModel):
    """What every request has: the checkpoint that serves it."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    checkpoint: str = Field(max_length=200, description="name of a checkpoint folder")

    @property
    def batch_key(self) -> tuple[str, ...]:
        """Requests with equal keys may share one network call."""
        return (type(self).__name__, self.checkpoint)

    @property
    def rows(self) -> int:
        """How many rows this request adds to a network call."""
        raise NotImplementedError


class SampleRequest(Request):
    """New images from noise; image k is drawn from its own generator, seeded ``seed + k``."""

    seed: int = Field(0, ge=0, le=MAX_SEED)
    count: int = Field(16, ge=1, le=64)

    @property
    def rows(self) -> int:
        return self.count

    @property
    def as_trained(self) -> bool:
        """Whether this draws from the finished model as `evaluate` measured it."""
        return True

    def alone(self, k: int) -> Self:
        """The request for picture k of this one alone: its own seed, count 1."""
        return self.model_copy(update={"seed": (self.seed + k) % (MAX_SEED + 1), "count": 1})


class VAERequest(SampleRequest):
    """Decode ``temperature * z`` with z ~ N(0, I)."""

    temperature: float = Field(1.0, ge=0, le=3, allow_inf_nan=False)

    @property
    def as_trained(self) -> bool:
        return self.temperature == 1


class GANRequest(SampleRequest):
    """Run the generator as it was at training step ``snapshot``; None is the finished one."""

    snapshot: int | None = Field(None, ge=0, le=10**9)

    @property
    def batch_key(self) -> tuple[str, ...]:
        return (*super().batch_key, str(self.snapshot))

    @property
    def as_trained(self) -> bool:
        return self.snapshot is None


class StableDiffusionRequest(SampleRequest):
    """Text to image with classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598)."""

    prompt: str = Field("", max_length=1000)
    negative_prompt: str = Field("", max_length=1000)
    num_inference_steps: int = Field(25, ge=1, le=100)
    guidance_scale: float = Field(4.0, ge=0, le=20, allow_inf_nan=False)
    scheduler: SchedulerName = "dpmpp-2m"
    count: int = Field(4, ge=1, le=16)
    preview_every: int = Field(0, ge=0, le=100, description="0: no previews")
    film: bool = Field(False, description="keep what was predicted at each step, of picture 0")

    @property
    def as_trained(self) -> bool:
        return False  # the card's FID is for many prompts, not for one

    @property
    def guided(self) -> bool:
        """Whether classifier-free guidance runs: at a scale of 1 or less it adds nothing."""
        return self.guidance_scale > 1

    @property
    def rows(self) -> int:
        return 2 * self.count if self.guided else self.count


class PixelDiffusionRequest(SampleRequest):
    """Digits or garments from noise by a DDPM in pixel space, under one kind of guidance.

    ``none`` draws from the unconditional model; guidance leads image k to the class ``wished[k]``.
    """

    labels: tuple[Annotated[int, Field(ge=0, le=9)], ...] = Field(
        (),
        max_length=64,
        json_schema_extra={"allowed": "at most 64 classes, each a whole number from 0 to 9"},
    )
    guidance: GuidanceName = "classifier-free"
    guidance_scale: float = Field(2.0, ge=0, le=50, allow_inf_nan=False)
    classifier: str | None = Field(
        None, max_length=200, description="None: the one that the model's card names"
    )
    num_inference_steps: int = Field(50, ge=1, le=1000)
    scheduler: PixelSchedulerName = "ddim"
    eta: float = Field(0.0, ge=0, le=1, allow_inf_nan=False, description="of DDIM only")
    preview_every: int = Field(0, ge=0, le=1000, description="0: no previews")
    film: bool = Field(False, description="keep what was predicted at each step")

    @property
    def batch_key(self) -> tuple[str, ...]:
        return (*super().batch_key, self.classifier or "")

    @property
    def rows(self) -> int:
        return 2 * self.count if self.two_predictions else self.count

    def alone(self, k: int) -> Self:
        own = (self.labels[k % len(self.labels)],) if self.labels else ()
        return super().alone(k).model_copy(update={"labels": own})

    @property
    def wished(self) -> tuple[int, ...]:
        """The class of each image: ``labels`` in turn, or without labels all ten by the seed."""
        if self.labels:
            return tuple(self.labels[k % len(self.labels)] for k in range(self.count))
        return tuple((self.seed + k) % 10 for k in range(self.count))

    @property
    def two_predictions(self) -> bool:
        """Whether a step needs eps_u and eps_c: classifier-free guidance at any scale but 0, 1."""
        return self.guidance == "classifier-free" and (
            self.film or self.guidance_scale not in (0.0, 1.0)
        )

    @property
    def as_trained(self) -> bool:
        return False  # the card's FID is for one kind of guidance and one scale


class ImagesRequest(Request):
    """A network run over given pictures, uint8 (N, H, W) or (N, H, W, 3)."""

    images: np.ndarray = Field(json_schema_extra={"allowed": PICTURES})

    @field_validator("images")
    @classmethod
    def _check(cls, images: np.ndarray) -> np.ndarray:
        if images.dtype != np.uint8 or images.ndim not in (3, 4) or not 1 <= len(images) <= 10_000:
            raise ValueError(PICTURES)
        return images

    @property
    def rows(self) -> int:
        return len(self.images)


class ReconstructRequest(ImagesRequest):
    """Encode pictures to q(z | x) = N(mu, exp(logvar)) and decode mu."""


class ClassifyRequest(ImagesRequest):
    """Class probabilities and penultimate features of pictures."""


class ReadRequest(ImagesRequest):
    """Which nouns, colours and background pictures of one or of two Toybox objects show."""

    objects: int = Field(1, ge=1, le=2)

    @property
    def batch_key(self) -> tuple[str, ...]:
        return (*super().batch_key, str(self.objects))


class NoisyClassifyRequest(ImagesRequest):
    """Class probabilities of pictures noised up to ``timestep``; noise k is of ``seed + k``."""

    timestep: int = Field(0, ge=0, le=999)
    seed: int = Field(0, ge=0, le=MAX_SEED)

    @property
    def count(self) -> int:
        return len(self.images)


SAMPLE_REQUESTS: dict[str, type[SampleRequest]] = {
    kind.__name__: kind
    for kind in (VAERequest, GANRequest, StableDiffusionRequest, PixelDiffusionRequest)
}
"""The requests whose pictures follow from their fields alone, by name."""

R = TypeVar("R", bound=BaseModel)


def ask(kind: type[R], **values: Any) -> R:
    """Build a request, or raise UserError naming the first wrong value and what is allowed."""
    try:
        return kind(**values)
    except ValidationError as error:
        raise UserError(explain(kind, error.errors()[0])) from None


def explain(kind: type[BaseModel], error: ErrorDetails) -> str:
    """One plain sentence for a pydantic error: the value and the allowed range."""
    name = str(error["loc"][0]) if error["loc"] else "request"
    value = error.get("input")
    field = kind.model_fields.get(name)
    if field is None:
        return f"{kind.__name__} has no setting called {name}."
    if error["type"] == "missing":
        return f"{name} is missing."
    longest = next((m.max_length for m in field.metadata if isinstance(m, MaxLen)), None)
    if isinstance(value, str) and longest is not None and not field.json_schema_extra:
        return f"{name} is {len(value)} characters long, but may have at most {longest}."
    return f"{name} is {_shown(value)}, but must be {_allowed(field)}."


def _shown(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} with shape {value.shape}"
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _allowed(field: Any) -> str:
    if field.json_schema_extra:
        return str(field.json_schema_extra["allowed"])
    choices = get_args(field.annotation)
    if choices and all(isinstance(c, str) for c in choices):
        return "one of " + ", ".join(choices)
    low = next((m.ge for m in field.metadata if isinstance(m, Ge)), None)
    high = next((m.le for m in field.metadata if isinstance(m, Le)), None)
    kind = "a number" if field.annotation is float else "a whole number"
    if low is not None and high is not None:
        return f"{kind} from {low} to {high}"
    return "text"
