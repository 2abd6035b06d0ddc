"""A film of guided runs as HTML: strips, and one step of each run large. Knows no component.

All pictures of a run lie side by side in one PNG, the background of a box that shows one of them:
which one, CSS reckons from ``--frame``. So moving the slider asks nobody and is instant.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from genlab.requests import PixelDiffusionRequest
from genlab.ui.components.pictures import data_url, grid
from genlab.ui.tabs.guidance.settings import METHODS, UNCOND

STRIP = 8  # steps in the overview
RED, BLUE = (255, 92, 71), (77, 160, 255)  # more ink, less ink
TOLD = "guidance-film"
"""Elem_id of what holds the film, its slider and its curves."""

FOLLOW = f"""step => {{
    const film = document.getElementById("{TOLD}");
    const told = film.querySelector("[data-positions]");
    if (!told) return;
    const positions = JSON.parse(told.dataset.positions);
    const frame = Math.min(Math.max(Math.round(step), 1), positions.length) - 1;
    film.style.setProperty("--frame", frame);
    film.style.setProperty("--at", positions[frame]);
    for (const line of film.querySelectorAll("[data-lines]"))
        line.textContent = JSON.parse(line.dataset.lines)[frame];
}}"""
"""Shows a step of the film, counted from 1; runs in the browser alone."""

LEGEND = (
    '<p class="note legend"><b class="more">red</b>: guidance puts ink here; '
    '<b class="less">blue</b>: it takes ink away. Each step is scaled to its strongest pixel.</p>'
)


def film(
    extras: Mapping[str, Mapping[str, Any]], requests: Mapping[str, PixelDiffusionRequest]
) -> str:
    """The films of the methods side by side, each of one picture.

    Args:
        extras: what a run with ``film`` reports, by method; every array has one picture.
        requests: what was asked, by method.
    """
    first = next(iter(extras.values()))
    steps = np.asarray(first["film_steps"])
    times = np.asarray(first["film_timesteps"])
    total = next(iter(requests.values())).num_inference_steps
    lines = [f"Step {s + 1} of {total}, t = {t:.0f}" for s, t in zip(steps, times, strict=True)]
    told = json.dumps([round(p, 5) for p in positions(steps)])
    panels = "".join(_panel(name, extras[name], requests[name]) for name in extras)
    return (
        f'<div class="films" data-positions="{told}" style="--frames:{len(steps)}">'
        f"<p class='moment' aria-live='polite' {_lines(lines)}</p>"
        f'<div class="panels">{panels}</div>{LEGEND}</div>'
    )


def positions(steps: Sequence[int] | np.ndarray) -> list[float]:
    """Where each step lies between the first, 0, and the last, 1."""
    first, last = float(steps[0]), float(steps[-1])
    return [(float(s) - first) / (last - first) if last > first else 0.5 for s in steps]


def _panel(name: str, extras: Mapping[str, Any], request: PixelDiffusionRequest) -> str:
    """One method: the overview, the chosen step large, and what guided it there."""
    method = METHODS[name]
    x_t, guided = _one(extras, "film_x_t"), _one(extras, "film_guided")
    chosen = np.unique(np.linspace(0, len(x_t) - 1, STRIP).round().astype(int))
    captions = [str(extras["film_steps"][k] + 1) for k in chosen]
    overview = grid(x_t[chosen], columns=len(chosen))
    overview += grid(guided[chosen], captions, columns=len(chosen))
    large = _frames(x_t, "<i>x<sub>t</sub></i>") + _frames(guided, "predicted <i>x</i><sub>0</sub>")
    inside = "".join(_frames(*what) for what in _inside(name, extras))
    small = inside or '<p class="note">Nothing steers this one.</p>'
    return (
        f'<section><h3 class="panel-title">{method.title}</h3>'
        f'<p class="formula">{method.formula}{_scale(name, request)}</p>'
        f'<div class="overview">{overview}</div>'
        f'<div class="large">{large}</div>'
        f'<p class="said" {_lines(_figures(extras))}</p>'
        f'<div class="small">{small}</div></section>'
    )


def _inside(name: str, extras: Mapping[str, Any]) -> list[tuple[np.ndarray, str]]:
    """What a method's guidance is made of: pictures (S, H, W[, 3]) and what they are."""
    shown = []
    if name == "classifier-free" and "film_cond" in extras:
        uncond, cond = _one(extras, "film_uncond"), _one(extras, "film_cond")
        difference = cond.astype(np.float32) - uncond.astype(np.float32)
        shown += [
            (uncond, f"<i>x</i><sub>0</sub> by {UNCOND}"),
            (cond, "<i>x</i><sub>0</sub> by <i>ε</i><sub>c</sub>"),
            (diverging(difference), "their difference"),
        ]
    if name == "classifier" and "film_gradient" in extras:
        if "film_uncond" in extras:
            shown.append((_one(extras, "film_uncond"), f"<i>x</i><sub>0</sub> by {UNCOND}"))
        gradient = _one(extras, "film_gradient").astype(np.float32)
        what = "gradient ∇ log <i>p</i>(<i>y</i> | <i>x<sub>t</sub></i>)"
        shown.append((diverging(gradient), what))
    return shown


def diverging(maps: np.ndarray) -> np.ndarray:
    """Signed maps (S, H, W) as colours (S, H, W, 3): red above 0, blue below, black at 0.

    Each map is scaled to its own largest value.
    """
    top = np.abs(maps).max(axis=(1, 2), keepdims=True)
    scaled = np.divide(maps, top, out=np.zeros_like(maps), where=top > 0)[..., None]
    colour = np.where(scaled > 0, np.array(RED, np.float32), np.array(BLUE, np.float32))
    return (np.abs(scaled) * colour).round().astype(np.uint8)


def _one(extras: Mapping[str, Any], key: str) -> np.ndarray:
    """A film (S, 1, ...) of one picture as (S, ...)."""
    return np.asarray(extras[key])[:, 0]


def _frames(pictures: np.ndarray, caption: str) -> str:
    """A box that shows one of the pictures (S, H, W[, 3]), with its caption."""
    side_by_side = np.concatenate(list(pictures), axis=1)  # (H, S * W[, 3])
    spoken = re.sub("<.*?>", "", caption)
    return (
        f'<figure><div class="reel" role="img" aria-label="{spoken}" style="background-image:'
        f'url({data_url(side_by_side)})"></div><figcaption>{caption}</figcaption></figure>'
    )


def _figures(extras: Mapping[str, Any]) -> list[str]:
    """How sure the classifier is and how hard guidance pushes, a line a step."""
    lines = [f"push {norm:.2f}" for norm in _one(extras, "film_guidance_norm")]
    if "film_confidence" not in extras:
        return lines
    sure = _one(extras, "film_confidence")
    return [f"p(y | xₜ) = {100 * p:.0f} %, {line}" for p, line in zip(sure, lines, strict=True)]


def _lines(lines: Sequence[str]) -> str:
    """Attributes and text of an element whose text follows the chosen step; begins at the last."""
    return f'data-lines="{escape(json.dumps(lines))}">{escape(lines[-1])}'


def _scale(name: str, request: PixelDiffusionRequest) -> str:
    return "" if name == "none" else f", <i>s</i> = {request.guidance_scale:g}"
