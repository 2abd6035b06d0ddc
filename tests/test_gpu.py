"""Every family runs where it is told to: on a pretended GPU that refuses what stayed on the CPU.

docs/classroom.md says what that does not show: kernels, half precision's range, memory, speed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from genlab.diffusion.schedulers import scheduler_names
from genlab.engine.device import Device
from genlab.engine.runner import Runner
from genlab.families.classifier.request import ClassifyRequest
from genlab.families.description import load
from genlab.families.gan.request import GANRequest
from genlab.families.latents import DecodeRequest
from genlab.families.live_training.data import shipped_digits
from genlab.families.live_training.request import SUBJECTS, TrainRequest
from genlab.families.live_training.runner import LiveTrainingRunner
from genlab.families.noisy_classifier.request import NoisyClassifyRequest
from genlab.families.pixel_diffusion.request import (
    DenoiseRequest,
    PixelDiffusionRequest,
    pixel_scheduler_names,
    written,
)
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.families.vae.request import ReconstructRequest, VAERequest
from genlab.images import written_picture
from genlab.models.families import FAMILIES
from genlab.models.registry import Registry
from genlab.requests import Request, parse_request
from genlab.toybox.judge.request import ReadRequest
from tests.drive import drive
from tests.fake_gpu import FakeGpu
from tests.tiny_diffusion import (
    save_tiny_flow,
    save_tiny_judge,
    save_tiny_noisy_classifier,
    save_tiny_pixel_diffusion,
)
from tests.tiny_pipelines import (
    save_tiny_lcm,
    save_tiny_sd3,
    save_tiny_stable_diffusion,
    save_tiny_xl,
)

LEVELS = 1  # of 255, that a picture may differ from the CPU's in single precision
GREY = np.full((3, 28, 28), 90, np.uint8)
SCENES = np.zeros((2, 64, 64, 3), np.uint8)
CODES = np.linspace(-1, 1, 40, dtype=np.float32).reshape(2, 20)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, checkpoints: Path) -> Registry:
    """The shipped models of one step, and tiny ones of all that take more."""
    root = tmp_path_factory.mktemp("gpu")
    for name in ("vae-mnist-20d", "dcgan-mnist", "toybox-judge"):
        (root / name).symlink_to(checkpoints / name, target_is_directory=True)
    save_tiny_pixel_diffusion(root)
    save_tiny_flow(root)
    save_tiny_noisy_classifier(root)
    save_tiny_judge(root)
    save_tiny_stable_diffusion(root / "sd")
    save_tiny_xl(root / "xl")
    save_tiny_sd3(root / "sd3")
    save_tiny_lcm(root / "lcm")
    return Registry(root, downloads=False)


@pytest.fixture
def gpu() -> Iterator[FakeGpu]:
    with FakeGpu() as gpu:
        yield gpu


def opened(registry: Registry, name: str, device: str) -> Any:
    entry = registry.entry(name)
    kind = load(FAMILIES[entry.family].runner)
    return kind.open(entry, Device(device, graphs=False), registry.find)


def pixels(**values: Any) -> PixelDiffusionRequest:
    known = {"checkpoint": "ddpm", "count": 2, "num_inference_steps": 4, "preview_every": 1}
    kind = DenoiseRequest if "picture" in values else PixelDiffusionRequest
    return parse_request(kind, **(known | values))


def prompted(name: str = "sd", **values: Any) -> StableDiffusionRequest:
    known = {
        "checkpoint": name, "prompt": "a red seven", "negative_prompt": "blue", "count": 2,
        "num_inference_steps": 6, "guidance_scale": 4.0, "preview_every": 1, "trajectory": True,
    }  # fmt: skip
    return parse_request(StableDiffusionRequest, **(known | values))


PICTURE = written_picture(np.eye(16, dtype=np.uint8) * 255)
ONE_STEP: list[Request] = [
    parse_request(VAERequest, checkpoint="vae-mnist-20d", count=3),
    parse_request(VAERequest, checkpoint="vae-mnist-20d", count=3, to_seed=5),
    parse_request(ReconstructRequest, checkpoint="vae-mnist-20d", images=GREY),
    parse_request(DecodeRequest, checkpoint="vae-mnist-20d", z=CODES),
    parse_request(GANRequest, checkpoint="dcgan-mnist", count=3),
    parse_request(GANRequest, checkpoint="dcgan-mnist", count=3, snapshot=100),
    parse_request(ClassifyRequest, checkpoint="judge", images=GREY),
    parse_request(NoisyClassifyRequest, checkpoint="noisy", images=GREY, timestep=300),
    parse_request(
        ReadRequest, checkpoint="toybox-judge", images=np.zeros((2, 64, 64, 3), np.uint8)
    ),
]
IN_STEPS: list[Request] = [
    *[pixels(scheduler=name) for name in pixel_scheduler_names()],
    pixels(checkpoint="flow"),
    pixels(guidance="none", eta=1.0),
    pixels(to_seed=9),
    pixels(picture=written(GREY[0]), start_timestep=400),
    *[prompted(scheduler=name) for name in scheduler_names()],
    prompted(guidance_scale=1.0, trajectory=False),
    prompted(picture=PICTURE, strength=0.7),
    prompted(picture=PICTURE, mask=PICTURE, strength=1.0),
    prompted("xl"),
    prompted("xl", picture=PICTURE, mask=PICTURE),
    prompted("xl", negative_prompt=""),
    prompted("sd3"),
    prompted("lcm"),
]
WITH_GRADIENTS: list[Request] = [
    pixels(guidance="classifier", trajectory=True),
    *[pixels(scheduler=name, trajectory=True) for name in pixel_scheduler_names()],
    pixels(checkpoint="flow", guidance="classifier"),
    *[
        parse_request(TrainRequest, run="one", subject=subject, latent_dim=2, steps=2)
        for subject in SUBJECTS
    ],
]


def networks(runner: Runner) -> list[nn.Module]:
    """All that a runner holds, whatever it is in."""
    held: list[Any] = list(vars(runner).values())
    held += [getattr(getattr(runner, "text", None), "pairs", ())]
    held += list(getattr(getattr(runner, "pipeline", None), "components", {}).values())
    found: list[nn.Module] = []
    while held:
        one = held.pop()
        if isinstance(one, nn.Module):
            found.append(one)
        elif isinstance(one, dict):
            held += one.values()
        elif isinstance(one, (list, tuple)):
            held += one
    return found


def watched(registry: Registry, request: Any, gpu: FakeGpu) -> Any:
    """A request's result from the pretended GPU, with nothing of a network left on the CPU."""
    name = request.checkpoint
    if isinstance(request, TrainRequest):
        runner: Any = LiveTrainingRunner(shipped_digits()[:200], Device(gpu.device, graphs=False))
    else:
        runner = opened(registry, name, gpu.device)
    gpu.left_on_cpu.clear()  # opening may fit or check something there
    (result,) = drive(runner, request)
    assert not gpu.left_on_cpu, f"the CPU did {dict(gpu.left_on_cpu)}"
    for network in networks(runner):
        places = {str(tensor.device) for tensor in network.state_dict().values()}
        assert places <= {gpu.device}, type(network)
    return result


@pytest.mark.parametrize("request_", [*ONE_STEP, *IN_STEPS], ids=lambda r: f"{r.checkpoint}")
def test_in_half_precision_all_of_a_run_is_on_the_gpu(registry, request_, gpu):
    result = watched(registry, request_, gpu)
    assert all(np.isfinite(v).all() for v in result.extras.values() if isinstance(v, np.ndarray))


@pytest.mark.parametrize("request_", WITH_GRADIENTS, ids=lambda r: f"{r.checkpoint}")
def test_gradients_are_on_the_gpu_and_give_what_the_cpu_gives(registry, request_):
    with FakeGpu("lazy") as gpu:
        result = watched(registry, request_, gpu)
    if isinstance(request_, TrainRequest):
        runner: Any = LiveTrainingRunner(shipped_digits()[:200], Device("cpu", graphs=False))
    else:
        runner = opened(registry, request_.checkpoint, "cpu")
    (plain,) = drive(runner, request_)
    assert np.abs(result.images.astype(int) - plain.images).max(initial=0) <= LEVELS
    for name, losses in plain.extras.get("losses", {}).items():
        assert np.allclose(result.extras["losses"][name], losses, rtol=1e-3), name


@pytest.mark.parametrize(
    "request_",
    [*[pixels(scheduler=name, preview_every=0) for name in pixel_scheduler_names()],
     *[prompted(scheduler=name, preview_every=0, trajectory=False) for name in scheduler_names()]],
    ids=lambda r: f"{r.checkpoint}-{r.scheduler}",
)  # fmt: skip
def test_no_step_waits_for_the_gpu(registry, request_, gpu):
    runner = opened(registry, request_.checkpoint, gpu.device)

    def waits(steps: int) -> int:
        gpu.waits.clear()
        drive(runner, request_.model_copy(update={"num_inference_steps": steps}))
        return sum(gpu.waits.values())

    assert waits(12) == waits(6), f"{gpu.waits}"


# --- the pretended GPU itself can refuse ---------------------------------------------------------


def test_a_tensor_left_on_the_cpu_is_refused(gpu):
    there = torch.ones(2, 3, device=gpu.device)
    with pytest.raises(RuntimeError, match="at least two devices"):
        there + torch.ones(2, 3)
    with pytest.raises(RuntimeError, match="at least two devices"):
        torch.nn.functional.linear(there, torch.ones(4, 3))
    assert (there + 1).sum().item() == 12, "numbers may come from anywhere"


def test_noise_of_a_generator_of_the_cpu_is_refused_on_the_gpu(gpu):
    with pytest.raises(RuntimeError, match="generator"):
        torch.randn(3, generator=torch.Generator(), device=gpu.device)


def test_arithmetic_on_the_cpu_and_waits_are_counted(gpu):
    torch.nn.functional.linear(torch.ones(2, 3), torch.ones(4, 3))
    assert gpu.left_on_cpu
    torch.ones(3, device=gpu.device).sum().item()
    assert sum(gpu.waits.values()) == 1
