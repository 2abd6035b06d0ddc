"""How predictions combine under guidance, with sources. Knows no model, scheduler or job.

Every network here predicts eps, the noise in x_t = sqrt(alphabar_t) x_0 + sqrt(1 - alphabar_t) eps
(Ho et al. 2020, arXiv:2006.11239, eq. 4). Up to a factor that prediction is the score, the gradient
of the log-density of noisy pictures: eps(x_t) = -sigma_t grad_{x_t} log p(x_t), with
sigma_t = sqrt(1 - alphabar_t) (Song et al. 2021, arXiv:2011.13456). Guidance draws from
p(x) p(y | x)^s instead of p(x), and Bayes' rule says what that adds to the score:

- ``none``: nothing.
- ``classifier``: s grad log p(y | x_t, t), from a classifier that was trained on noisy pictures.
- ``classifier-free``: the same gradient without a classifier, because by Bayes' rule
  grad log p(y | x) = grad log p(x | y) - grad log p(x): the conditional score less the
  unconditional one. Its scale counts from 1: s here is Ho & Salimans' 1 + w.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def classifier_free(
    noise_pred_uncond: Tensor, noise_pred_text: Tensor, guidance_scale: float
) -> Tensor:
    """Classifier-free guidance: eps = eps_u + s (eps_c - eps_u).

    At s = 1 it is the conditional prediction, at s = 0 the unconditional one; above 1 it
    extrapolates away from what any prompt would give. Ho & Salimans 2022 (arXiv:2207.12598),
    eq. 6, written with s = 1 + w as Stable Diffusion does.

    Args:
        noise_pred_uncond: eps_u, (B, ...).
        noise_pred_text: eps_c, (B, ...); the condition is a text, or a class.
        guidance_scale: s.
    """
    return noise_pred_uncond + guidance_scale * (noise_pred_text - noise_pred_uncond)


def classifier(
    noise_pred: Tensor, gradient: Tensor, guidance_scale: float, alpha_bar: Tensor | float
) -> Tensor:
    """Classifier guidance: eps_guided = eps - s sigma_t grad_{x_t} log p(y | x_t, t).

    At s = 1 it is the exact conditional prediction if both networks are exact (Bayes' rule); a
    larger s sharpens p(y | x_t, t) to its s-th power. Dhariwal & Nichol 2021 (arXiv:2105.05233),
    algorithm 2.

    Args:
        noise_pred: eps, (B, ...), of the unconditional model.
        gradient: grad_{x_t} log p(y | x_t, t), the shape of eps; see `class_gradient`.
        guidance_scale: s.
        alpha_bar: alphabar_t in (0, 1], a number or a tensor that broadcasts to eps;
            sigma_t = sqrt(1 - alphabar_t).
    """
    if isinstance(alpha_bar, Tensor):
        sigma = (1 - alpha_bar.to(noise_pred)).sqrt()
    else:
        sigma = math.sqrt(1 - alpha_bar)  # nothing has to be sent to the device
    return noise_pred - guidance_scale * sigma * gradient


def classifier_of_flow(
    velocity: Tensor, gradient: Tensor, guidance_scale: float, sigma: float
) -> Tensor:
    """Classifier guidance of a flow: what `classifier` takes from eps, taken from eps - x_0.

    On the line x = (1 - sigma) x_0 + sigma eps the velocity v gives eps = x + (1 - sigma) v, so
    what moves eps by d moves v by d / (1 - sigma) (Zheng et al. 2023, arXiv:2311.13443, section 3).

    Args:
        velocity: v, (B, ...), of the unconditional model.
        gradient: grad log p(y | x_t, t) at x_t = x / sqrt((1 - sigma)^2 + sigma^2), the shape of v.
        guidance_scale: s.
        sigma: in (0, 1]. At 1 there is nothing of a picture to be seen, and nothing is moved.
    """
    if sigma >= 1:
        return velocity
    noise = sigma / math.hypot(1 - sigma, sigma)
    return velocity - guidance_scale * noise / (1 - sigma) * gradient


def class_gradient(
    logits: Callable[[Tensor, Tensor], Tensor], x_t: Tensor, timesteps: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradient and value of log p(y | x_t, t), free of any autograd graph.

    Rows do not mix: the gradient of the sum of all log-probabilities is each row's own.

    Args:
        logits: x_t and timesteps to class logits (B, K), differentiable in x_t.
        x_t: (B, ...).
        timesteps: (B,).
        labels: y, (B,) int64.

    Returns:
        grad_{x_t} log p(y | x_t, t), the shape of x_t, and log p(y | x_t, t), (B,).
    """
    with torch.inference_mode(False), torch.enable_grad():
        leaf = x_t.detach().clone().requires_grad_()
        log_probs = logits(leaf, timesteps.clone()).log_softmax(dim=1)
        chosen = log_probs.gather(1, labels.clone()[:, None])[:, 0]
        (gradient,) = torch.autograd.grad(chosen.sum(), leaf)
    return gradient, chosen.detach()
