"""The VAE and GAN tabs before a client of its own: who draws, what is shown, what goes wrong."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from genlab.engine.events import Event, Failed, Result
from genlab.engine.tensors import to_tensor
from genlab.families.vae.network import ConvVAE
from genlab.formats.hub_layout import load_hub_module
from genlab.models.examples import examples
from genlab.models.own import OwnModels
from genlab.models.registry import Registry
from genlab.requests import UserError
from genlab.ui.tabs import gan
from genlab.ui.tabs.vae import codes
from genlab.ui.tabs.vae import tab as vae
from genlab.ui.tabs.vae.codes_plot import farthest, grid_codes, plane
from genlab.ui.tabs.vae.kinds import reconstructs
from tests.fake_client import FakeClient, ListedRegistry, answering, fake_context, model
from tests.fake_page import FakePage, pressed, together

PROJECT = Path(__file__).resolve().parent.parent
LONG = model("gan", "gan", "mnist", facts={"snapshots": [0, 25, 1500]})
SHORT = model("gan-collapsed", "gan", "mnist", facts={"snapshots": []})


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Two kinds of VAE with and without KL, two GANs, and a classifier with test pictures."""
    folder = tmp_path_factory.mktemp("judge")
    pictures = np.random.default_rng(0).integers(0, 256, (40, 28, 28), dtype=np.uint8)
    labels = np.arange(40, dtype=np.int64) % 10
    pictures[:, 0, 0] = labels  # so that a picture tells its class
    save_file({"images": pictures, "labels": labels}, folder / "examples.safetensors")
    judge = model("judge", "classifier", "mnist", facts={"classes": list("abcdefghij")})
    return ListedRegistry(
        model("vae-2d", "vae", "mnist", facts={"latent_dim": 2}),
        model("vae-2d-no-kl", "vae", "mnist", facts={"latent_dim": 2}),
        model("vae-fashion", "vae", "fashion", facts={"latent_dim": 20}),
        model("vae-mnist", "vae", "mnist", facts={"latent_dim": 20}),
        SHORT,
        LONG,
        replace(judge, path=folder),
    )


def drawn(request: Any) -> Result:
    """The result of a request, as a VAE or a GAN would give it."""
    images = getattr(request, "images", None)
    images = np.zeros((request.count, 28, 28), np.uint8) if images is None else images
    extras = {"mu": np.full((len(images), 2), 5.0, np.float32)}
    scores = [0.25] * len(images)
    figures = (
        {"sharpness_percent": 80.0, "discriminator": scores}
        if getattr(request, "judge", False)
        else {}
    )
    return Result(images, extras, figures=figures)


def answer(request: Any) -> list[Event]:
    return [drawn(request)]


def press(
    build: Callable[..., None], registry: Any, client: FakeClient, button: str, *values: Any
) -> list[dict[str, Any]]:
    """What the tab's elements are given after a press."""
    return pressed(FakePage(build, fake_context(client, registry)), button, *values)


def config_of(build: Callable[..., None], registry: Any) -> str:
    return str(FakePage(build, fake_context(FakeClient(), registry)).blocks.get_config_file())


# --- VAE: sample the prior --------------------------------------------------------------------


def test_the_first_vae_has_more_than_two_numbers_a_code_and_draws_digits(registry: Any) -> None:
    names = [entry.name for entry in vae.preferred(registry.of_family("vae"))]
    assert names == ["vae-mnist", "vae-fashion", "vae-2d", "vae-2d-no-kl"]
    page = FakePage(vae.build, fake_context(FakeClient(), registry))
    assert page.element("vae-checkpoint").value == "vae-mnist"
    assert page.element("vae-codes-checkpoint").value == "vae-2d"
    assert page.element("vae-codes-beside").value == "vae-2d-no-kl"


def test_two_vaes_draw_from_the_same_z_and_are_measured(registry: Any) -> None:
    client = answering(answer)
    (last,) = press(
        vae.build, registry, client, "vae-generate", "vae-2d", "vae-2d-no-kl", 0.5, 7, 4, ""
    )
    first, second = (ticket.request for ticket in client.tickets)
    assert (first.checkpoint, second.checkpoint) == ("vae-2d", "vae-2d-no-kl")
    assert (first.seed, first.count, first.temperature, first.judge) == (7, 4, 0.5, True)
    assert second == first.model_copy(update={"checkpoint": "vae-2d-no-kl"})
    assert last["vae-gallery"].count("<img") == last["vae-beside-gallery"].count("<img") == 4
    assert "Sharpness" in last["vae-strip"]
    assert "8 pictures in" in last["vae-status"]


def test_with_nothing_beside_it_one_vae_draws(registry: Any) -> None:
    client = answering(answer)
    (last,) = press(vae.build, registry, client, "vae-generate", "vae-2d", "", 1, 7, 4, "")
    assert [ticket.request.checkpoint for ticket in client.tickets] == ["vae-2d"]
    assert "vae-beside-gallery" not in last


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (("vae-2d", "", 9, 7, 4), "temperature is 9, but must be a number from 0 to 3."),
        (("vae-2d", "", 1, None, 4), "seed is empty, but must be a whole number"),
        (("vae-2d", "", 1, 7, 65), "count is 65, but must be a whole number from 1 to 64."),
    ],
)
def test_a_wrong_value_is_a_sentence_and_leaves_the_pictures(
    registry: Any, values: tuple[Any, ...], sentence: str
) -> None:
    client = FakeClient()
    (only,) = press(vae.build, registry, client, "vae-generate", *values, "")
    assert sentence in only["vae-status"]
    assert "vae-gallery" not in only
    assert client.tickets == []


# --- VAE: reconstruct -------------------------------------------------------------------------


def test_one_test_picture_of_each_class_stands_above_its_reconstructions(registry: Any) -> None:
    client = answering(answer)
    values = ("vae-2d", "vae-2d-no-kl")
    (last,) = press(vae.build, registry, client, "vae-reconstruct-generate", *values)
    first, second = (ticket.request for ticket in client.tickets)
    assert first.images[:, 0, 0].tolist() == list(range(10))
    assert (first.images == second.images).all()
    assert not first.judge, "nobody asked how sharp ten pictures are"
    rows = [last[f"vae-reconstruct-{name}"] for name in ("originals", "first", "second")]
    assert [row.count("<img") for row in rows] == [1, 1, 1]
    drawn = [re.findall(r'src="([^"]+)"', row) for row in rows]
    assert drawn[0] == drawn[1] == drawn[2], "this VAE gives back what it was given"
    assert "20 pictures in" in last["vae-reconstruct-status"]


def test_a_reconstruction_that_fails_ends_the_run_with_its_sentence(registry: Any) -> None:
    def events(request: Any) -> list[Event]:
        failing = request.checkpoint == "vae-2d-no-kl"
        return [Failed("The numbers ran away.")] if failing else answer(request)

    client = answering(events)
    values = ("vae-2d", "vae-2d-no-kl")
    last = press(vae.build, registry, client, "vae-reconstruct-generate", *values)[-1]
    assert "The numbers ran away." in last["vae-reconstruct-status"]
    assert not last["vae-reconstruct-stop"]["interactive"]
    assert "vae-reconstruct-first" not in last


def test_without_test_pictures_of_a_data_set_it_says_so(registry: Any) -> None:
    client = FakeClient()
    (only,) = press(vae.build, registry, client, "vae-reconstruct-generate", "vae-fashion", "")
    assert "There are no test pictures of fashion here." in only["vae-reconstruct-status"]


# --- VAE: codes -------------------------------------------------------------------------------


VALUES = ("vae-2d", "vae-2d-no-kl", "near", 0.5, -1)


def test_codes_lie_over_what_each_vae_decodes_there_and_one_place_is_drawn(registry: Any) -> None:
    client = answering(answer)
    last = together(press(vae.build, registry, client, "vae-codes-generate", *VALUES))
    requests: list[Any] = [ticket.request for ticket in client.tickets]
    assert [len(request.images) for request in requests[:2]] == [40, 40]
    assert [request.count for request in requests[2:]] == [256, 256, 1, 1]
    assert requests[4].z.tolist() == [[0.5, -1.0]]
    assert requests[2].z[0].tolist() == [-3.75, 3.75], "rows of tiles begin above, on the left"
    for name in ("first", "second"):
        assert re.findall('data-class="(.)"', last[f"vae-codes-{name}"]) == list("abcdefghij")
        assert "40 of 40 codes lie outside" in last[f"vae-codes-{name}"], "all are at (5, 5)"
    assert last["vae-codes-digits"].count("<img") == 2


def test_the_axes_of_both_planes_reach_the_farthest_code_of_either(registry: Any) -> None:
    client = answering(answer)
    values = (*VALUES[:2], "far", *VALUES[3:])
    last = together(press(vae.build, registry, client, "vae-codes-generate", *values))
    for name in ("first", "second"):
        assert 'data-reach="6"' in last[f"vae-codes-{name}"]
        assert "0 of 40 codes lie outside" in last[f"vae-codes-{name}"]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ((26, 0), "z1 is 26, but must be from -25 to 25."),
        ((0, float("nan")), "z2 is nan, but must be from -25 to 25."),
        ((0, "1"), "z2 is &#x27;1&#x27;, but must be from -25 to 25."),
    ],
)
def test_a_place_beyond_the_plane_is_a_sentence(
    registry: Any, values: tuple[Any, Any], sentence: str
) -> None:
    client = answering(answer)
    values = (*VALUES[:3], *values)
    last = press(vae.build, registry, client, "vae-codes-generate", *values)[-1]
    assert sentence in last["vae-codes-status"]
    assert "vae-codes-digits" not in last


def test_a_place_that_is_touched_is_drawn_by_both(registry: Any) -> None:
    client = answering(answer)
    blocks = FakePage(vae.build, fake_context(client, registry)).blocks
    touch: Any = next(f.fn for f in blocks.fns.values() if f.name == "touch")

    async def touched(*values: Any) -> list[Any]:
        return [u async for u in touch(SimpleNamespace(session_hash="me"), *values)]

    status, digits = asyncio.run(touched("vae-2d", "vae-2d-no-kl", 1.5, -2))[-1]
    assert [ticket.request.z.tolist() for ticket in client.tickets] == [[[1.5, -2.0]]] * 2  # type: ignore[attr-defined]
    assert digits.count("z = (1.5, −2)") == 2
    assert "2 pictures in" in status
    assert asyncio.run(touched("vae-2d", "", None, -2)) == [(gr.skip(), gr.skip())]
    assert len(client.tickets) == 2, "a box that is being typed into draws nothing"


def test_without_a_vae_of_two_numbers_the_codes_say_how_to_get_one() -> None:
    flat = ListedRegistry(model("vae", "vae", "mnist", facts={"latent_dim": 20}))
    assert "genlab train vae-mnist-2d" in config_of(vae.build, flat)


def test_the_words_over_the_codes_are_true_of_our_own_vaes() -> None:
    registry = Registry(PROJECT / "checkpoints", downloads=False)
    pictures = examples(registry, "mnist")
    reach = {}
    for name in ("vae-mnist-2d", "vae-mnist-2d-no-kl"):
        network = load_hub_module(ConvVAE, registry.entry(name).path).eval()
        with torch.inference_mode():
            mu = network.encode(to_tensor(pictures.images))[0].numpy()
        reach[name] = np.hypot(*mu.T)
    kl, without = reach.values()
    assert (kl < 3).mean() > 0.95, "nearly all codes lie in the circles"
    arms = np.isin(pictures.labels, (0, 1, 6))
    assert np.median(without[arms]) > 6, "0s, 1s and 6s run far out"
    assert np.median(without[~arms]) < 3, "the others stay in a knot"
    assert "nearly all codes lie in them" in codes.INTRO
    assert "0s, 1s and 6s run far out in arms" in codes.INTRO


def test_a_dot_lies_where_its_code_is_and_tiles_grow_to_the_right_and_upwards() -> None:
    codes, labels = np.array([[0, 1], [40.0, 0]]), np.array([0, 1])
    assert farthest([codes]) == 42
    html = plane(codes, labels, ["0", "1"], np.zeros((256, 28, 28), np.uint8), 42)
    assert "M0.000 -1.000h0" in html
    assert "M40.000 -0.000h0" in html
    tiles = grid_codes(8)
    assert tiles[:2].tolist() == [[-7.5, 7.5], [-6.5, 7.5]]
    assert tiles[-1].tolist() == [7.5, -7.5]


# --- GAN --------------------------------------------------------------------------------------


def test_the_timeline_ends_at_the_finished_generator() -> None:
    assert [gan.at(LONG, position) for position in (1, 2, 3, 4)] == [0, 25, 1500, None]
    assert gan.stops(SHORT) == [None]


@pytest.mark.parametrize("position", [0, 5, 1.5, "", None])
def test_a_position_beyond_the_timeline_is_a_sentence(position: Any) -> None:
    with pytest.raises(UserError, match=r"^The timeline is at .*, but Tiny gan has 1 to 4 only.$"):
        gan.at(LONG, position)


def test_the_timeline_moves_both_gans(registry: Any) -> None:
    other = model("gan-other", "gan", "mnist", facts={"snapshots": [0, 20, 400]})
    both = ListedRegistry(LONG, other)
    seen = []
    for position in (1, 2, 3, 4):
        client = answering(answer)
        values = ("gan", "gan-other", position, 7, 4)
        press(gan.build, both, client, "gan-generate", *values, "")
        seen.append(tuple(ticket.request.snapshot for ticket in client.tickets))  # type: ignore[attr-defined]
    assert seen == [(0, 0), (25, 20), (1500, 400), (None, None)]
    blocks = FakePage(gan.build, fake_context(FakeClient(), both)).blocks
    tell: Any = next(f.fn for f in blocks.fns.values() if f.name == "tell")
    assert "After 25 training steps, beside it after 20 training steps" in tell(
        "gan", "gan-other", 2
    )
    assert "beside it" not in tell("gan", "gan-other", 1), "both at the same step"


def test_a_training_that_went_on_from_anothers_end_is_shown_as_far_on_its_own_way() -> None:
    later = model("gan-later", "gan", "mnist", facts={"snapshots": [1500, 1600, 1700, 1800, 1900]})
    moments = [gan.beside_at(LONG, position, later) for position in (1, 2, 3, 4)]
    assert moments == [1500, 1700, 1800, None]


def test_a_gan_is_drawn_at_its_moment_beside_a_finished_one(registry: Any) -> None:
    client = answering(answer)
    (last,) = press(
        gan.build, registry, client, "gan-generate", "gan", "gan-collapsed", 2, 7, 4, ""
    )
    first, second = (ticket.request for ticket in client.tickets)
    assert (first.checkpoint, first.snapshot) == ("gan", 25)
    assert (second.checkpoint, second.snapshot) == ("gan-collapsed", None)
    assert (first.seed, first.count, first.judge) == (second.seed, second.count, second.judge)
    assert first.judge
    assert last["gan-beside-gallery"].count("<img") == 4


def test_every_picture_says_what_the_discriminator_thinks_of_it(registry: Any) -> None:
    (last,) = press(gan.build, registry, answering(answer), "gan-generate", "gan", "", 4, 7, 4, "")
    assert last["gan-gallery"].count("D 25 %") == 4


def test_the_timeline_stands_at_the_end_and_says_what_it_means(registry: Any) -> None:
    page = FakePage(gan.build, fake_context(FakeClient(), registry))
    assert page.element("gan-checkpoint").value == "gan"
    assert (page.element("gan-timeline").maximum, page.element("gan-timeline").value) == (4, 4)
    assert "Finished generator" in page.element("gan-moment").value


def test_a_gan_without_snapshots_has_a_timeline_that_cannot_be_moved() -> None:
    page = FakePage(gan.build, fake_context(FakeClient(), ListedRegistry(SHORT)))
    assert not page.element("gan-timeline").interactive
    assert "This checkpoint kept no snapshots." in page.element("gan-moment").value


def test_a_newly_chosen_gan_rewinds_the_timeline_to_its_end(registry: Any) -> None:
    blocks = FakePage(gan.build, fake_context(FakeClient(), registry)).blocks
    rewind: Any = next(f.fn for f in blocks.fns.values() if f.name == "rewind")
    slider, moment = rewind("gan-collapsed", "")
    assert (slider.maximum, slider.value, slider.interactive) == (1, 1, False)
    assert "no snapshots" in moment
    tell: Any = next(f.fn for f in blocks.fns.values() if f.name == "tell")
    assert "After 1,500 training steps" in tell("gan", "", 3)
    assert "beside it finished generator" in tell("gan", "gan-collapsed", 3)


def test_without_checkpoints_both_tabs_say_how_to_get_some() -> None:
    assert "genlab train vae-mnist-20d" in config_of(vae.build, ListedRegistry())
    assert "genlab train dcgan-mnist" in config_of(gan.build, ListedRegistry())


# --- classes and models of the visitor's own ----------------------------------------------------


def test_only_models_that_are_told_a_class_are_told_the_chosen_one(registry: Any) -> None:
    told = model("told", "gan", "mnist", facts={"classes": 10})
    client = answering(answer)
    both = ListedRegistry(LONG, told)
    press(gan.build, both, client, "gan-generate", "told", "gan", 1, 7, 4, "3")
    assert [ticket.request.label for ticket in client.tickets] == [3, None]  # type: ignore[attr-defined]
    page = FakePage(gan.build, fake_context(FakeClient(), both))
    assert page.element("gan-class").visible is False, "the first one chosen is told none"
    page = FakePage(gan.build, fake_context(FakeClient(), ListedRegistry(told)))
    assert page.element("gan-class").visible is True


def test_where_visitors_can_bring_nothing_the_page_offers_nothing(
    registry: Any, tmp_path: Path
) -> None:
    assert "Bring your own" not in config_of(vae.build, registry)
    registry = ListedRegistry(LONG)
    registry.own = OwnModels(tmp_path)
    assert "Bring your own" in config_of(gan.build, registry)


def test_2_d_codes_take_models_with_an_encoder_and_two_numbers_only() -> None:
    assert reconstructs(model("a", "vae"))
    assert not reconstructs(model("a", "vae", facts={"reconstructs": False}))
    assert not reconstructs(model("a", "vae", facts={"image": [3, 64, 64]}))
