"""Where the lesson stands on the page: the class's part and the teacher's tools. Knows no tab."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from genlab.ui.context import AppContext
from genlab.ui.scripts import script_tag

SCRIPTS = tuple(Path(__file__).with_name(name) for name in ("lesson.js", "teacher.js", "room.js"))

CLASS = """<section class="lesson" data-lesson="class" aria-label="Lesson" hidden>
<div class="from-teacher" role="status"><p data-lesson="held"></p><p data-lesson="shows"></p></div>
<label data-lesson="follow"><input type="checkbox" checked> Follow my teacher</label>
</section>"""
"""What students see; ``lesson.js`` fills it."""

ROOM = """<section class="lesson room" data-lesson="vote" aria-label="Vote" hidden>
<p>Which model drew which column?</p><div></div>
<button type="button" data-room="vote">Send my vote</button>
<p role="status" data-lesson="voted"></p></section>
<section class="lesson room" data-lesson="wall" aria-label="Wall" hidden>
<details><summary></summary><div></div></details>
<button type="button" data-room="post">Put my pictures on the wall</button>
<p role="status" data-lesson="posted"></p></section>"""
"""The vote and the wall, for everybody; ``room.js`` fills them."""

TOOLS = """<section class="lesson" data-lesson="teacher" aria-label="For the teacher" hidden>
<button type="button" data-teach="show">Show these settings to all</button>
<label><input type="checkbox" data-teach="run"> and run at once</label>
<button type="button" data-teach="freeze" aria-pressed="false">Freeze pages</button>
<button type="button" data-teach="ask">Vote on what I compare</button>
<button type="button" data-teach="reveal" hidden>Show the answer</button>
<button type="button" data-teach="end-vote" hidden>End the vote</button>
<button type="button" data-teach="wall" aria-pressed="false">Open a wall</button>
<details data-lesson="waiting"><summary>Who waits</summary><div></div></details>
<button type="button" data-teach="end">End lesson</button>
<button type="button" data-teach="sign-out">Sign out</button>
<p role="status" data-lesson="teacher-note"></p>
</section>"""
"""What the teacher has once signed in; ``teacher.js`` listens."""

SIGN_IN = """<details class="sign-in" data-lesson="sign-in"><summary>For the teacher</summary>
<form><label>Teacher's key <input type="password" autocomplete="off" maxlength="200"></label>
<button>Sign in</button><p role="status"></p></form></details>"""
"""At the end of the page: the key leaves the field for the server, and is kept nowhere."""


def lesson_tags(context: AppContext) -> str:
    """The scripts of the lesson, for the document's head."""
    return "".join(map(script_tag, SCRIPTS)) if context.teacher.has_key else ""


def lesson_panel(context: AppContext) -> None:
    """At the top of the page; nothing without a teacher's key."""
    if context.teacher.has_key:
        gr.HTML(CLASS + TOOLS + ROOM, elem_id="lesson", elem_classes=["flush"], padding=False)


def sign_in_panel(context: AppContext) -> None:
    """At the end of the page; nothing without a teacher's key."""
    if context.teacher.has_key:
        gr.HTML(SIGN_IN, elem_id="sign-in", elem_classes=["flush"], padding=False)
