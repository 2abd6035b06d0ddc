"""What cannot be imported: nothing of it is run, and one sentence says what it is."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from genlab.families import conditional
from genlab.formats import state_dicts
from genlab.formats.metadata import BrokenCheckpoint
from genlab.models.families import FAMILIES
from genlab.models.imports.convert import convert
from genlab.requests import UserError
from tests.tutorial_networks import FlatGAN, PyTorchDiscriminator, PyTorchExamplesVAE, vivid


class Evil:
    """What it runs when it is unpickled makes a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self._path}",)


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, 5)
        self.conv2 = nn.Conv2d(10, 20, 5)
        self.fc1 = nn.Linear(320, 50)
        self.fc2 = nn.Linear(50, 10)


class Autoencoder(nn.Module):
    """Whose code of 64 could be taken for mu and logvar of 32, or for z of 32 and a class of 32."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64))
        self.decoder = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 784))


class GroupNormed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(100, 64, 7), nn.GroupNorm(8, 64), nn.ReLU(),
            nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.GroupNorm(8, 32), nn.ReLU(),
            nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.GroupNorm(8, 16), nn.ReLU(),
            nn.Conv2d(16, 1, 3, padding=1),
        )  # fmt: skip


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 5)


def save(content: Any) -> Callable[[Path], None]:
    return lambda path: torch.save(content(path) if callable(content) else content, path)


def state(module: nn.Module, change: Callable[[dict[str, Any]], Any] = lambda s: s) -> Any:
    tensors = dict(module.state_dict())
    return change(tensors) or tensors


def with_nan(tensors: dict[str, Any]) -> None:
    tensors["fc2.weight"] = tensors["fc2.weight"].clone()
    tensors["fc2.weight"][0, :3] = float("nan")


def shorter(tensors: dict[str, Any]) -> None:
    tensors["fc3.weight"] = tensors["fc3.weight"][:, :-1].clone()


def endless(path: Path) -> None:
    """One number that says it is 10 ** 12 of them."""
    torch.save({"fc1.weight": torch.zeros(1).expand(10**6, 10**6)}, path)


def bomb(path: Path) -> None:
    """An archive of 0.3 MB that unpacks to 300."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(300_000_000))


def cut(path: Path) -> None:
    torch.save(FlatGAN().state_dict(), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def scripted(path: Path) -> None:
    """What torch.jit.save() writes, by the names of its parts."""
    torch.save({"weight": torch.zeros(784, 20)}, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("mine/code/__torch__.py", "")
        archive.writestr("mine/constants.pkl", b"")


CASES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a whole module": (
        save(lambda path: FlatGAN()), r"holds a whole Python object \(tests",
    ),
    "TorchScript": (scripted, r"is a TorchScript program, which would be code .* as ONNX"),
    "code": (
        save(lambda path: {"fc1.weight": Evil(path.with_suffix(".ran"))}),
        r"would run posix\.system when it is loaded; GenLab runs nothing of a file",
    ),
    "a bare pickle": (
        lambda path: path.write_bytes(pickle.dumps(Evil(path.with_suffix(".ran")))) and None,
        r"runs nothing of a file|more than weights|not written by torch\.save",
    ),
    "no pickle": (lambda path: path.write_text("hello") and None, r"not written by torch\.save"),
    "noise": (
        lambda path: path.write_bytes(bytes(range(1, 201)) * 200) and None,
        r"not written by torch\.save",
    ),
    "empty": (lambda path: path.write_bytes(b""), r"it is empty"),
    "cut short": (cut, r"cut short"),
    "a bomb": (bomb, r"would unpack to 300 MB in 1 parts, but may have at most 256 MB"),
    "endless": (endless, r"say that they are 1,000,000 million numbers, but may be 64 million"),
    "NaN": (
        save(state(FlatGAN(), with_nan)),
        r"3 of the 8,192 numbers of fc2\.weight are NaN or infinite: the training has diverged",
    ),
    "a wrong shape": (
        save(state(PyTorchExamplesVAE(), shorter)), r"5 layers \(fc1 784-400.*are no network that",
    ),
    "a classifier": (save(state(Classifier())), r"is a classifier of ten classes alone"),
    "a discriminator": (
        save(state(PyTorchDiscriminator(1))), r"is a discriminator alone, which draws nothing",
    ),
    "a recurrent network": (save(state(Recurrent())), r"lstm\.\w+ belongs to no layer .* as ONNX"),
    "an autoencoder": (
        save(state(Autoencoder())), r"is a plain autoencoder, which has no distribution of z",
    ),
    "group norms": (save(state(GroupNormed())), r"7 layers .* are no network that is known here"),
    "half a batch norm": (
        save({"bn.weight": torch.ones(3), "bn.running_mean": torch.zeros(3)}),
        r"the tensors of its batch norm bn do not fit",
    ),
    "a batch norm of two widths": (
        save({"bn.running_mean": torch.zeros(3), "bn.running_var": torch.ones(4)}),
        r"the tensors of its batch norm bn do not fit",
    ),
    "a layer without a name": (
        save({".weight": torch.ones(784, 3)}), r"its tensor \.weight is of a layer without a name",
    ),
    "300 layers": (
        save({f"fc{k}.weight": torch.ones(8, 8) for k in range(300)}),
        r"it has 300 layers with weights, but may have at most 128",
    ),
    "40 layers that all fit each other": (
        save({f"fc{k}.weight": torch.ones(8, 8) for k in range(40)}),
        r"fit each other in too many ways to tell which is meant",
    ),
    "one tensor": (save(torch.zeros(3, 4)), r"one tensor of shape \[3, 4\]"),
    "a list": (save([torch.zeros(3)]), r"holds a list, no state dict"),
    "nothing": (save({"epoch": 3}), r"holds no weights"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_one_sentence_says_what_was_found(name: str, tmp_path: Path) -> None:
    write, sentence = CASES[name]
    source = tmp_path / "mine.pth"
    write(source)
    with pytest.raises(UserError, match=sentence) as error:
        convert(source, tmp_path / "mine", "Mine")
    assert str(error.value).startswith("mine.pth cannot be imported: ")
    assert str(error.value).count("\n") == 0
    assert not (tmp_path / "mine").exists(), "nothing is left behind"
    assert not source.with_suffix(".ran").exists(), "nothing of the file was run"


def test_a_file_of_four_gigabytes_is_not_even_read(tmp_path: Path) -> None:
    for ending in ("pth", "safetensors", "onnx", "zip"):
        source = tmp_path / f"mine.{ending}"
        with source.open("wb") as file:
            file.write(b"PK\x03\x04")
            file.truncate(4_000_000_000)  # a sparse file
        with pytest.raises(UserError, match=r"4,000 MB|damaged"):
            convert(source, tmp_path / "mine", "Mine")


def test_other_files_are_told_what_would_fit(tmp_path: Path) -> None:
    source = tmp_path / "mine.h5"
    source.write_bytes(b"x")
    with pytest.raises(UserError, match=r"a \.h5 is no checkpoint; a state dict \(\.pth, \.pt\)"):
        convert(source, tmp_path / "mine", "Mine")
    with pytest.raises(UserError, match="There is no file"):
        convert(tmp_path / "none.pth", tmp_path / "mine", "Mine")
    with pytest.raises(UserError, match="dataset is 'cifar', but must be one of mnist"):
        convert(source, tmp_path / "mine", "Mine", "cifar")
    (tmp_path / "mine").mkdir()
    with pytest.raises(UserError, match="There is a checkpoint called mine already"):
        convert(source, tmp_path / "mine", "Mine")


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def made(tmp_path: Path) -> dict[str, bytes]:
    """The files of a sound checkpoint folder."""
    torch.save(vivid(FlatGAN()).state_dict(), tmp_path / "flat.pth")
    convert(tmp_path / "flat.pth", tmp_path / "flat", "Flat", "mnist")
    return {path.name: path.read_bytes() for path in (tmp_path / "flat").iterdir()}


def test_a_folder_comes_as_a_zip_with_nothing_but_what_belongs_to_it(tmp_path: Path) -> None:
    files = made(tmp_path)
    inside = {f"export/{name}": content for name, content in files.items()}
    inside |= {"export/evil.py": b"x", "export/model.pth": b"x", "../out.txt": b"x"}
    result = convert(zipped(tmp_path / "mine.zip", inside), tmp_path / "mine", "Mine")
    assert result.family == "gan"
    assert {path.name for path in (tmp_path / "mine").iterdir()} == set(files)
    assert not (tmp_path.parent / "out.txt").exists()
    del inside["export/README.md"]
    convert(zipped(tmp_path / "bare.zip", inside), tmp_path / "bare", "Bare")


def test_a_zip_round_one_file_of_weights_is_that_file(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save(vivid(FlatGAN()).state_dict(), buffer)
    source = zipped(tmp_path / "mine.zip", {"a/mine.pth": buffer.getvalue(), "a/notes.txt": b"x"})
    assert convert(source, tmp_path / "mine", "Mine").family == "gan"
    assert not list((tmp_path / "mine").glob("inner*"))


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"a.txt": b"x"}, "holds no config.json with a model.safetensors beside it"),
        ({"a.pth": b"x", "b.pth": b"x"}, "not exactly one file of weights but 2"),
        ({"config.json": b"{}", "model.safetensors": b"x"}, "does not describe|cut short"),
        ({"a.pth": bytes(300_000_000)}, "would unpack to 300 MB"),
    ],
)
def test_a_zip_of_something_else_is_refused(
    files: dict[str, bytes], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=sentence):
        convert(zipped(tmp_path / "mine.zip", files), tmp_path / "mine", "Mine")
    assert not (tmp_path / "mine").exists()


def test_a_zip_that_unpacks_to_more_than_it_says_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_dicts, "MAX_BYTES", 1000)
    source = tmp_path / "mine.pth"
    torch.save(FlatGAN().state_dict(), source)
    with pytest.raises(UserError, match=r"may have at most 0 MB"):
        convert(source, tmp_path / "mine", "Mine")


def test_layers_at_which_others_would_wait_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conditional, "MULTIPLICATIONS", 250_000)
    files = made(tmp_path)  # 100-64-128-256-784: 248,000
    monkeypatch.setattr(conditional, "MULTIPLICATIONS", 240_000)
    with pytest.raises(UserError, match=r"0\.0 billion multiplications a picture, but may take 0"):
        convert(zipped(tmp_path / "mine.zip", files), tmp_path / "mine", "Mine")


@pytest.mark.parametrize(
    "layer",
    [
        {"op": "upsample", "scale": 4096},
        {"op": "exec", "code": "print()"},
        {"op": "conv", "in": 1, "out": 1, "kernel": -3},
        {"op": "reshape", "shape": [1, 28, 27]},
        {"op": "linear", "in": 784, "out": 784.5},
    ],
)
def test_a_list_of_layers_that_makes_no_network_is_damaged(
    layer: dict[str, Any], tmp_path: Path
) -> None:
    files = made(tmp_path)
    config = json.loads(files["config.json"])
    config["parts"]["generator"].append(layer)
    files["config.json"] = json.dumps(config).encode()
    with pytest.raises(UserError, match="its config.json does not describe a DCGAN"):
        convert(zipped(tmp_path / "mine.zip", files), tmp_path / "mine", "Mine")


def test_what_nobody_thought_of_is_one_sentence_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(vivid(FlatGAN()).state_dict(), tmp_path / "mine.pth")

    def broken(*values: Any) -> Any:
        raise KeyError("surprise")

    monkeypatch.setattr("genlab.models.imports.convert.recognise", broken)
    with pytest.raises(UserError, match=r"^mine.pth cannot be imported: .*\(KeyError\)\.$"):
        convert(tmp_path / "mine.pth", tmp_path / "mine", "Mine")
    assert not (tmp_path / "mine").exists()


def test_of_two_checkpoints_in_an_archive_chance_does_not_choose(tmp_path: Path) -> None:
    torch.save(vivid(FlatGAN()).state_dict(), tmp_path / "mine.pth")
    convert(tmp_path / "mine.pth", tmp_path / "folder", "Mine")
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        for name in ("a", "b"):
            for path in (tmp_path / "folder").iterdir():
                archive.write(path, f"{name}/{path.name}")
    with pytest.raises(UserError, match=r"the ZIP holds 2 checkpoints \(a, b\); pack one"):
        convert(tmp_path / "two.zip", tmp_path / "mine", "Mine")


@pytest.mark.parametrize("slope", ["x", 1e308, True, -1])
def test_a_slope_that_nothing_can_have_is_refused_at_the_scan(slope: Any, tmp_path: Path) -> None:
    torch.save(vivid(FlatGAN()).state_dict(), tmp_path / "mine.pth")
    folder = tmp_path / "mine"
    convert(tmp_path / "mine.pth", folder, "Mine")
    config = json.loads((folder / "config.json").read_text())
    leaky = [layer for layer in config["parts"]["generator"] if layer["op"] == "leaky_relu"]
    leaky[0]["slope"] = slope
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(BrokenCheckpoint):
        FAMILIES["gan"].check(folder, {})
