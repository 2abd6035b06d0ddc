"""What a classifier can be asked. No torch."""

from __future__ import annotations

from pydantic import Field

from genlab.requests import ImagesRequest


class ClassifyRequest(ImagesRequest):
    """Class probabilities and penultimate features of pictures."""

    judge: bool = Field(
        False, exclude=True, description="measure the pictures: the result carries figures"
    )
