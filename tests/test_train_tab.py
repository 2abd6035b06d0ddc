"""The Train tab: stretches, pause, steps one by one, the words and plots that a page is sent."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest

from genlab.engine.device import Device
from genlab.engine.events import Cancelled, Event, Failed, Result
from genlab.families.live_training.data import shipped_digits
from genlab.families.live_training.listing import listing, stages
from genlab.families.live_training.request import SUBJECTS, TrainRequest
from genlab.families.live_training.runner import LiveTrainingRunner
from genlab.models.own import OwnModels
from genlab.requests import UserError, parse_request
from genlab.serving.client import Ticket
from genlab.serving.session_runs import Stopped
from genlab.serving.training_slots import TrainingSlots
from genlab.ui.tabs.train import keep as keeping
from genlab.ui.tabs.train import session as following
from genlab.ui.tabs.train import view
from genlab.ui.tabs.train.code import code, lights
from genlab.ui.tabs.train.history import MOST, LossCurve
from genlab.ui.tabs.train.measured import measured
from genlab.ui.tabs.train.session import TrainingSession
from tests.drive import drive
from tests.fakes import Clock


class Trainer:
    """Stands for a run: trains at once, in this thread; each stretch lets a second pass."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.ending: Exception | None = None
        self.requests: list[TrainRequest] = []
        self.instead: Event | None = None
        self._runner = LiveTrainingRunner(shipped_digits()[:64], Device("cpu", graphs=False))
        self._clock = clock or Clock()

    def submit(self, requests: Sequence[Any]) -> list[Ticket]:
        tickets = []
        for request in requests:
            self.requests.append(request)
            tickets.append(Ticket(request, "me"))
            short = request.model_copy(update={"steps": min(request.steps, 2)})
            event = self.instead or drive(self._runner, short)[0]
            tickets[-1].post(event)
            self._clock.now += 1.0
        return tickets


def session(
    subject: str = "points-gan", slots: TrainingSlots | None = None, paused: bool = False
) -> TrainingSession:
    asked = parse_request(TrainRequest, run="new", subject=subject, latent_dim=2)
    return TrainingSession(asked, (slots or TrainingSlots(1, 300)).training(), paused)


async def moments(training: TrainingSession, run: Any, count: int) -> list[int]:
    """The steps at the next so many moments that there is something to show."""
    seen: list[int] = []
    source = training.follow(run)
    async for _ in source:
        seen.append(training.step)
        if len(seen) == count:
            break
    await source.aclose()  # type: ignore[attr-defined]
    return seen


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "REDRAW", 0.001)


async def test_each_stretch_goes_on_where_the_last_one_ended():
    training, run = session(), Trainer()
    assert await moments(training, run, 3) == [2, 4, 6]
    assert [bool(request.state) for request in run.requests] == [False, True, True]
    assert len({request.run for request in run.requests}) == 1
    assert len(training.history.curves["generator"].points) == 6


async def test_its_time_is_bounded_and_its_place_is_free_afterwards():
    clock = Clock()
    slots = TrainingSlots(1, 3, clock)
    training = session(slots=slots)
    run = Trainer(clock)
    async for _ in training.follow(run):  # type: ignore[arg-type]
        pass
    assert len(run.requests) == 3
    with slots.training():
        pass


async def test_a_full_house_is_a_sentence_at_the_start_and_a_pause_later():
    slots = TrainingSlots(1, 60)
    training, run = session(slots=slots), Trainer()
    with slots.training(), pytest.raises(UserError, match="One training is running"):
        await moments(training, run, 1)
    await moments(training, run, 1)
    training.pause_or_go_on()
    training.pause_or_go_on()
    with slots.training():
        await moments(training, run, 1)
    assert training.paused
    assert "One training is running" in training.complaint
    assert training.step == 2, "and what it has learnt is still there"


async def test_a_paused_training_asks_for_nothing():
    training, run = session(), Trainer()
    await moments(training, run, 1)
    training.pause_or_go_on()
    assert await moments(training, run, 4) == [2, 2, 2, 2]
    assert len(run.requests) == 1
    training.pause_or_go_on()
    assert await moments(training, run, 1) == [4]


@pytest.mark.parametrize("subject", ["points-gan", "mlp-vae"])
async def test_one_is_led_through_the_six_and_then_through_the_next_step(subject: str):
    training, run = session(subject, paused=True), Trainer()
    training.walk()
    await moments(training, run, 2)
    every = len(stages(SUBJECTS[subject].family))
    seen = [training.stage]
    for _ in range(every - 1):
        training.walk()
        await moments(training, run, 1)
        seen.append(training.stage)
    assert seen == list(range(1, every + 1))
    assert len(run.requests) == 1
    assert run.requests[0].steps == 1
    training.walk()
    await moments(training, run, 2)
    assert (training.stage, training.step) == (1, 2)


async def test_settings_change_on_the_way_and_wrong_ones_do_not():
    training, run = session("points-vae"), Trainer()
    await moments(training, run, 1)
    training.change({"kl_weight": 4, "learning_rate": "0.01"})
    with pytest.raises(UserError, match="kl_weight is 11"):
        training.change({"kl_weight": 11})
    await moments(training, run, 1)
    assert [request.kl_weight for request in run.requests] == [1.0, 4.0]
    assert run.requests[1].learning_rate == 0.01
    assert run.requests[1].run == run.requests[0].run


@pytest.mark.parametrize(
    ("event", "error"), [(Failed("It broke."), UserError), (Cancelled(), Stopped)]
)
async def test_whatever_ends_a_stretch_ends_it_and_keeps_what_was_learnt(event: Any, error: Any):
    training, run = session(), Trainer()
    await moments(training, run, 1)
    state, run.instead = training.state, event
    with pytest.raises(error):
        await moments(training, run, 1)
    assert training.state == state


async def test_a_training_that_diverges_keeps_its_last_good_state():
    training, run = session(), Trainer()
    await moments(training, run, 1)
    state = training.state
    broken = {"state": b"", "step": 9, "losses": {"generator": np.array([np.nan])}, "watched": ()}
    run.instead = Result(np.zeros((0, 28, 28), np.uint8), broken, ("It has diverged.",))
    with pytest.raises(UserError, match="diverged"):
        await moments(training, run, 1)
    assert training.state == state
    assert training.step == 2


async def test_stop_is_heard_during_a_pause():
    training, run = session(), Trainer()
    await moments(training, run, 1)
    training.pause_or_go_on()
    run.ending = Stopped()
    with pytest.raises(Stopped):
        await moments(training, run, 1)


# --- what is shown ----------------------------------------------------------------------------


def test_a_long_training_is_a_bounded_curve():
    curve = LossCurve()
    for value in range(50):
        curve.add(np.full(100, float(value)))
    assert len(curve.points) <= MOST
    assert curve.points == sorted(curve.points)
    assert curve.points[0] < 1
    assert curve.points[-1] > 48
    assert curve.latest == 49


@pytest.mark.parametrize("family", ["vae", "gan"])
def test_the_code_is_escaped_and_every_stage_is_marked(family: str):
    html = code(family)
    marked = {int(stage) for stage in re.findall(r'data-stage="(\d+)"', html)}
    assert marked == set(range(1, len(stages(family)) + 1))
    assert html.count('class="line') == len(listing(family))
    assert "-&gt; Iterator" in html


def test_lights_say_where_a_training_is():
    assert 'data-running="1"' in lights("vae", running=True)
    assert 'data-at="4"' in lights("vae", running=False, stage=4)
    assert "data-" not in lights("vae", running=False)


async def test_a_frame_of_points_and_one_of_digits():
    for subject, words in (("points-gan", "512 drawn points"), ("conv-vae", "64 samples")):
        training, run = session(subject), Trainer()
        await moments(training, run, 2)
        status, pause, stop, samples, curves, lit, download, loop = view.frame(training)
        assert "Step 4" in status
        assert pause["value"] == "Pause"
        assert stop["interactive"]
        assert words in samples
        assert curves.count("<figure") == len(view.plots_of(subject))
        assert "backward" in lit
        assert not download["visible"]
        assert loop == gr.skip()
        assert len(samples) + len(curves) < 60_000, "sent once a second"


async def test_the_end_brings_a_checkpoint_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(keeping, "get_upload_folder", lambda: str(tmp_path / "files"))
    training, run = session("conv-vae"), Trainer()
    await moments(training, run, 1)

    class Models:
        own = OwnModels(tmp_path / "own")

    kept = keeping.keep(Models(), "me", training)  # type: ignore[arg-type]
    (mine,) = Models.own.of("me", "vae")
    assert "2 steps" in mine.title
    assert mine.title in kept.note
    assert kept.archive is not None
    assert Path(kept.archive).name == "my-conv-vae-2.zip"
    ended = view.ended(training, "Stopped.", kept)
    assert ended[6]["visible"]
    assert not Models.own.of("another")


@pytest.mark.parametrize("subject", SUBJECTS)
def test_the_tab_opens_with_a_measured_run_and_says_so(subject: str):
    seen = measured(subject)
    assert re.search(r"Measured beforehand: [\d,]+ steps, \d+ seconds on", seen.status)
    assert "<path" in seen.curves
    assert "<svg" in seen.samples or "<img" in seen.samples


def test_a_start_shows_its_own_loop_and_empty_axes():
    *_, curves, lit, download, loop = view.begun(session("mlp-vae"))
    assert "vae_loop" in loop
    assert "<path d" not in curves
    assert 'data-running="1"' in lit
    assert not download["visible"]


async def test_points_and_a_training_that_took_no_step_leave_nothing():
    training, run = session("points-vae"), Trainer()
    assert keeping.keep(None, "me", training).archive is None  # type: ignore[arg-type]
    await moments(training, run, 1)
    assert keeping.keep(None, "me", training).archive is None  # type: ignore[arg-type]
