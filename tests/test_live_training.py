"""Live training: it learns, goes on as if never stopped, says when it diverges, holds up nobody."""

from __future__ import annotations

import ast
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import init_empty_weights
from diffusers.models.modeling_utils import no_init_weights
from safetensors.torch import load, save

from genlab.engine.core import Core
from genlab.engine.device import Device
from genlab.engine.events import Cancelled, Failed, Result
from genlab.families.live_training import FAMILY
from genlab.families.live_training.data import clusters_drawn, load_digits, ring, shipped_digits
from genlab.families.live_training.listing import SOURCE, listing, stages
from genlab.families.live_training.networks import build_network
from genlab.families.live_training.request import NAME, PHASES, SUBJECTS, TrainRequest
from genlab.families.live_training.runner import LiveTrainingRunner
from genlab.models.families import BUILT_IN
from genlab.models.registry import Registry
from genlab.requests import UserError, parse_request
from tests.drive import begin, drive, move
from tests.fakes import CountingRunner, FakeModels, request_of


def asked(subject: str = "points-gan", **values: Any) -> TrainRequest:
    """A request of a small training."""
    known = {"run": "one", "subject": subject, "latent_dim": 2, "steps": 3}
    return parse_request(TrainRequest, **(known | values))


@pytest.fixture(scope="module")
def runner() -> LiveTrainingRunner:
    return LiveTrainingRunner(shipped_digits()[:200], Device("cpu", graphs=False))


def trained(runner: LiveTrainingRunner, *steps: int, **values: Any) -> list[Result]:
    """The results of one request after another, each from the state of the one before."""
    results: list[Result] = []
    for count in steps:
        state = results[-1].extras["state"] if results else b""
        results += drive(runner, asked(steps=count, state=state, **values))
    return results


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_training_in_stretches_is_the_same_as_in_one(runner: LiveTrainingRunner, subject: str):
    (whole,) = trained(runner, 4, subject=subject)
    *_, last = trained(runner, 1, 2, 1, subject=subject)
    assert last.extras["step"] == whole.extras["step"] == 4
    assert last.extras["state"] == whole.extras["state"]
    assert np.array_equal(last.images, whole.images)
    losses = {name: len(values) for name, values in whole.extras["losses"].items()}
    assert set(losses.values()) == {4}, losses


@pytest.mark.parametrize("subject", SUBJECTS)
def test_another_seed_is_another_training(runner: LiveTrainingRunner, subject: str):
    states = {trained(runner, 1, subject=subject, seed=s)[0].extras["state"] for s in (0, 0, 1)}
    assert len(states) == 2


def test_nobody_elses_random_numbers_are_touched(runner: LiveTrainingRunner):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    trained(runner, 2, subject="conv-gan")
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("subject", list(SUBJECTS))
def test_it_begins_the_same_while_another_thread_opens_a_pipeline(subject: str):
    usual = build_network(subject, 2, seed=3).state_dict()
    with init_empty_weights(), no_init_weights():  # of the whole process, whoever asks for them
        meanwhile = build_network(subject, 2, seed=3).state_dict()
    assert all(torch.equal(value, meanwhile[name]) for name, value in usual.items())


@pytest.mark.parametrize("subject", ["points-vae", "mlp-vae", "conv-vae"])
def test_a_vae_learns_to_reconstruct(runner: LiveTrainingRunner, subject: str):
    (result,) = trained(runner, 60, subject=subject, latent_dim=8, learning_rate=3e-3)
    errors = result.extras["losses"]["reconstruction"]
    assert errors[-5:].mean() < 0.6 * errors[0]
    assert np.allclose(
        result.extras["losses"]["loss"], errors + result.extras["losses"]["KL"], rtol=1e-4
    )


def test_the_kl_weight_pulls_the_codes_to_the_prior(runner: LiveTrainingRunner):
    bound, free = (
        trained(runner, 150, subject="points-vae", kl_weight=weight, learning_rate=3e-3)[0]
        for weight in (10, 0)
    )
    assert bound.extras["losses"]["KL"][-20:].mean() < free.extras["losses"]["KL"][-20:].mean() / 2


def test_a_generator_of_points_moves_towards_the_ring(runner: LiveTrainingRunner):
    first, later = trained(runner, 1, 400, subject="points-gan", learning_rate=2e-3)
    for result in (first, later):
        assert result.extras["points"].shape == result.extras["real"].shape == (512, 2)
        assert result.extras["field"].shape == (40, 40)
        assert len(result.images) == 0
    radius = [np.linalg.norm(r.extras["points"], axis=1).mean() for r in (first, later)]
    assert abs(radius[1] - 2) < abs(radius[0] - 2) / 2


def test_clusters_are_counted_by_their_share():
    points = ring(800, torch.Generator().manual_seed(0))
    assert clusters_drawn(points) == 8
    lost = points[(points - torch.tensor([2.0, 0.0])).norm(dim=1) > 1]
    assert clusters_drawn(lost) == 7
    assert clusters_drawn(torch.zeros(100, 2)) == 0
    assert clusters_drawn(points.mean(0).expand(100, 2)) == 0


def test_more_updates_of_the_generator_are_more_updates(runner: LiveTrainingRunner):
    one, three = (
        drive(runner, asked(steps=1, watch=True, generator_updates=n))[0].extras["watched"]
        for n in (1, 3)
    )
    assert [(phase, part) for phase, part, _ in one] == list(stages("gan"))
    assert len(three) == len(one) + 2 * 5
    assert [phase for phase, part, _ in three if part == "generator"] == [2, 3, 4, 5, 6] * 3


def test_a_watched_step_says_what_each_of_the_six_did(runner: LiveTrainingRunner):
    (result,) = drive(runner, asked("mlp-vae", steps=1, watch=True))
    words = [said for _, _, said in result.extras["watched"]]
    assert words[0] == "x: 128 x 1 x 28 x 28"
    assert words[1] == "0 of 10 weight tensors hold a gradient"
    assert "z: 128 x 2" in words[2]
    assert "KL" in words[3]
    assert "norm" in words[4]
    assert words[5].startswith("weights moved by")


def test_two_steps_cannot_be_watched_at_once():
    with pytest.raises(UserError):
        asked(steps=2, watch=True)


def test_losses_that_are_no_numbers_any_more_are_told(runner: LiveTrainingRunner):
    tensors = load(trained(runner, 2, subject="points-vae")[0].extras["state"])
    broken = save(tensors | {"network.decoder.0.bias": torch.full((128,), torch.nan)})
    (result,) = drive(runner, asked("points-vae", state=broken, steps=5))
    assert "diverged" in result.notes[0]
    assert result.extras["state"] == b""
    assert "step 3" in result.notes[0], "the first step whose loss is none"


@pytest.mark.parametrize("state", [b"x", b"\0" * 99, "another"])
def test_a_state_of_something_else_is_one_sentence(runner: LiveTrainingRunner, state: Any):
    if state == "another":
        state = trained(runner, 1, subject="points-vae")[0].extras["state"]
    with pytest.raises(UserError, match="state is damaged or of another training"):
        begin(runner, asked("points-gan", state=state))


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("kl_weight", 11, "a number from 0 to 10"),
        ("latent_dim", 0, "a whole number from 1 to 64"),
        ("generator_updates", 1.5, "a whole number from 1 to 10"),
        ("learning_rate", "", "a number from 0 to 1"),
        ("subject", "flow", "one of points-gan, points-vae"),
    ],
)
def test_a_wrong_setting_is_one_sentence(field: str, value: Any, allowed: str):
    with pytest.raises(UserError, match=f"{field} is .*but must be {allowed}"):
        asked(**{"subject": "mlp-vae", field: value})


def test_a_request_does_not_print_its_state():
    assert "xyz" not in repr(asked(state=b"xyz"))


def test_results_travel_between_processes(runner: LiveTrainingRunner):
    (result,) = trained(runner, 1)
    again = pickle.loads(pickle.dumps(result))
    assert again.extras["state"] == result.extras["state"]
    assert not any(isinstance(value, torch.Tensor) for value in result.extras.values())


# --- beside others ----------------------------------------------------------------------------


def test_a_picture_beside_a_training_gets_every_other_unit(runner: LiveTrainingRunner):
    class Clocked(LiveTrainingRunner):
        """Each unit of training takes 40 milliseconds by the counting runner's clock."""

        def predict(self, jobs: Any) -> list[None]:
            clock.now += 0.04
            turns.append("training")
            return super().predict(jobs)

    class Counted(CountingRunner):
        def predict(self, jobs: Any) -> list[int]:
            turns.append("picture")
            return super().predict(jobs)

    from tests.fakes import Clock

    clock, turns = Clock(), []
    models = FakeModels(Counted(clock, lambda rows: 0.01))
    models.runners[NAME] = Clocked(shipped_digits()[:100], Device("cpu", graphs=False))
    core = Core(models, clock=clock)
    core.add(1, asked(steps=5000), "trains")
    for _ in range(10):
        core.step()
    turns.clear()
    began = clock.now
    core.add(2, request_of(steps=25), "draws")
    while not any(job == 2 and isinstance(e, Result) for job, e in core.step()):
        pass
    alone = 25 * 0.01
    assert clock.now - began <= 2 * (2 * alone), "at most twice an even share"
    assert turns.count("training") >= 5, "and the training goes on beside it"


def test_cancelling_a_training_frees_all_of_it(runner: LiveTrainingRunner):
    models = FakeModels()
    models.runners[NAME] = runner
    core = Core(models)
    core.add(1, asked(steps=5000), "a")
    for _ in range(3):
        core.step()
    (job,) = core._jobs.values()
    import weakref

    state = weakref.ref(job.state)
    core.cancel(1)
    events = core.step()
    assert (1, Cancelled()) in events
    assert state() is None
    assert core.idle


def test_no_two_trainings_share_a_unit_and_both_go_on(runner: LiveTrainingRunner):
    models = FakeModels()
    models.runners[NAME] = runner
    core = Core(models)
    core.add(1, asked(steps=12, run="a"), "a")
    core.add(2, asked(steps=12, run="b", seed=1), "b")
    results: dict[int, Any] = {}
    while len(results) < 2:
        results |= {k: e for k, e in core.step() if isinstance(e, (Result, Failed))}
    alone = trained(runner, 12)[0]
    assert results[1].extras["state"] == alone.extras["state"]
    assert results[2].extras["state"] != alone.extras["state"]


def test_a_unit_that_is_repeated_takes_no_step_twice(runner: LiveTrainingRunner):
    (job,) = begin(runner, asked("points-gan", steps=24))
    runner.predict([job])  # the engine repeats a call that failed behind the runner's back
    move(runner, [job])
    assert job.state.drawn()[1]["step"] == SUBJECTS["points-gan"].unit


# --- what is around it ------------------------------------------------------------------------


def test_it_is_served_by_name_and_in_no_list(tmp_path: Path):
    registry = Registry(tmp_path)
    assert registry.find(NAME) is BUILT_IN[NAME] is FAMILY.built_in
    assert registry.entry(NAME) is FAMILY.built_in
    assert registry.fingerprint(NAME) == ""
    assert NAME not in registry.entries
    registry.check(asked())


def test_the_digits_that_are_shipped_are_real_digits_of_all_classes():
    digits = shipped_digits()
    assert digits.shape == (2000, 28, 28)
    assert digits.dtype == torch.uint8
    assert len(torch.unique(digits.flatten(1), dim=0)) == 2000
    assert digits[:, 0].max() == 0
    assert digits.max() == 255


def test_without_the_full_set_nothing_is_downloaded(tmp_path: Path, monkeypatch: Any):
    monkeypatch.setenv("GENLAB_DATA", str(tmp_path))
    assert len(load_digits()) == 2000
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("family", ["vae", "gan"])
def test_the_page_shows_the_lines_that_run(family: str):
    source = SOURCE.read_text(encoding="utf-8")
    lines = listing(family)
    assert all(line.text.strip() in source for line in lines)
    shown = {line.phase: line.text for line in lines if line.text.lstrip().startswith("# ")}
    for phase, name in enumerate(PHASES, start=1):
        assert name in shown[phase]
    yields = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Yield)]
    assert len(yields) == len(stages("vae")) + len(stages("gan")), "each stage ends in a yield"
