"""The page in other languages: one file of texts each. Knows no tab.

The page is written in English; ``translate.js`` puts a language's texts in the place of the English
ones in the browser, so that all sessions share one page, and an answer of the API reads the same
everywhere. A language is a file of this folder: its own name, and its texts by the English ones in
tables that only keep them in order. ``{name}`` in a text is whatever stands in that place,
``<1>…</1>`` the first inline element of a sentence, and ``<1/>`` one that stays as it is.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from genlab.ui.scripts import script_route, script_tag

FOLDER = Path(__file__).parent
SCRIPT = FOLDER / "translate.js"
ENGLISH = {"en": "English"}
KEPT = {"Cache-Control": "public, max-age=300"}


def language_names() -> dict[str, str]:
    """Every language by its tag (BCP 47), as it calls itself; English first."""
    files = sorted(FOLDER.glob("*.toml"))
    return ENGLISH | {file.stem: _read(file)["name"] for file in files}


def texts(language: str) -> dict[str, str]:
    """A language's texts by the English ones."""
    return dict(_flat(_read(FOLDER / f"{language}.toml")["texts"]))


def language_script() -> str:
    """The tag that loads the script, for the document's head."""
    names = json.dumps(language_names(), ensure_ascii=False)
    return script_tag(SCRIPT, folder="./languages/", languages=names)


def language_routes(*others: Callable[[str], Mapping[str, str]]) -> list[Route]:
    """The script, and each language's texts as JSON.

    Args:
        others: what has texts of its own in a language; the files here come last, and win.
    """

    def dictionary(language: str) -> Route:
        found = {key: text for own in (*others, texts) for key, text in own(language).items()}
        body = json.dumps(found, ensure_ascii=False)

        async def answer(_: Request) -> Response:
            return Response(body, media_type="application/json", headers=KEPT)

        return Route(f"/languages/{language}.json", answer)

    foreign = [name for name in language_names() if name not in ENGLISH]
    return [script_route(SCRIPT), *map(dictionary, foreign)]


def _read(file: Path) -> dict[str, Any]:
    return tomllib.loads(file.read_text(encoding="utf-8"))


def _flat(tables: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in tables.items():
        if isinstance(value, str):
            yield key, value
        else:
            yield from _flat(value)
