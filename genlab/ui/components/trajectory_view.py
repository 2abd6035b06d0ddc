"""What runs went through, step by step: pictures, texts and curves that follow one slider, as HTML.

All pictures of a kind lie side by side in one image, the background of a box that shows one of
them: which one, CSS reckons from ``--frame``. So the slider asks nobody and is instant. Knows no
model family, no component and no tensor; a mode brings its own pictures and captions.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from PIL import Image

from genlab.ui.components.pictures import SMALL, data_url, reduced

FOLLOW = """let chosen = null;
let playing = null;
const pause = () => {
    clearInterval(playing);
    playing = null;
    for (const button of element.querySelectorAll(".play")) button.removeAttribute("data-playing");
};
const show = () => {
    const view = element.querySelector(".trajectory[data-positions]");
    if (!view) return;
    const frame = view.querySelector("input[type=range]").value - 1;
    view.style.setProperty("--frame", frame);
    view.style.setProperty("--at", JSON.parse(view.dataset.positions)[frame]);
    for (const line of view.querySelectorAll("[data-lines]"))
        line.textContent = JSON.parse(line.dataset.lines)[frame];
    for (const dot of view.querySelectorAll("[data-heights]"))
        dot.style.bottom = JSON.parse(dot.dataset.heights)[frame] + "%";
};
element.addEventListener("input", event => {
    const slider = event.target;
    if (event.isTrusted) pause();
    chosen = Number(slider.value) < Number(slider.max) ? Number(slider.value) : Infinity;
    show();
});
element.addEventListener("click", event => {
    const button = event.target.closest(".play");
    const slider = element.querySelector("input[type=range]");
    if (!button || playing) return button && pause();
    const go = value => {
        slider.value = value;
        slider.dispatchEvent(new Event("input", {bubbles: true}));
    };
    if (slider.value === slider.max) go(1);
    button.setAttribute("data-playing", "");
    playing = setInterval(() => {
        go(Number(slider.value) + 1);
        if (slider.value === slider.max) pause();
    }, Math.max(100, 5000 / slider.max));
});
watch("value", () => {
    pause();
    const view = element.querySelector(".trajectory[data-positions]");
    const slider = element.querySelector("input[type=range]");
    if (slider && !slider.disabled)
        slider.value = Math.min(chosen ?? view.dataset.start, slider.max);
    show();
});"""
"""Client-side, for the component that holds the view: the slider chooses the step that is shown.

A new run is shown at the step where the slider was put, or where the view opens. Play moves the
slider to the end within five seconds, or a tenth of a second a step.
"""

RED, BLUE = (255, 92, 71), (77, 160, 255)  # above and below 0
HEAT = np.array([(8, 8, 24), (88, 28, 135), (220, 60, 80), (250, 170, 60), (255, 250, 210)], float)
"""From no difference to the largest; the colours of the map, evenly spaced."""
HEADROOM = 0.95  # of a curve's height that its largest value takes


@dataclass(frozen=True)
class Line:
    """One line of a curve: a value at each recorded step."""

    values: Sequence[float]
    colour: str = "var(--color-accent)"
    name: str = ""


@dataclass(frozen=True)
class Curve:
    """Lines over the steps, with a dot on each at the chosen one.

    Attributes:
        title: plain text.
        top: the upper end of y; None: a little above the largest value.
        values: texts, one a step, of which the chosen step's stands behind the title.
        axis: what stands under it from left to right.
        name: the element's id.
    """

    title: str
    lines: Sequence[Line]
    axis: Sequence[str]
    top: float | None = None
    values: Sequence[str] = ()
    name: str = ""


def trajectory_view(
    steps: Sequence[int] | np.ndarray,
    moments: Sequence[str],
    content: str,
    curves: Sequence[Curve] = (),
    info: str = "",
    slider_name: str = "",
    start: int | None = None,
) -> str:
    """The slider, whatever follows it, and the curves.

    Args:
        steps: the recorded steps, ascending, counted from 0; S of them.
        moments: a text for each, shown beside the slider.
        content: HTML made of ``step_images`` and ``follows``.
        info: how the slider works.
        slider_name: the element id of the slider with its label.
        start: the recorded step, counted from 0, at which it opens; None: the last.
    """
    places = json.dumps([round(place, 5) for place in positions(steps)])
    drawn = "".join(_curve(curve, steps) for curve in curves)
    return (
        f'<div class="trajectory" data-positions="{places}" '
        f'data-start="{len(steps) if start is None else start + 1}" '
        f'style="--frames:{len(steps)}">'
        f"{_slider(len(steps), moments, info, slider_name)}{content}"
        + (f'<div class="over-time">{drawn}</div>' if drawn else "")
        + "</div>"
    )


def idle_slider(info: str = "", slider_name: str = "") -> str:
    """The slider before there is anything to follow it."""
    return f'<div class="trajectory">{_slider(0, (), info, slider_name)}</div>'


def step_images(pictures: np.ndarray, caption: str) -> str:
    """A box that shows the chosen step's picture of uint8 (S, H, W[, 3]); its caption is HTML."""
    looks = "step-image pixels" if pictures.shape[1] <= SMALL else "step-image"
    spoken = escape(re.sub("<.*?>", "", caption.replace("</b>", ": ")))
    return (
        f'<figure><div class="{looks}" role="img" aria-label="{spoken}" style="--ratio:'
        f"{pictures.shape[2]}/{pictures.shape[1]};background-image:url({_side_by_side(pictures)})"
        f'"></div><figcaption>{caption}</figcaption></figure>'
    )


def follows(lines: Sequence[str], tag: str = "p", looks: str = "") -> str:
    """An element whose text is that of the chosen step; it begins with the last."""
    kind = f' class="{looks}"' if looks else ""
    return f'<{tag}{kind} data-lines="{escape(json.dumps(lines))}">{escape(lines[-1])}</{tag}>'


def positions(steps: Sequence[int] | np.ndarray) -> list[float]:
    """Where each step lies between the first, 0, and the last, 1."""
    first, last = float(steps[0]), float(steps[-1])
    return [(float(step) - first) / (last - first) if last > first else 0.5 for step in steps]


def signed_map(maps: np.ndarray) -> np.ndarray:
    """Signed maps (S, H, W) as colours (S, H, W, 3): red above 0, blue below, black at 0.

    Each map is scaled to its own largest value.
    """
    top = np.abs(maps).max(axis=(1, 2), keepdims=True)
    scaled = np.divide(maps, top, out=np.zeros_like(maps), where=top > 0)[..., None]
    colour = np.where(scaled > 0, np.array(RED, np.float32), np.array(BLUE, np.float32))
    return (np.abs(scaled) * colour).round().astype(np.uint8)


def difference_map(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How far two runs differ at each pixel, as colours; the largest difference of all is bright.

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


def _slider(count: int, moments: Sequence[str], info: str, name: str) -> str:
    """Play and a range with its label; off while there are no steps to choose from."""
    own = f' id="{name}"' if name else ""
    moment = f" {follows(moments, 'output')}" if moments else ""
    off = "" if count > 1 else " disabled"
    last = max(count, 1)
    return (
        f'<div class="steer"><button type="button" class="play"{off}><b>Play</b><i>Pause</i>'
        f"</button><label{own}><span>Step{moment}</span>"
        + (f"<small>{info}</small>" if info else "")
        + f'<input type="range" min="1" max="{last}" value="{last}"{off}></label></div>'
    )


def _side_by_side(pictures: np.ndarray) -> str:
    """All of them in one image: small ones as PNG; large ones made smaller, and as JPEG."""
    if pictures.shape[1] <= SMALL:
        return data_url(np.concatenate(list(pictures), axis=1))
    row = np.concatenate([reduced(picture) for picture in pictures], axis=1)
    file = io.BytesIO()
    Image.fromarray(row).save(file, format="JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _curve(curve: Curve, steps: Sequence[int] | np.ndarray) -> str:
    largest = max((max(line.values) for line in curve.lines), default=0.0)
    top = curve.top or largest / HEADROOM or 1.0
    places = [100 * place for place in positions(steps)]
    shapes, dots, keys = "", "", ""
    for line in curve.lines:
        heights = [round(100 * value / top, 2) for value in line.values]
        points = " ".join(f"{x:.2f},{100 - y:.2f}" for x, y in zip(places, heights, strict=True))
        shapes += f'<polyline style="stroke:{line.colour}" points="{points}"/>'
        dots += (
            f'<i class="dot" style="bottom:{heights[-1]}%;background:{line.colour}" '
            f'data-heights="{json.dumps(heights)}"></i>'
        )
        if line.name:
            keys += f'<span style="--key:{line.colour}">{escape(line.name)}</span>'
    own = f' id="{curve.name}"' if curve.name else ""
    value = f": {follows(curve.values, 'b')}" if curve.values else ""
    scale = "".join(
        f'<span style="bottom:{percent}%">{text}</span>'
        for percent, text in ((100, f"{top:.3g}"), (50, f"{top / 2:.2g}"), (0, "0"))
    )
    axis = "".join(f"<span>{escape(text)}</span>" for text in curve.axis)
    return (
        f'<figure class="curve"{own}><figcaption><p>{escape(curve.title)}{value}</p>{keys}'
        f'</figcaption><div class="chart">{scale}'
        '<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">'
        f'{shapes}</svg><i class="mark"></i>{dots}</div><footer>{axis}</footer></figure>'
    )
