"""Two drivers behind one door: each request goes to the one that serves its model.

Knows neither driver, and no model.
"""

from __future__ import annotations

from collections.abc import Callable

from genlab.requests import Request
from genlab.serving.client import Client, ServingFigures, Ticket


class RoutingClient(Client):
    """A client over two.

    Args:
        usual: serves what the other does not.
        other: serves what ``goes_to_other`` says.
        goes_to_other: of a request; quick, and never raises.
    """

    def __init__(
        self, usual: Client, other: Client, goes_to_other: Callable[[Request], bool]
    ) -> None:
        self._usual = usual
        self._other = other
        self._goes_to_other = goes_to_other

    def submit(self, request: Request, owner: str = "local") -> Ticket:
        client = self._other if self._goes_to_other(request) else self._usual
        return client.submit(request, owner)

    def cancel(self, ticket_id: int) -> None:
        self._usual.cancel(ticket_id)  # ids are unique in the process; unknown ones are none
        self._other.cancel(ticket_id)

    def figures(self) -> ServingFigures:
        usual, other = self._usual.figures(), self._other.figures()
        waits = [w for w in (usual.wait_seconds, other.wait_seconds) if w is not None]
        return ServingFigures(
            device=" + ".join(name for name in (usual.device, other.device) if name),
            open_jobs=usual.open_jobs + other.open_jobs,
            restarts=usual.restarts + other.restarts,
            healthy=usual.healthy and other.healthy,
            models={**usual.models, **other.models},
            waiting_jobs=usual.waiting_jobs + other.waiting_jobs,
            wait_seconds=max(waits, default=None),
        )

    def wait_until_ready(self) -> None:
        self._usual.wait_until_ready()
        self._other.wait_until_ready()

    def close(self) -> None:
        self._other.close()
        self._usual.close()

    def __enter__(self) -> RoutingClient:
        self._usual.__enter__()
        self._other.__enter__()
        return self
