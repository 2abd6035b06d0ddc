"""Who may ask for more, and what a full house says."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from genlab.requests import UserError
from genlab.serving.admission import Admission
from genlab.ui.api import account_of


class Clock:
    """Seconds that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def refusal(admission: Admission, owner: str = "late") -> str:
    with pytest.raises(UserError) as refused:
        admission.enter(owner)
    return str(refused.value)


def test_a_full_house_says_how_long_those_inside_take() -> None:
    clock = Clock()
    admission = Admission(max_jobs=20, max_jobs_per_owner=20, clock=clock)
    for k in range(20):
        admission.enter(f"person {k % 4}")
    for k in range(10):  # two a second
        clock.now += 0.5
        admission.leave(f"person {k % 4}", served=True)
        admission.enter("next")
    assert "20 requests are waiting, which takes about 10 seconds" in refusal(admission)


def test_a_wait_is_not_guessed_before_anybody_was_served() -> None:
    clock = Clock()
    admission = Admission(max_jobs=1, clock=clock)
    admission.enter("me")
    clock.now += 30
    assert refusal(admission) == (
        "The queue is full: 1 request is waiting. Please try again in a moment."
    )


def test_stopped_requests_do_not_make_the_wait_look_shorter() -> None:
    clock = Clock()
    admission = Admission(max_jobs=10, max_jobs_per_owner=10, clock=clock)
    for _ in range(10):
        admission.enter("me")
    clock.now += 10
    admission.leave("me", served=True)
    for _ in range(8):
        admission.leave("me", served=False)
    assert admission.wait_seconds() == pytest.approx(10)


def test_hours_without_visitors_do_not_make_the_wait_look_longer() -> None:
    clock = Clock()
    admission = Admission(clock=clock)
    admission.enter("me")
    clock.now += 1
    admission.leave("me", served=True)
    clock.now += 7200
    for _ in range(4):
        admission.enter("me")
    clock.now += 2
    admission.leave("me", served=True)
    assert admission.wait_seconds() == pytest.approx(6)


def test_one_owner_has_a_share_and_others_the_rest() -> None:
    admission = Admission(max_jobs=8, max_jobs_per_owner=4)
    for _ in range(4):
        admission.enter("me")
    assert "You already have 4 requests waiting" in refusal(admission, "me")
    admission.enter("you")


def call_from(host: str, session: str) -> SimpleNamespace:
    return SimpleNamespace(client=SimpleNamespace(host=host), session_hash=session)


def test_a_scripts_calls_are_its_addresss_whatever_session_it_invents() -> None:
    admission = Admission(max_jobs=256, max_jobs_per_owner=64)
    for k in range(64):
        admission.enter(account_of(call_from("10.0.0.7", f"invented-{k}")))
    for k in range(64, 256):
        account = account_of(call_from("10.0.0.7", f"invented-{k}"))
        assert "already have 64" in refusal(admission, account)
    admission.enter(account_of(call_from("10.0.0.8", "another machine")))


def test_all_addresses_of_one_ipv6_network_are_one_owner() -> None:
    one, other = call_from("2001:db8::1", "a"), call_from("2001:db8::ffff:2", "b")
    assert account_of(one) == account_of(other)
    assert account_of(one) != account_of(call_from("2001:db8:0:1::1", "c"))
