"""Runs that outlive their page: who watches, who comes back, when they end, what is kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any

import pytest

from genlab.families.vae.request import VAERequest
from genlab.serving import kept_runs as module
from genlab.serving.kept_runs import KEEP, KeptRun, KeptRuns, Updates, together
from genlab.serving.session_runs import RunRegistry, Stopped, Superseded
from tests.fake_client import FakeClient

TOKEN = "a" * 40
SHORT = 0.05  # seconds of patience


class Film:
    """A run that shows a frame whenever it is told to, and remembers whether it was closed."""

    def __init__(self, runs: RunRegistry | None = None, owner: str = "page", slot: str = "here"):
        self.runs, self.owner, self.slot = runs, owner, slot
        self.frames: asyncio.Queue[Any] = asyncio.Queue()
        self.closed = False

    async def play(self) -> AsyncGenerator[Updates, None]:
        try:
            if self.runs is None:
                async for frame in self._play():
                    yield frame
                return
            with self.runs.run(self.owner, self.slot) as run:
                run.submit([VAERequest(checkpoint="vae")])
                async for frame in self._play():
                    yield frame
        finally:
            self.closed = True

    async def _play(self) -> AsyncGenerator[Updates, None]:
        while (frame := await self.frames.get()) is not None:
            if isinstance(frame, Exception):
                raise frame
            yield frame

    def show(self, *frames: Any) -> None:
        for frame in frames:
            self.frames.put_nowait(frame)


def keeps(update: Any) -> bool:
    return update is KEEP


def registry(patience: float = 60.0, **options: Any) -> KeptRuns:
    return KeptRuns(RunRegistry(FakeClient()), patience, **options)


def on_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """A test that is a coroutine."""

    def run() -> None:
        asyncio.run(asyncio.wait_for(test(), 20))

    run.__name__ = test.__name__
    return run


async def settle(seconds: float = 0.0) -> None:
    for _ in range(5):
        await asyncio.sleep(seconds / 5)


async def seen(run: KeptRun, frames: int) -> list[Updates]:
    """What somebody sees who watches for some frames, and leaves."""
    shown: list[Updates] = []
    async with aclosing(run.follow()) as updates:
        async for new in updates:
            shown.append(new)
            if len(shown) == frames:
                break
    return shown


# --- watching ---------------------------------------------------------------------------------


@on_a_loop
async def test_who_watches_sees_every_frame_to_the_end() -> None:
    film = Film()
    run = registry().begin("page", "here", film.play(), keeps)
    watching = asyncio.create_task(seen(run, 9))
    for frame in (("a", 1), (KEEP, 2), None):
        film.show(frame)
        await settle()
    assert await watching == [("a", 1), (KEEP, 2)]
    assert not run.running


@on_a_loop
async def test_who_comes_late_sees_the_newest_of_every_output_at_once() -> None:
    film = Film()
    run = registry().begin("page", "here", film.play(), keeps)
    film.show(("old", 1, KEEP), ("new", KEEP, KEEP))
    await settle()
    assert await seen(run, 1) == [("new", 1, KEEP)]


@on_a_loop
async def test_who_is_slow_gets_what_was_missed_together() -> None:
    film = Film()
    run = registry().begin("page", "here", film.play(), keeps)
    async with aclosing(run.follow()) as updates:
        film.show(("a", KEEP))
        assert await anext(updates) == ("a", KEEP)
        film.show(("b", KEEP), (KEEP, 1), None)
        await settle()
        assert await anext(updates) == ("b", 1)
        assert await anext(updates, "over") == "over"


@on_a_loop
async def test_a_fault_reaches_who_watches() -> None:
    film = Film()
    run = registry().begin("page", "here", film.play(), keeps)
    film.show(RuntimeError("broken"))
    with pytest.raises(RuntimeError, match="broken"):
        await seen(run, 1)


@on_a_loop
async def test_several_runs_are_followed_together() -> None:
    films = {"a": Film(), "b": Film()}
    kept = registry()
    runs = {slot: kept.begin("page", slot, film.play(), keeps) for slot, film in films.items()}
    shown: list[dict[str, Updates]] = []

    async def watch() -> None:
        async for news in together(runs):
            shown.append(news)

    watching = asyncio.create_task(watch())
    films["a"].show(("1",), None)
    await settle()
    films["b"].show(("2",), None)
    await watching
    assert shown == [{"a": ("1",)}, {"b": ("2",)}]


# --- leaving and coming back ------------------------------------------------------------------


@on_a_loop
async def test_a_run_goes_on_while_its_page_is_away_and_is_found_again() -> None:
    kept = registry()
    moved: list[tuple[str, str]] = []
    kept.moved.append(lambda old, new: moved.append((old, new)))
    film = Film()
    kept.arrive("first", TOKEN)
    run = kept.begin("first", "here", film.play(), keeps)
    film.show(("1",))
    await seen(run, 1)
    kept.left("first")
    film.show(("2",))
    await settle()
    kept.arrive("second", TOKEN)
    assert moved == [("first", "second")]
    assert kept.of("second") == {"here": run}
    assert await seen(run, 1) == [("2",)]
    assert not film.closed


@on_a_loop
async def test_a_run_that_nobody_comes_back_to_ends() -> None:
    kept = registry(SHORT)
    film = Film()
    kept.arrive("first", TOKEN)
    run = kept.begin("first", "here", film.play(), keeps)
    film.show(("1",))
    await seen(run, 1)
    assert run.running
    await settle(4 * SHORT)
    assert film.closed
    assert not run.running


@on_a_loop
async def test_whoever_watches_again_in_time_keeps_it() -> None:
    film = Film()
    run = registry(SHORT).begin("page", "here", film.play(), keeps)
    film.show(("1",))
    await seen(run, 1)
    async with aclosing(run.follow()) as updates:
        await anext(updates)
        await settle(4 * SHORT)
        assert run.running


@on_a_loop
async def test_without_patience_a_run_ends_with_its_page() -> None:
    film = Film()
    run = registry(0).begin("page", "here", film.play(), keeps)
    film.show(("1",))
    await seen(run, 1)
    await settle()
    assert film.closed


@on_a_loop
async def test_a_result_waits_for_its_visitor_and_is_gone_when_they_do_not_come() -> None:
    kept = registry(SHORT)
    gone: list[str] = []
    kept.gone = gone.append
    kept.arrive("first", TOKEN)
    film = Film()
    run = kept.begin("first", "here", film.play(), keeps)
    film.show(("done",), None)
    await settle()
    assert await seen(run, 9) == [("done",)]
    kept.left("first")
    kept.arrive("second", TOKEN)
    await settle(4 * SHORT)
    assert await seen(kept.of("second")["here"], 9) == [("done",)]
    kept.left("second")
    await settle(4 * SHORT)
    kept.arrive("third", TOKEN)
    assert kept.of("third") == {}
    assert gone == ["second"]


@on_a_loop
async def test_a_page_that_was_late_to_say_whose_it_is_keeps_what_it_began() -> None:
    kept = registry()
    run = kept.begin("first", "here", Film().play(), keeps)
    kept.arrive("first", TOKEN)
    kept.left("first")
    kept.arrive("second", TOKEN)
    assert kept.of("second") == {"here": run}


@on_a_loop
async def test_an_old_page_that_goes_late_takes_nothing_from_the_new_one() -> None:
    kept = registry(SHORT)
    kept.arrive("first", TOKEN)
    film = Film()
    run = kept.begin("first", "here", film.play(), keeps)
    watching = asyncio.create_task(seen(run, 9))
    await settle()
    kept.arrive("second", TOKEN)
    kept.left("first")
    await settle(4 * SHORT)
    assert kept.of("second") == {"here": run}
    film.show(None)
    await watching


@on_a_loop
async def test_another_visitor_finds_nothing_and_a_word_is_no_token() -> None:
    kept = registry()
    kept.arrive("mine", TOKEN)
    kept.begin("mine", "here", Film().play(), keeps)
    kept.arrive("yours", "b" * 40)
    assert kept.of("yours") == {}
    for word in ("", "short", "a" * 65, "a" * 39 + "\n", "../" * 10):
        kept.arrive("theirs", word)
        assert kept.of("theirs") == {}


# --- Stop and newer runs are those of the page that is there now --------------------------------


@on_a_loop
async def test_stop_on_the_new_page_ends_the_run_of_the_old_one() -> None:
    runs = RunRegistry(FakeClient())
    kept = KeptRuns(runs, 60)
    kept.arrive("first", TOKEN)
    kept.begin("first", "here", Film(runs, "first").play(), keeps)
    await settle()
    kept.arrive("second", TOKEN)
    assert runs.slots("second") == ["here"]
    assert runs.stop("second", "here") == 1
    assert runs.open_jobs == 0


@on_a_loop
async def test_a_newer_run_on_the_new_page_replaces_that_of_the_old_one() -> None:
    runs = RunRegistry(FakeClient())
    kept = KeptRuns(runs, 60)
    kept.arrive("first", TOKEN)
    kept.begin("first", "here", Film(runs, "first").play(), keeps)
    await settle()
    kept.arrive("second", TOKEN)
    newer = kept.begin("second", "here", Film(runs, "second").play(), keeps)
    await settle()
    assert runs.open_jobs == 1
    assert kept.of("second") == {"here": newer}


@on_a_loop
async def test_a_page_that_goes_ends_what_cannot_be_found_again() -> None:
    runs = RunRegistry(FakeClient())
    kept = KeptRuns(runs, 60)
    kept.begin("page", "here", Film(runs).play(), keeps)
    await settle()
    with runs.run("page", "api-1") as called:
        kept.left("page")
        assert isinstance(called.ending, Stopped)
    assert runs.open_jobs == 1, "the kept one goes on"


def test_an_heirs_own_run_is_the_newer_one() -> None:
    runs = RunRegistry(FakeClient())
    with runs.run("old", "here") as older, runs.run("new", "here") as newer:
        runs.adopt("old", "new")
        assert isinstance(older.ending, Superseded)
        assert newer.ending is None


@on_a_loop
async def test_a_reload_is_no_way_to_a_larger_share() -> None:
    client = FakeClient()
    runs = RunRegistry(client)
    kept = KeptRuns(runs, 60)
    for page in ("first", "second"):
        kept.arrive(page, TOKEN)
        with runs.run(page, "here") as run:
            run.submit([VAERequest(checkpoint="vae")])
    first, second = (ticket.owner for ticket in client.tickets)
    assert first == second
    assert TOKEN not in first


# --- bounds -----------------------------------------------------------------------------------


@on_a_loop
async def test_results_are_bounded_and_the_oldest_go_first() -> None:
    kept = registry(max_bytes=250)
    for k in range(4):
        film = Film()
        kept.begin("page", f"slot-{k}", film.play(), keeps)
        film.show((str(k) * 100,), None)
        await settle()
    assert [*kept.of("page")] == ["slot-2", "slot-3"]


@on_a_loop
async def test_a_run_keeps_one_of_every_output_however_long_it_is() -> None:
    film = Film()
    run = registry().begin("page", "here", film.play(), keeps)
    film.show(*((str(k % 10) * 1000,) for k in range(100)))
    await settle()
    assert run.nbytes == 1000


@on_a_loop
async def test_results_are_gone_with_their_pictures() -> None:
    kept = registry()
    film = Film()
    kept.begin("page", "here", film.play(), keeps)
    film.show(("1",), None)
    await settle()
    late = time.monotonic() + module.KEPT_SECONDS
    before, module.time.monotonic = module.time.monotonic, lambda: late
    try:
        assert kept.of("page") == {}
    finally:
        module.time.monotonic = before


@on_a_loop
async def test_visitors_without_number_are_forgotten() -> None:
    kept = registry()
    for k in range(module.MAX_VISITORS + 10):
        kept.arrive(f"page-{k}", f"{k:040d}")
    assert len(kept._pages) == len(kept._visitors) == module.MAX_VISITORS
    assert kept._kept == {}
