"""Models from outside checkpoints/: found, offered, downloaded, stopped; all without a network."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

from genlab.engine.core import Core
from genlab.engine.device import Device
from genlab.engine.events import FINAL, Failed, Progress, Result
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.formats import single_file
from genlab.models import hub
from genlab.models.cache import ModelCache
from genlab.models.downloads import Offer
from genlab.models.registry import Registry
from genlab.models.sources import PRESETS
from genlab.requests import UserError, parse_request
from tests.fake_hub import FakeHub, fake_hub
from tests.original_layout import save_original
from tests.tiny_pipelines import save_tiny_stable_diffusion

__all__ = ["fake_hub"]

TINY = "somebody/tiny"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Stable Diffusion as the hub holds them: no card, weights in several forms."""
    folder = save_tiny_stable_diffusion(tmp_path_factory.mktemp("hub") / "tiny")
    (folder / "README.md").unlink()
    unet = folder / "unet" / "diffusion_pytorch_model.safetensors"
    half = {name: tensor.half() for name, tensor in load_file(unet).items()}
    save_file(half, unet.with_name("diffusion_pytorch_model.fp16.safetensors"))
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "tiny-original.safetensors").write_bytes(bytes(1000))
    (folder / "safety_checker").mkdir()
    (folder / "safety_checker" / "model.safetensors").write_bytes(bytes(1000))
    return folder


@pytest.fixture
def registry(fake_hub: FakeHub, tiny: Path, tmp_path: Path) -> Registry:
    fake_hub.repositories[TINY] = tiny
    return open_registry(tmp_path, TINY)


def open_registry(tmp_path: Path, *models: str, downloads: bool = True) -> Registry:
    registry = Registry(tmp_path / "checkpoints", models, downloads)
    registry.bytes_per_weight = 4  # as on a CPU
    return registry


def offer(registry: Registry, name: str) -> Offer:
    return next(o for o in registry.offers() if o.name == name)


def wait(condition: Callable[[], bool]) -> None:
    last_moment = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < last_moment, "it takes too long"
        time.sleep(0.01)


def draw(registry: Registry, *names: str) -> list[np.ndarray]:
    """What models draw for one prompt and seed, one (1, H, W, 3) array each."""
    core = Core(ModelCache(registry, Device("cpu", graphs=False)))
    for k, name in enumerate(names):
        values = {"checkpoint": name, "prompt": "a red seven", "count": 1}
        core.add(k, parse_request(StableDiffusionRequest, **values), "somebody")
    results: dict[int, np.ndarray] = {}
    while len(results) < len(names):
        for k, event in core.step():
            assert not isinstance(event, Failed), event
            if isinstance(event, FINAL):
                assert isinstance(event, Result)
                results[k] = event.images
    return [results[k] for k in range(len(names))]


def gap(one: np.ndarray, other: np.ndarray) -> int:
    """The largest difference between two pictures, in levels."""
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def test_the_presets_are_offered_with_their_rough_size_and_no_network_is_asked(registry, fake_hub):
    offers = registry.offers()
    assert [o.name for o in offers] == [p.name for p in PRESETS] + ["tiny"]
    for preset in offers[:-1]:
        assert (preset.state, preset.about) == ("available", True)
        assert preset.gb is not None
        assert 1 < preset.gb < 10
    assert offers[-1].gb is None, "only the hub knows"
    assert fake_hub.calls == []
    assert registry.entries == {}
    assert registry.broken == {}


def test_a_model_is_measured_downloaded_and_drawn_with(registry, fake_hub, tiny):
    size = registry.download_size("tiny")
    assert not size.about
    registry.fetch("tiny")
    wait(lambda: offer(registry, "tiny").state != "downloading")
    arrived = offer(registry, "tiny")
    assert (arrived.state, arrived.progress, arrived.reason) == ("ready", 1.0, "")

    folder = registry.entry("tiny").path
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert "unet/diffusion_pytorch_model.fp16.safetensors" in files
    for unwanted in ("unet/diffusion_pytorch_model.safetensors", "tiny-original.safetensors"):
        assert unwanted not in files
    assert not any(name.endswith(".bin") or "safety" in name for name in files)
    assert size.gb == sum((tiny / name).stat().st_size for name in files) / 1e9

    fake_hub.online = False
    (pictures,) = draw(registry, "tiny")
    assert pictures.shape == (1, 16, 16, 3)


def test_what_is_cached_is_ready_without_a_network(registry, fake_hub, tmp_path):
    registry.fetch("tiny")
    wait(lambda: "tiny" in registry.entries)
    fake_hub.online = False
    fake_hub.calls.clear()
    again = open_registry(tmp_path, TINY)
    assert offer(again, "tiny").state == "ready"
    entry = again.entry("tiny")
    assert (entry.family, entry.title, entry.pixels) == ("stable_diffusion", "tiny", 16)
    assert entry.defaults == {
        "num_inference_steps": 25, "guidance_scale": 7.5, "scheduler": "dpmpp-2m"
    }  # fmt: skip
    assert fake_hub.calls == []


def test_progress_is_told_and_a_download_can_be_stopped_and_gone_on_with(registry, fake_hub):
    shares: list[float] = []
    arrived, go_on = threading.Event(), threading.Event()

    def pause() -> None:
        shares.append(offer(registry, "tiny").progress)
        if len(shares) == 6:
            arrived.set()
            assert go_on.wait(60)

    fake_hub.pause = pause
    registry.fetch("tiny")
    registry.fetch("tiny")  # a second visitor presses the button too
    assert arrived.wait(60)
    assert offer(registry, "tiny").state == "downloading"
    registry.stop_fetching("tiny")
    go_on.set()
    wait(lambda: offer(registry, "tiny").state != "downloading")
    assert offer(registry, "tiny").state == "available"
    assert "tiny" not in registry.entries
    assert len(shares) == 6, "nothing more was fetched, and by one download only"
    assert shares == sorted(shares)
    assert 0 < shares[-1] < 1

    registry.fetch("tiny")
    wait(lambda: offer(registry, "tiny").state == "ready")
    assert "tiny" in registry.entries


def test_an_interrupted_download_is_offered_anew_by_the_next_start(
    registry, fake_hub, tmp_path, tiny
):
    fake_hub._store(TINY, tiny, "model_index.json")
    fake_hub._store(TINY, tiny, "unet/config.json")
    again = open_registry(tmp_path, TINY)
    assert offer(again, "tiny").state == "available"
    assert again.broken == {}


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda hub: setattr(hub, "online", False), "huggingface.co cannot be reached"),
        (lambda hub: hub.repositories.clear(), "no public model called somebody/tiny"),
        (lambda hub: hub.gated.add(TINY), "asks for its licence to be accepted"),
    ],
)
def test_a_download_that_fails_says_why_in_one_sentence(registry, fake_hub, harm, sentence):
    harm(fake_hub)
    with pytest.raises(UserError, match=sentence):
        registry.download_size("tiny")
    registry.fetch("tiny")
    wait(lambda: offer(registry, "tiny").state == "failed")
    assert sentence in offer(registry, "tiny").reason


def test_a_disk_too_small_is_told_before_the_download(registry, monkeypatch):
    monkeypatch.setattr(hub.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 8, 1))
    registry.fetch("tiny")
    wait(lambda: offer(registry, "tiny").state == "failed")
    assert "GB of disk, but only 0.0 GB are free" in offer(registry, "tiny").reason


def test_pickled_weights_and_other_repositories_are_refused(tmp_path, fake_hub, tiny):
    pickled, other = tmp_path / "pickled", tmp_path / "other"
    shutil.copytree(tiny, pickled)
    for weights in (pickled / "unet").glob("*.safetensors"):
        weights.unlink()
    other.mkdir()
    (other / "config.json").write_text("{}")
    fake_hub.repositories |= {"a/pickled": pickled, "a/other": other}
    registry = open_registry(tmp_path, "a/pickled", "a/other")
    with pytest.raises(UserError, match="unet is stored as a pickle only"):
        registry.download_size("pickled")
    with pytest.raises(UserError, match="a/other is no diffusers model"):
        registry.download_size("other")


def test_an_unknown_name_is_answered_with_what_there_is(registry):
    for call in (registry.download_size, registry.fetch, registry.stop_fetching):
        with pytest.raises(UserError, match="no model called 'x' .*; there are: stable-diffusion"):
            call("x")


def test_a_folder_and_wrong_items_of_the_setting(tmp_path, fake_hub, tiny):
    pickle = tmp_path / "model.ckpt"
    pickle.write_bytes(b"x")
    empty = tmp_path / "empty"
    empty.mkdir()
    registry = open_registry(tmp_path, str(tiny), str(pickle), "nowhere at all", str(empty))
    assert registry.entry("tiny").path == tiny.resolve()
    assert "never loaded" in registry.broken[str(pickle)]
    assert "no hub id" in registry.broken["nowhere at all"]
    assert "no model_index.json" in registry.broken["empty"]
    assert [o.name for o in registry.offers()] == [p.name for p in PRESETS]


def test_where_downloads_are_switched_off_nothing_is_offered_and_what_is_here_serves(
    registry, fake_hub, tmp_path
):
    registry.fetch("tiny")
    wait(lambda: "tiny" in registry.entries)
    closed = open_registry(tmp_path, TINY, "a/b", downloads=False)
    assert [(o.name, o.state) for o in closed.offers()] == [("tiny", "ready")]
    assert "tiny" in closed.entries
    with pytest.raises(UserError, match="Downloads are switched off"):
        closed.fetch("b")


def test_a_name_that_checkpoints_has_already_is_left_out_with_a_sentence(tmp_path, fake_hub, tiny):
    save_tiny_stable_diffusion(tmp_path / "checkpoints" / "tiny")
    other = Path(shutil.copytree(tiny, tmp_path / "another"))
    registry = open_registry(tmp_path, str(other), str(tiny))
    assert list(registry.entries) == ["tiny", "another"], "the page's default is one of ours"
    assert registry.entry("tiny").title == "Tiny", "the one with a card"
    assert "has that name already" in registry.broken["tiny (outside)"]


def test_what_can_never_fit_is_refused_with_both_figures_before_it_is_queued(
    tmp_path, fake_hub, tiny
):
    registry = open_registry(tmp_path, str(tiny))
    registry.memory_bytes = registry.entry("tiny").memory_bytes(4) - 1
    with pytest.raises(UserError, match=r"tiny takes 0.0 GB of memory, but GENLAB_MEMORY_GB"):
        registry.check(parse_request(StableDiffusionRequest, checkpoint="tiny"))


def test_the_memory_of_a_pipeline_is_known_before_it_is_loaded(tmp_path, fake_hub, tiny):
    registry = open_registry(tmp_path, str(tiny))
    pipeline = StableDiffusionPipeline.from_pretrained(tiny, safety_checker=None)
    networks = (pipeline.unet, pipeline.vae, pipeline.text_encoder)
    numbers = sum(p.numel() for network in networks for p in network.parameters())
    assert registry.entry("tiny").parameters == pytest.approx(numbers, rel=0.01)


def test_a_preset_that_will_not_fit_is_not_even_downloaded(registry, fake_hub):
    with pytest.raises(UserError, match="would take about 14 GB of memory here, but GENLAB_MEM"):
        registry.fetch("sdxl-base")
    assert fake_hub.calls == []
    registry.memory_bytes = 16e9
    registry.fetch("sdxl-base")
    wait(lambda: offer(registry, "sdxl-base").state == "failed")  # this hub does not have it
    assert "no public model" in offer(registry, "sdxl-base").reason


def test_a_vae_in_the_names_of_older_files_is_read_as_diffusers_reads_it(tmp_path, fake_hub, tiny):
    old = Path(shutil.copytree(tiny, tmp_path / "old"))
    weights = old / "vae" / "diffusion_pytorch_model.safetensors"
    names = {
        ".to_q.": ".query.",
        ".to_k.": ".key.",
        ".to_v.": ".value.",
        ".to_out.0.": ".proj_attn.",
    }
    tensors = load_file(weights)
    for new, earlier in names.items():
        tensors = {name.replace(new, earlier): tensor for name, tensor in tensors.items()}
    assert any(".proj_attn." in name for name in tensors)
    save_file(tensors, weights)
    registry = open_registry(tmp_path, str(old), str(tiny))
    assert registry.broken == {}
    assert gap(*draw(registry, "old", "tiny")) <= 1


def test_a_missing_shard_is_named(tmp_path, fake_hub, tiny):
    sharded = Path(shutil.copytree(tiny, tmp_path / "sharded"))
    encoder = CLIPTextModel.from_pretrained(sharded / "text_encoder")
    (sharded / "text_encoder" / "model.safetensors").unlink()
    encoder.save_pretrained(sharded / "text_encoder", max_shard_size="10KB")
    first, *_ = sorted((sharded / "text_encoder").glob("*.safetensors"))
    assert "sharded" in open_registry(tmp_path, str(sharded)).entries
    first.unlink()
    assert first.name in open_registry(tmp_path, str(sharded)).broken["sharded"]


def test_a_single_file_draws_what_its_folder_draws_once_its_configuration_is_here(
    tmp_path, fake_hub, tiny
):
    pipeline = StableDiffusionPipeline.from_pretrained(tiny, safety_checker=None)
    path = save_original(pipeline, tmp_path / "shared-model.safetensors")
    fake_hub.repositories["stable-diffusion-v1-5/stable-diffusion-v1-5"] = tiny
    registry = open_registry(tmp_path, str(path), str(tiny))
    single = offer(registry, "shared-model")
    assert (single.title, single.state) == ("shared-model: its configuration", "available")
    assert "shared-model" not in registry.entries

    registry.fetch("shared-model")
    wait(lambda: offer(registry, "shared-model").state != "downloading")
    assert offer(registry, "shared-model").reason == ""
    weights = list(fake_hub.cache.rglob("*.safetensors"))
    assert weights == [], "a configuration has no weights"
    assert offer(registry, "stable-diffusion-1.5").state == "available"

    fake_hub.online = False
    assert gap(*draw(registry, "shared-model", "tiny")) <= 1
    assert registry.fingerprint("shared-model") == sha256(path.read_bytes()).hexdigest()


def test_a_single_file_takes_the_configuration_that_lies_beside_it(tmp_path, fake_hub, tiny):
    pipeline = StableDiffusionPipeline.from_pretrained(tiny, safety_checker=None)
    path = save_original(pipeline, tmp_path / "shared.safetensors")
    shutil.copytree(tiny, tmp_path / "shared", ignore=shutil.ignore_patterns("*.safetensors"))
    registry = open_registry(tmp_path, str(path), str(tiny))
    assert gap(*draw(registry, "shared", "tiny")) <= 1
    assert fake_hub.calls == []


def test_a_single_file_that_is_no_stable_diffusion_says_so(tmp_path, fake_hub):
    other, cut = tmp_path / "other.safetensors", tmp_path / "cut.safetensors"
    save_file({"some.weight": torch.zeros(2, 2)}, other)
    cut.write_bytes(other.read_bytes()[:20])
    registry = open_registry(tmp_path, str(other), str(cut))
    assert "no whole Stable Diffusion" in registry.broken["other"]
    assert "cut short" in registry.broken["cut"]


def test_a_single_file_whose_tensors_fit_several_models_asks_whose_configuration_it_takes(
    tmp_path, fake_hub, tiny
):
    pipeline = StableDiffusionPipeline.from_pretrained(tiny, safety_checker=None)
    path = save_original(pipeline, tmp_path / "two.safetensors")
    tensors = load_file(path)
    wide = {single_file.OF_VERSION_2: torch.zeros(8, 1024)}  # as Stable Diffusion 2 looks at texts
    save_file(tensors | wide, path)
    registry = open_registry(tmp_path, str(path))
    assert "2 base, 2.1, which predicts v, and SD-Turbo alike" in registry.broken["two"]
    assert "@stabilityai/sd-turbo" in registry.broken["two"]
    save_file(tensors | {single_file.SAYS_V: torch.zeros(0)}, path)
    why = open_registry(tmp_path, str(path)).broken["two"]
    assert "Stable Diffusion XL and one that predicts v alike" in why
    assert fake_hub.calls == []

    save_file(tensors, path)
    fake_hub.repositories["somebody/two-base"] = tiny
    registry = open_registry(tmp_path, f"{path}@somebody/two-base", str(tiny))
    registry.fetch("two")
    wait(lambda: offer(registry, "two").state != "downloading")
    assert gap(*draw(registry, "two", "tiny")) <= 1, "the configuration is that one's"


def test_models_without_room_for_both_take_turns_a_whole_request_each(tmp_path, fake_hub, tiny):
    twin = Path(shutil.copytree(tiny, tmp_path / "twin"))
    registry = open_registry(tmp_path, str(tiny), str(twin))
    limit = 1.5 * registry.entry("tiny").memory_bytes(4)
    core = Core(ModelCache(registry, Device("cpu", graphs=False), limit))
    for k, name in enumerate(("tiny", "twin", "tiny")):
        values = {"checkpoint": name, "num_inference_steps": 4, "count": 1}
        core.add(k, parse_request(StableDiffusionRequest, **values), f"person {k}")
    ends: list[int] = []
    while len(ends) < 3:
        for k, event in core.step():
            if isinstance(event, FINAL):
                assert isinstance(event, Result)
                ends.append(k)
            elif ends == []:
                assert not (k > 0 and isinstance(event, Progress)), "it waits for room"
    assert ends == [0, 1, 2], "the third came after the one that waits for room"
