"""The scripts that tabs bring along. Knows none of them."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
TAB_SCRIPTS = tuple(
    FOLDER / name
    for name in ("pad.js", "vae/plane.js", "latents/draw.js", "stable_diffusion/redraw.js")
)
