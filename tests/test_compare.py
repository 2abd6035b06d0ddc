"""The Compare tab before a client of its own: who is shown, who draws what, who fails alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from genlab.engine.events import Cancelled, Event, Failed, Progress, Queued, Result
from genlab.families import vae
from genlab.families.classifier.request import ClassifyRequest
from genlab.families.description import ColumnSettings, CompareColumn
from genlab.families.vae.request import VAERequest
from genlab.models.families import FAMILIES
from genlab.models.judging import Judging
from genlab.models.registry import Registry
from genlab.requests import UserError, parse_request
from genlab.toybox.judge import as_digits
from genlab.ui import live_run as module
from genlab.ui.cells import CellView
from genlab.ui.components.metric_strip import compact, duration
from genlab.ui.live_run import Frame
from genlab.ui.tabs.compare import tab
from genlab.ui.tabs.compare.columns import Card, Comparison, cell_of, columns
from genlab.ui.tabs.compare.overview import calls, overview
from tests.fake_client import FakeClient, ListedRegistry, answering, fake_context, model
from tests.fake_page import FakePage, pressed, together

PROJECT = Path(__file__).resolve().parent.parent
REAL = {
    "sharpness": 0.2, "diversity": 6.0, "diversity_within_class": 3.0, "fid_floor": 0.07,
    "samples": 10_000,
}  # fmt: skip
MINE = {"sharpness": 0.05, "diversity": 5.4, "fid": 4.5, "samples": 10_000}
BOTH = {
    "guidance_scale": 1.5, "fid": 0.4, "samples": 10_000, "diversity": 2.7, "diversity_of_all": 6.1,
    "unguided_fid": 0.9, "unguided_samples": 1000, "unguided_diversity": 5.7,
}  # fmt: skip
BY_KEY = {column.key: column for family in FAMILIES.values() for column in family.columns}
JUDGED = {"class_histogram": {"3": 1.0}, "classes_above_2_percent": 1, "mean_confidence": 0.9}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model for each column but two: one's checkpoint is damaged, one's is absent."""
    folder = tmp_path_factory.mktemp("mnist-classifier")
    pictures = np.random.default_rng(0).integers(0, 256, (200, 28, 28), dtype=np.uint8)
    labels = np.arange(200, dtype=np.int64) % 10
    pictures[:, 0, 0] = labels  # so that a picture tells its class
    save_file({"images": pictures, "labels": labels}, folder / "examples.safetensors")
    judge = model("mnist-classifier", "classifier", "mnist", card={"metrics": REAL})
    listed = ListedRegistry(
        model("vae-mnist-20d", "vae", "mnist", card={"metrics": MINE}),
        model("dcgan-mnist", "gan", "mnist"),
        model("ddpm-mnist", "pixel_diffusion", "mnist", card={"metrics": BOTH}),
        model("stable-diffusion-toybox", "stable_diffusion", "toybox"),
        replace(judge, path=folder),
    )
    listed.broken = {"vae-mnist-20d-no-kl": "it was cut short."}
    return listed


def requests_of(registry: Any, key: str, **settings: Any) -> list[Any]:
    return list(cell_of(registry, BY_KEY[key], ColumnSettings(**settings)).requests)


def drawn(request: Any, **more: Any) -> Result:
    """The result of a request that was measured."""
    images = getattr(request, "images", np.zeros((request.count, 28, 28), np.uint8))
    return Result(images, **({"figures": JUDGED, "seconds": 0.5} | more))


def answer(request: Any) -> list[Event]:
    return [drawn(request)]


def press(
    registry: Any,
    client: FakeClient,
    *keys: str,
    seed: Any = 7,
    label: Any = "any",
    count: Any = 4,
    more: Any = "",
    during: Callable[[dict[str, Any]], None] = lambda frame: None,
) -> list[dict[str, Any]]:
    """What the tab's elements are given after Generate; ``during`` sees each frame."""
    page = FakePage(tab.build, fake_context(client, registry))
    return pressed(page, "compare-generate", seed, label, count, list(keys), more, during=during)


def news(registry: Any, key: str, *events: Event, **settings: Any) -> Card:
    """What a single column shows for the newest events of its requests."""
    comparison = Comparison(registry, [BY_KEY[key]])
    comparison.cells(**({"seed": 0, "count": 4, "label": None} | settings))
    frame = Frame("", True, (CellView(tuple(events)),), frozenset({0}))
    return comparison.news(frame)[key]


# --- who is shown -----------------------------------------------------------------------------


def test_a_column_is_there_when_its_checkpoint_is_damaged_but_not_when_it_is_absent(
    registry: Any,
) -> None:
    keys = [column.key for column in columns(registry)]
    assert keys == ["vae", "vae-no-kl", "gan", "diffusion", "guided", "toybox", "real"]
    page = FakePage(tab.build, fake_context(FakeClient(), registry))
    assert all(page.element(f"compare-{key}") is not None for key in keys)
    assert "compare-gan-collapsed" not in str(page.blocks.get_config_file())


def test_our_own_checkpoints_fill_all_columns_from_small_to_large() -> None:
    keys = [column.key for column in columns(Registry(PROJECT / "checkpoints", downloads=False))]
    assert keys == [
        "vae", "vae-no-kl", "gan", "gan-collapsed", "diffusion", "guided", "flow", "toybox", "real",
    ]  # fmt: skip


def test_the_column_of_a_new_family_appears_by_itself_and_is_drawn(
    registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    column = CompareColumn(
        "flow", 45, "Flow", "Straight paths.", "dcgan-mnist",
        lambda metadata, settings: [VAERequest(checkpoint=metadata.name, count=settings.count)],
    )  # fmt: skip
    family = replace(vae.FAMILY, name="flow", columns=(column,))
    monkeypatch.setitem(FAMILIES, "flow", family)
    assert [c.key for c in columns(registry)][2:5] == ["gan", "flow", "diffusion"]
    shown = together(press(registry, answering(answer), "flow"))
    assert shown["compare-flow"].count("<img") == 4
    assert '<th scope="row">Flow</th><td>1</td>' in shown["compare-table"]


def test_without_any_checkpoint_it_says_how_to_get_one() -> None:
    page = FakePage(tab.build, fake_context(FakeClient(), ListedRegistry()))
    assert "genlab train vae-mnist-20d" in str(page.blocks.get_config_file())


# --- who draws what ---------------------------------------------------------------------------


def test_a_column_begins_when_the_one_before_has_ended(registry: Any) -> None:
    client = FakeClient()
    submitted = []

    def answer_the_open_one(_: dict[str, Any]) -> None:
        submitted.append([ticket.request.checkpoint for ticket in client.tickets])
        for ticket in client.tickets:
            ticket.post(drawn(ticket.request))

    seen = press(registry, client, "vae", "gan", "real", during=answer_the_open_one)
    assert submitted[0] == ["vae-mnist-20d"]
    assert "Waits for its turn." in seen[0]["compare-gan"]
    assert "VAE: 1 of 3." in seen[0]["compare-status"]
    assert [t.request.checkpoint for t in client.tickets] == [
        "vae-mnist-20d", "dcgan-mnist", "mnist-classifier",
    ]  # fmt: skip
    shown = together(seen)
    assert all(shown[f"compare-{key}"].count("<img") == 4 for key in ("vae", "gan", "real"))
    assert "12 pictures in" in shown["compare-status"]
    assert not seen[-1]["compare-stop"]["interactive"]


def test_every_columns_pictures_are_measured(registry: Any) -> None:
    client = answering(answer)
    shown = together(press(registry, client, "vae", "toybox", "real"))
    assert len(client.tickets) == 1 + 4 + 1, "Toybox has a prompt for each picture"
    assert all(ticket.request.judge for ticket in client.tickets)
    assert "<dd>90 %</dd>" in shown["compare-vae"]
    assert "<dd>90 %</dd>" in shown["compare-real"]


def test_finished_pictures_are_shown_by_their_address(registry: Any) -> None:
    shown = together(press(registry, answering(answer), "gan"))["compare-gan"]
    assert shown.count(' src="pictures/') == 4


def test_a_diffusion_is_seen_forming_and_keeps_its_last_preview(registry: Any) -> None:
    comparison = Comparison(registry, [BY_KEY["diffusion"]])
    comparison.cells(seed=0, count=4, label=None)
    preview = np.zeros((4, 28, 28), np.uint8)
    for event in (Progress(5, 50, preview, None), Progress(6, 50, None, 2.2)):
        frame = Frame("", True, (CellView((event,)),), frozenset({0}))
        card = comparison.news(frame)["diffusion"]
        assert card.pictures is not None
    assert card.news == "Step 6 of 50, about 2 s left"
    assert card.done == 6 / 50


def test_both_diffusions_begin_with_the_same_noise(registry: Any) -> None:
    (unguided,), (guided,) = (requests_of(registry, k, seed=7) for k in ("diffusion", "guided"))
    assert (unguided.seed, unguided.count) == (guided.seed, guided.count) == (7, 9)


def test_guidance_has_the_scale_that_the_cards_figures_are_of(registry: Any) -> None:
    (guided,) = requests_of(registry, "guided", count=4)
    assert guided.guidance_scale == 1.5
    assert news(registry, "guided", drawn(guided)).figures["fid"] == 0.4
    assert news(registry, "diffusion", drawn(guided)).figures["fid"] == 0.9


def test_a_columns_fid_is_that_of_its_own_settings_only(registry: Any) -> None:
    result = Result(np.zeros((4, 28, 28), np.uint8), figures={"fid": 99.0})
    assert news(registry, "vae", result).figures["fid"] == 4.5
    assert "fid" not in news(registry, "gan", result).figures, "its card has none"


def test_who_can_be_told_a_class_is_told_it(registry: Any) -> None:
    (guided,) = requests_of(registry, "guided", label=3)
    assert set(guided.labels) == {3}
    prompts = [request.prompt for request in requests_of(registry, "toybox", label=3, count=2)]
    assert prompts == ["a white 3 on a black background"] * 2
    assert BY_KEY["vae"].remark(3) == "Cannot be told a class."
    assert BY_KEY["vae"].remark(None) == ""


def test_without_a_class_all_digits_are_drawn_in_turn(registry: Any) -> None:
    settings = {"count": 12, "seed": 2**32 - 2}
    toybox = requests_of(registry, "toybox", **settings)
    (guided,) = requests_of(registry, "guided", **settings)
    digits = [int(request.prompt.split()[2]) for request in toybox]
    assert digits == list(guided.labels)
    assert set(digits) == set(range(10))
    seeds = [request.seed for request in toybox]
    assert seeds[:3] == [2**32 - 2, 2**32 - 1, 0], "no seed leaves its range"


def test_pictures_with_prompts_of_their_own_come_together_in_one_column(registry: Any) -> None:
    def read(words: str, **times: float) -> Result:
        figures = {"read": [words], "mean_confidence": 0.5, "sharpness_percent": 80}
        return Result(np.zeros((1, 64, 64, 3), np.uint8), figures=figures, **times)

    events = [
        read("white 3 on black", waited=1.0, seconds=2.0),
        read("white 7 on black", waited=1.5, seconds=2.0),
    ]
    card = news(registry, "toybox", *events, count=2)
    assert card.figures["class_histogram"] == {str(k): 0.5 * (k in (3, 7)) for k in range(10)}
    assert card.figures["mean_confidence"] == 0.5
    assert card.figures["seconds"] == 2.5, "from the first one's first step to the last one's last"
    assert "sharpness_percent" not in card.figures, "edges compare at one size only"
    assert np.shape(card.pictures) == (2, 64, 64, 3)


def test_a_toybox_column_is_not_done_before_all_its_pictures_are(registry: Any) -> None:
    picture = Result(np.zeros((1, 64, 64, 3), np.uint8))
    card = news(registry, "toybox", picture, Progress(5, 25, None, None), count=2)
    assert card.figures == {}
    assert card.news == "Step 5 of 25"


def test_what_the_judge_reads_as_no_digit_is_in_no_bar() -> None:
    words = ("white 3 on black", "white 3 on black", "red 7 on blue", "white sneaker on black")
    figures = as_digits([{"read": [text], "mean_confidence": 1.0} for text in words])
    assert figures["class_histogram"]["3"] == 0.5
    assert sum(figures["class_histogram"].values()) == 0.75
    assert figures["classes_above_2_percent"] == 2


def test_real_digits_are_of_the_class_and_repeat_with_the_seed(registry: Any) -> None:
    (first,), (again,) = (requests_of(registry, "real", seed=1, label=3) for _ in range(2))
    assert isinstance(first, ClassifyRequest)
    assert (first.images == again.images).all()
    assert set(first.images[:, 0, 0]) == {3}
    (other,) = requests_of(registry, "real", seed=2, label=3)
    assert (first.images != other.images).any()


def test_real_digits_are_measured_on_many_and_a_few_of_them_are_shown(registry: Any) -> None:
    (request,) = requests_of(registry, "real", count=4)
    assert len(request.images) == 200, "all that there are here; at most 256"
    assert len(requests_of(registry, "real", count=4, label=3)[0].images) == 20
    shown = together(press(registry, answering(answer), "real"))
    assert shown["compare-real"].count("<img") == 4
    assert "4 pictures in" in shown["compare-status"], "those that are shown are counted"


def test_real_digits_have_the_floor_as_their_fid_and_nobodys_time(registry: Any) -> None:
    (request,) = requests_of(registry, "real", count=4)
    figures = news(registry, "real", drawn(request)).figures
    assert figures["fid"] == 0.07
    assert "seconds" not in figures
    shown = together(press(registry, answering(answer), "real"))["compare-real"]
    assert 'title="Nobody drew them">–' in shown


def test_real_digits_are_measured_by_the_classifier_they_came_with() -> None:
    own = Registry(PROJECT / "checkpoints", downloads=False)
    (request,) = cell_of(own, BY_KEY["real"], ColumnSettings(label=3)).requests
    result = Result(request.images)  # type: ignore[attr-defined]
    follow = Judging(own).follow_up(request, result)  # type: ignore[arg-type]
    assert follow is not None
    assert isinstance(follow.request, ClassifyRequest)
    assert not follow.request.judge, "the judge's answer is not judged again"
    count = len(result.images)
    assert count > 9, "nine of them would look like a collapse"
    extras = {"probs": np.eye(10)[[3] * count], "features": np.zeros((count, 4))}
    merged = follow.merge(result, Result(result.images, extras))
    assert isinstance(merged, Result)
    figures = merged.figures
    assert figures["class_histogram"]["3"] == 1
    assert figures["sharpness_percent"] > 0


# --- what goes wrong --------------------------------------------------------------------------


def test_a_column_that_fails_says_why_and_the_others_go_on(registry: Any) -> None:
    def events(request: Any) -> list[Event]:
        failing = request.checkpoint == "ddpm-mnist"
        return [Failed("The numbers ran away.")] if failing else answer(request)

    shown = together(press(registry, answering(events), "vae-no-kl", "diffusion", "gan", "real"))
    assert "There is no checkpoint called" in shown["compare-vae-no-kl"]
    assert "The numbers ran away." in shown["compare-diffusion"]
    assert shown["compare-gan"].count("<img") == 4
    assert "8 pictures in" in shown["compare-status"]


def test_too_few_real_pictures_are_a_sentence_in_their_column(registry: Any) -> None:
    scarce = replace(registry.entry("mnist-classifier"), path=Path("nowhere"))
    cell = cell_of(ListedRegistry(scarce), BY_KEY["real"], ColumnSettings())  # type: ignore[arg-type]
    assert cell.refused == "There are no test pictures of mnist here."


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"seed": -1}, "seed is -1, but must be a whole number from 0 to 4294967295."),
        ({"seed": ""}, "seed is empty, but must be a whole number"),
        ({"count": 17}, "count is 17, but must be a whole number from 1 to 16."),
        ({"label": "cat"}, "label is 'cat', but must be a whole number from 0 to 9."),
    ],
)
def test_a_wrong_setting_gets_one_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        parse_request(ColumnSettings, **values)


def test_a_wrong_setting_leaves_the_columns_as_they_are(registry: Any) -> None:
    (only,) = press(registry, FakeClient(), "vae", "gan", seed=None)
    assert "seed is empty, but must be a whole number" in only.pop("compare-status")
    assert only.keys() == {"compare-stop"}


def test_without_a_ticked_column_nothing_is_drawn(registry: Any) -> None:
    client = FakeClient()
    (only,) = press(registry, client)
    assert "Tick at least one column to draw." in only["compare-status"]
    assert client.tickets == []


def test_stop_ends_the_column_that_runs_and_those_that_wait(
    registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REDRAW", 0.001)
    client = FakeClient()
    context = fake_context(client, registry)

    def stop_the_second(_: dict[str, Any]) -> None:
        client.tickets[0].post(drawn(client.tickets[0].request))
        if len(client.tickets) == 2:
            context.runs.stop("me", "compare")

    values = (0, "any", 4, ["vae", "diffusion", "gan"], "")
    page = FakePage(tab.build, context)
    shown = together(pressed(page, "compare-generate", *values, during=stop_the_second))
    assert shown["compare-vae"].count("<img") == 4, "what was done stays"
    assert "Stopped." in shown["compare-diffusion"]
    assert "Stopped." in shown["compare-gan"]
    assert "Stopped" in shown["compare-status"]
    assert client.cancelled == [client.tickets[1].id]
    assert len(client.tickets) == 2


def test_a_column_that_was_stopped_shows_no_half_drawn_pictures(registry: Any) -> None:
    assert news(registry, "toybox", Result(np.zeros((1, 8, 8))), Cancelled(), count=2) == Card(
        news="Stopped."
    )


# --- how it looks -----------------------------------------------------------------------------


def test_strips_have_the_same_lines_whatever_is_known() -> None:
    bare = compact({}, {"fid": "never measured"})
    full = compact({"seconds": 0.2, "fid": 4.758, "classes_above_2_percent": 3})
    assert bare.count("<dt>") == full.count("<dt>") == 5
    assert 'title="never measured">–' in bare
    assert "<dd>4.76</dd>" in full
    times = (0.00033, 0.0384, 1.25, 31.3)
    assert [duration(seconds) for seconds in times] == ["0.33 ms", "38 ms", "1.25 s", "31.3 s"]


def test_a_dash_says_why_when_it_is_pointed_at(registry: Any) -> None:
    shown = tab.card(BY_KEY["toybox"], Card(), ColumnSettings())
    assert 'title="Its pictures are 64x64: edges compare at one size only">–' in shown


def test_a_card_keeps_its_place_until_there_are_pictures() -> None:
    settings = ColumnSettings(count=6, label=3)
    waiting = tab.card(BY_KEY["vae"], Card(news="Waits for its turn."), settings)
    assert "--ratio:3/2" in waiting
    assert "Waits for its turn." in waiting
    assert "Cannot be told a class." in waiting
    full = tab.card(BY_KEY["vae"], Card(np.zeros((6, 28, 28), np.uint8)), settings)
    assert full.count("<img") == 6
    assert "<script>" not in tab.card(BY_KEY["vae"], Card(problem="<script>"), settings)


def test_a_column_whose_turn_it_is_says_where_it_stands_in_the_queue(registry: Any) -> None:
    assert news(registry, "gan", Queued(3)).news == "In the queue: 2 requests before yours."


def test_the_overview_says_in_words_what_the_cards_measured(registry: Any) -> None:
    table = overview(registry, columns(registry), {"vae": 0.002})
    row = table[table.index(">VAE<") :].split("</tr>")[0]
    assert "<td>2 ms</td>" in row
    assert "<b>soft</b> 25 %" in row
    assert "<td>10,000</td>" in row
    assert "<b>diverse</b> 90 %" in row
    assert "<td>4.50</td>" in row
    unmeasured = table[table.index(">GAN<") :].split("</tr>")[0]
    assert unmeasured.count("<td>–</td>") == 5
    assert "<b>sharp</b> 100 %" in table[table.index(">Real digits<") :]


def test_the_table_says_what_is_of_this_run_and_what_was_measured_beforehand(
    registry: Any,
) -> None:
    table = overview(registry, columns(registry), {})
    assert '<th scope="colgroup" colspan="2">This run</th>' in table
    assert '<th scope="colgroup" colspan="4">Measured beforehand</th>' in table
    assert "of this run's samples; here they are of the thousands on the model cards" in table
    assert "<td>1,000</td>" in table[table.index(">Diffusion<") :].split("</tr>")[0]


def test_diversity_compares_like_with_like(registry: Any) -> None:
    table = overview(registry, columns(registry), {})
    unguided, guided = (
        table[table.index(f">{title}<") :].split("</tr>")[0]
        for title in ("Diffusion", "Diffusion, guided")
    )
    assert "<b>diverse</b> 95 %</td>" in unguided, "of all, against real ones of all classes"
    assert "<b>diverse</b> 90 % within a class</td>" in guided, "not 102 % of all, by turns"


def test_what_has_more_edges_than_real_pictures_is_called_harsh_without_a_figure() -> None:
    judge = model("mnist-classifier", "classifier", "mnist", card={"metrics": REAL})
    collapsed = model("dcgan-mnist-collapsed", "gan", "mnist", card={"metrics": {"sharpness": 0.6}})
    listed: Any = ListedRegistry(judge, collapsed)
    listed.broken = {}
    table = overview(listed, [BY_KEY["gan-collapsed"]], {})
    assert "<td><b>harsh</b></td>" in table
    assert "300" not in table


def test_a_card_says_of_how_many_pictures_its_figures_are(registry: Any) -> None:
    (request,) = requests_of(registry, "real", count=4)
    figures = JUDGED | {"judged_count": len(request.images)}
    shown = tab.card(
        BY_KEY["real"], news(registry, "real", drawn(request, figures=figures)), ColumnSettings()
    )
    assert "<p>of 200 samples</p>" in shown
    assert "<p>of 10,000 beforehand</p>" in shown
    few = JUDGED | {"judged_count": 4}
    (vae,) = requests_of(registry, "vae", count=4)
    shown = tab.card(
        BY_KEY["vae"], news(registry, "vae", drawn(vae, figures=few)), ColumnSettings()
    )
    assert "<dd>1 in 4</dd>" in shown


def test_the_overview_has_this_runs_time_a_picture(registry: Any) -> None:
    shown = together(press(registry, answering(answer), "vae", "real"))
    row = shown["compare-table"].split(">VAE<")[1].split("</tr>")[0]
    assert "<td>125 ms</td>" in row, "half a second for four pictures"


def test_guidance_is_seen_to_cost_two_predictions_a_step(registry: Any) -> None:
    keys = ("vae", "diffusion", "guided", "toybox", "real")
    texts = [calls(BY_KEY[key], registry.entry(BY_KEY[key].checkpoint)) for key in keys]
    assert texts == ["1", "50 steps", "50 steps x 2", "25 steps x 2", "–"]


def test_another_model_is_one_column_more(registry: Any) -> None:
    registry = ListedRegistry(
        *registry.entries.values(), model("own-1", "gan", facts={"classes": 10, "latent_dim": 4})
    )
    client = answering(answer)
    frames = press(registry, client, "vae", more="own-1", label="3")
    requests = [ticket.request for ticket in client.tickets]  # type: ignore[attr-defined]
    assert [request.checkpoint for request in requests] == ["vae-mnist-20d", "own-1"]
    assert requests[1].label == 3
    shown = together(frames)
    assert shown["compare-yours"].count("<img") == 4
    assert "Tiny own-1" in shown["compare-yours"]
    assert "Only 3." in shown["compare-yours"]
    assert "Tiny own-1" in shown["compare-table"]
    client = answering(answer)
    press(registry, client, "vae")
    assert len(client.tickets) == 1
