"""Noise schedules: how much of a picture is left at each timestep, as numbers and as a plot.

Knows no component and no tensor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

TIMESTEPS = 1000
DECADES = 4  # of the signal-to-noise ratio above and below 1
COLOURS = {"linear": "#4e79a7", "cosine": "#f28e2b"}
WORDS = {"linear": "linear (Ho et al. 2020)", "cosine": "cosine (Nichol & Dhariwal 2021)"}


def schedules() -> Mapping[str, np.ndarray]:
    """alphabar_t, the share of signal in the variance of x_t, (TIMESTEPS,), of each schedule.

    Linear: beta_t from 1e-4 to 0.02 (Ho et al. 2020, arXiv:2006.11239, section 4), alphabar_t is
    the product of 1 - beta. Cosine: f(t) / f(0) with f(t) = cos^2((t / T + s) / (1 + s) pi / 2) and
    s = 0.008 (Nichol & Dhariwal 2021, arXiv:2102.09672, eq. 17).
    """
    linear = np.cumprod(1 - np.linspace(1e-4, 0.02, TIMESTEPS))
    t = np.arange(TIMESTEPS + 1) / TIMESTEPS
    f = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2
    return {"linear": linear, "cosine": f[1:] / f[0]}


def signal_to_noise(alpha_bar: np.ndarray) -> np.ndarray:
    """alphabar_t / (1 - alphabar_t), the ratio of the variances of signal and noise in x_t."""
    return alpha_bar / np.maximum(1 - alpha_bar, 1e-12)


def plot(timesteps: Sequence[float], alpha_bar: Sequence[float]) -> str:
    """The signal-to-noise ratio of each schedule against t, and dots where a model was asked.

    Args:
        timesteps: of the dots, from 0 to TIMESTEPS.
        alpha_bar: likewise; of the model's own schedule.
    """
    lines = ""
    for name, values in schedules().items():
        heights = _height(values)
        points = " ".join(f"{t},{100 - 100 * heights[t]:.1f}" for t in range(0, TIMESTEPS, 5))
        lines += f'<polyline points="{points}" style="stroke:{COLOURS[name]}"/>'
    dots = "".join(
        f'<i class="dot" style="--at:{t / TIMESTEPS:.3f};bottom:{100 * height:.1f}%"></i>'
        for t, height in zip(timesteps, _height(np.asarray(alpha_bar)), strict=True)
    )
    scale = "".join(
        f'<span style="bottom:{at}%">{words}</span>'
        for at, words in ((0, "10⁻⁴"), (50, "1"), (100, "10⁴"))
    )
    keys = "".join(f'<span style="--key:{COLOURS[n]}">{w}</span>' for n, w in WORDS.items())
    return (
        '<figure class="curve noise-curve"><figcaption><p>Signal to noise against t</p>'
        f'{keys}</figcaption><div class="chart">{scale}'
        f'<svg viewBox="0 0 {TIMESTEPS} 100" preserveAspectRatio="none" role="img" '
        f'aria-label="Signal to noise of both schedules">{lines}</svg>{dots}</div>'
        f"<footer><span>t = 0</span><span>{TIMESTEPS}</span></footer></figure>"
    )


def _height(alpha_bar: np.ndarray) -> np.ndarray:
    """Where a ratio lies in the plot, from 0 to 1."""
    decades = np.log10(np.maximum(signal_to_noise(alpha_bar), 1e-12))
    return np.clip((decades + DECADES) / (2 * DECADES), 0, 1)
