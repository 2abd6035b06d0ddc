"""Toybox trained on from finished weights, for two steps on made-up glyphs."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor
from typer.testing import CliRunner

from genlab.cli import app
from genlab.formats.model_card import read_card
from genlab.models.checkpoints import checkpoint_metadata
from genlab.requests import UserError
from genlab.toybox.evaluate.measure import clip_score
from genlab.toybox.train import stages as toybox
from genlab.toybox.train import turbo
from genlab.toybox.train.autoencoder import build_autoencoder, reconstruction_loss
from genlab.toybox.train.decoder import CHANNELS, coarse_loss, widened
from genlab.toybox.train.patch_discriminator import (
    PatchDiscriminator,
    in_proportion,
    mean_where,
    near_objects,
)
from genlab.toybox.train.unet import spread_timesteps
from genlab.training.trainer import warmup_hold_fall

TOYBOX = "stable-diffusion-toybox"
SHIPPED = Path(__file__).parents[1] / "checkpoints" / TOYBOX
SHORT_DECODER = {
    "STEPS": 3,
    "MORE_STEPS": 3,
    "BATCH": 4,
    "DISCRIMINATOR_ALONE": 1,
    "DRAWN": 4,
    "INFERENCE_STEPS": 2,
}


def glyphs(*_: object) -> tuple[Tensor, Tensor]:
    """A filled square for each class."""
    images = torch.zeros(10, 28, 28, dtype=torch.uint8)
    images[:, 6:22, 6:22] = 255
    return images, torch.arange(10)


def assert_same(old: Any, new: Any, *parts: str) -> None:
    """These parts of two pipelines have the same weights."""
    for part in parts:
        a, b = getattr(old, part).state_dict(), getattr(new, part).state_dict()
        assert all(torch.equal(a[name], b[name]) for name in a)


def largest_change(old: torch.nn.Module, new: torch.nn.Module) -> float:
    """The largest difference of two networks' weights."""
    pairs = zip(old.parameters(), new.parameters(), strict=True)
    return max((a - b).abs().max().item() for a, b in pairs)


def test_a_trained_toybox_goes_on_and_its_card_tells_both_parts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("genlab.toybox.train.common.load_images", glyphs)
    monkeypatch.setattr(toybox.unet, "PICTURES", 8)
    monkeypatch.setattr(toybox.unet, "BATCH", 4)
    out, runs = tmp_path / "out", tmp_path / "runs"
    shutil.copytree(SHIPPED, out)
    for steps in (1, 2):  # the second call resumes; its card must not count the first part twice
        toybox.train(None, "cpu", out, "unet", runs, SHIPPED, steps)
    before = read_card(SHIPPED)[0]["genlab"]["parts"]
    parts = read_card(out)[0]["genlab"]["parts"]
    assert parts[:-1] == before
    assert (parts[-1]["stage"], parts[-1]["steps"]) == ("unet", 2)
    old, new = (
        StableDiffusionPipeline.from_pretrained(p, safety_checker=None) for p in (SHIPPED, out)
    )
    assert_same(old, new, "vae", "text_encoder")
    assert 0 < largest_change(old.unet, new.unet) < 0.01


def test_every_stage_from_random_weights_makes_a_stock_pipeline_and_its_clip(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("genlab.toybox.train.common.load_images", glyphs)
    for part, constants in (
        (toybox.autoencoder, {"STEPS": 1, "BATCH": 2}),
        (toybox.decoder, SHORT_DECODER),
        (toybox.clip, {"STEPS": 1, "BATCH": 4, "READING_STEPS": 2, "READING_BATCH": 4}),
        (toybox.unet, {"STEPS": 1, "BATCH": 2, "PICTURES": 8}),
    ):
        for name, value in constants.items():
            monkeypatch.setattr(part, name, value)
    out = tmp_path / TOYBOX
    toybox.train(None, "cpu", out, "decoder", tmp_path / "runs")
    parts = read_card(out)[0]["genlab"]["parts"]
    stages = [(part["stage"], part["steps"]) for part in parts]
    once = [("autoencoder", 1), ("reading", 2), ("clip", 1), ("unet", 1), ("decoder", 3)]
    assert stages == once
    pipeline = StableDiffusionPipeline.from_pretrained(out, safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    picture = pipeline("a red 7", num_inference_steps=2, output_type="np").images[0]
    assert picture.shape == (64, 64, 3)
    assert -1 <= clip_score(out, ["a red 7"], (picture * 255).astype("uint8")[None]) <= 1
    assert [p.name for p in (out / "clip").iterdir() if p.suffix == ".md"] == []


def test_a_wider_autoencoder_computes_the_same() -> None:
    torch.manual_seed(0)
    network = build_autoencoder().eval()
    wide = widened(network, CHANNELS)
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        latents = network.encode(images).latent_dist.mean
        torch.testing.assert_close(wide.encode(images).latent_dist.mean, latents)
        torch.testing.assert_close(wide.decode(latents).sample, network.decode(latents).sample)
    assert wide.config.block_out_channels == CHANNELS
    assert widened(wide, CHANNELS).num_parameters() == wide.num_parameters()
    first, copy = wide.decoder.conv_out.weight.data.chunk(2, dim=1)
    assert not torch.allclose(first, copy), "so that the copies learn apart"


def test_a_loss_in_proportion_pulls_as_hard_as_the_reference() -> None:
    weight = torch.tensor([1.0, 2.0], requires_grad=True)
    reference, loss = weight.sum(), 1000 * weight.square().sum()
    scaled = in_proportion(loss, reference, weight)
    (gradient,) = torch.autograd.grad(scaled, weight)
    assert gradient.norm().item() == pytest.approx(2**0.5, rel=1e-3)
    assert gradient[1] == pytest.approx(2 * gradient[0].item())


def test_the_discriminator_says_something_of_each_patch() -> None:
    torch.manual_seed(0)
    discriminator = PatchDiscriminator()
    images = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        before = discriminator(images)
        images[..., 48:, 48:] = 1.0
        change = (discriminator(images) - before).abs()[0, 0]
    assert change.shape == (15, 15)
    corner, rest = change[12:, 12:].mean(), change[:8, :8].mean()
    assert corner > 5 * rest, "far away it is felt through the normalisation alone"


def test_the_discriminator_is_heeded_only_where_there_is_an_object() -> None:
    images = torch.full((2, 3, 64, 64), -0.5)
    images[0, :, 24:32, 24:32] = 0.5
    images += 0.1 * (torch.rand(images.shape, generator=torch.Generator().manual_seed(0)) - 0.5)
    images[:, :, 0, 0] = 1.0  # a decoder's corner is not always the ground's colour
    where = near_objects(images)
    assert where.shape == PatchDiscriminator()(images).shape
    assert where[0, 0, 0, 0] == 1
    assert where[1, 0, 1:, 1:].sum() == 0
    assert 4 <= where[0, 0, 1:, 1:].sum() <= 16
    values = torch.arange(4.0)
    assert mean_where(values, torch.tensor([0.0, 1.0, 0.0, 1.0])) == 2
    assert mean_where(values, torch.zeros(4)) == 0


def test_mean_colours_do_not_count_how_sharp_an_edge_is() -> None:
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    means = torch.nn.functional.avg_pool2d(images, 4).repeat_interleave(4, 2)
    assert coarse_loss(images, means.repeat_interleave(4, 3)) < 1e-6
    assert coarse_loss(images, images + 0.5) == pytest.approx(0.5)


def test_the_decoder_goes_on_and_everything_else_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("genlab.toybox.train.common.load_images", glyphs)
    for name, number in SHORT_DECODER.items():
        monkeypatch.setattr(toybox.decoder, name, number)
    out = tmp_path / "out"
    shutil.copytree(SHIPPED, out)
    toybox.train(None, "cpu", out, "decoder", tmp_path / "runs", start_from=SHIPPED)
    old, new = (
        StableDiffusionPipeline.from_pretrained(p, safety_checker=None) for p in (SHIPPED, out)
    )
    assert_same(old, new, "unet", "text_encoder")
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        a, b = (pipeline.vae.encode(images).latent_dist.mean for pipeline in (old, new))
        torch.testing.assert_close(a, b)
        decoded = [pipeline.vae.decode(a).sample for pipeline in (old, new)]
    assert 1e-6 < (decoded[0] - decoded[1]).abs().max() < 0.1
    parts = read_card(out)[0]["genlab"]["parts"]
    assert (parts[-1]["stage"], parts[-1]["steps"]) == ("decoder", 3)


def test_a_stage_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'vae'; there are autoencoder, clip, unet, decoder"):
        toybox.train(None, out=tmp_path, stage="vae")
    with pytest.raises(UserError, match="no stage 'clip' that goes on .*; there are unet, decoder"):
        toybox.train(None, out=tmp_path, stage="clip", start_from=SHIPPED)
    answer = CliRunner().invoke(app, ["train", "vae-mnist-2d", "--stage", "decoder"])
    assert (answer.exit_code, "Only stable" in answer.stderr) == (2, True)


def test_only_a_trained_toybox_can_be_gone_on_from(tmp_path: Path) -> None:
    older = tmp_path / "older"
    older.mkdir()
    shutil.copy(SHIPPED / "model_index.json", older)  # from before a Toybox kept its CLIP
    for name, folder, sentence in (
        ("vae-mnist-2d", tmp_path, "Only stable"),
        (TOYBOX, tmp_path, "no model_index.json"),
        (TOYBOX, older, "no clip/config.json"),
    ):
        answer = CliRunner().invoke(app, ["train", name, "--start-from", str(folder)])
        assert answer.exit_code == 2
        assert sentence in answer.stderr


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


def test_timesteps_grow_likelier_with_t_but_for_those_at_which_edges_are_settled() -> None:
    many = spread_timesteps(10_000, 1000)
    assert many.max() < 1000
    below = [(many < t).float().mean().item() for t in (125, 250, 500)]
    rising = [0.7 * (t / 1000) ** 2 for t in (125, 250, 500)]
    assert below == pytest.approx([0.15 + rising[0], 0.3 + rising[1], 0.3 + rising[2]], abs=0.002)


def test_one_timestep_lies_in_each_part_that_is_as_likely() -> None:
    timesteps = spread_timesteps(10, 1000).sort().values
    assert (timesteps < 250).sum() >= 3
    late = timesteps[-5:]  # of the seven that grow likelier with t, whichever the first two are
    edges = [1000 * (part / 7) ** 0.5 for part in range(2, 8)]
    assert all(
        int(low) <= t <= high for low, t, high in zip(edges, late.tolist(), edges[1:], strict=False)
    )


def test_filling_a_gap_costs_as_much_as_losing_a_leg() -> None:
    legs = torch.full((1, 3, 64, 64), -1.0)
    legs[..., 20:44, 26:30] = legs[..., 20:44, 34:38] = 1.0
    filled, lost = legs.clone(), legs.clone()
    filled[..., 20:44, 30:34] = 1.0
    lost[..., 20:44, 34:38] = -1.0
    costs = [reconstruction_loss(restored, legs).item() for restored in (filled, lost)]
    assert costs[0] == pytest.approx(costs[1], rel=0.15)


def test_the_consistency_function_is_the_picture_itself_at_the_clean_end() -> None:
    """f(x, 0) = x, and elsewhere the x_0 of v, eqs. 5 to 10 of arXiv:2310.04378."""
    function = turbo.ConsistencyFunction(turbo.build_turbo_scheduler(), "cpu")
    x_0, eps = torch.randn(2, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([0, 499, 999])
    signal, noise = function.rates(t)
    x_t, v = signal * x_0 + noise * eps, signal * eps - noise * x_0
    clean, found = function.clean_and_noise(x_t, t, v)
    torch.testing.assert_close(clean, x_0)
    torch.testing.assert_close(found, eps)

    class Blind(torch.nn.Module):
        def forward(self, x: Tensor, *_: Tensor, **__: Tensor) -> SimpleNamespace:
            return SimpleNamespace(sample=torch.zeros_like(x))

    reached = function(Blind(), x_t, t, torch.zeros(3, 1, 1))
    torch.testing.assert_close(reached[0], x_t[0])
    torch.testing.assert_close(reached[2], signal[2] * x_t[2], atol=1e-4, rtol=0)


def test_a_teachers_step_leads_along_its_own_guided_path() -> None:
    """With v of a known picture, the step gives that picture noised less: DDIM, eta 0."""
    scheduler = turbo.build_turbo_scheduler()
    function = turbo.ConsistencyFunction(scheduler, "cpu")
    x_0, eps, off = torch.randn(3, 2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    t, earlier = torch.tensor([499, 999]), torch.tensor([479, 979])
    signal, noise = function.rates(t)
    x_t, guided = signal * x_0 + noise * eps, signal * eps - noise * x_0
    # uncond + s (cond - uncond) = guided, for any uncond
    cond = off + (guided - off) / turbo.GUIDANCE_SCALE
    answer = SimpleNamespace(sample=torch.cat([off, cond]))
    nearer = turbo.teacher_step(
        lambda *_, **__: answer,
        function,
        x_t,
        t,
        earlier,
        torch.zeros(2, 1, 1),
        torch.zeros(2, 1, 1),
    )
    rates = function.rates(earlier)
    torch.testing.assert_close(nearer, rates[0] * x_0 + rates[1] * eps)


def test_toybox_is_distilled_into_a_stock_pipeline_that_needs_no_guidance(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("genlab.toybox.train.common.load_images", glyphs)
    monkeypatch.setattr(toybox.unet, "PICTURES", 8)
    monkeypatch.setattr(toybox.turbo, "BATCH", 4)
    monkeypatch.setattr(toybox.turbo, "STEPS", 2)
    out = tmp_path / "stable-diffusion-toybox-turbo"
    toybox.train_turbo(None, "cpu", out, runs=tmp_path / "runs")
    entry = checkpoint_metadata(out)
    assert entry.distilled == "It was distilled at guidance_scale 3, so guidance_scale stays off."
    assert entry.defaults == {"num_inference_steps": 4, "guidance_scale": 1, "scheduler": "lcm"}
    assert read_card(out)[0]["genlab"]["parts"][0]["steps"] == 2
    old, new = (
        StableDiffusionPipeline.from_pretrained(p, safety_checker=None, torch_dtype=torch.float32)
        for p in (SHIPPED, out)
    )
    assert type(new.scheduler).__name__ == "LCMScheduler"
    assert_same(old, new, "vae", "text_encoder")
    assert 0 < largest_change(old.unet, new.unet) < 0.01  # fp16, and two small steps
    assert all(file.stat().st_size < 10e6 for file in out.rglob("*") if file.is_file())
    with pytest.raises(UserError, match="There is no stage 'unet'; there is distillation"):
        toybox.train_turbo(None, "cpu", out, "unet")
