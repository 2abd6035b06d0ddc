"""Figures of what was drawn; and what was drawn is never lost because measuring it failed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genlab.engine.core import Core, FollowUp
from genlab.engine.device import Device
from genlab.engine.events import FINAL, Cancelled, Result
from genlab.evaluation.judging import sharpness_figures, sharpness_word
from genlab.families.classifier.request import ClassifyRequest
from genlab.families.description import Judge
from genlab.families.vae.network import ConvVAE
from genlab.families.vae.request import VAERequest
from genlab.families.vae.runner import VAERunner
from genlab.formats.model_card import update_metrics, write_card
from genlab.models import judging as judging_module
from genlab.models.cache import ModelCache
from genlab.models.examples import examples
from genlab.models.families import FAMILIES
from genlab.models.judging import Judging
from genlab.models.registry import Registry
from genlab.requests import UserError, parse_request
from tests.tiny_diffusion import save_tiny_judge

PROJECT = Path(__file__).resolve().parent.parent
PROJECT = Path(__file__).resolve().parent.parent
DRAWN = Result(np.zeros((2, 28, 28), np.uint8), {"z": 1}, ("a note",), fingerprint="f", seconds=2.0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A VAE with an FID in its card, and a judge of its data set."""
    torch.manual_seed(0)
    ConvVAE(5, (4, 4), 16).save_pretrained(tmp_path / "vae")
    measured = {"fid": 3.5, "samples": 10_000}
    write_card(tmp_path / "vae", "vae", "A VAE", "mnist", "", metrics=measured)
    save_tiny_judge(tmp_path)
    return tmp_path


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the pictures that are shown are measured, as for a diffusion."""
    monkeypatch.setitem(FAMILIES, "vae", replace(FAMILIES["vae"], measured_sample=0))


def request(**values: Any) -> VAERequest:
    return parse_request(VAERequest, checkpoint="vae", count=2, judge=True, **values)


def answer() -> Result:
    probs = np.eye(10, dtype=np.float32)[[3, 3]]
    return Result(DRAWN.images, {"probs": probs, "features": np.zeros((2, 8), np.float32)})


def finished(follow: FollowUp, drawn: Result, judged: Result | None) -> Result:
    merged = follow.merge(drawn, judged)
    assert isinstance(merged, Result)
    return merged


def figures_of(follow: FollowUp, judged: Result | None) -> dict[str, Any]:
    return dict(finished(follow, DRAWN, judged).figures)


def test_a_judged_picture_comes_with_all_figures(root: Path):
    registry = Registry(root)
    core = Core(ModelCache(registry, Device("cpu", graphs=False)), Judging(registry).follow_up)
    core.add(1, request(), "somebody")
    events: list[Any] = []
    while not any(isinstance(event, FINAL) for event in events):
        events += [event for _, event in core.step()]
    (result,) = [event for event in events if isinstance(event, FINAL)]
    assert isinstance(result, Result), result
    assert result.images.shape == (2, 28, 28)
    assert result.figures["fid"] == 3.5
    assert {"sharpness_percent", "class_histogram", "mean_confidence"} <= result.figures.keys()
    assert result.figures["judged_count"] == 256, "two pictures would look like a collapse"
    assert result.notes == ()
    json.dumps(result.figures, allow_nan=False)


def population_of(follow: FollowUp | None, classes: int = 10) -> FollowUp:
    """What is asked once a population of these classes was drawn and judged."""
    assert follow is not None
    larger = Result(np.zeros((256, 28, 28), np.uint8))
    question = follow.merge(DRAWN, larger)
    assert isinstance(question, FollowUp)
    assert isinstance(question.request, ClassifyRequest)
    assert question.request.images is larger.images
    probs = np.eye(10, dtype=np.float32)[np.arange(256) % classes]
    judged = Result(larger.images, {"probs": probs, "features": np.zeros((256, 8), np.float32)})
    asked = question.merge(DRAWN, judged)
    assert isinstance(asked, FollowUp)
    return asked


def test_figures_of_what_costs_little_are_of_a_population(root: Path):
    judging = Judging(Registry(root))
    follow = judging.follow_up(request(seed=7), DRAWN)
    assert follow is not None
    more = follow.request
    assert isinstance(more, VAERequest)
    assert (more.seed, more.count, more.judge) == (0, 256, False), "the same for everybody"
    asked = population_of(follow)
    assert isinstance(asked.request, ClassifyRequest)
    assert asked.request.images is DRAWN.images
    merged = finished(asked, DRAWN, answer())
    assert merged.images is DRAWN.images, "only those that were asked for are shown"
    assert merged.seconds == DRAWN.seconds, "the population's time is not the pictures'"
    assert merged.figures["classes_above_2_percent"] == 10
    assert merged.figures["judged_count"] == 256
    assert merged.figures["read"] == ["3", "3"], "of the pictures that are given"


def test_a_population_is_measured_once_for_the_same_weights_and_settings(root: Path):
    judging = Judging(Registry(root))
    population_of(judging.follow_up(request(seed=7), DRAWN), classes=4)
    again = judging.follow_up(request(seed=8), DRAWN)
    assert again is not None
    assert isinstance(again.request, ClassifyRequest), "only the shown pictures are to be read"
    assert finished(again, DRAWN, answer()).figures["classes_above_2_percent"] == 4
    for other in (
        judging.follow_up(request(temperature=0.5), DRAWN),
        judging.follow_up(request(), replace(DRAWN, fingerprint="other weights")),
    ):
        assert other is not None
        assert isinstance(other.request, VAERequest)


def test_a_population_that_could_not_be_measured_is_tried_again(root: Path):
    judging = Judging(Registry(root))
    follow = judging.follow_up(request(), DRAWN)
    assert follow is not None
    question = follow.merge(DRAWN, Result(np.zeros((256, 28, 28), np.uint8)))
    assert isinstance(question, FollowUp)
    assert isinstance(question.merge(DRAWN, None), FollowUp), "the judge gave no answer"
    again = judging.follow_up(request(), DRAWN)
    assert again is not None
    assert isinstance(again.request, VAERequest)


@pytest.mark.parametrize("leaves", [False, True])
def test_a_class_that_asks_together_waits_for_one_population(root: Path, monkeypatch, leaves: bool):
    drawn: list[int] = []
    draw = VAERunner.start

    def start(self: Any, jobs: Any) -> Any:
        drawn.extend(job.request.count for job in jobs)
        return draw(self, jobs)

    monkeypatch.setattr(VAERunner, "start", start)
    registry = Registry(root)
    core = Core(ModelCache(registry, Device("cpu", graphs=False)), Judging(registry).follow_up)
    for k in range(6):
        core.add(k, request(seed=k), f"student {k}")
    results: dict[int, Any] = {}
    while len(results) < 6:
        for job, event in core.step():
            if isinstance(event, FINAL):
                results[job] = event
        if leaves and drawn.count(256) == 1:
            core.cancel(0)  # who measured for the others
    assert isinstance(results[0], Cancelled if leaves else Result)
    assert drawn.count(256) == (2 if leaves else 1)
    for k in range(1, 6):
        assert results[k].figures["judged_count"] == 256
        assert len(results[k].figures["read"]) == 2


def test_a_larger_sample_that_cannot_be_drawn_costs_no_picture(root: Path, monkeypatch):
    draw = VAERunner.predict

    def predict(self: Any, jobs: Any) -> Any:
        if jobs[0].request.count > 2:
            raise UserError("It is too much.")
        return draw(self, jobs)

    monkeypatch.setattr(VAERunner, "predict", predict)
    registry = Registry(root)
    core = Core(ModelCache(registry, Device("cpu", graphs=False)), Judging(registry).follow_up)
    core.add(1, request(), "somebody")
    events: list[Any] = []
    while not any(isinstance(event, FINAL) for event in events):
        events += [event for _, event in core.step()]
    (result,) = [event for event in events if isinstance(event, FINAL)]
    assert isinstance(result, Result), result
    assert len(result.images) == 2
    assert result.notes == ("The pictures could not be measured: It is too much.",)


@pytest.mark.usefixtures("alone")
def test_the_judge_is_asked_about_the_pictures_and_its_answer_becomes_figures(root: Path):
    follow = Judging(Registry(root)).follow_up(request(), DRAWN)
    assert follow is not None
    assert isinstance(follow.request, ClassifyRequest)
    assert follow.request.checkpoint == "judge"
    assert follow.request.images is DRAWN.images
    merged = finished(follow, DRAWN, answer())
    assert merged.figures["class_histogram"]["3"] == 1.0
    assert merged.figures["judged_count"] == 2
    assert replace(merged, figures={}) == DRAWN, "pictures, extras, notes and times stay"


@pytest.mark.usefixtures("alone")
def test_the_fid_of_a_card_is_shown_for_what_it_was_measured_on_only(root: Path):
    judging = Judging(Registry(root))
    for wanted, shown in ((request(), True), (request(temperature=0.5), False)):
        follow = judging.follow_up(wanted, DRAWN)
        assert follow is not None
        figures = figures_of(follow, None)
        assert ("fid" in figures, figures.get("fid_samples")) == (shown, 10_000 if shown else None)


def test_without_a_judge_there_are_the_figures_that_need_none(root: Path):
    write_card(root / "vae", "vae", "A VAE", "nobody knows", "", metrics={"fid": 3.5})
    follow = Judging(Registry(root)).follow_up(request(), DRAWN)
    assert follow is not None
    assert follow.request is None
    merged = finished(follow, DRAWN, None)
    assert (merged.figures, merged.notes) == ({"fid": 3.5}, ("a note",))


@pytest.mark.usefixtures("alone")
def test_pictures_that_the_judge_cannot_take_are_not_asked_about(root: Path):
    coloured = replace(DRAWN, images=np.zeros((2, 16, 16, 3), np.uint8))
    follow = Judging(Registry(root)).follow_up(request(), coloured)
    assert follow is not None
    assert follow.request is None
    assert finished(follow, coloured, None).notes == ("a note",)


def test_a_model_that_has_gone_meanwhile_is_not_judged(root: Path):
    registry = Registry(root)
    registry.entries = {}
    assert Judging(registry).follow_up(request(), DRAWN) is None


# --- what fails -----------------------------------------------------------------------------------


def failing(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any) -> Any:
        raise error

    return fail


def judged_by(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    judge = FAMILIES["classifier"].judge
    assert isinstance(judge, Judge)
    changed = replace(FAMILIES["classifier"], judge=replace(judge, **changes))
    monkeypatch.setitem(FAMILIES, "classifier", changed)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (KeyError("probs"), r"something went wrong (KeyError); the log says why."),
        (UserError("It is too late."), "It is too late."),
    ],
)
@pytest.mark.parametrize("part", ["question", "figures"])
@pytest.mark.usefixtures("alone")
def test_a_judge_that_fails_leaves_the_pictures_and_says_why(
    root: Path, monkeypatch, part: str, error: Exception, why: str
):
    judged_by(monkeypatch, **{part: failing(error)})
    follow = Judging(Registry(root)).follow_up(request(), DRAWN)
    assert follow is not None
    merged = finished(follow, DRAWN, answer() if follow.request is not None else None)
    assert merged.images is DRAWN.images
    assert merged.figures == {"fid": 3.5, "fid_samples": 10_000}, "what could be known is there"
    assert merged.notes == ("a note", f"The pictures could not be measured: {why}")


@pytest.mark.usefixtures("alone")
def test_a_familys_own_figures_may_fail_too(root: Path, monkeypatch):
    changed = replace(FAMILIES["vae"], own_figures=failing(ZeroDivisionError()))
    monkeypatch.setitem(FAMILIES, "vae", changed)
    follow = Judging(Registry(root)).follow_up(request(), DRAWN)
    assert follow is not None
    merged = finished(follow, DRAWN, answer())
    assert "class_histogram" in merged.figures
    assert "ZeroDivisionError" in merged.notes[-1]


@pytest.mark.usefixtures("alone")
def test_a_card_with_words_for_an_fid_costs_no_picture(root: Path):
    update_metrics(root / "vae", {"fid": "good"})
    update_metrics(root / "judge", {"sharpness": "high"})
    follow = Judging(Registry(root)).follow_up(request(), DRAWN)
    assert follow is not None
    merged = finished(follow, DRAWN, answer())
    assert {"fid", "sharpness_percent"}.isdisjoint(merged.figures)
    assert "class_histogram" in merged.figures
    assert merged.notes == ("a note",)


@pytest.mark.usefixtures("alone")
def test_a_judge_that_is_too_large_is_a_note(root: Path):
    registry = Registry(root)
    registry.memory_bytes = registry.entry("judge").parameters
    follow = Judging(registry).follow_up(request(), DRAWN)
    assert follow is not None
    assert follow.request is None
    assert "GENLAB_MEMORY_GB allows" in finished(follow, DRAWN, None).notes[-1]


@pytest.mark.usefixtures("alone")
def test_figures_that_json_cannot_hold_are_left_out(root: Path, monkeypatch):
    numbers = {"good": 1.0, "nan": float("nan"), "array": np.zeros(3)}
    monkeypatch.setattr(judging_module, "card_figures", lambda *_: numbers)
    follow = Judging(Registry(root)).follow_up(request(), DRAWN)
    assert follow is not None
    assert figures_of(follow, None) == {"good": 1.0}


# --- where a figure means nothing -----------------------------------------------------------------


@pytest.mark.parametrize("contrast", [0.05, 1.0])
def test_noise_has_a_word_in_the_place_of_its_sharpness_whatever_its_contrast(
    root: Path, contrast: float
):
    update_metrics(root / "judge", {"sharpness": 0.18})
    judge = Registry(root).entry("judge")
    rng = np.random.default_rng(0)
    noise = (127 + contrast * 127 * rng.uniform(-1, 1, (4, 28, 28))).astype(np.uint8)
    assert sharpness_figures(noise, judge)["sharpness_word"] == "noise"


def test_real_digits_are_as_sharp_as_real_digits_and_no_word_is_said(root: Path):
    registry = Registry(PROJECT / "checkpoints", downloads=False)
    digits = examples(registry, "mnist").images[:100]
    figures = sharpness_figures(digits, registry.entry("mnist-classifier"))
    assert figures.keys() == {"sharpness_percent"}
    assert 80 < figures["sharpness_percent"] < 120


def test_more_edges_than_any_real_picture_has_are_harsh():
    assert [sharpness_word(percent, 5.8) for percent in (99, 149, 328)] == ["", "", "harsh"]
