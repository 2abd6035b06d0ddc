"""Who may call: another site's script and a borrowed name are refused before anything happens."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from genlab.serving.callers import Callers, callers
from genlab.settings import Host, Settings


def house(where: Host | None = None, **settings: Any) -> TestClient:
    """A server that answers "drawn" to whoever gets through."""
    answered: list[str] = []

    def draw(request: Request) -> PlainTextResponse:
        answered.append(request.method)
        return PlainTextResponse("drawn")

    given = callers(Settings(**settings), where or Host())
    app = Starlette(
        routes=[Route("/", draw, methods=["GET", "POST"])],
        middleware=[Middleware(Callers, **given)],
    )
    client = TestClient(app, base_url="http://localhost:7860")
    client.answered = answered  # type: ignore[attr-defined]
    return client


def asks(client: TestClient, host: str, origin: str = "", **headers: str) -> int:
    """The status of a POST as a browser sends it."""
    given = {"Host": host} | ({"Origin": origin} if origin else {})
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/", headers=given).status_code


OWN = [
    ("localhost:7860", "http://localhost:7860"),
    ("127.0.0.1:7860", "http://127.0.0.1:7860"),
    ("[::1]:7860", "http://[::1]:7860"),
    ("genlab.localhost:7860", "http://genlab.localhost:7860"),
    ("localhost", "http://localhost"),
    ("localhost:80", "http://localhost"),
    ("LOCALHOST:7860", "http://localhost:7860"),
    ("localhost:7860", ""),  # a script outside of browsers
]


@pytest.mark.parametrize(("host", "origin"), OWN)
def test_its_own_page_and_scripts_outside_of_browsers_may_call(host: str, origin: str) -> None:
    assert asks(house(), host, origin) == 200


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "http://localhost:8888", "https://localhost:7860.evil.example", "null"],
)
def test_a_script_of_another_site_is_refused_before_anything_happens(origin: str) -> None:
    client = house()
    assert asks(client, "localhost:7860", origin) == 403
    assert client.answered == []  # type: ignore[attr-defined]
    refused = client.post("/", headers={"Host": "localhost:7860", "Origin": origin})
    assert refused.text.startswith(f"Scripts of {origin} may not call this GenLab.")
    assert "GENLAB_ORIGINS" in refused.text


def test_so_is_one_on_a_classroom_s_network() -> None:
    assert asks(house(host="0.0.0.0"), "192.168.1.5:7860", "http://evil.example") == 403


def test_a_name_that_another_s_name_server_points_here_is_refused() -> None:
    client = house()
    evil = "rebound.example:7860"
    assert asks(client, evil, f"http://{evil}", Sec_Fetch_Site="same-origin") == 403
    answer = client.get("/", headers={"Host": evil})
    assert answer.status_code == 403
    assert "does not answer to the name 'rebound.example'" in answer.text
    assert client.answered == []  # type: ignore[attr-defined]


def test_a_name_that_is_allowed_may_be_used() -> None:
    client = house(hosts=("lab.example.org",))
    assert asks(client, "lab.example.org", "https://lab.example.org") == 200
    assert asks(client, "other.example.org", "https://other.example.org") == 403
    assert asks(house(hosts=("*",)), "any.example", "http://any.example") == 200


def test_a_house_for_the_network_answers_to_whatever_name_it_is_given() -> None:
    open_house = house(host="0.0.0.0")
    assert asks(open_house, "lab-3.school.example:7860", "http://lab-3.school.example:7860") == 200
    tunnelled = house(share=True)
    assert asks(tunnelled, "abc.gradio.live", "https://abc.gradio.live") == 200


def test_behind_a_proxy_the_forwarded_name_is_its_own_too() -> None:
    site = "https://lab.example.org:8443"
    proxied = {"X_Forwarded_Host": "lab.example.org:8443"}
    assert asks(house(), "127.0.0.1:7860", site, **proxied) == 200
    assert asks(house(), "127.0.0.1:7860", "https://evil.example", **proxied) == 403


def test_what_a_browser_itself_says_of_the_origin_counts_where_a_proxy_changes_names() -> None:
    assert asks(house(), "127.0.0.1:7860", "https://x.dev", Sec_Fetch_Site="same-origin") == 200
    assert asks(house(), "127.0.0.1:7860", "https://x.dev", Sec_Fetch_Site="cross-site") == 403


def test_sites_that_are_named_may_call() -> None:
    client = house(origins=("https://lms.example.org",))
    assert asks(client, "localhost:7860", "https://lms.example.org") == 200
    assert asks(client, "localhost:7860", "http://lms.example.org") == 403
    assert asks(house(origins=("*",)), "localhost:7860", "https://any.example") == 200


def test_on_a_space_hugging_face_decides() -> None:
    space = house(Host(SPACE_ID="ada/genlab"))  # type: ignore[call-arg]
    assert asks(space, "ada-genlab.hf.space", "https://huggingface.co") == 200
    policy = space.get("/").headers["content-security-policy"]
    assert policy == "frame-ancestors *"


def test_every_answer_tells_the_browser_to_ask_nobody_else_and_who_may_frame_it() -> None:
    headers = house(frames=("https://lms.example.org", "https://*.example.com")).get("/").headers
    policy = headers["content-security-policy"]
    assert "connect-src 'self' data: blob:;" in policy
    assert policy.endswith("frame-ancestors https://lms.example.org https://*.example.com")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert house(frames=("none",)).get("/").headers["content-security-policy"].endswith(" 'none'")
    refused = house().get("/", headers={"Host": "evil.example"})
    assert "content-security-policy" in refused.headers
