"""What a GAN can be asked for. No torch."""

from __future__ import annotations

from pydantic import Field

from genlab.families.conditional import LABEL
from genlab.families.walk import WalkRequest


class GANRequest(WalkRequest):
    """Run the generator as it was at training step ``snapshot``; None is the finished one."""

    snapshot: int | None = Field(
        None, ge=0, le=10**9, description="a training step of a GAN that kept a snapshot of it"
    )

    label: int | None = Field(None, ge=0, le=999, description=LABEL)

    @property
    def as_trained(self) -> bool:
        return self.snapshot is None and self.label is None and self.to_seed is None
