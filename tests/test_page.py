"""The page round its tabs: header, routes, endpoints from descriptions; no model is loaded."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import gradio as gr
import numpy as np
import pytest
from pydantic import Field

from genlab.families.description import Endpoint, FamilyDescription
from genlab.formats.hub_layout import count_parameters
from genlab.models.families import FAMILIES
from genlab.models.registry import Registry
from genlab.requests import SampleRequest
from genlab.serving.client import ServingFigures
from genlab.settings import Settings
from genlab.ui.api import add_api, sampling
from genlab.ui.context import AppContext
from genlab.ui.header import header, status
from genlab.ui.page import TABS, build_page, launch_options
from tests.conftest import PROJECT
from tests.fake_client import FakeClient, draw, fake_context

WITHOUT = ("Lab guide", "Train")  # tabs that are there without a checkpoint
SAMPLING = [family for family in FAMILIES.values() if family.endpoint is not None]


@pytest.fixture
def context(tmp_path: Path) -> AppContext:
    """A GenLab without a checkpoint, whose client is played by hand."""
    return AppContext(Settings(), Registry(tmp_path, downloads=False), FakeClient())


# --- what the page is made of -----------------------------------------------------------------


def test_without_checkpoints_every_tab_says_how_to_get_some(context: AppContext) -> None:
    config = str(build_page(context).get_config_file())
    assert config.count("python -m genlab train") == len(TABS) - len(WITHOUT)


def test_a_new_tab_is_one_line(context: AppContext, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(given: AppContext) -> None:
        assert given is context
        gr.Markdown("Flow matching", elem_id="flow")

    monkeypatch.setitem(TABS, "Flow", build)
    config = str(build_page(context).get_config_file())
    assert "'label': 'Flow'" in config
    assert "Flow matching" in config


def test_a_page_for_the_real_checkpoints_is_built_without_torch() -> None:
    code = """
import sys
from pathlib import Path
from genlab.models.registry import Registry
from genlab.settings import Settings
from genlab.ui.page import AppContext, build_page
from tests.fake_client import FakeClient
registry = Registry(Path("checkpoints"))
assert len(registry.entries) > 10
build_page(AppContext(Settings(), registry, FakeClient()))
heavy = ("torch", "diffusers", "transformers", "torchmetrics", "onnxruntime", "matplotlib")
print("loaded:", [name for name in heavy if name in sys.modules])
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=120
    )
    assert "loaded: []" in ran.stdout, ran.stdout + ran.stderr[-2000:]


def test_the_header_says_what_draws_and_how_busy_it_is(context: AppContext) -> None:
    client = context.client
    assert isinstance(client, FakeClient)
    strip = header(context, "GenLab", "a lab")
    assert '<li id="device">Starting</li><li id="queue">idle</li>' in strip
    client.state = ServingFigures(device="cuda:0", open_jobs=1)
    assert status(context) == {"device": "CUDA:0", "queue": "1 request running"}
    client.state = ServingFigures(device="cuda:0", open_jobs=2)
    assert status(context)["queue"] == "2 requests running"


def test_a_visitor_who_leaves_takes_the_runs_along(context: AppContext) -> None:
    page = build_page(context)
    left = next(f for f in page.fns.values() if any(e == "unload" for _, e in f.targets))
    assert left.fn is not None
    with context.runs.run("me", "here") as mine, context.runs.run("you", "here") as other:
        asyncio.run(left.fn(SimpleNamespace(session_hash="me")))
        assert mine.ending is not None
        assert other.ending is None


def test_gradio_reports_nothing_and_keeps_no_history(context: AppContext) -> None:
    options = launch_options(context)
    assert options["run_history"] is False
    assert isinstance(options["theme"], gr.themes.Base)
    assert "http" not in options["css"].replace("http://www.w3.org/2000/svg", "")


# --- addresses beside Gradio's ----------------------------------------------------------------


@pytest.fixture
def url(context: AppContext) -> Iterator[str]:
    page = build_page(context)
    _, address, _ = page.launch(
        prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **launch_options(context)
    )
    yield address
    page.close()


def test_the_page_serves_its_pictures_and_its_health(context: AppContext, url: str) -> None:
    (address,) = asyncio.run(context.pictures.put(np.zeros((1, 8, 8), np.uint8)))
    with urllib.request.urlopen(url + address, timeout=10) as answer:
        assert answer.read().startswith(b"\x89PNG")
    with urllib.request.urlopen(f"{url}healthz", timeout=10) as answer:
        assert json.load(answer)["healthy"] is True
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{url}pictures/gone.png", timeout=10)


# --- endpoints from descriptions --------------------------------------------------------------


class FlowRequest(SampleRequest):
    solver: Literal["euler", "heun"] = "heun"
    labels: tuple[int, ...] = ()
    strength: float = Field(1.5, ge=0, le=4, description="how far to go")


FLOW = FamilyDescription(
    name="flow",
    label="flow",
    requests=(FlowRequest,),
    runner="nowhere:Runner",
    check=lambda path, card: None,
    count_parameters=count_parameters,
    endpoint=Endpoint(
        "flow_sample", "Follow the flow.", "flow-mnist",
        ("solver", "labels", "strength", "checkpoint"), required=("solver",),
    ),
)  # fmt: skip


def test_a_new_familys_endpoint_appears_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, "flow", FLOW)
    client = FakeClient(draw)
    with gr.Blocks() as page:
        add_api(fake_context(client))
    described = page.get_api_info()["named_endpoints"]["/flow_sample"]
    assert described["description"].startswith("Follow the flow. ")
    assert "strength: how far to go, a number from 0 to 4" in described["description"]
    parameters = {p["parameter_name"]: p for p in described["parameters"]}
    assert list(parameters) == ["solver", "labels", "strength", "checkpoint"]
    assert parameters["strength"]["parameter_default"] == 1.5
    assert parameters["checkpoint"]["parameter_default"] == "flow-mnist"
    assert not parameters["solver"]["parameter_has_default"]


def test_an_endpoint_asks_to_be_judged_and_gives_files_and_figures() -> None:
    client = FakeClient(draw)
    endpoint = sampling(fake_context(client), FLOW)
    visitor = SimpleNamespace(session_hash="me", client=SimpleNamespace(host="10.0.0.7"))
    files, figures = asyncio.run(endpoint(visitor, "euler", None, 2.0, "flow-mnist"))
    (ticket,) = client.tickets
    request = ticket.request
    assert isinstance(request, FlowRequest)
    assert request.judge
    assert (request.labels, request.solver, request.strength) == ((), "euler", 2.0)
    assert ticket.owner == "scripts at 10.0.0.7"
    assert len(files) == request.count
    assert Path(files[0]["path"]).read_bytes().startswith(b"\x89PNG")
    assert figures == {"seconds": 0, "notes": []}


def test_a_wrong_value_reaches_a_script_as_its_sentence() -> None:
    endpoint = sampling(fake_context(FakeClient(draw)), FLOW)
    visitor = SimpleNamespace(session_hash="me", client=SimpleNamespace(host="10.0.0.7"))
    with pytest.raises(gr.Error, match="strength is 9, but must be a number from 0 to 4"):
        asyncio.run(endpoint(visitor, "euler", None, 9, "flow-mnist"))


@pytest.mark.parametrize("family", SAMPLING, ids=lambda family: family.name)
def test_endpoints_have_the_arguments_and_defaults_of_the_api_page(
    family: FamilyDescription,
) -> None:
    endpoint = sampling(fake_context(FakeClient()), family)
    page = (PROJECT / "docs" / "api.md").read_text(encoding="utf-8")
    section = page.split(f"## `/{endpoint.__name__}`")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|(.*?)\|", section, re.M)
    _, *parameters = inspect.signature(endpoint).parameters.values()
    assert [(p.name, _as_default(p.default)) for p in parameters] == [
        (name, default.strip(" `")) for name, default in rows
    ]


def _as_default(value: Any) -> str:
    """A default as the page writes it."""
    if value is inspect.Parameter.empty:
        return ""
    return value if isinstance(value, str) and value else json.dumps(value)
