"""The Stable Diffusion family gives what diffusers' stock pipeline gives, alone and in company."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline

from genlab.diffusion.schedulers import make_scheduler, scheduler_names
from genlab.engine.device import Device
from genlab.engine.events import Result
from genlab.engine.job import Job
from genlab.families.stable_diffusion import FAMILY
from genlab.families.stable_diffusion.decoding import pictures_at_once
from genlab.families.stable_diffusion.latent_trajectory import LatentTrajectory
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.families.stable_diffusion.runner import StableDiffusionRunner
from genlab.families.stable_diffusion.text_conditioning import REMEMBERED
from genlab.requests import UserError, parse_request
from tests.drive import begin, drive, finish, move, opened
from tests.tiny_pipelines import save_tiny_pipelines, save_tiny_xl

SCHEDULERS = scheduler_names()
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("checkpoints")
    save_tiny_pipelines(root)
    save_tiny_xl(root / "tiny-xl-encodes-nothing", zeros_for_none=False)
    return root


class Opened(dict[str, StableDiffusionRunner]):
    """The runners by checkpoint, each loaded once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __missing__(self, name: str) -> StableDiffusionRunner:
        self[name] = opened(FAMILY, self.root / name)
        return self[name]


@pytest.fixture(scope="module")
def runners(root: Path) -> Opened:
    return Opened(root)


@pytest.fixture
def final_latents(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """The last latents of every job, in the order in which they finish."""
    seen: list[torch.Tensor] = []
    result = StableDiffusionRunner.result

    def remember(self: StableDiffusionRunner, job: Job) -> Result:
        seen.append(job.state.latents.clone())
        return result(self, job)

    monkeypatch.setattr(StableDiffusionRunner, "result", remember)
    return seen


def request_for(**values: object) -> StableDiffusionRequest:
    defaults = {
        "checkpoint": "tiny",
        "prompt": "a red seven",
        "negative_prompt": "a blue sneaker",
        "num_inference_steps": 6,
        "guidance_scale": 5.0,
        "seed": 11,
        "count": 2,
    }
    return parse_request(StableDiffusionRequest, **(defaults | values))


@functools.cache
def stock_pipeline(folder: Path) -> Any:
    pipeline = DiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def stock(root: Path, request: StableDiffusionRequest, output_type: str) -> np.ndarray:
    """What the stock pipeline's __call__ gives for the same request."""
    pipeline = stock_pipeline(root / request.checkpoint)
    pipeline.scheduler = make_scheduler(request.scheduler, pipeline.scheduler.config)
    output = pipeline(
        request.prompt,
        negative_prompt=request.negative_prompt or None,  # XL tells none from an empty one
        num_inference_steps=request.num_inference_steps,
        guidance_scale=request.guidance_scale,
        num_images_per_prompt=request.count,
        generator=[torch.Generator().manual_seed(request.seed + k) for k in range(request.count)],
        output_type=output_type,
    )
    return np.asarray(output.images)


def strangers() -> list[StableDiffusionRequest]:
    """Five other people's jobs: other prompts, seeds, steps, schedulers, scales and counts."""
    return [
        request_for(
            prompt="a green sneaker", seed=1, num_inference_steps=3, scheduler="ddim", count=1
        ),
        request_for(
            prompt="", seed=2, num_inference_steps=9, scheduler="euler", guidance_scale=1.0
        ),
        request_for(prompt="seven", seed=3, num_inference_steps=5, scheduler="dpmpp-2m", count=3),
        request_for(
            prompt="black", seed=4, num_inference_steps=7, scheduler="ddpm", guidance_scale=12
        ),
        request_for(
            prompt="blue", seed=5, num_inference_steps=4, scheduler="pndm", guidance_scale=0
        ),
    ]


@pytest.mark.parametrize("company", [False, True], ids=["alone", "sharing steps with five jobs"])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_final_latents_equal_the_stock_pipelines(root, runners, monkeypatch, scheduler, company):
    request = request_for(scheduler=scheduler)
    others = strangers() if company else []
    requests = [*others[:3], request, *others[3:]]
    jobs: list[Job] = []
    result = StableDiffusionRunner.result
    monkeypatch.setattr(
        StableDiffusionRunner, "result", lambda self, job: jobs.append(job) or result(self, job)
    )
    drive(runners["tiny"], *requests, joins=[0, 0, 0, 0, 2, 2] if company else [0])
    (ours,) = (job.state.latents for job in jobs if job.request is request)
    difference = np.abs(ours.numpy() - stock(root, request, "latent")).max()
    print(f"{scheduler}: max abs difference {difference:.1e}")
    assert difference <= TOLERANCE


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize(
    "values",
    [
        {"guidance_scale": 1.0},
        {"guidance_scale": 0.0},
        {"count": 1},
        {"num_inference_steps": 1},
        {"checkpoint": "tiny-v"},
    ],
    ids=str,
)
def test_unguided_single_short_and_v_prediction_jobs_equal_stock(
    root, runners, final_latents, scheduler, values
):
    request = request_for(scheduler=scheduler, **values)
    if request.num_inference_steps == 1 and scheduler == "pndm":
        pytest.skip("stock PNDM needs two steps or more")
    drive(runners[request.checkpoint], request)
    difference = np.abs(final_latents[0].numpy() - stock(root, request, "latent")).max()
    assert difference <= TOLERANCE


def test_the_pictures_equal_the_stock_pipelines(root, runners):
    request = request_for()
    (result,) = drive(runners["tiny"], request)
    theirs = np.stack([np.asarray(p) for p in stock(root, request, "pil")])
    assert np.abs(result.images.astype(int) - theirs.astype(int)).max() <= 1


@pytest.mark.parametrize(
    "values",
    [{"scheduler": name} for name in SCHEDULERS]
    + [{"scheduler": name, "guidance_scale": 1.0} for name in SCHEDULERS]
    + [{"negative_prompt": ""}, {"negative_prompt": "", "count": 1}]
    + [{"checkpoint": "tiny-xl-encodes-nothing", "negative_prompt": ""}],
    ids=str,
)
def test_xl_equals_the_stock_pipeline_in_company(root, runners, final_latents, values):
    request = request_for(**{"checkpoint": "tiny-xl", "scheduler": "euler"} | values)
    name = request.checkpoint
    short = {"checkpoint": name, "num_inference_steps": 3}
    company = [
        request_for(**short, prompt="blue", negative_prompt="", seed=1, count=1),
        request_for(**short, guidance_scale=1.0, seed=2),
    ]
    result = drive(runners[name], *company, request)[-1]
    difference = np.abs(final_latents[-1].numpy() - stock(root, request, "latent")).max()
    assert difference <= TOLERANCE
    pictures = np.stack([np.asarray(p) for p in stock(root, request, "pil")])
    assert np.abs(result.images.astype(int) - pictures.astype(int)).max() <= 1


def test_xls_negative_prompt_zeros_and_size_all_matter(runners):
    """So that the equality above cannot hold for want of an effect."""
    requests = [
        request_for(checkpoint="tiny-xl"),
        request_for(checkpoint="tiny-xl", negative_prompt=""),
        request_for(checkpoint="tiny-xl", prompt="a green sneaker"),
        request_for(checkpoint="tiny-xl-encodes-nothing", negative_prompt=""),
    ]
    pictures = [drive(runners[r.checkpoint], r)[0].images.astype(int) for r in requests]
    for k, one in enumerate(pictures):
        for other in pictures[:k]:
            assert np.abs(one - other).max() > 0


def test_image_k_of_a_batch_is_reproducible_alone(runners):
    batch, alone = drive(
        runners["tiny"], request_for(count=3, seed=7), request_for(count=1, seed=9)
    )
    assert np.abs(batch.images[2].astype(int) - alone.images[0].astype(int)).max() <= 1


# --- what a step costs ------------------------------------------------------------------------


def test_all_jobs_of_a_step_share_one_unet_call(runners, monkeypatch):
    runner = runners["tiny"]
    calls: list[int] = []
    noise_pred = runner._noise_pred

    def count(latents: torch.Tensor, *args: object, **named: object) -> object:
        calls.append(len(latents))
        return noise_pred(latents, *args, **named)

    monkeypatch.setattr(runner, "_noise_pred", count)
    short = {"count": 1, "num_inference_steps": 3, "scheduler": "ddim"}
    requests = [request_for(seed=k, **short) for k in range(5)]
    drive(runner, *requests, request_for(guidance_scale=1.0, **short))
    assert calls == [11, 11, 11], "two rows under guidance, one without, one call a step"


def test_a_request_counts_twice_its_pictures_under_guidance(runners):
    runner = runners["tiny"]
    assert runner.rows(request_for(count=3)) == 6
    assert runner.rows(request_for(count=3, guidance_scale=1.0)) == 3


def test_a_text_is_encoded_once_and_a_bounded_number_is_remembered(root, monkeypatch):
    runner = opened(FAMILY, root / "tiny")
    encoded: list[str] = []
    encode = runner.text._encode

    def look(texts: list[str]) -> Any:
        encoded.extend(texts)
        return encode(texts)

    monkeypatch.setattr(runner.text, "_encode", look)
    begin(runner, request_for(prompt="seven"), request_for(prompt="seven", seed=3))
    begin(runner, request_for(prompt="black", guidance_scale=1.0, negative_prompt="green"))
    begin(runner, request_for(prompt="black"))
    assert sorted(encoded) == ["a blue sneaker", "black", "seven"]
    begin(runner, *(request_for(prompt=f"seven {k}", count=1) for k in range(REMEMBERED + 5)))
    assert len(runner.text._rows) == REMEMBERED


@pytest.mark.parametrize("checkpoint", ["tiny", "tiny-xl"])
def test_a_remembered_text_and_an_unchanged_company_give_the_same_picture(root, checkpoint):
    runner = opened(FAMILY, root / checkpoint)
    ours = {"checkpoint": checkpoint, "negative_prompt": "", "scheduler": "euler", "count": 1}
    alone = drive(runner, request_for(**ours))[0].images
    drive(runner, request_for(**ours | {"prompt": "a green sneaker"}))
    again = drive(runner, request_for(**ours))[0].images
    assert np.array_equal(alone, again)


def test_advancing_a_job_reads_no_signature(runners, monkeypatch):
    runner = runners["tiny"]
    jobs = begin(runner, *(request_for(scheduler=name) for name in SCHEDULERS))
    predictions = runner.predict(jobs)
    monkeypatch.setattr(inspect, "signature", None)
    for job, prediction in zip(jobs, predictions, strict=True):
        runner.advance(job, prediction)
        assert job.state.denoised is not None


# --- decoding ---------------------------------------------------------------------------------


def test_decoding_comes_in_chunks_and_jobs_share_each_call(root, monkeypatch):
    runner = opened(FAMILY, root / "tiny")
    runner.at_once = 4
    calls: list[int] = []
    pictures = runner._pictures
    monkeypatch.setattr(runner, "_pictures", lambda z: calls.append(len(z)) or pictures(z))
    short = {"num_inference_steps": 2, "guidance_scale": 1.0}
    requests = [request_for(count=5, **short), request_for(count=2, seed=3, **short)]
    expected = [drive(runner, request)[0].images for request in requests]
    calls.clear()
    jobs = begin(runner, *requests)
    for _ in range(2):
        move(runner, jobs)
    assert [runner.undecoded(job) for job in jobs] == [5, 2]
    for job, decoded in zip(jobs, runner.decode(jobs), strict=True):
        runner.store(job, decoded)
    assert (calls, [runner.undecoded(job) for job in jobs]) == ([4], [3, 0])
    results = [finish(runner, job) for job in jobs]
    assert calls == [4, 3]
    for result, images in zip(results, expected, strict=True):
        assert np.abs(result.images.astype(int) - images.astype(int)).max() <= 1


def test_more_jobs_than_pictures_at_once_still_come_to_an_end(root):
    runner = opened(FAMILY, root / "tiny")
    runner.at_once = 2
    jobs = begin(runner, *(request_for(seed=k, count=1) for k in range(5)))
    for _ in range(6):
        move(runner, jobs)
    turns = 0
    while left := [job for job in jobs if runner.undecoded(job)]:
        for job, decoded in zip(left, runner.decode(left), strict=True):
            runner.store(job, decoded)
        turns += 1
    assert turns == 3
    assert all(runner.result(job).images.shape == (1, 16, 16, 3) for job in jobs)


def test_a_unit_of_decoding_has_as_many_pixels_as_its_device_takes_quickly():
    cpu, gpu = Device("cpu"), Device("meta")
    assert pictures_at_once(cpu, 64 * 64) == 16
    assert pictures_at_once(gpu, 512 * 512) == 8
    assert pictures_at_once(cpu, 1024 * 1024) == 1


# --- what a person reads -----------------------------------------------------------------------


def test_a_prompt_beyond_the_tokenizer_says_what_was_cut(runners):
    long = "a red seven on a black background and a blue sneaker left of green"
    (result,) = drive(runners["tiny"], request_for(prompt=long))
    (note,) = result.notes
    assert "the text encoder reads 10; this was left out" in note
    assert note.endswith("left of green'.")


def test_guidance_of_a_distilled_model_is_said_to_be_of_no_use(runners, monkeypatch):
    runner = runners["tiny"]
    distilled = dataclasses.replace(runner.metadata, card={"distilled": "It was distilled."})
    monkeypatch.setattr(runner, "metadata", distilled)
    guided, plain = drive(runner, request_for(), request_for(guidance_scale=0))
    assert guided.notes == ("It was distilled. Here it was 5.",)
    assert plain.notes == ()


@pytest.mark.parametrize("where", ["unet", "vae"])
@pytest.mark.parametrize(
    ("guidance_scale", "sentence"),
    [(9.0, "lower guidance_scale"), (4.0, "its weights are broken"), (0, "weights are broken")],
)
def test_numbers_that_run_away_are_said_and_never_shown(root, where, guidance_scale, sentence):
    runner = opened(FAMILY, root / "tiny")
    network = {"unet": runner.unet.conv_out, "vae": runner.vae.decoder.conv_out}[where]
    with torch.no_grad():
        network.bias[0] = float("nan" if where == "unet" else "inf")
    request = request_for(guidance_scale=guidance_scale, num_inference_steps=2)
    with pytest.raises(UserError, match=sentence):
        drive(runner, request)


def test_a_preview_of_numbers_that_ran_away_is_none_and_the_neighbours_is_shown(runners):
    runner = runners["tiny"]
    jobs = begin(runner, request_for(), request_for(count=1))
    move(runner, jobs)
    jobs[0].state.denoised = jobs[0].state.denoised * float("nan")
    bad, good = runner.preview(jobs)
    assert bad is None
    assert good is not None
    assert good.shape == (1, 64, 64, 3)


def test_previews_look_more_like_the_end_the_later_they_come(runners):
    runner = runners["tiny"]
    (job,) = begin(runner, request_for(num_inference_steps=8, count=1, scheduler="euler"))
    previews = []
    while job.step < job.total:
        move(runner, [job])
        previews += runner.preview([job])
    gaps = [np.abs(p.astype(int) - previews[-1].astype(int)).mean() for p in previews]
    assert gaps[0] > gaps[-3] > gaps[-1] == 0


@pytest.mark.parametrize("scheduler", [name for name in SCHEDULERS if name != "pndm"])
def test_one_step_is_enough_for_every_scheduler_but_one(runners, scheduler):
    (result,) = drive(runners["tiny"], request_for(scheduler=scheduler, num_inference_steps=1))
    assert result.images.shape == (2, 16, 16, 3)


def test_a_scheduler_that_needs_more_steps_says_so(runners):
    with pytest.raises(UserError, match="PNDM cannot draw in 2 steps; ask for another number"):
        drive(runners["tiny"], request_for(scheduler="pndm", num_inference_steps=2))


# --- trajectories -----------------------------------------------------------------------------


@pytest.mark.parametrize("checkpoint", ["tiny", "tiny-v"])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_trajectory_shows_what_was_predicted_and_changes_no_picture(
    runners, scheduler, checkpoint
):
    values = {"scheduler": scheduler, "checkpoint": checkpoint, "count": 2}
    plain, kept = (
        drive(runners[checkpoint], request_for(**values, trajectory=on))[0] for on in (False, True)
    )
    assert np.abs(plain.images.astype(int) - kept.images.astype(int)).max() <= 1
    assert plain.extras == {}
    extras = kept.extras
    steps = len(extras["trajectory_steps"])
    assert extras["trajectory_steps"].tolist() == list(range(steps))
    assert (np.diff(extras["trajectory_timesteps"]) <= 0).all()
    shape = (steps, 1, *kept.images.shape[1:])
    for name in ("trajectory_uncond", "trajectory_cond", "trajectory_guided"):
        assert extras[name].shape == shape, name
        assert extras[name].dtype == np.uint8, name
    assert extras["trajectory_guidance_norm"].shape == (steps, 1)
    assert (extras["trajectory_guidance_norm"] > 0).all()
    assert (extras["trajectory_uncond"] != extras["trajectory_cond"]).any()
    if scheduler != "pndm":  # its last step moves to x_0 along a mean of four predictions
        gap = extras["trajectory_guided"][-1, 0].astype(int) - kept.images[0].astype(int)
        assert np.abs(gap).mean() < 3, "the last prediction is nearly the picture"


def test_the_trajectorys_guided_prediction_leads_on_from_the_unconditional_through_the_conditional(
    runners, monkeypatch
):
    kept: list[LatentTrajectory] = []
    latents = LatentTrajectory.latents
    monkeypatch.setattr(
        LatentTrajectory, "latents", lambda self: kept.append(self) or latents(self)
    )
    drive(runners["tiny"], request_for(trajectory=True, guidance_scale=5.0))
    rows = {name: torch.cat(part) for name, part in kept[0]._latents.items()}
    expected = rows["uncond"] + 5 * (rows["cond"] - rows["uncond"])  # x_0 is linear in eps
    assert torch.allclose(rows["guided"], expected, atol=1e-3)


def test_a_trajectory_without_guidance_has_one_prediction_and_one_of_a_long_run_25_frames(runners):
    request = request_for(trajectory=True, guidance_scale=1.0, num_inference_steps=60)
    extras = drive(runners["tiny"], request)[0].extras
    assert set(extras) == {"trajectory_steps", "trajectory_timesteps", "trajectory_guided"}
    assert len(extras["trajectory_guided"]) == 25
    assert extras["trajectory_steps"][[0, -1]].tolist() == [0, 59]
