"""`import`, `export` and `push` on the command line: there and back, one sentence an error."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from typer.testing import CliRunner, Result

from genlab.cli import build_app
from genlab.formats.model_card import read_card
from genlab.models.registry import Registry
from genlab.settings import PROJECT
from tests.tutorial_networks import ConditionalVAE, FlatGAN, LinderConditionalGAN, vivid


@pytest.fixture(autouse=True)
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    monkeypatch.setenv("GENLAB_CHECKPOINTS", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def call(*words: str) -> Result:
    return CliRunner().invoke(build_app(), list(words))


def images_of(name: str, *options: str) -> np.ndarray:
    done = call("sample", name, "--count=3", "--out=x.npz", "--device=cpu", *options)
    assert done.exit_code == 0, done.output
    return np.load("x.npz")["images"]


def test_a_state_dict_is_imported_drawn_and_exported_again(tmp_path: Path) -> None:
    module = vivid(LinderConditionalGAN())
    torch.save(module.state_dict(), "mine.pth")
    done = call("import", "mine.pth", "--name=mine", "--title=My GAN", "--dataset=mnist")
    assert done.exit_code == 0, done.output
    text = done.output
    assert "Recognised as a class-conditional fully connected GAN, z of 100 numbers" in text
    assert "Generator: 110 → 128 · [leaky ReLU 0.2] · 128 → 256 · batch norm, eps 0.8" in text
    assert "label-first  yes          guessed" in text
    assert "mine" in call("list").output
    first = images_of("mine", "--label=7")
    assert first.shape == (3, 28, 28)

    assert call("export", "mine", "--to=pth", "--out=again.pth").exit_code == 0
    again = torch.load("again.pth", weights_only=True)
    own = module.state_dict()
    assert again.keys() == {name for name in own if not name.endswith("num_batches_tracked")}
    assert all(torch.equal(own[name], tensor) for name, tensor in again.items())
    assert call("import", "again.pth", "--name=again").exit_code == 0
    assert np.array_equal(images_of("again", "--label=7"), first)

    assert call("export", "mine", "--to=onnx").exit_code == 0
    assert call("import", "mine.onnx", "--name=graph").exit_code == 0
    assert np.abs(images_of("graph", "--label=7").astype(int) - first).max() <= 1

    done = call("export", "mine", "--to=hub")
    assert done.output.startswith("Wrote mine.zip: 3 files in the hub's layout")
    names = zipfile.ZipFile("mine.zip").namelist()
    assert names == ["mine/README.md", "mine/config.json", "mine/model.safetensors"]
    assert call("import", "mine.zip", "--name=zipped").exit_code == 0
    assert np.array_equal(images_of("zipped", "--label=7"), first)
    assert Registry(tmp_path / "checkpoints").entries["zipped"].title == "My GAN"


@pytest.mark.parametrize("name", ["vae-mnist-2d", "dcgan-mnist"])
def test_what_ships_can_be_taken_elsewhere(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENLAB_CHECKPOINTS", str(PROJECT / "checkpoints"))
    shown = images_of(name)
    for form in ("pth", "onnx"):
        assert call("export", name, f"--to={form}").exit_code == 0
    session = onnxruntime.InferenceSession(f"{name}.onnx")
    assert [one.name for one in session.get_inputs()] == ["z"]
    monkeypatch.setenv("GENLAB_CHECKPOINTS", str(tmp_path / "checkpoints"))
    assert "GenLab's own" in call("import", f"{name}.pth", "--name=back").output
    assert np.array_equal(images_of("back"), shown)


def test_a_corrected_guess_changes_the_pictures(tmp_path: Path) -> None:
    torch.save(vivid(ConditionalVAE()).state_dict(), "mine.pth")
    assert call("import", "mine.pth", "--name=one").exit_code == 0
    done = call("import", "mine.pth", "--name=two", "--hidden=tanh", "--invert", "--label-first")
    assert "hidden       tanh         as you said" in done.output
    assert not np.array_equal(images_of("one"), images_of("two"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["import", "none.pth", "--name=mine"], "There is no file none.pth."),
        (["import", "mine.pth", "--name=../mine"], "--name is '../mine', but must be letters"),
        (["import", "mine.pth", "--name=own-1"], "not begin with own-"),
        (["import", "mine.pth", "--name=m", "--dataset=cifar"], "--dataset is 'cifar', but must"),
        (["import", "mine.pth", "--name=m", "--hidden=swish"], "hidden is 'swish', but must be"),
        (["import", "mine.pth", "--name=m", "--size=3"], "size is 3, but must be a whole number"),
        (["import", "mine.pth", "--name=m", "--size=64"], "4 layers (fc1 100-64, fc2 64-128,"),
        (
            ["import", "mine.pth", "--name=m", "--size=64"],
            "no network that is known here with size",
        ),
        (["import", "mine.pth", "--name=m", "--eps=0.5"], "eps is 0.5, but it has no batch norm"),
        (["import", "mine.pth", "--name=m", "--label-first"], "label_first is yes, but it is told"),
        (["import", "mine.pth", "--name=m", "--reshape-plain"], "reshape_active is no, but"),
        (["import", "mine.pth", "--name=live-training"], "which is a model of GenLab's"),
        (["import", "mine.pth", "--name=sd-turbo"], "which is a model of GenLab's"),
        (["import", "~nosuchuser/x.pth", "--name=m"], "There is no file ~nosuchuser/x.pth."),
        (["import", "mine\udcff.pth", "--name=m"], "has bytes that are no text"),
        (
            ["deploy", "--space=a/b", "--dry-run", "--sleep-minutes=-5"],
            "--sleep-minutes is -5, but",
        ),
        (["export", "mine", "--to=pth"], "There is no checkpoint called 'mine'"),
        (["push", "mine", "--repo=x"], "There is no checkpoint called 'mine'"),
    ],
)
def test_a_wrong_word_is_one_sentence(words: list[str], sentence: str) -> None:
    torch.save(vivid(FlatGAN()).state_dict(), "mine.pth")
    done = call(*words)
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_the_weights_say_is_not_overruled_in_silence(tmp_path: Path) -> None:
    torch.save(vivid(LinderConditionalGAN()).state_dict(), "mine.pth")
    done = call("import", "mine.pth", "--name=mine", "--classes=5")
    assert done.exit_code == 2
    assert "classes is 5, but the weights say 10." in done.stderr


def test_a_number_or_a_place_that_cannot_be_is_told_for_a_sound_checkpoint(tmp_path: Path) -> None:
    torch.save(vivid(FlatGAN()).state_dict(), "mine.pth")
    assert call("import", "mine.pth", "--name=mine").exit_code == 0
    Path("MINE.SAFETENSORS").write_bytes(b"hello")
    for words, sentence in (
        (["sample", "mine", "--out=x.npz", "--count=100000000"], "--count is 100000000, but must"),
        (["export", "mine", "--to=pth", "--out=nowhere/x.pth"], "nowhere/x.pth cannot be used"),
        (["import", "MINE.SAFETENSORS", "--name=m"], "cut short or is no safetensors file"),
    ):
        done = call(*words)
        assert done.exit_code == 2
        assert sentence in done.stderr
        assert done.stderr.count("\n") == 1


def test_the_title_that_was_said_counts_more_than_the_cards(tmp_path: Path) -> None:
    torch.save(vivid(FlatGAN()).state_dict(), "mine.pth")
    assert call("import", "mine.pth", "--name=mine", "--title=First").exit_code == 0
    assert call("export", "mine", "--to=hub", "--out=mine.zip").exit_code == 0
    assert call("import", "mine.zip", "--name=again").exit_code == 0
    assert call("import", "mine.zip", "--name=other", "--title=Second").exit_code == 0
    folder = tmp_path / "checkpoints"
    titles = [read_card(folder / name)[0]["genlab"]["title"] for name in ("again", "other")]
    assert titles == ["First", "Second"]
    done = call("import", "mine.zip", "--name=third", "--hidden=relu")
    assert "hidden is relu, but it says itself how it is built." in done.stderr


def test_export_names_what_a_checkpoint_has_no_form_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENLAB_CHECKPOINTS", str(PROJECT / "checkpoints"))
    assert "is several networks" in call("export", "stable-diffusion-toybox", "--to=pth").stderr
    assert "is a pixel diffusion checkpoint" in call("export", "ddpm-mnist", "--to=onnx").stderr
    Path("there.pth").write_bytes(b"x")
    done = call("export", "vae-mnist-2d", "--to=pth", "--out=there.pth")
    assert done.stderr == "there.pth is there already; name another file.\n"


def test_push_uploads_the_folder_with_its_card(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    calls: list[tuple[str, Any]] = []

    class Hub:
        """Stands for the hub's client."""

        def create_repo(self, repo: str, **more: Any) -> str:
            calls.append((repo, more))
            return f"https://huggingface.co/{repo}"

        def upload_folder(self, **more: Any) -> None:
            calls.append(("upload", more))

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    torch.save(vivid(FlatGAN()).state_dict(), "mine.pth")
    assert call("import", "mine.pth", "--name=mine").exit_code == 0
    assert "must be OWNER/NAME" in call("push", "mine", "--repo=nobody").stderr
    done = call("push", "mine", "--repo=ada/mine", "--dry-run")
    assert "3 files" in done.output
    assert "Nothing was uploaded" in done.output
    assert calls == []
    done = call("push", "mine", "--repo=ada/mine", "--private")
    assert "Uploaded: https://huggingface.co/ada/mine" in done.output
    assert calls[0] == ("ada/mine", {"repo_type": "model", "exist_ok": True, "private": True})
    sent = calls[1][1]
    assert sent["allow_patterns"] == ["README.md", "config.json", "model.safetensors"]
    assert sent["folder_path"].name == "mine"
