"""The model families, one folder each; a new one is a folder and a line here. Needs no torch."""

from __future__ import annotations

from genlab.families import (
    classifier,
    gan,
    live_training,
    noisy_classifier,
    pixel_diffusion,
    stable_diffusion,
    text_to_image,
    vae,
)
from genlab.families.description import FamilyDescription
from genlab.formats.metadata import ModelMetadata
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
        live_training,
    )
}
"""What is known of each family without torch, by the name that a model card gives it."""

BUILT_IN: dict[str, ModelMetadata] = {
    family.built_in.name: family.built_in
    for family in FAMILIES.values()
    if family.built_in is not None
}
"""Models that are part of GenLab, by name."""
