"""A visitor's models: served like any other, listed for their owner alone, bounded, forgotten."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from genlab.families.vae.network import ConvVAE
from genlab.families.vae.request import VAERequest
from genlab.formats.model_card import write_card
from genlab.models import own as own_module
from genlab.models.registry import Registry
from genlab.requests import UserError, parse_request
from genlab.serving.thread import ThreadClient
from genlab.settings import Settings


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "vae"
    torch.manual_seed(0)
    ConvVAE(5, (4, 4), 16).save_pretrained(folder)
    write_card(folder, "vae", "Ada's VAE", "mnist", "For tests.")
    return folder


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "checkpoints", own=tmp_path / "own")


def bring(registry: Registry, owner: str, source: Path) -> str:
    """A copy of a folder as somebody's own; its name."""
    copy = registry.root.parent / "copy"
    shutil.copytree(source, copy)
    name = registry.own.add(owner, copy).name
    assert not copy.exists()
    return name


def test_a_visitors_model_draws_and_is_in_nobody_elses_list(registry: Registry, vae: Path) -> None:
    name = bring(registry, "ada", vae)
    assert [entry.title for entry in registry.own.of("ada")] == ["Ada's VAE"]
    assert registry.own.of("ada", "gan") == registry.own.of("bob") == []
    assert registry.entries == {}
    assert registry.of_family("vae") == []
    with ThreadClient(registry, Settings()) as client:
        result = client.submit(parse_request(VAERequest, checkpoint=name, count=2)).result()
    assert result.images.shape == (2, 28, 28)
    assert result.fingerprint == registry.fingerprint(name)


def test_another_process_with_the_same_folder_finds_it_by_its_name(
    registry: Registry, vae: Path, tmp_path: Path
) -> None:
    name = bring(registry, "ada", vae)
    replica = Registry(tmp_path / "checkpoints", own=tmp_path / "own")
    assert replica.entry(name).title == "Ada's VAE"
    assert replica.own.of("ada") == []
    assert replica.find("own-../../checkpoints") is None
    replica.own.sweep(idle_seconds=-1)
    assert (tmp_path / "own" / name).is_dir(), "whoever took it in removes it"


def test_a_fifth_model_replaces_the_oldest_and_leaving_removes_all(
    registry: Registry, vae: Path, tmp_path: Path
) -> None:
    others = bring(registry, "bob", vae)
    names = [bring(registry, "ada", vae) for _ in range(own_module.MOST + 1)]
    assert [entry.name for entry in registry.own.of("ada")] == names[:0:-1]
    with pytest.raises(UserError, match="This model of your own is gone: bring it again"):
        registry.entry(names[0])
    registry.own.forget("ada")
    assert registry.own.of("ada") == []
    assert [path.name for path in (tmp_path / "own").iterdir()] == [others]


def test_what_nobody_uses_goes_and_so_does_what_is_too_much(
    registry: Registry, vae: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = bring(registry, "ada", vae), bring(registry, "bob", vae)
    registry.entry(first)  # used again
    size = sum(path.stat().st_size for path in vae.iterdir())
    monkeypatch.setattr(own_module, "MOST_BYTES", 8 * size)
    assert registry.own.sweep() == 0
    monkeypatch.setattr(own_module, "MOST_BYTES", 1.5 * size)
    assert registry.own.sweep() == 1
    assert registry.find(second) is None
    assert registry.own.sweep(idle_seconds=-1) == 1
    assert list((tmp_path / "own").iterdir()) == []


def test_a_damaged_or_too_large_model_is_refused_with_a_sentence(
    registry: Registry, vae: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Path(shutil.copytree(vae, tmp_path / "broken"))
    (broken / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"cannot be used: its config.json does not describe"):
        registry.own.add("ada", broken)
    assert list((tmp_path / "own").iterdir()) == []
    with pytest.raises(UserError, match="takes no models of its visitors"):
        Registry(tmp_path).own.add("ada", vae)
    monkeypatch.setattr(own_module, "MOST_BYTES", 8000)
    with pytest.raises(UserError, match=r"has \d+ MB, but a visitor's own may have at most 0 MB"):
        registry.own.add("ada", vae)
    assert vae.is_dir()
