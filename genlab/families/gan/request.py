"""What a GAN can be asked for. No torch."""

from __future__ import annotations

from pydantic import Field

from genlab.requests import SampleRequest


class GANRequest(SampleRequest):
    """Run the generator as it was at training step ``snapshot``; None is the finished one."""

    snapshot: int | None = Field(
        None, ge=0, le=10**9, description="a training step of a GAN that kept a snapshot of it"
    )

    @property
    def as_trained(self) -> bool:
        return self.snapshot is None
