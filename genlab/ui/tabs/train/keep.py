"""The result of a training as its visitor's own model, and as a file. Knows no tensor."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from gradio.utils import get_upload_folder

from genlab.families.live_training.checkpoint import can_be_kept, title, write_checkpoint
from genlab.models.registry import Registry
from genlab.requests import UserError
from genlab.ui.tabs.train.session import TrainingSession


@dataclass(frozen=True)
class Kept:
    """What became of a result.

    Attributes:
        note: one sentence for the visitor; "" if there is nothing to keep.
        archive: the ZIP of the checkpoint folder; None if there is none.
    """

    note: str = ""
    archive: str | None = None


def keep(registry: Registry, owner: str, session: TrainingSession) -> Kept:
    """Make the result one of the visitor's own models. Writes files: not for the event loop."""
    request = session.request
    if session.result is None or not session.state or not can_be_kept(request.subject):
        return Kept()
    home = Path(get_upload_folder())
    home.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=home)) / f"my-{request.subject}-{session.step}"
    examples = session.result.extras["examples"]
    write_checkpoint(folder, request, session.state, session.step, examples)
    archive = shutil.make_archive(str(folder), "zip", folder.parent, folder.name)
    if not registry.own.allowed:
        shutil.rmtree(folder)
        return Kept("Download it to keep it.", archive)
    try:
        metadata = registry.own.add(owner, folder)
    except UserError as error:
        shutil.rmtree(folder, ignore_errors=True)
        return Kept(str(error), archive)
    family = "VAE" if metadata.family == "vae" else "GAN"
    name = title(request.subject, session.step)
    return Kept(
        f'"{name}" is yours until you leave: choose it in the {family} tab or in Compare.', archive
    )
