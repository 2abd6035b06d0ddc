"""The Guidance tab before a client of its own: rows, requests, trajectories, sweeps, faults."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genlab.engine.events import Event, Failed, Progress, Result
from genlab.families.pixel_diffusion.request import PixelDiffusionRequest
from genlab.models.registry import Registry
from genlab.requests import UserError
from genlab.ui.cells import Cell, CellView
from genlab.ui.context import AppContext
from genlab.ui.tabs.guidance import scale, side_by_side, steps, tab, trajectory
from genlab.ui.tabs.guidance.inputs import METHODS, GuidanceInputs, class_names, parse_row, row_note
from genlab.ui.tabs.guidance.scale_plots import scale_curve
from tests.fake_client import FakeClient, ListedRegistry, answering, fake_context, model
from tests.fake_page import FakePage, Frame, pressed, together

PROJECT = Path(__file__).resolve().parent.parent
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
    "scheduler": "dpmpp-2m",
}
DDPM = model("ddpm", "pixel_diffusion", "mnist", facts={"scales": SCALES})
FLOW = model("flow", "pixel_diffusion", "mnist", facts={"flow": True})
ALONE = model("ddpm-alone", "pixel_diffusion", "nowhere")
JUDGE = model("judge", "classifier", "fashion", facts={"classes": GARMENTS})
REGISTRY: Any = ListedRegistry(DDPM, FLOW, ALONE, JUDGE, refused={"ddpm-alone": "It cannot."})
VALUES = ("ddpm", "3 1", 5, 4, 8, 2, 3, "ddim", 0)
"""Of the controls, in their order."""


def app(client: FakeClient) -> AppContext:
    return fake_context(client, REGISTRY)


def inputs(**changes: Any) -> GuidanceInputs:
    return replace(GuidanceInputs.of(VALUES), **changes)


def frames(client: FakeClient, button: str, *values: Any) -> list[Frame]:
    """What the tab's elements are given after a press."""
    return pressed(FakePage(tab.build, app(client)), button, *values)


def drawn(request: Any, **more: Any) -> Result:
    return Result(np.full((request.count, 28, 28), request.seed, np.uint8), seconds=0.25, **more)


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


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (
            "10",
            "“10” is read as the row 1, 0. A row has one picture for each entry: 2, whatever Count "
            "says.",
        ),
        ("3 1 4", "A row has one picture for each entry: 3, whatever Count says."),
        ("7", ""),
        ("", ""),
        ("3 10", ""),
        ("giraffe", ""),
    ],
)
def test_a_row_says_how_it_is_read_and_what_count_means_then(text: str, note: str) -> None:
    assert row_note(text, DIGITS) == note


def test_garments_are_read_by_name_and_by_number() -> None:
    assert parse_row("Shirt, t-shirt ankle boot 2", GARMENTS) == (3, 0, 4, 2)


@pytest.mark.parametrize("text", ["giraffe", "3 x", "3.5", "boots", "<b>"])
def test_a_word_that_is_no_class_gets_a_sentence(text: str) -> None:
    with pytest.raises(UserError, match="is no class; write classes from 0 to 9 or: T-shirt"):
        parse_row(text, GARMENTS)


@pytest.mark.parametrize("text", ["10 3", "-1", "3 99", "1 " * 65])
def test_a_class_outside_the_ten_gets_the_requests_own_sentence(text: str) -> None:
    with pytest.raises(UserError, match=r"^labels is .*, but must be whole numbers from 0 to 9"):
        inputs(digits=text).request(REGISTRY, "none")


def test_the_judge_says_what_classes_are_called_and_without_one_they_are_numbers() -> None:
    assert class_names(REGISTRY, "fashion") == GARMENTS
    assert class_names(REGISTRY, "mnist") == DIGITS


# --- from controls to requests ----------------------------------------------------------------


def test_the_three_methods_start_from_the_same_noise() -> None:
    requests = [inputs(digits="3").request(REGISTRY, method) for method in METHODS]
    assert {(r.seed, r.count, r.labels) for r in requests} == {(5, 4, (3,))}
    assert [request.guidance for request in requests] == ["none", "classifier", "classifier-free"]
    assert [request.guidance_scale for request in requests] == [0, 3, 2]


def test_a_typed_row_is_as_long_as_it_is_typed() -> None:
    row = inputs(digits="3 1 4").request(REGISTRY, "none")
    assert (row.count, row.labels) == (3, (3, 1, 4))
    everything = inputs(digits="").request(REGISTRY, "none")
    assert (everything.count, everything.labels) == (4, tuple(range(10)))


@pytest.mark.parametrize(
    ("method", "changes", "sentence"),
    [
        ("classifier-free", {"free_scale": -1}, "guidance_scale is -1, but must be a number from"),
        ("classifier-free", {"free_scale": float("nan")}, "guidance_scale is nan, but must be"),
        ("classifier", {"classifier_scale": 1e6}, "guidance_scale is 1000000.0, but must be"),
        ("classifier", {"checkpoint": "ddpm-alone"}, "It cannot."),
        ("none", {"checkpoint": "../x"}, "There is no checkpoint called '../x'"),
        ("none", {"eta": 2}, "eta is 2, but must be a number from 0 to 1"),
        ("none", {"scheduler": "fastest"}, "scheduler is 'fastest', but must be one of ddim"),
    ],
)
def test_a_wrong_value_gets_its_sentence(
    method: str, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        inputs(**changes).request(REGISTRY, method)


def test_the_trajectory_is_of_the_very_picture_of_the_row() -> None:
    one = inputs(digits="3 1 4").one_picture(REGISTRY, "classifier-free", 2)
    assert (one.seed, one.count, one.labels, one.trajectory) == (6, 1, (1,), True)
    assert not one.judge


@pytest.mark.parametrize("picture", [0, 4, 1.5, "", float("nan")])
def test_a_picture_beyond_the_row_gets_a_sentence(picture: Any) -> None:
    with pytest.raises(UserError, match="but the row has 1 to 3"):
        inputs(digits="3 1 4").one_picture(REGISTRY, "none", picture)


def test_every_mode_has_its_pictures_measured_where_they_are_drawn() -> None:
    context = app(FakeClient())
    cells = [
        *side_by_side.cells_of(context, inputs()),
        *steps.cells_of(context.registry, "none", inputs()),
        *scale.cells_of(context, 20, inputs()),
    ]
    assert len(cells) == 3 + 7 + 12
    assert all(request.judge for cell in cells for request in cell.requests)  # type: ignore[attr-defined]


def test_steps_and_scales_are_what_the_rows_say() -> None:
    context = app(FakeClient())
    swept = [cell.requests[0] for cell in steps.cells_of(context.registry, "classifier", inputs())]
    assert [r.num_inference_steps for r in swept] == [1, 2, 5, 10, 25, 50, 100]  # type: ignore[attr-defined]
    scales = [cell.requests[0] for cell in scale.cells_of(context, 20, inputs())]
    assert [r.guidance_scale for r in scales] == [0, 1, 2, 4, 8, 16] * 2  # type: ignore[attr-defined]
    assert {(r.count, r.labels) for r in scales} == {(20, tuple(range(10)))}  # type: ignore[attr-defined]


def test_two_models_take_the_same_steps_from_the_same_noise_each_by_a_rule_that_it_has() -> None:
    cells = steps.cells_of(REGISTRY, "none", inputs(scheduler="dpmpp-2m"), "flow")
    own, beside = ([cell.requests[0] for cell in part] for part in (cells[:7], cells[7:]))
    assert {r.checkpoint for r in own} == {"ddpm"}
    assert {r.checkpoint for r in beside} == {"flow"}
    assert {r.scheduler for r in own} == {"dpmpp-2m"}  # type: ignore[attr-defined]
    assert {r.scheduler for r in beside} == {"ddim"}  # type: ignore[attr-defined]
    for a, b in zip(own, beside, strict=True):
        assert (a.seed, a.count, a.num_inference_steps) == (b.seed, b.count, b.num_inference_steps)  # type: ignore[attr-defined]


def test_a_diffusion_is_put_beside_the_flow_of_its_data() -> None:
    garments = model("a-garments", "pixel_diffusion", "fashion")
    assert steps.twin_of(DDPM, [DDPM]) is None
    assert steps.twin_of(DDPM, [garments, DDPM]) is garments
    assert steps.twin_of(DDPM, [garments, DDPM, ALONE, FLOW]) is FLOW
    assert steps.twin_of(FLOW, [garments, DDPM, FLOW]) is DDPM


# --- side by side -----------------------------------------------------------------------------


def test_each_methods_pictures_have_addresses_and_the_figures_that_came_with_them() -> None:
    figures = {"as_asked_percent": {"class": 75.0}}
    client = answering(lambda request: [drawn(request, figures=figures)])
    shown = together(frames(client, "guidance-generate", *VALUES))
    for name in METHODS:
        assert shown[f"guidance-{name}-gallery"].count('src="pictures/') == 2
        assert "75 %" in shown[f"guidance-{name}-strip"]
        assert "250 ms" in shown[f"guidance-{name}-strip"]
    assert "6 pictures in" in shown["guidance-status"]


def test_what_one_method_refuses_is_said_in_its_place_and_the_others_draw() -> None:
    client = answering(lambda request: [drawn(request)])
    values = (*VALUES[:6], -1, *VALUES[7:])  # the classifier's scale
    shown = together(frames(client, "guidance-generate", *values))
    assert "guidance_scale is -1" in shown["guidance-classifier-gallery"]
    assert shown["guidance-classifier-strip"] == ""
    requests: list[Any] = [ticket.request for ticket in client.tickets]
    assert [request.guidance for request in requests] == ["none", "classifier-free"]
    assert "pictures/" in shown["guidance-none-gallery"]


def test_what_all_methods_refuse_is_said_once() -> None:
    client = FakeClient()
    values = (*VALUES[:2], -1, *VALUES[3:])  # the seed
    (frame,) = frames(client, "guidance-generate", *values)
    assert "seed is -1" in frame["guidance-status"]
    assert not any(name.endswith("gallery") for name in frame)
    assert client.tickets == []


def test_a_preview_is_shown_until_the_pictures_are_there() -> None:
    client = FakeClient()

    def post(frame: Frame) -> None:
        if "guidance-none-gallery" in frame:
            for ticket in client.tickets:
                ticket.post(drawn(ticket.request))
        else:
            client.tickets[0].post(Progress(4, 8, np.zeros((2, 28, 28), np.uint8), None))

    page = FakePage(tab.build, app(client))
    seen = pressed(page, "guidance-generate", *VALUES, during=post)
    galleries = [f["guidance-none-gallery"] for f in seen if "guidance-none-gallery" in f]
    assert galleries[0].count('src="data:image/png') == 2
    assert galleries[-1].count('src="pictures/') == 2


# --- trajectories -----------------------------------------------------------------------------


def kept(request: PixelDiffusionRequest, count: int | None = None) -> dict[str, Any]:
    """The extras of a run as its family keeps them, of ``count`` steps."""
    count = count or request.num_inference_steps
    numbers = np.arange(count)

    def pictures(level: int) -> np.ndarray:
        return np.full((count, 1, 28, 28), level, np.uint8)

    extras = {
        "trajectory_steps": numbers,
        "trajectory_timesteps": (1000 - numbers).astype(np.float32),
        "trajectory_x_t": pictures(1),
        "trajectory_guided": pictures(2),
        "trajectory_uncond": pictures(3),
        "trajectory_guidance_norm": numbers[:, None].astype(np.float32),
        "trajectory_confidence": np.linspace(0, 1, count)[:, None],
    }
    if request.guidance == "classifier-free":
        extras["trajectory_cond"] = pictures(9)
    if request.guidance == "classifier":
        extras["trajectory_gradient"] = np.ones((count, 1, 28, 28), np.float16)
    return extras


def trajectory_frames(answer: Any, **changes: Any) -> dict[str, Any]:
    values = GuidanceInputs.of(VALUES)
    settings = replace(values, **changes)
    return together(
        frames(answering(answer), "guidance-film-generate", 1, *vars(settings).values())
    )


def test_every_method_is_shown_with_what_steers_it() -> None:
    shown = trajectory_frames(lambda r: [drawn(r, extras=kept(r))])["guidance-film-shown"]
    assert all(method.title in shown for method in METHODS.values())
    assert shown.count('class="step-image') == 2 + (2 + 2) + (2 + 3)
    assert "their difference" in shown
    assert "gradient" in shown
    assert "Step <output" in shown
    assert ">8 of 8, t = 993<" in shown
    assert "--frames:8" in shown
    assert "p(y | xₜ) = 100 %, push 7.00<" in shown, "the texts begin with the last step"
    assert 'id="guidance-film-confidence"' in shown
    assert shown.count("<polyline") == 6, "two curves, a line a method"


def test_a_method_that_failed_says_so_above_the_others() -> None:
    def answer(request: PixelDiffusionRequest) -> list[Event]:
        if request.guidance == "classifier":
            return [Failed("The numbers ran away.")]
        return [drawn(request, extras=kept(request))]

    shown = trajectory_frames(answer)["guidance-film-shown"]
    assert shown.startswith('<p class="complaint" role="alert">The numbers ran away.')
    assert METHODS["none"].title in shown
    assert METHODS["classifier"].title not in shown


def test_a_run_that_is_stopped_leaves_the_trajectories_before_it() -> None:
    client = FakeClient()
    context = app(client)

    def draw_one_and_stop(frame: Frame) -> None:
        request: Any = client.tickets[0].request
        client.tickets[0].post(drawn(request, extras=kept(request)))
        context.runs.stop("me", "guidance-film")

    page = FakePage(tab.build, context)
    seen = pressed(page, "guidance-film-generate", 1, *VALUES, during=draw_one_and_stop)
    assert "Stopped" in seen[-1]["guidance-film-status"]
    assert "guidance-film-shown" not in together(seen)


def test_curves_have_a_line_for_each_method_that_knows() -> None:
    requests = {m: inputs().one_picture(REGISTRY, m, 1) for m in METHODS}
    extras = {method: kept(request) for method, request in requests.items()}
    del extras["none"]["trajectory_confidence"]
    confidence, push = trajectory.curves_of(extras)
    assert [line.name for line in confidence.lines] == ["classifier", "classifier-free"]
    assert confidence.top == 1
    assert [len(line.values) for line in push.lines] == [8, 8, 8]
    assert push.axis == ("1", "step", "8")


# --- scales -----------------------------------------------------------------------------------


def test_measured_curves_are_drawn_with_the_floor_and_live_dots() -> None:
    live = {"classifier": [{"guidance_scale": 1, "label_accuracy": 0.5, "diversity": 3.0}]}
    measured = scale.measured_scales(DDPM)
    fid: Any = scale_curve("FID", "fid", measured, live, SCALES["fid_floor"])  # type: ignore[arg-type]
    curve, floor = fid.data
    assert list(curve.x) == [0, 2**0.5]
    assert (floor.name, list(floor.y)) == ("real pictures", [0.08, 0.08])
    accuracy: Any = scale_curve("Accuracy", "label_accuracy", measured, live)
    rings, line = accuracy.data
    assert (rings.name, rings.mode, line.mode) == ("classifier", "markers", "lines+markers")


def test_the_fid_axis_has_ticks_wherever_the_curve_lies() -> None:
    for scales in (SCALES, Registry(PROJECT / "checkpoints").entry("ddpm-mnist").facts["scales"]):
        figure: Any = scale_curve("FID", "fid", scales, {}, scales["fid_floor"])
        values = [y for trace in figure.data for y in trace.y]
        ticks = [t for t in figure.layout.yaxis.tickvals if min(values) <= t <= max(values)]
        assert len(ticks) >= 3
        assert figure.layout.yaxis.ticktext[figure.layout.yaxis.tickvals.index(0.5)] == "0.5"


def test_the_classifiers_scale_begins_at_its_lowest_fid_and_not_at_its_maximum() -> None:
    points = [{"guidance_scale": s, "fid": f} for s, f in ((0, 3.0), (8, 0.5), (32, 0.9))]
    measured = model("ddpm", "pixel_diffusion", facts={"scales": {"classifier": points}})
    assert tab.best_scale(measured, "classifier") == 8
    assert tab.best_scale(ALONE, "classifier") == 2
    registry = Registry(PROJECT / "checkpoints", downloads=False)
    page = FakePage(tab.build, fake_context(FakeClient(), registry))
    number = page.element("guidance-classifier-scale").children[0]
    while not hasattr(number, "value"):
        number = number.children[0]
    assert number.value == 2


def test_the_page_says_how_curves_were_measured_or_that_there_are_none() -> None:
    assert "Measured beforehand: 100 pictures a point, 4 DPM++ 2M steps." in scale.how_measured(
        DDPM
    )
    noisy = model("ddpm", "pixel_diffusion", "mnist", facts={"scales": SCALES | {"eta": 1.0}})
    assert "4 DPM++ 2M steps, eta 1." in scale.how_measured(noisy)
    assert "Tiny ddpm-alone has no measured curves; draw them live." in scale.how_measured(ALONE)


def test_what_the_judge_found_becomes_rings_and_what_it_could_not_judge_none() -> None:
    cells = scale.cells_of(app(FakeClient()), 10, inputs())
    figures = {"as_asked_percent": {"class": 90.0}, "diversity": 3.5}
    views = [CellView((drawn(cell.requests[0], figures=figures),)) for cell in cells]
    views[0] = CellView((drawn(cells[0].requests[0]),))
    points = scale.live_points(cells, views)
    assert [len(points[method]) for method in scale.GUIDED] == [5, 6]
    assert points["classifier"][0] == {
        "guidance_scale": 1, "label_accuracy": 0.9, "diversity": 3.5,
    }  # fmt: skip


def test_a_refused_scale_has_no_ring() -> None:
    cells = [Cell(refused="no"), *scale.cells_of(app(FakeClient()), 10, inputs())[:1]]
    figures = {"as_asked_percent": {"class": 90.0}}
    views = [CellView((Failed("no"),)), CellView((drawn(cells[1].requests[0], figures=figures),))]
    assert len(scale.live_points(cells, views)["classifier"]) == 1


def test_rows_fill_and_the_plots_follow_at_the_end() -> None:
    figures = {"as_asked_percent": {"class": 50.0}, "diversity": 2.0}
    client = answering(lambda request: [drawn(request, figures=figures)])
    shown = together(frames(client, "guidance-scales-generate", 20, *VALUES))
    row = shown["guidance-scales-classifier-4"]
    assert row.count('src="pictures/') == 10, "the first ones of twenty"
    assert "50 % of 20 as asked" in row
    assert "diversity 2.00" in row
    plot = shown["guidance-scales-label-accuracy"]
    assert [trace.mode for trace in plot.data] == ["markers", "lines+markers", "markers"]
