"""`export` and `push`: a checkpoint leaves GenLab, as a file or for the hub. No torch by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from genlab.cli.deploy import hub_sentences
from genlab.cli.serving import open_registry
from genlab.formats.metadata import BrokenCheckpoint, ModelMetadata
from genlab.formats.model_card import read_card
from genlab.models.exports import checkpoint_files, export
from genlab.models.sources import HUB_ID
from genlab.requests import UserError
from genlab.settings import Settings

Name = Annotated[str, typer.Argument(help="Name of a checkpoint folder.", show_default=False)]
ENDINGS = {"pth": ".pth", "onnx": ".onnx", "hub": ".zip"}


def export_checkpoint(
    name: Name,
    to: Annotated[
        Literal["pth", "onnx", "hub"],
        typer.Option(
            help="pth: a state dict; onnx: z in, picture out; hub: a ZIP of the folder and card."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="The file to write; NAME with the form's ending if not.")
    ] = None,
) -> None:
    """Write a checkpoint in a form that other programs read."""
    metadata = open_registry(Settings()).entry(name)
    typer.echo(export(metadata, to, out or Path(f"{name}{ENDINGS[to]}")))


def push(
    name: Name,
    repo: Annotated[str, typer.Option(help="OWNER/NAME on the hub; made if it is not there.")],
    private: Annotated[bool, typer.Option("--private", help="Only its owner sees it.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check all, upload nothing.")] = False,
) -> None:
    """Upload a checkpoint with its card to Hugging Face's hub, as a model of your own."""
    metadata = open_registry(Settings()).entry(name)
    files = pushed(metadata, repo)
    nbytes = sum(path.stat().st_size for path in files)
    typer.echo(f"{metadata.title}: {len(files)} files, {nbytes / 1e6:.1f} MB, to {repo}")
    if dry_run:
        typer.echo("Nothing was uploaded: this was a dry run.")
        return
    typer.echo(f"Uploaded: {upload(metadata, files, repo, private)}")


def pushed(metadata: ModelMetadata, repo: str) -> list[Path]:
    """The files that would be uploaded.

    Raises:
        UserError: there is no such place, or the card names no licence.
    """
    if not HUB_ID.fullmatch(repo):
        raise UserError(
            f"--repo is {repo[:60]!r}, but must be OWNER/NAME of at most 96 characters."
        )
    if not metadata.path.is_dir():
        raise UserError(f"{metadata.name} is one file from outside; the hub has it already.")
    try:
        front: dict[str, Any] = read_card(metadata.path)[0]
    except BrokenCheckpoint as error:
        raise UserError(f"The checkpoint {metadata.name} is damaged: {error}") from error
    if not front.get("license"):
        raise UserError(f"The card of {metadata.name} names no license, which the hub asks for.")
    return checkpoint_files(metadata.path)


def upload(metadata: ModelMetadata, files: list[Path], repo: str, private: bool) -> str:
    """Make the repository, or bring it up to date; its address.

    Raises:
        UserError: the hub cannot be reached, or refuses.
    """
    from huggingface_hub import HfApi

    hub = HfApi()
    with hub_sentences(repo):
        address = hub.create_repo(repo, repo_type="model", exist_ok=True, private=private)
        hub.upload_folder(
            repo_id=repo,
            repo_type="model",
            folder_path=metadata.path,
            allow_patterns=[path.relative_to(metadata.path).as_posix() for path in files],
            commit_message=f"{metadata.title}, from GenLab",
        )
    return str(address)
