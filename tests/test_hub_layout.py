"""Networks in the hub's layout: headers against configuration, and the whole fit when opened."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import init_empty_weights
from diffusers.models.modeling_utils import no_init_weights
from safetensors.torch import save_file

from genlab.formats import headers
from genlab.formats.fingerprints import sha256_of, stamp_of
from genlab.formats.hub_layout import (
    check_hub_folder,
    count_parameters,
    load_hub_module,
    read_json,
)
from genlab.formats.metadata import BrokenCheckpoint


class Line(torch.nn.Module):
    """A linear layer and a buffer."""

    def __init__(self, width: int, depth: int = 1) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(width, depth)
        self.register_buffer("mean", torch.zeros(width, dtype=torch.float16))


def shapes(config: Mapping[str, Any]) -> dict[str, list[int]]:
    width = config["width"]
    return {"layer.weight": [1, width], "layer.bias": [1], "mean": [width]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_file(Line(3).state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"width": 3}')
    return tmp_path


def test_headers_say_shapes_and_numbers(folder: Path):
    assert headers.tensor_shapes(folder / "model.safetensors") == shapes({"width": 3})
    assert count_parameters(folder) == 3 + 1 + 3


def test_reading_a_header_takes_no_torch(folder: Path):
    code = (
        "import sys; from pathlib import Path; from genlab.formats import hub_layout, headers;"
        f"hub_layout.count_parameters(Path({str(folder)!r})); print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("size", [0, 5, 8, 100, -1])
def test_a_file_cut_anywhere_is_noticed_by_its_header(folder: Path, size: int):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:size])
    with pytest.raises(BrokenCheckpoint, match="model.safetensors is cut short"):
        headers.tensor_shapes(weights)


def test_what_does_not_fit_is_named_with_both_shapes(folder: Path):
    check_hub_folder(folder, shapes, "Line")
    (folder / "config.json").write_text('{"width": 4}')
    with pytest.raises(BrokenCheckpoint, match=r"layer.weight is \[1, 3\], but should be \[1, 4\]"):
        check_hub_folder(folder, shapes, "Line")
    (folder / "config.json").write_text('{"depth": 4}')
    with pytest.raises(BrokenCheckpoint, match="config.json does not describe a Line"):
        check_hub_folder(folder, shapes, "Line")


def test_a_tensor_too_many_is_named_too(folder: Path):
    save_file(Line(3).state_dict() | {"x": torch.zeros(2)}, folder / "model.safetensors")
    with pytest.raises(BrokenCheckpoint, match=r"x is \[2\], but should be absent"):
        check_hub_folder(folder, shapes, "Line")


def test_a_network_is_loaded_ready_to_be_called(folder: Path):
    module = load_hub_module(Line, folder)
    assert not module.training
    assert module.layer.weight.shape == (1, 3)


def test_a_network_is_loaded_whole_while_another_thread_opens_a_pipeline(folder: Path):
    kept = load_hub_module(Line, folder).state_dict()
    with init_empty_weights(), no_init_weights():  # of the whole process, whoever asks for them
        module = load_hub_module(Line, folder)
    assert module.layer(torch.ones(2, 3)).device.type == "cpu"
    assert all(torch.equal(value, kept[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize("config", ['{"width": 4}', '{"width": 3, "depth": 2}', '{"deep": 1}'])
def test_opening_compares_every_weight(folder: Path, config: str):
    (folder / "config.json").write_text(config)
    with pytest.raises(BrokenCheckpoint, match="do not fit|does not describe a Line"):
        load_hub_module(Line, folder)


def test_json_that_is_no_text_is_no_json(folder: Path):
    (folder / "config.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BrokenCheckpoint, match="config.json is not valid JSON"):
        read_json(folder / "config.json")
    with pytest.raises(BrokenCheckpoint, match="cannot be read"):
        read_json(folder / ("x" * 5000))


def test_there_is_no_hash_of_nothing(tmp_path: Path):
    with pytest.raises(BrokenCheckpoint, match="has no safetensors file any more"):
        sha256_of(tmp_path)
    with pytest.raises(BrokenCheckpoint, match="has no safetensors file any more"):
        sha256_of(tmp_path / "gone")


def test_the_stamp_of_weights_changes_with_them(folder: Path):
    before = stamp_of(folder)
    (folder / "README.md").write_text("a card")
    assert stamp_of(folder) == before
    save_file({"x": torch.zeros(2)}, folder / "more.safetensors")
    assert stamp_of(folder) != before
