"""What was trained live is a checkpoint like any other: same pictures, for its visitor alone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from genlab.engine.device import Device
from genlab.engine.tensors import to_uint8
from genlab.families.description import load
from genlab.families.gan.request import GANRequest
from genlab.families.live_training.checkpoint import can_be_kept, write_checkpoint
from genlab.families.live_training.data import shipped_digits
from genlab.families.live_training.request import SUBJECTS, TrainRequest
from genlab.families.live_training.runner import LiveTrainingRunner
from genlab.families.live_training.training import Training
from genlab.families.vae.request import VAERequest
from genlab.models.families import FAMILIES
from genlab.models.imports.visitors import bring
from genlab.models.registry import Registry
from genlab.requests import parse_request
from tests.drive import drive

DIGITS = shipped_digits()[:100]
CPU = Device("cpu", graphs=False)


@pytest.mark.parametrize("subject", [name for name in SUBJECTS if can_be_kept(name)])
def test_a_result_draws_as_it_did_in_training(subject: str, tmp_path: Path):
    asked: dict[str, Any] = {"run": "a", "subject": subject, "latent_dim": 5, "seed": 3}
    (result,) = drive(
        LiveTrainingRunner(DIGITS, CPU), parse_request(TrainRequest, steps=3, **asked)
    )
    state = result.extras["state"]
    write_checkpoint(tmp_path / "mine", parse_request(TrainRequest, **asked), state, 3, 100)
    registry = Registry(tmp_path)
    assert registry.broken == {}
    entry = registry.entry("mine")
    assert entry.family == SUBJECTS[subject].family
    assert "3 steps" in entry.title
    runner = load(FAMILIES[entry.family].runner).open(entry, CPU, registry.find)
    kind = VAERequest if entry.family == "vae" else GANRequest
    (drawn,) = drive(runner, parse_request(kind, checkpoint="mine", seed=9, count=4))
    z = torch.stack(
        [torch.randn(5, generator=torch.Generator().manual_seed(9 + k)) for k in range(4)]
    )
    again = Training(parse_request(TrainRequest, state=state, **asked), DIGITS, CPU.torch)
    expected = to_uint8(again.samples(z)).astype(int)
    assert np.abs(drawn.images.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("subject", [name for name in SUBJECTS if can_be_kept(name)])
def test_a_downloaded_result_can_be_brought_back(subject: str, tmp_path: Path):
    asked = parse_request(TrainRequest, run="a", subject=subject, latent_dim=5, steps=1)
    (result,) = drive(LiveTrainingRunner(DIGITS, CPU), asked)
    write_checkpoint(tmp_path / "my-model", asked, result.extras["state"], 1, 100)
    archive = shutil.make_archive(str(tmp_path / "my-model"), "zip", tmp_path, "my-model")
    registry = Registry(tmp_path / "none", own=tmp_path / "own")
    metadata = bring(registry, "me", Path(archive), "my-model.zip", "mnist").metadata
    assert metadata.family == SUBJECTS[subject].family
    found = load_file(metadata.path / "model.safetensors")
    for name, array in load_file(tmp_path / "my-model" / "model.safetensors").items():
        assert any(np.array_equal(array, other) for other in found.values()), name


def test_points_are_no_checkpoint():
    assert not can_be_kept("points-gan")


def test_a_result_holds_weights_and_no_optimizer(tmp_path: Path):
    asked = parse_request(TrainRequest, run="a", subject="conv-gan", steps=1)
    (result,) = drive(LiveTrainingRunner(DIGITS, CPU), asked)
    write_checkpoint(tmp_path / "mine", asked, result.extras["state"], 1, 100)
    names = load_file(tmp_path / "mine" / "model.safetensors")
    assert {name.split(".")[0] for name in names} == {"generator", "discriminator"}
