"""Bad values give one plain sentence that names the value and the allowed range."""

from __future__ import annotations

import numpy as np
import pytest

from genlab.families.classifier.request import ClassifyRequest
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.families.vae.request import VAERequest
from genlab.formats.recognise.guesses import Corrections
from genlab.requests import UserError, parse_request

STEPS = "but must be a whole number from 1 to 100."
SCALE = "but must be a number from 0 to 20."
SEED = "but must be a whole number from 0 to 4294967295."


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"num_inference_steps": 0}, f"num_inference_steps is 0, {STEPS}"),
        ({"num_inference_steps": -3}, f"num_inference_steps is -3, {STEPS}"),
        ({"num_inference_steps": 1e9}, f"num_inference_steps is 1000000000.0, {STEPS}"),
        ({"num_inference_steps": float("nan")}, f"num_inference_steps is nan, {STEPS}"),
        ({"num_inference_steps": "many"}, f"num_inference_steps is 'many', {STEPS}"),
        ({"num_inference_steps": 2.5}, f"num_inference_steps is 2.5, {STEPS}"),
        ({"num_inference_steps": None}, f"num_inference_steps is empty, {STEPS}"),
        ({"guidance_scale": float("nan")}, f"guidance_scale is nan, {SCALE}"),
        ({"guidance_scale": float("inf")}, f"guidance_scale is inf, {SCALE}"),
        ({"guidance_scale": -1}, f"guidance_scale is -1, {SCALE}"),
        ({"seed": -1}, f"seed is -1, {SEED}"),
        ({"seed": 2**70}, f"seed is 1180591620717411303424, {SEED}"),
        ({"seed": "abc"}, f"seed is 'abc', {SEED}"),
        ({"count": 17}, "count is 17, but must be a whole number from 1 to 16."),
        ({"prompt": "x" * 10_000}, "prompt is 10000 characters long, but may have at most 1000."),
        ({"prompt": "\udcff"}, "prompt is '\\udcff', which holds a character that no text can"),
        ({"scheduler": "fast"}, "scheduler is 'fast', but must be one of ddim, euler,"),
        ({"colour": "red"}, "StableDiffusionRequest has no setting called colour."),
    ],
)  # fmt: skip
def test_a_bad_value_gets_one_sentence(values, sentence):
    with pytest.raises(UserError) as caught:
        parse_request(StableDiffusionRequest, checkpoint="toybox", **values)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"hidden": "swish"}, "hidden is 'swish', but must be one of relu, leaky_relu, elu, gelu,"),
        ({"eps": 0}, "eps is 0, but must be a number above 0 and at most 1."),
        ({"slope": 2}, "slope is 2, but must be a number from 0 to 1."),
        ({"invert": "perhaps"}, "invert is 'perhaps', but must be true or false."),
        ({"size": 3}, "size is 3, but must be a whole number from 8 to 256."),
    ],
)  # fmt: skip
def test_what_may_be_left_out_is_told_with_its_values_too(values, sentence):
    with pytest.raises(UserError) as caught:
        parse_request(Corrections, **values)
    assert str(caught.value).startswith(sentence)


def test_a_missing_checkpoint_is_named():
    with pytest.raises(UserError, match="checkpoint is missing"):
        parse_request(VAERequest)


def test_a_number_from_a_web_form_may_be_a_float_or_text():
    request = parse_request(VAERequest, checkpoint="v", seed=7.0, count="3")
    assert (request.seed, request.count) == (7, 3)


def test_a_number_beyond_javascripts_is_told_as_it_was_typed():
    with pytest.raises(UserError, match="^seed is 9223372036854775808, but must be a whole"):
        parse_request(VAERequest, checkpoint="vae", seed="9223372036854775808")
    with pytest.raises(UserError, match="^seed is 'nine', but must be"):
        parse_request(VAERequest, checkpoint="vae", seed="nine")


def test_requests_are_frozen():
    request = parse_request(VAERequest, checkpoint="v")
    with pytest.raises(ValueError, match="frozen"):
        request.seed = 3


def test_pictures_of_the_wrong_kind_are_refused():
    with pytest.raises(UserError, match="images is an array of float32 with shape"):
        parse_request(ClassifyRequest, checkpoint="c", images=np.zeros((2, 28, 28), np.float32))


def test_the_request_of_one_picture_has_its_own_seed_and_is_not_judged():
    row = parse_request(VAERequest, checkpoint="v", seed=2**32 - 1, count=3, judge=True)
    alone = [row.for_image(k) for k in range(3)]
    assert [(one.seed, one.count, one.judge) for one in alone] == [
        (2**32 - 1, 1, False), (0, 1, False), (1, 1, False),
    ]  # fmt: skip


def test_whether_a_request_is_judged_is_not_part_of_how_its_picture_is_drawn():
    judged = parse_request(VAERequest, checkpoint="v", judge=True)
    assert "judge" not in judged.model_dump()
