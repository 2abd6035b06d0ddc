"""The Latents tab before a client of its own: what is asked for, and what is shown of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from diffusers import DDPMScheduler
from safetensors.numpy import save_file

from genlab.engine.events import Event, Result
from genlab.families.pixel_diffusion.request import written
from genlab.requests import UserError
from genlab.ui.tabs.latents import dimensions, noise
from genlab.ui.tabs.latents import tab as latents
from genlab.ui.tabs.latents.drawn_digit import centred, read_digit
from genlab.ui.tabs.latents.schedules import plot, schedules, signal_to_noise
from tests.fake_client import FakeClient, ListedRegistry, answering, fake_context, model
from tests.fake_page import FakePage, pressed, together

ZEROS = (0,) * dimensions.SHOWN
LATENT = 12


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("judge")
    pictures = np.random.default_rng(0).integers(0, 256, (20, 28, 28), dtype=np.uint8)
    labels = np.arange(20, dtype=np.int64) % 10
    save_file({"images": pictures, "labels": labels}, folder / "examples.safetensors")
    judge = model("judge", "classifier", "mnist", facts={"classes": list("abcdefghij")})
    return ListedRegistry(
        model("vae-2d", "vae", "mnist", facts={"latent_dim": 2}),
        model("vae", "vae", "mnist", facts={"latent_dim": LATENT}),
        model("gan", "gan", "mnist", facts={"latent_dim": 64}),
        model("ddpm", "pixel_diffusion", "mnist"),
        replace(judge, path=folder),
    )


def answer(request: Any) -> list[Event]:
    """Codes of zeros for samples; dimension k of a posterior has a mean of k."""
    length = 2 if request.checkpoint == "vae-2d" else LATENT
    mu = np.tile(np.arange(length, dtype=np.float32), (request.count, 1))
    extras: dict[str, Any] = {"z": np.zeros((request.count, LATENT), np.float32)}
    extras |= {"mu": mu, "logvar": np.zeros_like(mu)}
    if request.checkpoint == "ddpm":
        frames = np.zeros((3, request.count, 28, 28), np.uint8)
        extras = {"noise_norm": np.linspace(28, 20, request.count)}
        extras |= {"trajectory_x_t": frames, "trajectory_uncond": frames}
        extras |= {"trajectory_timesteps": np.arange(3), "trajectory_steps": np.arange(3)}
        extras |= {"trajectory_alpha_bar": np.array([0.5, 0.7, 0.9])}
    return [Result(np.zeros((request.count, 28, 28), np.uint8), extras)]


def press(registry: Any, client: FakeClient, button: str, *values: Any) -> dict[str, Any]:
    page = FakePage(latents.build, fake_context(client, registry))
    return together(pressed(page, button, *values))


# --- Walk ---------------------------------------------------------------------------------------


def test_each_model_walks_straight_and_along_the_sphere_between_the_same_seeds(
    registry: Any,
) -> None:
    client = answering(answer)
    last = press(registry, client, "latents-walk-generate", 7, 9, 5, "vae", "gan", "ddpm")
    requests: list[Any] = [ticket.request for ticket in client.tickets]
    assert [r.checkpoint for r in requests] == ["vae", "vae", "gan", "gan", "ddpm", "ddpm"]
    assert [r.interpolation for r in requests] == ["linear", "spherical"] * 3
    assert {(r.seed, r.to_seed, r.count) for r in requests} == {(7, 9, 5)}
    assert (requests[4].guidance, requests[4].eta) == ("none", 0), "the first noise says it all"
    for name in ("vae", "gan", "diffusion"):
        for way in ("straight", "sphere"):
            assert last[f"latents-walk-{name}-{way}"].count("<img") == 5
    told = "z is 28.0 long at the start, 24.0 in the middle."
    assert told in last["latents-walk-diffusion-sphere"]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ((7, None, 5), "to_seed is empty, but must be"),
        ((7, 9, 65), "count is 65, but must be a whole number from 1 to 64."),
    ],
)
def test_a_wrong_value_is_a_sentence(registry: Any, values: Any, sentence: str) -> None:
    client = answering(answer)
    last = press(registry, client, "latents-walk-generate", *values, "vae", "gan", "ddpm")
    assert sentence in last["latents-walk-status"]
    assert client.tickets == []


def test_without_models_the_tab_says_how_to_get_some() -> None:
    page = FakePage(latents.build, fake_context(FakeClient(), ListedRegistry()))
    assert "genlab train vae-mnist-20d" in str(page.blocks.get_config_file())


# --- Between pictures ---------------------------------------------------------------------------


def test_two_real_pictures_are_encoded_and_each_vae_walks_from_code_to_code(registry: Any) -> None:
    client = answering(answer)
    last = press(registry, client, "latents-between-generate", 2, 5, 3)
    requests: list[Any] = [ticket.request for ticket in client.tickets]
    assert [r.checkpoint for r in requests] == ["vae", "vae-2d"] * 2
    known = np.random.default_rng(0).integers(0, 256, (20, 28, 28), dtype=np.uint8)
    assert (requests[0].images == known[[1, 4]]).all()
    assert requests[2].z.shape == (2 * 3, LATENT), "straight, then along the sphere"
    assert "<b>faded</b>" in last["latents-between-pixels"]
    assert last["latents-between-pixels"].count("<img") == 3
    for k in (1, 2):
        assert last[f"latents-between-vae-{k}"].count("<img") == 6
        assert "The two codes lie 0.0 apart." in last[f"latents-between-vae-{k}"]


def test_codes_are_walked_by_their_ends_and_pixels_are_mixed(registry: Any) -> None:
    def codes(request: Any) -> list[Event]:
        (result,) = answer(request)
        assert isinstance(result, Result)
        mu = np.array([[3, 0] + [0] * (LATENT - 2), [0, 4] + [0] * (LATENT - 2)], np.float32)
        if request.checkpoint == "vae" and request.count == 2:
            return [replace(result, extras={**result.extras, "mu": mu})]
        return [result]

    client = answering(codes)
    last = press(registry, client, "latents-between-generate", 2, 5, 3)
    z = client.tickets[2].request.z[:, :2]  # type: ignore[attr-defined]
    assert z[[0, 1, 2]].tolist() == [[3, 0], [1.5, 2], [0, 4]]
    assert z[4] == pytest.approx(np.array([3, 4]) * np.sqrt(0.5), abs=1e-5)
    assert "The two codes lie 5.0 apart." in last["latents-between-vae-1"]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ((21, 1, 5), "The test picture is 21, but must be a number from 1 to 20."),
        ((1, 1.5, 5), "The test picture is 1.5, but must be a number from 1 to 20."),
        ((1, 2, 17), "Count is 17, but must be a whole number from 2 to 16."),
    ],
)
def test_a_wrong_end_or_count_is_a_sentence(registry: Any, values: Any, sentence: str) -> None:
    client = answering(answer)
    last = press(registry, client, "latents-between-generate", *values)
    assert sentence in last["latents-between-status"]
    assert client.tickets == []


# --- Single dimensions --------------------------------------------------------------------------


def test_rows_are_the_dimensions_that_tell_most_and_each_moves_one_alone(registry: Any) -> None:
    client = answering(answer)
    name = "latents-dimensions-generate"
    last = press(registry, client, name, "vae", 3, 0.5, *ZEROS[1:])
    sample, encoded, decoded = (ticket.request for ticket in client.tickets)
    assert (sample.seed, sample.count) == (3, 1)  # type: ignore[attr-defined]
    assert encoded.count == 20  # type: ignore[attr-defined]
    z = decoded.z  # type: ignore[attr-defined]
    assert z.shape == (1 + dimensions.SHOWN * dimensions.TILES, LATENT)
    assert z[0].tolist() == [0] * (LATENT - 1) + [0.5], "row 1 is the last dimension"
    second = z[1 + dimensions.TILES : 1 + 2 * dimensions.TILES]
    assert second[:, LATENT - 2].tolist() == np.linspace(-3, 3, dimensions.TILES).tolist()
    assert (np.delete(second, LATENT - 2, axis=1) == np.delete(z[:1], LATENT - 2, axis=1)).all()
    assert "1: z₁₂<small>60.50 nats" in last["latents-dimensions-rows"]
    assert "1 of them say less than 0.05 nats." in last["latents-dimensions-picture"]


def test_a_vae_is_encoded_once_and_then_only_drawn(registry: Any) -> None:
    client = answering(answer)
    page = FakePage(latents.build, fake_context(client, registry))
    for _ in range(2):
        pressed(page, "latents-dimensions-generate", "vae", 3, *ZEROS)
    kinds = [type(ticket.request).__name__ for ticket in client.tickets]
    assert kinds == [
        "VAERequest", "ReconstructRequest", "DecodeRequest", "VAERequest", "DecodeRequest"
    ]  # fmt: skip


def test_the_kl_of_a_dimension_is_that_of_its_normal_distribution() -> None:
    mu, logvar = np.array([[1.0, 0.0]]), np.array([[0.0, 2.0]])
    kl = dimensions.kl_of({"mu": mu, "logvar": logvar})
    assert kl == pytest.approx([0.5, 0.5 * (np.exp(2) - 3)])


@pytest.mark.parametrize("shift", ["1", 5, float("nan")])
def test_a_slider_beyond_its_end_is_a_sentence(shift: Any) -> None:
    with pytest.raises(UserError, match="^Row 2 is moved by .*, but must be from -4 to 4.$"):
        dimensions.shifted(np.zeros(3), np.arange(3.0), [0, shift, 0])


# --- Draw a digit ---------------------------------------------------------------------------------


def square() -> np.ndarray:
    """A small square of ink near a corner, uint8 (28, 28)."""
    picture = np.zeros((28, 28), np.uint8)
    picture[2:7, 3:8] = 255
    return picture


def test_a_drawn_digit_is_encoded_by_each_vae_and_noised_and_denoised(registry: Any) -> None:
    client = answering(answer)
    values = (written(square()), 1, False, 240)
    last = press(registry, client, "latents-draw-generate", *values)
    vae, flat, diffusion = (ticket.request for ticket in client.tickets)
    assert [r.checkpoint for r in (vae, flat, diffusion)] == ["vae", "vae-2d", "ddpm"]
    assert (vae.images[0] == square()).all()  # type: ignore[attr-defined]
    assert flat.count == 1 + 20, "the test pictures that it is placed among"  # type: ignore[attr-defined]
    assert (diffusion.clean == square()).all()  # type: ignore[attr-defined]
    assert (diffusion.start_timestep, diffusion.count) == (240, 4)  # type: ignore[attr-defined]
    assert last["latents-draw-restored"].count("<img") == 3
    assert last["latents-draw-denoised"].count("<img") == 12
    assert "Nearest test code: class a, 0.00 away." in last["latents-draw-places"]
    assert "--z1:0.000;--z2:1.000" in last["latents-draw-places"]


def test_while_nothing_is_drawn_a_test_picture_is_given(registry: Any) -> None:
    client = answering(answer)
    last = press(registry, client, "latents-draw-generate", "", 1, True, 240)
    assert "Nearest test code: class b, 0.00 away." in last["latents-draw-places"], "not itself"
    client = answering(answer)
    press(registry, client, "latents-draw-generate", "", 3, True, 240)
    known = np.random.default_rng(0).integers(0, 256, (20, 28, 28), dtype=np.uint8)
    assert (client.tickets[0].request.images[0] == known[2]).all()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (("AAAA", 1, True, 240), "What was drawn did not arrive whole"),
        (("é", 1, True, 240), "What was drawn did not arrive whole"),
        (("", 21, True, 240), "The test picture is 21, but must be a number from 1 to 20."),
        (("", 1, True, 1000), "start_timestep is 1000, but must be a whole number from 0 to 999."),
    ],
)
def test_what_cannot_be_given_is_a_sentence(registry: Any, values: Any, sentence: str) -> None:
    client = answering(answer)
    last = press(registry, client, "latents-draw-generate", *values)
    assert sentence in last["latents-draw-status"]
    assert client.tickets == []


def test_a_digit_is_scaled_and_its_mass_moved_to_the_middle_as_in_mnist() -> None:
    moved = centred(square())
    rows, columns = np.nonzero(moved >= 32)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (20, 20)
    assert (rows.mean(), columns.mean()) == pytest.approx((13.5, 13.5), abs=0.6)
    assert (centred(np.zeros((28, 28), np.uint8)) == 0).all()
    thin = np.zeros((28, 28), np.uint8)
    thin[0:28, 27] = 255
    assert np.nonzero(centred(thin))[1].mean() == pytest.approx(14, abs=1)


def test_what_was_drawn_is_read_as_it_was_written() -> None:
    assert (read_digit(written(square())) == square()).all()


# --- Noise ----------------------------------------------------------------------------------------


def test_a_test_picture_is_noised_to_each_t_guessed_once_and_denoised(registry: Any) -> None:
    client = answering(answer)
    last = press(registry, client, "latents-noise-generate", "ddpm", 3, 8)
    requests: list[Any] = [ticket.request for ticket in client.tickets]
    assert [request.start_timestep for request in requests] == list(noise.TIMES)
    known = np.random.default_rng(0).integers(0, 256, (20, 28, 28), dtype=np.uint8)
    assert all((request.clean == known[2]).all() for request in requests)
    assert {(request.seed, request.count) for request in requests} == {(8, 1)}
    assert last["latents-noise-rows"].count("<img") == 3 * len(noise.TIMES)
    assert "t = 0<br>50 %" in last["latents-noise-rows"]
    last = press(registry, answering(answer), "latents-noise-generate", "ddpm", 101, 8)
    sentence = "The test picture is 101, but must be a number from 1 to 20."
    assert sentence in last["latents-noise-status"]


def test_the_schedules_are_those_of_the_papers() -> None:
    linear = DDPMScheduler(beta_start=1e-4, beta_end=0.02, beta_schedule="linear")
    cosine = DDPMScheduler(beta_schedule="squaredcos_cap_v2")
    known = schedules()
    np.testing.assert_allclose(known["linear"], linear.alphas_cumprod, atol=1e-5)
    np.testing.assert_allclose(known["cosine"], cosine.alphas_cumprod, atol=1e-5)
    assert signal_to_noise(np.array([0.5])) == pytest.approx([1])


def test_a_models_own_ratio_is_a_dot_at_its_height() -> None:
    html = plot([500.0], [0.5])
    assert "--at:0.500;bottom:50.0%" in html
    assert html.count("<polyline") == 2
