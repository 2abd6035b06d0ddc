"""The one way from requests to a page, with a client whose events are posted by hand."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

from genlab.engine.events import (
    Cancelled,
    Event,
    Failed,
    Loading,
    Progress,
    Queued,
    Result,
)
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.families.vae.request import ReconstructRequest, VAERequest
from genlab.generation_metadata import KEY
from genlab.requests import UserError, parse_request
from genlab.serving.client import Ticket
from genlab.ui import live_run as module
from genlab.ui import picture_store
from genlab.ui.cells import Cell, CellView
from genlab.ui.components.progress import failures, progress, progress_line, share_done, summary
from genlab.ui.context import AppContext
from genlab.ui.live_run import Frame, live_run
from tests.fake_client import FakeClient, draw, fake_context, pictures

SOON = module.REDRAW * 1.5


def cell(name: str = "vae", count: int = 2, **values: Any) -> Cell:
    return Cell.of(lambda: parse_request(VAERequest, checkpoint=name, count=count, **values))


def run(
    context: AppContext,
    cells: Sequence[Cell] | Callable[[], Sequence[Cell]],
    meanwhile: Callable[[], Awaitable[None]] | None = None,
    **how: Any,
) -> list[Frame]:
    """Every frame of a run, while ``meanwhile`` posts events."""
    build = cells if callable(cells) else lambda: cells

    async def collect() -> list[Frame]:
        return [frame async for frame in live_run(context, "me", "here", build, **how)]

    async def both() -> list[Frame]:
        shown = asyncio.create_task(collect())
        if meanwhile is not None:
            await asyncio.sleep(0.01)
            await meanwhile()
        return await shown

    return asyncio.run(asyncio.wait_for(both(), 20))


def posting(ticket: Callable[[], Ticket], *events: Event) -> Callable[[], Awaitable[None]]:
    """Post events to a ticket, each seen by a frame before the next comes."""

    async def post() -> None:
        for event in events:
            ticket().post(event)
            await asyncio.sleep(SOON)

    return post


# --- what is shown ----------------------------------------------------------------------------


def test_a_run_ends_with_its_pictures_by_address_and_their_figures() -> None:
    client = FakeClient(
        lambda ticket: ticket.post(Result(np.zeros((2, 8, 8), np.uint8), figures={"fid": 1.5}))
    )
    context = fake_context(client)
    (last,) = run(context, [cell(judge=True)])
    assert not last.running
    assert "2 pictures in" in last.status
    assert last.changed == {0}
    view = last.cells[0]
    assert view.done
    assert view.results[0].figures == {"fid": 1.5}
    assert len(view.pictures) == 2
    assert all(context.pictures.get(address.split("/")[1]) for address in view.pictures)


def test_each_picture_carries_the_settings_and_weights_it_was_drawn_by() -> None:
    context = fake_context(FakeClient(draw))
    (last,) = run(context, [cell(seed=5)])
    contents = [context.pictures.get(a.split("/")[1]) or b"" for a in last.cells[0].pictures]
    for k, content in enumerate(contents):
        assert KEY.encode() in content
        assert f'"seed": {5 + k}'.encode() in content
        assert b"f" * 64 in content, "the fingerprint of the result, not of a file"


def test_given_pictures_are_not_stored_but_in_the_result() -> None:
    images = np.zeros((3, 8, 8), np.uint8)
    given = parse_request(ReconstructRequest, checkpoint="vae", images=images)
    (last,) = run(fake_context(FakeClient(draw)), [Cell((given,))])
    assert last.cells[0].done
    assert last.cells[0].pictures == ()
    assert last.cells[0].results[0].images.shape == (3, 8, 8)


def test_pictures_are_encoded_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []
    encoded = picture_store.encoded

    def noticed(*arguments: Any) -> bytes:
        threads.append(threading.current_thread())
        return encoded(*arguments)

    monkeypatch.setattr(picture_store, "encoded", noticed)
    run(fake_context(FakeClient(draw)), [cell()])
    assert len(threads) == 2
    assert threading.main_thread() not in threads


def test_a_cell_of_several_requests_has_the_pictures_of_all_once_all_are_there() -> None:
    client = FakeClient()
    both = Cell(cell(count=1).requests + cell(count=2, seed=9).requests)

    async def in_turn() -> None:
        for ticket in reversed(client.tickets):
            draw(ticket)
            await asyncio.sleep(SOON)

    *earlier, last = run(fake_context(client), [both], in_turn)
    assert [frame.cells[0].pictures for frame in earlier] == [()] * len(earlier)
    assert any(frame.cells[0].share == 0.5 for frame in earlier)
    assert len(last.cells[0].pictures) == 3
    assert last.cells[0].results[0].images.shape[0] == 1, "in the order of the requests"


def test_only_cells_with_news_are_named() -> None:
    client = FakeClient()
    post = posting(
        lambda: client.tickets[1], Progress(1, 4, None, None), Progress(2, 4, None, None)
    )

    async def meanwhile() -> None:
        await asyncio.sleep(SOON)
        await post()
        for ticket in client.tickets:
            draw(ticket)

    first, second, third, last = run(fake_context(client), [cell(), cell()], meanwhile)
    assert [first.changed, second.changed, third.changed] == [{0, 1}, {1}, {1}]
    assert last.changed == {0, 1}


def test_a_preview_between_two_frames_is_shown_once() -> None:
    client = FakeClient()
    preview = np.zeros((1, 8, 8), np.uint8)

    async def meanwhile() -> None:
        for step, picture in ((3, preview), (4, None)):
            client.tickets[0].post(Progress(step, 9, picture, None))
            await asyncio.sleep(0.01)  # read, but not shown yet
        await asyncio.sleep(SOON)
        await posting(lambda: client.tickets[0], Progress(5, 9, None, None))()
        draw(client.tickets[0])

    shown = run(fake_context(client), [cell(count=1)], meanwhile)
    assert [frame.cells[0].previews is not None for frame in shown] == [True, False, False]
    assert "Step 4 of 9" in shown[0].status


def test_a_page_that_is_left_without_news_is_still_written_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "HEARTBEAT", 0.2)
    client = FakeClient()

    async def meanwhile() -> None:
        await asyncio.sleep(1)
        draw(client.tickets[0])

    shown = run(fake_context(client), [cell()], meanwhile)
    assert len([frame for frame in shown if not frame.changed]) >= 2


# --- what goes wrong --------------------------------------------------------------------------


def test_a_wrong_value_becomes_a_sentence_and_leaves_the_pictures() -> None:
    def build() -> list[Cell]:
        return [Cell((parse_request(VAERequest, checkpoint="vae", seed=-1),))]

    (only,) = run(fake_context(FakeClient()), build)
    assert 'role="alert">seed is -1, but must be a whole number from 0 to' in only.status
    assert (only.cells, only.changed, only.running) == ((), frozenset(), False)


def test_a_run_whose_cells_are_all_refused_says_why_and_leaves_the_pictures() -> None:
    client = FakeClient()
    (only,) = run(fake_context(client), [cell(seed=-1), cell("missing")])
    assert "seed is -1" in only.status
    assert only.cells == ()
    assert client.tickets == []


def test_refused_cells_say_why_while_the_others_are_drawn() -> None:
    (last,) = run(fake_context(FakeClient(draw)), [cell(seed=-1), cell("missing"), cell()])
    assert last.cells[0].failed.startswith("seed is -1")
    assert last.cells[1].failed == "There is no checkpoint called 'missing'."
    assert last.cells[2].done
    assert "2 pictures in" in last.status


def test_a_cell_that_fails_says_so_and_the_others_go_on() -> None:
    client = FakeClient()

    async def meanwhile() -> None:
        client.tickets[0].post(Failed("The numbers ran away."))
        await asyncio.sleep(SOON)
        draw(client.tickets[1])

    shown = run(fake_context(client), [cell(), cell()], meanwhile)
    assert shown[0].cells[0].failed == "The numbers ran away."
    assert shown[0].running
    assert shown[-1].cells[1].done
    assert "2 pictures in" in shown[-1].status


def test_a_run_fails_when_all_its_cells_have_failed() -> None:
    client = FakeClient(lambda ticket: ticket.post(Failed(f"No {ticket.request.seed}.")))
    (last,) = run(fake_context(client), [cell(seed=1), cell(seed=2)])
    assert 'role="alert">No 1.' in last.status
    assert [view.failed for view in last.cells] == ["No 1.", "No 2."]


def test_where_none_may_fail_alone_the_first_failure_ends_the_run() -> None:
    client = FakeClient()
    failing = posting(lambda: client.tickets[0], Failed("The numbers ran away."))
    last = run(fake_context(client), [cell(), cell()], failing, alone_may_fail=False)[-1]
    assert "The numbers ran away." in last.status
    assert not last.running
    assert client.cancelled == [client.tickets[1].id]


def test_a_full_house_refuses_the_whole_run_and_leaves_the_pictures() -> None:
    client = FakeClient()
    client.room = 1
    (only,) = run(fake_context(client), [cell(), cell()])
    assert "Too many are waiting" in only.status
    assert only.cells == ()
    assert client.cancelled == [client.tickets[0].id], "what was submitted is taken back"


# --- how it ends ------------------------------------------------------------------------------


def test_stop_keeps_what_is_finished_and_cancels_the_rest() -> None:
    client = FakeClient()
    context = fake_context(client)

    async def meanwhile() -> None:
        draw(client.tickets[0])
        await asyncio.sleep(SOON)
        context.runs.stop("me", "here")

    last = run(context, [cell(), cell()], meanwhile)[-1]
    assert "Stopped" in last.status
    assert not last.running
    assert last.cells[0].done
    assert last.cells[1].events == (Cancelled(),)
    assert last.changed == {1}
    assert context.runs.open_jobs == 0


def test_a_newer_run_replaces_the_older_one_silently() -> None:
    client = FakeClient()
    context = fake_context(client)
    newer: list[Frame] = []

    async def meanwhile() -> None:
        await asyncio.sleep(SOON)
        second = live_run(context, "me", "here", lambda: [cell(seed=7)])
        drawing = asyncio.create_task(collected(second))
        await asyncio.sleep(0.01)
        draw(client.tickets[1])
        newer.extend(await drawing)

    older = run(context, [cell()], meanwhile)
    assert older
    assert all(frame.running for frame in older), "the older run must not touch the page at its end"
    assert "2 pictures in" in newer[-1].status


async def collected(frames: Any) -> list[Frame]:
    return [frame async for frame in frames]


def test_leaving_in_the_middle_cancels_what_is_open() -> None:
    client = FakeClient()
    context = fake_context(client)

    async def leave() -> None:
        async with aclosing(live_run(context, "me", "here", lambda: [cell()])) as shown:
            async for _ in shown:
                return

    asyncio.run(leave())
    assert client.cancelled == [client.tickets[0].id]
    assert context.runs.open_jobs == 0


# --- one cell after another -------------------------------------------------------------------


def test_cells_in_turn_wait_for_the_one_before() -> None:
    client = FakeClient()
    submitted: list[int] = []

    async def meanwhile() -> None:
        for k in range(2):
            submitted.append(len(client.tickets))
            client.tickets[k].post(Progress(1, 2, None, None))
            await asyncio.sleep(SOON)
            draw(client.tickets[k])
            await asyncio.sleep(SOON)

    shown = run(fake_context(client), [cell(), cell()], meanwhile, in_turn=True)
    assert submitted == [1, 2]
    assert shown[0].cells[1].events == (Queued(0),)
    assert "Step 1 of 2" in shown[0].status, "those that wait for their turn do not speak"
    assert all(view.done for view in shown[-1].cells)


def test_in_turn_a_cell_that_is_not_taken_fails_alone() -> None:
    client = FakeClient(draw)
    client.room = 1
    last = run(fake_context(client), [cell(), cell(), Cell()], in_turn=True)[-1]
    assert [view.done for view in last.cells] == [True, False, True]
    assert "Too many are waiting" in last.cells[1].failed


def test_stop_in_turn_leaves_out_what_has_not_begun() -> None:
    client = FakeClient()
    context = fake_context(client)

    async def meanwhile() -> None:
        context.runs.stop("me")

    last = run(context, [cell(), cell()], meanwhile, in_turn=True)[-1]
    assert "Stopped" in last.status
    assert [view.events for view in last.cells] == [(Cancelled(),)] * 2
    assert len(client.tickets) == 1


# --- a cell at one moment ---------------------------------------------------------------------


def test_previews_are_small_and_only_there_if_all_can_say() -> None:
    large = Progress(1, 2, np.zeros((1, 1024, 1024, 3), np.uint8), None)
    assert CellView((large, large)).previews is not None
    shown = CellView((large, large)).previews
    assert shown is not None
    assert shown.shape == (2, 256, 256, 3)
    assert CellView((large, Progress(1, 2, None, None))).previews is None
    assert CellView((large, Queued(1))).previews is None
    finished = Result(np.zeros((1, 8, 8), np.uint8))
    assert CellView((finished, large)).previews is None, "of two sizes"
    assert CellView((finished,)).previews is None, "finished pictures are no previews"


def test_a_cells_share_is_the_mean_of_its_requests() -> None:
    half = Progress(1, 2, None, None)
    done = pictures(parse_request(StableDiffusionRequest, checkpoint="sd", count=1))
    assert CellView((Queued(1), half, done, Failed("no"))).share == pytest.approx(2.5 / 4)


def test_a_refusal_is_a_cell() -> None:
    def build() -> VAERequest:
        raise UserError("Choose a class.")

    assert Cell.of(build) == Cell(refused="Choose a class.")


# --- sentences --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("events", "sentence"),
    [
        ([Queued(1)], "Starting: you are next in line."),
        ([Queued(2), Queued(1)], "In the queue: 1 request before yours."),
        ([Queued(4), Progress(1, 2, None, None)], "In the queue: 3 requests before yours."),
        ([Loading("Stable Diffusion 1.5"), Queued(1)], "Loading Stable Diffusion 1.5 ..."),
        ([Progress(9, 10, None, None), Progress(2, 10, None, 4.2)], "Step 2 of 10, about 4 s left"),
        ([Progress(9, 10, None, 0.2)], "Step 9 of 10"),
    ],
)
def test_the_status_says_what_is_waited_for(events: list[Event], sentence: str) -> None:
    assert progress(events) == f'<p class="said">{sentence}</p>'


def test_the_end_says_how_much_how_long_and_each_note_once() -> None:
    results = [Result(np.zeros((2, 8, 8), np.uint8), notes=("Cut <here>.",), waited=1.26)] * 2
    text = summary(results, 3.456)
    assert "4 pictures in 3.46 s, 1.3 s of it waiting." in text
    assert text.count("Cut &lt;here&gt;.") == 1
    one = summary([Result(np.zeros((1, 8, 8), np.uint8))], 0.5, "value")
    assert "1 value in 0.50 s." in one


def test_many_requests_are_spoken_of_together() -> None:
    events: list[Event] = [Failed("No <room>."), Progress(1, 2, None, None), Queued(3), Queued(2)]
    assert share_done(events) == pytest.approx(1.5 / 4)
    line = progress_line("1 of 4 pictures", events, 3)
    assert "1 of 4 pictures, about 5 s left" in line
    assert "width:38%" in line
    assert "In the queue" in progress_line("0 of 1", [Queued(3)], 3)
    assert "Loading SD" in progress_line("0 of 1", [Loading("SD")], 3)
    assert failures(events) == '<p class="note">1 failed: No &lt;room&gt;.</p>'
    assert failures([Queued(1)]) == ""
