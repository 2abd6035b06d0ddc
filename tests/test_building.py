"""Networks are built one at a time where libraries change PyTorch for the whole process."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline

from genlab.engine.device import Device
from genlab.families.description import load
from genlab.formats.building import ONE_AT_A_TIME, with_weights
from genlab.models.families import FAMILIES
from genlab.models.registry import Registry
from tests.drive import drive
from tests.test_lora import lora_tensors, request_for, save_as_diffusers
from tests.tiny_pipelines import save_tiny_stable_diffusion

SHIPPED = Path(__file__).parents[1] / "checkpoints"


def taken_elsewhere() -> bool:
    """Whether another thread would have to wait."""
    got: list[bool] = []

    def attempt() -> None:
        got.append(ONE_AT_A_TIME.acquire(blocking=False))
        if got[0]:
            ONE_AT_A_TIME.release()

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    return not got[0]


def opened(registry: Registry, name: str) -> Any:
    entry = registry.entry(name)
    return load(FAMILIES[entry.family].runner).open(entry, Device("cpu"), registry.find)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each pipeline opened and each LoRA added: whether others had to wait meanwhile."""
    seen: list[bool] = []
    opening = DiffusionPipeline.from_pretrained.__func__
    adding = StableDiffusionPipeline.load_lora_weights

    def from_pretrained(cls: Any, *args: Any, **options: Any) -> Any:
        seen.append(taken_elsewhere())
        return opening(cls, *args, **options)

    def load_lora_weights(self: Any, *args: Any, **options: Any) -> Any:
        seen.append(taken_elsewhere())
        return adding(self, *args, **options)

    monkeypatch.setattr(DiffusionPipeline, "from_pretrained", classmethod(from_pretrained))
    monkeypatch.setattr(StableDiffusionPipeline, "load_lora_weights", load_lora_weights)
    return seen


@pytest.mark.parametrize("name", ["ddpm-mnist", "stable-diffusion-toybox"])
def test_a_pipeline_is_opened_alone(seen: list[bool], name: str):
    opened(Registry(SHIPPED), name)
    assert seen == [True]
    assert not taken_elsewhere()


def test_a_lora_is_added_alone(tmp_path: Path, seen: list[bool]):
    folder = save_tiny_stable_diffusion(tmp_path / "checkpoints" / "tiny")
    file = save_as_diffusers(lora_tensors(folder, ("unet",)), tmp_path / "mine.safetensors")
    runner = opened(Registry(tmp_path / "checkpoints", [str(file)]), "tiny")
    seen.clear()
    drive(runner, request_for(lora="mine"))
    assert seen == [True]
    assert not taken_elsewhere()


def test_weights_may_come_in_another_number_format():
    layer = torch.nn.Linear(3, 1)
    halves = {name: value.half() for name, value in layer.state_dict().items()}
    built = with_weights(lambda: torch.nn.Linear(3, 1), halves)
    assert built.weight.dtype == torch.float32
    assert torch.equal(built.weight, halves["weight"].float())
