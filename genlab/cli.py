"""`python -m genlab`: train, list, sample and evaluate checkpoints. Knows no page."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from tqdm import tqdm
from typer.core import TyperGroup
from typer.exceptions import TyperException

from genlab.engine import Engine, Runtime
from genlab.evaluation.curves import write_curves
from genlab.evaluation.sampling import draw, evaluate, sample_kind, sample_requests
from genlab.formats.model_card import update_metrics
from genlab.models.registry import Catalogue, Entry
from genlab.requests import SampleRequest, UserError, ask
from genlab.settings import Settings
from genlab.training.config import RECIPES, TOYBOX, train, trainable


class OneSentence(TyperGroup):
    """Every error is one sentence on stderr and exit code 2, never a traceback."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        try:
            code = super().main(*args, standalone_mode=False, **extra)
        except TyperException as error:
            _fail(error.format_message())
        except UserError as error:
            _fail(str(error))
        except OSError as error:
            _fail(f"{error.filename or 'A file'} cannot be used: {error.strerror}.")
        except (KeyboardInterrupt, typer.Abort):
            _fail("Stopped; `train` goes on where it was when it is called again.")
        sys.exit(code if isinstance(code, int) else 0)


app = typer.Typer(
    cls=OneSentence,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Name = Annotated[str, typer.Argument(help="Name of a checkpoint folder.", show_default=False)]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Data = Annotated[Path | None, typer.Option(help="torchvision root of the datasets.")]


@app.callback()
def quiet() -> None:
    """Train, list, sample and evaluate GenLab's checkpoints."""
    logging.getLogger("genlab").setLevel(logging.ERROR)  # `list` says what is damaged


@app.command("train")
def train_command(
    name: Annotated[str, typer.Argument(help="Name of a recipe.", show_default=False)],
    data: Data = None,
    device: Device = None,
    runs: Annotated[Path, typer.Option(help="Where unfinished runs are kept.")] = Path("runs"),
    start_from: Annotated[
        Path | None,
        typer.Option(help="A trained Toybox: keep its other parts, train its UNet or --stage on."),
    ] = None,
    stage: Annotated[
        str | None,
        typer.Option(help="Of Toybox only this: autoencoder, decoder, clip, unet or judge."),
    ] = None,
) -> None:
    """Train a checkpoint, or go on with it, then measure it and write its card."""
    settings = Settings()
    if name not in trainable():
        raise UserError(f"There is no recipe called {name!r}; there are: {', '.join(trainable())}.")
    if stage is not None and name != TOYBOX:
        raise UserError(f"Only {TOYBOX} is trained in stages.")
    if start_from is not None:
        if name != TOYBOX:
            raise UserError(f"Only {TOYBOX} can be trained on from finished weights.")
        for part in ("model_index.json", "clip/config.json"):
            if not (start_from / part).is_file():
                raise UserError(f"{start_from} is no trained {TOYBOX}: it has no {part}.")
    where = str(Runtime(device or settings.device).device)
    root = data or settings.data
    folder = train(name, settings.checkpoints, runs, root, where, start_from, stage)
    if name not in RECIPES:  # Toybox's stages measure themselves and write their own cards
        return
    with _engine(device) as (catalogue, engine):
        try:
            figures = evaluate(name, catalogue, engine, data)
        except UserError as error:
            typer.echo(f"Trained, but not measured yet: {error}", err=True)
            return
    update_metrics(folder, write_curves(folder, figures))
    typer.echo(_lines(figures))


@app.command("list")
def list_command() -> None:
    """List the checkpoints, and which are damaged and why."""
    settings = Settings()
    catalogue = Catalogue(settings.checkpoints, Runtime("cpu"), models=settings.models)
    width = max(map(len, [*catalogue.entries, *catalogue.broken]), default=0)
    for entry in catalogue.entries.values():
        figure = next((k for k in ("adherence_all", "fid", "accuracy") if k in entry.metrics), None)
        measured = f"{figure.replace('_', ' ')} {entry.metrics[figure]}" if figure else ""
        line = f"{entry.name:{width}}  {entry.family:16}  {entry.dataset:8}  {measured}"
        typer.echo(line.rstrip())
    for name, why in catalogue.broken.items():
        typer.echo(f"{name:{width}}  damaged: {why}")


@app.command("sample")
def sample_command(
    name: Name,
    out: Annotated[Path, typer.Option(help="The .npz file to write.", show_default=False)],
    count: Annotated[int | None, typer.Option(help="How many images; 16 unless told.")] = None,
    seed: Annotated[int, typer.Option(help="Image k is drawn from seed + k.")] = 0,
    label: Annotated[int | None, typer.Option(help="A class, 0 to 9.")] = None,
    prompt: Annotated[str | None, typer.Option(help="One text for every image.")] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="A file of texts, one a line, one image each.")
    ] = None,
    negative_prompt: Annotated[str | None, typer.Option(help="What to steer away from.")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    guidance_scale: Annotated[float | None, typer.Option(help="Strength of guidance.")] = None,
    guidance: Annotated[
        str | None, typer.Option(help="none, classifier-free or classifier.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="ddim, euler, euler-ancestral, dpmpp-2m, pndm or ddpm.")
    ] = None,
    eta: Annotated[float | None, typer.Option(help="Noise that DDIM adds, 0 to 1.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Scale of a VAE's z.")] = None,
    snapshot: Annotated[int | None, typer.Option(help="A training step of a GAN.")] = None,
    device: Device = None,
) -> None:
    """Draw images through the engine and write them as uint8 arrays."""
    asked = {
        "label": label,
        "prompt": prompt,
        "prompts": prompts,
        "negative_prompt": negative_prompt,
        "steps": steps,
        "guidance_scale": guidance_scale,
        "guidance": guidance,
        "scheduler": scheduler,
        "eta": eta,
        "temperature": temperature,
        "snapshot": snapshot,
    }
    asked = {option: value for option, value in asked.items() if value is not None}
    if count is not None and prompts is not None:
        raise UserError("Give --count or --prompts, not both: a file of prompts sets the count.")
    with _engine(device) as (catalogue, engine):
        entry = catalogue.entry(name)
        kind = sample_kind(entry.family)
        values = {"checkpoint": name, "seed": seed} | _fields(entry, kind, asked)
        if prompts is None:
            count = 16 if count is None else count
            if count < 1:
                raise UserError(f"--count is {count}, but must be 1 or more.")
            texts = [prompt] * count if prompt is not None else None
            requests = sample_requests(kind, count, **values)
        else:
            texts = _texts(prompts)
            count = len(texts)
            requests = (
                ask(kind, **values | {"prompt": text, "seed": seed + k, "count": 1})
                for k, text in enumerate(texts)
            )
        arrays: dict[str, Any] = {"images": _drawn(engine, requests, count)}
        if texts is not None:
            arrays["prompts"] = np.array(texts)
        np.savez_compressed(out, **arrays)
    typer.echo(f"Wrote {count} images to {out}.")


@app.command("evaluate")
def evaluate_command(
    name: Name,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    samples: Annotated[
        int | None, typer.Option(help="How many images; 10000, or 2000 prompts, unless told.")
    ] = None,
    write_card: Annotated[
        bool, typer.Option("--write-card", help="Put the figures into the model card.")
    ] = False,
    data: Data = None,
    device: Device = None,
) -> None:
    """Measure a checkpoint with fresh samples and the judge of its dataset."""
    if samples is not None and not 2 <= samples <= 10_000:
        raise UserError(f"--samples is {samples}, but must be from 2 to 10000.")
    with _engine(device) as (catalogue, engine):
        entry = catalogue.entry(name)
        beside = entry.folder if write_card else None
        figures = evaluate(name, catalogue, engine, data, samples, beside)
        if write_card:
            update_metrics(entry.folder, write_curves(entry.folder, figures))
    if as_json:
        about = {"checkpoint": name, "family": entry.family, "dataset": entry.dataset}
        typer.echo(json.dumps(about | figures))
    else:
        typer.echo(_lines(figures))


def _fields(entry: Entry, kind: type[SampleRequest], asked: dict[str, Any]) -> dict[str, Any]:
    """Options as fields of the request, or UserError naming the option that the family lacks."""
    fields = {"steps": "num_inference_steps", "prompts": "prompt", "label": "labels"}
    if "guidance" not in kind.model_fields and "guidance_scale" in kind.model_fields:
        fields["guidance"] = "guidance_scale"  # a family with classifier-free guidance only
    values = {}
    for option, value in asked.items():
        field = fields.get(option, option)
        if field not in kind.model_fields:
            flag = "--" + option.replace("_", "-")
            family = entry.family.replace("_", " ")
            raise UserError(f"{entry.name} is a {family} checkpoint, which has no option {flag}.")
        if option == "guidance" and field == "guidance_scale":
            if value not in ("none", "classifier-free"):
                raise UserError(f"{entry.name} has guidance none or classifier-free, not {value}.")
            if value == "classifier-free":
                continue
            value = 1.0  # at a scale of 1 the guided prediction is the plain one
        if option != "prompts":
            values[field] = (value,) if option == "label" else value
    return values


def _texts(path: Path) -> list[str]:
    """The lines of a file of prompts."""
    texts = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not texts:
        raise UserError(f"{path} holds no prompt.")
    return texts


def _drawn(engine: Engine, requests: Iterator[Any], count: int) -> np.ndarray:
    """All images, with a progress bar when a person looks on; notes go to stderr once each."""
    parts, notes = [], dict[str, None]()
    with tqdm(total=count, unit="image", disable=None, leave=False) as bar:
        for result in draw(engine, requests):
            parts.append(result.images)
            notes |= dict.fromkeys(result.notes)
            bar.update(len(result.images))
    for note in notes:
        typer.echo(note, err=True)
    return np.concatenate(parts)


@contextmanager
def _engine(device: str | None) -> Iterator[tuple[Catalogue, Engine]]:
    settings = Settings()
    try:
        runtime = Runtime(device or settings.device, settings.max_rows)
    except RuntimeError:
        raise UserError(f"There is no device {device or settings.device!r} here.") from None
    catalogue = Catalogue(settings.checkpoints, runtime, settings.memory_gb * 1e9, settings.models)
    # stdout is for the answer, but huggingface_hub prints there while it loads
    with redirect_stdout(io.StringIO()), Engine(catalogue, max_rows=settings.max_rows) as engine:
        yield catalogue, engine


def _lines(figures: dict[str, Any]) -> str:
    """Figures for a person, one a line."""
    width = max(map(len, figures))
    return "\n".join(f"{key.replace('_', ' '):{width}}  {value}" for key, value in figures.items())


def _fail(sentence: str) -> None:
    typer.echo(" ".join(sentence.split()), err=True)
    sys.exit(2)
