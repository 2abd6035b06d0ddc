"""The page on tiny untrained checkpoints: its parts, what a press does, what goes wrong."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
import torch
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image
from safetensors.numpy import save_file

from genlab.engine import Engine, Failed, Job, Progress, Result, Runtime
from genlab.families.classifier.network import Classifier
from genlab.families.gan.network import DCGAN
from genlab.families.gan.train import write_snapshot
from genlab.families.vae.network import ConvVAE
from genlab.formats.model_card import write_card
from genlab.models.examples import examples
from genlab.models.registry import Catalogue
from genlab.requests import (
    GANRequest,
    ReconstructRequest,
    Request,
    StableDiffusionRequest,
    UserError,
    VAERequest,
    ask,
)
from genlab.settings import Settings
from genlab.toybox.world import World
from genlab.ui.components.metric_strip import measure, strip
from genlab.ui.components.obedience import obedience
from genlab.ui.components.panel import twin
from genlab.ui.components.pictures import blank, grid
from genlab.ui.live_run import Frame, follow, play
from genlab.ui.page import TABS, Lab, build_page, launch_options
from genlab.ui.tabs.gan import at
from genlab.ui.tabs.vae.codes_plot import codes_figure
from tests.tiny_diffusion import save_tiny_noisy_classifier, save_tiny_pixel_diffusion
from tests.tiny_pipelines import save_tiny_stable_diffusion

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A running lab with one tiny untrained checkpoint of each family, and a damaged one."""
    root = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    gan = DCGAN(6, (4, 4), 8)
    networks = {
        "vae": ("vae", ConvVAE(2, (4, 4), 16)),
        "vae-no-kl": ("vae", ConvVAE(2, (4, 4), 16)),
        "gan": ("gan", gan),
        "judge": ("classifier", Classifier((2, 2, 2), 8)),
    }
    figures = {"judge": {"sharpness": 0.5}, "vae": {"fid": 12.3}}
    for name, (family, network) in networks.items():
        network.eval().save_pretrained(root / name)
        write_card(root / name, family, f"Tiny {name}", "mnist", "", metrics=figures.get(name, {}))
    for step in (0, 25):
        write_snapshot(root / "gan", step, gan.generator, gan.discriminator)
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (40, 28, 28), dtype=np.uint8)
    tensors = {"images": pictures, "labels": np.arange(40, dtype=np.int64) % 10}
    save_file(tensors, root / "judge" / "examples.safetensors")
    save_tiny_stable_diffusion(root / "sd")
    save_tiny_pixel_diffusion(root)
    save_tiny_noisy_classifier(root)
    (root / "damaged").mkdir()
    catalogue = Catalogue(root, Runtime("cpu"))
    with Engine(catalogue) as engine:
        yield Lab(Settings(), catalogue, engine)


def frames(lab: Lab, *requests: Request, judge: bool = True) -> list[Frame]:
    """Every frame of a run."""
    return asyncio.run(collected(lab, lambda: requests, judge))


async def collected(
    lab: Lab, build: Callable[[], Sequence[Request]], judge: bool = True
) -> list[Frame]:
    return [frame async for frame in play(lab, "me", "here", build, judge)]


def long_request(steps: int = 100) -> Request:
    return ask(StableDiffusionRequest, checkpoint="sd", num_inference_steps=steps, count=1)


# --- what the page is made of -----------------------------------------------------------------


def test_the_page_has_every_tab_and_names_the_damaged_checkpoint(lab: Lab) -> None:
    config = str(build_page(lab).get_config_file())
    assert all(f"'label': '{name}'" in config for name in TABS)
    assert "damaged` is left out: it has no README.md" in config


def test_a_lab_without_checkpoints_says_how_to_get_some(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path, Runtime("cpu"))
    config = str(build_page(Lab(Settings(), catalogue, Engine(catalogue))).get_config_file())
    assert config.count("python -m genlab train") == len(TABS)


def test_every_event_is_private_or_a_documented_endpoint(lab: Lab) -> None:
    page = build_page(lab)
    public = {f.api_name for f in page.fns.values() if f.api_visibility == "public"}
    assert public == {
        "checkpoints", "vae_sample", "vae_reconstruct", "gan_sample", "pixel_diffusion_sample",
        "stable_diffusion_sample", "stable_diffusion_grid", "stop",
    }  # fmt: skip
    described = page.get_api_info()["named_endpoints"]
    assert {f"/{name}" for name in public} == set(described)
    assert all(endpoint["description"] for endpoint in described.values())


def test_every_number_reaches_the_request_unchecked(lab: Lab) -> None:
    """Gradio's own bounds would answer before ask() could say its sentence."""
    for event in build_page(lab).fns.values():
        if event.fn is not None and event.inputs:
            assert not event.preprocess, event.name


# --- what a press does ------------------------------------------------------------------------


def test_a_run_shows_pictures_and_then_their_figures(lab: Lab) -> None:
    asked = [ask(VAERequest, checkpoint=name, count=4) for name in ("vae", "vae-no-kl")]
    shown = frames(lab, *asked)
    drawn = next(frame for frame in shown if frame.results is not None)
    assert drawn.pictures is not None
    assert [p.shape for p in drawn.pictures] == [(4, 28, 28), (4, 28, 28)]
    judged = next(frame for frame in shown if frame.measures is not None)
    assert judged.measures is not None
    assert {"sharpness_percent", "class_histogram", "mean_confidence"} <= judged.measures[1].keys()
    assert judged.measures[0]["fid"] == 12.3
    assert [frame.running for frame in shown] == [True] * (len(shown) - 1) + [False]
    assert "8 pictures in" in shown[-1].status


def test_previews_and_steps_are_shown_on_the_way(lab: Lab) -> None:
    request = long_request().model_copy(update={"preview_every": 1})
    shown = frames(lab, request)
    moving = [frame for frame in shown if "of 100" in frame.status]
    assert moving
    assert any(frame.pictures is not None and frame.results is None for frame in shown)


def test_a_preview_between_two_frames_is_shown_once(lab: Lab) -> None:
    job = Job(long_request(), "me")
    preview = np.zeros((1, 8, 8), np.uint8)

    async def shown() -> list[bool]:
        previews: list[bool] = []
        with lab.desk.run("me", "here") as run:
            async for (event,) in follow(run, [job]):
                assert isinstance(event, Progress | Result)
                if isinstance(event, Result):
                    break
                previews.append(event.preview is not None)
                job.post(Progress(5, 100, None, None) if len(previews) == 1 else Result(preview))
        return previews

    async def both() -> list[bool]:
        reading = asyncio.create_task(shown())
        await asyncio.sleep(0.02)
        for step, picture in ((3, preview), (4, None)):
            job.post(Progress(step, 100, picture, None))
            await asyncio.sleep(0.02)  # read, but not shown yet
        return await reading

    assert asyncio.run(both()) == [True, False]


def test_a_wrong_value_becomes_a_sentence_and_leaves_the_pictures(lab: Lab) -> None:
    def build() -> list[Request]:
        return [ask(VAERequest, checkpoint="vae", seed=-1)]

    (only,) = asyncio.run(collected(lab, build))
    assert (
        'role="alert">seed is -1, but must be a whole number from 0 to 4294967295.' in only.status
    )
    assert only.pictures is None
    assert not only.running


def test_stop_ends_the_run_and_frees_the_engine(lab: Lab) -> None:
    async def stopped() -> list[Frame]:
        seen = []
        async for frame in play(lab, "me", "here", lambda: [long_request()]):
            seen.append(frame)
            lab.desk.stop("me", "here")
        return seen

    last = asyncio.run(stopped())[-1]
    assert "Stopped" in last.status
    assert not last.running
    assert lab.desk.open_jobs == 0


def test_a_newer_run_replaces_the_older_one_silently(lab: Lab) -> None:
    async def both() -> tuple[list[Frame], list[Frame]]:
        older = asyncio.create_task(collected(lab, lambda: [long_request()]))
        await asyncio.sleep(0.05)
        newer = await collected(lab, lambda: [long_request(2)])
        return await older, newer

    older, newer = asyncio.run(both())
    assert all(frame.running for frame in older), "the older run must not touch the page at its end"
    assert "1 picture in" in newer[-1].status


def test_requests_that_run_apart_fail_alone(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = long_request(2), long_request(3)
    family = lab.catalogue.load("sd")
    advance = family.advance

    def fails(job: Any, prediction: Any) -> None:
        if job.request is bad:
            raise UserError("The numbers ran away.")
        advance(job, prediction)

    monkeypatch.setattr(family, "advance", fails)

    async def shown(*requests: Request) -> list[Frame]:
        return [f async for f in play(lab, "me", "here", lambda: requests, apart=True)]

    last = [frame for frame in asyncio.run(shown(bad, good)) if frame.events is not None][-1]
    assert last.events is not None
    assert last.events[0] == Failed("The numbers ran away.")
    assert isinstance(last.events[1], Result)
    assert last.measures is not None
    assert last.measures[0] == {}
    assert "The numbers ran away" in asyncio.run(shown(bad))[-1].status


def test_leaving_in_the_middle_frees_the_engine(lab: Lab) -> None:
    async def leave() -> None:
        async with aclosing(play(lab, "me", "here", lambda: [long_request()])) as shown:
            async for _ in shown:
                return

    asyncio.run(leave())
    assert lab.desk.open_jobs == 0


# --- pieces -----------------------------------------------------------------------------------


def test_figures_without_a_judge_are_only_what_the_card_says(lab: Lab) -> None:
    result = Result(np.zeros((2, 16, 16, 3), np.uint8))
    request = ask(StableDiffusionRequest, checkpoint="sd")
    assert measure(lab.catalogue.entry("sd"), request, None, result, {}) == {}
    assert strip({}) == ""


def test_the_cards_fid_stands_only_under_what_it_was_measured_on(lab: Lab) -> None:
    entry = replace(lab.catalogue.entry("vae"), card={"metrics": {"fid": 4.5}})
    result = Result(np.zeros((2, 28, 28), np.uint8))
    plain = ask(VAERequest, checkpoint="vae")
    hot = ask(VAERequest, checkpoint="vae", temperature=2)
    again = ask(ReconstructRequest, checkpoint="vae", images=result.images)
    assert measure(entry, plain, None, result, {}) == {"fid": 4.5}
    assert measure(entry, hot, None, result, {}) == measure(entry, again, None, result, {}) == {}


def test_the_strip_shows_the_discriminators_opinion(lab: Lab) -> None:
    request = ask(GANRequest, checkpoint="gan", count=3)
    result = frames(lab, request, judge=False)[-2].results
    assert result is not None
    figures = measure(lab.catalogue.entry("gan"), request, None, result[0], {})
    assert len(figures["discriminator"]) == 3
    assert "discriminator" in strip(figures)


def test_a_grid_holds_its_pictures_and_a_blank_one_none() -> None:
    shown = grid(np.zeros((5, 28, 28), np.uint8), captions=list("abcde"))
    assert shown.count("data:image/png;base64,") == 5
    assert "--columns:3" in shown
    assert "<img" not in blank()


def test_twins_are_found_by_name_in_both_directions(lab: Lab) -> None:
    entries = lab.catalogue.of_family("vae")
    assert twin(entries, "vae") == "vae-no-kl"
    assert twin(entries, "vae-no-kl") == "vae"
    assert twin(lab.catalogue.of_family("gan"), "gan") == ""


def test_the_timeline_ends_at_the_finished_generator(lab: Lab) -> None:
    entry = lab.catalogue.entry("gan")
    assert [at(entry, position) for position in (1, 2, 3)] == [0, 25, None]


def test_examples_are_drawn_by_class_and_repeat_with_the_seed(lab: Lab) -> None:
    known = examples(lab.catalogue, "mnist")
    first, again = known.draw(10, seed=1), known.draw(10, seed=1)
    assert (first == again).all()
    assert first.shape == (10, 28, 28)


def test_the_plot_has_a_colour_for_each_class_and_reaches_the_farthest_code() -> None:
    figure: Any = codes_figure(np.array([[0, 1], [40.0, 0]]), np.array([0, 1]), ["0", "1"])
    assert [trace.name for trace in figure.data] == ["0", "1"]
    assert figure.layout.xaxis.range[1] > 40


def test_obedience_counts_only_what_the_prompt_asked_for() -> None:
    world = World.load(PROJECT / "checkpoints" / "stable-diffusion-toybox")
    scene = world.parse("a 7 on a blue background")
    assert scene is not None
    verdict = {
        "nouns": [("7",), ("3",)],
        "colours": [("red",), ("red",)],
        "backgrounds": ["blue", "blue"],
        "places": [(None,), (None,)],
        "features": np.array([[0.0, 0.0], [3.0, 4.0]], np.float32),
    }
    figures = obedience(scene, verdict)
    assert figures["read"][1] == "red 3 on blue"
    assert figures["as_asked_percent"] == {"class": 50.0, "background": 100.0}
    assert figures["all_as_asked_percent"] == 50.0
    assert figures["diversity"] == 5.0
    assert "as asked" in strip(figures)


def test_obedience_of_two_objects_tells_of_their_places() -> None:
    world = World.load(PROJECT / "checkpoints" / "stable-diffusion-toybox")
    scene = world.parse("a red 7 above a bag on a blue background")
    assert scene is not None
    verdict = {
        "nouns": [("bag", "7")],
        "colours": [("pink", "red")],
        "backgrounds": ["blue"],
        "places": [("above", "below")],
    }
    figures = obedience(scene, verdict)
    assert figures["read"] == ["pink bag above red 7 on blue"]
    every = {"class": 100.0, "colour": 100.0, "background": 100.0, "place": 0.0}
    assert figures["as_asked_percent"] == every
    assert figures["all_as_asked_percent"] == 0.0
    assert "diversity" not in figures


# --- through the API --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A script's connection to the page."""
    page = build_page(lab)
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    yield Client(url, verbose=False, download_files=str(tmp_path_factory.mktemp("files")))
    page.close()


def test_the_api_gives_files_of_the_pictures_own_size(client: Client) -> None:
    files, figures = client.predict(checkpoint="vae", count=2, api_name="/vae_sample")
    assert [Image.open(file).size for file in files] == [(28, 28), (28, 28)]
    assert figures["fid"] == 12.3


def test_the_api_draws_a_row_of_digits_under_guidance(client: Client) -> None:
    asked = {"guidance": "classifier", "num_inference_steps": 2, "count": 3, "checkpoint": "ddpm"}
    files, figures = client.predict([3, 1, 4], api_name="/pixel_diffusion_sample", **asked)
    assert [Image.open(file).size for file in files] == [(28, 28)] * 3
    assert "class" in figures["as_asked_percent"]


PIXELS = "/pixel_diffusion_sample"


@pytest.mark.parametrize(
    ("api_name", "values", "sentence"),
    [
        (PIXELS, {"labels": [10]}, "labels is 10, but must be at most 64 classes"),
        (PIXELS, {"labels": [1], "guidance_scale": "NaN"}, "guidance_scale is 'NaN', but must"),
        (PIXELS, {"labels": [1], "guidance_scale": 1e6}, "but must be a number from 0 to 50"),
        (PIXELS, {"labels": [1], "classifier": "judge"}, "judge is a classifier, but guidance"),
        ("/vae_sample", {"seed": "abc"}, "seed is 'abc', but must be a whole number from 0"),
        ("/vae_sample", {"temperature": 9}, "temperature is 9, but must be a number from 0 to 3."),
        ("/vae_sample", {"checkpoint": "../vae"}, "There is no checkpoint called '../vae'"),
        ("/vae_sample", {"checkpoint": "damaged"}, "The checkpoint damaged is damaged: "),
        ("/vae_reconstruct", {"checkpoint": "nope"}, "There is no checkpoint called 'nope'"),
        ("/gan_sample", {"checkpoint": "gan", "snapshot": 7}, "has no snapshot of step 7"),
    ],
)
def test_the_api_answers_a_wrong_value_with_its_sentence(
    client: Client, api_name: str, values: dict[str, Any], sentence: str
) -> None:
    known = {"checkpoint": "ddpm" if api_name == PIXELS else "vae"}
    with pytest.raises(AppError, match=re.escape(sentence)):
        client.predict(api_name=api_name, **(known | values))


def test_gradio_reports_nothing_and_keeps_no_history() -> None:
    assert launch_options()["run_history"] is False
    assert isinstance(launch_options()["theme"], gr.themes.Base)
    assert "http" not in launch_options()["css"].replace("http://www.w3.org/2000/svg", "")
