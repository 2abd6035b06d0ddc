"""`serve`: the page, with replicas behind it. Knows no page: `app.py` opens it. No torch."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from genlab.requests import UserError
from genlab.settings import PROJECT


def serve(
    replicas: Annotated[
        int, typer.Option(min=0, help="Engines on a Ray cluster; 0: one engine in this process.")
    ] = 0,
    ray_address: Annotated[
        str | None,
        typer.Option(help="Head of a cluster to join, host:port; without one it is this machine."),
    ] = None,
    max_replicas: Annotated[
        int | None, typer.Option(min=0, help="As many while much is queued.")
    ] = None,
    replica_cpus: Annotated[
        float | None, typer.Option(min=0.1, help="Cores that a replica takes; 1 unless given.")
    ] = None,
    replica_gpus: Annotated[
        float | None, typer.Option(min=0, help="GPUs that a replica takes; 0 unless given.")
    ] = None,
) -> None:
    """Serve the page; every other setting is an environment variable, as for `app.py`."""
    app = PROJECT / "app.py"
    if not app.is_file():
        raise UserError(f"`serve` starts {app}, which is not there: call it in the repository.")
    given = {
        "--replicas": replicas or None,
        "--ray-address": ray_address,
        "--max-replicas": max_replicas,
        "--replica-cpus": replica_cpus,
        "--replica-gpus": replica_gpus,
    }
    flags = [word for flag, value in given.items() if value is not None for word in (flag, value)]
    os.execv(sys.executable, [sys.executable, str(app), *map(str, flags)])
