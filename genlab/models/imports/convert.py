"""From a file of weights to a checkpoint folder: config.json, safetensors and card. No page."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genlab.formats.fingerprints import sha256_of_file
from genlab.formats.hub_layout import CONFIG, WEIGHTS
from genlab.formats.layers import Layer
from genlab.formats.metadata import BrokenCheckpoint
from genlab.formats.model_card import write_card
from genlab.formats.recognise.guesses import Corrections, Guess
from genlab.formats.recognise.networks import recognise
from genlab.formats.state_dicts import StateDict, read_state_dict
from genlab.models.families import FAMILIES
from genlab.models.imports.archives import FOLDER, unpack
from genlab.models.imports.graphs import convert_graph
from genlab.requests import UserError

log = logging.getLogger(__name__)
DATASETS = ("mnist", "fashion", "")
"""Whose classifier measures the pictures; "": nobody's."""
ENDINGS = (".pth", ".pt", ".ckpt", ".safetensors", ".onnx", ".zip")


@dataclass(frozen=True)
class Imported:
    """A checkpoint that came from elsewhere.

    Attributes:
        family: "vae" or "gan".
        layout: in half a sentence, what it was recognised as.
        parts: its layers by part, for a diagram; {} where GenLab does not need to know them.
        guesses: what no file says.
        notes: what else a person should know, one sentence each.
    """

    family: str
    layout: str
    parts: Mapping[str, Sequence[Layer]]
    guesses: Sequence[Guess] = ()
    notes: Sequence[str] = ()


def convert(
    source: Path,
    target: Path,
    title: str,
    dataset: str = "",
    corrections: Corrections | None = None,
    shown_as: str = "",
    default_title: str = "",
) -> Imported:
    """Write a checkpoint folder from a file; loads torch.

    Args:
        source: .pth, .pt, .safetensors, .onnx, or a .zip of a folder in the hub layout.
        target: the folder to write; must not be there.
        title: what people call it; "": what its own card says, else ``default_title``.
        dataset: of DATASETS.
        corrections: what is known of the network.
        shown_as: the file's name for its card, where ``source`` has another.
        default_title: where nobody and nothing gives it one.

    Raises:
        UserError: one sentence on what was found and what would fit; nothing is left behind.
    """
    corrections = corrections or Corrections()
    if dataset not in DATASETS:
        raise UserError(f"dataset is {dataset!r}, but must be one of mnist, fashion, or empty.")
    if not source.is_file():
        raise UserError(f"There is no file {source}.")
    if target.exists():
        raise UserError(f"There is a checkpoint called {target.name} already.")
    name = shown_as or source.name
    about = _About(title, default_title or target.name, dataset, name)
    target.mkdir(parents=True)
    try:
        with source.open("rb") as opened:
            if not opened.read(1):
                raise BrokenCheckpoint("it is empty.")
        imported = _convert(source, target, about, corrections)
        FAMILIES[imported.family].check(target, {})
        return imported
    except BaseException as error:
        shutil.rmtree(target, ignore_errors=True)
        if isinstance(error, BrokenCheckpoint):
            raise UserError(f"{name} cannot be imported: {error}") from error
        if isinstance(error, UserError) or not isinstance(error, Exception):
            raise
        log.info("%s cannot be imported", name, exc_info=True)
        raise UserError(
            f"{name} cannot be imported: GenLab cannot read it ({type(error).__name__})."
        ) from error


@dataclass(frozen=True)
class _About:
    """What its card says of a file."""

    said: str
    default: str
    dataset: str
    name: str

    @property
    def title(self) -> str:
        return self.said or self.default


def _convert(source: Path, target: Path, about: _About, corrections: Corrections) -> Imported:
    ending = source.suffix.lower()
    if ending == ".zip":
        inner = unpack(source, target)
        if inner == FOLDER:
            _check_uncorrected(corrections)
            return _folder(target, about)
        try:
            return _convert(inner, target, about, corrections)
        finally:
            inner.unlink()
    if ending == ".onnx":
        family, layout, guesses, notes = convert_graph(source, target, corrections)
        made = Imported(family, layout, {}, list(guesses.made.values()), notes)
        return _with_card(target, about, source, made)
    return _state_dict(read_state_dict(source), source, target, about, corrections)


def _state_dict(
    read: StateDict, source: Path, target: Path, about: _About, corrections: Corrections
) -> Imported:
    from genlab.models.imports.pictures import look

    own = _own(read)
    if own is not None:
        _check_uncorrected(corrections)
        family, config = own
        _write(target, config, read.tensors)
        layout = f"GenLab's own {FAMILIES[family].label.upper()}"
        return _with_card(target, about, source, Imported(family, layout, {}, (), read.notes))
    network = recognise(read.shapes, read.ordered, corrections)
    seen, doubts = look(network, read.tensors)
    if seen:
        network = recognise(read.shapes, read.ordered, corrections, seen)
        _, doubts = look(network, read.tensors)
    notes = [*read.notes, *network.notes, *doubts]
    tensors = {new: read.tensors[old] for new, old in network.weights.items()}
    _write(target, network.config, tensors)
    parts: Mapping[str, Sequence[Layer]] = network.config["parts"]
    layout = _layout(network.family, network.config)
    imported = Imported(network.family, layout, parts, network.guesses, notes)
    return _with_card(target, about, source, imported)


def _check_uncorrected(corrections: Corrections) -> None:
    """Raise BrokenCheckpoint if something is said of a network that says everything itself."""
    for name, said in corrections.model_dump(exclude_none=True).items():
        raise BrokenCheckpoint(f"{name} is {said}, but it says itself how it is built.")


def _own(read: StateDict) -> tuple[str, Mapping[str, Any]] | None:
    """Family and configuration, if the weights are of one of GenLab's own networks."""
    for name in ("vae", "gan"):
        config = FAMILIES[name].own_config(read.shapes)
        if config is not None:
            return name, config
    return None


def _layout(family: str, config: Mapping[str, Any]) -> str:
    """What was recognised, for a person: "a convolutional VAE, 20-D, 28x28 grey"."""
    ops = {layer["op"] for layers in config["parts"].values() for layer in layers}
    channels, height, width = config["image"]
    words = [
        f"a {'class-conditional ' if config.get('classes') else ''}"
        f"{'convolutional' if ops & {'conv', 'conv_transpose'} else 'fully connected'} "
        f"{family.upper()}",
        f"z of {config['latent_dim']} numbers",
        f"{width}x{height} {'grey' if channels == 1 else 'colour'} pictures",
    ]
    if config.get("classes"):
        words.append(f"{config['classes']} classes")
    return ", ".join(words)


def _write(target: Path, config: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
    from safetensors.torch import save_file

    (target / CONFIG).write_text(json.dumps(dict(config), indent=2) + "\n", encoding="utf-8")
    save_file(dict(tensors), target / WEIGHTS)


def _with_card(target: Path, about: _About, source: Path, imported: Imported) -> Imported:
    guessed = {guess.name: guess.value for guess in imported.guesses}
    text = [f"# {about.title}", "", f"Imported from `{about.name}`: {imported.layout}."]
    if guessed:
        text += ["", "No file of weights says the following; it was guessed, or said by hand:", ""]
        text += [f"- {guess.name}: {guess.value} ({guess.why})" for guess in imported.guesses]
    text += ["", *(f"- {note}" for note in imported.notes)] if imported.notes else []
    origin = {"file": about.name, "sha256": sha256_of_file(source), "guessed": guessed}
    write_card(
        target, imported.family, about.title, about.dataset, "\n".join(text) + "\n",
        imported=origin,
    )  # fmt: skip
    return imported


def _folder(target: Path, about: _About) -> Imported:
    """A folder in the hub layout that was unpacked: whose it is, by its card or its shapes."""
    from genlab.formats.model_card import CARD, read_genlab

    notes: list[str] = []
    card = read_genlab(target) if (target / CARD).exists() else {}
    stated = card.get("family")
    if stated is not None and stated not in ("vae", "gan"):
        raise BrokenCheckpoint(f"its card says that it is a {stated}; a VAE or a GAN would fit.")
    problems: list[str] = []
    for family in [stated] if stated else ["vae", "gan"]:
        try:
            FAMILIES[family].check(target, card)
        except BrokenCheckpoint as error:
            problems.append(str(error))
            continue
        dataset = about.dataset or str(card.get("dataset") or "")
        title = about.said or str(card.get("title") or about.default)
        layout = "a folder in the hub layout, as GenLab writes it"
        write_card(target, family, title, dataset, f"# {title}\n\nImported from `{about.name}`.\n")
        return Imported(family, layout, {}, (), notes)
    raise BrokenCheckpoint(problems[0])
