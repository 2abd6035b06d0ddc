"""Draw GenLab's icon, and the picture that a chat shows beside a link to it.

`python -m docs.social_picture` writes genlab/ui/static/ from the samples that lie with Toybox
and its card.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from genlab.ui.document import FAVICON, SOCIAL, SOCIAL_SIZE, STATIC, TAGLINE, TITLE

SAMPLES = Path(__file__).parents[1] / "checkpoints" / "stable-diffusion-toybox" / "samples.png"
ROWS = 3  # of the four
CELL = 130  # pixels of a sample and the line after it
INDIGO, PAPER, INK, PALE = "#4f46e5", "#f8fafc", "#0f172a", "#475569"
ICON = 192
COLOURS = 256  # of the palette


def main() -> None:
    """Write both files."""
    STATIC.mkdir(exist_ok=True)
    icon().save(FAVICON, optimize=True)
    social().quantize(COLOURS, kmeans=2).save(SOCIAL, optimize=True)
    print(*(f"{path.name}: {path.stat().st_size:,} bytes" for path in (FAVICON, SOCIAL)))


def icon() -> Image.Image:
    """A die, drawn four times as large and made smaller."""
    large = Image.new("RGBA", (4 * ICON, 4 * ICON))
    draw, unit = ImageDraw.Draw(large), 4 * ICON / 24
    draw.rounded_rectangle((unit, unit, 23 * unit, 23 * unit), 5 * unit, fill=INDIGO)
    for x, y in ((7, 7), (17, 7), (12, 12), (7, 17), (17, 17)):
        draw.circle((x * unit, y * unit), 2 * unit, fill="white")
    return large.resize((ICON, ICON), Image.Resampling.LANCZOS)


def social() -> Image.Image:
    """The title, and what Toybox draws."""
    width, height = SOCIAL_SIZE
    picture = Image.new("RGB", SOCIAL_SIZE, PAPER)
    draw = ImageDraw.Draw(picture)
    picture.paste(die := icon().resize((104, 104)), (56, 56), die)
    draw.text((184, 44), TITLE, INK, ImageFont.load_default(100))
    draw.text((58, 184), TAGLINE, PALE, ImageFont.load_default(40))
    with Image.open(SAMPLES) as samples:
        rows = samples.convert("RGB").crop((0, 0, samples.width, ROWS * CELL - 2))
    scaled = rows.resize((width, round(rows.height * width / rows.width)))
    picture.paste(scaled, (0, height - scaled.height))
    return picture


if __name__ == "__main__":
    main()
