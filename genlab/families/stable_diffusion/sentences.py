"""What a person is told about a text-to-image request besides its pictures. Knows no network."""

from __future__ import annotations

from genlab.families.checks import broken_weights
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.formats.metadata import ModelMetadata
from genlab.requests import UserError


def no_use_of_guidance(metadata: ModelMetadata, request: StableDiffusionRequest) -> tuple[str, ...]:
    """A sentence if a model that was distilled to do without guidance was asked for it."""
    why = metadata.distilled
    return (f"{why} Here it was {request.guidance_scale:g}.",) if why and request.guided else ()


def not_finite(metadata: ModelMetadata, request: StableDiffusionRequest) -> UserError:
    """The error for pictures with NaN or infinite pixels: what is to blame, as far as is known.

    A scale above the usual one can be; else no setting is.
    """
    usual = StableDiffusionRequest.model_fields["guidance_scale"].default
    usual = max(usual, metadata.defaults.get("guidance_scale") or 0)
    if request.guided and request.guidance_scale > usual:
        return UserError("The numbers ran away at these settings; lower guidance_scale.")
    return broken_weights(metadata.name)
