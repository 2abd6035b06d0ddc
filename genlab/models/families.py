"""The model families, one folder each; a new one is a folder and a line here. Needs no torch."""

from __future__ import annotations

from genlab.families import (
    classifier,
    gan,
    noisy_classifier,
    pixel_diffusion,
    stable_diffusion,
    text_to_image,
    vae,
)
from genlab.families.description import FamilyDescription
from genlab.toybox import judge

FAMILIES: dict[str, FamilyDescription] = {
    module.FAMILY.name: module.FAMILY
    for module in (
        vae,
        gan,
        stable_diffusion,
        text_to_image,
        pixel_diffusion,
        classifier,
        noisy_classifier,
        judge,
    )
}
"""What is known of each family without torch, by the name that a model card gives it."""
