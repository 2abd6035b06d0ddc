"""Drawing many samples: many requests under way, results in order, and joined row by row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from genlab.engine.events import Result
from genlab.evaluation import sampling
from genlab.evaluation.real_images import real_images
from genlab.families.classifier.request import ClassifyRequest
from genlab.families.noisy_classifier.request import NoisyClassifyRequest
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.families.vae.request import VAERequest
from genlab.formats.metadata import ModelMetadata
from genlab.requests import ImagesRequest, Request, SampleRequest, UserError


class Pending:
    """A request in the hands of a `CountingClient`."""

    def __init__(self, client: CountingClient, request: Request) -> None:
        self.client, self.request = client, request

    def result(self) -> Result:
        self.client.under_way -= 1
        return answer(self.request)


class CountingClient:
    """Answers everything at once and counts how many requests are under way."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.under_way = self.most = 0

    def submit(self, request: Request, owner: str = "local") -> Pending:
        self.requests.append(request)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        return Pending(self, request)


def answer(request: Request) -> Result:
    """Pictures whose grey is their seed, or for given pictures their grey as features."""
    if isinstance(request, SampleRequest):
        seeds = np.arange(request.seed, request.seed + request.count)
        return Result(np.full((request.count, 2, 2), seeds[:, None, None], np.uint8), {"z": seeds})
    assert isinstance(request, ImagesRequest)
    return Result(request.images, {"features": request.images.reshape(request.count, -1)[:, :1]})


def test_as_many_requests_are_under_way_as_16_visitors_have_and_results_keep_their_order() -> None:
    client = CountingClient()
    prompts = [f"picture {k}" for k in range(40)]
    requests = (
        StableDiffusionRequest(checkpoint="sd", prompt=prompt, seed=k, count=1)
        for k, prompt in enumerate(prompts)
    )
    results = list(sampling.draw(client, requests))
    assert client.most == 16
    assert client.under_way == 0
    assert [int(result.images[0, 0, 0]) for result in results] == list(range(40))


def test_no_request_is_made_before_there_is_room_for_it() -> None:
    client, made = CountingClient(), []

    def requests() -> Iterator[Request]:
        for k in range(100):
            made.append(k)
            yield VAERequest(checkpoint="vae", seed=k, count=1)

    next(sampling.draw(client, requests()))
    assert len(made) == sampling.IN_FLIGHT


def test_what_fails_is_said_and_nothing_after_it_is_drawn() -> None:
    class Failing(CountingClient):
        def submit(self, request: Request, owner: str = "local") -> Pending:
            if len(self.requests) == 3:
                raise UserError("There is no such checkpoint.")
            return super().submit(request)

    client = Failing()
    requests = (VAERequest(checkpoint="vae", seed=k, count=1) for k in range(20))
    with pytest.raises(UserError, match="no such checkpoint"):
        list(sampling.draw(client, requests))
    assert len(client.requests) == 3


@pytest.mark.parametrize(("kind", "largest"), [(VAERequest, 64), (StableDiffusionRequest, 16)])
def test_requests_are_as_large_as_their_kind_allows(
    kind: type[SampleRequest], largest: int
) -> None:
    requests = list(sampling.sample_requests(kind, 70, checkpoint="any", seed=5))
    assert [request.count for request in requests[:-1]] == [largest] * (70 // largest)
    assert sum(request.count for request in requests) == 70
    assert [request.seed for request in requests[:2]] == [5, 5 + largest]


def test_a_wrong_value_is_named_before_anything_is_drawn() -> None:
    with pytest.raises(UserError, match="temperature is 9, but must be a number from 0 to 3"):
        next(sampling.sample_requests(VAERequest, 5, checkpoint="vae", temperature=9))


def test_images_and_extras_of_many_requests_are_joined_row_by_row() -> None:
    images, extras = sampling.draw_images(CountingClient(), VAERequest, "vae", 130)
    assert images.shape == (130, 2, 2)
    assert images[:, 0, 0].tolist() == extras["z"].tolist() == list(range(130))


def test_a_judge_sees_every_picture_once_in_parts_that_it_can_hold() -> None:
    client = CountingClient()
    pictures = np.arange(1200 * 4, dtype=np.uint32).astype(np.uint8).reshape(1200, 2, 2)
    extras = sampling.judge_images(client, ClassifyRequest, "judge", pictures)
    assert extras["features"][:, 0].tolist() == pictures[:, 0, 0].tolist()
    assert all(len(request.images) <= 1000 for request in client.requests)  # type: ignore[attr-defined]
    assert len(client.requests) > 1
    sampling.judge_images(client, NoisyClassifyRequest, "judge", pictures[:3], timestep=7)
    assert client.requests[-1].timestep == 7  # type: ignore[attr-defined]


def test_a_data_set_that_nobody_judges_is_one_sentence() -> None:
    class Nobody:
        def judge(self, dataset: str) -> ModelMetadata | None:
            return None

    mine = ModelMetadata("mine", Path("mine"), "vae", "Mine", "cats")
    with pytest.raises(UserError, match="no classifier of cats to judge it. Train one with"):
        sampling.judge_for(Nobody(), mine)
    with pytest.raises(UserError, match="mine names the dataset 'cats', which is not known"):
        real_images(mine, None, train=False, count=3)
