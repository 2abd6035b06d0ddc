"""Guidance against closed forms: a Gaussian mixture whose scores and posterior are known."""

from __future__ import annotations

import math

import pytest
import torch
from diffusers import DDIMScheduler

from genlab.diffusion import guidance
from genlab.families.noisy_classifier.network import NoisyClassifier

MEANS = torch.tensor([[-0.6, 0.1], [0.5, 0.4], [0.2, -0.7]], dtype=torch.float64)
WEIGHTS = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
SPREAD = 0.15
"""p(x_0) = sum_k WEIGHTS_k N(MEANS_k, SPREAD^2 I), y = k; so x_t given y is Gaussian as well."""


def log_joint(x_t: torch.Tensor, alpha_bar: float) -> torch.Tensor:
    """log p(x_t, y), (B, 3), up to a constant."""
    variance = alpha_bar * SPREAD**2 + 1 - alpha_bar
    gaps = (x_t[:, None] - math.sqrt(alpha_bar) * MEANS).square().sum(dim=2)
    return WEIGHTS.log() - gaps / (2 * variance) - math.log(variance)


def exact_eps(x_t: torch.Tensor, alpha_bar: float, label: int | None = None) -> torch.Tensor:
    """-sigma_t grad log p(x_t), or of p(x_t | y = label): what a perfect network predicts."""
    leaf = x_t.clone().requires_grad_()
    joint = log_joint(leaf, alpha_bar)
    log_p = joint.logsumexp(1) if label is None else joint[:, label]
    (score,) = torch.autograd.grad(log_p.sum(), leaf)
    return -math.sqrt(1 - alpha_bar) * score


def exact_gradient(x_t: torch.Tensor, alpha_bar: float, label: int) -> torch.Tensor:
    """grad_{x_t} log p(y = label | x_t) through the code under test; logits = log p(x_t, y)."""
    times, labels = torch.zeros(len(x_t)), torch.full((len(x_t),), label)
    return guidance.class_gradient(lambda x, t: log_joint(x, alpha_bar), x_t, times, labels)[0]


@pytest.fixture
def x_t() -> torch.Tensor:
    return torch.randn(64, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("scale", "expected"), [(0.0, 2.0), (1.0, 5.0), (3.0, 11.0)])
def test_classifier_free_guidance_extrapolates_from_uncond_through_cond(scale, expected):
    guided = guidance.classifier_free(torch.full((2, 3), 2.0), torch.full((2, 3), 5.0), scale)
    assert torch.allclose(guided, torch.full((2, 3), expected))


@pytest.mark.parametrize("alpha_bar", [0.999, 0.6, 0.05])
@pytest.mark.parametrize("label", [0, 1, 2])
def test_exact_classifier_guidance_at_scale_one_is_the_exact_conditional_prediction(
    x_t, alpha_bar, label
):
    gradient = exact_gradient(x_t, alpha_bar, label)
    guided = guidance.classifier(exact_eps(x_t, alpha_bar), gradient, 1.0, alpha_bar)
    assert torch.allclose(guided, exact_eps(x_t, alpha_bar, label), atol=1e-9)


def test_alpha_bar_may_be_a_number_or_a_tensor_a_row(x_t):
    eps, gradient = exact_eps(x_t, 0.4), exact_gradient(x_t, 0.4, 2)
    number = guidance.classifier(eps, gradient, 3.0, 0.4)
    rows = guidance.classifier(eps, gradient, 3.0, torch.full((len(x_t), 1), 0.4))
    assert torch.allclose(number, rows, atol=1e-6)


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 4.0])
def test_with_exact_networks_both_kinds_of_guidance_are_one(x_t, scale):
    uncond, cond = exact_eps(x_t, 0.4), exact_eps(x_t, 0.4, 2)
    led = guidance.classifier(uncond, exact_gradient(x_t, 0.4, 2), scale, 0.4)
    assert torch.allclose(led, guidance.classifier_free(uncond, cond, scale), atol=1e-9)


@pytest.mark.parametrize("label", [0, 1, 2])
def test_guided_sampling_of_the_mixture_draws_the_target_component(label):
    scheduler = DDIMScheduler(
        beta_start=1e-4, beta_end=0.02, beta_schedule="linear",
        clip_sample=False, timestep_spacing="trailing",
    )  # fmt: skip
    scheduler.set_timesteps(200)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2000, 2, dtype=torch.float64, generator=generator)
    for t in scheduler.timesteps:
        alpha_bar = float(scheduler.alphas_cumprod[t])
        eps = guidance.classifier(
            exact_eps(x, alpha_bar), exact_gradient(x, alpha_bar, label), 1.0, alpha_bar
        )
        x = scheduler.step(eps, t, x).prev_sample
    assert torch.allclose(x.mean(dim=0), MEANS[label], atol=0.02)
    assert torch.allclose(x.std(dim=0), torch.full((2,), SPREAD, dtype=x.dtype), atol=0.02)


def test_the_gradient_agrees_with_finite_differences():
    torch.manual_seed(0)
    network = NoisyClassifier((8, 8), 16).double()
    x, t, y = (
        torch.randn(3, 1, 28, 28).double(),
        torch.tensor([0, 500, 999]),
        torch.tensor([1, 5, 9]),
    )

    def log_prob(x: torch.Tensor) -> torch.Tensor:
        return network(x, t).log_softmax(1).gather(1, y[:, None])[:, 0]

    gradient, value = guidance.class_gradient(network, x, t, y)
    assert torch.allclose(value, log_prob(x))
    direction = torch.randn_like(x)
    step = 1e-5
    with torch.no_grad():
        slope = (log_prob(x + step * direction) - log_prob(x - step * direction)) / (2 * step)
    exact = (gradient * direction).sum(dim=(1, 2, 3))
    error = ((slope - exact).abs() / exact.abs()).max().item()
    print(f"relative error against central differences: {error:.1e}")
    assert error < 1e-6


def test_no_graph_leaves_the_gradient_even_inside_inference_mode():
    network = NoisyClassifier((8, 8), 16)
    with torch.inference_mode():
        x = torch.randn(2, 1, 28, 28)
        gradient, value = guidance.class_gradient(
            network, x, torch.tensor([3, 3]), torch.tensor([0, 1])
        )
    assert not gradient.requires_grad
    assert not value.requires_grad
    assert all(parameter.grad is None for parameter in network.parameters())
