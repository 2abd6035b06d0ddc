"""A teacher and a student, each in a browser of their own: shown, held, ended, not followed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.visitor import PATIENCE, Visitor
from tests.conftest import PROJECT, free_port, own_threads, wait_until_it_answers

pytestmark = [pytest.mark.browser, pytest.mark.walk, pytest.mark.timeout(900)]

KEY = "sesame"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`python app.py` with a teacher's key."""
    own, port = tmp_path_factory.mktemp("lesson"), free_port()
    settings = {
        "GENLAB_PORT": str(port), "GENLAB_TEACHER_KEY": KEY, "HF_HUB_OFFLINE": "1",
        "GRADIO_TEMP_DIR": str(own / "pictures"),
    }  # fmt: skip
    with (own / "log").open("w") as out:
        app = subprocess.Popen(
            [sys.executable, "app.py"], cwd=PROJECT, env=own_threads() | settings,
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            wait_until_it_answers(app, f"http://127.0.0.1:{port}/", own / "log")
            yield f"http://127.0.0.1:{port}/"
        finally:
            app.terminate()
            app.wait(30)
    said = Path(out.name).read_text()
    assert "Traceback" not in said
    assert KEY not in said


def sign_in(page: Visitor, key: str) -> None:
    if page.find("sign-in").locator("details").get_attribute("open") is None:
        page.find("sign-in").locator("summary").click()
    page.find("sign-in").locator("input").fill(key)
    page.find("sign-in").get_by_role("button", name="Sign in").click()


def test_a_class_is_led(browser: Browser, url: str) -> None:
    teacher, student = Visitor(browser.new_context(), url), Visitor(browser.new_context(), url)
    sign_in(teacher, "open")
    expect(teacher.find("sign-in").get_by_role("status")).to_contain_text("not the teacher's key")
    teacher.errors.clear()  # the browser notes the refusal
    sign_in(teacher, KEY)
    tools = teacher.page.get_by_role("region", name="For the teacher")
    expect(tools).to_be_visible()
    assert KEY not in teacher.page.url

    # What is shown reaches the student, drawn at once.
    teacher.open_tab("VAE")
    teacher.enter("vae-count", 4)
    tools.get_by_label("and run at once").check()
    tools.get_by_role("button", name="Show these settings to all").click()
    lesson = student.page.get_by_role("region", name="Lesson")
    expect(lesson).to_contain_text("Your teacher shows VAE", timeout=PATIENCE)
    student.wait_until_done("vae")
    assert len(student.pictures("vae-gallery", 4)) == 4

    # Held pages cannot press, and the server refuses those that do.
    tools.get_by_role("button", name="Freeze pages", exact=True).click()
    expect(lesson).to_contain_text("has paused all pages")
    assert student.page.evaluate("document.querySelector('#tabs').inert")
    student.page.evaluate("document.querySelector('#vae-generate').click()")
    expect(student.find("vae-status")).to_contain_text("Nothing is drawn until they go on")
    teacher.generate("vae")
    tools.get_by_role("button", name="Unfreeze pages").click()
    expect(lesson).not_to_contain_text("has paused all pages")

    # The teacher sees who waits, and ends one run.
    student.open_tab("Stable Diffusion")
    student.enter("sd-steps", 100)
    student.enter("sd-count", 16)
    student.press("sd-generate")
    expect(student.find("sd-status")).to_contain_text("of 100", timeout=PATIENCE)
    tools.locator("summary").click()
    theirs = tools.get_by_role("listitem").filter(has_text="Visitor")
    expect(theirs).to_contain_text("Stable Diffusion: 1 open", timeout=PATIENCE)
    theirs.get_by_role("button", name="End it").click()
    expect(student.find("sd-status")).to_contain_text("Your teacher has ended this run")

    # Who does not follow stays.
    lesson.get_by_label("Follow my teacher").uncheck()
    teacher.open_tab("GAN")
    tools.get_by_role("button", name="Show these settings to all").click()
    expect(lesson).to_contain_text("Your teacher shows GAN")
    expect(student.find("sd-generate")).to_be_visible()
    tools.get_by_role("button", name="End lesson").click()
    expect(lesson).to_be_hidden()
    for page in (teacher, student):
        page.context.close()
        assert page.errors == []


def test_a_class_votes_and_hangs_pictures(browser: Browser, url: str) -> None:
    teacher, student = Visitor(browser.new_context(), url), Visitor(browser.new_context(), url)
    sign_in(teacher, KEY)
    tools = teacher.page.get_by_role("region", name="For the teacher")

    # Columns without names; who drew what comes with the answer.
    teacher.open_tab("Compare")
    for name in ("Diffusion", "Diffusion, guided", "Toybox", "Flow matching, guided"):
        if (box := teacher.page.get_by_role("checkbox", name=name, exact=True)).count():
            box.uncheck()
    teacher.generate("compare")
    tools.get_by_role("button", name="Vote on what I compare").click()
    vote = student.page.get_by_role("region", name="Vote")
    expect(vote.get_by_role("combobox")).to_have_count(5, timeout=PATIENCE)
    assert all(image.width == 28 for image in student.pictures("lesson", 45))
    vote.get_by_role("combobox", name="Who drew column B?").select_option(label="GAN")
    vote.get_by_role("button", name="Send my vote").click()
    expect(vote).to_contain_text("Your vote is in")
    expect(tools).to_contain_text("Show the answer (votes: 1)", timeout=PATIENCE)
    tools.get_by_role("button", name="Show the answer").click()
    expect(vote).to_contain_text("Votes: 1", timeout=PATIENCE)
    names = vote.locator("figure strong").all_inner_texts()
    assert sorted(names) == ["GAN", "GAN, collapsed", "Real digits", "VAE", "VAE without KL"]
    second = vote.locator("figure").nth(1)
    expect(second).to_contain_text(
        "You were right." if names[1] == "GAN" else "You thought otherwise."
    )
    tools.get_by_role("button", name="End the vote").click()
    expect(vote).to_be_hidden()

    # Whoever likes puts pictures up; the teacher takes them down.
    tools.get_by_role("button", name="Open a wall").click()
    wall = student.page.get_by_role("region", name="Wall")
    student.open_tab("GAN")
    student.enter("gan-count", 4)
    student.generate("gan")
    wall.get_by_role("button", name="Put my pictures on the wall").click()
    expect(wall).to_contain_text("Your pictures are on the wall, without a name.")
    theirs = teacher.page.get_by_role("region", name="Wall")
    expect(theirs.locator("summary")).to_have_text("The class's wall: 1", timeout=PATIENCE)
    theirs.locator("summary").click()
    expect(theirs.locator("img")).to_have_count(4)
    expect(theirs.locator("figcaption")).to_have_text("GAN")
    theirs.get_by_role("button", name="Take down").click()
    expect(theirs.locator("summary")).to_have_text("The class's wall: 0", timeout=PATIENCE)
    tools.get_by_role("button", name="Close the wall").click()
    expect(wall).to_be_hidden()
    for page in (teacher, student):
        page.context.close()
        assert page.errors == []
