"""Fetches a VAE or a GAN of Hugging Face's hub, when a person asks for it by its id."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

from genlab.formats.hub_layout import CONFIG, WEIGHTS
from genlab.formats.model_card import CARD
from genlab.formats.state_dicts import MAX_BYTES
from genlab.requests import UserError

ENDINGS = (".safetensors", ".onnx", ".pth", ".pt", ".bin", ".ckpt")


def fetch(repo_id: str, folder: Path) -> Path:
    """Download what a repository has of a checkpoint, as one file that can be imported.

    Args:
        repo_id: org/name.
        folder: where the file is put.

    Raises:
        UserError: the hub cannot be reached or refuses, or there is nothing that could be imported.
    """
    import huggingface_hub

    from genlab.models.hub import sentences

    with sentences(repo_id):
        info = huggingface_hub.model_info(repo_id, files_metadata=True)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
        wanted = chosen(repo_id, sizes)
        paths = {name: Path(huggingface_hub.hf_hub_download(repo_id, name)) for name in wanted}
    if len(paths) == 1:
        (path,) = paths.values()
        return path
    archive = folder / "folder.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for name, path in paths.items():
            packed.write(path, name)
    return archive


def chosen(repo_id: str, sizes: Mapping[str, int]) -> list[str]:
    """The files to fetch of a repository: a folder in the hub layout, or its one file of weights.

    Raises UserError if there is neither, or they are too large.
    """
    if {CONFIG, WEIGHTS} <= sizes.keys():
        wanted = [name for name in (CARD, CONFIG, WEIGHTS) if name in sizes]
    else:
        weights = [name for name in sizes if name.lower().endswith(ENDINGS)]
        if len(weights) != 1:
            raise UserError(
                f"{repo_id} has {len(weights)} files of weights and no {CONFIG} with a {WEIGHTS} "
                "beside it; download the one that you want, and import that."
            )
        wanted = weights
    nbytes = sum(sizes[name] for name in wanted)
    if nbytes > MAX_BYTES:
        raise UserError(
            f"{repo_id} has {nbytes / 1e6:,.0f} MB, but may have at most {MAX_BYTES / 1e6:.0f} MB."
        )
    return wanted
