"""Requests for pictures of given codes, for every family that draws from a z. No torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field, field_validator

from genlab.families.conditional import LABEL, check_label
from genlab.formats.metadata import ModelMetadata
from genlab.requests import Request, UserError

MAX_CODES = 1024
CODES = f"from 1 to {MAX_CODES} codes of equally many finite numbers"


class DecodeRequest(Request):
    """The pictures of given codes: row k of ``z``, float32 (N, latent_dim), becomes picture k."""

    z: np.ndarray = Field(json_schema_extra={"allowed": CODES})
    label: int | None = Field(None, ge=0, le=999, description=LABEL)

    @field_validator("z", mode="before")
    @classmethod
    def _check(cls, z: Any) -> np.ndarray:
        try:
            with np.errstate(over="ignore"):
                codes = np.asarray(z, dtype=np.float32)
        except (ValueError, TypeError, OverflowError):
            raise ValueError(CODES) from None
        if codes.ndim != 2 or not 1 <= len(codes) <= MAX_CODES or not codes.size:
            raise ValueError(CODES)
        if not np.isfinite(codes).all():
            raise ValueError(CODES)
        return codes

    @property
    def count(self) -> int:
        return len(self.z)

    def seed_of(self, k: int) -> int:
        """Of the class of picture k, if ``label`` names none: all in turn."""
        return k


def check_codes(request: DecodeRequest, metadata: ModelMetadata) -> None:
    """Raise UserError for codes of another length than a model's, or a class that it has not."""
    check_label(request.label, metadata)
    wanted, given = metadata.facts.get("latent_dim"), request.z.shape[1]
    if wanted is not None and given != wanted:
        raise UserError(f"z has {given} numbers a code, but {metadata.title} takes {wanted}.")
