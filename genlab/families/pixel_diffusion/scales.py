"""The curves against guidance scale that were measured once and lie beside a checkpoint's card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = "scales.json"
GUIDED = ("classifier", "classifier-free")


def measured_scales(folder: Path) -> dict[str, Any]:
    """The curves against guidance scale stored with a checkpoint; {} if there are none.

    ``classifier-free`` and ``classifier``: lists of points with ``guidance_scale``,
    ``label_accuracy``, ``fid``, ``diversity`` and ``samples``; ``fid_floor``,
    ``num_inference_steps``, ``scheduler`` and ``eta``: how they were measured.
    """
    try:
        curves = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(curves, dict):
        return {}
    for method in GUIDED:
        points = curves.get(method)
        points = points if isinstance(points, list) else []
        curves[method] = [p for p in points if isinstance(p, dict) and "guidance_scale" in p]
    return curves if any(curves[method] for method in GUIDED) else {}
