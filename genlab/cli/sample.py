"""`sample`: draw images and write them as arrays. Knows no family; no torch at import time."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from tqdm import tqdm

from genlab.cli.options import FamilyOption, lacks, request_fields, sample_options
from genlab.cli.serving import open_registry, serving, settings_for
from genlab.evaluation.sampling import SampleClient, draw, sample_requests
from genlab.families.description import FamilyDescription
from genlab.models.families import FAMILIES
from genlab.requests import Request, UserError, parse_request

DEFAULT_COUNT = 16
MOST = 1_000_000
"""Pictures of one call, which are held in memory together."""


def sample(
    name: Annotated[str, typer.Argument(help="Name of a checkpoint folder.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The .npz file to write.", show_default=False)],
    count: Annotated[
        int | None, typer.Option(help=f"How many images; {DEFAULT_COUNT} unless given.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Image k is drawn from seed + k.")] = 0,
    prompts: Annotated[
        Path | None, typer.Option(help="A file of texts, one a line, one image each.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = None,
    **options: Any,
) -> None:
    """Draw images through the engine and write them as uint8 arrays, with what was asked."""
    given = {option: value for option, value in options.items() if value is not None}
    if count is not None and prompts is not None:
        raise UserError("Give --count or --prompts, not both: a file of prompts sets the count.")
    if out.is_dir():
        raise UserError(f"{out} is a folder; name the .npz file to write.")
    if out.suffix != ".npz":  # numpy would add it
        out = out.with_name(f"{out.name}.npz")
    settings = settings_for(device)
    registry = open_registry(settings)
    metadata = registry.entry(name)
    description = FAMILIES[metadata.family]
    kind = description.sample_request
    values = {"checkpoint": name} | request_fields(metadata, description, given)
    assert kind is not None  # request_fields has refused what draws nothing
    if prompts is not None and "prompt" not in kind.model_fields:
        raise lacks(metadata, description, "prompts")
    if prompts is None:
        count = DEFAULT_COUNT if count is None else count
        if not 1 <= count <= MOST:
            raise UserError(f"--count is {count}, but must be a whole number from 1 to {MOST}.")
        texts = [given["prompt"]] * count if "prompt" in given else None
        requests = list(sample_requests(kind, count, seed=seed, **values))
    else:
        texts = read_texts(prompts)
        count = len(texts)
        requests = [
            parse_request(kind, **values | {"prompt": text, "seed": seed + k, "count": 1})
            for k, text in enumerate(texts)
        ]
    registry.check(requests[0])  # a wrong value is named before torch is loaded
    with serving(registry, settings) as client:
        arrays: dict[str, Any] = {"images": _drawn(client, requests, count)}
    if texts is not None:
        arrays["prompts"] = np.array(texts)
    classes = [label for request in requests for label in target_classes(request)]
    if classes:
        arrays["labels"] = np.array(classes, dtype=np.int64)
    np.savez_compressed(out, **arrays)
    typer.echo(f"Wrote {count} images to {out}.")


def command(families: Iterable[FamilyDescription]) -> Callable[..., None]:
    """`sample` as Typer reads it: with an option for each field of the families' requests."""
    families = tuple(families)
    drawing = sum(family.sample_request is not None for family in families)
    plain = inspect.signature(sample, eval_str=True)
    before = [p for p in plain.parameters.values() if p.kind is not p.VAR_KEYWORD]
    options = [_parameter(option, drawing) for option in sample_options(families).values()]
    last = len(before) - 2  # `prompts` and `device` come after the families' options

    def run(**values: Any) -> None:
        sample(**values)

    run.__doc__ = sample.__doc__
    run.__signature__ = plain.replace(  # type: ignore[attr-defined]
        parameters=[
            parameter.replace(kind=parameter.KEYWORD_ONLY)
            for parameter in (*before[:last], *options, *before[last:])
        ]
    )
    return run


def read_texts(path: Path) -> list[str]:
    """The lines of a file of prompts, empty ones left out; raises UserError if none is left."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # a prompt may hold odd separators
    except UnicodeDecodeError:
        raise UserError(f"{path} is no text in UTF-8.") from None
    texts = [line.strip() for line in lines if line.strip()]
    if not texts:
        raise UserError(f"{path} holds no prompt.")
    return texts


def target_classes(request: Request) -> tuple[int, ...]:
    """The class that guidance leads each picture of a request to; () if it leads to none."""
    if getattr(request, "guidance", "none") == "none":
        return ()
    return getattr(request, "target_classes", ())


def _parameter(option: FamilyOption, families: int) -> inspect.Parameter:
    kind: Any = option.kind
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, typer.Option(option.flag, help=option.help(families))],
    )


def _drawn(client: SampleClient, requests: Sequence[Request], count: int) -> np.ndarray:
    """All images, with a progress bar when a person looks on; notes go to stderr once each."""
    parts, notes = [], dict[str, None]()
    with tqdm(total=count, unit="image", disable=None, leave=False) as bar:
        for result in draw(client, requests):
            parts.append(result.images)
            notes |= dict.fromkeys(result.notes)
            bar.update(len(result.images))
    for note in notes:
        typer.echo(note, err=True)
    return np.concatenate(parts)
