"""Which browsers' calls are answered, and what their pages may do: hosts, origins, headers.

Gradio alone lets the page of any site press GenLab's buttons: where it listens on localhost it only
keeps the answer from that page, and elsewhere not even that. Here a script of another site is
refused before anything happens, and so is a name that somebody else's name server points at this
machine (DNS rebinding). Knows no page and no driver.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genlab.settings import Host, Settings

CONTENT_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; "
)
"""The browser itself lets the page ask nobody but GenLab. Gradio needs scripts inside its page."""

PORTS = {"http": ":80", "https": ":443"}


class Callers:
    """Refuses calls from elsewhere with status 403 and a sentence; an ASGI middleware.

    Args:
        app: what answers the others.
        hosts: names by which GenLab may be called, beside this machine's own; None: any.
        origins: sites whose scripts may call too, as ``https://lms.example.org``; None: any.
        headers: for every answer that has none of that name.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: Collection[str] | None = None,
        origins: Collection[str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._origins = origins
        self._headers = headers or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    given.setdefault(name, value)
            await send(message)

        sentence = self.refusal(Headers(scope=scope))
        if sentence:
            await PlainTextResponse(sentence, 403)(scope, receive, with_headers)
        else:
            await self._app(scope, receive, with_headers)

    def refusal(self, headers: Headers) -> str:
        """Why a call with these headers is refused; "" if it is not."""
        host = headers.get("host", "")
        if self._hosts is not None and not (is_own(host) or _name(host) in self._hosts):
            return (
                f"This GenLab does not answer to the name {_name(host)[:80]!r}. "
                "Whoever runs it can allow that name with GENLAB_HOSTS.\n"
            )
        origin = headers.get("origin")
        if origin is None or self._origins is None or origin in self._origins:
            return ""
        if headers.get("sec-fetch-site") == "same-origin":  # no script can write this one
            return ""
        own = {host, *(part.strip() for part in headers.get("x-forwarded-host", "").split(","))}
        if _place(origin) in {_without_port(name, origin) for name in own if name}:
            return ""
        return (
            f"Scripts of {origin[:80]} may not call this GenLab. "
            "Whoever runs it can allow that site with GENLAB_ORIGINS.\n"
        )


def is_own(host: str) -> bool:
    """Whether a Host header needs no name server: localhost, or an address in digits."""
    name = _name(host)
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _name(host: str) -> str:
    """A Host header without its port."""
    end = host.rfind("]") + 1  # of an IPv6 address
    return (host[:end] if end else host.partition(":")[0]).lower().rstrip(".")


def _place(origin: str) -> str:
    """Host and port of an origin; "" for what has none, as "null"."""
    return _without_port(urlsplit(origin).netloc, origin)


def _without_port(host: str, origin: str) -> str:
    """Without the port that goes without saying for the origin's scheme."""
    return host.lower().removesuffix(PORTS.get(urlsplit(origin).scheme, " "))


def callers(settings: Settings, host: Host) -> dict[str, Any]:
    """The arguments of `Callers` for a house: what its settings say, and where it runs."""
    frames = " ".join("'none'" if site == "none" else site for site in settings.frames)
    headers = {
        "Content-Security-Policy": f"frame-ancestors {frames}",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",  # addresses hold prompts
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    }
    if host.space_id:  # Hugging Face frames the page, brings scripts, and is the one to be called
        return {"headers": headers}
    headers["Content-Security-Policy"] = CONTENT_POLICY + headers["Content-Security-Policy"]
    alone = is_own(settings.host) and _loopback(settings.host) and not settings.share
    return {
        "hosts": settings.hosts if alone and "*" not in settings.hosts else None,
        "origins": settings.origins if "*" not in settings.origins else None,
        "headers": headers,
    }


def _loopback(host: str) -> bool:
    name = _name(host).strip("[]")
    return name.endswith("localhost") or ipaddress.ip_address(name).is_loopback
