"""The pieces that tabs share: pictures, the strip under them, a panel and what it shows."""

from __future__ import annotations

import asyncio
import base64
import io
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from genlab.engine.events import Progress, Result
from genlab.evaluation.figures import (
    AS_ASKED,
    CLASSES,
    CONFIDENCE,
    DISCRIMINATOR,
    FID,
    SECONDS,
    SHARPNESS,
    WORDS,
    Figure,
)
from genlab.families.gan.request import GANRequest
from genlab.families.vae.request import ReconstructRequest, VAERequest
from genlab.requests import MAX_SEED, UserError, parse_request
from genlab.ui.cells import CellView
from genlab.ui.components.metric_strip import compact, duration, strip
from genlab.ui.components.panel import drawing, drawn, twin
from genlab.ui.components.pictures import blank, data_url, file_names, grid, image, sheet
from genlab.ui.picture_store import PictureStore, height_of
from tests.fake_client import FakeClient, FakeRegistry, draw, fake_context

ADDRESS = "pictures/" + "a" * 64 + "-28.png"


# --- pictures ---------------------------------------------------------------------------------


def test_previews_are_inside_the_grid_and_a_blank_one_has_none() -> None:
    shown = grid(np.zeros((5, 28, 28), np.uint8), captions=list("abcde"))
    assert shown.count("data:image/png;base64,") == 5
    assert "--columns:3" in shown
    assert "<figcaption>e</figcaption>" in shown
    assert "<img" not in blank()


def test_only_small_pictures_are_enlarged_by_whole_pixels() -> None:
    assert 'class="pixels"' in grid(np.zeros((1, 64, 64, 3), np.uint8))
    assert 'class="pixels"' not in grid(np.zeros((1, 256, 256, 3), np.uint8))


async def test_a_stored_pictures_address_says_whether_it_is_small() -> None:
    store = PictureStore()
    for height, small in ((28, True), (256, False)):
        [address] = await store.put(np.zeros((1, height, 20, 3), np.uint8))
        assert height_of(address) == height
        assert ('class="pixels"' in image(address)) is small


def test_a_finished_picture_is_shown_and_saved_from_its_address() -> None:
    shown = grid([ADDRESS, ADDRESS], saved_as=["vae-4.png", "vae-5.png"])
    assert shown.count(f'src="{ADDRESS}"') == 2
    assert f'href="{ADDRESS}" download="vae-5.png"' in shown
    assert "Save the picture of seed 5 with its recipe" in shown
    assert "download" not in grid([ADDRESS])


def test_a_saved_picture_is_called_after_its_model_and_its_own_seed() -> None:
    request = parse_request(VAERequest, checkpoint="vae-mnist-2d", seed=MAX_SEED, count=2)
    assert file_names(request) == [f"vae-mnist-2d-{MAX_SEED}.png", "vae-mnist-2d-0.png"]


def test_a_sheet_is_one_picture_of_a_row() -> None:
    shown = sheet(np.zeros((3, 8, 8), np.uint8), "three digits")
    assert shown.count("<img") == 1
    content = base64.b64decode(shown.split("base64,")[1].split('"')[0])
    assert Image.open(io.BytesIO(content)).size == (28, 8)


def test_a_thinned_picture_can_be_put_into_a_url() -> None:
    assert data_url(np.zeros((8, 8, 3), np.uint8)[::2, ::2]).startswith("data:image/png;base64,")


# --- the strip --------------------------------------------------------------------------------


def test_the_strip_has_what_a_family_shows_and_a_result_knows() -> None:
    figures = {"sharpness_percent": 47.4, "mean_confidence": 0.914, "fid": 12.345, "other": 3}
    shown = strip(figures, (SHARPNESS, FID, SECONDS))
    assert "<b>47 %</b>" in shown
    assert shown.index("Sharpness") < shown.index("FID") < shown.index("12.3")
    assert "Confidence" not in shown, "the family does not show it"
    assert "Time" not in shown, "it is not known"
    assert strip({}, (SHARPNESS, FID)) == strip(figures, ()) == ""


def test_a_figure_that_a_new_family_brings_is_shown_by_its_look() -> None:
    likelihood = Figure("bits_per_pixel", "Bits a pixel", "lower is better")
    assert "<span>Bits a pixel</span><b>1.23</b>" in strip({"bits_per_pixel": 1.234}, [likelihood])
    took = Figure("encoding", "Encoding", "of it", "time")
    assert "<b>38 ms</b>" in strip({"encoding": 0.0384}, [took])


def test_the_strip_counts_the_classes_that_the_judge_sees() -> None:
    figures = {"class_histogram": {"0": 0.99, "<1>": 0.01}, "classes_above_2_percent": 1}
    shown = strip(figures | {"judged_count": 256}, [CLASSES])
    assert "Classes the judge sees: 1 of 2 in 256 samples" in shown
    assert "Measured on 256 samples of this model." in shown
    assert "class=few" not in shown
    assert "&lt;1&gt;" in shown
    assert "<1>" not in shown


def test_bars_of_a_few_pictures_are_grey_and_count_no_classes() -> None:
    few = {"class_histogram": {"0": 1.0}, "classes_above_2_percent": 1, "judged_count": 16}
    shown = strip(few, [CLASSES])
    assert "Classes the judge sees in 16 samples" in shown
    assert "<figure class=few>" in shown
    assert "on the 16 pictures shown: too few to say which classes are missing." in shown
    assert "<dd>1 in 16</dd>" in compact(few)
    assert "<figure class=few>" in compact(few)
    assert "<dd>1 of 1</dd>" in compact(few | {"judged_count": 256})
    assert "on the picture shown." in strip({"judged_count": 1, "fid": 2}, [FID])


def test_an_fid_says_that_it_was_measured_beforehand_and_on_how_many_samples() -> None:
    figures = {"fid": 4.758, "fid_samples": 10_000.0}
    assert "<small>beforehand; lower is better</small>" in strip(figures, [FID])
    assert "FID was measured beforehand on 10,000 samples." in strip(figures, [FID])
    assert "<p>of 10,000 beforehand</p><dl><dt>FID</dt>" in compact(figures)


@pytest.mark.parametrize(("word", "why"), WORDS.items())
def test_where_sharpness_means_nothing_a_word_stands_in_its_place(word: str, why: str) -> None:
    figures = {"sharpness_percent": 1453.0, "sharpness_word": word}
    shown = strip(figures, [SHARPNESS])
    assert f"<b>{word}</b><small>{why}</small></div>" in shown, "without a bar"
    assert "1453" not in shown + compact(figures)
    assert f"<dd>{word}</dd>" in compact(figures)


def test_the_strip_shows_shares_as_asked_and_the_discriminators_opinion() -> None:
    figures = {"as_asked_percent": {"class": 50.0, "colour": 100.0}, "judged_count": 256}
    figures["discriminator_histogram"] = [0.5, 0, 0, 0, 0, 0, 0, 0, 0, 0.5]
    shown = strip(figures, [AS_ASKED, DISCRIMINATOR])
    assert "<span>Class</span><b>50 %</b><small>as asked, reads the judge</small>" in shown
    assert "<span>Colour</span>" in shown
    assert "What the discriminator thinks of 256 samples" in shown
    assert 'title="fake 50%"' in shown


def test_a_narrow_strip_has_the_same_lines_whatever_is_known() -> None:
    full = compact(
        {
            "seconds": 0.5, "fid": 12.345, "sharpness_percent": 47.4, "mean_confidence": 0.914,
            "class_histogram": {"0": 1.0}, "classes_above_2_percent": 1,
        }
    )  # fmt: skip
    empty = compact({}, {"fid": "Of another <size>"})
    for value in ("500 ms", "12.35", "47 %", "91 %", "1 of 1"):
        assert f"<dd>{value}</dd>" in full
    assert full.count("<dt>") == empty.count("<dt>") == 5
    assert '<dd title="Of another &lt;size&gt;">–</dd>' in empty
    assert empty.count('title="not known"') == 4
    assert CONFIDENCE.title in empty


def test_a_time_has_two_or_three_digits() -> None:
    assert [duration(t) for t in (0.00033, 0.0384, 1.246)] == ["0.33 ms", "38 ms", "1.25 s"]


# --- a panel ----------------------------------------------------------------------------------


def press(client: FakeClient, **how: Any) -> list[tuple[Any, ...]]:
    """All updates after a press of Generate for two panels."""

    def build(*seeds: Any) -> list[Any]:
        return [parse_request(VAERequest, checkpoint=f"vae-{s}", seed=s, count=2) for s in seeds]

    handler = drawing(fake_context(client), "vae", build, panels=2, **how.pop("of", {}))
    visitor: Any = SimpleNamespace(session_hash="me")

    async def collect() -> list[tuple[Any, ...]]:
        return [update async for update in handler(visitor, *how["seeds"])]

    return asyncio.run(collect())


def test_each_panel_gets_the_pictures_and_the_title_of_its_request() -> None:
    (last,) = press(FakeClient(draw), seeds=[3, 4])
    status, stop, *panels = last
    assert "4 pictures in" in status
    assert stop["interactive"] is False
    assert [panels[0], panels[3]] == [
        f'<h2 class="panel-title">Tiny vae-{seed}</h2>' for seed in (3, 4)
    ]
    assert 'download="vae-3-4.png"' in panels[1]
    assert 'download="vae-4-5.png"' in panels[4]


def test_a_panel_without_a_request_keeps_what_it_shows() -> None:
    (last,) = press(FakeClient(draw), seeds=[3])
    assert list(last[5:]) == [gr.skip()] * 3


def test_an_empty_box_gets_its_sentence() -> None:
    (last,) = press(FakeClient(draw), seeds=[None])
    assert "seed is empty, but must be a whole number" in last[0]
    assert list(last[2:]) == [gr.skip()] * 6


def test_a_panel_shows_previews_with_room_for_the_captions_to_come() -> None:
    context = fake_context(FakeClient())
    request = parse_request(GANRequest, checkpoint="gan", count=2)
    preview = CellView((Progress(1, 2, np.zeros((2, 8, 8), np.uint8), None),))
    done = CellView((Result(np.zeros((2, 8, 8), np.uint8), figures={"discriminator": [0.5, 1]}),), (
        ADDRESS, ADDRESS,
    ))  # fmt: skip

    def captions(figures: dict[str, Any]) -> list[str]:
        return [f"D {score}" for score in figures.get("discriminator", ())]

    _, early, no_strip = drawn(context, request, preview, captions)
    assert early.count("<figcaption>&nbsp;</figcaption>") == 2
    assert no_strip == gr.skip()
    _, late, _ = drawn(context, request, done, captions)
    assert "<figcaption>D 0.5</figcaption>" in late


def test_the_strip_of_a_panel_is_that_of_the_models_family() -> None:
    view = CellView((Result(np.zeros((1, 8, 8), np.uint8), figures={"fid": 7.0}),), (ADDRESS,))
    context = fake_context(FakeClient(), FakeRegistry("vae"))
    request = parse_request(VAERequest, checkpoint="vae", count=1)
    assert "<b>7</b>" in drawn(context, request, view)[2]


def test_a_panel_keeps_its_pictures_while_there_is_nothing_to_see() -> None:
    given = parse_request(
        ReconstructRequest, checkpoint="vae", images=np.zeros((1, 8, 8), np.uint8)
    )
    view = CellView((Progress(1, 2, None, None),))
    assert drawn(fake_context(FakeClient()), given, view) == [gr.skip()] * 3


def test_why_nothing_can_be_requested_is_in_the_status() -> None:
    def build() -> list[Any]:
        raise UserError("Choose a checkpoint.")

    handler = drawing(fake_context(FakeClient()), "vae", build)
    visitor: Any = SimpleNamespace(session_hash="me")

    async def first() -> tuple[Any, ...]:
        return await anext(aiter(handler(visitor)))

    assert "Choose a checkpoint." in asyncio.run(first())[0]


def test_twins_are_found_by_name_in_both_directions() -> None:
    entries = [FakeRegistry().entry(name) for name in ("vae", "vae-no-kl", "gan")]
    assert twin(entries, "vae") == "vae-no-kl"
    assert twin(entries, "vae-no-kl") == "vae"
    assert twin(entries, "gan") == ""
