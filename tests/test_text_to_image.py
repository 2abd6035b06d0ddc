"""Other pipelines run by their stock call, one step a tick, and give what the stock call gives."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline

from genlab.engine import Cancelled, Engine, Job, Progress, Result, Runtime
from genlab.families.text_to_image.runner import TextToImageFamily
from genlab.families.text_to_image.stepwise import Stepwise, pause
from genlab.models.registry import Catalogue
from genlab.requests import StableDiffusionRequest, UserError, ask
from tests.tiny_pipelines import save_tiny_lcm, save_tiny_sd3, save_tiny_stable_diffusion


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("checkpoints")
    save_tiny_sd3(root / "sd3")
    save_tiny_lcm(root / "lcm")
    save_tiny_stable_diffusion(root / "sd")
    return root


@pytest.fixture(scope="module")
def catalogue(root: Path) -> Catalogue:
    return Catalogue(root, Runtime("cpu"))


@pytest.fixture
def engine(catalogue: Catalogue) -> Engine:
    return Engine(catalogue)


def wish(**values: object) -> StableDiffusionRequest:
    defaults = {"checkpoint": "sd3", "prompt": "a red seven", "negative_prompt": "a blue sneaker"}
    usual = {"num_inference_steps": 4, "guidance_scale": 5.0, "seed": 11, "count": 2}
    return ask(StableDiffusionRequest, **(defaults | usual | values))


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


def run(engine: Engine, *jobs: Job) -> None:
    while engine.tick():
        pass


def result_of(job: Job) -> Result:
    event = list(job)[-1]
    assert isinstance(event, Result), event
    return event


@pytest.mark.parametrize("checkpoint", ["sd3", "lcm"])
def test_pictures_equal_the_stock_pipelines_whoever_else_is_served(engine, root, checkpoint):
    request = wish(checkpoint=checkpoint)
    company = [
        wish(checkpoint=checkpoint, seed=3, prompt="a green sneaker", num_inference_steps=2),
        wish(checkpoint="sd", num_inference_steps=7),
    ]
    jobs = [
        engine.submit(r, f"person {k}") for k, r in enumerate([company[0], request, company[1]])
    ]
    run(engine)
    gap = result_of(jobs[1]).images.astype(int) - stock(root, request).astype(int)
    assert np.abs(gap).max() <= 1
    other = result_of(jobs[0]).images.astype(int) - stock(root, company[0]).astype(int)
    assert np.abs(other).max() <= 1
    assert result_of(jobs[2]).images.shape == (2, 16, 16, 3)


def test_each_step_is_a_tick_of_its_own_and_others_are_served_in_between(engine):
    slow = engine.submit(wish(num_inference_steps=6, preview_every=1), "one")
    quick = engine.submit(wish(checkpoint="sd", num_inference_steps=2, count=1), "another")
    seen: list[tuple[int, int]] = []
    for _ in range(4):
        engine.tick()
        seen.append((slow.step, quick.step))
    assert seen == [(1, 0), (1, 1), (2, 1), (2, 2)]
    assert quick.ended
    event = next(iter(slow))
    assert isinstance(event, Progress)
    assert (event.step, event.total, event.preview) == (2, 6, None)
    run(engine)
    assert result_of(slow).images.shape == (2, 16, 16, 3)


def test_one_job_runs_at_a_time_and_the_others_wait_in_the_queue(engine):
    first, second = (engine.submit(wish(seed=k), f"person {k}") for k in range(2))
    for step in range(1, 4):
        engine.tick()
        assert (first.step, second.started_at) == (step, None)
    run(engine)
    assert first.ended
    assert second.ended


def test_stop_ends_it_between_two_steps_and_frees_what_it_held(engine, catalogue):
    job = engine.submit(wish(num_inference_steps=50))
    other = engine.submit(wish(), "another")
    engine.tick()
    engine.tick()
    call = weakref.ref(job.state.call._call)
    engine.cancel(job)
    engine.tick()
    assert isinstance(list(job)[-1], Cancelled)
    gc.collect()
    assert call() is None, "the stock call and all it holds are gone"
    run(engine)
    assert result_of(other).images.shape == (2, 16, 16, 3)
    assert torch.is_grad_enabled()


def test_an_error_inside_the_stock_call_is_one_sentence_and_disturbs_nobody(
    engine, catalogue, monkeypatch
):
    family = catalogue.load("sd3")
    forward = family.pipeline.transformer.forward
    calls: list[int] = []

    def fail_once(*args: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise ValueError("shapes\ndo not fit")
        return forward(*args, **named)

    monkeypatch.setattr(family.pipeline.transformer, "forward", fail_once)
    bad = engine.submit(wish(), "one")
    good = engine.submit(wish(seed=5), "another")
    run(engine)
    with pytest.raises(UserError, match=r"could not finish this request \(ValueError\)"):
        bad.result()
    assert result_of(good).images.shape == (2, 16, 16, 3)
    assert torch.is_grad_enabled()


def test_too_little_memory_is_one_sentence(engine, catalogue, monkeypatch):
    def full(*args: Any, **named: Any) -> Any:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(catalogue.load("sd3").pipeline.transformer, "forward", full)
    job = engine.submit(wish())
    run(engine)
    with pytest.raises(UserError, match="too little memory"):
        job.result()


def test_notes_tell_what_has_no_effect(engine):
    sd3, lcm = (engine.submit(wish(checkpoint=name, film=True)) for name in ("sd3", "lcm"))
    run(engine)
    assert any("own scheduler, FlowMatchEuler" in note for note in result_of(sd3).notes)
    notes = " ".join(result_of(lcm).notes)
    assert "LCMScheduler" in notes
    assert "no negative prompt" in notes
    assert "no film" in notes


def test_a_folder_that_is_no_text_to_image_pipeline_is_left_out(root, tmp_path):
    folder = save_tiny_sd3(tmp_path / "other" / "sd3")
    index = folder / "model_index.json"
    text = index.read_text()
    for kind, why in (
        ("StableDiffusionInpaintPipeline", "does not draw pictures from a prompt alone"),
        ("DDPMPipeline", "does not draw pictures from a prompt alone"),
        ("NoSuchPipeline", "which diffusers does not have"),
        ("UNet2DModel", "which diffusers does not have"),
    ):
        index.write_text(text.replace("StableDiffusion3Pipeline", kind))
        assert why in Catalogue(tmp_path / "other", Runtime("cpu")).broken["sd3"]


def test_the_entry_knows_what_the_page_asks(catalogue):
    entry = catalogue.entry("sd3")
    assert (entry.own_scheduler, entry.pixels) == (True, 16)
    assert entry.nbytes == pytest.approx(catalogue.load("sd3").nbytes, rel=0.01)
    assert not catalogue.entry("sd").own_scheduler


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


def test_the_family_takes_part_with_the_job_that_has_begun(catalogue, engine):
    jobs = [engine.submit(wish(seed=k), "one") for k in range(3)]
    family = catalogue.load("sd3")
    assert isinstance(family, TextToImageFamily)
    jobs[2].started_at = 1.0
    assert family.taking_part(jobs) == [jobs[2]]
