"""Toybox trained on from finished weights, for two steps on made-up glyphs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor
from typer.testing import CliRunner

from genlab.cli import app
from genlab.training import toybox
from genlab.training.card import read_card
from genlab.training.run import warmup_hold_fall
from genlab.training.toybox.autoencoder import reconstruction_loss
from genlab.training.toybox.evaluation import clip_score
from genlab.training.toybox.unet import spread_timesteps

SHIPPED = Path(__file__).parents[1] / "checkpoints" / "stable-diffusion-toybox"


def glyphs(*_: object) -> tuple[Tensor, Tensor]:
    """A filled square for each class."""
    images = torch.zeros(10, 28, 28, dtype=torch.uint8)
    images[:, 6:22, 6:22] = 255
    return images, torch.arange(10)


def test_a_trained_toybox_goes_on_and_its_card_tells_both_parts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("genlab.training.toybox.common.load_images", glyphs)
    monkeypatch.setattr(toybox.unet, "PICTURES", 8)
    monkeypatch.setattr(toybox.unet, "BATCH", 4)
    out, runs = tmp_path / "out", tmp_path / "runs"
    shutil.copytree(SHIPPED, out)
    for steps in (1, 2):  # the second call resumes; its card must not count the first part twice
        toybox.train(None, "cpu", out, "unet", runs, steps, start_from=SHIPPED)
    before = read_card(SHIPPED)[0]["genlab"]["parts"]
    parts = read_card(out)[0]["genlab"]["parts"]
    assert parts[:-1] == before
    assert (parts[-1]["stage"], parts[-1]["steps"]) == ("unet", 2)
    old, new = (
        StableDiffusionPipeline.from_pretrained(p, safety_checker=None) for p in (SHIPPED, out)
    )
    for kept in ("vae", "text_encoder"):
        a, b = getattr(old, kept).state_dict(), getattr(new, kept).state_dict()
        assert all(torch.equal(a[name], b[name]) for name in a)
    change = [
        (a - b).abs().max().item()
        for a, b in zip(old.unet.parameters(), new.unet.parameters(), strict=True)
    ]
    assert 0 < max(change) < 0.01


def test_every_stage_from_random_weights_makes_a_stock_pipeline_and_its_clip(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("genlab.training.toybox.common.load_images", glyphs)
    for part, constants in (
        (toybox.autoencoder, {"STEPS": 1, "BATCH": 2}),
        (toybox.clip, {"STEPS": 1, "BATCH": 4, "READING_STEPS": 2, "READING_BATCH": 4}),
        (toybox.unet, {"STEPS": 1, "BATCH": 2, "PICTURES": 8}),
    ):
        for name, value in constants.items():
            monkeypatch.setattr(part, name, value)
    out = tmp_path / "stable-diffusion-toybox"
    toybox.train(None, "cpu", out, "unet", tmp_path / "runs")
    parts = read_card(out)[0]["genlab"]["parts"]
    stages = [(part["stage"], part["steps"]) for part in parts]
    assert stages == [("autoencoder", 1), ("reading", 2), ("clip", 1), ("unet", 1)]
    pipeline = StableDiffusionPipeline.from_pretrained(out, safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    picture = pipeline("a red 7", num_inference_steps=2, output_type="np").images[0]
    assert picture.shape == (64, 64, 3)
    assert -1 <= clip_score(out, ["a red 7"], (picture * 255).astype("uint8")[None]) <= 1
    assert [p.name for p in (out / "clip").iterdir() if p.suffix == ".md"] == []


def test_only_a_trained_toybox_can_be_gone_on_from(tmp_path: Path) -> None:
    name, older = "stable-diffusion-toybox", tmp_path / "older"
    older.mkdir()
    shutil.copy(SHIPPED / "model_index.json", older)  # from before a Toybox kept its CLIP
    for recipe, folder, said in (
        ("vae-mnist-2d", tmp_path, "Only stable"),
        (name, tmp_path, "no model_index.json"),
        (name, older, "no clip/config.json"),
    ):
        answer = CliRunner().invoke(app, ["train", recipe, "--start-from", str(folder)])
        assert answer.exit_code == 2
        assert said in answer.stderr


def test_a_rate_climbs_stays_and_falls() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = warmup_hold_fall(optimizer, 100, warmup=10, fall=0.3)
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] == pytest.approx(0.1)
    assert rates[10:70] == [1.0] * 60
    assert 0.02 < rates[-1] < 0.06


def test_timesteps_grow_likelier_with_t_and_one_lies_in_each_likely_part() -> None:
    timesteps = spread_timesteps(10, 1000).sort().values
    edges = [1000 * (part / 10) ** 0.5 for part in range(11)]
    assert all(
        int(low) <= t <= high
        for low, t, high in zip(edges, timesteps.tolist(), edges[1:], strict=False)
    )
    many = spread_timesteps(10_000, 1000)
    assert (many < 500).float().mean() == pytest.approx(0.25, abs=0.001)
    assert many.max() < 1000


def test_filling_a_gap_costs_as_much_as_losing_a_leg() -> None:
    legs = torch.full((1, 3, 64, 64), -1.0)
    legs[..., 20:44, 26:30] = legs[..., 20:44, 34:38] = 1.0
    filled, lost = legs.clone(), legs.clone()
    filled[..., 20:44, 30:34] = 1.0
    lost[..., 20:44, 34:38] = -1.0
    costs = [reconstruction_loss(restored, legs).item() for restored in (filled, lost)]
    assert costs[0] == pytest.approx(costs[1], rel=0.15)
