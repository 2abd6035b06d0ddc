"""LoRAs: told from whole models, added through PEFT, equal to the stock pipeline with the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from genlab.cli import build_app
from genlab.diffusion.schedulers import make_scheduler
from genlab.engine.device import Device
from genlab.families.description import load
from genlab.families.stable_diffusion import FAMILY
from genlab.families.stable_diffusion.adapters import KEPT
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.families.stable_diffusion.runner import StableDiffusionRunner
from genlab.formats import lora
from genlab.formats.metadata import BrokenCheckpoint
from genlab.generation_metadata import to_png
from genlab.models.registry import Registry
from genlab.requests import UserError, parse_request
from genlab.ui.tabs.stable_diffusion import tab
from tests.drive import drive
from tests.fake_client import FakeClient, ListedRegistry, answering, fake_context
from tests.fake_page import FakePage, pressed
from tests.sd_page import JUDGE, SD, TOYBOX, VALUES, drawn
from tests.tiny_pipelines import save_tiny_stable_diffusion, save_tiny_xl

RANK = 2
LAYERS = ("to_q", "to_k", "to_v", "to_out.0", "q_proj", "v_proj", "fc1", "ff.net.2")


def lora_tensors(
    folder: Path, parts: tuple[str, ...], seed: int = 5
) -> dict[tuple[str, str], tuple[torch.Tensor, torch.Tensor]]:
    """Random pairs A (r, in) and B (out, r) by part and layer, strong enough to be seen."""
    pipeline = DiffusionPipeline.from_pretrained(folder)
    generator = torch.Generator().manual_seed(seed)
    return {
        (part, name): (
            0.3 * torch.randn(RANK, layer.in_features, generator=generator),
            torch.randn(layer.out_features, RANK, generator=generator),
        )
        for part in parts
        for name, layer in getattr(pipeline, part).named_modules()
        if name.endswith(LAYERS) and isinstance(layer, torch.nn.Linear)
    }


def save_as_diffusers(pairs: Any, path: Path) -> Path:
    """As `save_lora_weights` of diffusers writes it: no alpha, so it counts as the rank."""
    tensors = {}
    for (part, name), (down, up) in pairs.items():
        tensors[f"{part}.{name}.lora_A.weight"] = down
        tensors[f"{part}.{name}.lora_B.weight"] = up
    save_file(tensors, path)
    return path


def save_as_kohya(pairs: Any, path: Path, alpha: float = 1.0) -> Path:
    """As kohya's scripts write it: underscores for dots, and an alpha for each layer."""
    parts = {part for part, _ in pairs}
    first = "lora_te1" if "text_encoder_2" in parts else "lora_te"
    names = {"unet": "lora_unet", "text_encoder": first, "text_encoder_2": "lora_te2"}
    tensors = {}
    for (part, name), (down, up) in pairs.items():
        layer = name if part == "unet" or name.startswith("text_model.") else f"text_model.{name}"
        key = f"{names[part]}_{layer.replace('.', '_')}"
        tensors[f"{key}.lora_down.weight"] = down
        tensors[f"{key}.lora_up.weight"] = up
        tensors[f"{key}.alpha"] = torch.tensor(alpha)
    save_file(tensors, path)
    return path


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """checkpoints/ with a tiny Stable Diffusion and an XL, and LoRAs for each beside it."""
    root = tmp_path_factory.mktemp("models")
    for name, save in (("tiny", save_tiny_stable_diffusion), ("tiny-xl", save_tiny_xl)):
        folder = save(root / "checkpoints" / name)
        encoders = ("text_encoder", "text_encoder_2") if name == "tiny-xl" else ("text_encoder",)
        pairs = lora_tensors(folder, ("unet", *encoders))
        save_as_diffusers(pairs, root / f"{name}-diffusers.safetensors")
        save_as_kohya(pairs, root / f"{name}-kohya.safetensors")
        save_as_diffusers(
            lora_tensors(folder, ("unet",), seed=6), root / f"{name}-unet.safetensors"
        )
    return root


@pytest.fixture(scope="module")
def registry(root: Path) -> Registry:
    files = sorted(root.glob("*.safetensors"))
    return Registry(root / "checkpoints", [str(file) for file in files])


def opened(registry: Registry, name: str = "tiny", graphs: bool = False) -> StableDiffusionRunner:
    kind = load(FAMILY.runner)
    runner = kind.open(registry.entry(name), Device("cpu", graphs=graphs), registry.find)
    runner.fingerprint = registry.fingerprint(name)
    return runner


@pytest.fixture(scope="module")
def runners(registry: Registry) -> dict[str, StableDiffusionRunner]:
    return {name: opened(registry, name) for name in ("tiny", "tiny-xl")}


def request_for(**values: object) -> StableDiffusionRequest:
    usual = {
        "checkpoint": "tiny",
        "prompt": "a red seven",
        "negative_prompt": "a blue sneaker",
        "num_inference_steps": 4,
        "guidance_scale": 5.0,
        "scheduler": "ddim",
        "seed": 11,
        "count": 2,
    }
    return parse_request(StableDiffusionRequest, **(usual | values))


def stock(root: Path, request: StableDiffusionRequest) -> np.ndarray:
    """What the stock pipeline gives that has loaded the same LoRA."""
    pipeline: Any = DiffusionPipeline.from_pretrained(root / "checkpoints" / request.checkpoint)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.load_lora_weights(str(root / f"{request.lora}.safetensors"), adapter_name="own")
    pipeline.set_adapters(["own"], [request.lora_scale])
    pipeline.scheduler = make_scheduler(request.scheduler, pipeline.scheduler.config)
    output = pipeline(
        request.prompt,
        negative_prompt=request.negative_prompt,
        num_inference_steps=request.num_inference_steps,
        guidance_scale=request.guidance_scale,
        num_images_per_prompt=request.count,
        generator=[torch.Generator().manual_seed(request.seed + k) for k in range(request.count)],
        output_type="np",
    )
    return (np.asarray(output.images) * 255).round().astype(np.uint8)


def far(one: np.ndarray, other: np.ndarray) -> int:
    """The largest difference between two sets of pictures, in steps of 255."""
    return int(np.abs(one.astype(int) - other.astype(int)).max())


# --- pictures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["diffusers", "kohya", "unet"])
@pytest.mark.parametrize("name", ["tiny", "tiny-xl"])
def test_pictures_equal_the_stock_pipelines_with_the_same_lora(root, runners, name, layout):
    request = request_for(checkpoint=name, lora=f"{name}-{layout}", lora_scale=0.7)
    (result,) = drive(runners[name], request)
    (plain,) = drive(runners[name], request_for(checkpoint=name))
    assert far(result.images, plain.images) > 3, "the LoRA is seen at all"
    assert far(result.images, stock(root, request)) <= 1


def test_an_alpha_of_half_the_rank_counts_half(registry, root, tmp_path):
    pairs = lora_tensors(root / "checkpoints" / "tiny", ("unet",), seed=6)  # those of tiny-unet
    file = save_as_kohya(pairs, tmp_path / "alpha.safetensors", alpha=RANK / 2)
    both = Registry(root / "checkpoints", [str(root / "tiny-unet.safetensors"), str(file)])
    runner = opened(both)
    (result,) = drive(runner, request_for(lora="alpha"))
    (other,) = drive(runner, request_for(lora="tiny-unet", lora_scale=0.5))
    assert far(result.images, other.images) <= 1


def test_people_with_other_loras_scales_and_none_get_what_they_get_alone(runners):
    requests = [  # each of four steps, one of them before the next begins
        request_for(seed=1),
        request_for(seed=2, lora="tiny-diffusers", lora_scale=0.6),
        request_for(seed=3, lora="tiny-unet"),  # the text encoder of the one before must be off
        request_for(seed=4, lora="tiny-diffusers", lora_scale=1.2),
        request_for(seed=5),
    ]
    runner = runners["tiny"]
    alone = [drive(runner, request)[0] for request in requests]
    keys = {runner.batch_key(request) for request in requests}
    assert len(keys) == 4, "the two without one share their steps"
    together = drive(runner, *requests, joins=[0, 1, 2, 3, 4])
    for result, expected in zip(together, alone, strict=True):
        assert far(result.images, expected.images) <= 1


def test_without_one_the_pictures_are_those_of_a_model_that_never_had_one(registry, runners):
    fresh = opened(registry)
    (before,) = drive(fresh, request_for())
    drive(fresh, request_for(lora="tiny-diffusers"))
    (after,) = drive(fresh, request_for())
    (nothing,) = drive(fresh, request_for(lora="tiny-diffusers", lora_scale=0))
    assert far(before.images, after.images) == 0
    assert far(before.images, nothing.images) <= 1


def test_a_small_model_on_a_cpu_keeps_its_graph_and_wears_a_lora_beside_it(registry, runners):
    graphed = opened(registry, graphs=True)
    request = request_for(lora="tiny-diffusers", lora_scale=0.7)
    (wearing,) = drive(graphed, request)
    (plain,) = drive(graphed, request_for())
    assert far(wearing.images, drive(runners["tiny"], request)[0].images) <= 1
    assert far(plain.images, drive(runners["tiny"], request_for())[0].images) <= 1
    assert graphed.nbytes > runners["tiny"].nbytes


# --- files that come, change and go ---------------------------------------------------------------


def test_only_a_few_stay_loaded_and_the_others_come_again(registry, root, runners, tmp_path):
    pairs = lora_tensors(root / "checkpoints" / "tiny", ("unet",))
    files = [save_as_diffusers(pairs, tmp_path / f"l{k}.safetensors") for k in range(KEPT + 2)]
    many = Registry(root / "checkpoints", [str(file) for file in files])
    runner = opened(many)
    (first,) = drive(runner, request_for(lora="l0"))
    size = None
    for k in range(KEPT + 2):
        drive(runner, request_for(lora=f"l{k}", num_inference_steps=1))
        if k >= KEPT:
            assert size in (None, runner.nbytes), "memory has a bound"
            size = runner.nbytes
    (again,) = drive(runner, request_for(lora="l0"))
    assert far(first.images, again.images) == 0


def test_a_file_that_changed_is_read_again(root, tmp_path):
    pairs = lora_tensors(root / "checkpoints" / "tiny", ("unet", "text_encoder"))
    file = save_as_diffusers(pairs, tmp_path / "mine.safetensors")
    registry = Registry(root / "checkpoints", [str(file)])
    runner = opened(registry)
    request = request_for(lora="mine")
    (before,) = drive(runner, request)
    old = runner.fingerprint_of(request)
    weaker = {key: (down * 0.5, up) for key, (down, up) in pairs.items()}
    save_as_diffusers(weaker, file)
    (after,) = drive(runner, request)
    assert far(before.images, after.images) > 3
    assert runner.fingerprint_of(request) != old


@pytest.mark.parametrize("spoil", ["shape", "names"])
def test_a_lora_that_fails_to_load_fails_its_own_request_with_a_sentence(root, tmp_path, spoil):
    pairs = lora_tensors(root / "checkpoints" / "tiny", ("unet", "text_encoder"))
    if spoil == "shape":  # of some layers: PEFT has put others on by then
        wide = {k: (torch.randn(RANK, 99), up) for k, (_, up) in list(pairs.items())[-2:]}
        bad = pairs | wide
    else:
        bad = {(part, f"no.{name}"): pair for (part, name), pair in pairs.items()}
    file = save_as_diffusers(bad, tmp_path / "bad.safetensors")
    registry = Registry(root / "checkpoints", [str(file)])
    runner = opened(registry)
    (before,) = drive(runner, request_for())
    with pytest.raises(UserError, match="The LoRA bad does not fit Tiny; the log says why"):
        drive(runner, request_for(lora="bad"))
    (after,) = drive(runner, request_for())
    assert far(before.images, after.images) == 0


# --- the registry ---------------------------------------------------------------------------------


def test_a_lora_is_listed_beside_the_models_and_draws_nothing_by_itself(registry):
    assert set(registry.loras) >= {"tiny-diffusers", "tiny-kohya", "tiny-xl-kohya"}
    assert not set(registry.loras) & set(registry.entries)
    with pytest.raises(UserError, match="tiny-kohya is a LoRA, an addition to a model"):
        registry.check(request_for(checkpoint="tiny-kohya"))


def test_the_command_line_lists_loras_and_adds_one(root, monkeypatch, tmp_path):
    monkeypatch.setenv("GENLAB_CHECKPOINTS", str(root / "checkpoints"))
    monkeypatch.setenv("GENLAB_MODELS", str(root / "tiny-kohya.safetensors"))
    listed = CliRunner().invoke(build_app(), ["list"])
    assert "tiny-kohya  lora" in listed.output
    args = [
        "sample",
        "tiny",
        "--prompt",
        "a red seven",
        "--steps",
        "2",
        "--seed",
        "3",
        "--count",
        "1",
    ]
    for name, added in (("plain", []), ("worn", ["--lora", "tiny-kohya", "--lora-scale", "0.8"])):
        done = CliRunner().invoke(build_app(), [*args, *added, "--out", str(tmp_path / name)])
        assert done.exit_code == 0, done.output
    plain, worn = (np.load(tmp_path / f"{name}.npz")["images"] for name in ("plain", "worn"))
    assert far(plain, worn) > 3


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"lora": "nobodys"}, "There is no LoRA called 'nobodys' here"),
        ({"lora": "tiny-xl"}, "There is no LoRA called 'tiny-xl' here"),
        (
            {"lora": "tiny-xl-kohya"},
            "made for a model that looks at texts 32 numbers wide, but Tiny looks at 16",
        ),
    ],
)
def test_a_lora_that_does_not_fit_is_refused_before_the_run(registry, values, sentence):
    with pytest.raises(UserError, match=sentence):
        registry.check(request_for(**values))


@pytest.mark.parametrize("scale", [-0.1, 2.1, float("nan")])
def test_a_wrong_scale_gets_its_sentence(scale: float):
    with pytest.raises(UserError, match="lora_scale is .*, but must be a number from 0"):
        request_for(lora="x", lora_scale=scale)


def test_a_recipe_names_the_loras_weights_too(registry, runners, root):
    request = request_for(lora="tiny-kohya", count=1)
    runner = runners["tiny"]
    (result,) = drive(runner, request)
    named = runner.fingerprint_of(request)
    assert named == f"{registry.fingerprint('tiny')}+{registry.fingerprint('tiny-kohya')}"
    assert runner.fingerprint_of(request_for()) == registry.fingerprint("tiny")
    (metadata,) = registry.generation_metadata(request, named)
    restored, notes = registry.restore(to_png(result.images[0], metadata))
    assert (restored, notes) == (request, ())
    (metadata,) = registry.generation_metadata(request, registry.fingerprint("tiny") + "+0")
    _, notes = registry.restore(to_png(result.images[0], metadata))
    assert "other weights" in notes[0]


# --- the page -------------------------------------------------------------------------------------


def test_the_tab_asks_for_the_chosen_lora_and_shows_no_chooser_where_there_is_none():
    listed: Any = ListedRegistry(SD, TOYBOX, JUDGE)
    listed.loras = {"ink": replace(SD, name="ink", title="Ink", family="lora")}
    client = answering(lambda request: [drawn(request)])
    context = fake_context(client, listed)
    page = FakePage(tab.build, context)
    *_, last = pressed(page, "sd-generate", *VALUES, "ink", 0.5, 1, 0)
    assert "sd-gallery" in last
    request: Any = client.tickets[0].request
    assert (request.lora, request.lora_scale) == ("ink", 0.5)
    ids = {block.elem_id for block in page.blocks.blocks.values()}
    assert {"sd-lora", "sd-lora-scale"} <= ids
    without = FakePage(tab.build, fake_context(FakeClient(), ListedRegistry(SD, TOYBOX, JUDGE)))
    assert "sd-lora" not in {block.elem_id for block in without.blocks.blocks.values()}


# --- headers --------------------------------------------------------------------------------------


def renamed(rename: Callable[[str], str]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda tensors: {rename(name): tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (renamed(lambda n: n.replace("lora_A.weight", "hada_w1_a")), "it is a LoHa, a kin of LoRA"),
        (renamed(lambda n: n.replace("lora_A.weight", "lokr_w1")), "it is a LoKr, a kin of LoRA"),
        (renamed(lambda n: f"transformer.{n}"), "no LoRA of a Stable Diffusion's UNet or text"),
        (renamed(lambda n: f"lora_unet_double_blocks_0.{n}"), "no LoRA of a Stable Diffusion's"),
        (renamed(lambda n: n.replace("lora_A", "lora_C")), "it holds no pair of LoRA matrices"),
    ],
)
def test_what_cannot_be_added_is_refused_at_the_scan(root, tmp_path, harm, sentence):
    save_file(harm(load_file(root / "tiny-unet.safetensors")), tmp_path / "odd.safetensors")
    with pytest.raises(BrokenCheckpoint, match=sentence):
        lora.check(tmp_path / "odd.safetensors")
    registry = Registry(root / "checkpoints", [str(tmp_path / "odd.safetensors")])
    assert sentence.split(",")[0] in registry.broken["odd"]
    assert not registry.loras
