"""Model cards: YAML front matter that the catalogue reads, and text for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

PIPELINE_TAGS = {
    "classifier": "image-classification",
    "noisy_classifier": "image-classification",
}


def read_card(folder: Path) -> tuple[dict[str, Any], str]:
    """Front matter and text of a checkpoint's README.md.

    Raises:
        ValueError: with one plain sentence, if there is no card or no YAML in it.
    """
    path = Path(folder) / "README.md"
    if not path.is_file():
        raise ValueError(f"{folder} has no README.md that names its model family.")
    parts = path.read_text(encoding="utf-8").split("---\n", 2)
    try:
        front = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0].strip() else None
    except yaml.YAMLError as error:
        raise ValueError(f"The YAML at the top of {path} cannot be read.") from error
    if not isinstance(front, dict):
        raise ValueError(f"{path} does not start with YAML between two lines of ---.")
    return front, parts[2].lstrip("\n")


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


def update_metrics(folder: Path, metrics: dict[str, Any]) -> None:
    """Put measured figures into the card, replacing those of the same name."""
    front, text = read_card(folder)
    front["genlab"]["metrics"] = (front["genlab"].get("metrics") or {}) | metrics
    _write(folder, front, text)


def _write(folder: Path, front: dict[str, Any], text: str) -> None:
    dumped = yaml.safe_dump(front, sort_keys=False, allow_unicode=True, default_flow_style=None)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(f"---\n{dumped}---\n\n{text.strip()}\n", encoding="utf-8")
