"""Where a newcomer adds things: each is added here as the README says, and is served everywhere."""

from __future__ import annotations

import shutil
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

from genlab.cli import build_app
from genlab.diffusion.schedulers import SCHEDULERS, SchedulerRow, make_scheduler
from genlab.engine.events import Result
from genlab.families.description import load
from genlab.families.pixel_diffusion.request import PixelDiffusionRequest
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.models.families import FAMILIES
from genlab.models.registry import Registry
from genlab.requests import UserError, parse_request
from genlab.serving.thread import ThreadClient
from genlab.settings import PROJECT, Settings
from genlab.ui.components.metric_strip import strip
from genlab.ui.context import AppContext
from genlab.ui.page import TABS, build_page
from genlab.ui.tabs.compare.columns import columns

SHIPPED = PROJECT / "checkpoints"

DESCRIPTION = '''
"""Doodles: rings of noise. What a newcomer writes for a family of their own."""

from pydantic import Field

from genlab.evaluation.figures import SECONDS, Figure
from genlab.families.description import CompareColumn, Endpoint, FamilyDescription
from genlab.requests import SampleRequest

INK = Figure("ink", "Ink", "of the paper", "share")


class DoodleRequest(SampleRequest):
    """A ring around noise."""

    thickness: int = Field(1, ge=1, le=9, description="of the ring, in pixels")


FAMILY = FamilyDescription(
    name="doodle",
    label="doodle",
    requests=(DoodleRequest,),
    runner="doodles.runner:DoodleRunner",
    check=lambda path, card: None,
    count_parameters=lambda path: 1,
    endpoint=Endpoint("doodle_sample", "Draw rings.", "my-doodle", ("thickness", "seed", "count")),
    columns=(
        CompareColumn(
            "doodle", 65, "Doodle", "A ring.", "my-doodle",
            lambda metadata, settings: [
                DoodleRequest(
                    checkpoint=metadata.name, seed=settings.seed, count=settings.count, judge=True
                )
            ],
        ),
    ),
    strip=(SECONDS, INK),
    own_figures=lambda request, result, answer: {"ink": float(result.images.mean() / 255)},
)
'''
RUNNER = '''
"""Draws doodles."""

import torch

from genlab.engine.events import Result
from genlab.engine.runner import Runner, generators, noise_rows
from genlab.engine.tensors import to_uint8


class DoodleRunner(Runner):
    @classmethod
    def open(cls, metadata, device, find):
        return cls(device)

    @property
    def nbytes(self):
        return 4

    def start(self, jobs):
        return [noise_rows(generators(job.request), (1, 8, 8)) for job in jobs]

    def predict(self, jobs):
        rows = self.device.call(torch.tanh, torch.cat([job.state for job in jobs]))
        return list(rows.split([job.request.count for job in jobs]))

    def advance(self, job, prediction):
        job.state = prediction.clone()
        thick = job.request.thickness
        job.state[..., :thick, :] = job.state[..., -thick:, :] = 1.0

    def result(self, job):
        return Result(to_uint8(job.state))
'''
CARD = """---
license: apache-2.0
genlab:
  family: {family}
  title: {title}
  dataset: ""
---
"""


@pytest.fixture
def doodles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A family in one folder and one line, and a checkpoint of it; the folder of checkpoints."""
    folder = tmp_path / "families" / "doodles"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(DESCRIPTION)
    (folder / "runner.py").write_text(RUNNER)
    monkeypatch.syspath_prepend(str(folder.parent))
    monkeypatch.setitem(FAMILIES, "doodle", load("doodles:FAMILY"))  # the one line
    checkpoint = tmp_path / "checkpoints" / "my-doodle"
    checkpoint.mkdir(parents=True)
    (checkpoint / "README.md").write_text(CARD.format(family="doodle", title="My doodle"))
    save_file({"ink": np.ones(1, np.float32)}, checkpoint / "model.safetensors")
    monkeypatch.setenv("GENLAB_CHECKPOINTS", str(checkpoint.parent))
    return checkpoint.parent


def test_a_new_family_is_a_folder_and_a_line(doodles: Path, tmp_path: Path) -> None:
    registry = Registry(doodles)
    assert registry.broken == {}
    kind = FAMILIES["doodle"].sample_request
    assert kind is not None

    with ThreadClient(registry, Settings()) as client:  # the engine
        wanted = parse_request(kind, checkpoint="my-doodle", count=3, thickness=2, judge=True)
        result = client.submit(wanted).result()
        context = AppContext(Settings(), registry, client)
        page = build_page(context)  # the API
    assert result.images.shape == (3, 8, 8)
    assert (result.images[:, :2] == 255).all()
    assert 0 < result.figures["ink"] < 1
    with pytest.raises(UserError, match="thickness is 10, but must be a whole number from 1 to 9"):
        parse_request(kind, checkpoint="my-doodle", thickness=10)

    endpoint = page.get_api_info()["named_endpoints"]["/doodle_sample"]
    assert [p["parameter_name"] for p in endpoint["parameters"]] == ["thickness", "seed", "count"]
    assert [column.key for column in columns(registry)] == ["doodle"]  # Compare
    assert "Ink" in strip(dict(result.figures), FAMILIES["doodle"].strip)  # the metric strip

    out = tmp_path / "doodles.npz"  # the command line
    cli = CliRunner().invoke(
        build_app(),
        ["sample", "my-doodle", "--count=3", "--thickness=2", f"--out={out}", "--device=cpu"],
    )
    assert cli.exit_code == 0, cli.output
    assert np.array_equal(np.load(out)["images"], result.images)
    help_text = CliRunner().invoke(build_app(), ["sample", "--help"]).output
    assert "--thickness" in help_text
    assert "Of the ring, in pixels: a whole number from 1 to 9 (doodle)" in " ".join(
        help_text.split()
    )


def test_a_new_scheduler_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (StableDiffusionRequest, PixelDiffusionRequest):
        with pytest.raises(UserError, match="scheduler is 'heun', but must be one of ddim"):
            parse_request(kind, checkpoint="any", scheduler="heun")
    row = SchedulerRow("HeunDiscreteScheduler", "Heun", "Karras et al. 2022", pixels=True)
    monkeypatch.setitem(SCHEDULERS, "heun", row)  # the row

    registry = Registry(SHIPPED)
    with ThreadClient(registry, Settings()) as client:
        for kind, name in (
            (StableDiffusionRequest, "stable-diffusion-toybox"),
            (PixelDiffusionRequest, "ddpm-mnist"),
        ):
            wanted = parse_request(
                kind, checkpoint=name, scheduler="heun", num_inference_steps=2, count=1
            )
            assert client.submit(wanted).result().images.std() > 0
        page = build_page(AppContext(Settings(), registry, client))
    choosers = [
        dict(block.choices)
        for block in page.blocks.values()
        if isinstance(block, gr.Dropdown)
        and block.elem_id in ("sd-scheduler", "guidance-scheduler")
    ]
    assert [chooser.get("Heun") for chooser in choosers] == ["heun", "heun"]
    assert type(make_scheduler("heun", {})).__name__ == "HeunDiscreteScheduler"
    described = page.get_api_info()["named_endpoints"]["/stable_diffusion_sample"]["description"]
    assert "heun" in described
    assert "heun" in CliRunner().invoke(build_app(), ["sample", "--help"]).output


def test_a_new_tab_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(context: AppContext) -> None:
        gr.Markdown("What a newcomer shows.")

    monkeypatch.setitem(TABS, "Doodles", build)  # the line
    registry = Registry(tmp_path)
    client = ThreadClient(registry, Settings())
    page = build_page(AppContext(Settings(), registry, client))
    labels = [block.label for block in page.blocks.values() if isinstance(block, gr.Tab)]
    assert "Doodles" in labels


def test_a_new_checkpoint_is_a_folder(tmp_path: Path) -> None:
    source = SHIPPED / "vae-mnist-2d"
    folder = tmp_path / "my-vae"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(source / name, folder)
    (folder / "README.md").write_text(CARD.format(family="vae", title="My VAE"))
    registry = Registry(tmp_path)
    assert registry.broken == {}
    kind = FAMILIES["vae"].sample_request
    assert kind is not None
    with ThreadClient(registry, Settings()) as client:
        result = client.submit(parse_request(kind, checkpoint="my-vae", count=2)).result()
        page = build_page(AppContext(Settings(), registry, client))
    assert isinstance(result, Result)
    assert result.images.std() > 0
    chooser = next(b for b in page.blocks.values() if b.elem_id == "vae-checkpoint")
    assert chooser.choices == [("My VAE", "my-vae")]
