"""Previews by a linear map of the latents: how near they come, and where the map comes from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

from genlab.families.stable_diffusion.latent_preview import (
    FILE,
    PUBLISHED,
    LatentPreview,
    fit,
    preview_of,
)
from genlab.formats.metadata import BrokenCheckpoint
from genlab.toybox.latent_preview import quality
from genlab.toybox.world import World

TOYBOX = Path(__file__).parents[1] / "checkpoints" / "stable-diffusion-toybox"


def random_map(channels: int = 4, side: int = 3, scale: int = 2) -> LatentPreview:
    generator = torch.Generator().manual_seed(0)
    rows = 3 * scale**2
    shapes = ((rows, channels, side, side), (rows, channels), (rows,))
    return LatentPreview(*(0.1 * torch.randn(shape, generator=generator) for shape in shapes))


def soft_latents(count: int, size: int = 16) -> torch.Tensor:
    noise = torch.randn((count, 4, 5, 5), generator=torch.Generator().manual_seed(1))
    return F.interpolate(noise, size=size, mode="bilinear")


def test_a_linear_decoder_is_found_exactly():
    linear = random_map()
    latents = soft_latents(24, size=32)
    found = fit(latents, linear(latents), neighbourhood=3, scale=2, means=True)
    assert (found(latents) - linear(latents)).abs().max() < 0.02


def test_a_preview_is_64_pixels_wide_at_least_and_keeps_flat_colours():
    weight = torch.zeros(3, 4, 1, 1)
    weight[0, 0] = 1
    preview = LatentPreview(weight, torch.zeros(3, 4), torch.tensor([0.0, 0.5, -0.5]))
    for size, side in ((8, 64), (16, 64), (24, 72), (64, 64), (128, 128)):
        pictures = preview(torch.full((2, 4, size, size), 0.25, dtype=torch.float16))
        assert pictures.shape == (2, 3, side, side)
        assert pictures[0, :, 5, 7].tolist() == pytest.approx([0.25, 0.5, -0.5], abs=1e-3)


def test_a_map_survives_the_way_to_a_file_and_back(tmp_path: Path):
    linear, latents = random_map(), soft_latents(2)
    linear.save(tmp_path / FILE, r2=0.9)
    assert json.loads((tmp_path / FILE).read_text())["r2"] == 0.9
    again = LatentPreview.load(tmp_path / FILE, 4)
    assert (again(latents) - linear(latents)).abs().max() < 1e-2


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "not valid JSON"),
        ("{}", "describes no map"),
        ('{"weight": [[1]], "mean_weight": [], "bias": "x"}', "describes no map"),
        ('{"weight": 1, "mean_weight": 1, "bias": 1}', "describes no map"),
        ('{"weight": [[[[1]]]], "mean_weight": [[1]], "bias": [1]}', "does not fit latents of 4"),
    ],
)
def test_a_damaged_map_is_one_sentence(tmp_path: Path, content: str, why: str):
    (tmp_path / FILE).write_text(content)
    with pytest.raises(BrokenCheckpoint, match=why):
        LatentPreview.load(tmp_path / FILE, 4)


def test_stable_diffusions_own_vaes_have_the_published_maps(tmp_path: Path):
    class Config(dict):
        __getattr__ = dict.__getitem__

    class Vae(torch.nn.Linear):
        config = Config(latent_channels=4, block_out_channels=[128, 256, 512, 512])

    for factor, linear in PUBLISHED.items():
        vae = Vae(1, 1)
        vae.config["scaling_factor"] = factor
        found = preview_of(tmp_path, vae, lambda latents: latents)
        assert torch.equal(found.weight, linear.weight)
        white = {0.18215: [2.0, 0, 0, -3.0], 0.13025: [3.0, 0, 0, 0]}[factor]
        latents = torch.tensor(white).view(1, 4, 1, 1).expand(1, 4, 64, 64)
        assert found(latents).min() > 0.9, "what decodes to white is shown white"


@pytest.fixture(scope="module")
def toybox_vae() -> AutoencoderKL:
    return AutoencoderKL.from_pretrained(TOYBOX / "vae").eval()


@pytest.fixture(scope="module")
def decoded(toybox_vae: AutoencoderKL) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents of coloured bars on Toybox's backgrounds, and what its decoder makes of them."""
    world = World.load(TOYBOX)
    pictures = []
    for background in world.backgrounds.values():
        for colour in list(world.colours.values())[::3]:
            ground = torch.tensor(background).view(3, 1, 1).expand(3, 64, 64).clone().float()
            ground[:, 16:48, 24:40] = torch.tensor(colour).view(3, 1, 1).float()
            pictures.append(ground / 127.5 - 1)
    with torch.no_grad():
        latents = toybox_vae.encode(torch.stack(pictures)).latent_dist.mean
        return latents, toybox_vae.decode(latents).sample.clamp(-1, 1)


def test_toyboxs_map_explains_most_of_its_decoded_pictures(decoded):
    measured = json.loads((TOYBOX / FILE).read_text())
    assert measured["r2"] > 0.9, "on pictures that it draws"
    assert quality(LatentPreview.load(TOYBOX / FILE, 4), *decoded)["r2"] > 0.85


def test_a_vae_that_nobody_knows_gets_a_map_of_its_own(tmp_path: Path, toybox_vae, decoded):
    preview = preview_of(tmp_path, toybox_vae, lambda latents: latents)
    assert quality(preview, *decoded)["r2"] > 0.5
