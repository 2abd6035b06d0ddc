"""How predictions combine under guidance. Knows no model, no scheduler, no job."""

from __future__ import annotations

import torch


def classifier_free(
    noise_pred_uncond: torch.Tensor, noise_pred_text: torch.Tensor, guidance_scale: float
) -> torch.Tensor:
    """Classifier-free guidance: eps = eps_u + s (eps_c - eps_u).

    At s = 1 it is the conditional prediction, at s = 0 the unconditional one; above 1 it
    extrapolates away from what any prompt would give. Ho & Salimans 2022 (arXiv:2207.12598),
    eq. 6, written with s = 1 + w as Stable Diffusion does.

    Args:
        noise_pred_uncond: eps_u, (B, ...).
        noise_pred_text: eps_c, (B, ...).
        guidance_scale: s.
    """
    return noise_pred_uncond + guidance_scale * (noise_pred_text - noise_pred_uncond)
