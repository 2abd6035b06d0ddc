"""Pixel diffusion: each kind of guidance is what its formula says, alone and in company."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from genlab.engine import Engine, Failed, Job, Result, Runtime
from genlab.engine.runner import BrokenCheckpoint
from genlab.families.pixel_diffusion.network import NULL_LABEL, PixelDiffusionPipeline
from genlab.families.pixel_diffusion.runner import PixelDiffusionFamily
from genlab.models.registry import Catalogue
from genlab.requests import PIXEL_SCHEDULERS, PixelDiffusionRequest, UserError, ask
from tests.tiny_diffusion import save_tiny_noisy_classifier, save_tiny_pixel_diffusion


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("checkpoints")
    save_tiny_pixel_diffusion(root)
    save_tiny_pixel_diffusion(root, "lonely", classifier="")
    save_tiny_pixel_diffusion(root, "widowed", classifier="gone")
    save_tiny_noisy_classifier(root)
    save_tiny_noisy_classifier(root, "garments", dataset="fashion")
    return root


@pytest.fixture(scope="module")
def catalogue(root: Path) -> Catalogue:
    return Catalogue(root, Runtime("cpu"))


@pytest.fixture
def engine(catalogue: Catalogue) -> Engine:
    return Engine(catalogue)


def wish(**values: object) -> PixelDiffusionRequest:
    defaults = {
        "checkpoint": "ddpm", "labels": (3, 1), "count": 2, "num_inference_steps": 4,
        "seed": 11, "guidance": "classifier-free", "guidance_scale": 3.0,
    }  # fmt: skip
    return ask(PixelDiffusionRequest, **(defaults | values))


def run(engine: Engine, *requests: PixelDiffusionRequest) -> list[Job]:
    jobs = [engine.submit(request, f"person {k}") for k, request in enumerate(requests)]
    while engine.tick():
        pass
    return jobs


def result_of(job: Job) -> Result:
    event = list(job)[-1]
    assert isinstance(event, Result), event
    return event


def pictures(engine: Engine, *requests: PixelDiffusionRequest) -> list[np.ndarray]:
    return [result_of(job).images.astype(int) for job in run(engine, *requests)]


def strangers() -> list[PixelDiffusionRequest]:
    return [
        wish(guidance="none", seed=1, num_inference_steps=3, scheduler="euler"),
        wish(guidance="classifier", seed=2, guidance_scale=5, labels=(9,), count=3),
        wish(guidance="classifier-free", guidance_scale=1, scheduler="dpmpp-2m", count=1),
        wish(scheduler="ddpm", num_inference_steps=6, labels=()),
        wish(guidance="classifier", scheduler="ddim", eta=0.5, film=True),
    ]


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ({"guidance_scale": 3.0}, 3.0),
        ({"guidance_scale": 1.0}, 1.0),
        ({"guidance_scale": 3.0, "eta": 0.7}, 3.0),
    ],
    ids=str,
)
def test_the_engine_draws_what_the_pipeline_draws(root, engine, values, scale):
    request = wish(**values)
    pipeline = PixelDiffusionPipeline.from_pretrained(root / "ddpm")
    pipeline.set_progress_bar_config(disable=True)
    generators = [torch.Generator().manual_seed(request.seed + k) for k in range(2)]
    stock = pipeline((3, 1), 4, scale, request.eta, generators)
    (ours,) = pictures(engine, request)
    theirs = np.stack([np.asarray(picture) for picture in stock]).astype(int)
    assert np.abs(ours - theirs).max() <= 1
    assert ours.std() > 10


@pytest.mark.parametrize("guidance", ["none", "classifier", "classifier-free"])
@pytest.mark.parametrize("scheduler", PIXEL_SCHEDULERS)
def test_a_picture_does_not_depend_on_its_company(engine, guidance, scheduler):
    request = wish(guidance=guidance, scheduler=scheduler)
    (alone,) = pictures(engine, request)
    in_company = pictures(engine, request, *strangers())[0]
    assert np.abs(alone - in_company).max() <= 1


def test_image_k_of_a_batch_is_reproducible_alone(engine):
    batch, alone = pictures(
        engine,
        wish(guidance="classifier"),
        wish(guidance="classifier", labels=(1,), count=1, seed=12),
    )
    assert np.abs(batch[1] - alone[0]).max() <= 1


def test_all_jobs_of_a_tick_share_one_network_call_and_one_gradient_call(
    engine, catalogue, monkeypatch
):
    family = catalogue.load("ddpm")
    calls: list[int] = []
    call = family.runtime.call

    def count(network: object, *rows: torch.Tensor, **named: torch.Tensor) -> torch.Tensor:
        calls.append(len(rows[0]))
        return call(network, *rows, **named)

    monkeypatch.setattr(family.runtime, "call", count)
    run(engine, *(wish(guidance=g, num_inference_steps=3) for g in ("none", "classifier",
                  "classifier", "classifier-free")))  # fmt: skip
    assert calls == [10, 4] * 3, "2 + 2 + 2 + 4 predictions, then 2 + 2 gradients, each step"


def test_guidance_of_no_strength_changes_nothing_and_strength_changes_something(engine):
    plain, led, free, strong, stronger = pictures(
        engine,
        wish(guidance="none"),
        wish(guidance="classifier", guidance_scale=0),
        wish(guidance_scale=0),
        wish(guidance="classifier", guidance_scale=20),
        wish(guidance_scale=20),
    )
    assert np.abs(plain - led).max() <= 1
    assert np.abs(plain - free).max() <= 1
    assert np.abs(plain - strong).max() > 5
    assert np.abs(plain - stronger).max() > 5


def test_a_classifier_raises_the_probability_of_the_wished_class(engine):
    low, high = (
        result_of(job).extras["film_confidence"][-1].mean()
        for job in run(
            engine,
            wish(guidance="classifier", guidance_scale=0, film=True, num_inference_steps=20),
            wish(guidance="classifier", guidance_scale=50, film=True, num_inference_steps=20),
        )
    )
    assert high > low


def test_no_autograd_graph_outlives_its_tick(engine):
    job = engine.submit(wish(guidance="classifier", film=True))
    for _ in range(3):
        engine.tick()
        assert not job.state.x_t.requires_grad
        assert not job.state.denoised.requires_grad
        assert not any(
            getattr(value, "requires_grad", False)
            for frame in job.state.film._frames.values()
            for value in frame.values()
        )


@pytest.mark.parametrize("guidance", ["none", "classifier", "classifier-free"])
def test_a_film_shows_the_steps_and_does_not_change_the_pictures(engine, guidance):
    without, with_film = run(
        engine, wish(guidance=guidance), wish(guidance=guidance, film=True, scheduler="ddim")
    )
    before, after = result_of(without), result_of(with_film)
    assert np.abs(before.images.astype(int) - after.images.astype(int)).max() <= 1
    film = after.extras
    assert film["film_steps"].tolist() == [0, 1, 2, 3]
    assert film["film_timesteps"].tolist() == [999, 749, 499, 249]
    assert film["film_x_t"].shape == film["film_guided"].shape == (4, 2, 28, 28)
    assert film["film_confidence"].shape == (4, 2)
    assert (film["film_guidance_norm"] > 0).all() == (guidance != "none")
    assert ("film_gradient" in film) == (guidance == "classifier")
    assert ("film_cond" in film) == (guidance == "classifier-free")
    assert np.abs(film["film_guided"][-1].astype(int) - after.images).max() <= 1


def test_a_long_film_keeps_fifty_steps_and_the_last(engine):
    (job,) = run(engine, wish(film=True, num_inference_steps=120, count=1))
    steps = result_of(job).extras["film_steps"]
    assert len(steps) == 50
    assert steps[-1] == 119


@pytest.mark.parametrize("scheduler", PIXEL_SCHEDULERS)
@pytest.mark.parametrize("guidance", ["classifier", "classifier-free"])
def test_the_strongest_guidance_gives_finite_pictures_or_a_sentence(engine, scheduler, guidance):
    (job,) = run(engine, wish(guidance=guidance, guidance_scale=50, scheduler=scheduler))
    event = list(job)[-1]
    assert isinstance(event, Result) or (
        isinstance(event, Failed) and "lower guidance_scale" in event.message
    )


@pytest.mark.parametrize("scheduler", PIXEL_SCHEDULERS)
def test_one_step_is_enough_to_finish(engine, scheduler):
    (job,) = run(engine, wish(num_inference_steps=1, scheduler=scheduler))
    assert result_of(job).images.shape == (2, 28, 28)


def test_without_labels_all_ten_classes_come_in_turn_by_the_seed():
    assert wish(labels=(), seed=8, count=5).wished == (8, 9, 0, 1, 2)
    assert wish(labels=(7, 2), count=3).wished == (7, 2, 7)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"checkpoint": "lonely"}, "names no classifier to follow"),
        ({"checkpoint": "widowed"}, "there is no checkpoint called 'gone'"),
        ({"classifier": "nothing"}, "there is no checkpoint called 'nothing'"),
        ({"classifier": "../noisy"}, "there is no checkpoint called '../noisy'"),
        ({"classifier": "garments"}, "garments reads fashion, but ddpm draws mnist"),
        ({"classifier": "lonely"}, "no classifier to follow"),
    ],
    ids=str,
)
def test_a_classifier_that_cannot_be_followed_is_one_sentence(engine, values, sentence):
    with pytest.raises(UserError, match=sentence):
        engine.submit(wish(guidance="classifier", **values))


@pytest.mark.parametrize("scale", [-1, float("nan"), 1e6, "much"])
def test_a_scale_out_of_range_is_named(scale):
    with pytest.raises(UserError, match=r"guidance_scale is .*, but must be a number from 0 to 50"):
        wish(guidance_scale=scale)


def test_a_class_beyond_nine_is_named():
    with pytest.raises(UserError, match="labels is 10, but must be at most 64 classes"):
        wish(labels=(3, 10))


def test_a_bad_job_fails_alone(engine, monkeypatch):
    advance = PixelDiffusionFamily.advance

    def break_thirteen(self: PixelDiffusionFamily, job: Job, prediction: object) -> None:
        if job.request.seed == 13:
            raise RuntimeError("broken")
        advance(self, job, prediction)

    (alone,) = pictures(engine, wish())
    monkeypatch.setattr(PixelDiffusionFamily, "advance", break_thirteen)
    bad, good = run(engine, wish(seed=13), wish())
    assert isinstance(list(bad)[-1], Failed)
    assert np.abs(result_of(good).images.astype(int) - alone).max() <= 1


def harm_index(folder: Path) -> None:
    (folder / "model_index.json").write_text('{"_class_name": "DDPMPipeline"}')


def harm_config(folder: Path) -> None:
    (folder / "unet" / "config.json").write_text('{"block_out_channels": "many"}')


def harm_weights(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (harm_index, "names no PixelDiffusionPipeline"),
        (harm_config, "describes no UNet2DModel"),
        (harm_weights, "cut short"),
    ],
)
def test_a_damaged_folder_is_named_with_the_reason(tmp_path, harm, sentence):
    save_tiny_pixel_diffusion(tmp_path)
    folder = tmp_path / "ddpm"
    harm(folder)
    with pytest.raises(BrokenCheckpoint, match=sentence):
        PixelDiffusionFamily.check(folder)


def test_a_null_label_stands_beside_the_ten_classes(root):
    pipeline = PixelDiffusionPipeline.from_pretrained(root / "ddpm")
    pipeline.set_progress_bar_config(disable=True)
    generators: Sequence[torch.Generator] = [torch.Generator().manual_seed(0)] * 1
    (picture,) = pipeline([NULL_LABEL], 2, generator=generators)
    assert picture.size == (28, 28)
