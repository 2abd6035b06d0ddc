"""The model families, one file each; a new one is a file and a line in FAMILIES."""

from genlab.engine.runner import BrokenCheckpoint, Family, Outcome
from genlab.families.classifier.runner import ClassifierFamily
from genlab.families.gan.runner import GANFamily
from genlab.families.noisy_classifier.runner import NoisyClassifierFamily
from genlab.families.pixel_diffusion.runner import PixelDiffusionFamily
from genlab.families.stable_diffusion.runner import StableDiffusionFamily
from genlab.families.text_to_image.runner import TextToImageFamily
from genlab.families.vae.runner import VAEFamily
from genlab.toybox.judge.runner import ToyboxJudgeFamily

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
