"""Model cards: YAML front matter that the registry reads, and text for people.

The one reader and writer of README.md. Knows no family: which names there are is for others.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from genlab.formats.files import read_text
from genlab.formats.metadata import BrokenCheckpoint

log = logging.getLogger(__name__)

CARD = "README.md"
LARGEST = 1e18  # of a metric: what 64 bits of a JSON hold; no infinity and no NaN is below it
PIPELINE_TAGS = {
    "classifier": "image-classification",
    "noisy_classifier": "image-classification",
}


def read_card(folder: Path) -> tuple[dict[str, Any], str]:
    """Front matter and text of a checkpoint's README.md.

    Raises:
        BrokenCheckpoint: with one plain sentence, if there is no card or no YAML in it.
    """
    path = Path(folder) / CARD
    if not path.exists():
        raise BrokenCheckpoint(f"it has no {CARD} (the model card that names its family).")
    try:
        parts = read_text(path, "utf-8-sig").split("---\n", 2)
        front = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0].strip() else None
    except (OSError, BrokenCheckpoint):
        raise
    except Exception as error:  # PyYAML raises KeyError, AttributeError and more for wrong tags
        raise BrokenCheckpoint(f"the YAML at the top of its {CARD} cannot be read.") from error
    if not isinstance(front, dict):
        raise BrokenCheckpoint(f"its {CARD} does not start with YAML between two lines of ---.")
    return front, parts[2].lstrip("\n")


def read_genlab(folder: Path) -> dict[str, Any]:
    """What a card says under ``genlab``, as plain JSON values; {} if it says nothing.

    What cannot be JSON is left out with a warning, and so is a metric that is no finite number, no
    text and no list of these. Raises BrokenCheckpoint as `read_card` does.
    """
    front, _ = read_card(folder)
    stated = front.get("genlab")
    if not isinstance(stated, dict):
        return {}
    card: dict[str, Any] = {}
    for key, value in stated.items():
        plain = _plain(value)
        if plain is None and value is not None:
            log.warning("%s/%s: %s is left out: it is no plain value", folder, CARD, key)
        else:
            card[str(key)] = plain
    card["metrics"] = _metrics(stated.get("metrics"), folder)
    return card


def write_card(
    folder: Path, family: str, title: str, dataset: str, text: str, **extra: Any
) -> None:
    """Write README.md with an empty list of metrics, or those given in `extra`."""
    front = {
        "license": "apache-2.0",
        "library_name": "genlab",
        "pipeline_tag": PIPELINE_TAGS.get(family, "unconditional-image-generation"),
        "genlab": {"family": family, "title": title, "dataset": dataset, "metrics": {}} | extra,
    }
    _write(folder, front, text)


def update_metrics(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Put measured figures into the card, replacing those of the same name."""
    front, text = read_card(folder)
    stated = front.get("genlab")
    if not isinstance(stated, dict):
        raise BrokenCheckpoint(f"its {CARD} says nothing under `genlab:`.")
    earlier = stated.get("metrics")
    stated["metrics"] = (earlier if isinstance(earlier, dict) else {}) | dict(metrics)
    _write(folder, front, text)


def _write(folder: Path, front: Mapping[str, Any], text: str) -> None:
    dumped = yaml.safe_dump(
        dict(front), sort_keys=False, allow_unicode=True, default_flow_style=None
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CARD).write_text(f"---\n{dumped}---\n\n{text.strip()}\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """A value as JSON keeps it, dates as text; None if it is nothing that JSON can hold."""
    try:
        text = json.dumps(value, allow_nan=False, default=_as_text, ensure_ascii=False)
        return json.loads(text.encode())  # no half of a character: no page could be sent
    except (TypeError, ValueError, RecursionError):  # ValueError: NaN, or a list inside itself
        return None


def _as_text(value: Any) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def _metrics(stated: Any, folder: Path) -> dict[str, Any]:
    """The metrics that are usable; the others are named in the log."""
    if stated is None:
        return {}
    if not isinstance(stated, dict):
        log.warning("%s/%s: its metrics are left out: they are no mapping", folder, CARD)
        return {}
    usable = {}
    for key, value in stated.items():
        if _is_figure(value) or isinstance(value, list) and all(map(_is_figure, value)):
            usable[str(key)] = value
        else:
            log.warning("%s/%s: metric %s is left out: %.60r", folder, CARD, key, value)
    return usable


def _is_figure(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, str):
        return _plain(value) is not None
    return isinstance(value, int | float) and abs(value) < LARGEST
