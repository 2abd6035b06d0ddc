"""The Grid of the Stable Diffusion tab: axes, pictures as they come, the contact sheet."""

from __future__ import annotations

import inspect
import io
import json
import re
import threading
from html import unescape
from typing import Any

import numpy as np
import pytest
from PIL import Image

from genlab.diffusion.schedulers import SCHEDULERS
from genlab.engine.events import Event, Failed, Progress, Result
from genlab.families.stable_diffusion import check_request
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.requests import UserError
from genlab.ui.api import handwritten
from genlab.ui.cells import CellView
from genlab.ui.components.contact_sheet import labelled_sheet
from genlab.ui.tabs.stable_diffusion import grid
from genlab.ui.tabs.stable_diffusion.axes import AXES, MOST, Axis, axis, grid_of
from genlab.ui.tabs.stable_diffusion.grid_table import chosen, twins
from tests.fake_client import FakeClient, ListedRegistry, answering, fake_context, model
from tests.fake_page import Frame, together
from tests.sd_page import ADDRESS, BASE, VALUES, app, drawn, frames

# --- the axes of a grid -----------------------------------------------------------------------


def test_values_are_separated_by_commas_or_lines() -> None:
    assert axis("seed", "1, 2,3", BASE).values == (1, 2, 3)
    assert axis("negative_prompt", "(none)\na 7, red\n", BASE).values == ("", "a 7, red")
    assert axis("guidance_scale", "0, 7.5, 0", BASE).labels == ["0", "7.5"]
    assert axis("seed", [4, 5], BASE).values == (4, 5)


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("num_inference_steps", "5, 101", "num_inference_steps is 101, but must be a whole"),
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
        grid_of(BASE, seeds, seeds)
    with pytest.raises(UserError, match="9 columns and 8 rows make 72 pictures, but .* at most 64"):
        grid_of(BASE, seeds, Axis("num_inference_steps", tuple(range(1, 9))))


def test_cells_differ_in_both_settings_and_in_nothing_else() -> None:
    cells = grid_of(BASE, Axis("seed", (1, 2)), Axis("guidance_scale", (0.0, 8.0))).requests
    assert [(c.seed, c.guidance_scale) for c in cells] == [(1, 0), (2, 0), (1, 8), (2, 8)]
    assert {(c.count, c.prompt, c.negative_prompt) for c in cells} == {(1, "a red seven", "blue")}


# --- what is drawn twice ----------------------------------------------------------------------


def by_guidance(request: Any) -> list[Event]:
    """Pictures as Stable Diffusion draws them: at a scale of 1 and less there is no guidance."""
    scale = request.guidance_scale if request.guidance_scale > 1 else 0
    grey = np.full((1, 16, 16, 3), 10 * int(scale) + 3 * (request.seed % 10), np.uint8)
    grey[0, 0, 0] += int(request.guidance_scale == 1)  # rounded otherwise in another batch
    return [Result(grey, fingerprint="f" * 64)]


def test_rows_with_the_same_pictures_are_pointed_out_with_the_reason() -> None:
    values = grid_values("seed", "3, 4", "guidance_scale", "0, 1, 8")
    shown = together(frames(app(answering(by_guidance)), "sd-grid-generate", *values))
    table = shown["sd-grid-cells"]
    assert re.findall(r'<th scope="row">(.*?)</th>', table) == ["0", "1, as 0", "8"]
    assert re.findall(r'<th scope="col">(.*?)</th>', table) == ["3", "4"]
    assert (
        "Same pictures at scale 1 as 0: at 1 and less there is no guidance, and the prompt is "
        "still told." in table
    )


def test_columns_that_a_setting_leaves_alone_are_pointed_out_too() -> None:
    values = grid_values("negative_prompt", "(none), red", "seed", "3, 4")
    shown = together(frames(app(answering(by_guidance)), "sd-grid-generate", *values))
    assert (
        "Same pictures at negative prompt red as (none): here this setting changes nothing."
        in shown["sd-grid-cells"]
    )


def test_no_row_is_called_the_same_before_all_its_pictures_are_there() -> None:
    grid_ = grid_of(BASE, Axis("seed", (3, 4)), Axis("guidance_scale", (0.0, 1.0)))
    drawn_ = [CellView(tuple(by_guidance(request))) for request in grid_.requests]
    assert twins(grid_, drawn_) == ([None, None], [None, 0])
    waiting = [*drawn_[:3], CellView((Progress(1, 2, None, None),))]
    assert twins(grid_, waiting) == ([None, None], [None, None])


def test_the_grid_begins_where_scales_differ() -> None:
    _, begin = AXES["guidance_scale"]
    assert min(float(value) for value in begin.split(",")) == 1, "0 would draw the row of 1 again"


def test_the_grid_of_the_api_begins_there_too() -> None:
    endpoints = {function.__name__: function for function in handwritten(app(FakeClient()))}
    signature = inspect.signature(endpoints["stable_diffusion_grid"])
    begin = signature.parameters["row_values"].default
    assert begin == [float(value) for value in AXES["guidance_scale"][1].split(",")]


# --- what cannot be drawn ---------------------------------------------------------------------


def test_no_scheduler_refuses_a_cell_of_the_grids_that_one_begins_with() -> None:
    fewest = {name: row.fewest_steps({}) for name, row in SCHEDULERS.items()}
    for name in axis("scheduler", AXES["scheduler"][1], BASE).values:
        assert fewest[name] == 1, f"{name} cannot draw every number of steps that an axis has"
    assert fewest[StableDiffusionRequest.model_fields["scheduler"].default] == 1


def test_pairs_that_a_scheduler_refuses_are_told_before_the_run() -> None:
    needs_four: Any = model("sd", "stable_diffusion", facts={"fewest_steps": {"pndm": 4}})

    class Checking(ListedRegistry):
        def check(self, request: Any) -> None:
            check_request(request, self.entry(request.checkpoint), self.find)

    context = fake_context(FakeClient(), Checking(needs_four))  # pyright: ignore

    def foresee(steps: str, schedulers: str) -> str:
        return grid.refusals(context, VALUES, "num_inference_steps", steps, "scheduler", schedulers)

    told = foresee("1, 3, 8", "pndm, ddim")
    assert "2 of 6 cells stay empty: PNDM cannot draw in 1 step; ask for 4 or more." in told
    assert "All cells stay empty" in foresee("1", "pndm")
    assert foresee("4, 8", "pndm, ddim") == ""
    assert foresee("1, 2000", "pndm") == "", "a run says what is wrong with 2000"


# --- a grid as it fills -----------------------------------------------------------------------


def grid_values(x: str, x_values: str, y: str, y_values: str) -> tuple[Any, ...]:
    return (*VALUES, x, x_values, y, y_values)


def test_a_grid_fills_in_as_its_pictures_come() -> None:
    client = FakeClient()

    def post(frame: Frame) -> None:
        for ticket in [ticket for ticket in client.tickets if not ticket.ended][:1]:
            ticket.post(drawn(ticket.request))

    values = grid_values("num_inference_steps", "1, 40", "seed", "3, 4")
    shown = frames(app(client), "sd-grid-generate", *values, during=post)
    counts = [frame["sd-grid-cells"].count("<img") for frame in shown if "sd-grid-cells" in frame]
    assert counts == sorted(counts)
    assert {0, 2, 4} <= set(counts)
    assert "1 of 4 pictures" in shown[1]["sd-grid-status"]
    assert "4 pictures in" in shown[-1]["sd-grid-status"]
    assert 'href="pictures/' in shown[-1]["sd-grid-sheet"]


def test_a_cell_knows_its_own_settings_and_how_far_it_is() -> None:
    client = answering(lambda request: [Progress(2, 6, None, None)])
    context = app(client)

    def stop(frame: Frame) -> None:
        context.runs.stop("me")

    values = grid_values("guidance_scale", "1, 6", "scheduler", "ddim, euler")
    seen = frames(context, "sd-grid-generate", *values, during=stop)
    table = next(frame["sd-grid-cells"] for frame in seen if "2/6" in frame["sd-grid-cells"])
    cells = [json.loads(unescape(found)) for found in re.findall(r'data-cell="([^"]+)"', table)]
    assert [(c["guidance_scale"], c["scheduler"]) for c in cells] == [
        (1, "ddim"), (6, "ddim"), (1, "euler"), (6, "euler"),
    ]  # fmt: skip
    assert "scheduler DDIM" in table
    assert "Stopped" in seen[-1]["sd-grid-status"]
    assert all(not frame.get("sd-grid-sheet") for frame in seen), "half a grid is no sheet"


def test_a_cell_that_fails_does_not_take_the_others_along() -> None:
    def answer(request: Any) -> list[Event]:
        return [Failed("The numbers ran away.") if request.seed == 2 else drawn(request)]

    values = grid_values("seed", "1, 2, 3", "num_inference_steps", "1, 2")
    shown = together(frames(app(answering(answer)), "sd-grid-generate", *values))
    assert shown["sd-grid-cells"].count("<img") == 4
    assert shown["sd-grid-cells"].count('title="The numbers ran away."') == 2
    assert "4 pictures in" in shown["sd-grid-status"]
    assert "2 failed: The numbers ran away." in shown["sd-grid-status"]


def test_a_grid_that_cannot_be_drawn_leaves_the_one_before() -> None:
    values = grid_values("seed", "1, 2", "seed", "3")
    (frame,) = frames(app(FakeClient()), "sd-grid-generate", *values)
    assert "Columns and rows are both the seed" in frame["sd-grid-status"]
    assert "sd-grid-cells" not in frame


def test_the_contact_sheet_keeps_place_for_what_is_missing() -> None:
    red = np.full((64, 64, 3), (255, 0, 0), np.uint8)
    sheet = labelled_sheet("t", "f", ("steps", ["1", "2"]), ("seed", ["7"]), [red, None])
    counts = {colour: count for count, colour in sheet.getcolors(1 << 20) or []}
    assert counts[255, 0, 0] == 128 * 128
    assert (229, 231, 235) in counts


def test_a_cells_picture_and_the_contact_sheet_carry_how_they_were_drawn() -> None:
    context = app(answering(lambda request: [drawn(request)]))
    values = grid_values("seed", "5, 6", "guidance_scale", "1, 3")
    shown = together(frames(context, "sd-grid-generate", *values))

    def opened(address: str) -> Image.Image:
        return Image.open(io.BytesIO(context.pictures.get(address.split("/")[1]) or b""))

    files = [opened(found) for found in re.findall(ADDRESS, shown["sd-grid-cells"])]
    requests = [json.loads(file.info["genlab"])["request"] for file in files]
    assert [(r["seed"], r["guidance_scale"]) for r in requests] == [(5, 1), (6, 1), (5, 3), (6, 3)]
    (address,) = re.findall(r'href="([^"]+)"', shown["sd-grid-sheet"])
    sheet = opened(address)
    assert sheet.width > 2 * 96
    assert json.loads(sheet.info["genlab-grid"]) == {"seed": [5, 6], "guidance_scale": [1, 3]}
    assert json.loads(sheet.info["genlab"])["request"]["seed"] == 5


def test_the_contact_sheet_is_encoded_beside_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: list[threading.Thread] = []
    encode = grid.sheet_png

    def noting(*arguments: Any) -> bytes:
        threads.append(threading.current_thread())
        return encode(*arguments)

    monkeypatch.setattr(grid, "sheet_png", noting)
    values = grid_values("seed", "5", "guidance_scale", "1")
    frames(app(answering(lambda r: [drawn(r)])), "sd-grid-generate", *values)
    assert threads
    assert threading.main_thread() not in threads


def test_a_chosen_cell_shows_its_picture_and_nothing_else_that_a_browser_sends() -> None:
    address = f"pictures/{'a' * 64}-64.png"
    assert f'src="{address}"' in chosen({"seed": 5}, address)
    for other in ("https://elsewhere.org/x.png", "javascript:alert(1)", f"{address}?x"):
        assert "<img" not in chosen({"seed": 5}, other)
