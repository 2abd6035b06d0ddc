"""What a classifier can be asked. No torch."""

from __future__ import annotations

from genlab.requests import ImagesRequest


class ClassifyRequest(ImagesRequest):
    """Class probabilities and penultimate features of pictures."""
