"""The modes of the Stable Diffusion tab: what is requested, shown and refused; no model is run."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from genlab.engine.events import Result
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.models.downloads import Offer
from genlab.requests import UserError, parse_request
from genlab.ui.components.progress import error_line
from genlab.ui.tabs.stable_diffusion import models
from genlab.ui.tabs.stable_diffusion.axes import Axis, grid_of
from genlab.ui.tabs.stable_diffusion.cfg import view_of, with_trajectory
from genlab.ui.tabs.stable_diffusion.controls import (
    EXAMPLES,
    GUIDANCE_INFO,
    NAMES,
    Controls,
    request_of,
    restored,
)
from genlab.ui.tabs.stable_diffusion.curves import COUNT, SETTINGS, along, point_of
from genlab.ui.tabs.stable_diffusion.curves_plot import Point, curves_figure, interval
from genlab.ui.tabs.stable_diffusion.models import defaults, described, downloading, limits, usable
from genlab.ui.tabs.stable_diffusion.recipe_box import restored_from
from genlab.ui.tabs.stable_diffusion.words import help_with_words
from tests.fake_client import FakeClient, ListedRegistry, answering, fake_context, model
from tests.fake_page import Frame, together
from tests.sd_page import ADDRESS, BASE, REGISTRY, SD, TOYBOX, VALUES, app, drawn, frames

# --- words ------------------------------------------------------------------------------------


def test_words_that_toybox_does_not_know_are_named_beside_those_it_knows() -> None:
    sentence = help_with_words(TOYBOX, "a red castle on a blue background", "giraffe")
    assert "does not know “castle” or “giraffe”" in sentence
    assert "0 to 9" in sentence
    assert "sneaker" in sentence
    assert [help_with_words(TOYBOX, prompt) for prompt in EXAMPLES["toybox"]] == [""] * 4
    assert help_with_words(SD, "a castle") == "", "a model without a world may know any word"


def test_the_page_says_what_a_small_scale_means() -> None:
    assert "at 1 there is no guidance, the prompt is still told" in GUIDANCE_INFO


# --- trajectories -----------------------------------------------------------------------------


def kept(steps: int, side: int = 16) -> dict[str, Any]:
    """The extras of a guided run of so many steps."""

    def pictures(level: int) -> np.ndarray:
        return np.full((steps, 1, side, side, 3), level, np.uint8)

    return {
        "trajectory_steps": np.arange(steps),
        "trajectory_timesteps": np.arange(steps, 0, -1).astype(np.float32),
        "trajectory_uncond": pictures(0),
        "trajectory_cond": pictures(200),
        "trajectory_guided": pictures(250),
        "trajectory_guidance_norm": np.arange(steps, dtype=np.float32)[:, None] / 2,
    }


def test_every_step_of_a_run_is_in_the_page_and_the_last_one_is_shown() -> None:
    client = answering(lambda request: [drawn(request, extras=kept(6))])
    shown = together(frames(app(client), "sd-cfg-generate", *VALUES))["sd-cfg-film"]
    assert shown.count('class="step-image pixels"') == 4
    assert "--frames:6" in shown
    assert ">6 of 6, t = 1</output>" in shown
    assert "‖guided − unconditional‖: <b" in shown
    assert ">2.50</b>" in shown
    (ticket,) = client.tickets
    assert (ticket.request.trajectory, ticket.request.count) == (True, 1)  # type: ignore[attr-defined]


def test_what_cfg_does_opens_where_the_two_predictions_differ_most_and_can_be_played() -> None:
    extras = kept(6)
    extras["trajectory_cond"][:] = 10
    extras["trajectory_cond"][2] = 200
    shown = view_of(extras)
    assert 'data-start="3"' in shown, "not at the last step, where hardly anything differs"
    assert 'class="play"><b>Play</b>' in shown


def test_large_pictures_of_a_run_are_sent_small() -> None:
    shown = view_of(kept(3, side=512))
    assert shown.count("data:image/jpeg;base64,") == 4
    assert "pixels" not in shown


def test_a_model_that_keeps_no_trajectory_says_so() -> None:
    client = answering(lambda request: [drawn(request)])
    shown = together(frames(app(client), "sd-cfg-generate", *VALUES))["sd-cfg-film"]
    assert "This model does not show its two predictions; choose Toybox." in shown


def test_a_run_without_guidance_has_nothing_to_compare() -> None:
    with pytest.raises(UserError, match="At guidance_scale 1 the model predicts once"):
        with_trajectory(BASE.model_copy(update={"guidance_scale": 1.0}))


# --- curves -----------------------------------------------------------------------------------


def test_pictures_that_nobody_can_judge_are_refused_with_the_reason() -> None:
    context = app(FakeClient())
    with pytest.raises(UserError, match="no judge knows what Tiny sd can draw; choose Toybox"):
        along(context, BASE, SETTINGS[0], 4)
    without: Any = ListedRegistry(TOYBOX)
    toybox = BASE.model_copy(update={"checkpoint": "toybox", "prompt": "a red 7"})
    for count in (1, 65, 2.5, ""):
        with pytest.raises(UserError, match=r"^Pictures for each value is .*from 2 to 64"):
            along(context, toybox, SETTINGS[0], count)
    with pytest.raises(UserError, match="the checkpoint that judges Tiny toybox's pictures is not"):
        along(fake_context(FakeClient(), without), toybox, SETTINGS[0], 4)


def test_toybox_is_judged_where_its_judge_is_and_the_prompt_is_of_its_world() -> None:
    context = app(FakeClient())
    settings: dict[str, Any] = {"checkpoint": "toybox", "num_inference_steps": 40}
    sevens = parse_request(StableDiffusionRequest, prompt="a red 7", **settings)
    scale = along(context, sevens, SETTINGS[0], 40)
    assert [requests[0].guidance_scale for requests in scale] == list(SETTINGS[0].values)
    assert [[(r.seed, r.count) for r in requests] for requests in scale] == [
        [(0, 16), (16, 16), (32, 8)]
    ] * len(SETTINGS[0].values), "so many pictures, from other noise each"
    drawn_with = {r.num_inference_steps for requests in scale for r in requests}
    assert drawn_with == {40}, "the steps of the slider"
    assert all(r.judge for requests in scale for r in requests)
    assert along(context, sevens, SETTINGS[1], 2)[-1][0].num_inference_steps == 50
    castle = parse_request(StableDiffusionRequest, prompt="a castle", **settings)
    with pytest.raises(UserError, match="the judge reads prompts of one or two things"):
        along(context, castle, SETTINGS[0], 4)


def test_a_scale_that_guides_nothing_is_measured_once() -> None:
    assert min(SETTINGS[0].values) == 1, "at 0 the pictures are those of 1"


def test_both_curves_fit_into_what_one_visitor_may_have_waiting() -> None:
    context = app(FakeClient())
    sevens = parse_request(StableDiffusionRequest, prompt="a red 7", checkpoint="toybox")
    requests = [r for s in SETTINGS for some in along(context, sevens, s, COUNT) for r in some]
    assert len(requests) <= context.settings.max_jobs_per_owner


def test_the_pictures_of_a_value_are_enough_to_see_what_guidance_does() -> None:
    _, unguided = interval(Point(1, 86, 1, COUNT))  # of Toybox's red sevens
    guided, _ = interval(Point(15, 100, 1, COUNT))
    assert unguided < guided
    _, unguided = interval(Point(1, 5 / 6 * 100, 1, 6))
    assert unguided > interval(Point(4, 100, 1, 6))[0], "six were not"


def test_a_point_stands_on_all_requests_of_its_value() -> None:
    def part(count: int, percent: float, **more: float) -> Result:
        figures = {"all_as_asked_percent": percent} | more
        return Result(np.zeros((count, 8, 8, 3), np.uint8), figures=figures)

    results = [part(16, 100, diversity=2.0), part(4, 50, diversity=4.0), part(1, 0)]
    assert point_of(4, results) == Point(4, pytest.approx(1800 / 21), pytest.approx(2.4), 21)
    assert point_of(4, [*results, Result(np.zeros((1, 8, 8, 3), np.uint8))]) is None


def test_points_come_one_by_one_with_the_figures_of_their_pictures() -> None:
    client = FakeClient()

    def post(frame: Frame) -> None:
        for ticket in [ticket for ticket in client.tickets if not ticket.ended][:3]:
            steps = ticket.request.num_inference_steps  # type: ignore[attr-defined]
            figures = {"all_as_asked_percent": 2.0 * steps, "diversity": 1.0}
            ticket.post(drawn(ticket.request, figures=figures if steps > 1 else {}))

    values = ("toybox", "a red 7", "", 6, 4, "dpmpp-2m", 42, 2)
    shown = frames(app(client), "sd-curve-steps-generate", *values, during=post)
    figures = [frame["sd-curve-steps-plot"] for frame in shown if "sd-curve-steps-plot" in frame]
    counts = [len(figure.data[0].x) for figure in figures]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, 6), "what was not judged has no point"
    assert {2, 5} <= set(counts)
    assert list(figures[-1].data[0].y) == [4, 8, 16, 32, 50, 100]
    assert figures[-1].layout.shapes[0].x0 == 6, "where the slider stands"
    assert "14 pictures in" in shown[-1]["sd-curve-steps-status"]
    assert "2 pictures for each value" in shown[-1]["sd-curve-steps-note"]


def test_the_interval_of_few_pictures_is_wide_and_never_leaves_the_scale() -> None:
    low, high = interval(Point(4, 100.0, 1.0, 6))
    assert (round(low), high) == (61, pytest.approx(100))  # Wilson's for 6 of 6
    low, high = interval(Point(4, 50.0, 1.0, 100))
    assert (round(low), round(high)) == (40, 60)


def test_the_slider_is_marked_on_the_curve() -> None:
    figure: Any = curves_figure("guidance_scale", (0, 15), [Point(4, 50, 1, 6)], 7.5)
    assert figure.layout.shapes[0].x0 == 7.5
    unmarked: Any = curves_figure("guidance_scale", (0, 15), [], None)
    assert not unmarked.layout.shapes


# --- generate ---------------------------------------------------------------------------------


def test_generate_shows_what_the_judge_reads_under_each_picture() -> None:
    figures = {"read": ["red 7 on <blue>", "red 1 on blue"], "as_asked_percent": {"class": 50.0}}
    client = answering(lambda request: [drawn(request, figures=figures)])
    shown = together(frames(app(client), "sd-generate", *VALUES, 2, 3))
    assert len(re.findall(ADDRESS, shown["sd-gallery"])) == 2
    assert "<figcaption>red 7 on &lt;blue&gt;</figcaption>" in shown["sd-gallery"]
    assert 'download="sd-43.png"' in shown["sd-gallery"]
    assert "50 %" in shown["sd-strip"]
    (ticket,) = client.tickets
    assert ticket.request.judge  # type: ignore[attr-defined]


def test_an_empty_box_gets_a_sentence() -> None:
    (frame,) = frames(app(FakeClient()), "sd-generate", *VALUES, None, 3)
    sentence = "count is empty, but must be a whole number from 1 to 16."
    assert sentence in unescape(frame["sd-status"])


def test_a_run_makes_way_for_a_later_move_but_not_for_its_own() -> None:
    client = FakeClient()
    runs = app(client).runs
    with runs.run("me", "sd") as run:
        (ticket,) = run.submit([BASE])
        runs.make_way("me", "sd", run.begun - 0.1)
        runs.make_way("somebody else", "sd", run.begun + 0.1)
        assert not ticket.ended
        runs.make_way("me", "sd", run.begun + 0.1)
        assert ticket.ended


# --- PNGs with generation metadata ------------------------------------------------------------


def test_a_dropped_png_gives_its_settings_to_all_who_drop_it(tmp_path: Path) -> None:
    file = tmp_path / "dropped.png"
    file.write_bytes(b"content")
    request = BASE.model_copy(update={"seed": 13, "count": 1})
    registry: Any = SimpleNamespace(restore={b"content": (request, ())}.__getitem__)
    context = fake_context(FakeClient(), registry)
    assert restored_from(context, file) == (request, ())
    assert restored_from(context, file) == (request, ()), "a class shares one uploaded file"


def test_a_png_of_another_tab_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "digit.png"
    file.write_bytes(b"content")
    request = SimpleNamespace(checkpoint="sd")
    registry: Any = SimpleNamespace(restore=lambda _: (request, ()), entry=REGISTRY.entry)
    with pytest.raises(UserError, match="drawn by Tiny sd, which is in another tab"):
        restored_from(fake_context(FakeClient(), registry), file)


# --- models from outside ----------------------------------------------------------------------

DISTILLED = model(
    "turbo", "stable_diffusion", card={"distilled": "It needs no guidance."},
    defaults={"num_inference_steps": 2, "guidance_scale": 1.0, "scheduler": "euler-ancestral"},
)  # fmt: skip
OFFER = Offer("big", "Big", 2.14, True, "available")


def lines_while_downloading(*offers: Offer | UserError) -> list[tuple[str, bool]]:
    """What the page says while the registry gives these answers, one a look."""
    answers = iter(offers)

    def fetch(name: str) -> None:
        first = offers[0]
        if isinstance(first, UserError):
            raise first

    registry: Any = SimpleNamespace(fetch=fetch, offers=lambda: [next(answers)])
    context = fake_context(FakeClient(), registry)

    async def collect() -> list[tuple[str, bool]]:
        return [seen async for seen in downloading(context, "big")]

    return asyncio.run(collect())


def test_a_download_tells_its_size_and_progress_until_the_model_is_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(models, "LOOK", 0)
    half = replace(OFFER, state="downloading", progress=0.5)
    shown = lines_while_downloading(half, replace(half, state="ready"))
    assert "50% of about 2.1 GB" in shown[0][0]
    assert shown[0][1]
    assert "Big is here: choose it above." in shown[1][0]
    assert not shown[1][1]


def test_a_download_without_a_network_or_stopped_ends_in_one_sentence() -> None:
    (failed,) = lines_while_downloading(
        replace(OFFER, state="failed", reason="huggingface.co cannot be reached.")
    )
    assert failed == (error_line("huggingface.co cannot be reached."), False)
    assert "Cancelled" in lines_while_downloading(OFFER)[0][0]
    (refused,) = lines_while_downloading(UserError("There is no model called 'big'."))
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


def test_a_model_with_its_own_scheduler_turns_the_choice_off() -> None:
    *_, scheduler = limits(model("pixart", "text_to_image", facts={"own_scheduler": True}))
    assert (scheduler.interactive, scheduler.info) == (
        False, "This model runs with its own scheduler.",
    )  # fmt: skip


def test_toybox_comes_first_and_begins_with_the_usual_values() -> None:
    assert usable(app(FakeClient())) == [TOYBOX, SD]
    assert defaults(TOYBOX) == {
        "num_inference_steps": 25, "guidance_scale": 4.0, "scheduler": "dpmpp-2m",
    }  # fmt: skip
    number, *_ = limits(TOYBOX)
    assert number.interactive


# --- settings from and to the controls --------------------------------------------------------


def test_what_a_cell_restores_is_what_the_controls_then_ask_for() -> None:
    wanted = grid_of(BASE, Axis("seed", (9,)), Axis("guidance_scale", (8.0,))).requests[0]
    updates = restored(wanted.model_dump())
    assert len(updates) == len(NAMES) + 2 == len(Controls(*[None] * 9).outputs)  # type: ignore[arg-type]
    values = [update["value"] for update in updates[: len(NAMES)]]
    assert request_of(values, count=1) == wanted
