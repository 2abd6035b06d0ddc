"""Draw GenLab's icon, and the picture that a chat shows beside a link to it, with its own models.

`python docs/social_picture.py` writes genlab/ui/static/: the same files each time, within the
rounding of the models' pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from genlab import connect
from genlab.ui.document import FAVICON, SOCIAL, SOCIAL_SIZE, STATIC, TAGLINE, TITLE

INDIGO, PAPER, INK, PALE = "#4f46e5", "#f8fafc", "#0f172a", "#475569"
SIDE = 96  # pixels of a picture
GAP = 8
ACROSS = 7
ICON = 192
PROMPT = "a {} on a {} background"
THINGS = (
    ("red 7", "blue"), ("green sneaker", "white"), ("yellow 3", "black"), ("purple bag", "yellow"),
    ("orange dress", "gray"), ("white 5", "green"), ("blue boot", "pink"),
)  # fmt: skip


def main() -> None:
    """Write both files."""
    STATIC.mkdir(exist_ok=True)
    icon().save(FAVICON, optimize=True)
    lab = connect()
    toybox = [
        lab.sample("stable-diffusion-toybox", prompt=PROMPT.format(*thing), count=1, seed=3)[0]
        for thing in THINGS
    ]
    rows = {
        "VAE": list(lab.sample("vae-mnist-20d", count=ACROSS, seed=4)),
        "GAN": list(lab.sample("dcgan-mnist", count=ACROSS, seed=9)),
        "Stable Diffusion": toybox,
    }
    social(rows).quantize(128).save(SOCIAL, optimize=True)
    print(*(f"{path.name}: {path.stat().st_size:,} bytes" for path in (FAVICON, SOCIAL)))


def icon() -> Image.Image:
    """A die, drawn four times as large and made smaller."""
    large = Image.new("RGBA", (4 * ICON, 4 * ICON))
    draw, unit = ImageDraw.Draw(large), 4 * ICON / 24
    draw.rounded_rectangle((unit, unit, 23 * unit, 23 * unit), 5 * unit, fill=INDIGO)
    for x, y in ((7, 7), (17, 7), (12, 12), (7, 17), (17, 17)):
        draw.circle((x * unit, y * unit), 2 * unit, fill="white")
    return large.resize((ICON, ICON), Image.Resampling.LANCZOS)


def social(rows: dict[str, Sequence[Image.Image]]) -> Image.Image:
    """The title, and a row of pictures for each model."""
    picture = Image.new("RGB", SOCIAL_SIZE, PAPER)
    draw = ImageDraw.Draw(picture)
    picture.paste(die := icon().resize((88, 88)), (72, 60), die)
    draw.text((184, 50), TITLE, INK, ImageFont.load_default(84))
    draw.text((74, 168), TAGLINE, PALE, ImageFont.load_default(36))
    for row, (name, pictures) in enumerate(rows.items()):
        top = 256 + row * (SIDE + 20)
        draw.text((74, top + SIDE // 2), name, INK, ImageFont.load_default(32), anchor="lm")
        for column, drawn in enumerate(pictures):
            left = SOCIAL_SIZE[0] - 74 - (ACROSS - column) * (SIDE + GAP) + GAP
            shown = drawn.convert("RGB").resize((SIDE, SIDE), Image.Resampling.NEAREST)
            picture.paste(shown, (left, top))
    return picture


if __name__ == "__main__":
    main()
