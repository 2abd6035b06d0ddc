"""Bad values give one plain sentence that names the value and the allowed range."""

from __future__ import annotations

import numpy as np
import pytest

from genlab.requests import (
    ClassifyRequest,
    GANRequest,
    StableDiffusionRequest,
    UserError,
    VAERequest,
    ask,
)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"num_inference_steps": 0}, "num_inference_steps is 0, but must be a whole number from 1 to 100."),
        ({"num_inference_steps": -3}, "num_inference_steps is -3, but must be a whole number from 1 to 100."),
        ({"num_inference_steps": 1e9}, "num_inference_steps is 1000000000.0, but must be a whole number"),
        ({"num_inference_steps": float("nan")}, "num_inference_steps is nan, but must be"),
        ({"num_inference_steps": "many"}, "num_inference_steps is 'many', but must be"),
        ({"num_inference_steps": 2.5}, "num_inference_steps is 2.5, but must be a whole number"),
        ({"num_inference_steps": None}, "num_inference_steps is None, but must be"),
        ({"guidance_scale": float("nan")}, "guidance_scale is nan, but must be a number from 0 to 20."),
        ({"guidance_scale": float("inf")}, "guidance_scale is inf, but must be a number from 0 to 20."),
        ({"guidance_scale": -1}, "guidance_scale is -1, but must be a number from 0 to 20."),
        ({"seed": -1}, "seed is -1, but must be a whole number from 0 to 4294967295."),
        ({"seed": 2**70}, "seed is 1180591620717411303424, but must be a whole number"),
        ({"seed": "abc"}, "seed is 'abc', but must be a whole number from 0 to 4294967295."),
        ({"count": 17}, "count is 17, but must be a whole number from 1 to 16."),
        ({"prompt": "x" * 10_000}, "prompt is 10000 characters long, but may have at most 1000."),
        ({"scheduler": "fast"}, "scheduler is 'fast', but must be one of ddim, euler, euler-ancestral"),
        ({"colour": "red"}, "StableDiffusionRequest has no setting called colour."),
    ],
)  # fmt: skip
def test_a_bad_value_gets_one_sentence(values, sentence):
    with pytest.raises(UserError) as caught:
        ask(StableDiffusionRequest, checkpoint="toybox", **values)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


def test_a_missing_checkpoint_is_named():
    with pytest.raises(UserError, match="checkpoint is missing"):
        ask(VAERequest)


def test_a_number_from_a_web_form_may_be_a_float_or_text():
    request = ask(VAERequest, checkpoint="v", seed=7.0, count="3")
    assert (request.seed, request.count) == (7, 3)


def test_requests_are_frozen():
    request = ask(VAERequest, checkpoint="v")
    with pytest.raises(ValueError, match="frozen"):
        request.seed = 3


def test_pictures_of_the_wrong_kind_are_refused():
    with pytest.raises(UserError, match="images is an array of float32 with shape"):
        ask(ClassifyRequest, checkpoint="c", images=np.zeros((2, 28, 28), np.float32))


def test_only_guided_jobs_pay_for_two_rows():
    free = ask(StableDiffusionRequest, checkpoint="t", guidance_scale=1, count=3)
    guided = ask(StableDiffusionRequest, checkpoint="t", guidance_scale=1.5, count=3)
    assert (free.rows, guided.rows) == (3, 6)


def test_snapshots_are_different_networks_and_share_no_call():
    early = ask(GANRequest, checkpoint="g", snapshot=100)
    late = ask(GANRequest, checkpoint="g")
    assert early.batch_key != late.batch_key
