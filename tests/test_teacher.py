"""Where a teacher's key is set, nobody else starts or stops a download; it is in no address."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from genlab.models.downloads import Offer
from genlab.settings import Settings
from genlab.ui.context import AppContext
from genlab.ui.state.controls import UNSHARED
from genlab.ui.tabs.stable_diffusion.models import downloading, more_models, wire_models
from tests.fake_client import FakeClient

OFFER = Offer("big", "Big", 2.14, True, "available")


class Downloads:
    """One offer, and what was asked of it."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def offers(self) -> list[Offer]:
        return [OFFER]

    def fetch(self, name: str) -> None:
        self.calls.append(f"fetch {name}")

    def stop_fetching(self, name: str) -> None:
        self.calls.append(f"stop {name}")


def house(key: str) -> tuple[AppContext, Downloads]:
    downloads: Any = Downloads()
    settings = Settings(teacher_key=key, checkpoints=Path("checkpoints"))  # type: ignore[arg-type]
    return AppContext(settings, downloads, FakeClient()), downloads


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genlab.serving.teacher.WRONG_SECONDS", 0.0)


async def lines(context: AppContext, key: str) -> list[str]:
    return [line async for line, _ in downloading(context, "big", key)]


@pytest.mark.parametrize(("given", "says"), [("", "is missing"), ("open", "not the teacher")])
def test_without_the_key_no_download_begins(given: str, says: str) -> None:
    context, downloads = house("sesame")
    (line,) = asyncio.run(lines(context, given))
    assert "Only the teacher may start downloads here" in line
    assert says in line
    assert downloads.calls == []


@pytest.mark.parametrize(("key", "given"), [("sesame", "sesame"), ("", ""), ("", "whatever")])
def test_the_teacher_and_where_there_is_none_everybody_may(key: str, given: str) -> None:
    context, downloads = house(key)
    asyncio.run(lines(context, given))
    assert downloads.calls == ["fetch big"]


def test_stopping_wants_the_key_too(monkeypatch: pytest.MonkeyPatch) -> None:
    context, downloads = house("sesame")
    handlers: dict[str, Any] = {}

    def remember(self: gr.Button, fn: Any, *rest: Any, **more: Any) -> None:
        handlers[str(self.elem_id)] = fn

    monkeypatch.setattr(gr.Button, "click", remember)
    with gr.Blocks():
        names = ("checkpoint", "guidance", "guidance_slider", "scheduler")
        controls: Any = SimpleNamespace(**{name: gr.Dropdown() for name in names}, outputs=[])
        wire_models(context, controls, more_models(context))
    refused = asyncio.run(handlers["sd-fetch-cancel"]("big", "open"))
    assert "Only the teacher may stop downloads here" in refused
    assert downloads.calls == []
    asyncio.run(handlers["sd-fetch-cancel"]("big", "sesame"))
    assert downloads.calls == ["stop big"]


@pytest.mark.parametrize("key", ["", "sesame"])
def test_the_field_for_it_hides_what_is_typed_and_is_part_of_no_address(key: str) -> None:
    context, _ = house(key)
    with gr.Blocks():
        more = more_models(context)
    assert more is not None
    field = more[1]
    assert field.visible == bool(key)
    assert field.type == "password"
    assert UNSHARED in field.elem_classes
