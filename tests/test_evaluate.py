"""Who measures a checkpoint is looked up: its family, else the judge of its data set."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from genlab.families.description import load
from genlab.formats.metadata import ModelMetadata
from genlab.models import evaluate
from genlab.models.families import FAMILIES
from genlab.requests import UserError

CALLS: list[tuple[Any, ...]] = []


def measure(*arguments: Any) -> dict[str, Any]:
    """Stands for a family's own evaluation."""
    CALLS.append(arguments)
    return {"fid": 1.23456, "nested": {"rows": [0.000123456, 7]}, "name": "x", "samples": 10_000}


class FakeRegistry:
    """Knows a model of each family, and one judge of Toybox's pictures."""

    def __init__(self, dataset: str = "toybox") -> None:
        self.dataset = dataset

    def entry(self, name: str) -> ModelMetadata:
        return ModelMetadata(name, Path(name), name, name, self.dataset)

    def judge(self, dataset: str) -> ModelMetadata | None:
        return ModelMetadata("j", Path("j"), "judge", "J", dataset) if dataset == "toybox" else None


def evaluator(family: str, dataset: str) -> str:
    registry: Any = FakeRegistry(dataset)
    return evaluate.evaluator(registry.entry(family), registry)


@pytest.mark.parametrize("family", [name for name in FAMILIES if FAMILIES[name].evaluate])
def test_a_family_that_says_how_it_is_measured_is_measured_so(family: str) -> None:
    assert evaluator(family, "mnist") == FAMILIES[family].evaluate
    assert callable(load(FAMILIES[family].evaluate))


def test_a_family_that_does_not_is_measured_by_the_judge_of_its_data_set() -> None:
    judge = FAMILIES["judge"].judge
    assert judge is not None
    assert evaluator("stable_diffusion", "toybox") == judge.evaluate
    assert callable(load(judge.evaluate))


@pytest.mark.parametrize(
    ("family", "dataset", "sentence"),
    [
        ("judge", "toybox", "was measured where it was trained"),
        ("stable_diffusion", "", "no data set here has pictures like its own"),
        ("vae", "", "no data set here has pictures like its own"),
        ("text_to_image", "mnist", "nothing here judges mnist pictures of text to image"),
    ],
)
def test_what_nobody_can_measure_is_one_sentence(family: str, dataset: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        evaluator(family, dataset)


def test_a_new_family_is_measured_by_what_its_description_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    new = dataclasses.replace(FAMILIES["vae"], name="flow", evaluate=f"{__name__}:measure")
    monkeypatch.setitem(FAMILIES, "flow", new)
    registry: Any = FakeRegistry("mnist")
    client: Any = object()
    figures = evaluate.evaluate("flow", client, registry, Path("data"), 50, Path("sheets"))
    assert CALLS.pop() == (
        *(client, registry.entry("flow"), registry, Path("data"), 50, Path("sheets")),
    )
    assert figures == {
        "fid": 1.235, "nested": {"rows": [0.0001235, 7]}, "name": "x", "samples": 10_000
    }  # fmt: skip
