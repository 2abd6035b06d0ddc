"""A film of classifier-free guidance as HTML: every step is in the page, a slider shows one.

Nothing is asked of the server when the slider moves. Knows no component and no tensor.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from genlab.ui.components.pictures import SMALL, data_url, reduced

HEAT = np.array([(8, 8, 24), (88, 28, 135), (220, 60, 80), (250, 170, 60), (255, 250, 210)], float)
"""From no difference to the largest; the colours of the map, evenly spaced."""
SHOWN = {
    "uncond": ("Unconditional", "the empty or negative prompt"),
    "cond": ("Conditional", "the prompt"),
    "guided": ("Guided", "what the step takes"),
    "difference": ("Difference", "where the prompt speaks"),
}
FOLLOW = """const show = () => {
    const slider = element.querySelector("input[type=range]");
    if (!slider) return;
    const chosen = String(Math.min(slider.value, slider.max) - 1);
    for (const frame of element.querySelectorAll("[data-frame]")) {
        frame.hidden = frame.dataset.frame !== chosen;
        if (frame.hidden) continue;
        element.querySelector("output").textContent = frame.dataset.told;
        const mark = element.querySelector(".mark");
        mark.style.left = frame.dataset.x;
        mark.style.bottom = frame.dataset.y;
        mark.title = frame.dataset.norm;
        element.querySelector(".norm").textContent = frame.dataset.norm;
    }
};
element.addEventListener("input", show);
watch("value", show);"""
"""Client-side: the slider chooses the frame; a new film is shown where the slider stands."""


def film_html(extras: Mapping[str, Any]) -> str:
    """The slider, the pictures of each step and the curve of the guidance.

    Args:
        extras: a Result's ``film_*`` of a guided run; its picture 0 is shown.
    """
    made = {name: extras[f"film_{name}"][:, 0] for name in ("uncond", "cond", "guided")}
    made["difference"] = difference_map(made["cond"], made["uncond"])
    steps = [int(step) + 1 for step in extras["film_steps"]]
    total = steps[-1]  # the last step is always kept
    norms = [float(norm) for norm in extras["film_guidance_norm"][:, 0]]
    where = [100 * (step - 1) / max(total - 1, 1) for step in steps]
    heights = [90 * norm / max(*norms, 1e-9) for norm in norms]
    last = len(steps) - 1
    told = [
        f"{step} of {total}, t = {t:.0f}"
        for step, t in zip(steps, extras["film_timesteps"], strict=True)
    ]
    frames = []
    for k in range(len(steps)):
        pictures = "".join(_figure(name, made[name][k]) for name in SHOWN)
        frames.append(
            f'<div class="frame" data-frame="{k}" data-told="{told[k]}" data-x="{where[k]:.2f}%" '
            f'data-y="{heights[k]:.2f}%" data-norm="{norms[k]:.2f}"{" hidden" * (k != last)}>'
            f"{pictures}</div>"
        )
    line = " ".join(f"{x:.2f},{100 - y:.2f}" for x, y in zip(where, heights, strict=True))
    return (
        f'<div class="film"><label><span>Step <output>{told[-1]}</output></span>'
        f'<input type="range" min="1" max="{last + 1}" value="{last + 1}"></label>'
        f"{''.join(frames)}"
        f'<div class="pull"><p>Guidance at this step, ‖guided − unconditional‖: '
        f'<b class="norm">{norms[-1]:.2f}</b></p><div class="line"><svg viewBox="0 0 100 100" '
        f'preserveAspectRatio="none" aria-hidden="true"><polyline points="{line}"/></svg>'
        f'<i class="mark" style="left:{where[-1]:.2f}%;bottom:{heights[-1]:.2f}%"></i></div>'
        "<footer><span>first step: noise</span><span>last step: picture</span></footer>"
        "</div></div>"
    )


def difference_map(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How far two films differ at each pixel, as colours; the largest difference of all is bright.

    Args:
        one, other: uint8 (S, H, W[, 3]).

    Returns:
        uint8 (S, H, W, 3).
    """
    gap = np.abs(one.astype(float) - other.astype(float))
    gap = gap.mean(axis=-1) if gap.ndim == 4 else gap
    share = gap / max(gap.max(), 1.0) * (len(HEAT) - 1)
    stops = np.arange(len(HEAT))
    channels = [np.interp(share, stops, HEAT[:, c]) for c in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def blank_film() -> str:
    """The place that a film will take."""
    return '<div class="blank" style="--ratio:4/2">Nothing drawn yet</div>'


def _figure(name: str, picture: np.ndarray) -> str:
    title, what = SHOWN[name]
    looks = "pixels" if picture.shape[0] <= SMALL else ""
    return (
        f'<figure><img class="{looks}" src="{_light_url(picture)}" alt="{title}">'
        f"<figcaption><b>{title}</b><span>{what}</span></figcaption></figure>"
    )


def _light_url(picture: np.ndarray) -> str:
    """A small picture as PNG; a large one, of which a film has a hundred, smaller and as JPEG."""
    if picture.shape[0] <= SMALL:
        return data_url(picture)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(reduced(picture))).save(file, format="JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
