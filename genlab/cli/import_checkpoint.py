"""`import`: a checkpoint from elsewhere becomes one of GenLab's. No torch at import time."""

from __future__ import annotations

import re
import tempfile
import warnings
from pathlib import Path
from typing import Annotated, Literal

import typer

from genlab.formats.diagram import diagram
from genlab.formats.recognise.guesses import Corrections, Output, Range
from genlab.models.checkpoints import shown_name
from genlab.models.families import BUILT_IN
from genlab.models.imports.convert import DATASETS, Imported, convert
from genlab.models.imports.from_hub import fetch
from genlab.models.sources import HUB_ID, PRESETS
from genlab.requests import UserError, allowed, parse_request
from genlab.settings import Settings

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def help_of(name: str) -> str:
    """What a correction means and which values it takes."""
    field = Corrections.model_fields[name]
    words = (field.description or name).capitalize()
    values = allowed(field)
    return f"{words}." if values in ("text", "true or false") else f"{words}: {values}."


def import_checkpoint(
    file: Annotated[
        str,
        typer.Argument(
            help="A .pth, .pt, .safetensors or .onnx file, a .zip of a folder in the hub layout, "
            "or a hub id (org/name).",
            show_default=False,
        ),
    ],
    name: Annotated[str, typer.Option(help="What the new checkpoint folder is called.")],
    title: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    dataset: Annotated[
        str, typer.Option(help="mnist or fashion: whose classifier judges its pictures.")
    ] = "",
    family: Annotated[Literal["vae", "gan"] | None, typer.Option(help=help_of("family"))] = None,
    hidden: Annotated[str | None, typer.Option(help=help_of("hidden"))] = None,
    slope: Annotated[float | None, typer.Option(help=help_of("slope"))] = None,
    output: Annotated[Output | None, typer.Option(help=help_of("output"))] = None,
    value_range: Annotated[Range | None, typer.Option("--range", help=help_of("range"))] = None,
    invert: Annotated[
        bool | None, typer.Option("--invert/--no-invert", help=help_of("invert"))
    ] = None,
    eps: Annotated[float | None, typer.Option(help=help_of("eps"))] = None,
    classes: Annotated[int | None, typer.Option(help=help_of("classes"))] = None,
    label_first: Annotated[
        bool | None, typer.Option("--label-first/--label-last", help=help_of("label_first"))
    ] = None,
    reshape_active: Annotated[
        bool | None,
        typer.Option("--reshape-active/--reshape-plain", help=help_of("reshape_active")),
    ] = None,
    size: Annotated[int | None, typer.Option(help=help_of("size"))] = None,
) -> None:
    """Bring your own VAE or GAN: recognised by its weights, and then a checkpoint like any other.

    Nothing in the file is run. What no file of weights says, such as activations, is guessed by
    what tutorials do, printed, and can be corrected with the options.
    """
    if not NAME.fullmatch(name) or name.startswith("own-"):
        raise UserError(
            f"--name is {name[:60]!r}, but must be letters, digits, dots and hyphens, at most 100, "
            "and not begin with own-."
        )
    if name in BUILT_IN or name in {source.name for source in PRESETS}:
        raise UserError(f"--name is {name!r}, which is a model of GenLab's; give it another.")
    corrections = parse_request(
        Corrections, family=family, hidden=hidden, slope=slope, output=output, range=value_range,
        invert=invert, eps=eps, classes=classes, label_first=label_first,
        reshape_active=reshape_active, size=size,
    )  # fmt: skip
    if dataset not in DATASETS:
        raise UserError(f"--dataset is {dataset!r}, but must be mnist or fashion, or left out.")
    target = Settings().checkpoints / name
    path = _path(file)
    with (
        tempfile.TemporaryDirectory(prefix="genlab-import-") as temporary,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # PyTorch's on odd pickles, which say nothing to a person
        if not path.exists() and HUB_ID.fullmatch(file):
            path = fetch(file, Path(temporary))
        made = convert(path, target, title or "", dataset, corrections, shown_as=Path(file).name)
    for line in described(made):
        typer.echo(line)
    typer.echo(f"Wrote {target}. Draw with: python -m genlab sample {name} --out {name}.npz")


def _path(file: str) -> Path:
    """The file that a person means; raises UserError for what can be none."""
    if (shown := shown_name(file)) != file:
        raise UserError(f"The name {shown[:60]} has bytes that are no text; give it another.")
    try:
        return Path(file).expanduser()
    except RuntimeError as error:  # ~nobody
        raise UserError(f"There is no file {file[:60]}.") from error


def described(made: Imported) -> list[str]:
    """What was recognised and what was guessed, a line each."""
    lines = [f"Recognised as {made.layout}."]
    for title, layers in diagram(made.parts):
        shown = [f"[{words}]" if guessed else words for words, guessed in layers]
        lines.append(f"  {title}: {' · '.join(shown)}")
    for guess in made.guesses:
        said = "as you said" if guess.certain else f"guessed: {guess.why}"
        lines.append(f"  {guess.name.replace('_', '-'):12} {guess.value:12} {said}")
    return [*lines, *(f"Note: {note}" for note in made.notes)]
