"""Toybox's judge as a family of the engine, on a tiny untrained network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from genlab.catalogue import Catalogue
from genlab.engine import Engine, Runtime
from genlab.images import to_tensor
from genlab.networks.toybox_judge import ToyboxJudge
from genlab.requests import ClassifyRequest, UserError, ask
from genlab.training.card import write_card

NOUNS = ["7", "sneaker", "bag"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    judge = ToyboxJudge(NOUNS, ["red", "blue"], ["black", "white"], channels=(4, 4, 4, 4))
    judge.save_pretrained(root / "judge")
    write_card(root / "judge", "judge", "A tiny judge", "toybox", "For tests.")
    return root


def test_the_judge_names_what_its_network_finds_most_probable(root: Path):
    engine = Engine(Catalogue(root, Runtime("cpu")))
    pictures = np.random.default_rng(0).integers(0, 255, (5, 64, 64, 3), dtype=np.uint8)
    job = engine.submit(ask(ClassifyRequest, checkpoint="judge", images=pictures))
    while engine.tick():
        pass
    with torch.no_grad():
        verdict = ToyboxJudge.from_pretrained(root / "judge").eval()(to_tensor(pictures))
    extras = job.result().extras
    assert extras["confidence"] == pytest.approx(verdict.nouns.softmax(dim=1).amax(dim=1).numpy())
    assert extras["nouns"] == [NOUNS[k] for k in verdict.nouns.argmax(dim=1)]


def test_pictures_of_another_size_are_refused(root: Path):
    digits = np.zeros((2, 28, 28), np.uint8)
    with pytest.raises(UserError, match="takes 64 x 64 x 3 pictures, not 28 x 28"):
        Catalogue(root, Runtime("cpu")).check(
            ask(ClassifyRequest, checkpoint="judge", images=digits)
        )
