"""The Stable Diffusion tab with models of no weights: what its tests share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from genlab.engine.events import Result
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.requests import parse_request
from genlab.ui.context import AppContext
from genlab.ui.tabs.stable_diffusion import tab
from tests.fake_client import FakeClient, ListedRegistry, fake_context, model
from tests.fake_page import FakePage, Frame, pressed

PROJECT = Path(__file__).resolve().parent.parent
WORLD = json.loads((PROJECT / "checkpoints/stable-diffusion-toybox/world.json").read_text())
TOYBOX = model("toybox", "stable_diffusion", "toybox", facts={"world": WORLD})
SD = model("sd", "stable_diffusion")
JUDGE = model("judge", "judge", "toybox")
REGISTRY: Any = ListedRegistry(SD, TOYBOX, JUDGE)
ADDRESS = r'src="(pictures/[0-9a-f]{64}-\d+\.png)"'
BASE = parse_request(
    StableDiffusionRequest, checkpoint="sd", prompt="a red seven", negative_prompt="blue"
)
VALUES = ("sd", "a red seven", "blue", 6, 4, "dpmpp-2m", 42)
"""Of the controls, in their order."""


def app(client: FakeClient) -> AppContext:
    return fake_context(client, REGISTRY)


def drawn(request: Any, **more: Any) -> Result:
    grey = np.full((request.count, 16, 16, 3), request.seed % 256, np.uint8)
    return Result(grey, fingerprint="f" * 64, **more)


def frames(
    context: AppContext,
    button: str,
    *values: Any,
    during: Callable[[Frame], None] = lambda frame: None,
) -> list[Frame]:
    """What the tab's elements are given after a press, by element id."""
    return pressed(FakePage(tab.build, context), button, *values, during=during)
