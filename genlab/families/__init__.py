"""The model families, one file each; a new one is a file and a line in FAMILIES."""

from genlab.families.base import BrokenCheckpoint, Family, Outcome
from genlab.families.classifier import ClassifierFamily
from genlab.families.gan import GANFamily
from genlab.families.noisy_classifier import NoisyClassifierFamily
from genlab.families.pixel_diffusion import PixelDiffusionFamily
from genlab.families.stable_diffusion import StableDiffusionFamily
from genlab.families.text_to_image import TextToImageFamily
from genlab.families.toybox_judge import ToyboxJudgeFamily
from genlab.families.vae import VAEFamily

FAMILIES: dict[str, type[Family]] = {
    family.name: family
    for family in (
        VAEFamily,
        GANFamily,
        StableDiffusionFamily,
        TextToImageFamily,
        PixelDiffusionFamily,
        ClassifierFamily,
        NoisyClassifierFamily,
        ToyboxJudgeFamily,
    )
}

__all__ = ["FAMILIES", "BrokenCheckpoint", "Family", "Outcome"]
