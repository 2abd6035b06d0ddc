"""Models from outside checkpoints/: found, offered, downloaded, stopped; all without a network."""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

from genlab.engine import Engine, Job, Runtime
from genlab.families.stable_diffusion.runner import StableDiffusionFamily
from genlab.models import hub
from genlab.models.downloads import Offer
from genlab.models.registry import Catalogue
from genlab.models.sources import PRESETS, sources
from genlab.requests import StableDiffusionRequest, UserError, ask
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
def catalogue(fake_hub: FakeHub, tiny: Path, tmp_path: Path) -> Catalogue:
    fake_hub.repositories[TINY] = tiny
    return open_catalogue(tmp_path, TINY)


def open_catalogue(tmp_path: Path, *models: str) -> Catalogue:
    return Catalogue(tmp_path / "checkpoints", Runtime("cpu"), models=models)


def offer(catalogue: Catalogue, name: str) -> Offer:
    return next(o for o in catalogue.offers() if o.name == name)


def wait(condition: Callable[[], bool]) -> None:
    last_moment = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < last_moment, "it takes too long"
        time.sleep(0.01)


def test_the_presets_are_offered_with_their_rough_size_and_no_network_is_asked(catalogue, fake_hub):
    offers = catalogue.offers()
    assert [o.name for o in offers] == [p.name for p in PRESETS] + ["tiny"]
    for told in offers[:-1]:
        assert (told.state, told.about) == ("available", True)
        assert told.gb is not None
        assert 1 < told.gb < 10
    assert offers[-1].gb is None, "only the hub knows"
    assert fake_hub.calls == []
    assert catalogue.entries == {}
    assert catalogue.broken == {}


def test_a_model_is_weighed_downloaded_and_drawn_with(catalogue, fake_hub, tiny):
    weighed = catalogue.weigh("tiny")
    assert not weighed.about
    catalogue.fetch("tiny")
    wait(lambda: offer(catalogue, "tiny").state != "downloading")
    told = offer(catalogue, "tiny")
    assert (told.state, told.progress, told.reason) == ("ready", 1.0, "")

    folder = catalogue.entry("tiny").folder
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert "unet/diffusion_pytorch_model.fp16.safetensors" in files
    for unwanted in ("unet/diffusion_pytorch_model.safetensors", "tiny-original.safetensors"):
        assert unwanted not in files
    assert not any(name.endswith(".bin") or "safety" in name for name in files)
    assert weighed.gb == sum((tiny / name).stat().st_size for name in files) / 1e9

    fake_hub.online = False
    engine = Engine(catalogue)
    job = engine.submit(ask(StableDiffusionRequest, checkpoint="tiny", prompt="a red seven"))
    while engine.tick():
        pass
    assert job.result().images.shape == (4, 16, 16, 3)


def test_what_is_cached_is_ready_without_a_network(catalogue, fake_hub, tmp_path):
    catalogue.fetch("tiny")
    wait(lambda: "tiny" in catalogue.entries)
    fake_hub.online = False
    fake_hub.calls.clear()
    again = open_catalogue(tmp_path, TINY)
    assert offer(again, "tiny").state == "ready"
    entry = again.entry("tiny")
    assert (entry.family, entry.title, entry.pixels) == ("stable_diffusion", "tiny", 16)
    assert entry.defaults == {
        "num_inference_steps": 25, "guidance_scale": 7.5, "scheduler": "dpmpp-2m"
    }  # fmt: skip
    assert fake_hub.calls == []


def test_progress_is_told_and_a_download_can_be_stopped_and_gone_on_with(catalogue, fake_hub):
    shares: list[float] = []
    arrived, go_on = threading.Event(), threading.Event()

    def pause() -> None:
        shares.append(offer(catalogue, "tiny").progress)
        if len(shares) == 6:
            arrived.set()
            assert go_on.wait(60)

    fake_hub.pause = pause
    catalogue.fetch("tiny")
    catalogue.fetch("tiny")  # a second visitor presses the button too
    assert arrived.wait(60)
    assert offer(catalogue, "tiny").state == "downloading"
    catalogue.stop_fetching("tiny")
    go_on.set()
    wait(lambda: offer(catalogue, "tiny").state != "downloading")
    assert offer(catalogue, "tiny").state == "available"
    assert "tiny" not in catalogue.entries
    assert len(shares) == 6, "nothing more was fetched, and by one download only"
    assert shares == sorted(shares)
    assert 0 < shares[-1] < 1

    catalogue.fetch("tiny")
    wait(lambda: offer(catalogue, "tiny").state == "ready")
    assert "tiny" in catalogue.entries


def test_an_interrupted_download_is_offered_anew_by_the_next_start(
    catalogue, fake_hub, tmp_path, tiny
):
    fake_hub._store(TINY, tiny, "model_index.json")
    fake_hub._store(TINY, tiny, "unet/config.json")
    again = open_catalogue(tmp_path, TINY)
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
def test_a_download_that_fails_says_why_in_one_sentence(catalogue, fake_hub, harm, sentence):
    harm(fake_hub)
    with pytest.raises(UserError, match=sentence):
        catalogue.weigh("tiny")
    catalogue.fetch("tiny")
    wait(lambda: offer(catalogue, "tiny").state == "failed")
    assert sentence in offer(catalogue, "tiny").reason


def test_a_disk_too_small_is_told_before_the_download(catalogue, monkeypatch):
    monkeypatch.setattr(hub.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 8, 1))
    catalogue.fetch("tiny")
    wait(lambda: offer(catalogue, "tiny").state == "failed")
    assert "GB of disk, but only 0.0 GB are free" in offer(catalogue, "tiny").reason


def test_pickled_weights_and_other_repositories_are_refused(tmp_path, fake_hub, tiny):
    pickled, other = tmp_path / "pickled", tmp_path / "other"
    shutil.copytree(tiny, pickled)
    for weights in (pickled / "unet").glob("*.safetensors"):
        weights.unlink()
    other.mkdir()
    (other / "config.json").write_text("{}")
    fake_hub.repositories |= {"a/pickled": pickled, "a/other": other}
    catalogue = open_catalogue(tmp_path, "a/pickled", "a/other")
    with pytest.raises(UserError, match="unet is stored as a pickle only"):
        catalogue.weigh("pickled")
    with pytest.raises(UserError, match="a/other is no diffusers model"):
        catalogue.weigh("other")


def test_an_unknown_name_is_answered_with_what_there_is(catalogue):
    for call in (catalogue.weigh, catalogue.fetch, catalogue.stop_fetching):
        with pytest.raises(UserError, match="no model called 'x' .*; there are: stable-diffusion"):
            call("x")


def test_a_folder_and_wrong_items_of_the_setting(tmp_path, fake_hub, tiny):
    pickle = tmp_path / "model.ckpt"
    pickle.write_bytes(b"x")
    empty = tmp_path / "empty"
    empty.mkdir()
    catalogue = open_catalogue(tmp_path, str(tiny), str(pickle), "nowhere at all", str(empty))
    assert catalogue.entry("tiny").folder == tiny.resolve()
    assert "never loaded" in catalogue.broken[str(pickle)]
    assert "no hub id" in catalogue.broken["nowhere at all"]
    assert "no model_index.json" in catalogue.broken["empty"]
    assert [o.name for o in catalogue.offers()] == [p.name for p in PRESETS]


def test_where_downloads_are_switched_off_nothing_is_offered_and_what_is_here_serves(
    catalogue, fake_hub, tmp_path
):
    catalogue.fetch("tiny")
    wait(lambda: "tiny" in catalogue.entries)
    closed = Catalogue(
        tmp_path / "checkpoints", Runtime("cpu"), models=[TINY, "a/b"], downloads=False
    )
    assert [(o.name, o.state) for o in closed.offers()] == [("tiny", "ready")]
    assert "tiny" in closed.entries
    with pytest.raises(UserError, match="Downloads are switched off"):
        closed.fetch("b")


def test_a_name_that_checkpoints_has_already_is_left_out_with_a_sentence(tmp_path, fake_hub, tiny):
    save_tiny_stable_diffusion(tmp_path / "checkpoints" / "tiny")
    other = Path(shutil.copytree(tiny, tmp_path / "another"))
    catalogue = open_catalogue(tmp_path, str(other), str(tiny))
    assert list(catalogue.entries) == ["tiny", "another"], "the page's default is one of ours"
    assert catalogue.entry("tiny").title == "Tiny", "the one with a card"
    assert "has that name already" in catalogue.broken["tiny (outside)"]


def test_models_that_learnt_to_do_without_guidance_say_so():
    found, wrong = sources(["somebody/new-turbo", "nota-ai/bk-sdm-small"])
    assert wrong == {}
    by_name = {source.name: source for source in found}
    assert by_name["sd-turbo"].distilled
    assert by_name["sd-turbo"].num_inference_steps <= 4
    assert by_name["new-turbo"].distilled
    assert by_name["bk-sdm-small"].distilled is None
    assert len(found) == len(PRESETS) + 1, "a preset that is named again stays one"


def test_what_can_never_fit_is_refused_with_both_figures_before_it_is_queued(
    tmp_path, fake_hub, tiny
):
    catalogue = open_catalogue(tmp_path, str(tiny))
    entry = catalogue.entry("tiny")
    assert entry.nbytes == pytest.approx(catalogue.load("tiny").nbytes, rel=0.01)
    catalogue.memory_bytes = entry.nbytes - 1
    with pytest.raises(UserError, match=r"tiny takes 0.0 GB of memory, but GENLAB_MEMORY_GB"):
        Engine(catalogue).submit(ask(StableDiffusionRequest, checkpoint="tiny"))


def test_a_preset_that_will_not_fit_is_not_even_downloaded(catalogue, fake_hub):
    with pytest.raises(UserError, match="would take about 14 GB of memory here, but GENLAB_MEM"):
        catalogue.fetch("sdxl-base")
    assert fake_hub.calls == []
    catalogue.memory_bytes = 16e9
    catalogue.fetch("sdxl-base")
    wait(lambda: offer(catalogue, "sdxl-base").state == "failed")  # this hub does not have it
    assert "no public model" in offer(catalogue, "sdxl-base").reason


def test_room_is_made_before_the_next_model_is_loaded(tmp_path, fake_hub, tiny, monkeypatch):
    twin = Path(shutil.copytree(tiny, tmp_path / "twin"))
    catalogue = open_catalogue(tmp_path, str(tiny), str(twin))
    catalogue.memory_bytes = catalogue.entry("tiny").nbytes
    catalogue.load("tiny")
    opened = StableDiffusionFamily.open
    held: list[list[str]] = []

    def look(*args: object) -> object:
        held.append(list(catalogue._loaded))
        return opened(*args)

    monkeypatch.setattr(StableDiffusionFamily, "open", look)
    catalogue.load("twin")
    assert held == [[]]


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
    catalogue = open_catalogue(tmp_path, str(old), str(tiny))
    assert catalogue.broken == {}
    engine = Engine(catalogue)
    wishes = [ask(StableDiffusionRequest, checkpoint=n, prompt="seven") for n in ("old", "tiny")]
    jobs = [engine.submit(wish) for wish in wishes]
    while engine.tick():
        pass
    one, other = (job.result().images.astype(int) for job in jobs)
    assert abs(one - other).max() <= 1


def test_a_missing_shard_is_named(tmp_path, fake_hub, tiny):
    sharded = Path(shutil.copytree(tiny, tmp_path / "sharded"))
    encoder = CLIPTextModel.from_pretrained(sharded / "text_encoder")
    (sharded / "text_encoder" / "model.safetensors").unlink()
    encoder.save_pretrained(sharded / "text_encoder", max_shard_size="10KB")
    first, *_ = sorted((sharded / "text_encoder").glob("*.safetensors"))
    assert "sharded" in open_catalogue(tmp_path, str(sharded)).entries
    first.unlink()
    assert first.name in open_catalogue(tmp_path, str(sharded)).broken["sharded"]


def test_a_single_file_draws_what_its_folder_draws_once_its_configuration_is_here(
    tmp_path, fake_hub, tiny
):
    pipeline = StableDiffusionPipeline.from_pretrained(tiny, safety_checker=None)
    path = save_original(pipeline, tmp_path / "shared-model.safetensors")
    fake_hub.repositories["stable-diffusion-v1-5/stable-diffusion-v1-5"] = tiny
    catalogue = open_catalogue(tmp_path, str(path), str(tiny))
    told = offer(catalogue, "shared-model")
    assert (told.title, told.state) == ("shared-model: its configuration", "available")
    assert "shared-model" not in catalogue.entries

    catalogue.fetch("shared-model")
    wait(lambda: offer(catalogue, "shared-model").state != "downloading")
    assert offer(catalogue, "shared-model").reason == ""
    weights = list(fake_hub.cache.rglob("*.safetensors"))
    assert weights == [], "a configuration has no weights"
    assert offer(catalogue, "stable-diffusion-1.5").state == "available"

    fake_hub.online = False
    engine = Engine(catalogue)
    jobs = [
        engine.submit(ask(StableDiffusionRequest, checkpoint=name, prompt="a red seven", count=1))
        for name in ("shared-model", "tiny")
    ]
    while engine.tick():
        pass
    one, other = (job.result().images.astype(int) for job in jobs)
    assert abs(one - other).max() <= 1
    assert catalogue.fingerprint("shared-model") == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_single_file_takes_the_configuration_that_lies_beside_it(tmp_path, fake_hub, tiny):
    pipeline = StableDiffusionPipeline.from_pretrained(tiny, safety_checker=None)
    path = save_original(pipeline, tmp_path / "shared.safetensors")
    shutil.copytree(tiny, tmp_path / "shared", ignore=shutil.ignore_patterns("*.safetensors"))
    catalogue = open_catalogue(tmp_path, str(path))
    entry = catalogue.entry("shared")
    assert entry.nbytes == pytest.approx(catalogue.load("shared").nbytes, rel=0.01)
    assert fake_hub.calls == []


def test_a_single_file_that_is_no_stable_diffusion_says_so(tmp_path, fake_hub):
    lora, cut = tmp_path / "lora.safetensors", tmp_path / "cut.safetensors"
    save_file({"lora.down": torch.zeros(2, 2)}, lora)
    cut.write_bytes(lora.read_bytes()[:20])
    catalogue = open_catalogue(tmp_path, str(lora), str(cut))
    assert "no whole Stable Diffusion" in catalogue.broken["lora"]
    assert "cut short" in catalogue.broken["cut"]


def test_models_without_room_for_both_take_turns_a_whole_request_each(
    tmp_path, fake_hub, tiny, monkeypatch
):
    twin = Path(shutil.copytree(tiny, tmp_path / "twin"))
    catalogue = open_catalogue(tmp_path, str(tiny), str(twin))
    catalogue.memory_bytes = 1.5 * catalogue.entry("tiny").nbytes
    opened: list[str] = []
    open_one = StableDiffusionFamily.open

    def look(folder: Path, *rest: object) -> object:
        opened.append(folder.name)
        return open_one(folder, *rest)

    monkeypatch.setattr(StableDiffusionFamily, "open", look)
    engine = Engine(catalogue)

    def submit(name: str) -> Job:
        request = ask(StableDiffusionRequest, checkpoint=name, num_inference_steps=4, count=1)
        return engine.submit(request, owner=f"person {len(opened)} {name}")

    first = submit("tiny")
    engine.tick()
    second = submit("twin")
    late = submit("tiny")
    while not second.ended:
        engine.tick()
        assert second.started_at is None or first.ended
        assert late.started_at is None, "it came after the one that waits for room"
    while engine.tick():
        pass
    assert all(job.result().images.shape == (1, 16, 16, 3) for job in (first, second, late))
    assert opened == ["tiny", "twin", "tiny"]
