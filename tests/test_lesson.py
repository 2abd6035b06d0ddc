"""A lesson: what the teacher shows, whether pages are held, who waits; and who may do that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from genlab.families.vae.request import VAERequest
from genlab.requests import UserError
from genlab.serving.kept_runs import visitor_of
from genlab.serving.lesson import (
    ENDED_BY_TEACHER,
    HELD,
    HELD_SECONDS,
    LESSON_SECONDS,
    MAX_QUERY,
    MAX_TEACHERS,
    Lesson,
)
from genlab.serving.session_runs import RunRegistry, Stopped
from genlab.settings import Settings
from genlab.ui.context import AppContext
from genlab.ui.first_runs import EVERYBODY
from genlab.ui.teacher.layout import lesson_tags
from genlab.ui.teacher.routes import MAX_BODY, lesson_routes
from tests.fake_client import FakeClient, FakeRegistry

NOTHING = {"shown": None, "frozen": False, "vote": None, "wall": None}
TEACHER, STUDENT = "t" * 40, "s" * 40
REQUEST = VAERequest(checkpoint="vae", count=1, seed=1)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def state_of(lesson: Lesson) -> dict[str, Any]:
    return json.loads(lesson.state()[1])


def test_what_the_teacher_shows_is_new_each_time_and_its_tag_changes() -> None:
    lesson = Lesson()
    before, _ = lesson.state()
    lesson.show("tab=vae", run=True)
    tag, _ = lesson.state()
    first = state_of(lesson)["shown"]
    assert (first["query"], first["run"]) == ("tab=vae", True)
    lesson.show("tab=vae", run=True)
    assert state_of(lesson)["shown"]["id"] != first["id"]
    assert len({before, tag, lesson.state()[0]}) == 3
    assert lesson.state() == lesson.state()


@pytest.mark.parametrize("query", ["", "a" * (MAX_QUERY + 1)])
def test_what_is_no_query_is_not_shown(query: str) -> None:
    with pytest.raises(UserError, match="characters"):
        Lesson().show(query, run=False)


def test_while_pages_are_held_only_the_teacher_begins_runs() -> None:
    lesson, client = Lesson(), FakeClient()
    runs = RunRegistry(client)
    runs.admit = lesson.admit
    lesson.sign_in(TEACHER)
    begun = runs.run("page", "vae", visitor_of(STUDENT))
    begun.submit([REQUEST])
    lesson.freeze(True)
    begun.submit([REQUEST])  # a run that was under way goes on
    with pytest.raises(UserError, match="paused"):
        runs.run("page", "gan", visitor_of(STUDENT)).submit([REQUEST])
    with pytest.raises(UserError, match="paused"):
        runs.run("script", "api-1").submit([REQUEST])
    runs.run("other page", "vae", visitor_of(TEACHER)).submit([REQUEST])
    lesson.freeze(False)
    runs.run("page", "gan", visitor_of(STUDENT)).submit([REQUEST])
    assert len(client.tickets) == 4


def test_a_page_without_a_token_is_never_taken_for_the_teachers() -> None:
    lesson = Lesson()
    lesson.sign_in("no token")
    lesson.freeze(True)
    with pytest.raises(UserError, match="paused"):
        lesson.admit("")


def test_a_teacher_who_is_gone_holds_nobody_for_ever() -> None:
    clock = Clock()
    lesson = Lesson(clock)
    own = lesson.sign_in(TEACHER)
    lesson.show("tab=vae", run=False)
    lesson.freeze(True)
    clock.now = HELD_SECONDS - 1
    assert lesson.is_teacher(own)
    clock.now = 2 * HELD_SECONDS - 2
    with pytest.raises(UserError, match="paused"):
        lesson.admit("page")
    clock.now = 2 * HELD_SECONDS
    lesson.admit("page")
    assert state_of(lesson)["shown"]
    clock.now += LESSON_SECONDS
    assert state_of(lesson) == NOTHING


def test_only_so_many_pages_are_signed_in() -> None:
    lesson = Lesson()
    tokens = [lesson.sign_in(TEACHER) for _ in range(MAX_TEACHERS + 1)]
    assert [lesson.is_teacher(own) for own in tokens] == [False] + [True] * MAX_TEACHERS
    assert not lesson.is_teacher("")


# --- the routes ---------------------------------------------------------------------------------


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch) -> AppContext:
    monkeypatch.setattr("genlab.serving.teacher.WRONG_SECONDS", 0.0)
    settings, registry = Settings(teacher_key="sesame"), FakeRegistry()  # type: ignore[arg-type]
    return AppContext(settings, registry, FakeClient())  # type: ignore[arg-type]


@pytest.fixture
def browser(context: AppContext) -> Iterator[TestClient]:
    with TestClient(Starlette(routes=lesson_routes(context))) as client:
        yield client


def signed_in(browser: TestClient) -> dict[str, str]:
    answer = browser.post("/lesson/sign-in", json={"key": "sesame", "visitor": TEACHER})
    return {"Authorization": f"Bearer {answer.json()['token']}"}


def test_without_a_key_there_is_no_lesson() -> None:
    context = AppContext(Settings(), FakeRegistry(), FakeClient())  # type: ignore[arg-type]
    assert lesson_routes(context) == []
    assert lesson_tags(context) == ""


def test_a_wrong_key_signs_nobody_in(browser: TestClient) -> None:
    answer = browser.post("/lesson/sign-in", json={"key": "open", "visitor": STUDENT})
    assert answer.status_code == 400
    assert "this is not the teacher's key" in answer.json()["error"]


@pytest.mark.parametrize(
    "action",
    [
        "show",
        "freeze",
        "end",
        "waiting",
        "cancel",
        "sign-out",
        "ask",
        "voters",
        "reveal",
        "end-vote",
        "wall",
        "take-down",
    ],
)
@pytest.mark.parametrize("token", ["", "sesame", "Bearer guess"])
def test_nobody_else_leads_the_lesson(browser: TestClient, action: str, token: str) -> None:
    given = {"query": "tab=vae", "frozen": True, "run": 1}
    answer = browser.post(f"/lesson/{action}", json=given, headers={"Authorization": token})
    assert answer.status_code == 403
    assert browser.get("/lesson").json() == NOTHING


def test_what_the_teacher_shows_reaches_every_page_and_an_unchanged_state_is_not_sent_again(
    browser: TestClient,
) -> None:
    teacher = signed_in(browser)
    given = {"query": "tab=guidance&steps=12", "run": True}
    assert browser.post("/lesson/show", json=given, headers=teacher).status_code == 200
    answer = browser.get("/lesson")
    assert answer.json()["shown"]["query"] == given["query"]
    again = browser.get("/lesson", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    browser.post("/lesson/freeze", json={"frozen": True}, headers=teacher)
    news = browser.get("/lesson", headers={"If-None-Match": answer.headers["etag"]})
    assert news.json()["frozen"] is True
    browser.post("/lesson/end", headers=teacher)
    assert browser.get("/lesson").json() == NOTHING


def test_the_teacher_sees_who_waits_without_a_name_and_ends_one_run(
    browser: TestClient, context: AppContext
) -> None:
    teacher = signed_in(browser)
    account = visitor_of(STUDENT)
    with context.runs.run("page", "vae", account) as one, context.runs.run("two", "gan") as two:
        one.submit([REQUEST, REQUEST])
        two.submit([REQUEST])
        with context.runs.run(f"{EVERYBODY}gan", "gan"):
            opening = browser.post("/lesson/waiting", headers=teacher).json()[-1]
            assert opening["visitor"] == 0
        waiting = browser.post("/lesson/waiting", headers=teacher)
        assert [(w["visitor"], w["where"], w["requests"]) for w in waiting.json()] == [
            (1, "vae", 2),
            (2, "gan", 1),
        ]
        assert account not in waiting.text
        answer = browser.post("/lesson/cancel", json={"run": one.id}, headers=teacher)
        assert answer.json() == {"ended": 1}
        assert (one.open_jobs, two.open_jobs) == (0, 1)
        assert isinstance(one.ending, Stopped)
        assert str(one.ending) == ENDED_BY_TEACHER


def test_who_signs_out_leads_no_more(browser: TestClient) -> None:
    teacher = signed_in(browser)
    assert browser.post("/lesson/sign-out", headers=teacher).status_code == 200
    assert browser.post("/lesson/end", headers=teacher).status_code == 403


@pytest.mark.parametrize("content", [b"[1]", b"{", b"\xff", b"[" * 9000, b" " * (MAX_BODY + 1)])
def test_what_is_no_call_gets_a_sentence(browser: TestClient, content: bytes) -> None:
    answer = browser.post("/lesson/sign-in", content=content)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("This is")


def test_where_a_login_is_set_the_lesson_is_for_those_who_are_in(context: AppContext) -> None:
    app: Any = Starlette(routes=lesson_routes(context))
    app.auth, app.cookie_id, app.tokens = {"class": "x"}, "1", {"right": "class"}
    with TestClient(app) as browser:
        assert browser.get("/lesson").status_code == 401
        assert browser.post("/lesson/sign-in", json={"key": "sesame"}).status_code == 401
        browser.cookies.set("access-token-unsecure-1", "right")
        assert browser.get("/lesson").status_code == 200


def test_the_sentence_for_held_pages_is_whole() -> None:
    lesson = Lesson()
    lesson.freeze(True)
    with pytest.raises(UserError) as error:
        lesson.admit("page")
    assert str(error.value) == HELD
