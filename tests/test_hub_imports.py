"""A VAE or a GAN of the hub, by its id: which files are fetched, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from genlab.models.imports import from_hub
from genlab.models.imports.convert import convert
from genlab.requests import UserError
from tests.tutorial_networks import FlatGAN, vivid


def test_a_folder_or_its_one_file_is_chosen() -> None:
    both = {"config.json": 1, "model.safetensors": 9, "README.md": 1, "pytorch_model.bin": 9}
    assert from_hub.chosen("a/b", both) == ["README.md", "config.json", "model.safetensors"]
    assert from_hub.chosen("a/b", {"G.pth": 9, "notes.txt": 1}) == ["G.pth"]
    with pytest.raises(UserError, match="a/b has 2 files of weights and no config.json"):
        from_hub.chosen("a/b", {"G.pth": 9, "D.pth": 9})
    with pytest.raises(UserError, match="a/b has 5,000 MB, but may have at most 256 MB"):
        from_hub.chosen("a/b", {"G.pth": 5_000_000_000})


@pytest.mark.parametrize("files", [["G.pth"], ["README.md", "config.json", "model.safetensors"]])
def test_what_is_fetched_can_be_imported(
    files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    repository = tmp_path / "repository"
    torch.save(vivid(FlatGAN()).state_dict(), tmp_path / "G.pth")
    convert(tmp_path / "G.pth", repository, "Flat")
    shutil.copy(tmp_path / "G.pth", repository)

    def info(repo_id: str, files_metadata: bool) -> Any:
        assert (repo_id, files_metadata) == ("ada/gan", True)
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=n, size=9) for n in files])

    def download(repo_id: str, name: str) -> str:
        return str(repository / name)

    monkeypatch.setattr(huggingface_hub, "model_info", info)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    path = from_hub.fetch("ada/gan", tmp_path)
    assert convert(path, tmp_path / "mine", "Mine").family == "gan"


def test_without_a_network_a_sentence_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def unreachable(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr(huggingface_hub, "model_info", unreachable)
    with pytest.raises(UserError, match="huggingface.co cannot be reached"):
        from_hub.fetch("ada/gan", tmp_path)
