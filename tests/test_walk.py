"""Pictures on the way from one noise to another: its ends, its middle, each picture alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genlab.engine.runner import Runner
from genlab.families import gan, pixel_diffusion, vae
from genlab.families.gan.network import DCGAN
from genlab.families.gan.request import GANRequest
from genlab.families.pixel_diffusion.request import PixelDiffusionRequest
from genlab.families.vae.network import ConvVAE
from genlab.families.vae.request import VAERequest
from genlab.families.walk import WalkRequest, interpolated
from genlab.families.walk_noise import first_noise, walk_generators
from genlab.formats.model_card import write_card
from genlab.requests import UserError, parse_request
from tests.drive import drive, opened
from tests.tiny_diffusion import save_tiny_pixel_diffusion

KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "vae": (VAERequest, {}),
    "gan": (GANRequest, {}),
    "ddpm": (PixelDiffusionRequest, {"guidance": "none", "num_inference_steps": 2}),
}


@pytest.fixture(scope="module")
def runners(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Runner]:
    root: Path = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(1)
    for name, network in (("vae", ConvVAE(5, (4, 4), 16)), ("gan", DCGAN(6, (4, 4), 8))):
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, 0.0, 0.5)
        network.eval().save_pretrained(root / name)
        write_card(root / name, name, f"A tiny {name}", "mnist", "For tests.")
    save_tiny_pixel_diffusion(root)
    families = {"vae": vae.FAMILY, "gan": gan.FAMILY, "ddpm": pixel_diffusion.FAMILY}
    return {name: opened(family, root / name) for name, family in families.items()}


def close(a: np.ndarray, b: np.ndarray) -> bool:
    return int(np.abs(a.astype(int) - b.astype(int)).max()) <= 1


@pytest.mark.parametrize("name", KINDS)
def test_a_way_begins_and_ends_at_the_pictures_of_its_seeds(
    runners: dict[str, Runner], name: str
) -> None:
    kind, values = KINDS[name]
    way = kind(checkpoint=name, seed=3, to_seed=8, count=5, **values)
    start, end = (kind(checkpoint=name, seed=seed, count=1, **values) for seed in (3, 8))
    walked, first, last, third = (
        result.images for result in drive(runners[name], way, start, end, way.for_image(2))
    )
    assert close(walked[0], first[0])
    assert close(walked[4], last[0])
    assert close(walked[2], third[0]), "each picture can be drawn alone"
    assert not np.array_equal(walked[0], walked[4])


def test_what_is_random_in_each_step_is_the_same_all_along_the_way(
    runners: dict[str, Runner],
) -> None:
    values: dict[str, Any] = {"guidance": "none", "num_inference_steps": 3, "scheduler": "ddpm"}
    way = PixelDiffusionRequest(checkpoint="ddpm", seed=3, to_seed=3, count=3, **values)
    alone = PixelDiffusionRequest(checkpoint="ddpm", seed=3, count=1, **values)
    walked, one = (result.images for result in drive(runners["ddpm"], way, alone))
    assert all(close(picture, one[0]) for picture in walked)


def test_straight_ways_lead_through_shorter_noise_and_round_ones_do_not() -> None:
    norms = {}
    for way in ("linear", "spherical"):
        request = parse_request(
            WalkRequest, checkpoint="c", seed=1, to_seed=2, count=9, interpolation=way
        )
        noise = first_noise(request, walk_generators(request), (1, 28, 28))
        norms[way] = noise.flatten(1).norm(dim=1)
    assert norms["linear"][4] < 0.8 * norms["linear"][0]
    assert torch.all((norms["spherical"] - norms["spherical"][0]).abs() < 2)


def test_the_sphere_between_a_noise_and_itself_is_that_noise() -> None:
    noise = np.random.default_rng(0).standard_normal((1, 7), dtype=np.float32)
    shares = np.array([0.0, 0.5, 1.0])
    for other in (noise, -noise, np.zeros_like(noise)):
        assert np.isfinite(interpolated(noise, other, shares, "spherical")).all()
    assert interpolated(noise, noise, shares, "spherical") == pytest.approx(noise.repeat(3, 0))


def test_the_sphere_between_two_axes_is_a_quarter_of_a_circle() -> None:
    ends = np.eye(2, dtype=np.float32)
    way = interpolated(ends[:1], ends[1:], np.linspace(0, 1, 4), "spherical")
    angles = np.linspace(0, np.pi / 2, 4)
    assert way == pytest.approx(np.stack([np.cos(angles), np.sin(angles)], axis=1), abs=1e-6)


def test_a_part_of_a_way_is_the_same_as_in_the_whole() -> None:
    request = VAERequest(checkpoint="c", seed=1, to_seed=2, count=6)
    whole = first_noise(request, walk_generators(request), (4,))
    part = slice(2, 5)
    some = first_noise(request, walk_generators(request, part), (4,), part)
    assert torch.allclose(whole[part], some)


def test_a_way_is_no_sample_that_a_model_is_measured_by() -> None:
    for name, (kind, _) in KINDS.items():
        assert kind(checkpoint=name).as_trained
        assert not kind(checkpoint=name, to_seed=1).as_trained


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"to_seed": -1}, "to_seed is -1, but must be a whole number from 0 to 4294967295."),
        ({"interpolation": "round"}, "interpolation is 'round', but must be one of spherical, lin"),
        ({"shares": (0.5, float("nan"))}, "but must be at most 64 shares of the way"),
    ],
)
def test_a_wrong_value_is_a_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        parse_request(WalkRequest, checkpoint="c", **values)
