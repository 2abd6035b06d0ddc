"""Nobody notices that libraries change PyTorch for the whole process while they open a model."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline
from PIL import Image

from genlab.diffusion.schedulers import scheduler_names
from genlab.engine.device import Device
from genlab.families.classifier.request import ClassifyRequest
from genlab.families.description import load
from genlab.families.gan.request import GANRequest
from genlab.families.latents import DecodeRequest
from genlab.families.live_training.request import NAME, SUBJECTS, TrainRequest
from genlab.families.noisy_classifier.request import NoisyClassifyRequest
from genlab.families.pixel_diffusion.request import DenoiseRequest, PixelDiffusionRequest, written
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.families.vae.request import ReconstructRequest, VAERequest
from genlab.formats.building import ONE_AT_A_TIME, with_weights
from genlab.images import written_picture
from genlab.models.families import FAMILIES
from genlab.models.registry import Registry
from genlab.requests import Request, parse_request
from genlab.toybox.judge.request import ReadRequest
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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_process_is_forked_when_nothing_is_being_opened():
    """As ZeroGPU forks one for each lease: it must not begin amid what a load has replaced."""
    code = """
import os, threading, time
from genlab.formats.building import ONE_AT_A_TIME
opening, state = threading.Event(), ["usual"]
def load():
    with ONE_AT_A_TIME:
        state[0] = "replaced"
        opening.set()
        time.sleep(0.5)
        state[0] = "usual"
threading.Thread(target=load).start()
opening.wait()
child = os.fork()
if child == 0:
    os._exit(0 if state[0] == "usual" and ONE_AT_A_TIME.acquire(blocking=False) else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert ONE_AT_A_TIME.acquire(blocking=False)
"""
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)


def test_weights_may_come_in_another_number_format():
    layer = torch.nn.Linear(3, 1)
    halves = {name: value.half() for name, value in layer.state_dict().items()}
    built = with_weights(lambda: torch.nn.Linear(3, 1), halves)
    assert built.weight.dtype == torch.float32
    assert torch.equal(built.weight, halves["weight"].float())


# --- numbers of half precision --------------------------------------------------------------------


DIGIT = np.zeros((28, 28), np.uint8)
DIGIT[6:22, 12:16] = 255
COLOURED = np.zeros((1, 64, 64, 3), np.uint8)
SQUARE = written_picture(COLOURED[0])
HALF = written_picture(np.asarray(Image.linear_gradient("L")))
CASES: list[tuple[type[Request], dict[str, Any]]] = [
    (VAERequest, {"checkpoint": "vae-mnist-20d", "to_seed": 4, "count": 3}),
    (ReconstructRequest, {"checkpoint": "vae-mnist-20d", "images": DIGIT[None]}),
    (DecodeRequest, {"checkpoint": "vae-mnist-2d", "z": ((0.5, -1.0),)}),
    (GANRequest, {"checkpoint": "dcgan-mnist"}),
    (GANRequest, {"checkpoint": "dcgan-mnist", "snapshot": 0}),
    (ClassifyRequest, {"checkpoint": "mnist-classifier", "images": DIGIT[None]}),
    (NoisyClassifyRequest, {"checkpoint": "mnist-noisy-classifier", "images": DIGIT[None]}),
    (ReadRequest, {"checkpoint": "toybox-judge", "images": COLOURED}),
    *(
        (PixelDiffusionRequest, {"checkpoint": name, "num_inference_steps": 4} | values)
        for name in ("ddpm-mnist", "flow-mnist")
        for values in (
            {"guidance": "classifier", "guidance_scale": 4.0, "trajectory": True},
            {"guidance": "classifier-free", "preview_every": 1},
            {"scheduler": "euler"},
        )
    ),
    (PixelDiffusionRequest, {"checkpoint": "ddpm-mnist", "num_inference_steps": 4, "eta": 1.0}),
    (DenoiseRequest, {"checkpoint": "ddpm-mnist", "picture": written(DIGIT)}),
    *(
        (StableDiffusionRequest, {"scheduler": name, "num_inference_steps": 5, "preview_every": 1})
        for name in scheduler_names()
    ),
    (
        StableDiffusionRequest,
        {"picture": SQUARE, "mask": HALF, "num_inference_steps": 5, "trajectory": True},
    ),
    *((TrainRequest, {"run": "one", "subject": subject, "steps": 2}) for subject in SUBJECTS),
]


@contextmanager
def loading_in_half_precision() -> Iterator[None]:
    """What diffusers and transformers do while they build a network for a GPU."""
    torch.set_default_dtype(torch.float16)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def named(case: Any) -> str:
    if isinstance(case, type):
        return case.__name__
    return ",".join(str(v) for v in case.values() if isinstance(v, (str, int, float)))[:40]


@pytest.mark.parametrize(("kind", "values"), CASES, ids=named)
def test_nobodys_result_changes_while_another_thread_loads_in_half_precision(
    kind: type[Request], values: dict[str, Any]
):
    registry = Registry(SHIPPED)
    usual = {"checkpoint": "stable-diffusion-toybox", "prompt": "a red 7"}
    usual = usual if kind is StableDiffusionRequest else {}
    request = parse_request(kind, **usual, **values)
    runner = opened(registry, getattr(request, "checkpoint", NAME))
    other = opened(registry, getattr(request, "checkpoint", NAME))
    (expected,) = drive(runner, request)
    with loading_in_half_precision():
        (result,) = drive(other, request)
    np.testing.assert_array_equal(result.images, expected.images)
    timed = {"shares": None}  # of the time
    np.testing.assert_equal({**result.extras, **timed}, {**expected.extras, **timed})
