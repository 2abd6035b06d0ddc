"""Ends with 0 if the GenLab of this machine or container serves, with 1 and a sentence if not.

For Docker, systemd or cron; the standard library only. Knows nothing of GenLab but its address.
"""

from __future__ import annotations

import os
import sys
from http.client import HTTPConnection, HTTPException

SECONDS = 8.0


def main() -> int:
    """Ask ``/healthz`` at ``GENLAB_PORT``; the exit status."""
    port = int(os.environ.get("GENLAB_PORT") or 7860)
    try:
        connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        print(f"GenLab does not answer at port {port}: {error}.")
        return 1
    if status != 200:
        print(f"GenLab at port {port} is not healthy: status {status}.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
