"""Pictures in words: settings, seeds and what the judge saw."""

from __future__ import annotations

import numpy as np

from genlab.families.pixel_diffusion.request import PixelDiffusionRequest
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.families.vae.request import ReconstructRequest, VAERequest
from genlab.requests import MAX_SEED, parse_request
from genlab.ui.components.alt_text import alt_texts, group_name, words_of
from genlab.ui.components.pictures import grid
from tests.fake_client import model


def test_a_group_is_called_by_its_settings() -> None:
    request = parse_request(
        StableDiffusionRequest, checkpoint="toybox", prompt="a red 7", guidance_scale=7.5, count=2
    )
    assert group_name("Toybox", request) == (
        "2 pictures by Toybox, prompt a red 7, num inference steps 25, guidance scale 7.5, "
        "scheduler dpmpp-2m"
    )
    zero = parse_request(VAERequest, checkpoint="vae", temperature=0, count=1)
    assert group_name("VAE", zero) == "1 picture by VAE, temperature 0", "0 says something"


def test_each_picture_says_its_seed_and_what_the_judge_saw() -> None:
    request = parse_request(VAERequest, checkpoint="vae", seed=MAX_SEED, count=2)
    assert alt_texts(request, {"read": ["7", "ankle boot"]}) == [
        f"picture 1 of 2, seed {MAX_SEED}: the judge sees 7",
        "picture 2 of 2, seed 0: the judge sees ankle boot",
    ]
    assert alt_texts(request, {})[1] == "picture 2 of 2, seed 0"


def test_what_one_picture_alone_was_asked_is_said_of_it() -> None:
    row = parse_request(PixelDiffusionRequest, checkpoint="ddpm", labels=(3, 1), count=2, seed=5)
    first, second = alt_texts(row, {})
    assert first == "picture 1 of 2, seed 5, labels 3"
    assert second == "picture 2 of 2, seed 6, labels 1"


def test_words_reach_the_page_as_text() -> None:
    request = parse_request(StableDiffusionRequest, checkpoint="toybox", prompt='"><b>', count=1)
    words = words_of(request, {"read": ["<i>"]}, model("toybox", "stable_diffusion"))
    shown = grid(np.zeros((1, 8, 8), np.uint8), **words)
    assert "<b>" not in shown
    assert "the judge sees &lt;i&gt;" in shown
    given = parse_request(
        ReconstructRequest, checkpoint="vae", images=np.zeros((1, 8, 8), np.uint8)
    )
    assert words_of(given, {}, model("vae", "vae")) == {}, "given pictures were not drawn"
