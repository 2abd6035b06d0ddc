"""The Guidance tab on a tiny untrained pixel diffusion: rows, requests, films, sweeps, faults."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genlab.engine import Engine, Failed, Result, Runtime
from genlab.models.registry import Catalogue
from genlab.requests import PixelDiffusionRequest, UserError, ask
from genlab.settings import Settings
from genlab.ui.components.metric_strip import measure, strip
from genlab.ui.page import Lab
from genlab.ui.tabs.guidance.cells import Plan
from genlab.ui.tabs.guidance.filmstrip import diverging, film, positions
from genlab.ui.tabs.guidance.measured_scales import measured_scales
from genlab.ui.tabs.guidance.plots import film_curve, scale_curve
from genlab.ui.tabs.guidance.settings import METHODS, Wish, parse_row
from genlab.ui.tabs.guidance.tab import one_picture
from tests.tiny_diffusion import (
    save_tiny_judge,
    save_tiny_noisy_classifier,
    save_tiny_pixel_diffusion,
)

DIGITS = tuple("0123456789")
GARMENTS = ("T-shirt", "trousers", "coat", "shirt", "ankle boot")
SCALES = {
    "classifier-free": [
        {"guidance_scale": 0, "label_accuracy": 0.1, "fid": 3.0, "diversity": 7, "samples": 100},
        {"guidance_scale": 2, "label_accuracy": 0.99, "fid": 0.5, "diversity": 6, "samples": 100},
    ],
    "classifier": [],
    "fid_floor": 0.08,
    "num_inference_steps": 4,
    "scheduler": "ddim",
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A running lab: one pixel diffusion with its classifier and curves, one without either."""
    root = tmp_path_factory.mktemp("checkpoints")
    save_tiny_pixel_diffusion(root)
    save_tiny_pixel_diffusion(root, "ddpm-alone", "nowhere")
    save_tiny_noisy_classifier(root)
    save_tiny_judge(root)
    (root / "ddpm" / "scales.json").write_text(json.dumps(SCALES))
    catalogue = Catalogue(root, Runtime("cpu"))
    with Engine(catalogue) as engine:
        yield Lab(Settings(), catalogue, engine)


def wish(**changes: Any) -> Wish:
    values = {
        "checkpoint": "ddpm", "digits": "3", "seed": 5, "count": 4, "num_inference_steps": 4,
        "free_scale": 2, "classifier_scale": 3, "scheduler": "ddim", "eta": 0,
    }  # fmt: skip
    return Wish(**(values | changes))


def films(lab: Lab, asked: Wish) -> tuple[dict[str, Any], dict[str, PixelDiffusionRequest]]:
    """Extras and requests of a film, by method."""
    requests = {method: one_picture(lab, asked, method, 1) for method in METHODS}
    jobs = {method: lab.engine.submit(request) for method, request in requests.items()}
    return {method: job.result().extras for method, job in jobs.items()}, requests


# --- the row ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("7", (7,)),
        ("3 1 4 1 5", (3, 1, 4, 1, 5)),
        (" 3,1;4 ", (3, 1, 4)),
        ("31415", (3, 1, 4, 1, 5)),
        ("", ()),
        ("3 10", (3, 10)),
        ("-1", (-1,)),
    ],
)
def test_a_row_of_digits_is_read_however_it_is_typed(text: str, labels: tuple[int, ...]) -> None:
    assert parse_row(text, DIGITS) == labels


def test_garments_are_read_by_name_and_by_number() -> None:
    assert parse_row("Shirt, t-shirt ankle boot 2", GARMENTS) == (3, 0, 4, 2)


@pytest.mark.parametrize("text", ["giraffe", "3 x", "3.5", "boots", "<b>"])
def test_a_word_that_is_no_class_gets_a_sentence(text: str) -> None:
    with pytest.raises(UserError, match="is no class; write classes from 0 to 9 or: T-shirt"):
        parse_row(text, GARMENTS)


@pytest.mark.parametrize("text", ["10 3", "-1", "3 99", "1 " * 65])
def test_a_class_outside_the_ten_gets_the_requests_own_sentence(lab: Lab, text: str) -> None:
    with pytest.raises(UserError, match=r"^labels is .*, but must be at most 64 classes, each"):
        wish(digits=text).request(lab.catalogue, "none")


# --- what is asked for ------------------------------------------------------------------------


def test_the_three_methods_start_from_the_same_noise(lab: Lab) -> None:
    asked = [wish().request(lab.catalogue, method) for method in METHODS]
    assert {(request.seed, request.count, request.labels) for request in asked} == {(5, 4, (3,))}
    assert [request.guidance for request in asked] == ["none", "classifier", "classifier-free"]
    assert [request.guidance_scale for request in asked] == [0, 3, 2]


def test_a_typed_row_is_as_long_as_it_is_typed(lab: Lab) -> None:
    row = wish(digits="3 1 4").request(lab.catalogue, "none")
    assert (row.count, row.labels) == (3, (3, 1, 4))
    everything = wish(digits="").request(lab.catalogue, "none")
    assert (everything.count, everything.labels) == (4, tuple(range(10)))


@pytest.mark.parametrize(
    ("method", "changes", "sentence"),
    [
        ("classifier-free", {"free_scale": -1}, "guidance_scale is -1, but must be a number from"),
        ("classifier-free", {"free_scale": float("nan")}, "guidance_scale is nan, but must be"),
        ("classifier", {"classifier_scale": 1e6}, "guidance_scale is 1000000.0, but must be"),
        ("classifier", {"checkpoint": "ddpm-alone"}, "no checkpoint called 'nowhere'"),
        ("none", {"checkpoint": "../x"}, "There is no checkpoint called '../x'"),
        ("none", {"eta": 2}, "eta is 2, but must be a number from 0 to 1"),
        ("none", {"scheduler": "fastest"}, "scheduler is 'fastest', but must be one of ddim"),
    ],
)
def test_a_wrong_value_gets_its_sentence(
    lab: Lab, method: str, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        wish(**changes).request(lab.catalogue, method)


def test_what_only_one_method_refuses_leaves_the_others_alone(lab: Lab) -> None:
    plan = Plan()
    for method in METHODS:
        plan.add(lambda m=method: wish(classifier_scale=-1).request(lab.catalogue, m))
    assert [request.guidance for request in plan.requests] == ["none", "classifier-free"]
    assert isinstance(plan.cells[1], Failed)
    assert plan.spread(["a", "b"]) == ["a", None, "b"]


def test_what_all_methods_refuse_is_said_once(lab: Lab) -> None:
    plan = Plan()
    for method in METHODS:
        plan.add(lambda m=method: wish(seed=-1).request(lab.catalogue, m))
    with pytest.raises(UserError, match="seed is -1"):
        _ = plan.requests


def test_the_film_is_of_the_very_picture_of_the_row(lab: Lab) -> None:
    asked = wish(digits="3 1 4")
    one = one_picture(lab, asked, "classifier-free", 2)
    assert (one.seed, one.count, one.labels, one.film) == (6, 1, (1,), True)
    row = lab.engine.submit(asked.request(lab.catalogue, "classifier-free")).result()
    alone = lab.engine.submit(one).result()
    assert np.abs(row.images[1].astype(int) - alone.images[0].astype(int)).max() <= 2


@pytest.mark.parametrize("picture", [0, 4, 1.5, "", float("nan")])
def test_a_picture_beyond_the_row_gets_a_sentence(lab: Lab, picture: Any) -> None:
    with pytest.raises(UserError, match="but the row has 1 to 3"):
        one_picture(lab, wish(digits="3 1 4"), "none", picture)


# --- the film ---------------------------------------------------------------------------------


def test_a_film_shows_every_method_and_what_steers_it(lab: Lab) -> None:
    shown = film(*films(lab, wish()))
    assert all(method.title in shown for method in METHODS.values())
    assert shown.count('class="reel"') == 2 + (2 + 2) + (2 + 3)
    assert "their difference" in shown
    assert "gradient" in shown
    assert "Step 4 of 4, t = " in shown
    assert "--frames:4" in shown


def test_a_film_of_one_step_has_one_frame(lab: Lab) -> None:
    shown = film(*films(lab, wish(num_inference_steps=1)))
    assert "--frames:1" in shown
    assert positions([0]) == [0.5]


def test_a_long_run_keeps_fifty_frames_and_the_last_step(lab: Lab) -> None:
    extras, requests = films(lab, wish(num_inference_steps=120))
    assert "--frames:50" in film(extras, requests)
    assert extras["none"]["film_steps"][-1] == 119


def test_maps_are_red_where_ink_is_added_and_blue_where_it_is_taken() -> None:
    red, blue, none = diverging(np.array([[[2.0, -4.0, 0.0]]]))[0, 0].astype(int)
    assert red[0] > red[2]
    assert blue[2] > blue[0]
    assert (none == 0).all()
    assert not diverging(np.zeros((1, 2, 2))).any()


def test_curves_have_a_line_for_each_method_that_knows(lab: Lab) -> None:
    extras, _ = films(lab, wish(checkpoint="ddpm"))
    figure: Any = film_curve("Confidence", "film_confidence", extras, top=1)
    assert [len(trace.y) for trace in figure.data] == [4, 4, 4]
    assert tuple(figure.layout.xaxis.range) == (1, 4)
    norms: Any = film_curve("Push", "film_guidance_norm", extras)
    assert [max(trace.y) > 0 for trace in norms.data] == [False, True, True]
    assert not film_curve("Confidence", "film_confidence", {}).data


# --- scales -----------------------------------------------------------------------------------


def test_measured_curves_are_drawn_with_the_floor_and_live_dots(lab: Lab) -> None:
    told = measured_scales(lab.catalogue.entry("ddpm"))
    live = {"classifier": [{"guidance_scale": 1, "label_accuracy": 0.5, "diversity": 3.0}]}
    fid: Any = scale_curve("FID", "fid", told, live, told["fid_floor"])
    curve, floor = fid.data
    assert list(curve.x) == [0, 2**0.5]
    assert (floor.name, list(floor.y)) == ("real pictures", [0.08, 0.08])
    accuracy: Any = scale_curve("Accuracy", "label_accuracy", told, live)
    rings, line = accuracy.data
    assert (rings.name, rings.mode, line.mode) == ("classifier", "markers", "lines+markers")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"classifier": 3}', "{", '{"classifier": [1]}'])
def test_damaged_curves_are_no_curves(lab: Lab, tmp_path: Path, text: str) -> None:
    save_tiny_pixel_diffusion(tmp_path)
    (tmp_path / "ddpm" / "scales.json").write_text(text)
    assert measured_scales(Catalogue(tmp_path, Runtime("cpu")).entry("ddpm")) == {}
    assert measured_scales(lab.catalogue.entry("ddpm-alone")) == {}


def test_the_cards_fid_stands_only_under_its_own_settings(lab: Lab) -> None:
    how = {"fid": 0.2, "guidance_scale": 2, "num_inference_steps": 4, "scheduler": "ddim"}
    entry = replace(lab.catalogue.entry("ddpm"), card={"metrics": how})
    result = Result(np.zeros((4, 28, 28), np.uint8))

    def known(method: str = "classifier-free", **changes: Any) -> float | None:
        request = wish(**changes).request(lab.catalogue, method)
        return measure(entry, request, None, result, {}).get("fid")

    assert known() == 0.2
    others = [known(**c) for c in ({"free_scale": 3}, {"eta": 1}, {"scheduler": "euler"})]
    assert [*others, known("none"), known("classifier")] == [None] * 5


def test_the_strip_says_how_many_are_of_the_wished_class(lab: Lab) -> None:
    request = ask(PixelDiffusionRequest, checkpoint="ddpm", labels=(3, 1), count=4)
    probs = np.eye(10)[[3, 1, 3, 7]]
    opinion = {"probs": probs, "features": np.array([[0.0, 0], [0, 0], [3, 4], [0, 1]])}
    judge = lab.catalogue.judge("mnist")
    result = Result(np.zeros((4, 28, 28), np.uint8))
    figures = measure(lab.catalogue.entry("ddpm"), request, judge, result, opinion)
    assert figures["as_asked_percent"] == {"class": 75.0}
    assert figures["diversity"] == 3.0, "5 among the threes, 1 among the ones"
    assert "as asked" in strip(figures)
    assert "Time" in strip(figures | {"seconds": 1.25})
