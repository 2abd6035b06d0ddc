"""Pixel diffusion: each kind of guidance is what its formula says, alone and in company."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from genlab.diffusion.schedulers import make_scheduler, pixel_scheduler_names
from genlab.engine.device import Device
from genlab.engine.runner import generators
from genlab.families import noisy_classifier, pixel_diffusion
from genlab.families.pixel_diffusion.network import NULL_LABEL, PixelDiffusionPipeline
from genlab.families.pixel_diffusion.request import (
    DenoiseRequest,
    PixelDiffusionRequest,
    written,
)
from genlab.families.pixel_diffusion.runner import PixelDiffusionRunner
from genlab.formats.metadata import BrokenCheckpoint, ModelMetadata
from genlab.formats.model_card import write_card
from genlab.generation_metadata import GenerationMetadata
from genlab.requests import UserError, parse_request
from tests.drive import begin, drive, finish, metadata_of, move, opened
from tests.tiny_diffusion import save_tiny_noisy_classifier, save_tiny_pixel_diffusion

KINDS = ("none", "classifier", "classifier-free")


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
def models(root: Path) -> dict[str, ModelMetadata]:
    families = dict.fromkeys(("ddpm", "lonely", "widowed"), pixel_diffusion.FAMILY)
    families |= dict.fromkeys(("noisy", "garments"), noisy_classifier.FAMILY)
    return {name: metadata_of(family, root / name) for name, family in families.items()}


@pytest.fixture(scope="module")
def runner(root: Path, models: dict[str, ModelMetadata]) -> PixelDiffusionRunner:
    return opened(pixel_diffusion.FAMILY, root / "ddpm", models.get)


def guided(**values: object) -> PixelDiffusionRequest:
    """A request under classifier-free guidance unless told otherwise."""
    defaults = {
        "checkpoint": "ddpm", "labels": (3, 1), "count": 2, "num_inference_steps": 4,
        "seed": 11, "guidance": "classifier-free", "guidance_scale": 3.0,
    }  # fmt: skip
    return parse_request(PixelDiffusionRequest, **(defaults | values))


def pictures(runner: PixelDiffusionRunner, *requests: PixelDiffusionRequest) -> list[np.ndarray]:
    return [result.images.astype(int) for result in drive(runner, *requests)]


def strangers() -> list[PixelDiffusionRequest]:
    return [
        guided(guidance="none", seed=1, num_inference_steps=3, scheduler="euler"),
        guided(guidance="classifier", seed=2, guidance_scale=5, labels=(9,), count=3),
        guided(guidance="classifier-free", guidance_scale=1, scheduler="dpmpp-2m", count=1),
        guided(scheduler="ddpm", num_inference_steps=6, labels=()),
        guided(guidance="classifier", scheduler="ddim", eta=0.5, trajectory=True),
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
def test_the_runner_draws_what_the_pipeline_draws(root, runner, values, scale):
    request = guided(**values)
    pipeline = PixelDiffusionPipeline.from_pretrained(root / "ddpm")
    pipeline.set_progress_bar_config(disable=True)
    generators = [torch.Generator().manual_seed(request.seed + k) for k in range(2)]
    stock = pipeline((3, 1), 4, scale, request.eta, generators)
    (ours,) = pictures(runner, request)
    theirs = np.stack([np.asarray(picture) for picture in stock]).astype(int)
    assert np.abs(ours - theirs).max() <= 1
    assert ours.std() > 10


@pytest.mark.parametrize("guidance", KINDS)
@pytest.mark.parametrize("scheduler", pixel_scheduler_names())
def test_a_picture_does_not_depend_on_its_company(runner, guidance, scheduler):
    request = guided(guidance=guidance, scheduler=scheduler)
    (alone,) = pictures(runner, request)
    joins = (2, 0, 1, 2, 3, 4)
    results = drive(runner, request, *strangers(), joins=joins)
    assert np.abs(alone - results[0].images).max() <= 1


def test_image_k_of_a_batch_is_reproducible_alone(runner):
    request = guided(guidance="classifier")
    batch, alone = pictures(runner, request, request.for_image(1))
    assert np.abs(batch[1] - alone[0]).max() <= 1


def test_all_jobs_of_a_turn_share_one_network_call_and_one_gradient_call(runner, monkeypatch):
    calls: list[int] = []
    call = runner.device.call

    def count(network: object, *rows: torch.Tensor, **named: torch.Tensor) -> torch.Tensor:
        calls.append(len(rows[0]))
        return call(network, *rows, **named)

    monkeypatch.setattr(runner.device, "call", count)
    kinds = ("none", "classifier", "classifier", "classifier-free")
    requests = [guided(guidance=kind, num_inference_steps=3) for kind in kinds]
    drive(runner, *requests)
    assert calls == [10, 4] * 3, "2 + 2 + 2 + 4 predictions, then 2 + 2 gradients, each step"
    assert [runner.rows(request) for request in requests] == [2, 4, 4, 4]


def test_only_jobs_of_one_classifier_share_a_gradient_call(runner):
    keys = [
        runner.batch_key(guided(guidance="classifier")),
        runner.batch_key(guided(guidance="classifier", classifier="noisy")),
        runner.batch_key(guided(guidance="none")),
        runner.batch_key(guided(guidance="classifier", classifier="another")),
    ]
    assert keys[0] == keys[1] == keys[2] != keys[3]


def test_guidance_of_no_strength_changes_nothing_and_strength_changes_something(runner):
    plain, led, free, strong, stronger = pictures(
        runner,
        guided(guidance="none"),
        guided(guidance="classifier", guidance_scale=0),
        guided(guidance_scale=0),
        guided(guidance="classifier", guidance_scale=20),
        guided(guidance_scale=20),
    )
    assert np.abs(plain - led).max() <= 1
    assert np.abs(plain - free).max() <= 1
    assert np.abs(plain - strong).max() > 5
    assert np.abs(plain - stronger).max() > 5


@pytest.mark.parametrize(
    ("values", "is_guided", "predictions"),
    [
        ({"guidance": "none"}, False, ("uncond",)),
        ({"guidance": "classifier"}, True, ("uncond",)),
        ({"guidance": "classifier", "guidance_scale": 0}, False, ("uncond",)),
        ({"guidance_scale": 0}, False, ("uncond",)),
        ({"guidance_scale": 1}, False, ("cond",)),
        ({"guidance_scale": 0.5}, True, ("uncond", "cond")),
        ({"guidance_scale": 1, "trajectory": True}, False, ("uncond", "cond")),
    ],
    ids=str,
)
def test_the_request_says_whether_guidance_runs_and_what_that_takes(values, is_guided, predictions):
    request = guided(**values)
    assert request.guided == is_guided
    assert request.predictions == predictions


def test_a_classifier_raises_the_probability_of_the_target_class(runner):
    low, high = (
        result.extras["trajectory_confidence"][-1].mean()
        for result in drive(
            runner,
            *(
                guided(
                    guidance="classifier",
                    guidance_scale=scale,
                    trajectory=True,
                    num_inference_steps=20,
                )
                for scale in (0, 50)
            ),
        )
    )
    assert high > low


def test_no_autograd_graph_outlives_its_step(runner):
    (job,) = begin(runner, guided(guidance="classifier", trajectory=True, preview_every=1))
    for _ in range(3):
        move(runner, [job])
        assert not job.state.x_t.requires_grad
        assert not job.state.denoised.requires_grad
        assert all(
            isinstance(value, np.ndarray | np.generic)
            for frame in job.state.trajectory._frames.values()
            for value in frame.values()
        )


@pytest.mark.parametrize("guidance", KINDS)
def test_a_trajectory_shows_the_steps_and_does_not_change_the_pictures(runner, guidance):
    before, after = drive(
        runner,
        guided(guidance=guidance),
        guided(guidance=guidance, trajectory=True, scheduler="ddim"),
    )
    assert np.abs(before.images.astype(int) - after.images.astype(int)).max() <= 1
    extras = after.extras
    assert extras["trajectory_steps"].tolist() == [0, 1, 2, 3]
    assert extras["trajectory_timesteps"].tolist() == [999, 749, 499, 249]
    assert extras["trajectory_x_t"].shape == (4, 2, 28, 28)
    assert extras["trajectory_guided"].shape == (4, 2, 28, 28)
    assert extras["trajectory_confidence"].shape == (4, 2)
    assert (extras["trajectory_guidance_norm"] > 0).all() == (guidance != "none")
    assert ("trajectory_gradient" in extras) == (guidance == "classifier")
    assert ("trajectory_cond" in extras) == (guidance == "classifier-free")
    assert np.abs(extras["trajectory_guided"][-1].astype(int) - after.images).max() <= 1


def test_a_long_trajectory_keeps_fifty_steps_and_the_last(runner):
    (result,) = drive(runner, guided(trajectory=True, num_inference_steps=120, count=1))
    steps = result.extras["trajectory_steps"]
    assert len(steps) == 50
    assert steps[-1] == 119


def test_a_trajectory_without_its_classifier_shows_everything_but_confidence(root, models):
    lonely = opened(pixel_diffusion.FAMILY, root / "lonely", models.get)
    widowed = opened(pixel_diffusion.FAMILY, root / "widowed", models.get)
    for alone in (lonely, widowed):
        (result,) = drive(alone, guided(trajectory=True))
        assert "trajectory_guided" in result.extras
        assert "trajectory_confidence" not in result.extras


def test_previews_are_there_for_who_wants_them_once_a_step_is_taken(runner):
    jobs = begin(runner, guided(preview_every=1), guided())
    assert runner.preview(jobs) == [None, None]
    move(runner, jobs)
    shown, unwanted = runner.preview(jobs)
    assert shown is not None
    assert shown.shape == (2, 28, 28)
    assert shown.dtype == np.uint8
    assert unwanted is None


@pytest.mark.parametrize("scheduler", pixel_scheduler_names())
@pytest.mark.parametrize("guidance", ["classifier", "classifier-free"])
def test_the_strongest_guidance_gives_finite_pictures_or_a_sentence(runner, scheduler, guidance):
    request = guided(guidance=guidance, guidance_scale=50, scheduler=scheduler)
    try:
        (result,) = drive(runner, request)
    except UserError as error:
        assert "lower guidance_scale" in str(error)  # noqa: PT017
    else:
        assert result.images.shape == (2, 28, 28)


@pytest.mark.parametrize("scheduler", pixel_scheduler_names())
def test_one_step_is_enough_to_finish(runner, scheduler):
    (result,) = drive(runner, guided(num_inference_steps=1, scheduler=scheduler))
    assert result.images.shape == (2, 28, 28)


def test_numbers_that_run_away_under_guidance_are_a_sentence_about_its_scale(runner):
    (job,) = begin(runner, guided(preview_every=1))
    while job.step < job.total:
        move(runner, [job])
        job.state.x_t = job.state.x_t * float("inf")
    assert runner.preview([job]) == [None], "no picture is shown that is none"
    with pytest.raises(UserError, match="lower guidance_scale"):
        finish(runner, job)


@pytest.mark.parametrize("guidance", KINDS)
def test_broken_weights_are_named_whatever_the_guidance(root, models, guidance):
    broken = opened(pixel_diffusion.FAMILY, root / "ddpm", models.get)
    with torch.no_grad():
        broken.unet.conv_out.bias.fill_(float("nan"))
    with pytest.raises(UserError, match="ddpm gives numbers that are not finite.* weights"):
        drive(broken, guided(guidance=guidance))


def test_broken_weights_of_the_classifier_are_named_as_its_own(root, tmp_path):
    save_tiny_noisy_classifier(tmp_path)
    weights = tmp_path / "noisy" / "model.safetensors"
    tensors = load_file(weights)
    save_file(tensors | {"head.3.bias": torch.full((10,), float("nan"))}, weights)
    followed = metadata_of(noisy_classifier.FAMILY, tmp_path / "noisy")
    led = opened(pixel_diffusion.FAMILY, root / "ddpm", {"noisy": followed}.get)
    with pytest.raises(UserError, match="noisy gives numbers that are not finite"):
        drive(led, guided(guidance="classifier"))


def test_a_classifier_is_loaded_when_it_is_first_followed_once_and_counts_as_memory(root, models):
    looked_up: list[str] = []

    def find(name: str) -> ModelMetadata | None:
        looked_up.append(name)
        return models.get(name)

    fresh = opened(pixel_diffusion.FAMILY, root / "ddpm", find)
    before = fresh.nbytes
    drive(fresh, guided(), guided(guidance="classifier", guidance_scale=0))
    assert (looked_up, fresh.nbytes) == ([], before), "nobody has followed it yet"
    for _ in range(2):
        drive(fresh, guided(guidance="classifier"))
    assert looked_up == ["noisy"]
    assert fresh.nbytes == before + 4 * models["noisy"].parameters


def test_a_classifier_that_went_away_after_the_request_was_taken_is_a_sentence(root):
    led = opened(pixel_diffusion.FAMILY, root / "ddpm")
    with pytest.raises(UserError, match="classifier to follow is gone"):
        drive(led, guided(guidance="classifier"))


def test_a_graph_draws_what_the_network_draws(root, models, runner):
    run = PixelDiffusionRunner.open(models["ddpm"], Device("cpu"), models.get)
    (graph,) = pictures(run, guided())
    (network,) = pictures(runner, guided())
    assert np.abs(graph - network).max() <= 1


def test_without_labels_all_ten_classes_come_in_turn_by_the_seed():
    assert guided(labels=(), seed=8, count=5).target_classes == (8, 9, 0, 1, 2)
    assert guided(labels=(7, 2), count=3).target_classes == (7, 2, 7)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"checkpoint": "lonely"}, "names no classifier to follow"),
        ({"checkpoint": "widowed"}, "there is no checkpoint called 'gone'"),
        ({"classifier": "nothing"}, "there is no checkpoint called 'nothing'"),
        ({"classifier": "../noisy"}, "there is no checkpoint called '../noisy'"),
        ({"classifier": "garments"}, "garments reads fashion, but ddpm draws mnist"),
        ({"classifier": "lonely"}, "lonely is a pixel_diffusion, but guidance follows"),
    ],
    ids=str,
)
def test_a_classifier_that_cannot_be_followed_is_one_sentence(models, values, sentence):
    request = guided(guidance="classifier", **values)
    with pytest.raises(UserError, match=sentence):
        pixel_diffusion.FAMILY.check_request(request, models[request.checkpoint], models.get)
    unguided = guided(guidance="none", **values | {"classifier": None})
    pixel_diffusion.FAMILY.check_request(unguided, models[request.checkpoint], models.get)


@pytest.mark.parametrize("scale", [-1, float("nan"), 1e6, "much"])
def test_a_scale_out_of_range_is_named(scale):
    with pytest.raises(UserError, match=r"guidance_scale is .*, but must be a number from 0 to 50"):
        guided(guidance_scale=scale)


def test_a_class_beyond_nine_is_named():
    with pytest.raises(UserError, match="labels is 10, but must be whole numbers from 0 to 9"):
        guided(labels=(3, 10))


def harm_index(folder: Path) -> None:
    (folder / "model_index.json").write_text('{"_class_name": "DDPMPipeline"}')


def harm_scheduler(folder: Path) -> None:
    (folder / "scheduler" / "scheduler_config.json").unlink()


def harm_beta(folder: Path) -> None:
    (folder / "scheduler" / "scheduler_config.json").write_text('{"beta_end": 5}')


def harm_classifier(folder: Path) -> None:
    write_card(folder, "pixel_diffusion", "Mine", "mnist", "# Mine\n", classifier=[1])


def harm_config(folder: Path) -> None:
    (folder / "unet" / "config.json").write_text('{"block_out_channels": "many"}')


def set_config(**values: Any):
    def harm(folder: Path) -> None:
        path = folder / "unet" / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return harm


def harm_weights(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def lose_weights(folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()


def lose_class_embedding(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    tensors["class_embedding.weight"] = tensors["class_embedding.weight"][:10].clone()
    save_file(tensors, path, {"format": "pt"})


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (harm_index, "names no PixelDiffusionPipeline"),
        (harm_scheduler, "no scheduler_config.json"),
        (harm_config, "describes no UNet2DModel"),
        (set_config(sample_size=None), "describes no UNet2DModel"),
        (set_config(sample_size=5), "has 5 as sample_size, but its blocks need a multiple of 2"),
        (harm_beta, "5 as beta_end, which must be a number above 0 and below 1"),
        (harm_classifier, "the classifier that its card names is no text"),
        (set_config(in_channels=5, out_channels=5), "5 in_channels, which is no square"),
        (set_config(in_channels=9), "conv_in.weight is"),
        (set_config(block_out_channels=[16, 32]), "conv_in.weight is"),
        (harm_weights, "cut short"),
        (lose_weights, "no safetensors file"),
        (lose_class_embedding, r"class_embedding.weight is \[10, 32\], but should be \[11, 32\]"),
    ],
)
def test_a_damaged_folder_is_named_with_the_reason(tmp_path, harm, sentence):
    save_tiny_pixel_diffusion(tmp_path)
    harm(tmp_path / "ddpm")
    with pytest.raises(BrokenCheckpoint, match=sentence):
        metadata_of(pixel_diffusion.FAMILY, tmp_path / "ddpm")


def test_weights_that_do_not_fit_inside_are_named_when_the_model_is_opened(tmp_path):
    save_tiny_pixel_diffusion(tmp_path)
    path = tmp_path / "ddpm" / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    del tensors["mid_block.resnets.0.conv1.weight"]
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(BrokenCheckpoint, match="mid_block.resnets.0.conv1.weight is missing"):
        opened(pixel_diffusion.FAMILY, tmp_path / "ddpm")


def test_a_null_label_stands_beside_the_ten_classes(root):
    pipeline = PixelDiffusionPipeline.from_pretrained(root / "ddpm")
    pipeline.set_progress_bar_config(disable=True)
    generators: Sequence[torch.Generator] = [torch.Generator().manual_seed(0)] * 1
    (picture,) = pipeline([NULL_LABEL], 2, generator=generators)
    assert picture.size == (28, 28)


@pytest.mark.gpu
@pytest.mark.parametrize("scheduler", pixel_scheduler_names())
def test_a_gpu_draws_the_pictures_that_a_cpu_draws(models, runner, scheduler):
    on_gpu = PixelDiffusionRunner.open(models["ddpm"], Device("cuda"), models.get)
    requests = [
        guided(scheduler=scheduler, guidance=kind, eta=0.5 if scheduler == "ddim" else 0)
        for kind in KINDS
    ]
    for there, here in zip(pictures(on_gpu, *requests), pictures(runner, *requests), strict=True):
        assert np.abs(there - here).mean() < 1, "the noise is a CPU's either way"


# --- from a given picture ------------------------------------------------------------------------

SQUARE = np.zeros((28, 28), np.uint8)
SQUARE[8:20, 8:20] = 255


def denoised(**values: object) -> DenoiseRequest:
    defaults = {
        "checkpoint": "ddpm", "guidance": "none", "count": 2, "num_inference_steps": 20,
        "seed": 11, "picture": written(SQUARE), "start_timestep": 400,
    }  # fmt: skip
    return parse_request(DenoiseRequest, **(defaults | values))


@pytest.mark.parametrize("scheduler", pixel_scheduler_names())
def test_a_given_picture_is_noised_as_the_schedule_says_and_denoised_from_there(
    runner: PixelDiffusionRunner, scheduler: str
) -> None:
    request = denoised(scheduler=scheduler, trajectory=True)
    (result,) = drive(runner, request)
    t = result.extras["trajectory_timesteps"]
    assert t[0] <= 400 < t[0] + 1000 / 20 + 3
    assert len(t) == len(result.extras["trajectory_steps"]) < 10
    x_t = result.extras["trajectory_x_t"][0].astype(float) / 127.5 - 1
    table = make_scheduler("ddpm", runner.scheduler_config).alphas_cumprod
    alpha_bar = float(np.interp(t[0], np.arange(len(table)), table))
    noise = torch.stack([torch.randn((28, 28), generator=g) for g in generators(request)])
    wanted = np.sqrt(alpha_bar) * (SQUARE / 127.5 - 1) + np.sqrt(1 - alpha_bar) * noise.numpy()
    assert np.abs(x_t - wanted.clip(-1, 1)).max() < 0.03


def test_a_denoised_picture_is_the_same_alone_and_in_company(runner: PixelDiffusionRunner) -> None:
    mine = denoised()
    alone = pictures(runner, mine)[0]
    together = pictures(runner, *strangers(), mine, denoised(start_timestep=900))
    assert np.abs(together[-2] - alone).max() <= 1
    (second,) = pictures(runner, mine.for_image(1))
    assert np.abs(second[0] - alone[1]).max() <= 1


def test_even_the_least_noise_is_followed_by_one_step(runner: PixelDiffusionRunner) -> None:
    (result,) = drive(runner, denoised(start_timestep=0, trajectory=True))
    assert len(result.extras["trajectory_steps"]) == 1


@pytest.mark.parametrize("picture", ["", "AAAA", "no base64!", "é" * 1046, None, 7])
def test_what_is_no_picture_is_a_sentence(picture: object) -> None:
    with pytest.raises(UserError, match="picture is .*, but must be the 28 x 28 grey values"):
        denoised(picture=picture)


def test_a_recipe_holds_the_picture_that_was_given() -> None:
    request = denoised().for_image(1)
    metadata = GenerationMetadata(request, "pixel_diffusion", "0" * 64)
    kinds = {"DenoiseRequest": DenoiseRequest}
    assert GenerationMetadata.from_text(metadata.to_text(), kinds).request == request
    assert (request.clean == SQUARE).all()
