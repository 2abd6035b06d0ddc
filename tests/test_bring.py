"""A visitor's own checkpoint on the page: dropped, understood, corrected, listed for them alone."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
import torch

from genlab.families.gan.request import GANRequest
from genlab.models.imports import visitors
from genlab.models.registry import Registry
from genlab.requests import parse_request
from genlab.serving.thread import ThreadClient
from genlab.settings import PROJECT, Settings
from genlab.ui.context import AppContext
from genlab.ui.model_choices import NEWS, follow_models
from genlab.ui.tabs import gan
from tests.tutorial_networks import FlatGAN, LinderConditionalGAN, vivid

ME = SimpleNamespace(session_hash="me")


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    shutil.copytree(PROJECT / "checkpoints" / "dcgan-fashion", folder / "dcgan-fashion")
    return Registry(folder, own=tmp_path / "own")


@pytest.fixture
def page(registry: Registry) -> gr.Blocks:
    context = AppContext(Settings(), registry, ThreadClient(registry, Settings()))
    with gr.Blocks() as blocks:
        gan.build(context)
        follow_models(blocks, context)
    return blocks


def event(page: gr.Blocks, element: str, kind: str) -> Any:
    """The event of an element."""
    blocks: Any = page
    block = next(b for b in blocks.blocks.values() if b.elem_id == element)
    return next(f for f in blocks.fns.values() if (block._id, kind) in f.targets)


def happened(page: gr.Blocks, element: str, kind: str, *values: Any) -> dict[str, Any]:
    """What the elements are given by an event of one, in the end, by their ids."""
    found = event(page, element, kind)

    async def last() -> Any:
        answer = found.fn(ME, *values)
        if hasattr(answer, "__aiter__"):
            return [updates async for updates in answer][-1]
        return await answer if asyncio.iscoroutine(answer) else answer

    updates = asyncio.run(last())
    updates = updates if isinstance(updates, list) else [updates]
    named = {}
    for block, update in zip(found.outputs, updates, strict=True):
        named[block.elem_id or type(block).__name__] = update
    return named


def drop(page: gr.Blocks, path: Path, name: str = "", dataset: str = "mnist") -> dict[str, Any]:
    file = {"path": str(path), "orig_name": name or path.name}
    return happened(page, "gan-own-file", "upload", file, dataset)


def saved(tmp_path: Path, module: Callable[[], Any]) -> Path:
    torch.save(vivid(module()).state_dict(), tmp_path / "upload.pth")
    return tmp_path / "upload.pth"


def chooser(page: gr.Blocks) -> list[tuple[str, str]]:
    """What the first chooser of the tab lists for me now."""
    update = happened(page, NEWS, "click")["gan-checkpoint"]
    if update == gr.skip():
        return []
    return [tuple(choice) for choice in update.choices]


def test_a_dropped_file_is_understood_and_listed_for_its_visitor_alone(
    page: gr.Blocks, registry: Registry, tmp_path: Path
) -> None:
    assert chooser(page) == []
    shown = drop(page, saved(tmp_path, LinderConditionalGAN), "my <gan>.pth")
    assert "my &lt;gan&gt; is here: choose it in the GAN tab" in shown["gan-own-status"]
    diagram = shown["gan-own-diagram"]
    assert "a class-conditional fully connected GAN, z of 100 numbers" in diagram
    assert "<span>110 → 128</span> <i>leaky ReLU 0.2</i>" in diagram
    assert "<td>yes</td><td>as tutorials with such names have it</td>" in diagram
    (mine,) = registry.own.of("me")
    assert ("my <gan> (yours)", mine.name) == chooser(page)[0]
    assert shown["State"] == mine.name
    assert registry.own.of("somebody else") == []
    with ThreadClient(registry, Settings()) as client:
        request = parse_request(GANRequest, checkpoint=mine.name, count=2, label=4)
        assert client.submit(request).result().images.std() > 10


def test_corrections_replace_the_model(page: gr.Blocks, registry: Registry, tmp_path: Path) -> None:
    drop(page, saved(tmp_path, FlatGAN))
    (before,) = registry.own.of("me")
    values = ["relu", "sigmoid", "", "yes", "", "", None, None, None]
    shown = happened(page, "gan-own-again", "click", before.name, "", *values)
    (after,) = registry.own.of("me")
    assert after.name != before.name
    assert after.title == before.title
    assert (before.dataset, after.dataset) == ("mnist", "")
    assert "<td>sigmoid</td><td>as you said</td>" in shown["gan-own-diagram"]
    assert shown["gan-own-hidden"] == "relu", "what was said stays"
    assert not before.path.exists()
    wrong = ["", "", "", "", "", "", 3, None, None]
    shown = happened(page, "gan-own-again", "click", after.name, "", *wrong)
    assert "size is 3, but must be a whole number from 8 to 256." in shown["gan-own-status"]
    assert registry.own.of("me") == [after], "what is wrong changes nothing"
    registry.own.forget("me")
    shown = happened(page, "gan-own-again", "click", after.name, "", *values)
    assert "is gone: bring it again" in shown["gan-own-status"]


def test_what_cannot_be_used_is_one_sentence(page: gr.Blocks, tmp_path: Path) -> None:
    (tmp_path / "bad.pth").write_bytes(b"hello")
    shown = drop(page, tmp_path / "bad.pth", "../../bad.pth")
    assert "bad.pth cannot be imported: it is cut short or was not" in shown["gan-own-status"]
    assert "../" not in shown["gan-own-status"]
    assert shown["gan-own-diagram"] == gr.skip()


def test_a_refusal_goes_with_the_file_that_was_refused(page: gr.Blocks, tmp_path: Path) -> None:
    path = tmp_path / "notes.pth"
    path.write_text("hello")
    (said,) = (key for key, text in drop(page, path).items() if "notes.pth" in str(text))
    found = event(page, "gan-own-file", "clear")
    assert ([block.elem_id for block in found.outputs], found.fn()) == ([said], "")


def test_a_model_that_is_gone_leaves_the_choosers(
    page: gr.Blocks, registry: Registry, tmp_path: Path
) -> None:
    drop(page, saved(tmp_path, FlatGAN))
    assert len(chooser(page)) == 2
    registry.own.forget("me")
    assert [name for _, name in chooser(page)] == ["dcgan-fashion"]
    assert chooser(page) == [], "nothing is sent when nothing has changed"


def test_a_folder_that_was_added_meanwhile_is_listed(page: gr.Blocks, registry: Registry) -> None:
    shutil.copytree(PROJECT / "checkpoints" / "dcgan-mnist", registry.root / "dcgan-mnist")
    assert [name for _, name in chooser(page)] == ["dcgan-fashion", "dcgan-mnist"]


def test_a_model_of_the_hub_is_fetched_when_asked_and_only_where_visitors_may(
    page: gr.Blocks, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path, FlatGAN)
    monkeypatch.setattr(visitors, "fetch", lambda repo_id, folder: path)
    shown = happened(page, "gan-own-hub", "submit", " ada/her-gan ", "mnist")
    assert "her-gan is here" in shown["gan-own-status"]
    shown = happened(page, "gan-own-hub", "submit", "nobody", "mnist")
    assert "&#x27;nobody&#x27; is no hub id, such as org/name." in shown["gan-own-status"]
    context = AppContext(Settings(downloads=False), registry, ThreadClient(registry, Settings()))
    with gr.Blocks() as closed:
        gan.build(context)
    assert "gan-own-file" in str(closed.get_config_file())
    block = next(b for b in closed.blocks.values() if b.elem_id == "gan-own-hub")
    assert block.visible is False
