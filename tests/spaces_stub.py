"""ZeroGPU's device API on loopback: says yes to every lease, unless it was told otherwise.

What it answers, and what was asked of it, is what the `spaces` package 0.51 sends and understands.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlparse

TOKEN = "of.e30.nobody"
"""What a logged-in visitor's browser sends as X-IP-Token; its payload is {}."""


@dataclass
class Call:
    """One request to the API."""

    name: str  # schedule, allow, release, startup-report
    values: dict[str, str]
    at: float


@dataclass
class SpacesStub:
    """The API; a context manager that serves it in a thread.

    Attributes:
        calls: all that was asked, in order.
        granted: how many leases it gave.
        answers: what the next calls of schedule get, one each; a lease when there is none left.
            One of "over quota", "queue failed", "no gpu", "too long".
    """

    calls: list[Call] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    granted: int = 0

    def __enter__(self) -> Self:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                stub.answer(self)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def named(self, name: str) -> list[Call]:
        return [call for call in list(self.calls) if call.name == name]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        address = urlparse(handler.path)
        values = {name: found[0] for name, found in parse_qs(address.query).items()}
        name = address.path.strip("/")
        self.calls.append(Call(name, values, time.monotonic()))
        kind = "application/json"
        status, body, headers = 200, b"{}", {}
        if name == "schedule":
            asked = self.answers.pop(0) if self.answers else "lease"
            if asked == "lease":
                self.granted += 1
                lease = {"idle": True, "nvidiaIndex": 0, "nvidiaUUID": "GPU-0"}
                body = json.dumps(lease | {"allowToken": f"lease-{self.granted}"}).encode()
            elif asked == "over quota":
                status, body = 429, json.dumps({"left": 20, "wait": 4980}).encode()
                headers = {"X-Authenticated": "regular", "X-Approve-Result": "quota-exceeded"}
            elif asked == "too long":
                status, body = 429, json.dumps({"left": 20, "wait": -1}).encode()
            elif asked == "queue failed":
                kind, body = "text/event-stream", b"event: failed\n\n"
            else:
                status = 503
        handler.send_response(status)
        for header, value in headers.items():
            handler.send_header(header, value)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
