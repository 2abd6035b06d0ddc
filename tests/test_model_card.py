"""One reader and writer of cards; what a card says is plain JSON, whatever YAML made of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from genlab.formats.metadata import BrokenCheckpoint
from genlab.formats.model_card import read_card, read_genlab, update_metrics, write_card


def card(folder: Path, genlab: str) -> Path:
    lines = "\n".join(f"  {line}" for line in genlab.splitlines())
    (folder / "README.md").write_text(f"---\nlicense: mit\ngenlab:\n{lines}\n---\n\nText.\n")
    return folder


def test_what_is_written_is_read(tmp_path: Path):
    write_card(tmp_path / "x", "vae", "Ein Titel: ä", "mnist", "# Hello\n\n---\n\nText.", parts=[1])
    front, text = read_card(tmp_path / "x")
    assert (front["license"], text) == ("apache-2.0", "# Hello\n\n---\n\nText.\n")
    assert read_genlab(tmp_path / "x") == {
        "family": "vae", "title": "Ein Titel: ä", "dataset": "mnist", "metrics": {}, "parts": [1]
    }  # fmt: skip


def test_figures_are_added_and_replaced_and_the_text_stays(tmp_path: Path):
    write_card(tmp_path, "vae", "A title", "mnist", "Text.")
    update_metrics(tmp_path, {"fid": 1.0, "samples": 10})
    update_metrics(tmp_path, {"fid": 2.0})
    assert read_genlab(tmp_path)["metrics"] == {"fid": 2.0, "samples": 10}
    assert read_card(tmp_path)[1] == "Text.\n"


def test_a_card_with_windows_line_ends_and_a_byte_order_mark_is_read(tmp_path: Path):
    text = "\ufeff---\r\ngenlab:\r\n  family: vae\r\n---\r\nText.\r\n"
    (tmp_path / "README.md").write_bytes(text.encode())
    assert read_genlab(tmp_path)["family"] == "vae"


def test_metrics_that_are_no_figures_are_left_out_with_a_warning(tmp_path: Path, caplog):
    card(
        tmp_path,
        "metrics:\n"
        "  fid: 1.5\n  samples: 10\n  scheduler: ddim\n  shares: [0.5, 1]\n  words: [a, b]\n"
        "  nan: .nan\n  inf: [1, .inf]\n  huge: " + "9" * 400 + "\n"
        "  day: 2024-02-01\n  nothing: null\n  yes: true\n  deep: {a: 1}\n  pairs: [[1]]\n",
    )
    metrics = read_genlab(tmp_path)["metrics"]
    assert metrics == {
        "fid": 1.5, "samples": 10, "scheduler": "ddim", "shares": [0.5, 1], "words": ["a", "b"]
    }  # fmt: skip
    for name in ("nan", "inf", "huge", "day", "nothing", "deep", "pairs"):
        assert f"metric {name} is left out" in caplog.text


@pytest.mark.parametrize("metrics", ["[1]", "5", "text", "null"])
def test_metrics_that_are_no_mapping_are_none(tmp_path: Path, metrics: str):
    assert read_genlab(card(tmp_path, f"metrics: {metrics}"))["metrics"] == {}
    update_metrics(tmp_path, {"fid": 1.0})
    assert read_genlab(tmp_path)["metrics"] == {"fid": 1.0}


def test_whatever_yaml_makes_is_plain_json(tmp_path: Path, caplog):
    card(
        tmp_path,
        "title: 2024-02-01\nat: 2024-02-01 10:00:00\n1: one\nset: !!set {a, b}\n"
        "bytes: !!binary aGVsbG8=\nnan: .nan\nself: &a [*a]\nplain: {a: [1, null]}",
    )
    read = read_genlab(tmp_path)
    json.dumps(read, allow_nan=False)
    assert (read["title"], read["1"], read["plain"]) == ("2024-02-01", "one", {"a": [1, None]})
    for name in ("set", "bytes", "nan", "self"):
        assert name not in read
        assert f"{name} is left out" in caplog.text


def test_no_python_object_comes_out_of_a_card(tmp_path: Path):
    card(tmp_path, "x: !!python/object/apply:os.system [exit]")
    with pytest.raises(BrokenCheckpoint, match="YAML at the top of its README.md cannot be read"):
        read_genlab(tmp_path)


@pytest.mark.parametrize("text", ["---\nlicense: mit\n---\n", "---\ngenlab: 5\n---\n"])
def test_a_card_without_a_genlab_part_says_nothing(tmp_path: Path, text: str):
    (tmp_path / "README.md").write_text(text)
    assert read_genlab(tmp_path) == {}
    with pytest.raises(BrokenCheckpoint, match="says nothing under `genlab:`"):
        update_metrics(tmp_path, {"fid": 1.0})
