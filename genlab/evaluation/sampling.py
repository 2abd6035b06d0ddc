"""The one way to draw many samples and to run a network over many pictures. Needs no torch.

Knows no family and no driver: it is handed whatever takes requests.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np

from genlab.engine.events import Result
from genlab.formats.metadata import ModelMetadata
from genlab.requests import ImagesRequest, Request, SampleRequest, UserError, limits, parse_request

SAMPLES = 10_000
"""How many pictures a card's figures are of."""
IN_FLIGHT = 16
"""Requests submitted and not yet collected: as many as fill the batches of 16 visitors."""
PART = 500
"""Pictures of one request to a network that looks at them."""


class PendingResult(Protocol):
    """One request that was submitted."""

    def result(self) -> Result:
        """Wait for it; raises UserError with the sentence of what went wrong."""
        ...


class SampleClient(Protocol):
    """What serves the requests; every serving client does."""

    def submit(self, request: Request, owner: str = ..., /) -> PendingResult:
        """Queue a request; raises UserError if it cannot be served."""
        ...


class JudgeFinder(Protocol):
    """What knows which model judges a data set's pictures; the registry does."""

    def judge(self, dataset: str, /) -> ModelMetadata | None:
        """The judge, or None if there is none."""
        ...


def draw(client: SampleClient, requests: Iterable[Request]) -> Iterator[Result]:
    """Results in the order of the requests, with up to `IN_FLIGHT` requests under way at a time.

    Raises:
        UserError: what went wrong with the first request that failed.
    """
    pending: deque[PendingResult] = deque()
    for request in requests:
        pending.append(client.submit(request))
        if len(pending) >= IN_FLIGHT:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def sample_requests(kind: type[SampleRequest], count: int, **values: Any) -> Iterator[Request]:
    """Requests for images `seed` to `seed + count - 1`, as large as the kind of request allows.

    Args:
        kind: the family's.
        count: how many images, 1 or more.
        values: the other fields of each request.

    Raises:
        UserError: a value is wrong; before anything is drawn.
    """
    _, largest = limits(kind.model_fields["count"])
    seed = values.pop("seed", 0)
    parse_request(kind, seed=seed, count=1, **values)
    for begin in range(0, count, largest):
        size = min(largest, count - begin)
        yield parse_request(kind, seed=seed + begin, count=size, **values)


def draw_images(
    client: SampleClient, kind: type[SampleRequest], checkpoint: str, count: int, **values: Any
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """`count` images of seeds 0, 1, 2..., uint8 (count, H, W[, 3]), and their extras, row by row.

    Args:
        client: where the checkpoint is served.
        kind: the family's request for samples.
        checkpoint: name of the checkpoint.
        count: how many images.
        values: the other fields of the request.
    """
    return joined(draw(client, sample_requests(kind, count, checkpoint=checkpoint, **values)))


def judge_images(
    client: SampleClient,
    kind: type[ImagesRequest],
    checkpoint: str,
    images: np.ndarray,
    **values: Any,
) -> dict[str, np.ndarray]:
    """What a network says of pictures, row by row: a classifier ``probs`` and ``features``.

    Args:
        client: where the network is served.
        kind: the request that its family takes pictures by.
        checkpoint: name of the network's checkpoint.
        images: uint8 (N, H, W[, 3]), any number of them.
        values: the other fields of the request.
    """
    parts = np.array_split(images, max(1, len(images) // PART))
    requests = (parse_request(kind, checkpoint=checkpoint, images=p, **values) for p in parts)
    return joined(draw(client, requests))[1]


def joined(results: Iterable[Result]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Images and extras of several results of one kind, one after another."""
    results = list(results)
    extras = {
        key: np.concatenate([result.extras[key] for result in results]) for key in results[0].extras
    }
    return np.concatenate([result.images for result in results]), extras


def judge_for(registry: JudgeFinder, metadata: ModelMetadata) -> ModelMetadata:
    """The model that judges pictures like another's; raises UserError if there is none."""
    judge = registry.judge(metadata.dataset)
    if judge is None:
        raise UserError(
            f"{metadata.name} cannot be measured: there is no classifier of {metadata.dataset} to "
            f"judge it. Train one with `python -m genlab train {metadata.dataset}-classifier`."
        )
    return judge
