"""GANs: sample the generator, at the end or along its training. Knows no queue, no page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from safetensors.torch import load_file

from genlab.engine.runner import (
    BrokenCheckpoint,
    OneStepFamily,
    Outcome,
    check_weights,
    generators,
    load_hub_module,
    noise_rows,
    parameter_bytes,
    read_json,
    split_rows,
)
from genlab.families.gan.network import DCGAN
from genlab.images import to_uint8
from genlab.requests import GANRequest, Request, UserError

if TYPE_CHECKING:
    from genlab.engine import Job, Runtime


class GANFamily(OneStepFamily):
    """Serves `GANRequest`; extras: `scores`, the discriminator's opinion of each picture.

    A score is float32 in [0, 1]: the probability that the picture is real, as the discriminator
    of the same training step sees it.
    """

    name = "gan"
    requests = (GANRequest,)
    network_class = DCGAN

    def __init__(
        self, network: DCGAN, folder: Path, runtime: Runtime, card: dict[str, Any]
    ) -> None:
        super().__init__(network, runtime, card)
        self._folder = folder
        self._networks: dict[int | None, DCGAN] = {None: self.network}

    @classmethod
    def check(cls, folder: Path) -> None:
        super().check(folder)
        with torch.device("meta"):
            wanted = DCGAN(**read_json(folder / "config.json")).state_dict()
        shapes = {name: list(value.shape) for name, value in wanted.items()}
        for step in snapshot_steps(folder):
            check_weights([snapshot_path(folder, step)], shapes)

    @classmethod
    def check_request(cls, request: Request, folder: Path) -> None:
        assert isinstance(request, GANRequest)
        steps = snapshot_steps(folder)
        if request.snapshot is None or request.snapshot in steps:
            return
        there = ", ".join(map(str, steps))
        raise UserError(
            f"{request.checkpoint} has no snapshot of step {request.snapshot}; it has {there}."
            if steps
            else f"{request.checkpoint} has no snapshots, only the finished generator."
        )

    @classmethod
    def open(cls, folder: Path, runtime: Runtime, card: dict[str, Any]) -> Self:
        network = load_hub_module(DCGAN, folder)
        assert isinstance(network, DCGAN)
        return cls(network, folder, runtime, card)

    @property
    def nbytes(self) -> int:
        return parameter_bytes(*self._networks.values())

    def start(self, jobs: Sequence[Job]) -> list[Any]:
        states = []
        for job in jobs:
            assert isinstance(job.request, GANRequest)
            network = self._network(job.request.snapshot)
            states.append(noise_rows(generators(job.request), (network.latent_dim,)))
        return states  # z, each (N, latent_dim)

    def predict(self, jobs: Sequence[Job]) -> list[Any]:
        assert isinstance(jobs[0].request, GANRequest)
        network = self._network(jobs[0].request.snapshot)  # a batch key holds one snapshot only
        images = self.runtime.call(network.generator, torch.cat([job.state for job in jobs]))
        scores = self.runtime.call(network.discriminator, images).sigmoid()
        return list(zip(split_rows(images, jobs), split_rows(scores, jobs), strict=True))

    def finish(self, jobs: Sequence[Job]) -> list[Outcome]:
        return [
            Outcome(to_uint8(images), {"scores": scores.cpu().numpy()})
            for images, scores in (job.state for job in jobs)
        ]

    def _network(self, snapshot: int | None) -> DCGAN:
        if snapshot not in self._networks:
            network = DCGAN(**read_json(self._folder / "config.json"))
            tensors = load_file(snapshot_path(self._folder, snapshot or 0))
            network.load_state_dict(tensors)  # copies half precision into single
            self._networks[snapshot] = network.eval().to(self.runtime.device)
        return self._networks[snapshot]


def snapshot_path(folder: Path, step: int) -> Path:
    """The file that keeps both networks as they were after `step` training steps."""
    return folder / "snapshots" / f"step-{step:06d}.safetensors"


def snapshot_steps(folder: Path) -> list[int]:
    """The training steps a checkpoint has snapshots of, ascending; empty if there are none."""
    try:
        return sorted(
            int(path.stem.removeprefix("step-"))
            for path in (folder / "snapshots").glob("*.safetensors")
        )
    except ValueError as error:
        raise BrokenCheckpoint(
            "a file in snapshots/ is not called step-000000.safetensors."
        ) from error
