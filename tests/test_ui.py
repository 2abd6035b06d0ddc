"""The page over tiny untrained checkpoints and the real engine: what a press and a script get."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image
from safetensors.numpy import save_file

from genlab.families.classifier.network import Classifier
from genlab.families.gan.network import DCGAN
from genlab.families.gan.train import write_snapshot
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.families.vae.network import ConvVAE
from genlab.families.vae.request import VAERequest
from genlab.formats.model_card import write_card
from genlab.models.examples import examples
from genlab.models.registry import Registry
from genlab.requests import Request, parse_request
from genlab.serving.thread import ThreadClient
from genlab.settings import Settings
from genlab.ui.cells import Cell
from genlab.ui.live_run import Frame, live_run
from genlab.ui.page import TABS, AppContext, build_page, launch_options
from genlab.ui.tabs.gan import at
from tests.tiny_diffusion import save_tiny_noisy_classifier, save_tiny_pixel_diffusion
from tests.tiny_pipelines import save_tiny_stable_diffusion


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppContext]:
    """A running GenLab with one tiny untrained model of each family, and a damaged one."""
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
    registry = Registry(root, downloads=False)
    with ThreadClient(registry, Settings(device="cpu")) as client:
        yield AppContext(Settings(), registry, client)


def frames(context: AppContext, *requests: Request) -> list[Frame]:
    """Every frame of a run with one cell a request."""
    return asyncio.run(collected(context, lambda: [Cell((request,)) for request in requests]))


async def collected(context: AppContext, build: Callable[[], Sequence[Cell]]) -> list[Frame]:
    return [frame async for frame in live_run(context, "me", "here", build)]


def long_request(**values: Any) -> Request:
    usual = {"checkpoint": "sd", "num_inference_steps": 100, "count": 1}
    return parse_request(StableDiffusionRequest, **usual | values)


# --- the page ---------------------------------------------------------------------------------


def test_the_page_has_every_tab_and_names_the_damaged_checkpoint(context: AppContext) -> None:
    config = str(build_page(context).get_config_file())
    assert all(f"'label': '{name}'" in config for name in TABS)
    assert "damaged` is left out: it has no README.md" in config


def test_every_event_is_private_or_a_documented_endpoint(context: AppContext) -> None:
    page = build_page(context)
    public = {f.api_name for f in page.fns.values() if f.api_visibility == "public"}
    assert public == {
        "checkpoints", "vae_sample", "vae_reconstruct", "gan_sample", "pixel_diffusion_sample",
        "stable_diffusion_sample", "stable_diffusion_grid", "stop",
    }  # fmt: skip
    described = page.get_api_info()["named_endpoints"]
    assert {f"/{name}" for name in public} == set(described)
    assert all(endpoint["description"] for endpoint in described.values())


def test_every_number_reaches_the_request_unchecked(context: AppContext) -> None:
    """Gradio's own bounds would answer before parse_request() could say its sentence."""
    for event in build_page(context).fns.values():
        if event.fn is not None and event.inputs:
            assert not event.preprocess, event.name


# --- what a press does ------------------------------------------------------------------------


def test_a_run_ends_with_pictures_and_the_figures_of_each(context: AppContext) -> None:
    requests = [
        parse_request(VAERequest, checkpoint=name, count=4, judge=True)
        for name in ("vae", "vae-no-kl")
    ]
    last = frames(context, *requests)[-1]
    assert "8 pictures in" in last.status
    assert [len(view.pictures) for view in last.cells] == [4, 4]
    measured = [view.results[0].figures for view in last.cells]
    assert {"sharpness_percent", "class_histogram", "mean_confidence"} <= measured[1].keys()
    assert measured[0]["fid"] == 12.3


def test_previews_and_steps_are_shown_on_the_way(context: AppContext) -> None:
    *earlier, last = frames(context, long_request(preview_every=1))
    assert any("of 100" in frame.status for frame in earlier)
    assert any(frame.cells[0].previews is not None for frame in earlier)
    assert last.cells[0].done


def test_stop_ends_the_run_and_frees_the_engine(context: AppContext) -> None:
    async def stopped() -> list[Frame]:
        seen = []
        async for frame in live_run(context, "me", "here", lambda: [Cell((long_request(),))]):
            seen.append(frame)
            context.runs.stop("me", "here")
        return seen

    last = asyncio.run(stopped())[-1]
    assert "Stopped" in last.status
    assert not last.running
    assert context.runs.open_jobs == 0


def test_a_picture_is_restored_by_what_its_file_carries(context: AppContext) -> None:
    request = long_request(num_inference_steps=2, prompt="a cat", seed=3)
    last = frames(context, request)[-1]
    content = context.pictures.get(last.cells[0].pictures[0].removeprefix("pictures/"))
    assert content is not None
    restored, differences = context.registry.restore(content)
    assert (restored, differences) == (request, ())


def test_examples_are_drawn_by_class_and_repeat_with_the_seed(context: AppContext) -> None:
    pictures = examples(context.registry, "mnist")
    first, again = pictures.draw(10, seed=1), pictures.draw(10, seed=1)
    assert (first == again).all()
    assert first.shape == (10, 28, 28)


def test_the_timeline_ends_at_the_finished_generator(context: AppContext) -> None:
    entry = context.registry.entry("gan")
    assert [at(entry, position) for position in (1, 2, 3)] == [0, 25, None]


# --- through the API --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client(context: AppContext, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A script's connection to the page."""
    page = build_page(context)
    _, url, _ = page.launch(
        prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **launch_options(context)
    )
    yield Client(url, verbose=False, download_files=str(tmp_path_factory.mktemp("files")))
    page.close()


def test_the_api_gives_files_of_the_pictures_own_size(client: Client) -> None:
    files, figures = client.predict(checkpoint="vae", count=2, api_name="/vae_sample")
    assert [Image.open(file).size for file in files] == [(28, 28), (28, 28)]
    assert figures["fid"] == 12.3


def test_the_api_draws_a_row_of_digits_under_guidance(client: Client) -> None:
    settings = {
        "guidance": "classifier",
        "num_inference_steps": 2,
        "count": 3,
        "checkpoint": "ddpm",
    }
    files, figures = client.predict([3, 1, 4], api_name="/pixel_diffusion_sample", **settings)
    assert [Image.open(file).size for file in files] == [(28, 28)] * 3
    assert "class" in figures["as_asked_percent"]


def test_the_api_measures_reconstructions_too(client: Client) -> None:
    originals, again, figures = client.predict("vae", count=2, api_name="/vae_reconstruct")
    assert [Image.open(file).size for file in originals + again] == [(28, 28)] * 4
    assert {"seconds", "class_histogram", "sharpness_percent"} <= figures.keys()


def test_the_api_gives_a_sheet_with_both_axes_and_its_cells(client: Client) -> None:
    files, cells = client.predict(
        "a cat", column_values=[1, 2], rows="seed", row_values=[3], checkpoint="sd",
        api_name="/stable_diffusion_grid",
    )  # fmt: skip
    assert [(cell["num_inference_steps"], cell["seed"]) for cell in cells] == [(1, 3), (2, 3)]
    assert [(cell["file"], cell["failed"]) for cell in cells] == [(1, None), (2, None)]
    axes = json.loads(Image.open(files[0]).info["genlab-grid"])
    assert axes == {"num_inference_steps": [1, 2], "seed": [3]}
    own = json.loads(Image.open(files[2]).info["genlab"])
    assert own["request"]["num_inference_steps"] == 2


def test_the_api_lists_snapshots_that_can_be_drawn(client: Client) -> None:
    listed = {entry["name"]: entry for entry in client.predict(api_name="/checkpoints")}
    assert listed["gan"]["snapshots"] == [0, 25]
    assert listed["vae"]["snapshots"] == []
    files, figures = client.predict("gan", count=1, snapshot=25, api_name="/gan_sample")
    assert len(files) == len(figures["discriminator"]) == 1


def test_a_script_stops_its_own_runs(client: Client) -> None:
    assert client.predict(api_name="/stop") == 0


PIXELS = "/pixel_diffusion_sample"


@pytest.mark.parametrize(
    ("api_name", "values", "sentence"),
    [
        (PIXELS, {"labels": [10]}, "labels is 10, but must be whole numbers from 0 to 9"),
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
    usual = {"checkpoint": "ddpm" if api_name == PIXELS else "vae"}
    with pytest.raises(AppError, match=re.escape(sentence)):
        client.predict(api_name=api_name, **(usual | values))
