"""The axes of a grid: which setting, which values, and the request of each cell. No component."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.requests import UserError, parse_request

MOST = 64  # cells
NOTHING = "(none)"  # how an empty negative prompt is written
AXES = {  # setting: what it is called in a label, and the values to begin with
    "num_inference_steps": ("steps", "1, 2, 5, 10, 25"),
    "guidance_scale": ("scale", "1, 2, 4, 8, 15"),
    "seed": ("seed", "1, 2, 3, 4, 5"),
    "scheduler": ("scheduler", "ddim, dpmpp-2m, euler, euler-ancestral, ddpm"),
    "negative_prompt": ("negative prompt", f"{NOTHING}, red, blue, a sneaker"),
}


@dataclass(frozen=True)
class Axis:
    """One setting and the values that it takes along a grid."""

    name: str
    values: tuple[Any, ...]

    @property
    def title(self) -> str:
        """What the axis is called in a label."""
        return AXES[self.name][0]

    @property
    def labels(self) -> list[str]:
        """The values in words."""
        return [
            f"{value:g}" if isinstance(value, float) else str(value) or NOTHING
            for value in self.values
        ]


@dataclass(frozen=True)
class PictureGrid:
    """Two settings against each other; ``requests`` are its pictures, row by row."""

    columns: Axis
    rows: Axis
    requests: tuple[StableDiffusionRequest, ...]


def grid_of(
    base: StableDiffusionRequest, columns: Axis, rows: Axis, most: int = MOST
) -> PictureGrid:
    """The pictures of two axes; raises UserError if they are one, or too many pictures.

    Args:
        base: the settings that no axis changes.
        columns: from left to right.
        rows: from top to bottom.
        most: pictures that are served.
    """
    if columns.name == rows.name:
        raise UserError(
            f"Columns and rows are both the {columns.title}; choose two different settings."
        )
    count = len(columns.values) * len(rows.values)
    if count > most:
        raise UserError(
            f"{len(columns.values)} columns and {len(rows.values)} rows make {count} pictures, "
            f"but a grid may have at most {most}."
        )
    pairs = [{columns.name: x, rows.name: y} for y in rows.values for x in columns.values]
    single = base.model_dump() | {"count": 1, "preview_every": 0}
    requests = (parse_request(StableDiffusionRequest, **single | pair) for pair in pairs)
    return PictureGrid(columns, rows, tuple(requests))


def axis(name: str, values: str | Sequence[Any], base: StableDiffusionRequest) -> Axis:
    """An axis of validated values, each once; raises UserError.

    Args:
        name: one of AXES.
        values: separated by commas or, if there are several lines, one a line; or a list.
        base: a request in which the values have to fit.
    """
    if name not in AXES:
        raise UserError(f"An axis is {name!r}, but must be one of {', '.join(AXES)}.")
    written = _split(values) if isinstance(values, str) else list(values)
    if not written:
        raise UserError(f"The axis {AXES[name][0]} has no values; write some, such as 1, 2, 4.")
    if len(written) > MOST:
        raise UserError(
            f"The axis {AXES[name][0]} has {len(written)} values, but may have at most {MOST}."
        )
    settings = base.model_dump()
    checked = [
        getattr(parse_request(StableDiffusionRequest, **settings | {name: _meant(value)}), name)
        for value in written
    ]
    return Axis(name, tuple(dict.fromkeys(checked)))


def _split(text: str) -> list[str]:
    pieces = text.split("\n") if "\n" in text.strip() else text.split(",")
    return [piece.strip() for piece in pieces if piece.strip()]


def _meant(value: Any) -> Any:
    return "" if value == NOTHING else value
