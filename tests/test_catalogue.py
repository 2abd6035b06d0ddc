"""A damaged checkpoint is named with its reason and never disturbs the others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from genlab.engine import Engine, Runtime
from genlab.families.vae.network import ConvVAE
from genlab.formats.model_card import write_card
from genlab.models.registry import Catalogue
from genlab.requests import StableDiffusionRequest, UserError, VAERequest, ask
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


def open_catalogue(root: Path) -> Catalogue:
    return Catalogue(root, Runtime("cpu"))


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


UNET = "unet/diffusion_pytorch_model.safetensors"


def put(text: str) -> Callable[[Path], object]:
    """The harm of a file with other content."""
    return lambda path: path.write_text(text)


@pytest.mark.parametrize(
    ("name", "file", "harm", "why"),
    [
        ("vae", "model.safetensors", cut, "cut short"),
        ("vae", "model.safetensors", reshape, r"is \[3, 3\], but should be"),
        ("vae", "model.safetensors", drop_tensor, "is missing, but should be"),
        ("vae", "model.safetensors", Path.unlink, "has no model.safetensors"),
        ("vae", "config.json", cut, "config.json is not valid JSON"),
        ("vae", "config.json", put("[]"), "holds no JSON object"),
        ("vae", "config.json", put('{"depth": 9}'), "does not describe a ConvVAE"),
        ("vae", "README.md", Path.unlink, "has no README.md"),
        ("vae", "README.md", put("---\na: [\n---\n"), "YAML .* cannot be read"),
        ("vae", "README.md", put("---\nlicense: mit\n---\n"), "must name `genlab: family:`"),
        ("vae", "README.md", put("---\ngenlab:\n  family: x\n---\n"), "as one of vae, gan"),
        ("sd", UNET, cut, "cut short"),
        ("sd", UNET, reshape, r"is \[3, 3\], but should be"),
        ("sd", UNET, Path.unlink, "unet folder has no safetensors file"),
        ("sd", "text_encoder/model.safetensors", cut, "cut short"),
        ("sd", "model_index.json", put("{}"), "names no StableDiffusionPipeline"),
        ("sd", "vae", shutil.rmtree, "has no vae folder"),
        ("sd", "unet/config.json", put('{"block_out_channels": "x"}'), "describes no unet"),
    ],
)
def test_a_damaged_folder_is_named_with_its_reason_and_the_other_is_served(
    root: Path, name: str, file: str, harm: Callable[[Path], object], why: str
):
    harm(root / name / file)
    catalogue = open_catalogue(root)
    other = {"vae": "sd", "sd": "vae"}[name]
    assert list(catalogue.entries) == [other]
    with pytest.raises(UserError, match=f"The checkpoint {name} is damaged: .*{why}"):
        catalogue.entry(name)
    assert "\n" not in catalogue.broken[name]
    assert catalogue.load(other)


def test_damage_after_the_start_is_a_sentence_and_not_a_crash(root: Path):
    catalogue = open_catalogue(root)
    cut(root / "vae" / "model.safetensors")
    engine = Engine(catalogue)
    job = engine.submit(ask(VAERequest, checkpoint="vae"))
    engine.tick()
    with pytest.raises(UserError, match="The checkpoint vae is damaged: .*cut short"):
        job.result()


@pytest.mark.parametrize("name", ["nope", "../vae", "vae/../sd", "", "/etc", "v" * 200])
def test_an_unknown_name_is_answered_with_what_there_is(root: Path, name: str):
    catalogue = open_catalogue(root)
    with pytest.raises(UserError, match="There is no checkpoint called .*; there are: sd, vae"):
        catalogue.check(ask(VAERequest, checkpoint=name))


def test_a_request_of_another_family_is_refused(root: Path):
    with pytest.raises(UserError, match="vae is a vae checkpoint"):
        open_catalogue(root).check(ask(StableDiffusionRequest, checkpoint="vae", prompt="7"))


def test_no_folder_at_all_is_an_empty_catalogue(tmp_path: Path):
    assert open_catalogue(tmp_path / "nowhere").entries == {}


def test_the_least_recently_used_checkpoint_makes_room(root: Path):
    shutil.copytree(root / "vae", root / "vae-2")
    shutil.copytree(root / "vae", root / "vae-3")
    catalogue = open_catalogue(root)
    first = catalogue.load("vae")
    catalogue.memory_bytes = 2.5 * first.nbytes
    second = catalogue.load("vae-2")
    assert catalogue.load("vae") is first
    catalogue.load("vae-3")
    assert catalogue.load("vae") is first, "used a moment ago"
    assert catalogue.load("vae-2") is not second, "made room and was loaded anew"


def test_a_pickle_is_not_loaded(root: Path):
    torch.save({"a": torch.zeros(1)}, root / "vae" / "pytorch_model.bin")
    (root / "vae" / "model.safetensors").unlink()
    assert "no model.safetensors" in open_catalogue(root).broken["vae"]


def test_the_card_says_what_the_page_shows(root: Path):
    entry = open_catalogue(root).entry("vae")
    assert (entry.title, entry.dataset, entry.family) == ("A tiny VAE", "mnist", "vae")
    assert json.loads((entry.folder / "config.json").read_text())["latent_dim"] == 5
