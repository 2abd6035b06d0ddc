"""What a Space of GenLab would consist of, and what speaks against it. Asks no network, no torch.

Prices, quotas and versions are those of Hugging Face's documentation in November 2026.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from genlab.formats.metadata import BrokenCheckpoint
from genlab.formats.model_card import CARD, read_card
from genlab.models.registry import Registry
from genlab.models.sources import HUB_ID

PARTS = ("app.py", "genlab", "docs", "LICENSE", "CHANGELOG.md")
"""What goes along as it is; README.md, requirements.txt and the checkpoints are looked at."""
PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".joblib")
LARGE_FILE = 10_000_000  # bytes; a larger one has to go by the hub's storage for large files
PIN = re.compile(r"([A-Za-z0-9_.-]+)==(\d+(?:\.\d+)+)")
ZERO = "zero-a10g"  # its name from the days when it was one
ZERO_PYTHON = ("3.12.12", "3.10.13")
ZERO_PINS = {"torch": "2.11.0", "torchvision": "0.26.0"}
"""The newest that ZeroGPU serves; GenLab's tests pass with them, 3 to 10 % slower on a CPU."""
ZERO_ALSO = "spaces>=0.51.3"
CPU_INDEX = "--extra-index-url https://download.pytorch.org/whl/cpu"
"""Has torch's pinned versions as 2.x.y+cpu, which pip takes for newer than PyPI's: no CUDA."""
PRICES = "https://huggingface.co/docs/hub/spaces-gpus"


@dataclass(frozen=True)
class Hardware:
    """What a Space can run on.

    Attributes:
        title: what it is.
        dollars: an hour; None if it is not known here.
        memory_gb: for GENLAB_MEMORY_GB; None for its default.
    """

    title: str
    dollars: float | None = None
    memory_gb: int | None = None

    @property
    def billed(self) -> bool:
        """Whether every hour that it is awake is paid for."""
        return self.dollars != 0


HARDWARE: Mapping[str, Hardware] = {
    ZERO: Hardware("ZeroGPU: a CPU, and a GPU for seconds at a time", 0, 24),
    "cpu-basic": Hardware("2 CPU cores, 16 GB", 0),
    "cpu-upgrade": Hardware("8 CPU cores, 32 GB", 0.03, 16),
    "t4-small": Hardware("Nvidia T4, 16 GB", 0.40, 12),
    "t4-medium": Hardware("Nvidia T4, 16 GB, 8 CPU cores", 0.60, 12),
    "l4x1": Hardware("Nvidia L4, 24 GB", 0.80, 18),
    "a10g-small": Hardware("Nvidia A10G, 24 GB", 1.00, 18),
    "a10g-large": Hardware("Nvidia A10G, 24 GB, 12 CPU cores", 1.50, 18),
    "l40sx1": Hardware("Nvidia L40S, 48 GB", 1.80, 40),
    "a100-large": Hardware("Nvidia A100, 80 GB", None, 70),
    "rtx-pro-6000": Hardware("Nvidia RTX Pro 6000, 96 GB", None, 80),
}


@dataclass(frozen=True)
class SpacePlan:
    """A Space as it would be made.

    Attributes:
        files: what is uploaded as it lies here, by its path in the Space.
        written: what is uploaded as text made for this hardware.
        variables: the Space's environment.
        notes: what its owner should know, one sentence each.
        problems: why it must not be made; nothing is uploaded while there is one.
    """

    space: str
    hardware: str
    files: Mapping[str, Path]
    written: Mapping[str, str]
    variables: Mapping[str, str]
    notes: Sequence[str]
    problems: Sequence[str]

    @property
    def nbytes(self) -> int:
        """What is uploaded, in all."""
        written = sum(len(text.encode()) for text in self.written.values())
        return written + sum(path.stat().st_size for path in self.files.values())


def plan_space(
    project: Path,
    checkpoints: Path,
    space: str,
    hardware: str,
    models: Mapping[str, Sequence[str]] | None = None,
) -> SpacePlan:
    """Look at everything and upload nothing.

    Args:
        project: the repository's root.
        checkpoints: the folder of checkpoints to take along.
        space: OWNER/NAME.
        hardware: one of HARDWARE.
        models: hub ids of models that the Space is built with, and the files of each.
    """
    models = models or {}
    problems: list[str] = []
    files = {name: path for part in PARTS for name, path in _below(project / part, part)}
    files |= dict(_below(checkpoints, "checkpoints"))
    if not HUB_ID.fullmatch(space):
        problems.append(f"{space[:60]!r} is no OWNER/NAME of at most 96 characters.")
    requirements, wrong = requirements_for(hardware, _text(project / "requirements.txt"))
    problems += wrong
    readme, wrong = readme_for(hardware, project, requirements, models)
    problems += wrong
    licences, wrong = checkpoint_licences(checkpoints)
    problems += wrong
    for name, path in files.items():
        if path.suffix.lower() in PICKLES:
            problems.append(f"{name} is a pickle, which can run code; GenLab never loads one.")
    notes = [f"Licences of the checkpoints: {licences}."]
    large = [name for name, path in files.items() if path.stat().st_size >= LARGE_FILE]
    if large:
        notes.append(f"Stored as large files: {', '.join(large)}.")
    if models:
        notes.append(f"{', '.join(models)}: read the licence on each one's page of the hub.")
    about = HARDWARE[hardware]
    variables = {"GENLAB_MEMORY_GB": str(about.memory_gb)} if about.memory_gb else {}
    if models:
        variables["GENLAB_MODELS"] = ",".join(models)
    written = {"README.md": readme, "requirements.txt": requirements}
    return SpacePlan(space, hardware, files, written, variables, notes, problems)


def requirements_for(hardware: str, text: str) -> tuple[str, list[str]]:
    """requirements.txt for a kind of hardware, and what is wrong with it."""
    problems: list[str] = []
    lines: list[str] = [CPU_INDEX] if hardware.startswith("cpu-") else []
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            pin = PIN.fullmatch(line.strip())
            if pin is None:
                problems.append(f"requirements.txt does not pin {line.strip()!r} exactly.")
            elif hardware == ZERO and pin[1] in ZERO_PINS:
                line = f"{pin[1]}=={ZERO_PINS[pin[1]]}"
        lines.append(line)
    if hardware == ZERO:
        lines.append(ZERO_ALSO)
    return "\n".join(lines) + "\n", problems


def readme_for(
    hardware: str, project: Path, requirements: str, models: Mapping[str, Sequence[str]]
) -> tuple[str, list[str]]:
    """README.md with the Space's configuration at its top, and what is wrong with that."""
    try:
        front, text = read_card(project)
    except BrokenCheckpoint as error:
        return "", [f"The Space cannot be configured: {error}"]
    pins = {pin[1]: pin[2] for pin in map(PIN.fullmatch, requirements.split("\n")) if pin}
    problems: list[str] = []
    if front.get("sdk") != "gradio":
        problems.append(f"{CARD} has sdk {front.get('sdk')!r}, but must have gradio.")
    if front.get("sdk_version") != pins.get("gradio"):
        problems.append(
            f"{CARD} has sdk_version {front.get('sdk_version')!r}, but requirements.txt pins "
            f"gradio {pins.get('gradio')}."
        )
    if not (project / str(front.get("app_file"))).is_file():
        problems.append(f"{CARD} has app_file {front.get('app_file')!r}, which is not here.")
    if not front.get("license"):
        problems.append(f"{CARD} has no license.")
    python = front.get("python_version")
    if not isinstance(python, str):
        problems.append(f"{CARD} has python_version {python!r}; write it as text, in quotes.")
    elif hardware == ZERO:
        served = [version for version in ZERO_PYTHON if f"{version}.".startswith(f"{python}.")]
        if served:
            front["python_version"] = served[0]
        else:
            problems.append(f"ZeroGPU serves Python {' and '.join(ZERO_PYTHON)}, not {python}.")
    front |= {"suggested_hardware": hardware, "startup_duration_timeout": "1h"}
    if models:  # fetched while the Space is built, into the cache where GenLab looks
        front["preload_from_hub"] = [f"{name} {','.join(models[name])}".strip() for name in models]
    head = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
    return f"---\n{head}---\n\n{text}", problems


def checkpoint_licences(checkpoints: Path) -> tuple[str, list[str]]:
    """How many checkpoints there are of each licence, in words, and what is wrong with others."""
    registry = Registry(checkpoints, downloads=False)
    problems = [f"The checkpoint {name} is damaged: {why}" for name, why in registry.broken.items()]
    licences: Counter[str] = Counter()
    for entry in registry.entries.values():
        front: dict[str, Any] = read_card(entry.path)[0]
        if front.get("license"):
            licences[str(front["license"])] += 1
        else:
            problems.append(f"The card of the checkpoint {entry.name} names no license.")
    return ", ".join(f"{name} ({count})" for name, count in licences.items()) or "none", problems


def cost_in_words(hardware: str) -> list[str]:
    """What it costs, who may have it and what its visitors get; a sentence each."""
    about = HARDWARE[hardware]
    if hardware == ZERO:
        return [
            "Costs nothing. A free account that is older than 30 days and has a verified e-mail "
            "address may host 2 such Spaces, PRO 10.",
            "All that ships is drawn on the CPU, without a quota. Large models take the visitor's "
            "GPU time: 2 minutes a day without an account, 5 with a free one, 40 with PRO.",
        ]
    if not about.billed:
        return [
            "The hardware costs nothing, but since July 2026 a Gradio Space on it needs PRO, or an "
            f"organization's plan; a free account can host on {ZERO} only.",
        ]
    price = f"${about.dollars:.2f} an hour" if about.dollars else "An hourly price"
    return [
        f"{price} while it is awake, and a paid plan (PRO, or an organization's); "
        f"a free account can host on {ZERO} only. Today's prices: {PRICES}",
    ]


def _below(path: Path, name: str) -> Iterator[tuple[str, Path]]:
    """Every file of a folder, or the file itself, by its path in the Space."""
    if path.is_file():
        yield name, path
    for child in sorted(path.iterdir()) if path.is_dir() else ():
        if not child.name.startswith(".") and child.name != "__pycache__":
            yield from _below(child, f"{name}/{child.name}")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
