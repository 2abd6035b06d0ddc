"""A grid as one picture with its labels, to be kept. Knows no request, no component, no tensor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

GAP = 6
MARGIN = 20
SMALLEST = 96  # pixels; smaller pictures are enlarged by whole pixels
LARGEST = 256
PAPER, INK, PALE, EMPTY = "#ffffff", "#111827", "#4b5563", "#e5e7eb"
WIDEST = 180  # pixels of a row's label


def labelled_sheet(
    title: str,
    footnote: str,
    columns: tuple[str, Sequence[str]],
    rows: tuple[str, Sequence[str]],
    cells: Sequence[np.ndarray | None],
) -> Image.Image:
    """Draw labelled cells on white paper.

    Args:
        title: what all cells have in common, above.
        footnote: the settings that stay, below.
        columns: what the axis is called, and a label for each column.
        rows: the same for the rows.
        cells: uint8 (H, W[, 3]) pictures row by row; None is a grey square.
    """
    text, small = ImageFont.load_default(16), ImageFont.load_default(14)
    side = _side(cells)
    left = MARGIN + max(
        int(text.getlength(_cut(label, text, WIDEST))) for label in [f"{rows[0]}:", *rows[1]]
    ) + 12  # fmt: skip
    top = MARGIN + 64
    pitch = side + GAP
    width = max(left + len(columns[1]) * pitch + MARGIN, 420)
    sheet = Image.new("RGB", (width, top + len(rows[1]) * pitch + 44), PAPER)
    draw = ImageDraw.Draw(sheet)
    room = width - 2 * MARGIN
    draw.text((MARGIN, MARGIN - 6), _cut(title, text, room), INK, text)
    draw.text((left, MARGIN + 18), f"{columns[0]}:", PALE, small)
    draw.text((MARGIN, top - 22), f"{rows[0]}:", PALE, small)
    for k, label in enumerate(columns[1]):
        where = (left + k * pitch + side // 2, top - 6)
        draw.text(where, _cut(label, text, side), INK, text, anchor="ms")
    for k, label in enumerate(rows[1]):
        where = (left - 12, top + k * pitch + side // 2)
        draw.text(where, _cut(label, text, WIDEST), INK, text, anchor="rm")
    for k, cell in enumerate(cells):
        row, column = divmod(k, len(columns[1]))
        corner = (left + column * pitch, top + row * pitch)
        if cell is None:
            draw.rectangle((*corner, corner[0] + side - 1, corner[1] + side - 1), EMPTY)
        else:
            sheet.paste(_sized(cell, side), corner)
    draw.text((MARGIN, sheet.height - 32), _cut(footnote, small, room), PALE, small)
    return sheet


def _side(cells: Sequence[np.ndarray | None]) -> int:
    """How large a cell is drawn, in pixels."""
    own = next((cell.shape[0] for cell in cells if cell is not None), SMALLEST)
    return own * -(-SMALLEST // own) if own < SMALLEST else min(own, LARGEST)


def _sized(cell: np.ndarray, side: int) -> Image.Image:
    """A picture of that side: enlarged by whole pixels, or made smaller smoothly."""
    kind = Image.Resampling.NEAREST if cell.shape[0] < side else Image.Resampling.LANCZOS
    return Image.fromarray(cell).convert("RGB").resize((side, side), kind)


def _cut(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: int) -> str:
    """The text in one line, cut with dots where it is wider than ``room`` pixels."""
    text = " ".join(text.split())
    while text and font.getlength(text) > room:
        text = text.rstrip(".")[:-1] + "..." if len(text) > 4 else ""
    return text
