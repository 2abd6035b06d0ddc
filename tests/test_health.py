"""For who runs it: /healthz says why, /metrics counts what happened, the log keeps prompts out."""

from __future__ import annotations

import errno
import io
import json
import logging
import sys
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.testclient import TestClient

from genlab.engine.events import Cancelled, Failed, Result
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.requests import UserError
from genlab.serving import health as health_module
from genlab.serving import logs
from genlab.serving.client import ServingFigures, Ticket
from genlab.serving.health import Health, health_route
from genlab.serving.loop_lag import LoopLag
from genlab.serving.metrics import House, metrics_route
from genlab.serving.observed import ObservedClient, families_of
from genlab.serving.teacher import Teacher, login
from genlab.settings import Settings
from genlab.ui.context import AppContext
from tests.fake_client import FakeClient, FakeRegistry, pictures
from tests.fakes import Clock, picture, request_of

READY = ServingFigures("cpu", models={"toybox": {"rows_a_unit": 16}})
PROMPT = "a red 7 that my cousin Ada drew"


class LateLoop(LoopLag):
    """Was late by so much."""

    late = 0.0

    def figures(self, seconds: float = 60.0) -> dict[str, float]:
        return {"p50": 0.0, "p99": self.late, "max": self.late}


# --- /healthz -----------------------------------------------------------------------------------


@pytest.fixture
def client() -> FakeClient:
    made = FakeClient()
    made.state = READY
    return made


def asked(client: FakeClient, **given: Any) -> tuple[int, dict[str, Any]]:
    lag = given.pop("lag", LateLoop())
    browser = TestClient(Starlette(routes=[health_route(Health(client, lag, **given))]))
    answer = browser.get("/healthz")
    return answer.status_code, answer.json()


def test_a_house_that_is_well_is_ready(client: FakeClient) -> None:
    status, content = asked(client)
    assert (status, content["status"], content["why"]) == (200, "ready", [])
    assert content["models"] == {"toybox": {"rows_a_unit": 16}}
    assert content["loop_lag_seconds"]["p99"] == 0


def test_before_there_is_an_engine_it_is_starting(client: FakeClient) -> None:
    client.state = ServingFigures()
    status, content = asked(client)
    assert (status, content["status"]) == (200, "starting")


def test_without_an_engine_it_has_to_be_restarted(client: FakeClient) -> None:
    client.state = replace(READY, healthy=False)
    status, content = asked(client)
    assert (status, content["status"]) == (503, "broken")


def test_what_is_wrong_is_said_and_it_serves_on(
    client: FakeClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    late = LateLoop()
    late.late = 1.26
    short = {"sdxl": {"rows_a_call": 4, "rows_a_call_at_first": 64}}
    client.state = replace(READY, models=short, wait_seconds=90.0)
    monkeypatch.setattr(health_module, "LEAST_BYTES", 10**18)
    folder = tmp_path / "not made yet"
    status, content = asked(client, lag=late, broken=lambda: ["vae-2", "vae-1"], folder=folder)
    assert (status, content["status"]) == (200, "degraded")
    assert content["why"][:4] == [
        "The page answers up to 1.3 seconds late: the machine has too much to do.",
        "Who asks now waits about 90 seconds.",
        "sdxl ran out of memory: it takes 4 rows a call for now.",
        "These checkpoints cannot be read: vae-1, vae-2.",
    ]
    assert content["why"][4].endswith(f"MB are free in {folder}.")


def test_a_worker_that_died_is_news_for_ten_minutes(client: FakeClient) -> None:
    clock = Clock()
    health = Health(client, LateLoop(), clock=clock)
    assert health.report()[1]["status"] == "ready"
    client.state = replace(READY, restarts=1)
    assert health.report()[1]["status"] == "degraded"
    clock.now = 601.0
    assert health.report()[1]["status"] == "ready"


# --- /metrics -----------------------------------------------------------------------------------


def observed(client: FakeClient) -> ObservedClient:
    return ObservedClient(client, FakeRegistry())  # type: ignore[arg-type]


def read(client: ObservedClient, key: str = "", given: str = "") -> tuple[int, dict[str, float]]:
    """Status, and each sample by its name and its labels' values."""
    house = House(client, LateLoop(), families_of(FakeRegistry()), lambda: 3, lambda: 1234)  # type: ignore[arg-type]
    browser = TestClient(Starlette(routes=[metrics_route(house, client.meters, Teacher(key))]))
    answer = browser.get("/metrics", headers={"Authorization": f"Bearer {given}"} if given else {})
    if answer.status_code != 200:
        return answer.status_code, {}
    samples = [s for f in text_string_to_metric_families(answer.text) for s in f.samples]
    return 200, {" ".join((s.name, *s.labels.values())): s.value for s in samples}


def test_jobs_are_counted_by_family_and_by_how_they_ended(client: FakeClient) -> None:
    client.room = 4
    house = observed(client)
    request = request_of(checkpoint="digits")
    one, two, three, four = (house.submit(request, "ada") for _ in range(4))
    with pytest.raises(UserError):
        house.submit(request, "ada")
    one.post(Result(picture(1), seconds=0.3, waited=2.0))
    two.post(Failed("It did not work."))
    house.cancel(three.id)
    four.post(Result(picture(1), seconds=0.3))
    four.post(Failed("It is over already."))
    samples = read(house)[1]
    jobs = {k.split()[2]: v for k, v in samples.items() if k.startswith("genlab_jobs_total")}
    assert jobs == {"result": 2, "failed": 1, "cancelled": 1, "refused": 1}
    assert samples["genlab_job_seconds_sum vae"] == pytest.approx(0.6)
    assert samples["genlab_job_wait_seconds_sum vae"] == 2.0


def test_an_end_that_came_before_anybody_could_listen_is_counted() -> None:
    client = FakeClient(lambda ticket: ticket.post(pictures(request_of())))
    house = observed(client)
    house.submit(request_of())
    assert read(house)[1]["genlab_jobs_total vae result"] == 1


def test_figures_of_this_moment_are_those_of_the_house(client: FakeClient) -> None:
    done = {"steps": 10, "rows": 160, "device_seconds": 2.5, "weight_bytes": 1e6}
    client.state = ServingFigures(
        "cpu", open_jobs=7, waiting_jobs=5, restarts=2,
        models={"a": done, "b": done | {"out_of_memory": 3}, "missing": done},
    )  # fmt: skip
    samples = read(observed(client))[1]
    assert samples["genlab_open_jobs"] == 7
    assert samples["genlab_waiting_jobs"] == 5
    assert samples["genlab_sessions"] == 3
    assert samples["genlab_picture_bytes"] == 1234
    assert samples["genlab_restarts_total"] == 2
    assert samples["genlab_healthy"] == 1
    assert samples["genlab_event_loop_lag_seconds 0.99"] == 0
    assert samples["genlab_device_seconds_total vae"] == 5
    assert samples["genlab_rows_total vae"] / samples["genlab_steps_total vae"] == 16
    assert samples["genlab_out_of_memory_total vae"] == 3
    assert samples["genlab_weight_bytes vae"] == 2e6
    assert samples["genlab_rows_total unknown"] == 160
    assert samples["process_resident_memory_bytes"] > 1e6


def test_where_there_is_a_teacher_s_key_figures_are_for_who_has_it(client: FakeClient) -> None:
    assert read(observed(client), key="sesame")[0] == 401
    assert read(observed(client), key="sesame", given="open")[0] == 401
    assert read(observed(client), key="sesame", given="sesame")[0] == 200


def test_the_core_counts_what_its_models_do() -> None:
    from tests.test_fairness import house, linear

    core, clock, _ = house(seconds=linear)
    core.add(1, request_of(steps=4, count=2), "a")
    core.add(2, request_of(steps=4, count=2), "b")
    assert core.waiting == 2
    while not core.idle:
        core.step()
    figures = core.figures()["counting"]
    assert (figures["steps"], figures["rows"]) == (4, 16)
    assert figures["device_seconds"] == pytest.approx(clock.now)
    assert core.waiting == 0


# --- the log ------------------------------------------------------------------------------------


@pytest.fixture
def written(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """What is logged in the form, and with the prompts, that the test is given."""
    root, own = logging.getLogger(), logging.getLogger("genlab")
    before = list(root.handlers), root.level, own.level
    stream = io.StringIO()
    logs.set_up(*request.param, stream=stream)
    yield stream
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    own.setLevel(before[2])


def fail(prompt: str = PROMPT) -> None:
    """Log a failure as the engine does."""
    request = StableDiffusionRequest(checkpoint="toybox", prompt=prompt, negative_prompt="blue")
    log = logging.getLogger("genlab.engine.core")
    try:
        raise KeyError(prompt)
    except KeyError as error:
        log.error("job %s failed", 12, exc_info=error, extra={"job": 12, "request": request})


@pytest.mark.parametrize("written", [("json", False)], indirect=True)
def test_a_line_of_json_has_the_job_and_the_error_and_no_prompt(written: io.StringIO) -> None:
    fail()
    (line,) = written.getvalue().splitlines()
    entry = json.loads(line)
    assert (entry["level"], entry["logger"], entry["job"]) == ("ERROR", "genlab.engine.core", 12)
    assert entry["message"] == "job 12 failed"
    assert entry["request"]["prompt"] == f"{len(PROMPT)} characters"
    assert entry["request"]["num_inference_steps"] == 25
    assert "KeyError" in entry["error"]
    assert "Ada" not in line
    assert "blue" not in line


@pytest.mark.parametrize("written", [("json", True), ("text", True)], indirect=True)
def test_prompts_are_written_where_they_are_asked_for(written: io.StringIO) -> None:
    fail()
    assert PROMPT in written.getvalue()


@pytest.mark.parametrize("written", [("text", False)], indirect=True)
def test_text_says_the_same_without_prompts(written: io.StringIO) -> None:
    fail()
    text = written.getvalue()
    assert "ERROR genlab.engine.core: job 12 failed [kind='StableDiffusionRequest'" in text
    assert "KeyError: '<31 characters>'" in text
    assert "Ada" not in text


@pytest.mark.parametrize("written", [("json", False)], indirect=True)
def test_the_end_of_each_job_is_a_line_of_json(written: io.StringIO, client: FakeClient) -> None:
    house = observed(client)
    ticket: Ticket = house.submit(request_of(prompt=PROMPT), "session of Ada")
    ticket.post(Failed("It did not work."))
    other = house.submit(request_of(), "session of Ada")
    other.post(Cancelled())
    first, second = map(json.loads, written.getvalue().splitlines())
    assert (first["job"], first["outcome"], first["family"]) == (ticket.id, "failed", "vae")
    assert first["why"] == "It did not work."
    assert second["outcome"] == "cancelled"
    assert first["owner"] == second["owner"]
    assert "Ada" not in written.getvalue()


@pytest.mark.parametrize("written", [("text", False)], indirect=True)
def test_a_person_at_a_terminal_reads_only_what_went_wrong(
    written: io.StringIO, client: FakeClient
) -> None:
    observed(client).submit(request_of()).post(pictures(request_of()))
    assert written.getvalue() == ""


@pytest.mark.parametrize("written", [("json", False)], indirect=True)
def test_the_web_server_writes_as_all_others_do(written: io.StringIO) -> None:
    own = logging.getLogger("some.server")
    own.addHandler(logging.StreamHandler(io.StringIO()))
    own.propagate = False
    logs.take_over("some.server")
    own.error("it broke")
    assert json.loads(written.getvalue())["message"] == "it broke"


# --- who comes in, and who teaches --------------------------------------------------------------


async def test_names_and_passwords_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genlab.serving.teacher.WRONG_SECONDS", 0.0)
    may = login(Settings(auth=("ada:secret, very", "bob:x:y")))  # type: ignore[arg-type]
    assert may is not None
    assert await may("ada", "secret, very")
    assert await may("bob", "x:y")
    assert not await may("ada", "x:y")
    assert not await may("ada", "")
    assert not await may("eve", "")
    assert login(Settings()) is None


async def test_only_who_has_the_key_is_the_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genlab.serving.teacher.WRONG_SECONDS", 0.0)
    await Teacher().check("", "start downloads")
    await Teacher("sésame").check(" sésame ", "start downloads")
    with pytest.raises(UserError, match="Only the teacher may start downloads here: this is not"):
        await Teacher("sesame").check("open", "start downloads")
    with pytest.raises(UserError, match="the teacher's key is missing"):
        await Teacher("sesame").check("", "start downloads")


def test_a_page_knows_its_teacher() -> None:
    settings = Settings(teacher_key="sesame")  # type: ignore[arg-type]
    context = AppContext(settings, FakeRegistry(), FakeClient())  # type: ignore[arg-type]
    assert context.teacher.has_key
    assert context.teacher.knows("sesame")
    assert not context.teacher.knows("open")


def test_a_log_that_cannot_be_written_loses_lines_and_ends_nobodys_waiting(monkeypatch) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def flush(self) -> None:
            self.write("")

    monkeypatch.setattr(sys, "stderr", Full())
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    logs.lose_what_cannot_be_written()
    try:
        raise ValueError
    except ValueError:
        traceback.print_exc()  # as Gradio does before it answers
    sys.stderr.flush()
    assert not sys.stderr.isatty()
