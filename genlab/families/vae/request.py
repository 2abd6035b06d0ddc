"""What a VAE can be asked for. No torch."""

from __future__ import annotations

from pydantic import Field

from genlab.families.conditional import LABEL
from genlab.families.walk import WalkRequest
from genlab.requests import ImagesRequest


class VAERequest(WalkRequest):
    """Decode ``temperature * z`` with z ~ N(0, I)."""

    temperature: float = Field(
        1.0, ge=0, le=3, allow_inf_nan=False, description="scale of a VAE's z"
    )
    label: int | None = Field(None, ge=0, le=999, description=LABEL)

    @property
    def as_trained(self) -> bool:
        return (self.temperature, self.label, self.to_seed) == (1, None, None)


class ReconstructRequest(ImagesRequest):
    """Encode pictures to q(z | x) = N(mu, exp(logvar)) and decode mu."""

    judge: bool = Field(
        False, exclude=True, description="measure the pictures: the result carries figures"
    )
