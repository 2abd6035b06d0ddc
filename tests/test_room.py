"""The vote and the wall: what is counted, what is told when, and what is refused."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from genlab.requests import UserError
from genlab.serving.lesson import Lesson
from genlab.serving.room import MAX_POSTS, NO_WALL, OVER, Vote, Wall
from genlab.settings import Settings
from genlab.ui.context import AppContext
from genlab.ui.picture_store import GONE
from genlab.ui.teacher.routes import lesson_routes
from tests.fake_client import FakeClient, FakeRegistry

COLUMNS = [("VAE", ["v1", "v2"]), ("GAN", ["g1"]), ("Diffusion", ["d1"])]
TEACHER, STUDENT, OTHER = "t" * 40, "s" * 40, "o" * 40


@pytest.fixture
def vote() -> Vote:
    return Vote.on(COLUMNS, random.Random(1))


def test_the_columns_of_a_vote_are_shuffled_and_its_choices_tell_nothing() -> None:
    votes = [Vote.on(COLUMNS, random.Random(seed)) for seed in range(30)]
    assert {vote.titles for vote in votes} == {("Diffusion", "GAN", "VAE")}
    assert len({vote.columns for vote in votes}) == 6
    for vote in votes:
        drawn = {vote.titles[k]: column for k, column in zip(vote.truth, vote.columns, strict=True)}
        assert drawn == {"VAE": ("v1", "v2"), "GAN": ("g1",), "Diffusion": ("d1",)}


def test_who_drew_what_is_told_only_with_the_answer(vote: Vote) -> None:
    vote.answer("ada", [0, 1, None])
    before = vote.public()
    assert before.keys() == {"id", "titles", "columns"}
    vote.revealed = True
    after = vote.public()
    assert after["truth"] == vote.truth
    assert after["voters"] == 1


def test_each_visitor_counts_once_with_the_newest_answer(vote: Vote) -> None:
    assert vote.counts() == [[0, 0, 0]] * 3
    vote.answer("ada", [0, 0, 0])
    vote.answer("ada", [2, 1, None])
    vote.answer("bob", [2, 0, 1])
    assert vote.counts() == [[0, 0, 2], [1, 1, 0], [0, 1, 0]]


@pytest.mark.parametrize("answers", [[], [0, 1], [0, 1, 3], [-1, 0, 0], ["0", 1, 2], [True, 0, 0]])
def test_what_is_no_answer_gets_a_sentence(vote: Vote, answers: list[Any]) -> None:
    with pytest.raises(UserError, match="An answer has 3 entries, each null or 0 to 2"):
        vote.answer("ada", answers)
    assert not vote.answers


def test_nobody_votes_after_the_answer(vote: Vote) -> None:
    vote.revealed = True
    with pytest.raises(UserError, match=OVER):
        vote.answer("ada", [0, 0, 0])


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (COLUMNS[:1], "2 to 10 columns with pictures, but there are 1"),
        ([(f"m{k}", ["p"]) for k in range(11)], "but there are 11"),
        ([("VAE", ["p"]), ("VAE", ["q"])], "a name of its own"),
        ([("", ["p"]), ("VAE", ["q"])], "of 1 to 80 characters"),
        ([("GAN", []), ("VAE", ["q"])], "at least 1 picture"),
    ],
)
def test_what_cannot_be_voted_on_gets_a_sentence(columns: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Vote.on(columns, random.Random(0))


def test_the_wall_has_the_newest_of_each_and_the_oldest_make_room() -> None:
    wall = Wall()
    with pytest.raises(UserError, match=NO_WALL):
        wall.put("ada", {}, ["p"])
    wall.open = True
    for k in range(MAX_POSTS + 5):
        wall.put(f"visitor {k}", {"tab": "gan"}, [f"p{k}"])
    wall.put("visitor 30", {"tab": "vae"}, ["new"])
    posts = wall.posts()
    assert len(posts) == MAX_POSTS
    assert posts[0]["pictures"] == ["new"]
    assert [post["pictures"] for post in posts].count(["p30"]) == 0
    assert "visitor" not in json.dumps(posts), "nobody is named"
    changes = wall.changes
    wall.take_down(posts[3]["id"])
    wall.take_down("not there")
    assert posts[3] not in wall.posts()
    assert wall.changes == changes + 1


@pytest.mark.parametrize("count", [0, 5])
def test_a_post_has_one_to_four_pictures(count: int) -> None:
    wall = Wall()
    wall.open = True
    with pytest.raises(UserError, match=f"1 to 4 pictures go on the wall, but these are {count}"):
        wall.put("ada", {}, ["p"] * count)


def test_both_end_with_the_lesson() -> None:
    lesson = Lesson()
    lesson.vote = Vote.on(COLUMNS, random.Random(0))
    lesson.wall.open = True
    lesson.wall.put("ada", {}, ["p"])
    lesson.end()
    known = json.loads(lesson.state()[1])
    assert (known["vote"], known["wall"], lesson.wall.posts()) == (None, None, [])


# --- the routes ----------------------------------------------------------------------------------


@pytest.fixture
def context() -> AppContext:
    settings, registry = Settings(teacher_key="sesame"), FakeRegistry()  # type: ignore[arg-type]
    return AppContext(settings, registry, FakeClient())  # type: ignore[arg-type]


@pytest.fixture
def browser(context: AppContext) -> Iterator[TestClient]:
    with TestClient(Starlette(routes=lesson_routes(context))) as client:
        yield client


@pytest.fixture
def teacher(browser: TestClient) -> dict[str, str]:
    answer = browser.post("/lesson/sign-in", json={"key": "sesame", "visitor": TEACHER})
    return {"Authorization": f"Bearer {answer.json()['token']}"}


@pytest.fixture
def drawn(context: AppContext) -> list[str]:
    """Addresses of pictures that are here."""
    from genlab.images import to_png

    return [context.pictures.keep(to_png(np.full((4, 4), k, np.uint8))) for k in range(3)]


def test_a_room_votes_and_sees_the_answer(browser: TestClient, teacher: Any, drawn: Any) -> None:
    columns = [{"title": t, "pictures": [p]} for t, p in zip("VGD", drawn, strict=True)]
    before = browser.get("/lesson").headers["etag"]
    assert browser.post("/lesson/ask", json={"columns": columns}, headers=teacher).json() == {}
    asked = browser.get("/lesson", headers={"If-None-Match": before}).json()["vote"]
    right = [asked["titles"].index("VGD"[drawn.index(c[0])]) for c in asked["columns"]]
    for visitor, answers in ((STUDENT, right), (OTHER, [0, 0, 0])):
        given = {"id": asked["id"], "answers": answers, "visitor": visitor}
        assert browser.post("/lesson/vote", json=given).status_code == 200
    assert browser.post("/lesson/voters", headers=teacher).json() == {"voters": 2}
    browser.post("/lesson/reveal", headers=teacher)
    told = browser.get("/lesson").json()["vote"]
    assert told["truth"] == right
    assert [sum(counts) for counts in told["counts"]] == [2, 2, 2]
    late = browser.post(
        "/lesson/vote", json={"id": asked["id"], "answers": right, "visitor": STUDENT}
    )
    assert late.json()["error"] == OVER
    browser.post("/lesson/end-vote", headers=teacher)
    assert browser.get("/lesson").json()["vote"] is None


def test_only_what_was_drawn_here_is_shown_to_all(
    browser: TestClient, teacher: Any, drawn: Any
) -> None:
    foreign = "pictures/" + "0" * 64 + "-28.png"
    for address in (foreign, "https://example.org/a.png", "javascript:alert(1)", 7):
        columns = [{"title": t, "pictures": [address]} for t in "AB"]
        asked = browser.post("/lesson/ask", json={"columns": columns}, headers=teacher)
        assert (asked.status_code, asked.json()["error"]) == (400, GONE)
    browser.post("/lesson/wall", json={"open": True}, headers=teacher)
    put = {"pictures": [*drawn[:1], foreign], "visitor": STUDENT}
    assert browser.post("/lesson/post", json=put).json()["error"] == GONE
    assert browser.get("/lesson/wall").json() == []


def test_real_digits_that_came_inside_the_page_are_voted_on_too(
    browser: TestClient, teacher: Any, drawn: Any, context: AppContext
) -> None:
    file = context.pictures.get(drawn[0].removeprefix("pictures/"))
    inside = "data:image/png;base64," + base64.b64encode(file or b"").decode()
    columns = [{"title": "A", "pictures": [inside]}, {"title": "B", "pictures": [drawn[1]]}]
    browser.post("/lesson/ask", json={"columns": columns}, headers=teacher)
    assert {c[0] for c in browser.get("/lesson").json()["vote"]["columns"]} == set(drawn[:2])
    for wrong in ("data:image/png;base64,AAAA", "data:image/png;base64,<>"):
        columns[0]["pictures"] = [wrong]
        asked = browser.post("/lesson/ask", json={"columns": columns}, headers=teacher)
        assert asked.json()["error"] == GONE


def test_a_wall_is_nameless_and_the_teacher_takes_down(
    browser: TestClient, teacher: Any, drawn: Any
) -> None:
    put = {"pictures": drawn, "tab": "gan", "mode": "<b>", "visitor": STUDENT}
    assert browser.post("/lesson/post", json=put).json()["error"] == NO_WALL
    browser.post("/lesson/wall", json={"open": True}, headers=teacher)
    assert browser.post("/lesson/post", json=put).status_code == 200
    assert "reload" in browser.post("/lesson/post", json=put | {"visitor": "x"}).json()["error"]
    (post,) = browser.get("/lesson/wall").json()
    assert {k: v for k, v in post.items() if k != "id"} == {"pictures": drawn, "tab": "gan"}
    assert browser.get("/lesson").json()["wall"]["count"] == 1
    browser.post("/lesson/take-down", json={"post": post["id"]}, headers=teacher)
    assert browser.get("/lesson/wall").json() == []
