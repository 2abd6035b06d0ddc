"""The guide's questions: what each draws, which experiments it runs, which code it shows. No words.

The words are in ``<language>.toml``, under the same keys and in the same order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from genlab.families.gan.request import GANRequest
from genlab.families.pixel_diffusion.request import PixelDiffusionRequest
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.families.vae.request import VAERequest
from genlab.requests import SampleRequest, parse_request
from genlab.ui.tabs.guide.source import Excerpt

RED_SEVEN = "a red 7 on a blue background"


@dataclass(frozen=True)
class Experiment:
    """What one button sets and starts, in the names of the page's address.

    Attributes:
        values: of controls; the others of that tab and mode get their defaults.
    """

    tab: str
    mode: str = ""
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def query(self) -> str:
        """The address that leads there and runs it."""
        mode = {"mode": self.mode} if self.mode else {}
        return "?" + urlencode({"tab": self.tab, **mode, **self.values, "run": "1"})


def grid_against_seeds(setting: str, values: str) -> dict[str, str]:
    """The controls of Stable Diffusion's grid, for one setting against five seeds."""
    columns = {"grid-columns": setting, "grid-columns-values": values}
    return columns | {"grid-rows": "seed", "grid-rows-values": "1, 2, 3, 4, 5"}


@dataclass(frozen=True)
class GuideStep:
    """One question.

    Attributes:
        key: of its words.
        right: the choice, counted from 0, that comes true.
        pictures: a row each, over the question.
        experiments: the first is the one of the button.
        excerpts: the code that does it.
    """

    key: str
    right: int
    pictures: tuple[SampleRequest, ...]
    experiments: tuple[Experiment, ...]
    excerpts: tuple[Excerpt, ...]


VAE_NETWORK = "genlab.families.vae.network"
VAE_TRAIN = "genlab.families.vae.train"
GAN_TRAIN = "genlab.families.gan.train"
DIFFUSION_TRAIN = "genlab.families.pixel_diffusion.train"
GUIDANCE = "genlab.diffusion.guidance"
SCHEDULERS = "genlab.diffusion.schedulers"

VAE = parse_request(VAERequest, checkpoint="vae-mnist-20d", seed=42, count=8)
GAN = parse_request(GANRequest, checkpoint="dcgan-mnist", seed=42, count=8)
DIGITS = parse_request(
    PixelDiffusionRequest, checkpoint="ddpm-mnist", seed=42, count=8, labels=tuple(range(8)),
    guidance="classifier-free", guidance_scale=1.5, num_inference_steps=50,
)  # fmt: skip
UNGUIDED = parse_request(
    PixelDiffusionRequest, checkpoint="ddpm-mnist", seed=42, count=8, num_inference_steps=50
)
SEVENS = parse_request(
    StableDiffusionRequest, checkpoint="stable-diffusion-toybox", prompt=RED_SEVEN, seed=1, count=8,
    guidance_scale=1, num_inference_steps=25, scheduler="dpmpp-2m",
)  # fmt: skip

STEPS = (
    GuideStep(
        "blur",
        1,
        (VAE,),
        (
            Experiment(
                "vae", "sample", {"checkpoint": "vae-mnist-20d", "beside": "vae-mnist-2d"}
            ),
        ),
        (
            Excerpt(VAE_NETWORK, "ConvVAE.decode"),
            Excerpt(VAE_TRAIN, "elbo_terms", "reconstruction =", "reconstruction ="),
        ),
    ),
    GuideStep(
        "kl",
        2,
        (VAE,),
        (
            Experiment("vae", "sample"),
            Experiment("vae", "reconstruct"),
            Experiment("vae", "codes"),
        ),
        (
            Excerpt(VAE_TRAIN, "elbo_terms"),
            Excerpt(VAE_TRAIN, "train_vae", "reconstruction, kl", "loss = "),
        ),
    ),
    GuideStep(
        "sharp",
        2,
        (VAE, GAN),
        (Experiment("compare", "", {"columns": "vae,gan,real"}),),
        (
            Excerpt(GAN_TRAIN, "train_gan", "d_loss = (", ")"),
            Excerpt(GAN_TRAIN, "train_gan", "g_loss =", "g_loss ="),
        ),
    ),
    GuideStep(
        "collapse",
        0,
        (GAN,),
        (
            Experiment("gan"),
            Experiment(
                "gan", "",
                {"checkpoint": "dcgan-mnist-collapsed", "beside": "dcgan-mnist", "timeline": "6"},
            ),
            Experiment("train", "", {"subject": "points-gan", "generator-updates": "8"}),
        ),
        (
            Excerpt(GAN_TRAIN, "train_gan", "for update in", "g_optimizer.step()"),
        ),
    ),
    GuideStep(
        "steps",
        1,
        (DIGITS,),
        (
            Experiment("guidance", "steps", {"digits": ""}),
            Experiment("guidance", "film"),
            Experiment(
                "stable-diffusion", "grid",
                grid_against_seeds("num_inference_steps", "1, 2, 5, 10, 25"),
            ),
            Experiment("stable-diffusion", "few-steps"),
        ),
        (
            Excerpt(DIFFUSION_TRAIN, "train_pixel_diffusion", "# 3. forward", "loss ="),
            Excerpt(SCHEDULERS, "predicted_clean", "alphabar =", "clean = (x_t"),
            Excerpt(
                "genlab.families.pixel_diffusion.runner",
                "PixelDiffusionRunner.advance",
                "noise_pred, t =",
            ),
        ),
    ),
    GuideStep(
        "scale",
        2,
        (SEVENS,),
        (
            Experiment(
                "stable-diffusion", "grid",
                grid_against_seeds("guidance_scale", "1, 2, 4, 8, 15"),
            ),
            Experiment("guidance", "scale"),
            Experiment("stable-diffusion", "what-cfg-does"),
        ),
        (Excerpt(GUIDANCE, "classifier_free"),),
    ),
    GuideStep(
        "guidance",
        3,
        (UNGUIDED,),
        (
            Experiment("guidance", "side", {"digits": "3 1 4 1 5"}),
            Experiment("guidance", "film"),
        ),
        (
            Excerpt(GUIDANCE, "classifier"),
            Excerpt(GUIDANCE, "class_gradient"),
            Excerpt(GUIDANCE, "classifier_free"),
        ),
    ),
    GuideStep(
        "training",
        2,
        (GAN.model_copy(update={"snapshot": 0}), GAN),
        (
            Experiment("train", "", {"subject": "mlp-vae", "latent-dim": "20"}),
            Experiment("train", "", {"subject": "points-gan"}),
            Experiment("gan", "", {"timeline": "2"}),
        ),
        (
            Excerpt(VAE_TRAIN, "train_vae", "for step in", "trainer.log", six_steps=True),
            Excerpt(GAN_TRAIN, "train_gan", "# 1. data", "trainer.log", six_steps=True),
            Excerpt(
                DIFFUSION_TRAIN, "train_pixel_diffusion", "for step in", "trainer.log",
                six_steps=True,
            ),
        ),
    ),
)  # fmt: skip
