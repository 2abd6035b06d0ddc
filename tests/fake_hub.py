"""Hugging Face's hub without a network: a folder of repositories, and the three calls GenLab makes.

The fake keeps the real cache's layout, so what was downloaded is found by the real look-up.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

COMMIT = "0" * 40


class FakeHub:
    """Repositories by id, each a local folder.

    Attributes:
        online: False makes every call fail as without a network.
        pause: called before each file is stored.
        calls: the names of the calls that asked the network.
    """

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.repositories: dict[str, Path] = {}
        self.gated: set[str] = set()
        self.online = True
        self.pause: Callable[[], None] = lambda: None
        self.calls: list[str] = []

    def _folder(self, call: str, repo_id: str) -> Path:
        self.calls.append(call)
        if not self.online:
            raise httpx2.ConnectError("no route to host")
        response = httpx2.Response(404, request=httpx2.Request("GET", "https://huggingface.co"))
        if repo_id in self.gated:
            raise GatedRepoError("gated", response=response)
        if repo_id not in self.repositories:
            raise RepositoryNotFoundError("not found", response=response)
        return self.repositories[repo_id]

    def model_info(self, repo_id: str, files_metadata: bool = False) -> Any:
        folder = self._folder("model_info", repo_id)
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        siblings = [
            SimpleNamespace(
                rfilename=path.relative_to(folder).as_posix(),
                size=path.stat().st_size if files_metadata else None,
            )
            for path in files
        ]
        return SimpleNamespace(siblings=siblings)

    def hf_hub_download(self, repo_id: str, filename: str) -> str:
        return str(self._store(repo_id, self._folder("hf_hub_download", repo_id), filename))

    def snapshot_download(self, repo_id: str, allow_patterns: list[str], tqdm_class: Any) -> str:
        folder = self._folder("snapshot_download", repo_id)
        with tqdm_class(total=0, unit="B", desc="Reconstructing") as bar:
            for name in allow_patterns:
                self.pause()
                self._store(repo_id, folder, name)
                bar.update((folder / name).stat().st_size)
        return str(self._snapshot(repo_id))

    def _snapshot(self, repo_id: str) -> Path:
        return self.cache / ("models--" + repo_id.replace("/", "--")) / "snapshots" / COMMIT

    def _store(self, repo_id: str, folder: Path, name: str) -> Path:
        snapshot = self._snapshot(repo_id)
        main = snapshot.parent.parent / "refs" / "main"
        main.parent.mkdir(parents=True, exist_ok=True)
        main.write_text(COMMIT)
        target = snapshot / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, target)
        return target


@pytest.fixture
def fake_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """The fake in the place of the real hub, with an empty cache."""
    hub = FakeHub(tmp_path / "hub-cache")
    hub.cache.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub.cache))
    for call in ("model_info", "hf_hub_download", "snapshot_download"):
        monkeypatch.setattr(huggingface_hub, call, getattr(hub, call))
    return hub
