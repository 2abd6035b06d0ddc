"""`python -m genlab`: from training to sharing a checkpoint. Knows no page and no family.

No torch at import time: only the commands that draw or train wait for it.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from typer.core import TyperGroup
from typer.exceptions import TyperException

from genlab.cli.deploy import deploy
from genlab.cli.export import export_checkpoint, push
from genlab.cli.import_checkpoint import import_checkpoint
from genlab.cli.sample import command
from genlab.cli.serve import serve
from genlab.cli.serving import open_registry, serving, settings_for
from genlab.evaluation.curves import write_curves
from genlab.formats.model_card import update_metrics
from genlab.models.evaluate import evaluate
from genlab.models.families import FAMILIES
from genlab.requests import UserError
from genlab.settings import Settings, wrong_setting

HEADLINES = ("adherence_all", "fid", "accuracy")
"""The figure that `list` shows of a checkpoint: the first of these that its card has."""

Name = Annotated[str, typer.Argument(help="Name of a checkpoint folder.", show_default=False)]
DeviceName = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps.")]
Data = Annotated[Path | None, typer.Option(help="torchvision root of the datasets.")]


class OneSentence(TyperGroup):
    """Every error is one sentence on stderr and exit code 2, never a traceback."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        try:
            code = super().main(*args, standalone_mode=False, **extra)
        except TyperException as error:
            if type(error).__name__ == "NoArgsIsHelpError":  # Typer gives it no public name
                typer.echo(error.format_message(), err=True)
                sys.exit(2)
            _fail(_in_plain_words(error.format_message()))
        except UserError as error:
            _fail(str(error))
        except ValidationError as error:
            _fail(wrong_setting(error))
        except OSError as error:
            _fail(f"{error.filename or 'A file'} cannot be used: {error.strerror}.")
        except (KeyboardInterrupt, typer.Abort):
            _fail("Stopped; `train` goes on where it was when it is called again.")
        sys.exit(code if isinstance(code, int) else 0)


def quiet() -> None:
    """Train, list, sample and evaluate GenLab's checkpoints, and put them on the web."""
    logging.getLogger("genlab").setLevel(logging.ERROR)  # `list` says what is damaged


def train_command(
    name: Annotated[str, typer.Argument(help="Name of a recipe.", show_default=False)],
    data: Data = None,
    device: DeviceName = None,
    runs: Annotated[Path, typer.Option(help="Where unfinished runs are kept.")] = Path("runs"),
    start_from: Annotated[
        Path | None,
        typer.Option(help="A trained Toybox: keep its other parts, train its UNet or --stage on."),
    ] = None,
    stage: Annotated[
        str | None,
        typer.Option(help="Of Toybox only this: autoencoder, clip, unet, decoder or judge."),
    ] = None,
) -> None:
    """Train a checkpoint, or go on with it, then measure it and write its card."""
    from genlab.engine.device import Device
    from genlab.models.training import train
    from genlab.training.config import StagedTraining

    settings = settings_for(device)
    try:
        hardware = Device(settings.device)
        hardware.check()
    except (RuntimeError, AssertionError):
        raise UserError(f"There is no device {settings.device!r} here.") from None
    root, where = data or settings.data, str(hardware.torch)
    training = train(name, settings.checkpoints, runs, root, where, start_from, stage)
    if isinstance(training, StagedTraining):  # its stages measure themselves and write the cards
        return
    registry = open_registry(settings)
    try:
        with serving(registry, settings) as client:
            figures = evaluate(name, client, registry, data)
    except UserError as error:
        typer.echo(f"Trained, but not measured yet: {error}", err=True)
        return
    folder = settings.checkpoints / name
    update_metrics(folder, write_curves(folder, figures))
    typer.echo(_lines(figures))


def list_command() -> None:
    """List the checkpoints and LoRAs, and which are damaged and why."""
    registry = open_registry(Settings())
    listed = [*registry.entries.values(), *registry.loras.values()]
    width = max(map(len, [*(entry.name for entry in listed), *registry.broken]), default=0)
    for metadata in listed:
        figure = next((key for key in HEADLINES if key in metadata.metrics), None)
        measured = f"{figure.replace('_', ' ')} {metadata.metrics[figure]}" if figure else ""
        line = f"{metadata.name:{width}}  {metadata.family:16}  {metadata.dataset:8}  {measured}"
        typer.echo(line.rstrip())
    for name, why in registry.broken.items():
        typer.echo(f"{name:{width}}  damaged: {why}")


def evaluate_command(
    name: Name,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    samples: Annotated[
        int | None, typer.Option(help="How many images; 10000, or 2000 prompts, unless given.")
    ] = None,
    write_card: Annotated[
        bool, typer.Option("--write-card", help="Put the figures into the model card.")
    ] = False,
    data: Data = None,
    device: DeviceName = None,
) -> None:
    """Measure a checkpoint with fresh samples and the judge of its dataset."""
    if samples is not None and not 2 <= samples <= 10_000:
        raise UserError(f"--samples is {samples}, but must be from 2 to 10000.")
    settings = settings_for(device)
    registry = open_registry(settings)
    metadata = registry.entry(name)
    pictures = metadata.path if write_card else None
    with serving(registry, settings) as client:
        figures = evaluate(name, client, registry, data, samples, pictures)
    if write_card:
        update_metrics(metadata.path, write_curves(metadata.path, figures))
    if as_json:
        about = {"checkpoint": name, "family": metadata.family, "dataset": metadata.dataset}
        typer.echo(json.dumps(about | figures))
    else:
        typer.echo(_lines(figures))


def build_app() -> typer.Typer:
    """The command line, with an option of `sample` for whatever the families can be asked."""
    app = typer.Typer(
        cls=OneSentence,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(quiet)
    app.command("train")(train_command)
    app.command("list")(list_command)
    app.command("sample")(command(FAMILIES.values()))
    app.command("evaluate")(evaluate_command)
    app.command("import")(import_checkpoint)
    app.command("export")(export_checkpoint)
    app.command("push")(push)
    app.command("serve")(serve)
    app.command("deploy")(deploy)
    return app


def _lines(figures: Mapping[str, Any]) -> str:
    """Figures for a person, one a line."""
    width = max(map(len, figures))
    return "\n".join(f"{key.replace('_', ' '):{width}}  {value}" for key, value in figures.items())


def _in_plain_words(message: str) -> str:
    """What Typer says of a wrong value, without the words of the library that it asks."""
    message = message.removesuffix(".").replace("Value error, ", "")
    for found, plain in (
        (r"Input should be a valid integer.*", "it must be a whole number"),
        (r"Input should be a valid number.*", "it must be a number"),
        (r"Input should be", "it must be"),
    ):
        message = re.sub(found, plain, message)
    return message if message.endswith("?") else f"{message}."


def _fail(sentence: str) -> None:
    typer.echo(" ".join(sentence.split()), err=True)
    sys.exit(2)


app = build_app()
