"""Which models there are: a damaged one is named with its reason and never disturbs the others."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from genlab.families.live_training.request import TrainRequest
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.families.vae.network import ConvVAE
from genlab.families.vae.request import VAERequest
from genlab.formats.model_card import write_card
from genlab.models import registry as registry_module
from genlab.models.families import FAMILIES
from genlab.models.registry import Registry
from genlab.requests import UserError, parse_request
from tests.tiny_diffusion import save_tiny_judge
from tests.tiny_pipelines import save_tiny_stable_diffusion


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny VAE and a tiny Stable Diffusion, both whole."""
    root = tmp_path_factory.mktemp("originals")
    torch.manual_seed(0)
    ConvVAE(5, (4, 4), 16).save_pretrained(root / "vae")
    write_card(root / "vae", "vae", "A tiny VAE", "mnist", "For tests.")
    save_tiny_stable_diffusion(root / "sd")
    return root


@pytest.fixture
def root(originals: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(originals, tmp_path / "checkpoints"))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def reshape(path: Path) -> None:
    tensors = load_file(path)
    first = sorted(tensors)[0]
    tensors[first] = torch.zeros(3, 3)
    save_file(tensors, path)


def drop_tensor(path: Path) -> None:
    tensors = load_file(path)
    del tensors[sorted(tensors)[0]]
    save_file(tensors, path)


def put(text: str) -> Callable[[Path], object]:
    """The harm of a file with other content."""
    return lambda path: path.write_text(text)


def changed(**values: Any) -> Callable[[Path], object]:
    """Other values in a JSON file."""
    return lambda path: path.write_text(json.dumps(json.loads(path.read_text()) | values))


def to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def to_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def family(value: str) -> Callable[[Path], object]:
    return put(f"---\ngenlab:\n  family: {value}\n---\n")


SCHEDULER = "scheduler/scheduler_config.json"
UNET = "unet/diffusion_pytorch_model.safetensors"
DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("name", "file", "harm", "why"),
    [
        ("vae", "model.safetensors", cut, "cut short"),
        ("vae", "model.safetensors", put(""), "cut short"),
        ("vae", "model.safetensors", reshape, r"is \[3, 3\], but should be"),
        ("vae", "model.safetensors", drop_tensor, "is missing, but should be"),
        ("vae", "model.safetensors", Path.unlink, "has no model.safetensors"),
        ("vae", "model.safetensors", to_folder, "vae/model.safetensors is no file"),
        ("vae", "model.safetensors", to_pipe, "vae/model.safetensors is no file"),
        ("vae", "config.json", cut, "config.json is not valid JSON"),
        ("vae", "config.json", put(DEEP), "config.json is not valid JSON"),
        ("vae", "config.json", put("[]"), "holds no JSON object"),
        ("vae", "config.json", put('{"depth": 9}'), "does not describe a ConvVAE"),
        ("vae", "config.json", put('{"latent_dim": null}'), "does not describe a ConvVAE"),
        ("vae", "config.json", Path.unlink, "has no config.json"),
        ("vae", "config.json", to_folder, "config.json is no file"),
        ("vae", "config.json", to_pipe, "config.json is no file"),
        ("vae", "README.md", Path.unlink, "has no README.md"),
        ("vae", "README.md", to_folder, "README.md is no file"),
        ("vae", "README.md", to_pipe, "README.md is no file"),
        ("vae", "README.md", put("---\na: [\n---\n"), "YAML .* cannot be read"),
        ("vae", "README.md", put("---\na: 2024-02-31\n---\n"), "YAML .* cannot be read"),
        ("vae", "README.md", put("---\n? [a]\n: b\n---\n"), "YAML .* cannot be read"),
        ("vae", "README.md", put('---\na: !!bool "abc"\n---\n'), "YAML .* cannot be read"),
        ("vae", "README.md", put('---\na: !!timestamp "abc"\n---\n'), "YAML .* cannot be read"),
        ("vae", "README.md", put("hello"), "does not start with YAML"),
        ("vae", "README.md", put("---\nlicense: mit\n---\n"), "must name `genlab: family:`"),
        ("vae", "README.md", put("---\ngenlab: [vae]\n---\n"), "must name `genlab: family:`"),
        ("vae", "README.md", family("x"), "as one of vae, gan"),
        ("vae", "README.md", family("[vae]"), "as one of vae, gan"),
        ("vae", "README.md", family("{vae: gan}"), "as one of vae, gan"),
        ("sd", UNET, cut, "cut short"),
        ("sd", UNET, reshape, r"is \[3, 3\], but should be"),
        ("sd", UNET, drop_tensor, "is missing, but should be"),
        ("sd", UNET, Path.unlink, "unet folder has no safetensors file"),
        ("sd", "text_encoder/model.safetensors", cut, "cut short"),
        ("sd", "model_index.json", put("{}"), "names no StableDiffusionPipeline"),
        ("sd", "vae", shutil.rmtree, "has no vae folder"),
        ("sd", "unet/config.json", put('{"block_out_channels": "x"}'), "describes no unet"),
        ("sd", "vae/config.json", put('{"block_out_channels": 5}'), "describes no vae"),
        ("sd", "vae/config.json", put('{"latent_channels": "4"}'), "describes no vae"),
        ("sd", "scheduler/scheduler_config.json", Path.unlink, "has no scheduler_config.json"),
        ("sd", SCHEDULER, put('{"prediction_type": "foo"}'), "foo as prediction_type, which must"),
        ("sd", SCHEDULER, put('{"num_train_timesteps": 0}'), "0 as num_train_timesteps, which"),
        ("sd", SCHEDULER, put('{"beta_end": 5}'), "5 as beta_end, which must be a number above 0"),
        ("sd", SCHEDULER, put('{"beta_start": "x"}'), "x as beta_start, which must be a number"),
        ("sd", "vae/config.json", changed(scaling_factor="x"), "x as scaling_factor, which must"),
        ("vae", "config.json", changed(latent_dim=2.0), "does not describe a ConvVAE"),
        ("sd", "unet/x.safetensors.index.json", put("{}"), "does not say which files it has"),
        (
            "sd",
            "unet/x.safetensors.index.json",
            put('{"weight_map": [1]}'),
            "does not say which files it has",
        ),
    ],
)
def test_a_damaged_folder_is_named_with_its_reason_and_the_other_is_served(
    root: Path, name: str, file: str, harm: Callable[[Path], object], why: str
):
    harm(root / name / file)
    registry = Registry(root)
    other = {"vae": "sd", "sd": "vae"}[name]
    assert list(registry.entries) == [other]
    with pytest.raises(UserError, match=f"The checkpoint {name} is damaged: .*{why}"):
        registry.entry(name)
    assert "\n" not in registry.broken[name]


def test_a_family_that_trips_over_a_folder_costs_that_folder_only(root: Path, monkeypatch):
    def trip(*args: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(FAMILIES, "vae", replace(FAMILIES["vae"], facts=trip))
    registry = Registry(root)
    assert list(registry.entries) == ["sd"]
    assert registry.broken["vae"] == "GenLab cannot read it (ZeroDivisionError); the log says why."


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_left_out_with_a_sentence(root: Path):
    (root / "vae").chmod(0)
    try:
        registry = Registry(root)
    finally:
        (root / "vae").chmod(0o755)
    assert "cannot be read" in registry.broken["vae"]
    assert "sd" in registry.entries


def test_names_and_titles_that_are_no_text_do_not_take_the_page_down(root: Path):
    shutil.copytree(root / "vae", root / "bad\udcffname")
    shutil.copytree(root / "vae", root / "half")
    half = (
        '---\ngenlab: {family: vae, title: "x\\ud800", dataset: mnist, metrics: {fid: %s}}\n---\n'
    )
    (root / "half" / "README.md").write_text(half % "12345678901234567890123")
    registry = Registry(root)
    assert "no text" in registry.broken["bad?name"]
    assert registry.entry("half").title == "half"
    assert registry.entry("half").metrics == {}
    for text in [*registry.broken, *registry.broken.values()]:
        text.encode()


def test_a_folder_that_vanishes_while_it_is_looked_at_is_no_error(root: Path, monkeypatch):
    registry = Registry(root)

    def vanished(folder: Path, pattern: str) -> list[Path]:
        raise FileNotFoundError(folder)

    monkeypatch.setattr(Path, "rglob", vanished)
    assert registry.rescan_if_changed()


@pytest.mark.parametrize("name", ["nope", "../vae", "vae/../sd", "", "/etc", "v" * 200])
def test_an_unknown_name_is_answered_with_what_there_is(root: Path, name: str):
    registry = Registry(root)
    with pytest.raises(UserError, match="There is no checkpoint called .*; there are: sd, vae"):
        registry.check(parse_request(VAERequest, checkpoint=name))


def test_a_request_of_another_family_is_refused(root: Path):
    request = parse_request(StableDiffusionRequest, checkpoint="vae", prompt="7")
    with pytest.raises(UserError, match="vae is a vae checkpoint"):
        Registry(root).check(request)


def test_what_can_never_fit_is_refused_with_both_figures(root: Path):
    registry = Registry(root, memory_bytes=2000)
    registry.bytes_per_weight = 4
    request = parse_request(VAERequest, checkpoint="vae")
    with pytest.raises(UserError, match=r"A tiny VAE takes 0\.0 GB of memory, but GENLAB_MEMORY_G"):
        registry.check(request)
    registry.memory_bytes = registry.entry("vae").parameters * 4
    registry.check(request)


def test_a_folder_cannot_take_the_place_of_a_part_of_genlab(root: Path):
    (root / "vae").rename(root / "live-training")
    registry = Registry(root)
    assert list(registry.entries) == ["sd"]
    assert "give it another" in registry.broken["live-training"]
    registry.check(parse_request(TrainRequest, checkpoint="live-training", run="mine"))


def test_no_folder_at_all_is_an_empty_registry(tmp_path: Path):
    assert Registry(tmp_path / "nowhere").entries == {}


def test_a_pickle_is_not_a_model(root: Path):
    torch.save({"a": torch.zeros(1)}, root / "vae" / "pytorch_model.bin")
    (root / "vae" / "model.safetensors").unlink()
    assert "no model.safetensors" in Registry(root).broken["vae"]


def test_the_card_and_the_files_say_what_the_page_shows(root: Path):
    entry = Registry(root).entry("vae")
    assert (entry.title, entry.dataset, entry.family) == ("A tiny VAE", "mnist", "vae")
    assert entry.facts["latent_dim"] == 5
    network = ConvVAE(**json.loads((root / "vae" / "config.json").read_text()))
    assert entry.parameters == sum(p.numel() for p in network.parameters())
    assert entry.memory_bytes(2) * 2 == entry.memory_bytes(4) == 4 * entry.parameters


def test_the_judge_of_a_dataset_is_the_model_whose_family_judges(root: Path):
    save_tiny_judge(root)
    registry = Registry(root)
    judge = registry.judge("mnist")
    assert judge is not None
    assert judge.name == "judge"
    assert registry.judge("fashion") is None
    assert registry.judge("") is None


# --- what changes while the app runs --------------------------------------------------------------


def test_nothing_is_scanned_while_nothing_changes(root: Path, monkeypatch):
    registry = Registry(root)
    before = registry.entries
    monkeypatch.setattr(registry, "scan", lambda: pytest.fail("scanned"))
    assert not registry.rescan_if_changed()
    assert registry.entries is before


def test_a_folder_that_comes_changes_or_goes_is_noticed(root: Path):
    registry = Registry(root)
    shutil.copytree(root / "vae", root / "vae-2")
    assert registry.rescan_if_changed()
    assert list(registry.entries) == ["sd", "vae", "vae-2"]

    write_card(root / "vae-2", "vae", "Another title", "mnist", "")
    assert registry.rescan_if_changed()
    assert registry.entry("vae-2").title == "Another title"

    cut(root / "vae-2" / "model.safetensors")
    assert registry.rescan_if_changed()
    assert "cut short" in registry.broken["vae-2"]

    shutil.rmtree(root / "vae-2")
    assert registry.rescan_if_changed()
    assert "vae-2" not in registry.entries.keys() | registry.broken.keys()
    assert not registry.rescan_if_changed()


def test_a_name_that_is_not_known_is_looked_for_anew(root: Path):
    registry = Registry(root)
    shutil.copytree(root / "vae", root / "brought")
    assert registry.entry("brought").family == "vae"
    with pytest.raises(UserError, match="There is no checkpoint called 'nobody'"):
        registry.entry("nobody")


def test_a_model_beside_the_folder_that_changes_is_noticed(root: Path, tmp_path: Path):
    beside = Path(shutil.copytree(root / "sd", tmp_path / "beside" / "mine"))
    registry = Registry(root, [str(beside)], downloads=False)
    assert not registry.rescan_if_changed()
    cut(next(iter((beside / "unet").glob("*.safetensors"))))
    assert registry.rescan_if_changed()
    assert "cut short" in registry.broken["mine"]


def test_who_holds_on_to_the_entries_iterates_in_peace(root: Path):
    registry = Registry(root)
    entries = registry.entries
    shutil.rmtree(root / "vae")
    registry.scan()
    assert list(entries) == ["sd", "vae"]
    assert list(registry.entries) == ["sd"]


# --- fingerprints ---------------------------------------------------------------------------------


def test_weights_are_read_once_and_anew_after_a_change(root: Path, monkeypatch):
    registry = Registry(root)
    read: list[Path] = []
    sha256_of = registry_module.sha256_of

    def count(path: Path) -> str:
        read.append(path)
        return sha256_of(path)

    monkeypatch.setattr(registry_module, "sha256_of", count)
    first = registry.fingerprint("vae")
    assert registry.fingerprint("vae") == first
    assert len(read) == 1
    weights = root / "vae" / "model.safetensors"
    tensors = load_file(weights)
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, weights)
    os.utime(weights, ns=(1, 1))
    assert registry.fingerprint("vae") != first
    assert len(read) == 2


def test_there_is_no_fingerprint_of_weights_that_have_vanished(root: Path):
    registry = Registry(root)
    (root / "vae" / "model.safetensors").unlink()
    with pytest.raises(UserError, match="vae is damaged: it has no safetensors file any more"):
        registry.fingerprint("vae")
    shutil.rmtree(root / "vae")
    with pytest.raises(UserError, match="vae is damaged"):
        registry.fingerprint("vae")


# --- what it costs --------------------------------------------------------------------------------

HEAVY = ("torch", "diffusers", "transformers", "torchmetrics", "matplotlib")


def test_knowing_every_model_takes_no_torch(root: Path):
    code = (
        "import sys; from genlab.models.registry import Registry; from pathlib import Path;"
        f"assert len(Registry(Path({str(root)!r})).entries) == 2;"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "[]"


def test_importing_the_registry_takes_no_hub_either():
    code = "import sys, genlab.models.registry; print('huggingface_hub' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "False"
