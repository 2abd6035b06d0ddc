"""How the process begins and ends: a free port, and an end on which nobody is left waiting.

Knows no page and no driver.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable

from genlab.requests import UserError

END_SECONDS = 9.0  # from SIGTERM until the process ends, whatever holds it up
POLL = 0.05


def end_on_signals() -> None:
    """Let SIGTERM end the process as Ctrl+C does, once, and within END_SECONDS."""

    def end(signum: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        last = threading.Timer(END_SECONDS, os._exit, [1])
        last.daemon = True
        last.start()
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)


def wait_for_the_end() -> None:
    """Return at Ctrl+C; a SystemExit that a signal raises goes through."""
    try:
        while True:
            time.sleep(3600.0)
    except KeyboardInterrupt:
        print("Stopping: runs end, then GenLab does.", file=sys.stderr)


def wait_while(busy: Callable[[], bool], seconds: float) -> bool:
    """Return when ``busy`` says no, or after so many seconds; whether it said no."""
    last_moment = time.monotonic() + seconds
    while busy():
        if time.monotonic() >= last_moment:
            return False
        time.sleep(POLL)
    return True


def check_address(host: str, port: int) -> None:
    """Raise UserError with what to change unless a server can listen there."""
    where = host.strip("[]")
    try:
        kind, _, _, _, address = socket.getaddrinfo(where, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror:
        raise UserError(f"GENLAB_HOST is {host!r}, which is no address.") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UserError(
                f"GENLAB_PORT is {port}, but another program listens there already: "
                f"end it, or choose another port, such as GENLAB_PORT={port % 65535 + 1}."
            ) from None
        if error.errno == errno.EACCES:
            raise UserError(
                f"GENLAB_PORT is {port}, which only the system's administrator may use: "
                "choose one from 1024 on."
            ) from None
        raise UserError(f"GENLAB_HOST is {host!r}, which is no address of this machine.") from None
