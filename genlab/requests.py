"""What any request has, and how values become one: frozen, validated, one plain sentence per error.

Each family's own requests lie in `families/<family>/request.py`. Knows no torch and no page.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import NoneType
from typing import Any, Self, TypeVar, get_args

import numpy as np
from annotated_types import Ge, Gt, Le, MaxLen
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails

MAX_SEED = 2**32 - 1
"""The largest seed; image k of a request uses ``seed + k``, and 0 comes after the largest."""

PICTURES = "from 1 to 10000 pictures, uint8 (N, H, W) or (N, H, W, 3)"


class UserError(Exception):
    """Something a person can mend; its text is one plain sentence, shown as it is."""


class Request(BaseModel):
    """What every request has: the checkpoint that serves it. Plain data, so it can be pickled."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    checkpoint: str = Field(max_length=200, description="name of a checkpoint folder")


class SampleRequest(Request):
    """New images from noise; image k is drawn from its own generator, seeded ``seed + k``."""

    seed: int = Field(0, ge=0, le=MAX_SEED, description="image k is drawn from seed + k")
    count: int = Field(16, ge=1, le=64, description="how many images")
    judge: bool = Field(
        False, exclude=True, description="measure the pictures: the result carries figures"
    )

    @property
    def as_trained(self) -> bool:
        """Whether this draws from the finished model as `evaluate` measured it."""
        return True

    @property
    def calls_per_step(self) -> int:
        """How often a picture goes through the network at each of its steps."""
        return 1

    def for_image(self, k: int) -> Self:
        """The request for picture k of this one alone: its own seed, count 1."""
        seed = (self.seed + k) % (MAX_SEED + 1)
        return self.model_copy(update={"seed": seed, "count": 1, "judge": False})


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
    def count(self) -> int:
        return len(self.images)


R = TypeVar("R", bound=BaseModel)


def parse_request(kind: type[R], /, **values: Any) -> R:
    """Build a request, or raise UserError naming the first wrong value and what is allowed."""
    try:
        return kind(**values)
    except ValidationError as error:
        raise UserError(explain(kind, error.errors()[0])) from None


def one_of(choices: Callable[[], tuple[str, ...]]) -> AfterValidator:
    """A validator of names that come from a table: a new row of it is a new choice.

    The field needs ``json_schema_extra={"choices": choices}`` too, for its sentence.
    """

    def check(value: str) -> str:
        if value not in choices():
            raise ValueError(", ".join(choices()))
        return value

    return AfterValidator(check)


def explain(kind: type[BaseModel], error: ErrorDetails) -> str:
    """One plain sentence for a pydantic error: the value and the allowed range."""
    name = str(error["loc"][0]) if error["loc"] else "request"
    value = error.get("input")
    field = kind.model_fields.get(name)
    if field is None:
        return f"{kind.__name__} has no setting called {' '.join(name.split())[:60]}."
    if error["type"] == "missing":
        return f"{name} is missing."
    longest = next((m.max_length for m in field.metadata if isinstance(m, MaxLen)), None)
    if error["type"] == "string_unicode":
        return f"{name} is {_shown(value)}, which holds a character that no text can have."
    if isinstance(value, str) and longest is not None and not field.json_schema_extra:
        return f"{name} is {len(value)} characters long, but may have at most {longest}."
    return f"{name} is {_shown(value)}, but must be {allowed(field)}."


def allowed(field: Any) -> str:
    """The values that a request's field may have, in words: "a whole number from 0 to 9"."""
    extra = field.json_schema_extra or {}
    if "allowed" in extra:
        return str(extra["allowed"])
    kinds = get_args(field.annotation)
    held = kinds[0] if len(kinds) == 2 and kinds[1] is NoneType else field.annotation
    choices = extra["choices"]() if "choices" in extra else get_args(held)
    if choices and all(isinstance(c, str) for c in choices):
        return "one of " + ", ".join(choices)
    low, high = limits(field)
    kind = "a number" if held is float else "a whole number"
    if low is not None and high is not None:
        return f"{kind} from {low} to {high}"
    above = next((m.gt for m in field.metadata if isinstance(m, Gt)), None)
    if above is not None and high is not None:
        return f"{kind} above {above} and at most {high}"
    return "true or false" if held is bool else "text"


def limits(field: Any) -> tuple[Any, Any]:
    """The least and the largest value of a request's field; None where it has none."""
    low = next((m.ge for m in field.metadata if isinstance(m, Ge)), None)
    high = next((m.le for m in field.metadata if isinstance(m, Le)), None)
    return low, high


def _shown(value: Any) -> str:
    if value is None or (isinstance(value, str) and not value):
        return "empty"
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} with shape {value.shape}"
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]+", value):
        return value if len(value) <= 40 else value[:37] + "..."
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
