"""Writes the README's table of checkpoints from their model cards, so that it never goes stale."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard

PROJECT = Path(__file__).resolve().parent.parent
BEGIN = "<!-- figures: written by docs/figures.py -->\n"
END = "<!-- /figures -->\n"
ORDER = (
    "vae", "gan", "pixel_diffusion", "stable_diffusion",
    "classifier", "noisy_classifier", "judge",
)  # fmt: skip


def cards(checkpoints: Path) -> list[tuple[str, Mapping[str, Any]]]:
    """Name and `genlab` mapping of every checkpoint, by family and name."""
    cards = [
        (path.parent.name, ModelCard.load(path).data.to_dict().get("genlab") or {})
        for path in sorted(checkpoints.glob("*/README.md"))
    ]
    return sorted(cards, key=lambda one: (rank(str(one[1].get("family"))), one[0]))


def rank(family: str) -> int:
    """Where a family stands in the table."""
    return ORDER.index(family) if family in ORDER else len(ORDER)


def measured(metrics: Mapping[str, Any]) -> str:
    """The figures that matter most of one card, in words."""
    parts = []
    if "accuracy" in metrics:
        parts.append(f"test accuracy {float(metrics['accuracy']):.2%}")
    if "accuracy_by_timestep" in metrics:
        middle = metrics["timesteps"].index(500)
        parts.append(f"at t = 500 {float(metrics['accuracy_by_timestep'][middle]):.0%}")
    if "fid" in metrics:
        parts.append(f"FID {float(metrics['fid']):.2f} (real data {metrics['fid_floor']:.2f})")
    if "label_accuracy" in metrics:
        parts.append(
            f"as asked {float(metrics['label_accuracy']):.1%} at guidance_scale "
            f"{metrics['guidance_scale']:g}"
        )
    if "unguided_fid" in metrics:
        samples = metrics.get("unguided_samples", metrics["samples"])
        few = "" if samples == metrics["samples"] else f" of {samples:,} samples"
        parts.append(f"unguided FID {float(metrics['unguided_fid']):.2f}{few}")
    if "classifier_label_accuracy" in metrics:
        parts.append(
            f"led by a classifier at {metrics['classifier_guidance_scale']:g}: as asked "
            f"{float(metrics['classifier_label_accuracy']):.1%} "
            f"(unguided {float(metrics['unguided_label_accuracy']):.1%})"
        )
    if "class_entropy" in metrics:
        parts.append(f"class entropy {float(metrics['class_entropy']):.2f} of 2.30")
    if "classes_above_2_percent" in metrics:
        count = metrics["classes_above_2_percent"]
        parts.append(f"{count} class{'es' * (count != 1)} above 2 %")
    for prefix, what in (
        ("adherence_", "one object as asked"),
        ("held_out_", "pairs never trained on"),
        ("", "read right"),
        ("two_", "two objects"),
    ):
        shares = [
            f"{word} {100 * float(metrics[prefix + word]):.3g}%"
            for word in ("class", "colour", "background", "place", "all")
            if prefix + word in metrics
        ]
        if shares:
            parts.append(f"{what}: {', '.join(shares)}")
    return ", ".join(parts) or "not measured yet"


def table(checkpoints: Path) -> str:
    """The table in Markdown."""
    lines = ["| checkpoint | what it is | measured |", "|---|---|---|"]
    for name, card in cards(checkpoints):
        figures = measured(card.get("metrics") or {})
        link = f"[`{name}`](checkpoints/{name}/README.md)"
        lines.append(f"| {link} | {card.get('title', name)} | {figures} |")
    return "\n".join(lines) + "\n"


def written(readme: str, checkpoints: Path) -> str:
    """The README with the table of today."""
    before, rest = readme.split(BEGIN)
    return before + BEGIN + table(checkpoints) + END + rest.split(END)[1]


if __name__ == "__main__":
    page = PROJECT / "README.md"
    text = page.read_text(encoding="utf-8")
    page.write_text(written(text, PROJECT / "checkpoints"), encoding="utf-8")
