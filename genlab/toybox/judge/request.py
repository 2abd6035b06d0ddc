"""What Toybox's judge can be asked. No torch."""

from __future__ import annotations

from pydantic import Field

from genlab.requests import ImagesRequest


class ReadRequest(ImagesRequest):
    """Which nouns, colours and background pictures of one or of two Toybox objects show."""

    objects: int = Field(1, ge=1, le=2)
