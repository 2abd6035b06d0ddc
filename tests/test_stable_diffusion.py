"""The Stable Diffusion family gives what diffusers' stock pipeline gives, alone and in company."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline

from genlab.diffusion.schedulers import make_scheduler
from genlab.engine import Engine, Job, Result, Runtime
from genlab.engine.runner import Outcome
from genlab.families.stable_diffusion.runner import StableDiffusionFamily
from genlab.models.registry import Catalogue
from genlab.requests import SCHEDULERS, StableDiffusionRequest, ask
from tests.tiny_pipelines import save_tiny_stable_diffusion, save_tiny_xl

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("checkpoints")
    save_tiny_stable_diffusion(root / "tiny")
    save_tiny_stable_diffusion(root / "tiny-v", prediction_type="v_prediction")
    save_tiny_xl(root / "tiny-xl")
    save_tiny_xl(root / "tiny-xl-encodes-nothing", zeros_for_none=False)
    return root


@pytest.fixture(scope="module")
def catalogue(root: Path) -> Catalogue:
    return Catalogue(root, Runtime("cpu"))


@pytest.fixture
def engine(catalogue: Catalogue) -> Engine:
    return Engine(catalogue)


@pytest.fixture
def final_latents(monkeypatch: pytest.MonkeyPatch) -> dict[int, torch.Tensor]:
    """The last latents of every job that finishes, by job id."""
    seen: dict[int, torch.Tensor] = {}
    finish = StableDiffusionFamily.finish

    def remember(self: StableDiffusionFamily, jobs: Sequence[Job]) -> list[Outcome]:
        seen.update({job.id: job.state.latents.clone() for job in jobs})
        return finish(self, jobs)

    monkeypatch.setattr(StableDiffusionFamily, "finish", remember)
    return seen


def wish(**values: object) -> StableDiffusionRequest:
    defaults = {
        "checkpoint": "tiny",
        "prompt": "a red seven",
        "negative_prompt": "a blue sneaker",
        "num_inference_steps": 6,
        "guidance_scale": 5.0,
        "seed": 11,
        "count": 2,
    }
    return ask(StableDiffusionRequest, **(defaults | values))


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
        wish(prompt="a green sneaker", seed=1, num_inference_steps=3, scheduler="ddim", count=1),
        wish(prompt="", seed=2, num_inference_steps=9, scheduler="euler", guidance_scale=1.0),
        wish(prompt="seven", seed=3, num_inference_steps=5, scheduler="dpmpp-2m", count=3),
        wish(prompt="black", seed=4, num_inference_steps=7, scheduler="ddpm", guidance_scale=12),
        wish(prompt="blue", seed=5, num_inference_steps=4, scheduler="pndm", guidance_scale=0),
    ]


def run(engine: Engine, *requests: StableDiffusionRequest, late: int = 0) -> list[Job]:
    """Run requests to the end; the last ``late`` of them join after two ticks."""
    jobs = []
    for k, request in enumerate(requests):
        if k == len(requests) - late:
            engine.tick()
            engine.tick()
        jobs.append(engine.submit(request, owner=f"person {k}"))
    while engine.tick():
        pass
    return jobs


@pytest.mark.parametrize("company", [False, True], ids=["alone", "sharing ticks with five jobs"])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_final_latents_equal_the_stock_pipelines(root, engine, final_latents, scheduler, company):
    request = wish(scheduler=scheduler)
    others = strangers() if company else []
    job = run(engine, *others[:3], request, *others[3:], late=2 if company else 0)[len(others[:3])]
    difference = np.abs(final_latents[job.id].numpy() - stock(root, request, "latent")).max()
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
    root, engine, final_latents, scheduler, values
):
    request = wish(scheduler=scheduler, **values)
    if request.num_inference_steps == 1 and scheduler == "pndm":
        pytest.skip("stock PNDM needs two steps or more")
    (job,) = run(engine, request)
    difference = np.abs(final_latents[job.id].numpy() - stock(root, request, "latent")).max()
    assert difference <= TOLERANCE


def test_the_pictures_equal_the_stock_pipelines(root, engine):
    request = wish()
    (job,) = run(engine, request)
    ours = result_of(job).images
    theirs = np.stack([np.asarray(p) for p in stock(root, request, "pil")])
    assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1


@pytest.mark.parametrize(
    "values",
    [{"scheduler": name} for name in SCHEDULERS]
    + [{"scheduler": name, "guidance_scale": 1.0} for name in SCHEDULERS]
    + [{"negative_prompt": ""}, {"negative_prompt": "", "count": 1}]
    + [{"checkpoint": "tiny-xl-encodes-nothing", "negative_prompt": ""}],
    ids=str,
)
def test_xl_equals_the_stock_pipeline_in_company(root, engine, final_latents, values):
    request = wish(**{"checkpoint": "tiny-xl", "scheduler": "euler"} | values)
    company = [
        wish(checkpoint=request.checkpoint, prompt="blue", negative_prompt="", seed=1, count=1),
        wish(checkpoint=request.checkpoint, guidance_scale=1.0, num_inference_steps=3, seed=2),
    ]
    job = run(engine, *company, request)[-1]
    difference = np.abs(final_latents[job.id].numpy() - stock(root, request, "latent")).max()
    assert difference <= TOLERANCE
    pictures = np.stack([np.asarray(p) for p in stock(root, request, "pil")])
    assert np.abs(result_of(job).images.astype(int) - pictures.astype(int)).max() <= 1


def test_xls_negative_prompt_zeros_and_size_all_matter(engine):
    """So that the equality above cannot hold for want of an effect."""
    wishes = [
        wish(checkpoint="tiny-xl"),
        wish(checkpoint="tiny-xl", negative_prompt=""),
        wish(checkpoint="tiny-xl", prompt="a green sneaker"),
        wish(checkpoint="tiny-xl-encodes-nothing", negative_prompt=""),
    ]
    pictures = [result_of(job).images.astype(int) for job in run(engine, *wishes)]
    for k, one in enumerate(pictures):
        for other in pictures[:k]:
            assert np.abs(one - other).max() > 0


def test_image_k_of_a_batch_is_reproducible_alone(engine):
    batch, alone = run(engine, wish(count=3, seed=7), wish(count=1, seed=9))
    difference = result_of(batch).images[2].astype(int) - result_of(alone).images[0].astype(int)
    assert np.abs(difference).max() <= 1


def test_all_jobs_of_a_tick_share_one_unet_call(engine, catalogue, monkeypatch):
    family = catalogue.load("tiny")
    calls: list[int] = []
    noise_pred = family._noise_pred

    def count(latents: torch.Tensor, *args: object, **named: object) -> object:
        calls.append(len(latents))
        return noise_pred(latents, *args, **named)

    monkeypatch.setattr(family, "_noise_pred", count)
    run(engine, *(wish(seed=k, count=1, num_inference_steps=3, scheduler="ddim") for k in range(5)),
        wish(count=1, num_inference_steps=3, guidance_scale=1.0, scheduler="ddim"))  # fmt: skip
    assert calls == [11, 11, 11], "two rows under guidance, one without, one call a step"


def test_a_prompt_beyond_the_tokenizer_says_what_was_cut(engine):
    (job,) = run(
        engine, wish(prompt="a red seven on a black background and a blue sneaker left of green")
    )
    (note,) = result_of(job).notes
    assert "the text encoder reads 10; this was left out" in note
    assert note.endswith("left of green'.")


def test_previews_look_more_like_the_end_the_later_they_come(engine):
    job = engine.submit(wish(preview_every=1, num_inference_steps=8, count=1, scheduler="euler"))
    previews = []
    while engine.tick():
        event = next(iter(job))
        previews.append(event.preview if not isinstance(event, Result) else event.images)
    gaps = [np.abs(p.astype(int) - previews[-1].astype(int)).mean() for p in previews]
    assert gaps[0] > gaps[-3] > gaps[-1] == 0


def test_every_scheduler_finishes_with_one_step(engine):
    for name in SCHEDULERS:
        (job,) = run(engine, wish(scheduler=name, num_inference_steps=1))
        assert job.ended


@pytest.mark.parametrize("checkpoint", ["tiny", "tiny-v"])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_film_shows_what_was_predicted_and_changes_no_picture(engine, scheduler, checkpoint):
    values = {"scheduler": scheduler, "checkpoint": checkpoint, "count": 2}
    plain, filmed = (result_of(run(engine, wish(**values, film=on))[0]) for on in (False, True))
    assert np.array_equal(plain.images, filmed.images)
    assert plain.extras == {}
    extras = filmed.extras
    steps = len(extras["film_steps"])
    assert extras["film_steps"].tolist() == list(range(steps))
    assert (np.diff(extras["film_timesteps"]) <= 0).all()
    shape = (steps, 1, *filmed.images.shape[1:])
    for name in ("film_uncond", "film_cond", "film_guided"):
        assert extras[name].shape == shape, name
        assert extras[name].dtype == np.uint8, name
    assert extras["film_guidance_norm"].shape == (steps, 1)
    assert (extras["film_guidance_norm"] > 0).all()
    assert (extras["film_uncond"] != extras["film_cond"]).any()
    if scheduler != "pndm":  # its last step moves to x_0 along a mean of four predictions
        gap = np.abs(extras["film_guided"][-1, 0].astype(int) - filmed.images[0].astype(int))
        assert gap.mean() < 3, "the last prediction is nearly the picture"


def test_the_films_guided_prediction_leads_on_from_the_unconditional_through_the_conditional(
    engine, monkeypatch
):
    frames: list[dict[str, np.ndarray]] = []
    developed = StableDiffusionFamily._developed

    def look(self, film):
        frames.append(film.extras())
        return developed(self, film)

    monkeypatch.setattr(StableDiffusionFamily, "_developed", look)
    run(engine, wish(film=True, guidance_scale=5.0))
    (film,) = frames
    uncond, cond = film["film_uncond"], film["film_cond"]
    expected = uncond + 5 * (cond - uncond)  # x_0 is linear in eps
    assert np.allclose(film["film_guided"], expected, atol=1e-3)


def test_a_film_without_guidance_has_one_prediction_and_one_of_a_long_run_25_frames(engine):
    (job,) = run(engine, wish(film=True, guidance_scale=1.0, num_inference_steps=60))
    extras = result_of(job).extras
    assert set(extras) == {"film_steps", "film_timesteps", "film_guided"}
    assert len(extras["film_guided"]) == 25
    assert extras["film_steps"][[0, -1]].tolist() == [0, 59]


def result_of(job: Job) -> Result:
    event = list(job)[-1]
    assert isinstance(event, Result), event
    return event
