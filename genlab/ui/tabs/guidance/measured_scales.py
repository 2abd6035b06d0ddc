"""The curves against guidance scale that were measured once and lie beside a checkpoint's card."""

from __future__ import annotations

import json
from typing import Any

from genlab.models.registry import Entry

FILE = "scales.json"
GUIDED = ("classifier", "classifier-free")


def measured_scales(entry: Entry) -> dict[str, Any]:
    """The curves against guidance scale stored with a checkpoint; {} if there are none.

    ``classifier-free`` and ``classifier``: lists of points with ``guidance_scale``,
    ``label_accuracy``, ``fid``, ``diversity`` and ``samples``; ``fid_floor``,
    ``num_inference_steps`` and ``scheduler``: how they were measured.
    """
    try:
        told = json.loads((entry.folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(told, dict):
        return {}
    for method in GUIDED:
        points = told.get(method)
        points = points if isinstance(points, list) else []
        told[method] = [p for p in points if isinstance(p, dict) and "guidance_scale" in p]
    return told if any(told[method] for method in GUIDED) else {}
