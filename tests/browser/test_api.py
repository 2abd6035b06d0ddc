"""The page's API through gradio_client, as a script would use it: good values, then bad ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image

from tests.conftest import BROKEN, PROJECT

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

SEEDS = "0 to 4294967295"


@pytest.fixture(scope="module")
def client(app_url: str, tmp_path_factory: pytest.TempPathFactory) -> Client:
    """A script's connection to the lab."""
    return Client(app_url, verbose=False, download_files=str(tmp_path_factory.mktemp("files")))


def read(files: list[str]) -> list[np.ndarray]:
    """Downloaded pictures as arrays."""
    return [np.asarray(Image.open(path)) for path in files]


def test_checkpoints_lists_what_is_usable_and_leaves_out_what_is_broken(client: Client) -> None:
    listed = {entry["name"]: entry for entry in client.predict(api_name="/checkpoints")}
    real = (PROJECT / "checkpoints").glob("*/README.md")
    assert set(listed) == {path.parent.name for path in real}
    assert BROKEN not in listed
    assert listed["vae-mnist-20d"]["family"] == "vae"


@pytest.mark.parametrize(
    ("api_name", "arguments", "size"),
    [
        ("/vae_sample", {"checkpoint": "vae-mnist-20d", "temperature": 0.8}, (28, 28)),
        ("/gan_sample", {"checkpoint": "dcgan-mnist"}, (28, 28)),
        ("/pixel_diffusion_sample", {"labels": [3], "num_inference_steps": 5}, (28, 28)),
        (
            "/stable_diffusion_sample",
            {"prompt": "a red 7 on a blue background", "num_inference_steps": 3},
            (64, 64, 3),
        ),
    ],
)
def test_sampling_gives_as_many_pictures_as_asked(
    client: Client, api_name: str, arguments: dict[str, Any], size: tuple[int, ...]
) -> None:
    files, figures = client.predict(api_name=api_name, seed=3, count=2, **arguments)
    pictures = read(files)
    assert [picture.shape for picture in pictures] == [size, size]
    assert all(picture.std() > 5 for picture in pictures)
    assert figures["seconds"] > 0
    again, _ = client.predict(api_name=api_name, seed=4, count=1, **arguments)
    assert np.abs(read(again)[0].astype(int) - pictures[1].astype(int)).max() <= 2


def test_reconstruction_gives_originals_and_their_reconstructions(client: Client) -> None:
    originals, again, _ = client.predict(
        checkpoint="vae-mnist-20d", seed=1, count=3, api_name="/vae_reconstruct"
    )
    before, after = np.stack(read(originals)), np.stack(read(again))
    assert before.shape == after.shape == (3, 28, 28)
    assert np.abs(before.astype(int) - after.astype(int)).mean() < 40


def test_a_snapshot_of_the_training_can_be_asked_for(client: Client) -> None:
    listed = {entry["name"]: entry for entry in client.predict(api_name="/checkpoints")}
    steps = listed["dcgan-mnist"]["snapshots"]
    assert len(steps) >= 8
    early, _ = client.predict(snapshot=steps[0], count=1, api_name="/gan_sample")
    late, _ = client.predict(count=1, api_name="/gan_sample")
    assert (read(early)[0] != read(late)[0]).any()


def test_stop_answers_how_many_runs_it_ended(client: Client) -> None:
    assert client.predict(api_name="/stop") == 0


def test_the_examples_of_the_api_page_run(
    app_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (PROJECT / "docs" / "api.md").read_text(encoding="utf-8")
    code = "".join(re.findall(r"```python\n(.*?)```", page, re.S))
    monkeypatch.chdir(tmp_path)
    seen: dict[str, Any] = {}
    exec(code.replace("http://127.0.0.1:7860", app_url), seen)
    assert "vae-mnist-20d" in seen["names"]
    assert Path(seen["files"][0]).is_file()
    assert seen["ended"] == 0


def test_the_api_page_lists_the_arguments_of_every_endpoint(client: Client) -> None:
    page = (PROJECT / "docs" / "api.md").read_text(encoding="utf-8")
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    for name, endpoint in endpoints.items():
        section = page.split(f"## `{name}`")[1].split("\n## ")[0]
        listed = re.findall(r"^\| `(\w+)` \|", section, re.M)
        assert listed == [p["parameter_name"] for p in endpoint["parameters"]], name


BAD = [
    ("num_inference_steps", 0, "1 to 100"),
    ("num_inference_steps", -3, "1 to 100"),
    ("num_inference_steps", 1e9, "1 to 100"),
    ("num_inference_steps", "NaN", "1 to 100"),
    ("num_inference_steps", "many", "1 to 100"),
    ("seed", -1, SEEDS),
    ("seed", 2**70, SEEDS),
    ("seed", "abc", SEEDS),
    ("count", 17, "1 to 16"),
    ("count", 0, "1 to 16"),
    ("guidance_scale", "NaN", "0 to 20"),
    ("guidance_scale", 21, "0 to 20"),
    ("scheduler", "fastest", "one of ddim, euler"),
    ("prompt", "x" * 10_000, "prompt is 10000 characters long, but may have at most 1000"),
    ("checkpoint", "not-there", "There is no checkpoint called 'not-there'"),
    ("checkpoint", "../x", "There is no checkpoint called '../x'"),
    ("checkpoint", "../../etc/passwd", "There is no checkpoint called"),
    ("checkpoint", BROKEN, f"The checkpoint {BROKEN} is damaged: "),
    ("checkpoint", "vae-mnist-20d", "vae-mnist-20d is a vae checkpoint"),
]


@pytest.mark.parametrize(("name", "value", "sentence"), BAD, ids=lambda v: str(v)[:20])
def test_a_bad_value_gets_one_plain_sentence(
    client: Client, name: str, value: object, sentence: str
) -> None:
    asked = {"prompt": "a red 7", "num_inference_steps": 1, "count": 1} | {name: value}
    with pytest.raises(AppError) as error:
        client.predict(api_name="/stable_diffusion_sample", **asked)
    said = str(error.value)
    assert sentence in said
    assert "Traceback" not in said
    assert "\n" not in said.strip()


def test_a_bad_request_disturbs_nobody(client: Client) -> None:
    good = client.submit("a red 7", num_inference_steps=20, api_name="/stable_diffusion_sample")
    with pytest.raises(AppError):
        client.predict("a red 7", seed=-1, api_name="/stable_diffusion_sample")
    files, _ = good.result(timeout=300)
    assert len(files) == 4
