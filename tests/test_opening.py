"""Panels that open with everybody's run: one run, however many open them; and whose it is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from genlab.ui.opening import KEPT_SECONDS, REST_SECONDS, OpeningRuns, Updates


class Panel:
    """A panel whose run yields what it is told; counts how often it was drawn."""

    def __init__(self, *frames: Updates) -> None:
        self.frames = frames
        self.begun = 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def start(self) -> AsyncIterator[Updates]:
        self.begun += 1
        for frame in self.frames:
            await self.go_on.wait()
            yield frame


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def seen(runs: OpeningRuns, owner: str, panel: Panel) -> list[Any]:
    return [updates async for updates in runs.follow(owner, "vae", panel.start)]


async def test_two_hundred_visitors_are_one_run() -> None:
    runs, panel = OpeningRuns(), Panel(("drawing", None), ("done", "digits"))
    panel.go_on.clear()
    visitors = [asyncio.ensure_future(seen(runs, f"visitor {k}", panel)) for k in range(200)]
    await asyncio.sleep(0.05)
    panel.go_on.set()
    shown = await asyncio.gather(*visitors)
    assert panel.begun == 1
    assert all(updates[-1] == ("done", "digits") for updates in shown)


async def test_who_comes_later_is_given_all_that_was_shown() -> None:
    runs = OpeningRuns()
    panel = Panel(("drawing", None, None), (None, "with KL", None), ("done", None, "without"))
    await seen(runs, "first", panel)
    assert await seen(runs, "second", panel) == [("done", "with KL", "without")]
    assert panel.begun == 1


async def test_who_has_seen_it_keeps_what_they_have() -> None:
    runs, panel = OpeningRuns(), Panel(("done", "digits"))
    assert await seen(runs, "me", panel)
    assert await seen(runs, "me", panel) == []


async def test_a_run_of_ones_own_is_not_painted_over() -> None:
    runs, panel = OpeningRuns(), Panel(("done", "digits"))
    runs.has_own("before", "vae")
    assert await seen(runs, "before", panel) == []
    panel.go_on.clear()
    waiting = asyncio.ensure_future(seen(runs, "meanwhile", panel))
    await asyncio.sleep(0.05)
    runs.has_own("meanwhile", "vae")
    panel.go_on.set()
    assert await waiting == []


async def test_pictures_are_drawn_anew_before_their_addresses_are_gone() -> None:
    clock = Clock()
    runs, panel = OpeningRuns(clock), Panel(("done", "digits"))
    await seen(runs, "early", panel)
    clock.now = KEPT_SECONDS - 1
    await seen(runs, "in time", panel)
    assert panel.begun == 1
    clock.now = KEPT_SECONDS + 1
    await seen(runs, "late", panel)
    assert panel.begun == 2


async def test_a_run_of_which_nothing_came_is_tried_again_but_not_at_once() -> None:
    clock = Clock()
    runs, panel = OpeningRuns(clock), Panel(("drawing", None), ("", None))
    await seen(runs, "one", panel)
    await seen(runs, "two", panel)
    assert panel.begun == 1
    clock.now = REST_SECONDS + 1
    await seen(runs, "three", panel)
    assert panel.begun == 2


async def test_what_visitors_have_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genlab.ui.opening.MOST_VISITS", 3)
    runs, panel = OpeningRuns(), Panel(("done", "digits"))
    for k in range(10):
        await seen(runs, f"visitor {k}", panel)
        runs.has_own(f"visitor {k}", "gan")
    assert len(runs._visits) <= 3


async def test_a_run_that_breaks_is_no_ones_end() -> None:
    async def broken() -> AsyncIterator[Updates]:
        yield ("drawing", None)
        raise OSError("no room on the disk")

    runs = OpeningRuns()
    assert [u async for u in runs.follow("me", "vae", broken)][-1] == ("", None)
