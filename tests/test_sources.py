"""What GENLAB_MODELS may name, and which models are known to draw without guidance."""

from __future__ import annotations

from pathlib import Path

import pytest

from genlab.models.sources import PRESETS, Source, read_spec, sources
from genlab.requests import UserError


def by_name(*specs: str) -> dict[str, Source]:
    found, wrong = sources(specs)
    assert wrong == {}
    return {source.name: source for source in found}


@pytest.mark.parametrize(
    "spec",
    [
        "nowhere at all",
        "~nosuchuser/model",
        "/" + "x" * 5000,
        "a/" + "b" * 5000,
        "a\0b",
        "./folder",
        "a/b/c",
        "",
        "/",
        "x@distilled",
    ],
    ids=lambda spec: spec[:20],
)
def test_what_is_no_folder_file_or_id_is_named_and_the_rest_is_served(spec: str):
    found, wrong = sources([spec, "org/name"])
    assert [source.name for source in found] == [p.name for p in PRESETS] + ["name"]
    ((name, why),) = wrong.items()
    assert len(name) <= 80
    assert why == "there is no such folder or file, and it is no hub id such as org/name."


def test_a_folder_a_file_and_an_id_are_told_apart(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "model.ckpt").write_bytes(b"")
    assert read_spec(str(tmp_path / "folder")).kind == "folder"
    single = read_spec(str(tmp_path / "model.safetensors"))
    assert (single.kind, single.name) == ("file", "model")
    assert read_spec("org/name").kind == "hub"
    with pytest.raises(UserError, match="pickled weights are never loaded"):
        read_spec(str(tmp_path / "model.ckpt"))


def test_a_preset_that_is_named_again_stays_one_and_two_of_a_name_are_both_there():
    models = by_name("nota-ai/bk-sdm-small", "somebody/bk-sdm-small")
    assert len(models) == len(PRESETS) + 1
    assert models["somebody/bk-sdm-small"].where == "somebody/bk-sdm-small"


def test_distilled_models_are_known_by_their_exact_name_only():
    models = by_name("stabilityai/sdxl-turbo", "somebody/hyperrealism", "somebody/new-turbo")
    assert models["sd-turbo"].distilled
    assert models["sdxl-turbo"].distilled
    assert models["hyperrealism"].distilled is None, "its files decide"
    assert models["new-turbo"].distilled is None
    assert models["bk-sdm-small"].distilled is None


def test_a_copy_on_disk_is_known_by_its_exact_name(tmp_path: Path):
    for name in ("sdxl-turbo", "my-sdxl-turbo"):
        (tmp_path / name).mkdir()
    (tmp_path / "sd_xl_turbo_1.0.safetensors").write_bytes(b"")
    assert read_spec(str(tmp_path / "sdxl-turbo")).distilled
    assert read_spec(str(tmp_path / "my-sdxl-turbo")).distilled is None
    assert read_spec(str(tmp_path / "sd_xl_turbo_1.0.safetensors")).distilled


def test_a_person_has_the_last_word(tmp_path: Path):
    (tmp_path / "model").mkdir()
    (tmp_path / "odd@guided").mkdir()
    models = by_name(
        "a/new-turbo@distilled",
        "stabilityai/sdxl-turbo@guided",
        "stabilityai/sd-turbo@guided",
        f"{tmp_path / 'model'}@distilled",
    )
    assert models["new-turbo"].distilled is True
    assert models["new-turbo"].where == "a/new-turbo"
    assert models["sdxl-turbo"].distilled is False
    assert models["sd-turbo"].distilled is False, "a preset's too"
    assert models["model"].distilled is True
    assert read_spec(str(tmp_path / "odd@guided")).distilled is None, "a folder called so"


def test_a_file_takes_the_configuration_that_a_person_names(tmp_path: Path):
    (tmp_path / "base.safetensors").write_bytes(b"")
    (tmp_path / "sd_turbo.safetensors").write_bytes(b"")
    file = str(tmp_path / "base.safetensors")
    assert read_spec(file).config == ""
    named = read_spec(f"{file}@somebody/sd2-base")
    assert (named.where, named.config, named.distilled) == (file, "somebody/sd2-base", None)
    both = read_spec(f"{file}@somebody/sd2-base@distilled")
    assert (both.where, both.config, both.distilled) == (file, "somebody/sd2-base", True)
    turbo = read_spec(str(tmp_path / "sd_turbo.safetensors"))
    assert (turbo.config, turbo.distilled) == ("stabilityai/sd-turbo", True)
    with pytest.raises(UserError, match="only a .safetensors file takes its configuration"):
        read_spec("a/model@somebody/sd2-base")


def test_distilled_models_begin_with_few_steps_and_without_guidance():
    source = Source("x", "x", "a/x")
    assert source.defaults(distilled=True, few_steps=True) == {
        "num_inference_steps": 4, "guidance_scale": 1.0, "scheduler": "euler-ancestral"
    }  # fmt: skip
    heeds_the_scale = source.defaults(distilled=False, few_steps=True)
    assert (heeds_the_scale["num_inference_steps"], heeds_the_scale["guidance_scale"]) == (4, 7.5)
    assert source.defaults(distilled=False, few_steps=False)["num_inference_steps"] == 25
    turbo = by_name()["sd-turbo"]
    assert turbo.defaults(distilled=True, few_steps=True)["num_inference_steps"] == 2
