"""Flow matching: straight lines against closed forms; drawn and guided as diffusion is."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from genlab.diffusion import guidance
from genlab.diffusion.schedulers import alpha_bar, predicted_clean, set_steps
from genlab.families import noisy_classifier, pixel_diffusion
from genlab.families.pixel_diffusion.network import (
    PixelDiffusionPipeline,
    build_flow_scheduler,
    build_scheduler,
)
from genlab.families.pixel_diffusion.request import (
    DenoiseRequest,
    PixelDiffusionRequest,
    written,
)
from genlab.families.pixel_diffusion.runner import PixelDiffusionRunner
from genlab.families.pixel_diffusion.train import spread_sigmas, timesteps_of_both_kinds
from genlab.formats.metadata import ModelMetadata
from genlab.requests import UserError, parse_request
from tests.drive import drive, metadata_of, opened
from tests.test_guidance import MEANS, SPREAD, WEIGHTS, exact_eps, exact_gradient
from tests.tiny_diffusion import save_tiny_flow, save_tiny_noisy_classifier


def exact_velocity(x: Tensor, sigma: float, label: int | None = None) -> Tensor:
    """E[eps - x_0 | x] of test_guidance's mixture on x = (1 - sigma) x_0 + sigma eps."""
    norm = math.hypot(1 - sigma, sigma)
    eps = exact_eps(x / norm, (1 - sigma) ** 2 / norm**2, label)
    return (eps - x) / (1 - sigma)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(64, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("sigma", [0.05, 0.5, 0.97])
@pytest.mark.parametrize("label", [0, 1, 2])
def test_exact_classifier_guidance_at_scale_one_gives_the_exact_conditional_velocity(
    x, sigma, label
):
    norm = math.hypot(1 - sigma, sigma)
    gradient = exact_gradient(x / norm, (1 - sigma) ** 2 / norm**2, label)
    guided = guidance.classifier_of_flow(exact_velocity(x, sigma), gradient, 1.0, sigma)
    assert torch.allclose(guided, exact_velocity(x, sigma, label), atol=1e-9)


def test_pure_noise_is_moved_nowhere_by_a_classifier(x):
    assert torch.equal(guidance.classifier_of_flow(x, torch.ones_like(x), 30.0, 1.0), x)


@pytest.mark.parametrize("label", [None, 0, 1, 2])
def test_eulers_method_along_the_exact_velocity_draws_the_mixture(label):
    scheduler = build_flow_scheduler()
    set_steps(scheduler, 100)
    x = torch.randn(2000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for k, t in enumerate(scheduler.timesteps):
        sigma = min(float(scheduler.sigmas[k]), 1 - 1e-6)
        x = scheduler.step(exact_velocity(x, sigma, label), t, x).prev_sample
    weights = WEIGHTS if label is None else torch.eye(3, dtype=torch.float64)[label]
    nearest = (x[:, None] - MEANS).square().sum(2).argmin(1)
    shares = torch.bincount(nearest, minlength=3) / len(x)
    assert torch.allclose(shares.double(), weights, atol=0.04)
    gaps = (x - MEANS[nearest]).std()
    assert abs(gaps - SPREAD) < 0.02


def test_one_step_goes_the_whole_line_and_a_picture_is_where_it_leads():
    scheduler = build_flow_scheduler()
    set_steps(scheduler, 1)
    noise, velocity = torch.randn(2, 3), torch.randn(2, 3)
    clean = predicted_clean(scheduler, velocity, noise, 0)
    drawn = scheduler.step(velocity, scheduler.timesteps[0], noise).prev_sample
    assert torch.allclose(drawn, clean)
    assert torch.allclose(clean, noise - velocity)
    assert alpha_bar(scheduler, 0) == 0


def test_sigmas_lie_within_the_line_and_mostly_in_its_middle():
    torch.manual_seed(0)
    sigmas = spread_sigmas(10_000)
    assert sigmas.min() > 0
    assert sigmas.max() < 1
    assert sigmas.mean() == pytest.approx(0.5, abs=0.01)
    inner = ((sigmas > 0.25) & (sigmas < 0.75)).float().mean()
    assert inner == pytest.approx(0.728, abs=0.01), "P(|z| < ln 3) of a normal z"


def test_half_of_the_timesteps_are_uniform_and_half_lie_where_the_flow_looks():
    torch.manual_seed(0)
    alphas_cumprod = build_scheduler().alphas_cumprod
    steps = timesteps_of_both_kinds(10_000, alphas_cumprod, 0.5)
    uniform, shown = steps.split(5_000)
    assert torch.histc(uniform.float(), 10, 0, 1000).tolist() == pytest.approx([500] * 10, abs=2)
    signal, noise = alphas_cumprod[shown].sqrt(), (1 - alphas_cumprod[shown]).sqrt()
    quartiles = (noise / (noise + signal)).quantile(torch.tensor([0.25, 0.5, 0.75]))
    sigmas = spread_sigmas(5_000).quantile(torch.tensor([0.25, 0.5, 0.75]))
    assert torch.allclose(quartiles, sigmas, atol=0.01)
    assert int(steps.max()) < len(alphas_cumprod)
    plain = timesteps_of_both_kinds(1_000, alphas_cumprod, 0)
    assert plain.tolist() == list(range(1_000)), "as Algorithm 1, one from each equal part"


# --- drawn by the engine -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("checkpoints")
    save_tiny_flow(root)
    save_tiny_noisy_classifier(root)
    return root


@pytest.fixture(scope="module")
def models(root: Path) -> dict[str, ModelMetadata]:
    return {
        "flow": metadata_of(pixel_diffusion.FAMILY, root / "flow"),
        "noisy": metadata_of(noisy_classifier.FAMILY, root / "noisy"),
    }


@pytest.fixture(scope="module")
def runner(root: Path, models: dict[str, ModelMetadata]) -> PixelDiffusionRunner:
    return opened(pixel_diffusion.FAMILY, root / "flow", models.get)


def asked(**values: Any) -> PixelDiffusionRequest:
    defaults = {
        "checkpoint": "flow", "labels": (3, 1), "count": 2, "num_inference_steps": 5, "seed": 4
    }  # fmt: skip
    return parse_request(PixelDiffusionRequest, **(defaults | values))


def pictures(runner: PixelDiffusionRunner, *requests: PixelDiffusionRequest) -> list[np.ndarray]:
    return [result.images.astype(int) for result in drive(runner, *requests)]


def test_on_a_flow_ddim_and_euler_are_one_rule_and_draw_what_the_pipeline_draws(root, runner):
    ddim, euler = pictures(runner, asked(), asked(scheduler="euler"))
    assert np.abs(ddim - euler).max() == 0
    pipeline = PixelDiffusionPipeline.from_pretrained(root / "flow")
    pipeline.set_progress_bar_config(disable=True)
    seeds = [torch.Generator().manual_seed(4 + k) for k in range(2)]
    stock = np.stack([np.asarray(p) for p in pipeline((3, 1), 5, 2.0, generator=seeds)])
    assert ddim.std() > 10
    assert np.abs(ddim - stock).max() <= 1


@pytest.mark.parametrize("method", ["none", "classifier", "classifier-free"])
def test_a_flow_is_guided_previewed_and_followed_in_company(runner, method):
    request = asked(guidance=method, guidance_scale=4.0, trajectory=True, preview_every=1)
    (alone,) = drive(runner, request)
    _, together = drive(runner, asked(seed=9, guidance="classifier"), request, joins=(0, 1))
    assert np.abs(alone.images.astype(int) - together.images).max() <= 1
    assert all(np.isfinite(v).all() for v in alone.extras.values() if v.dtype.kind == "f")
    frames = {k.removeprefix("trajectory_"): v for k, v in alone.extras.items()}
    assert frames["alpha_bar"][0] == 0
    assert frames["timesteps"].tolist() == [1000, 800, 600, 400, 200]
    if method == "classifier":
        assert frames["guidance_norm"][0].max() == 0
        assert frames["guidance_norm"][1:].min() > 0


def test_a_given_picture_is_noised_along_its_line_and_denoised(runner):
    grey = np.full((28, 28), 90, np.uint8)
    late, early = (
        parse_request(
            DenoiseRequest, checkpoint="flow", picture=written(grey), start_timestep=t,
            num_inference_steps=50, guidance="none",
        )
        for t in (20, 1000 - 1)
    )  # fmt: skip
    near, far = pictures(runner, late, early)
    assert np.abs(near - 90).mean() < 12 < np.abs(far - 90).mean()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"scheduler": "ddpm"},
            "flow is a flow, so scheduler must be one of ddim, euler, but is 'ddpm'.",
        ),
        ({"eta": 0.5}, "flow is a flow, so eta must be 0, but is 0.5."),
    ],
)
def test_what_a_flow_has_not_is_refused_before_the_run(models, values, sentence):
    with pytest.raises(UserError) as refused:
        pixel_diffusion.check_request(asked(**values), models["flow"], models.get)
    assert str(refused.value) == sentence
