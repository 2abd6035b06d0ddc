"""The Compare tab on tiny untrained checkpoints: who is shown, who draws what, who fails alone."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from genlab.engine import Engine, Runtime
from genlab.families.classifier.network import Classifier
from genlab.families.gan.network import DCGAN
from genlab.families.pixel_diffusion.network import (
    PixelDiffusionPipeline,
    build_scheduler,
    build_unet,
)
from genlab.families.vae.network import ConvVAE
from genlab.formats.model_card import write_card
from genlab.models.registry import Catalogue
from genlab.requests import UserError, ask
from genlab.settings import Settings
from genlab.ui import live_run as run
from genlab.ui.components.metric_strip import compact, duration
from genlab.ui.components.obedience import scene_of
from genlab.ui.live_run import attended
from genlab.ui.page import Lab, build_page
from genlab.ui.tabs.compare.columns import (
    COLUMNS,
    Board,
    Card,
    Wish,
    as_digits,
    columns,
    compare,
    judged,
)
from genlab.ui.tabs.compare.overview import calls, overview
from genlab.ui.tabs.compare.tab import card
from tests.tiny_pipelines import save_tiny_stable_diffusion

PROJECT = Path(__file__).resolve().parent.parent
REAL = {"sharpness": 0.2, "diversity": 6.0, "fid_floor": 0.07}
MINE = {"sharpness": 0.05, "diversity": 5.4, "fid": 4.5}
BOTH = {"guidance_scale": 1.5, "fid": 0.4, "unguided_fid": 0.9}
BY_KEY = {column.key: column for column in COLUMNS}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A running lab with a tiny checkpoint for each column but two: one is damaged, one absent."""
    root = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    networks = {
        "vae-mnist-20d": ("vae", ConvVAE(2, (4, 4), 16), MINE),
        "dcgan-mnist": ("gan", DCGAN(6, (4, 4), 8), {}),
        "mnist-classifier": ("classifier", Classifier((2, 2, 2), 8), REAL),
    }
    for name, (family, network, metrics) in networks.items():
        network.eval().save_pretrained(root / name)
        write_card(root / name, family, f"Tiny {name}", "mnist", "", metrics=metrics)
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (200, 28, 28), dtype=np.uint8)
    labels = np.arange(200, dtype=np.int64) % 10
    save_file(
        {"images": pictures, "labels": labels}, root / "mnist-classifier" / "examples.safetensors"
    )
    diffusion = PixelDiffusionPipeline(build_unet((16, 32)), build_scheduler())
    diffusion.save_pretrained(root / "ddpm-mnist")
    write_card(root / "ddpm-mnist", "pixel_diffusion", "Tiny ddpm", "mnist", "", metrics=BOTH)
    save_tiny_stable_diffusion(root / "stable-diffusion-toybox")
    shutil.copytree(root / "vae-mnist-20d", root / "vae-mnist-20d-no-kl")
    (root / "vae-mnist-20d-no-kl" / "model.safetensors").write_bytes(b"cut")
    catalogue = Catalogue(root, Runtime("cpu"))
    with Engine(catalogue) as engine:
        yield Lab(Settings(), catalogue, engine)


def boards(lab: Lab, *keys: str, **values: Any) -> list[Board]:
    """Every frame that has news of a column."""
    wish = ask(Wish, **({"count": 4} | values))
    picked = [BY_KEY[key] for key in keys]

    async def collected() -> list[Any]:
        frames = attended(lab, "me", "compare", lambda mine: compare(lab, mine, picked, wish))
        return [frame async for frame in frames]

    return [frame for frame in asyncio.run(collected()) if isinstance(frame, Board)]


def final(shown: list[Board]) -> dict[str, Card]:
    """What each column shows in the end."""
    return {key: now for board in shown for key, now in board.cards.items()}


def asked(lab: Lab, key: str, wish: Wish) -> list[Any]:
    """What a column asks of the engine."""
    column = BY_KEY[key]
    assert column.requests is not None
    return list(column.requests(lab.catalogue.entry(column.checkpoint), wish))


# --- who is shown -----------------------------------------------------------------------------


def test_a_column_is_there_when_its_checkpoint_is_damaged_but_not_when_it_is_absent(
    lab: Lab,
) -> None:
    keys = [column.key for column in columns(lab)]
    assert "vae-no-kl" in keys
    assert "gan-collapsed" not in keys
    assert len(keys) == len(COLUMNS) - 1
    config = str(build_page(lab).get_config_file())
    assert all(f"'compare-{key}'" in config for key in keys)
    assert "'compare-gan-collapsed'" not in config


# --- who draws what ---------------------------------------------------------------------------


def test_columns_fill_in_one_after_another(lab: Lab) -> None:
    shown = boards(lab, "vae", "guided", "real")
    assert all(now.news for now in shown[0].cards.values())
    order = list(
        dict.fromkeys(key for board in shown for key, now in board.cards.items() if now.figures)
    )
    assert order[:2] == ["vae", "guided"]
    cards = final(shown)
    assert [cards[key].pictures.shape for key in cards] == [(4, 28, 28)] * 3  # type: ignore[union-attr]
    assert all("class_histogram" in now.figures for now in cards.values())
    assert "12 pictures in" in shown[-1].status


def test_a_diffusion_is_seen_forming(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "REDRAW", 0.001)
    moving = [now for board in boards(lab, "diffusion") for now in board.cards.values()]
    assert any(now.pictures is not None and now.done and now.done < 1 for now in moving)


def test_both_diffusions_begin_with_the_same_noise(lab: Lab) -> None:
    (unguided,), (guided,) = (asked(lab, key, Wish(seed=7)) for key in ("diffusion", "guided"))
    assert (unguided.seed, unguided.count) == (guided.seed, guided.count) == (7, 9)


def test_guidance_has_the_scale_that_the_cards_figures_are_of(lab: Lab) -> None:
    (guided,) = asked(lab, "guided", Wish())
    assert guided.guidance_scale == 1.5
    assert BY_KEY["guided"].figure(lab.catalogue.entry("ddpm-mnist"), "fid") == 0.4
    assert BY_KEY["diffusion"].figure(lab.catalogue.entry("ddpm-mnist"), "fid") == 0.9


def test_who_can_be_told_a_class_is_told_it(lab: Lab) -> None:
    (guided,) = asked(lab, "guided", Wish(label=3))
    assert set(guided.labels) == {3}
    prompts = [request.prompt for request in asked(lab, "toybox", Wish(label=3, count=2))]
    assert prompts == ["a white 3 on a black background"] * 2
    assert BY_KEY["vae"].remark(3) == "Cannot be told a class."
    assert BY_KEY["vae"].remark(None) == ""


def test_without_a_class_all_digits_are_asked_for_in_turn(lab: Lab) -> None:
    wish = Wish(count=12, seed=2**32 - 2)
    digits = [int(request.prompt.split()[2]) for request in asked(lab, "toybox", wish)]
    (guided,) = asked(lab, "guided", wish)
    assert digits == list(guided.labels)
    assert set(digits) == set(range(10))
    seeds = [request.seed for request in asked(lab, "toybox", wish)]
    assert seeds[:3] == [2**32 - 2, 2**32 - 1, 0], "no seed leaves its range"


def test_pictures_with_prompts_of_their_own_come_together_in_one_column(lab: Lab) -> None:
    now = final(boards(lab, "toybox", count=3))["toybox"]
    assert now.pictures is not None
    assert now.pictures.shape == (3, 16, 16, 3)
    assert now.figures["seconds"] > 0
    assert "sharpness_percent" not in now.figures


def test_real_digits_are_of_the_class_and_have_the_floor_as_their_fid(lab: Lab) -> None:
    now = final(boards(lab, "real", label=3))["real"]
    assert now.pictures is not None
    again = final(boards(lab, "real", label=3))["real"]
    assert (now.pictures == again.pictures).all()
    other = final(boards(lab, "real", label=4))["real"]
    assert (now.pictures != other.pictures).any()
    assert now.figures["fid"] == 0.07
    assert "seconds" not in now.figures


async def test_toyboxs_own_judge_fills_the_bars_of_its_column() -> None:
    catalogue = Catalogue(PROJECT / "checkpoints", Runtime("cpu"))
    entry = catalogue.entry("stable-diffusion-toybox")
    scene = scene_of(entry, BY_KEY["toybox"].requests(entry, Wish())[0])  # type: ignore[misc]
    with Engine(catalogue) as engine:
        real = Lab(Settings(), catalogue, engine)
        with real.desk.run("me", "here") as mine:
            figures = await judged(real, mine, entry, scene, np.zeros((2, 64, 64, 3), np.uint8))
    assert set(figures["class_histogram"]) == set("0123456789")
    assert 0 < figures["mean_confidence"] <= 1
    assert "sharpness_percent" not in figures, "edges compare at one size only"


def test_what_the_judge_reads_as_no_digit_is_in_no_bar() -> None:
    figures = as_digits(["3", "3", "7", "sneaker"])
    assert figures["class_histogram"]["3"] == 0.5
    assert sum(figures["class_histogram"].values()) == 0.75
    assert figures["classes_above_2_percent"] == 2


# --- what goes wrong --------------------------------------------------------------------------


def test_a_column_that_fails_says_why_and_the_others_go_on(lab: Lab) -> None:
    cards = final(boards(lab, "vae-no-kl", "gan"))
    assert "The checkpoint vae-mnist-20d-no-kl is damaged" in cards["vae-no-kl"].problem
    assert cards["gan"].pictures is not None
    assert cards["gan"].problem == ""


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"seed": -1}, "seed is -1, but must be a whole number from 0 to 4294967295."),
        ({"seed": ""}, "seed is '', but must be a whole number"),
        ({"count": 17}, "count is 17, but must be a whole number from 1 to 16."),
        ({"label": "cat"}, "label is 'cat', but must be a whole number from 0 to 9."),
    ],
)
def test_a_wrong_wish_gets_one_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        ask(Wish, **values)


def test_stop_ends_the_column_that_runs_and_those_that_wait(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "REDRAW", 0.001)

    async def stopped() -> tuple[dict[str, Card], str]:
        picked = [BY_KEY[key] for key in ("vae", "diffusion", "gan")]
        seen: dict[str, Card] = {}
        status = ""
        act = attended(
            lab, "me", "compare", lambda mine: compare(lab, mine, picked, Wish(count=16))
        )
        async with aclosing(act) as frames:
            async for frame in frames:
                seen |= frame.cards if isinstance(frame, Board) else {}
                status = frame.status
                if seen["diffusion"].done:
                    lab.desk.stop("me", "compare")
        return seen, status

    seen, status = asyncio.run(stopped())
    assert seen["vae"].pictures is not None, "what was done stays"
    assert seen["diffusion"].news == seen["gan"].news == "Stopped."
    assert "Stopped" in status
    assert lab.desk.open_jobs == 0


# --- how it looks -----------------------------------------------------------------------------


def test_strips_have_the_same_lines_whatever_is_known() -> None:
    bare = compact({}, {"fid": "never measured"})
    full = compact({"seconds": 0.2, "fid": 4.758, "classes_above_2_percent": 3})
    assert bare.count("<dt>") == full.count("<dt>") == 5
    assert 'title="never measured">–' in bare
    assert "<dd>4.76</dd>" in full
    times = (0.00033, 0.0384, 1.25, 31.3)
    assert [duration(seconds) for seconds in times] == ["0.33 ms", "38 ms", "1.25 s", "31.3 s"]


def test_a_card_keeps_its_place_until_there_are_pictures() -> None:
    wish = Wish(count=6, label=3)
    waiting = card(BY_KEY["vae"], Card(news="Waits for its turn."), wish)
    assert "--ratio:3/2" in waiting
    assert "Waits for its turn." in waiting
    assert "Cannot be told a class." in waiting
    drawn = card(BY_KEY["vae"], Card(np.zeros((6, 28, 28), np.uint8)), wish)
    assert drawn.count("<img") == 6
    assert "<script>" not in card(BY_KEY["vae"], Card(problem="<script>"), wish)


def test_the_overview_says_in_words_what_the_cards_measured(lab: Lab) -> None:
    table = overview(lab, columns(lab), {"vae": 0.002})
    row = table[table.index(">VAE<") :].split("</tr>")[0]
    assert "<td>2 ms</td>" in row
    assert "<b>soft</b> 25 %" in row
    assert "<b>diverse</b> 90 %" in row
    assert "<td>4.50</td>" in row
    unmeasured = table[table.index(">GAN<") :].split("</tr>")[0]
    assert unmeasured.count("<td>–</td>") == 4
    assert "<b>sharp</b> 100 %" in table[table.index(">Real digits<") :]


def test_guidance_is_seen_to_cost_two_predictions_a_step(lab: Lab) -> None:
    keys = ("vae", "diffusion", "guided", "toybox", "real")
    said = [calls(BY_KEY[key], lab.catalogue.entry(BY_KEY[key].checkpoint)) for key in keys]
    assert said == ["1", "50 steps", "50 steps x 2", "25 steps x 2", "–"]
