"""Loaded models: beside the work of others, within their memory, and really gone when they go."""

from __future__ import annotations

import gc
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from genlab.engine.device import Device
from genlab.engine.runner import Runner
from genlab.families.vae.network import ConvVAE
from genlab.families.vae.runner import VAERunner
from genlab.formats.fingerprints import sha256_of
from genlab.formats.model_card import update_metrics, write_card
from genlab.models.cache import STALE, ModelCache
from genlab.models.registry import Registry
from genlab.requests import UserError

NAMES = ("a", "b", "c")


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """Three VAEs of one size."""
    for k, name in enumerate(NAMES):
        torch.manual_seed(k)
        ConvVAE(5, (4, 4), 16).save_pretrained(tmp_path / name)
        write_card(tmp_path / name, "vae", f"VAE {name}", "mnist", "For tests.")
    return Registry(tmp_path)


@pytest.fixture
def background() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def room_for(models: float, registry: Registry) -> float:
    return models * registry.entry("a").memory_bytes(4)


def cache_of(
    registry: Registry, models: float = 3, background: ThreadPoolExecutor | None = None
) -> ModelCache:
    return ModelCache(registry, Device("cpu", graphs=False), room_for(models, registry), background)


def loaded(cache: ModelCache, name: str, in_use: tuple[str, ...] = ()) -> Runner:
    """The runner once it is there; fails if that takes long."""
    last_moment = time.monotonic() + 60
    while not isinstance(model := cache.get(name, in_use), Runner):
        assert time.monotonic() < last_moment, model
        time.sleep(0.005)
    return model


Look = Callable[[Any, Any], None]


def on_open(monkeypatch: pytest.MonkeyPatch, before: Look, after: Look = lambda *_: None) -> None:
    """Calls ``before(metadata, None)`` and ``after(metadata, runner)`` round every load."""
    opened = VAERunner.open

    def look(metadata: Any, *rest: Any) -> Any:
        before(metadata, None)
        runner = opened(metadata, *rest)
        after(metadata, runner)
        return runner

    monkeypatch.setattr(VAERunner, "open", look)


# --- loading --------------------------------------------------------------------------------------


def test_without_a_background_the_model_is_there_at_once(registry: Registry):
    cache = cache_of(registry)
    runner = cache.get("a")
    assert isinstance(runner, Runner)
    assert cache.get("a") is runner
    assert list(cache.loaded()) == ["a"]


def test_with_a_background_nobody_waits_and_the_end_is_told(registry, background, monkeypatch):
    go_on, ended = threading.Event(), threading.Event()
    threads: list[str] = []

    def hold(*_: Any) -> None:
        threads.append(threading.current_thread().name)
        assert go_on.wait(60)

    on_open(monkeypatch, hold)
    cache = cache_of(registry, background=background)
    cache.on_change = ended.set
    began = time.monotonic()
    assert [cache.get("a"), cache.get("a")] == ["loading", "loading"]
    assert time.monotonic() - began < 30
    assert cache.loaded() == {}
    assert not ended.is_set()
    go_on.set()
    assert ended.wait(60)
    assert isinstance(cache.get("a"), Runner)
    assert len(threads) == 1, "loaded once, however often it was asked for"
    assert threads[0] != threading.current_thread().name


def test_a_loaded_model_knows_the_hash_of_its_weights(registry: Registry):
    runner = cache_of(registry).get("a")
    assert isinstance(runner, Runner)
    assert runner.fingerprint == sha256_of(registry.entry("a").path)


def test_each_model_has_a_row_limit_of_its_own(registry: Registry):
    cache = cache_of(registry)
    one, other = loaded(cache, "a"), loaded(cache, "b")
    one.device.shrink()
    assert one.device.max_rows < other.device.max_rows


def test_a_title_is_what_the_card_says_and_unknown_names_stay(registry: Registry):
    cache = cache_of(registry)
    assert (cache.title("a"), cache.title("x")) == ("VAE a", "x")


# --- what cannot be loaded ------------------------------------------------------------------------


def test_a_failure_that_nobody_waited_for_is_not_told_to_who_comes_later(registry, monkeypatch):
    """The load failed after its visitor had pressed Stop; by now the model may be sound."""
    now = [0.0]
    monkeypatch.setattr("genlab.models.cache.time.monotonic", lambda: now[0])
    cache = cache_of(registry)
    with monkeypatch.context() as broken:
        broken.setattr(VAERunner, "open", lambda *_: (_ for _ in ()).throw(ValueError("odd")))
        cache._loading["a"] = cache._make_room(registry.entry("a"), ())  # type: ignore[assignment]
        cache._load("a")
    now[0] += STALE + 1
    assert isinstance(cache.get("a"), Runner)


@pytest.mark.parametrize("in_background", [False, True])
def test_a_failed_load_is_told_once_and_tried_again(registry, background, in_background):
    weights = registry.entry("a").path / "model.safetensors"
    whole = weights.read_bytes()
    cache = cache_of(registry, background=background if in_background else None)
    for _ in range(2):
        weights.write_bytes(whole[:1000])
        with pytest.raises(UserError, match=r"The checkpoint a is damaged: .*cut short"):
            loaded(cache, "a")
    weights.write_bytes(whole)
    assert isinstance(loaded(cache, "a"), Runner)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (SystemExit(1), r"VAE a could not be loaded \(SystemExit\); the log says why"),
        (torch.OutOfMemoryError("x"), "The device has too little memory left for VAE a"),
        (MemoryError(), "The device has too little memory left for VAE a"),
        (KeyError("x"), r"VAE a could not be loaded \(KeyError\)"),
    ],
)
def test_whatever_a_load_raises_is_a_sentence_and_the_next_model_loads(
    registry, background, monkeypatch, error, sentence
):
    def fail(metadata: Any, _: Any) -> None:
        if metadata.name == "a":
            raise error

    on_open(monkeypatch, fail)
    cache = cache_of(registry, background=background)
    with pytest.raises(UserError, match=sentence):
        loaded(cache, "a")
    assert isinstance(loaded(cache, "b"), Runner)


def test_a_model_larger_than_all_memory_is_refused_with_both_figures(registry: Registry):
    with pytest.raises(UserError, match=r"VAE a takes .* GB of memory, but GENLAB_MEMORY_GB"):
        cache_of(registry, models=0.9).get("a")


def test_an_unknown_name_is_a_sentence(registry: Registry):
    with pytest.raises(UserError, match="no checkpoint called 'x'"):
        cache_of(registry).get("x")


# --- room -----------------------------------------------------------------------------------------


def test_the_least_recently_used_model_makes_room(registry: Registry):
    cache = cache_of(registry, models=2.5)
    for name in ("a", "b", "a", "c"):
        loaded(cache, name)
    assert list(cache.loaded()) == ["a", "c"]


def test_a_model_in_use_stays_and_who_needs_its_room_waits(registry: Registry):
    cache = cache_of(registry, models=1.5)
    first = loaded(cache, "a")
    assert cache.get("b", in_use=("a",)) == "no room"
    assert cache.get("a", in_use=("a",)) is first
    assert isinstance(cache.get("b", in_use=()), Runner)
    assert list(cache.loaded()) == ["b"]


def test_only_models_not_in_use_are_unloaded(registry: Registry):
    cache = cache_of(registry, models=2.5)
    for name in ("a", "b"):
        loaded(cache, name)
    loaded(cache, "c", in_use=("a",))
    assert list(cache.loaded()) == ["a", "c"], "a was used least recently, but is in use"


def test_a_model_that_is_being_loaded_is_not_made_room_of(registry, background, monkeypatch):
    go_on = threading.Event()

    def hold(*_: Any) -> None:
        assert go_on.wait(60)

    on_open(monkeypatch, hold)
    cache = cache_of(registry, models=1.5, background=background)
    assert cache.get("a") == "loading"
    assert cache.get("b") == "no room"
    go_on.set()
    assert loaded(cache, "a")
    assert loaded(cache, "b")


class Memory:
    """Gives each loaded model a large array as weights, and knows which arrays still exist."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.alive: set[str] = set()
        self.networks: dict[str, weakref.ref[Any]] = {}
        self.at_load: dict[str, tuple[set[str], set[str]]] = {}  # arrays and networks before it
        on_open(monkeypatch, self._before, self._after)

    def _before(self, metadata: Any, _: Any) -> None:
        networks = {name for name, network in self.networks.items() if network() is not None}
        self.at_load[metadata.name] = (set(self.alive), networks)

    def _after(self, metadata: Any, runner: Any) -> None:
        name, array = metadata.name, np.zeros(1_000_000, np.float32)
        runner.network.large = torch.nn.Parameter(torch.from_numpy(array))
        runner.network.itself = [runner.network]  # a cycle, as pipelines have them
        self.alive.add(name)
        weakref.finalize(array, self.alive.discard, name)
        self.networks[name] = weakref.ref(runner.network)


@pytest.mark.parametrize("in_background", [False, True])
def test_the_weights_of_an_unloaded_model_are_freed_before_the_next_is_loaded(
    registry, background, monkeypatch, in_background
):
    memory = Memory(monkeypatch)
    cache = cache_of(registry, models=1.5, background=background if in_background else None)
    for name in NAMES:
        loaded(cache, name)
        registry.entry(name)
    assert memory.at_load == {name: (set(), set()) for name in NAMES}


def test_the_old_weights_of_a_changed_model_are_freed_before_the_new_ones_come(
    registry, monkeypatch
):
    memory = Memory(monkeypatch)
    cache = cache_of(registry)
    loaded(cache, "a")
    torch.manual_seed(9)
    ConvVAE(5, (4, 4), 16).save_pretrained(registry.root / "a")
    registry.scan()
    loaded(cache, "a")
    assert memory.at_load["a"] == (set(), set())


def test_a_step_that_still_works_with_an_unloaded_model_is_waited_for(
    registry, background, monkeypatch
):
    memory = Memory(monkeypatch)
    cache = cache_of(registry, models=1.5, background=background)
    held: list[Runner] = [loaded(cache, "a")]
    assert cache.get("b") == "loading"
    time.sleep(0.2)
    assert "b" not in memory.at_load, "it waits for the memory of the other"
    held.clear()
    loaded(cache, "b")
    assert memory.at_load["b"] == (set(), set())


def test_a_failed_load_leaves_nothing_behind(registry, monkeypatch):
    memory = Memory(monkeypatch)
    cache = cache_of(registry)
    monkeypatch.setattr(registry, "fingerprint", lambda name: 1 / 0)  # after its weights came
    with pytest.raises(UserError, match="ZeroDivisionError"):
        cache.get("a")
    gc.collect()
    assert memory.alive == set()


@pytest.mark.gpu
def test_the_gpu_memory_of_an_unloaded_model_is_given_back_before_the_next_is_loaded(
    registry, monkeypatch
):
    reserved: list[int] = []
    on_open(monkeypatch, lambda *_: reserved.append(torch.cuda.memory_reserved()))
    size = registry.entry("a").memory_bytes(2)
    cache = ModelCache(registry, Device("cuda", graphs=False), 1.5 * size)
    for name in NAMES:
        loaded(cache, name)
    assert reserved[1:] == [reserved[0]] * 2


# --- files that change ----------------------------------------------------------------------------


def test_changed_weights_are_loaded_anew_once_the_old_ones_are_not_in_use(registry: Registry):
    cache = cache_of(registry)
    before = loaded(cache, "a")
    weights = registry.entry("a").path / "model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(weights).items()}, weights)
    registry.scan()
    assert cache.get("a", in_use=("a",)) is before
    after = loaded(cache, "a")
    assert after is not before
    assert after.fingerprint != before.fingerprint


def test_a_new_card_beside_the_same_weights_loads_nothing(registry: Registry):
    cache = cache_of(registry)
    before = loaded(cache, "a")
    update_metrics(registry.entry("a").path, {"fid": 1.0})
    registry.scan()
    assert cache.get("a") is before


def test_a_model_whose_folder_is_gone_serves_who_has_begun_and_nobody_else(registry: Registry):
    cache = cache_of(registry)
    runner = loaded(cache, "a")
    shutil.rmtree(registry.entry("a").path)
    registry.scan()
    assert cache.get("a", in_use=("a",)) is runner
    with pytest.raises(UserError, match="no checkpoint called 'a'"):
        cache.get("a")
