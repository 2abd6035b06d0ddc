"""What is shown of a drawn digit, as HTML. Knows no component and no tensor."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from genlab.engine.events import Result
from genlab.models.examples import Examples
from genlab.ui.components.pictures import blank, grid
from genlab.ui.tabs.vae.codes_plot import codes_alone, farthest

ROWS = (
    ("trajectory_x_t", "noised"),
    ("trajectory_uncond", "one guess from there"),
)


def restored(
    given: np.ndarray | None, titles: Sequence[str], pictures: Sequence[np.ndarray]
) -> str:
    """The picture itself, uint8 (28, 28), and what each VAE restores of it, with its error."""
    if given is None:
        return blank(5, 1)
    cards = [_card(given, "What they are given", "")]
    for title, picture in zip(titles, pictures, strict=True):
        error = np.square((picture.astype(float) - given.astype(float)) / 255).mean()
        cards.append(_card(picture, title, f"squared error {error:.4f}"))
    return f'<div class="cards-row">{"".join(cards)}</div>'


def denoised_rows(result: Result | None, times: int) -> str:
    """What each noise made of the picture, what one step sees behind it, what all steps draw."""
    if result is None:
        return blank(times, 3)
    t = float(result.extras["trajectory_timesteps"][0])
    steps = len(result.extras["trajectory_steps"])
    shown = [(f"{words}", result.extras[key][0]) for key, words in ROWS]
    shown.append((f"after {steps} steps", result.images))
    rows = []
    for words, pictures in shown:
        alts = [f"{words}, noise {k + 1} of {times}" for k in range(len(pictures))]
        rows.append(
            f'<div class="way"><b>{words}</b>'
            f"<div>{grid(pictures, columns=times, alts=alts)}</div></div>"
        )
    return f"<p>Begun at t = {t:.0f}.</p>" + "".join(rows)


def placed(
    codes: Sequence[tuple[str, np.ndarray]], known: Examples, count: int, given: np.ndarray
) -> str:
    """The planes of VAEs of two numbers, with the code of the picture among those of test pictures.

    Args:
        codes: title and mu, (1 + N, 2), the picture's own first.
        known: whose first ``count`` pictures the others are.
        given: the picture, uint8 (H, W), which may be one of them.
    """
    planes = []
    labels = known.labels[:count]
    itself = (known.images[:count] == given).all(axis=(1, 2))
    for title, mu in codes:
        own, others = mu[0], mu[1:]
        at = own[0], own[1]
        plane = codes_alone(others, labels, known.classes, farthest([mu]), at, itself)
        planes.append(f"<div><h3>{escape(title)}</h3>{plane}</div>")
    return f'<div class="two-planes">{"".join(planes)}</div>'


def _card(picture: np.ndarray, title: str, note: str) -> str:
    alt = f"{title}: {note}" if note else title
    small = f"<small>{escape(note)}</small>" if note else ""
    image = grid(picture[None], columns=1, alts=[alt])
    return f"<div>{image}<p>{escape(title)}{small}</p></div>"
