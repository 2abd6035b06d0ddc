"""Brings in an ONNX graph, z -> picture: checked, tried once in a process of its own, then kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from genlab.formats.hub_layout import CONFIG
from genlab.formats.metadata import BrokenCheckpoint
from genlab.formats.onnx_files import GRAPH, picture_layout, read_graph, trial
from genlab.formats.outside_graphs import KIND
from genlab.formats.recognise.guesses import CLASSES, Corrections, Guesses, Range


def convert_graph(
    source: Path, target: Path, corrections: Corrections
) -> tuple[str, str, Guesses, list[str]]:
    """Write config.json and the graph; family, layout, guesses and notes.

    Raises:
        BrokenCheckpoint: one sentence on what was found and what would fit.
    """
    graph = read_graph(source)
    guesses = Guesses(corrections, {})
    classes = 0
    if graph.labels:
        classes = guesses.decide("classes", CLASSES, f"it has an input {graph.labels[:40]}")
        if not classes:
            raise BrokenCheckpoint(f"classes is 0, but its input {graph.labels[:40]} takes one.")
    found = trial(source, graph, classes)
    layout, image = picture_layout(found["shape"])
    family = guesses.decide("family", "gan", "it only draws")
    value, why = _range(found["low"], found["high"])
    low, high = (0.0, 255.0) if value is None else _limits(guesses.decide("range", value, why))
    notes = ["A graph only draws: it has no encoder and no discriminator."]
    if value is None:
        notes.append(f"Its grey values go from 0 to 255: {why}.")
    if guesses.decide("invert", False, "bright on black, as MNIST is"):
        low, high = high, low
    elif image[0] == 1 and (found["edge"] - found["middle"]) / abs(high - low) > 0.1:
        notes.append(
            "The pictures are dark on bright, but MNIST and Fashion-MNIST are bright on black: "
            "say invert if it was trained that way round."
        )
    guesses.check_used(classes=classes, family=family)
    if found["spread"] / abs(high - low) < 0.03:
        notes.append("All pictures are nearly the same grey: the weights may be untrained.")
    config: dict[str, Any] = {
        "network": KIND, "z": graph.z, "z_shape": list(graph.z_shape), "labels": graph.labels,
        "classes": classes, "rows": graph.rows, "image": list(image), "layout": layout,
        "low": low, "high": high,
    }  # fmt: skip
    if graph.rows > 64:
        raise BrokenCheckpoint(
            f"it draws {graph.rows} pictures at a time; export it for any number of them, or for 1."
        )
    (target / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    shutil.copyfile(source, target / GRAPH)
    channels, height, width = image
    kind = "grey" if channels == 1 else "colour"
    words = [
        "an ONNX graph", f"z of {graph.latent_dim} numbers", f"{width}x{height} {kind} pictures"
    ]  # fmt: skip
    return family, ", ".join(words + ([f"{classes} classes"] if classes else [])), guesses, notes


def _range(low: float, high: float) -> tuple[Range | None, str]:
    """From black to white by what it drew; None: from 0 to 255."""
    why = f"98 % of what it draws lies between {low:.2f} and {high:.2f}"
    if high > 2.0:
        return None, why
    return ("0 to 1" if low >= -0.05 else "-1 to 1"), why


def _limits(value: str) -> tuple[float, float]:
    return (-1.0, 1.0) if value == "-1 to 1" else (0.0, 1.0)
