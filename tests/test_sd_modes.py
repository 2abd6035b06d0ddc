"""The modes of the Stable Diffusion tab on a tiny pipeline: what is planned, shown and refused."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from genlab.engine import Engine, Job, Runtime
from genlab.models.downloads import Offer
from genlab.models.registry import Catalogue, Entry
from genlab.requests import StableDiffusionRequest, UserError, ask
from genlab.settings import Settings
from genlab.ui.components.contact_sheet import labelled_sheet
from genlab.ui.components.pictures import grid
from genlab.ui.live_run import complaint
from genlab.ui.page import Lab
from genlab.ui.tabs.stable_diffusion import curves, models
from genlab.ui.tabs.stable_diffusion.axes import MOST, Axis, axis, plan
from genlab.ui.tabs.stable_diffusion.cfg import filmed
from genlab.ui.tabs.stable_diffusion.controls import EXAMPLES, NAMES, Controls, asked, restored
from genlab.ui.tabs.stable_diffusion.curves import SETTINGS, along
from genlab.ui.tabs.stable_diffusion.curves_plot import Point, curves_figure, interval
from genlab.ui.tabs.stable_diffusion.generate import restored_from
from genlab.ui.tabs.stable_diffusion.grid import Moment, fill, planned
from genlab.ui.tabs.stable_diffusion.models import defaults, described, downloading, limits, usable
from genlab.ui.tabs.stable_diffusion.trajectory_view import difference_map, film_html
from genlab.ui.tabs.stable_diffusion.words import help_with_words
from tests.tiny_pipelines import save_tiny_stable_diffusion

PROJECT = Path(__file__).resolve().parent.parent
TOYBOX = PROJECT / "checkpoints" / "stable-diffusion-toybox"
PNG = r"data:image/png;base64,([^\"]+)"
BASE = ask(StableDiffusionRequest, checkpoint="sd", prompt="a red seven", negative_prompt="blue")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A running lab with a tiny Stable Diffusion."""
    root = tmp_path_factory.mktemp("checkpoints")
    save_tiny_stable_diffusion(root / "sd")
    catalogue = Catalogue(root, Runtime("cpu"))
    with Engine(catalogue) as engine:
        yield Lab(Settings(), catalogue, engine)


def moments(lab: Lab, *axes: Any, during: Callable[[Moment], None] | None = None) -> list[Moment]:
    """Every moment of a grid with the given (x, values, y, values)."""

    async def collect() -> list[Moment]:
        seen = []
        async for moment in fill(lab, "me", lambda: planned(lab, BASE, *axes)):
            seen.append(moment)
            if during is not None:
                during(moment)
        return seen

    return asyncio.run(collect())


# --- words ------------------------------------------------------------------------------------


def test_words_that_toybox_does_not_know_are_named_beside_those_it_knows() -> None:
    entry = Entry("toybox", TOYBOX, "stable_diffusion", "Toybox", "toybox")
    told = help_with_words(entry, "a red castle on a blue background", "giraffe")
    assert "does not know “castle” or “giraffe”" in told
    assert "0 to 9" in told
    assert "sneaker" in told
    assert [help_with_words(entry, prompt) for prompt in EXAMPLES["toybox"]] == [""] * 4


# --- the axes of a grid -----------------------------------------------------------------------


def test_values_are_separated_by_commas_or_lines() -> None:
    assert axis("seed", "1, 2,3", BASE).values == (1, 2, 3)
    assert axis("negative_prompt", "(none)\na 7, red\n", BASE).values == ("", "a 7, red")
    assert axis("guidance_scale", "0, 7.5, 0", BASE).labels == ["0", "7.5"]
    assert axis("seed", [4, 5], BASE).values == (4, 5)


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("num_inference_steps", "5, 101", "num_inference_steps is '101', but must be a whole"),
        ("guidance_scale", "high", "guidance_scale is 'high', but must be a number from 0"),
        ("scheduler", "ddim, heun", "scheduler is 'heun', but must be one of ddim"),
        ("seed", " , ", "The axis seed has no values"),
        ("seed", list(range(MOST + 1)), "has 65 values, but may have at most 64"),
        ("prompt", "a, b", "An axis is 'prompt', but must be one of num_inference_steps"),
    ],
)
def test_a_wrong_value_on_an_axis_gets_a_sentence(name: str, values: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        axis(name, values, BASE)


def test_one_setting_twice_and_too_many_cells_are_refused() -> None:
    seeds = Axis("seed", tuple(range(9)))
    with pytest.raises(UserError, match="both the seed; choose two different settings"):
        plan(BASE, seeds, seeds)
    with pytest.raises(UserError, match="9 columns and 8 rows make 72 pictures, but .* at most 64"):
        plan(BASE, seeds, Axis("num_inference_steps", tuple(range(1, 9))))


def test_cells_differ_in_both_settings_and_in_nothing_else() -> None:
    cells = plan(BASE, Axis("seed", (1, 2)), Axis("guidance_scale", (0.0, 8.0))).requests
    assert [(c.seed, c.guidance_scale) for c in cells] == [(1, 0), (2, 0), (1, 8), (2, 8)]
    assert {(c.count, c.prompt, c.negative_prompt) for c in cells} == {(1, "a red seven", "blue")}


# --- a grid as it fills -----------------------------------------------------------------------


def test_a_grid_fills_in_and_can_be_kept(lab: Lab) -> None:
    shown = moments(lab, "num_inference_steps", "1, 40", "seed", "3, 4")
    filled = [moment.cells.count("<img") for moment in shown if moment.cells is not None]
    assert filled == sorted(filled)
    assert filled[-1] == 4
    assert any(0 < count < 4 for count in filled), "one-step cells are shown before the others"
    assert "4 pictures in" in shown[-1].status
    assert [moment.running for moment in shown] == [True] * (len(shown) - 1) + [False]
    sheet = Image.open(io.BytesIO(base64.b64decode(re.findall(PNG, shown[-2].sheet or "")[0])))
    assert sheet.width > 2 * 96


def test_a_cell_knows_its_own_settings(lab: Lab) -> None:
    last = moments(lab, "guidance_scale", "1, 6", "scheduler", "ddim, euler")[-2].cells or ""
    cells = [json.loads(unescape(found)) for found in re.findall(r'data-cell="([^"]+)"', last)]
    assert [(c["guidance_scale"], c["scheduler"]) for c in cells] == [
        (1, "ddim"), (6, "ddim"), (1, "euler"), (6, "euler"),
    ]  # fmt: skip


def test_a_cell_that_fails_does_not_take_the_others_along(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = lab.catalogue.load("sd")
    sound = family.advance

    def advance(job: Job, prediction: Any) -> None:
        assert isinstance(job.request, StableDiffusionRequest)
        if job.request.seed == 2:
            raise UserError("The numbers ran away.")
        sound(job, prediction)

    monkeypatch.setattr(family, "advance", advance)
    *_, full, last = moments(lab, "seed", "1, 2, 3", "num_inference_steps", "1, 2")
    assert (full.cells or "").count("<img") == 4
    assert "4 pictures in" in last.status
    assert "2 failed: The numbers ran away." in last.status


def test_a_grid_can_be_stopped_and_drawn_again_at_once(lab: Lab) -> None:
    axes = ("seed", ", ".join(map(str, range(8))), "num_inference_steps", "93,94,95,96,97,98,99")

    def stop(moment: Moment) -> None:
        lab.desk.stop("me")

    last = moments(lab, *axes, during=stop)[-1]
    assert "Stopped" in last.status
    again = moments(lab, *axes[:2], "num_inference_steps", "1,2,3,4,5,6,7")[-1]
    assert "56 pictures in" in again.status, "cancelled cells must not count as waiting"


def test_the_contact_sheet_keeps_place_for_what_is_missing() -> None:
    red = np.full((64, 64, 3), (255, 0, 0), np.uint8)
    sheet = labelled_sheet("t", "f", ("steps", ["1", "2"]), ("seed", ["7"]), [red, None])
    colours = [colour for _, colour in sheet.getcolors(1 << 20) or []]
    counts = {colour: count for count, colour in sheet.getcolors(1 << 20) or []}
    assert counts[255, 0, 0] == 128 * 128
    assert (229, 231, 235) in colours


def test_a_cells_picture_and_the_contact_sheet_carry_recipes(lab: Lab) -> None:
    last = moments(lab, "seed", "5, 6", "guidance_scale", "1, 3")[-2]
    pictures = [base64.b64decode(found) for found in re.findall(PNG, last.cells or "")]
    requests = [lab.catalogue.restore(png)[0] for png in pictures]
    assert [(r.seed, r.guidance_scale) for r in requests] == [(5, 1), (6, 1), (5, 3), (6, 3)]  # type: ignore[attr-defined]
    sheet = Image.open(io.BytesIO(base64.b64decode(re.findall(PNG, last.sheet or "")[0])))
    assert json.loads(sheet.info["genlab-grid"]) == {"seed": [5, 6], "guidance_scale": [1, 3]}


# --- the film of guidance ---------------------------------------------------------------------


def film(lab: Lab, steps: int) -> dict[str, Any]:
    request = ask(
        StableDiffusionRequest, **filmed(BASE).model_dump() | {"num_inference_steps": steps}
    )
    return lab.engine.submit(request).result().extras


def test_every_step_of_a_film_is_in_the_page_and_the_last_one_is_shown(lab: Lab) -> None:
    shown = film_html(film(lab, 6))
    assert shown.count("<img") == 6 * 4
    assert re.findall(r'data-frame="(\d)"[^>]*" hidden>', shown) == list("01234")
    assert "<output>6 of 6, t = " in shown


def test_the_difference_is_dark_where_both_agree_and_bright_where_they_differ_most() -> None:
    one = np.zeros((2, 4, 4, 3), np.uint8)
    other = one.copy()
    other[1, 0, 0], other[0, 0, 0] = 200, 100
    shown = difference_map(one, other)
    assert shown.shape == (2, 4, 4, 3)
    assert shown[0, 1, 1].sum() < shown[0, 0, 0].sum() < shown[1, 0, 0].sum()
    assert difference_map(one, one).max() < 50, "no difference at all is dark, not an error"


def test_a_run_without_guidance_has_nothing_to_compare() -> None:
    with pytest.raises(UserError, match="At guidance_scale 1 the model predicts once"):
        filmed(BASE.model_copy(update={"guidance_scale": 1.0}))


# --- curves -----------------------------------------------------------------------------------


def test_pictures_that_nobody_can_judge_are_refused_with_the_reason(lab: Lab) -> None:
    with pytest.raises(UserError, match="no judge knows what Tiny can draw; choose Toybox"):
        along(lab, BASE, SETTINGS[0])
    single = BASE.model_copy(update={"count": 1})
    with pytest.raises(UserError, match="one picture has no diversity"):
        along(lab, single, SETTINGS[0])


def test_toybox_is_judged_where_its_judge_is_and_the_prompt_is_of_its_world() -> None:
    toybox = Catalogue(PROJECT / "checkpoints", Runtime("cpu"))
    real = Lab(Settings(), toybox, Engine(toybox))
    known = {"checkpoint": TOYBOX.name, "num_inference_steps": 40}
    sevens = ask(StableDiffusionRequest, prompt="a red 7", **known)
    scale = along(real, sevens, SETTINGS[0])
    assert [r.guidance_scale for r in scale] == list(SETTINGS[0].values)
    assert {r.num_inference_steps for r in scale} == {15}, "fewer steps, so that it takes seconds"
    assert [r.num_inference_steps for r in along(real, sevens, SETTINGS[1])][-1] == 50
    with pytest.raises(UserError, match="the judge reads prompts of one or two things"):
        along(real, ask(StableDiffusionRequest, prompt="a castle", **known), SETTINGS[0])


def test_points_come_one_by_one_and_say_how_sure_they_are(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def judged(lab: Lab, run: Any, requests: Any, results: Any) -> list[dict[str, Any]]:
        return [
            {"all_as_asked_percent": 2 * r.num_inference_steps, "diversity": 1.0} for r in requests
        ]

    monkeypatch.setattr(curves, "judged", judged)
    monkeypatch.setattr("genlab.ui.live_run.REDRAW", 0.005)  # this model draws all of them in 0.1 s
    requests = [
        BASE.model_copy(update={"num_inference_steps": steps, "count": 2}) for steps in (1, 10, 40)
    ]

    async def collect() -> list[curves.Moment]:
        return [m async for m in curves.points(lab, "me", SETTINGS[1], lambda: requests)]

    shown = asyncio.run(collect())
    counts = [len(moment.points) for moment in shown if moment.points is not None]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, 3)
    assert any(0 < count < 3 for count in counts)
    assert {(p.value, p.as_asked, p.count) for p in shown[-1].points or ()} == {
        (1, 2, 2), (10, 20, 2), (40, 80, 2),
    }  # fmt: skip
    assert "6 pictures in" in shown[-1].status


def test_the_interval_of_few_pictures_is_wide_and_never_leaves_the_scale() -> None:
    low, high = interval(Point(4, 100.0, 1.0, 6))
    assert (round(low), high) == (61, pytest.approx(100))  # Wilson's for 6 of 6
    low, high = interval(Point(4, 50.0, 1.0, 100))
    assert (round(low), round(high)) == (40, 60)


def test_the_slider_is_marked_on_the_curve() -> None:
    figure: Any = curves_figure("guidance_scale", (0, 15), [Point(4, 50, 1, 6)], 7.5)
    assert figure.layout.shapes[0].x0 == 7.5
    assert not curves_figure("guidance_scale", (0, 15), [], None).layout.shapes


# --- live mode --------------------------------------------------------------------------------


def test_a_run_makes_way_for_a_later_move_but_not_for_its_own(lab: Lab) -> None:
    with lab.desk.run("me", "sd") as run:
        (job,) = run.submit([BASE.model_copy(update={"num_inference_steps": 100})])
        lab.desk.make_way("me", "sd", run.begun - 0.1)
        assert not job.cancelled.is_set()
        lab.desk.make_way("somebody else", "sd", run.begun + 0.1)
        assert not job.cancelled.is_set()
        lab.desk.make_way("me", "sd", run.begun + 0.1)
        assert job.cancelled.is_set()


# --- PNGs with recipes ------------------------------------------------------------------------


def test_a_dropped_png_gives_its_settings_to_all_who_drop_it(lab: Lab, tmp_path: Path) -> None:
    request = BASE.model_copy(update={"seed": 11, "count": 3, "guidance_scale": 6.5})
    shown = grid(np.zeros((3, 16, 16, 3), np.uint8), recipes=lab.catalogue.recipes(request))
    assert shown.count('class="save"') == 3
    file = tmp_path / "dropped.png"
    file.write_bytes(base64.b64decode(re.findall(PNG, shown)[2]))
    found, notes = restored_from(lab, file)
    assert (found.seed, found.count, found.guidance_scale, notes) == (13, 1, 6.5, ())
    assert restored_from(lab, file)[0] == found, "a class shares one uploaded file"


def test_a_png_without_a_recipe_is_refused(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "plain.png"
    Image.new("RGB", (8, 8)).save(file)
    with pytest.raises(UserError, match="carries no recipe"):
        restored_from(lab, file)


# --- models from outside ----------------------------------------------------------------------

DISTILLED = Entry(
    "turbo", TOYBOX, "stable_diffusion", "Turbo", "", {"distilled": "It needs no guidance."},
    defaults={"num_inference_steps": 2, "guidance_scale": 1.0, "scheduler": "euler-ancestral"},
)  # fmt: skip
OFFER = Offer("big", "Big", 2.14, True, "available")


def told_while_downloading(*offers: Offer | UserError) -> list[tuple[str, bool]]:
    """What the page says while the catalogue gives these answers, one a look."""
    answers = iter(offers)

    def fetch(name: str) -> None:
        first = offers[0]
        if isinstance(first, UserError):
            raise first

    catalogue = SimpleNamespace(fetch=fetch, offers=lambda: [next(answers)])
    lab: Any = SimpleNamespace(catalogue=catalogue)

    async def collect() -> list[tuple[str, bool]]:
        return [seen async for seen in downloading(lab, "big")]

    return asyncio.run(collect())


def test_a_download_tells_its_size_and_progress_until_the_model_is_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(models, "LOOK", 0)
    half = replace(OFFER, state="downloading", progress=0.5)
    shown = told_while_downloading(half, replace(half, state="ready"))
    assert "50% of about 2.1 GB" in shown[0][0]
    assert shown[0][1]
    assert "Big is here: choose it above." in shown[1][0]
    assert not shown[1][1]


def test_a_download_without_a_network_or_stopped_ends_in_one_sentence() -> None:
    (failed,) = told_while_downloading(
        replace(OFFER, state="failed", reason="huggingface.co cannot be reached.")
    )
    assert failed == (complaint("huggingface.co cannot be reached."), False)
    assert "Cancelled" in told_while_downloading(OFFER)[0][0]
    (refused,) = told_while_downloading(UserError("There is no model called 'big'."))
    assert "There is no model called" in refused[0]


def test_an_offer_says_how_large_it_is_or_that_it_is_here() -> None:
    assert described(OFFER) == "Big (about 2.1 GB)"
    assert described(replace(OFFER, gb=0.01, about=False)) == "Big (10 MB)"
    assert described(replace(OFFER, gb=None)) == "Big (size unknown)"
    assert described(replace(OFFER, state="ready")) == "Big (here)"


def test_a_distilled_model_brings_its_defaults_and_turns_guidance_off_with_the_reason() -> None:
    assert defaults(DISTILLED) == {
        "num_inference_steps": 2, "guidance_scale": 1.0, "scheduler": "euler-ancestral",
    }  # fmt: skip
    number, slider, scheduler = limits(DISTILLED)
    assert (number.interactive, number.info) == (False, "It needs no guidance.")
    assert (slider.interactive, scheduler.interactive) == (False, True)


def test_toybox_comes_first_and_begins_with_the_usual_values(lab: Lab) -> None:
    entry = lab.catalogue.entry("sd")
    assert usable(lab) == [entry]
    assert defaults(entry) == {
        "num_inference_steps": 25, "guidance_scale": 4.0, "scheduler": "dpmpp-2m",
    }  # fmt: skip
    number, *_ = limits(entry)
    assert number.interactive


# --- settings from and to the controls --------------------------------------------------------


def test_what_a_cell_restores_is_what_the_controls_then_ask_for() -> None:
    wanted = plan(BASE, Axis("seed", (9,)), Axis("guidance_scale", (8.0,))).requests[0]
    updates = restored(wanted.model_dump())
    assert len(updates) == len(NAMES) + 2 == len(Controls(*[None] * 9).outputs)  # type: ignore[arg-type]
    values = [update["value"] for update in updates[: len(NAMES)]]
    assert asked(values, count=1) == wanted
