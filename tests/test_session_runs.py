"""Who runs what: one run a slot, ended by Stop, by a newer one, or by leaving."""

from __future__ import annotations

import pytest

from genlab.families.vae.request import VAERequest
from genlab.requests import UserError
from genlab.serving.session_runs import RunRegistry, Stopped, Superseded
from tests.fake_client import FakeClient, draw


def requests(count: int = 1) -> list[VAERequest]:
    return [VAERequest(checkpoint="vae")] * count


def test_a_run_submits_for_its_owner_and_leaves_nothing_open() -> None:
    client = FakeClient()
    with RunRegistry(client).run("me", "here") as run:
        first, second = run.submit(requests(2))
        assert run.open_jobs == 2
        draw(first)
        assert run.open_jobs == 1
    assert client.cancelled == [second.id], "what has ended is left alone"
    assert first.owner == "me"


def test_stop_ends_one_slot_or_all_of_a_visitor_and_nobody_elses() -> None:
    client = FakeClient()
    runs = RunRegistry(client)
    with runs.run("me", "a") as a, runs.run("me", "b") as b, runs.run("you", "a") as other:
        for run in (a, b, other):
            run.submit(requests())
        assert runs.open_jobs == 3
        assert runs.stop("me", "a") == 1
        assert isinstance(a.ending, Stopped)
        assert b.ending is None
        assert runs.stop("me") == 2
        assert other.ending is None
        assert runs.open_jobs == 1
    assert runs.stop("me") == 0


def test_a_newer_run_replaces_the_one_in_its_slot() -> None:
    runs = RunRegistry(FakeClient())
    with runs.run("me", "here") as older:
        older.submit(requests())
        with runs.run("me", "here") as newer:
            assert isinstance(older.ending, Superseded)
            assert older.open_jobs == 0
            assert newer.ending is None


def test_a_run_that_has_to_end_takes_no_more() -> None:
    client = FakeClient()
    runs = RunRegistry(client)
    with runs.run("me", "here") as run:
        runs.stop("me")
        with pytest.raises(Stopped):
            run.submit(requests())
    assert client.tickets == []


def test_stop_during_submission_cancels_the_last_request_too() -> None:
    client = FakeClient(lambda ticket: runs.stop("me") if len(client.tickets) == 1 else None)
    runs = RunRegistry(client)
    with runs.run("me", "here") as run, pytest.raises(Stopped):
        run.submit(requests(2))
    assert [ticket.ended for ticket in client.tickets] == [True]


def test_what_was_submitted_before_a_refusal_is_taken_back() -> None:
    client = FakeClient()
    client.room = 1
    with pytest.raises(UserError), RunRegistry(client).run("me", "here") as run:
        run.submit(requests(2))
    assert client.cancelled == [client.tickets[0].id]


def test_an_older_run_makes_way_only_if_it_is_that_old() -> None:
    runs = RunRegistry(FakeClient())
    with runs.run("me", "live") as run:
        runs.make_way("me", "live", run.begun - 1)
        assert run.ending is None
        runs.make_way("me", "live", run.begun + 1)
        assert isinstance(run.ending, Superseded)
