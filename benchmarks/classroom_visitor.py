"""A visitor who knows only HTTP: presses Generate on a Gradio page and waits for the picture.

Does what a browser does: joins the queue, reads the stream of frames, fetches the picture's file.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

PICTURE = re.compile(r'(?:pictures/[0-9a-f]{64}-\d+\.png|"url": ?"([^"]+)")')
PREVIEW = "data:image"


@dataclass(frozen=True)
class Visit:
    """What one press gave; seconds since it.

    Attributes:
        preview: until anything of the picture was there; the picture itself if nothing came before.
        picture: until the finished picture's file was there; None if it never came.
        failed: the server's sentence if it refused or failed.
        received: bytes of frames and picture.
    """

    preview: float | None
    picture: float | None
    failed: str = ""
    received: int = 0


class Page:
    """A running Gradio page, by the element ids of its components.

    A component without an id has that of what it lies in.
    """

    def __init__(self, url: str, config: Mapping[str, Any]) -> None:
        self.url = url.rstrip("/")
        self._components = {c["id"]: c["props"] for c in config["components"]}
        self._dependencies = config["dependencies"]
        self._names: dict[int, str | None] = {}
        self._name(config["layout"], None)

    def _name(self, node: Mapping[str, Any], parent: str | None) -> None:
        own = self._components.get(node["id"], {}).get("elem_id")
        self._names[node["id"]] = own or parent
        for child in node.get("children") or ():
            self._name(child, own or parent)

    @classmethod
    def at(cls, url: str) -> Page:
        """The page at an address."""
        return cls(url, httpx.get(f"{url.rstrip('/')}/config", timeout=60).json())

    def press(self, button: str, values: Mapping[str, Any], session: str) -> dict[str, Any]:
        """What a browser sends when a button is clicked.

        Args:
            values: of components by element id; others have what the page was sent with.
        """
        event = next(
            d for d in self._dependencies
            if any(kind == "click" and self._names.get(k) == button for k, kind in d["targets"])
        )  # fmt: skip
        names = {self._names[k]: k for k in reversed(event["inputs"])}
        if missing := values.keys() - names.keys():
            raise ValueError(f"{button} takes no {', '.join(sorted(missing))}")
        given = {names[name]: value for name, value in values.items()}
        return {
            "fn_index": event["id"],
            "session_hash": session,
            "data": [given.get(k, self._components[k].get("value")) for k in event["inputs"]],
        }


async def visit(
    client: httpx.AsyncClient, page: Page, button: str, values: Mapping[str, Any],
    leave_after: float = float("inf"),
) -> Visit:  # fmt: skip
    """Press the button in a session of one's own and follow it to the end.

    Args:
        leave_after: seconds after which the visitor closes the tab.
    """
    session = uuid.uuid4().hex
    begun = time.perf_counter()
    preview = picture = None
    received, failed = 0, ""
    joined = await client.post(
        f"{page.url}/gradio_api/queue/join", json=page.press(button, values, session)
    )
    if joined.status_code != 200:
        return Visit(None, None, joined.text)
    stream = f"{page.url}/gradio_api/queue/data?session_hash={session}"
    async with client.stream("GET", stream) as frames:
        async for line in frames.aiter_lines():
            received += len(line)
            if time.perf_counter() - begun > leave_after:
                return Visit(preview, None, "left", received)
            found = PICTURE.search(line) if picture is None else None
            if preview is None and (found or PREVIEW in line):
                preview = time.perf_counter() - begun
            if found:
                address = found[1] or f"{page.url}/{found[0]}"
                file = await client.get(address)
                if file.status_code == 200:
                    received += len(file.content)
                    picture = time.perf_counter() - begun
            if '"process_completed"' in line:
                message = json.loads(line.removeprefix("data: "))
                if not message["success"]:
                    failed = str(message["output"].get("error"))
                break
    if picture is None and not failed:
        failed = "no picture came"
    return Visit(preview, picture, failed, received)
