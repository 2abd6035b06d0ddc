"""ZeroGPU: what visitors of such a Space meet, by the real `spaces` and a stub of its device API.

There is no GPU here: leases draw on the CPU, in the forked process as they would on a GPU.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.spaces_stub import TOKEN
from tests.zerogpu_visits import LARGE, SMALL

PROJECT = Path(__file__).resolve().parent.parent
TOYBOX = "use Toybox, which needs no GPU"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("spaces") is None, reason="the package `spaces` is not installed"
    ),
]


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The transcript of one Space: every visit, in turn, in a process of its own."""
    import torch

    from genlab.families.vae.network import ConvVAE
    from genlab.formats.model_card import write_card
    from tests.tiny_pipelines import save_tiny_stable_diffusion

    folder = tmp_path_factory.mktemp("models")
    save_tiny_stable_diffusion(folder / LARGE)
    torch.manual_seed(0)
    ConvVAE(5, (4, 4), 16).save_pretrained(folder / SMALL)
    write_card(folder / SMALL, "vae", "Tiny VAE", "mnist", "")
    done = subprocess.run(
        [sys.executable, "-m", "tests.zerogpu_visits", str(folder)],
        cwd=PROJECT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    return json.loads(done.stdout.splitlines()[-1])


def names(visit: dict[str, Any]) -> list[str]:
    return [call["name"] for call in visit["calls"]]


def test_a_small_model_takes_no_lease(visits: dict[str, Any]) -> None:
    assert visits["small model"]["kinds"][-1] == "Result"
    assert names(visits["small model"]) == []


def test_a_large_model_is_drawn_in_one_lease_that_is_released(visits: dict[str, Any]) -> None:
    visit = visits["large model"]
    assert visit["kinds"][-1] == "Result"
    assert names(visit) == ["schedule", "allow", "release"]
    assert visit["calls"][-1]["fail"] == "false"
    assert 10 <= int(visit["calls"][0]["durationSeconds"]) <= 120


def test_steps_and_previews_come_while_it_draws(visits: dict[str, Any]) -> None:
    visit = visits["large model"]
    assert len(visit["steps"]) >= 3
    assert visit["previews"] >= 3
    assert visit["first_step_after"] < visit["seconds"]


def test_weights_are_there_before_a_lease_begins(visits: dict[str, Any]) -> None:
    assert "Loading" not in visits["large model"]["kinds"]


def test_the_next_lease_finds_the_process_of_the_last(visits: dict[str, Any]) -> None:
    visit = visits["after stop"]
    assert names(visit) == ["schedule", "release"]
    assert visit["first_step_after"] < visits["large model"]["first_step_after"]


def test_a_leased_picture_is_the_one_that_this_process_draws(visits: dict[str, Any]) -> None:
    assert visits["same picture"]["spread"] > 10
    assert visits["same picture"]["apart"] <= 1


def test_requests_of_one_press_share_a_lease(visits: dict[str, Any]) -> None:
    visit = visits["many at once"]
    assert visit["others"] == 4
    assert names(visit).count("schedule") == 1


def test_stop_ends_the_lease(visits: dict[str, Any]) -> None:
    visit = visits["stop"]
    assert visit["kinds"][-1] == "Cancelled"
    assert max(visit["steps"]) < 50, "of a hundred"
    assert names(visit)[-1] == "release"
    assert visit["calls"][-1]["fail"] == "false"
    assert visits["after stop"]["kinds"][-1] == "Result"


def test_stopping_one_request_of_a_lease_spares_its_steps_and_not_the_others(
    visits: dict[str, Any],
) -> None:
    visit = visits["stop one"]
    assert visit["kinds"][-1] == "Cancelled"
    end, steps = visit["first's"]
    assert end == "Cancelled", "the leased process was told"
    assert steps < 30, "of a hundred"
    assert visit["second's"] == ["Result", 40]
    assert names(visit).count("schedule") == 1


def test_a_killed_process_costs_one_sentence_and_no_more(visits: dict[str, Any]) -> None:
    assert visits["killed"]["kinds"][-1] == "Failed"
    assert "taken back before the pictures were finished" in visits["killed"]["sentence"]
    assert visits["killed"]["calls"][-1]["fail"] == "true"
    assert visits["restarts"] == 1
    assert visits["after killed"]["kinds"][-1] == "Result"
    assert "allow" in names(visits["after killed"]), "a new process"


@pytest.mark.parametrize(
    ("visit", "sentences"),
    [
        ("over quota", ["s are needed, 20 s are left", "try again in 1:23:00", TOYBOX]),
        ("over quota, nobody", ["log in to Hugging Face", TOYBOX]),
        ("queue failed", ["try again in a minute", TOYBOX]),
        ("too long", ["ask for fewer pictures or steps", TOYBOX]),
        ("no gpu", ["No GPU is free at the moment", TOYBOX]),
    ],
)
def test_a_refusal_is_a_sentence_on_what_to_do(
    visits: dict[str, Any], visit: str, sentences: list[str]
) -> None:
    assert visits[visit]["kinds"][-1] == "Failed"
    for sentence in sentences:
        assert sentence in visits[visit]["sentence"]
    assert "log in" not in visits["over quota"]["sentence"], "the visitor is logged in"


def test_after_refusals_pictures_come_again(visits: dict[str, Any]) -> None:
    assert visits["after refusals"]["kinds"][-1] == "Result"


def test_a_model_that_came_later_is_looked_up_in_the_lease(visits: dict[str, Any]) -> None:
    assert visits["new model"]["kinds"][-1] == "Result"
    assert "Loading" in visits["new model"]["kinds"]


def test_the_page_asks_for_the_gpu_in_its_visitors_name(visits: dict[str, Any]) -> None:
    page = visits["page"]
    assert page["files"] == 1
    assert page["token"] == TOKEN
    assert page["startup_reports"] == 1
