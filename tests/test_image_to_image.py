"""A picture to begin with gives what diffusers' image-to-image and inpainting pipelines give."""

from __future__ import annotations

import base64
import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoPipelineForImage2Image, AutoPipelineForInpainting
from PIL import Image

from genlab.diffusion.schedulers import make_scheduler, scheduler_names
from genlab.families.stable_diffusion import FAMILY
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.families.stable_diffusion.runner import StableDiffusionRunner
from genlab.families.stable_diffusion.start_picture import read_mask, read_square
from genlab.images import written_picture
from genlab.requests import UserError, parse_request
from tests.drive import drive, opened
from tests.test_families import described
from tests.tiny_pipelines import save_tiny_pipelines

SIDE = 16  # of the tiny pipelines' pictures; see ``runners``


def picture_of(side: int) -> np.ndarray:
    """A smooth picture with a bright square, uint8 (side, side, 3)."""
    y, x = np.mgrid[:side, :side] * 255 // side
    picture = np.stack([x, y, 255 - x], axis=-1).astype(np.uint8)
    picture[side // 4 : side // 2, side // 4 : side // 2] = 255
    return picture


def mask_of(side: int) -> np.ndarray:
    """Light on the left half."""
    mask = np.zeros((side, side), np.uint8)
    mask[:, : side // 2] = 255
    return mask


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("checkpoints")
    save_tiny_pipelines(root)
    return root


@pytest.fixture(scope="module")
def runners(root: Path) -> dict[str, StableDiffusionRunner]:
    return {name: opened(FAMILY, root / name) for name in ("tiny", "tiny-v", "tiny-xl")}


def request_for(runner: StableDiffusionRunner, masked: bool, **values: Any) -> Any:
    given = {
        "checkpoint": "tiny", "prompt": "a red seven", "negative_prompt": "a blue sneaker",
        "num_inference_steps": 7, "guidance_scale": 5.0, "seed": 11, "count": 1, "strength": 0.6,
        "picture": written_picture(picture_of(runner.pixels)),
    }  # fmt: skip
    if masked:
        given["mask"] = written_picture(mask_of(runner.pixels))
    return parse_request(StableDiffusionRequest, **(given | values))


@functools.cache
def stock_pipeline(folder: Path, kind: Any) -> Any:
    pipeline = kind.from_pretrained(folder, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def stock(root: Path, request: StableDiffusionRequest, side: int) -> np.ndarray:
    """What diffusers' own call gives for the request's picture 0, float (H, W, 3) in 0..1."""
    kind = AutoPipelineForInpainting if request.mask else AutoPipelineForImage2Image
    pipeline = stock_pipeline(root / request.checkpoint, kind)
    pipeline.scheduler = make_scheduler(request.scheduler, pipeline.scheduler.config)
    more = {"mask_image": Image.fromarray(mask_of(side)), "height": side, "width": side}
    output = pipeline(
        request.prompt,
        image=Image.fromarray(picture_of(side)),
        negative_prompt=request.negative_prompt or None,
        num_inference_steps=request.num_inference_steps,
        guidance_scale=request.guidance_scale,
        strength=request.strength,
        generator=torch.Generator().manual_seed(request.seed),
        output_type="np",
        **(more if request.mask else {}),
    )
    return np.asarray(output.images[0])


@pytest.mark.parametrize("masked", [False, True], ids=["image to image", "inpainting"])
@pytest.mark.parametrize("scheduler", scheduler_names())
def test_pictures_equal_the_stock_pipelines_with_every_scheduler(root, runners, scheduler, masked):
    runner = runners["tiny"]
    ours = request_for(runner, masked, scheduler=scheduler)
    plain = request_for(runner, False, picture="", seed=3, num_inference_steps=4)
    other = request_for(runner, not masked, seed=5, strength=0.3, scheduler="ddim")
    result = drive(runner, plain, ours, other)[1]
    expected = stock(root, ours, runner.pixels) * 255
    assert np.abs(result.images[0] - expected).max() <= 1


@pytest.mark.parametrize("masked", [False, True], ids=["image to image", "inpainting"])
@pytest.mark.parametrize(
    "values",
    [
        {"strength": 1.0},
        {"strength": 0.2},
        {"guidance_scale": 1.0},
        {"checkpoint": "tiny-v"},
        {"checkpoint": "tiny-xl"},
    ],
    ids=["all of it", "one step", "unguided", "v-prediction", "XL"],
)
def test_every_strength_and_kind_of_model_equals_stock(root, runners, values, masked):
    runner = runners[values.get("checkpoint", "tiny")]
    ours = request_for(runner, masked, **values)
    (result,) = drive(runner, ours)
    expected = stock(root, ours, runner.pixels) * 255
    assert np.abs(result.images[0] - expected).max() <= 1


def test_picture_k_is_reproducible_alone(runners):
    request = request_for(runners["tiny"], True, count=3)
    together, alone = drive(runners["tiny"], request, request.for_image(2))
    assert np.abs(together.images[2].astype(int) - alone.images[0]).max() <= 1
    assert np.abs(together.images[2].astype(int) - together.images[0]).max() > 5


def test_the_weaker_the_closer_to_the_picture(runners):
    runner = runners["tiny"]
    requests = [
        request_for(runner, False, num_inference_steps=20, strength=s) for s in (0.05, 0.5, 1)
    ]
    pictures = [result.images[0].astype(float) for result in drive(runner, *requests)]
    nothing = request_for(runner, False, num_inference_steps=20, strength=0.05, seed=2)
    ground = drive(runner, nothing)[0].images[0].astype(float)
    gaps = [np.abs(picture - ground).mean() for picture in pictures]
    assert gaps == sorted(gaps)


def test_a_film_of_a_picture_begins_where_its_steps_do(runners):
    request = request_for(runners["tiny"], False, trajectory=True, num_inference_steps=10)
    (result,) = drive(runners["tiny"], request)
    assert list(result.extras["trajectory_steps"]) == list(range(6))
    timesteps = list(result.extras["trajectory_timesteps"])
    assert timesteps == sorted(timesteps, reverse=True)
    assert timesteps[0] < 700  # the first of ten would be above 900


def test_a_picture_of_any_shape_is_cut_to_its_middle_square():
    tall = np.zeros((60, 30, 3), np.uint8)
    tall[15:45] = 200
    assert (read_square(written_picture(tall), SIDE) > 150).mean() > 0.9
    assert read_mask(written_picture(tall[..., 0]), SIDE).mean() > 0.9
    clear = np.zeros((9, 9, 4), np.uint8)
    assert (read_square(written_picture(clear), SIDE) == 255).all()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"picture": "no base64!"}, "picture is 'no base64!', but must be a PNG, JPEG or WebP"),
        ({"picture": base64.b64encode(b"GIF89a nothing").decode()}, "but must be a PNG, JPEG or"),
        ({"picture": written_picture(np.zeros((1, 5000), np.uint8))}, "at most 2048 x 2048 pixels"),
        ({"mask": "QUJD"}, "mask is 'QUJD', but must be a PNG"),
        ({"strength": 0}, "strength is 0, but must be a number from 0.01 to 1."),
        ({"strength": float("nan")}, "strength is nan, but must be a number from 0.01 to 1."),
    ],
)
def test_what_is_no_picture_or_strength_is_refused(runners, values, sentence):
    with pytest.raises(UserError) as error:
        request_for(runners["tiny"], False, **values)
    assert sentence in str(error.value)


def test_a_mask_of_nothing_and_less_than_a_step_are_refused():
    mask = written_picture(mask_of(SIDE))
    alone = parse_request(StableDiffusionRequest, checkpoint="m", mask=mask)
    with pytest.raises(UserError, match="There is a mask, but no picture"):
        FAMILY.check_request(alone, described("m"), lambda name: None)
    weak = parse_request(
        StableDiffusionRequest, checkpoint="m", picture=mask, strength=0.05, num_inference_steps=10
    )
    with pytest.raises(UserError, match=r"strength 0.05 of 10 steps .* ask for 0.1 or more\."):
        FAMILY.check_request(weak, described("m"), lambda name: None)


def test_a_file_that_is_cut_short_says_so(runners):
    runner = runners["tiny"]
    noisy = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    whole = base64.b64decode(written_picture(noisy))
    cut = base64.b64encode(whole[: len(whole) // 2]).decode()
    with pytest.raises(UserError, match="cut short or damaged"):
        drive(runner, request_for(runner, False, picture=cut))
