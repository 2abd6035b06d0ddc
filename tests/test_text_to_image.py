"""Other pipelines run by their stock call, one step a turn, and give what the stock call gives."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline

from genlab.engine.core import Core
from genlab.engine.events import FINAL, Cancelled, Event, Failed, Progress, Result
from genlab.engine.runner import Runner
from genlab.families import stable_diffusion, text_to_image
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.families.text_to_image.runner import TextToImageRunner
from genlab.families.text_to_image.stepwise import Stepwise, pause
from genlab.formats.metadata import BrokenCheckpoint
from genlab.requests import UserError, parse_request
from tests.drive import begin, drive, finish, metadata_of, move, opened
from tests.tiny_pipelines import save_tiny_lcm, save_tiny_sd3, save_tiny_stable_diffusion


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("checkpoints")
    save_tiny_sd3(root / "sd3")
    save_tiny_lcm(root / "lcm")
    save_tiny_stable_diffusion(root / "sd")
    return root


@pytest.fixture(scope="module")
def runners(root: Path) -> dict[str, Runner]:
    families = {"sd3": text_to_image, "lcm": text_to_image, "sd": stable_diffusion}
    return {name: opened(family.FAMILY, root / name) for name, family in families.items()}


class Served:
    """A core that has these models, and what it told of each job."""

    def __init__(self, runners: dict[str, Runner]) -> None:
        self.runners = runners
        self.core = Core(self)
        self.events: dict[int, list[Event]] = {}

    def get(self, name: str, in_use: Collection[str]) -> Runner:
        return self.runners[name]

    def title(self, name: str) -> str:
        return name

    def add(self, request: StableDiffusionRequest) -> int:
        job_id = len(self.events) + 1
        self.events[job_id] = []
        self.core.add(job_id, request, f"person {job_id}")
        return job_id

    def step(self) -> None:
        for job_id, event in self.core.step():
            self.events[job_id].append(event)

    def run(self) -> None:
        while not all(self.ended(job_id) for job_id in self.events):
            self.step()

    def ended(self, job_id: int) -> bool:
        return any(isinstance(event, FINAL) for event in self.events[job_id])

    def steps_of(self, job_id: int) -> int:
        seen = [event.step for event in self.events[job_id] if isinstance(event, Progress)]
        return seen[-1] if seen else 0

    def result_of(self, job_id: int) -> Result:
        event = self.events[job_id][-1]
        assert isinstance(event, Result), event
        return event


@pytest.fixture
def served(runners: dict[str, Runner]) -> Served:
    return Served(runners)


def request_for(**values: object) -> StableDiffusionRequest:
    defaults = {"checkpoint": "sd3", "prompt": "a red seven", "negative_prompt": "a blue sneaker"}
    usual = {"num_inference_steps": 4, "guidance_scale": 5.0, "seed": 11, "count": 2}
    return parse_request(StableDiffusionRequest, **(defaults | usual | values))


def stock(root: Path, request: StableDiffusionRequest) -> np.ndarray:
    absent = {} if request.checkpoint == "lcm" else {"text_encoder_3": None, "tokenizer_3": None}
    pipeline: Any = DiffusionPipeline.from_pretrained(root / request.checkpoint, **absent)
    pipeline.set_progress_bar_config(disable=True)
    negative = {} if request.checkpoint == "lcm" else {"negative_prompt": request.negative_prompt}
    output = pipeline(
        request.prompt,
        **negative,
        num_inference_steps=request.num_inference_steps,
        guidance_scale=request.guidance_scale,
        num_images_per_prompt=request.count,
        generator=[torch.Generator().manual_seed(request.seed + k) for k in range(request.count)],
        output_type="pil",
    )
    return np.stack([np.asarray(picture) for picture in output.images])


@pytest.mark.parametrize("checkpoint", ["sd3", "lcm"])
def test_pictures_equal_the_stock_pipelines_whoever_else_is_served(served, root, checkpoint):
    request = request_for(checkpoint=checkpoint)
    other = request_for(
        checkpoint=checkpoint, seed=3, prompt="a green sneaker", num_inference_steps=2
    )
    jobs = [served.add(r) for r in (other, request, request_for(checkpoint="sd"))]
    served.run()
    for job, drawn in zip(jobs[:2], (other, request), strict=True):
        gap = served.result_of(job).images.astype(int) - stock(root, drawn).astype(int)
        assert np.abs(gap).max() <= 1
    assert served.result_of(jobs[2]).images.shape == (2, 16, 16, 3)


def test_others_are_served_between_its_steps(served):
    slow = served.add(request_for(num_inference_steps=20, preview_every=1))
    quick = served.add(request_for(checkpoint="sd", num_inference_steps=2, count=1))
    while not served.ended(quick):
        served.step()
    assert served.steps_of(slow) < 20
    served.run()
    progress = [event for event in served.events[slow] if isinstance(event, Progress)]
    assert [event.step for event in progress] == list(range(1, 21))
    assert all(event.preview is None for event in progress)


def test_one_job_runs_at_a_time_and_the_others_wait_in_the_queue(served):
    first, second = (served.add(request_for(seed=k)) for k in range(2))
    while not served.ended(first):
        assert served.steps_of(second) == 0
        served.step()
    served.run()
    assert served.steps_of(second) == 4


def test_stop_ends_it_between_two_steps_and_frees_what_it_held(served):
    job = served.add(request_for(num_inference_steps=50))
    other = served.add(request_for())
    while served.steps_of(job) < 2:
        served.step()
    call = weakref.ref(served.core._jobs[job].state.call._call)
    served.core.cancel(job)
    served.step()
    assert isinstance(served.events[job][-1], Cancelled)
    gc.collect()
    assert call() is None, "the stock call and all it holds are gone"
    served.run()
    assert served.result_of(other).images.shape == (2, 16, 16, 3)
    assert torch.is_grad_enabled()


def test_an_error_inside_the_stock_call_is_one_sentence_and_disturbs_nobody(
    served, runners, monkeypatch
):
    transformer = runners["sd3"].pipeline.transformer
    forward = transformer.forward
    calls: list[int] = []

    def fail_once(*args: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise ValueError("shapes\ndo not fit")
        return forward(*args, **named)

    monkeypatch.setattr(transformer, "forward", fail_once)
    bad, good = served.add(request_for()), served.add(request_for(seed=5))
    served.run()
    failed = served.events[bad][-1]
    assert isinstance(failed, Failed)
    assert "could not finish this request (ValueError)" in failed.message
    assert served.result_of(good).images.shape == (2, 16, 16, 3)
    assert torch.is_grad_enabled()


def test_too_little_memory_is_one_sentence(served, runners, monkeypatch):
    def full(*args: Any, **named: Any) -> Any:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(runners["sd3"].pipeline.transformer, "forward", full)
    job = served.add(request_for())
    served.run()
    failed = served.events[job][-1]
    assert isinstance(failed, Failed)
    assert "too little memory" in failed.message


def test_decoding_pauses_between_a_few_pictures_and_gives_the_same(root, runners, monkeypatch):
    request = request_for(count=3, num_inference_steps=2)
    whole = drive(runners["sd3"], request)[0].images
    runner = opened(text_to_image.FAMILY, root / "sd3")
    monkeypatch.setattr("genlab.families.text_to_image.runner.pictures_at_once", lambda *_: 1)
    (job,) = begin(runner, request)
    for _ in range(2):
        move(runner, [job])
    turns = 0
    while runner.undecoded(job):
        runner.store(job, *runner.decode([job]))
        turns += 1
    assert turns == 3
    assert np.abs(runner.result(job).images.astype(int) - whole.astype(int)).max() <= 1


@pytest.mark.parametrize(
    ("guidance_scale", "sentence"), [(9.0, "lower guidance_scale"), (4.0, "weights are broken")]
)
def test_numbers_that_run_away_are_said_and_never_shown(root, guidance_scale, sentence):
    runner = opened(text_to_image.FAMILY, root / "sd3")
    with torch.no_grad():
        runner.pipeline.vae.decoder.conv_out.bias[0] = float("nan")
    (job,) = begin(runner, request_for(guidance_scale=guidance_scale, num_inference_steps=1))
    move(runner, [job])
    with pytest.raises(UserError, match=sentence):
        finish(runner, job)


def test_notes_tell_what_has_no_effect(runners):
    sd3, lcm = (
        drive(runners[name], request_for(checkpoint=name, trajectory=True))[0]
        for name in ("sd3", "lcm")
    )
    assert any("own scheduler, FlowMatchEuler" in note for note in sd3.notes)
    notes = " ".join(lcm.notes)
    assert "LCMScheduler" in notes
    assert "no negative prompt" in notes
    assert "no trajectory" in notes


def test_a_folder_that_is_no_text_to_image_pipeline_is_left_out(tmp_path):
    folder = save_tiny_sd3(tmp_path / "sd3")
    index = folder / "model_index.json"
    text = index.read_text()
    for kind, why in (
        ("StableDiffusionInpaintPipeline", "does not draw pictures from a prompt alone"),
        ("DDPMPipeline", "does not draw pictures from a prompt alone"),
        ("NoSuchPipeline", "which diffusers does not have"),
        ("UNet2DModel", "which diffusers does not have"),
    ):
        index.write_text(text.replace("StableDiffusion3Pipeline", kind))
        with pytest.raises(BrokenCheckpoint, match=why):
            metadata_of(text_to_image.FAMILY, folder)


def test_the_page_is_told_who_keeps_to_its_own_scheduler(root):
    assert metadata_of(text_to_image.FAMILY, root / "sd3").facts["own_scheduler"]
    assert not metadata_of(stable_diffusion.FAMILY, root / "sd").facts["own_scheduler"]


def test_its_weights_are_counted_before_and_after_loading_alike(root, runners):
    metadata = metadata_of(text_to_image.FAMILY, root / "sd3")
    runner = runners["sd3"]
    assert isinstance(runner, TextToImageRunner)
    assert metadata.memory_bytes() == pytest.approx(runner.nbytes, rel=0.01)


def test_a_call_goes_on_where_it_paused_and_keeps_its_own_gradient_mode():
    seen: list[object] = []

    @torch.no_grad()
    def call() -> str:
        seen.append(torch.is_grad_enabled())
        pause()
        seen.append(torch.is_grad_enabled())
        return "done"

    stepwise = Stepwise(call)
    stepwise.go_on()
    assert (seen, stepwise.ended, torch.is_grad_enabled()) == ([False], False, True)
    with torch.no_grad():
        stepwise.go_on()
        assert not torch.is_grad_enabled()
    assert (seen, stepwise.ended, stepwise.result) == ([False, False], True, "done")
    stepwise.go_on()  # nothing is left to do
    assert torch.is_grad_enabled()


def test_a_dropped_call_runs_its_finally_and_what_it_raises_comes_out():
    seen: list[str] = []

    def call() -> None:
        try:
            pause()
        finally:
            seen.append("tidied")

    stepwise = Stepwise(call)
    stepwise.go_on()
    del stepwise
    gc.collect()
    assert seen == ["tidied"]

    def wrong() -> None:
        pause()
        raise KeyError("x")

    stepwise = Stepwise(wrong)
    stepwise.go_on()
    with pytest.raises(KeyError):
        stepwise.go_on()
    assert stepwise.ended
