"""GANs: sample the generator, at the end or along its training. Knows no queue, no page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from genlab.engine.device import Device
from genlab.engine.events import Result
from genlab.engine.job import Job
from genlab.engine.runner import parameter_bytes
from genlab.engine.tensors import to_uint8
from genlab.families.description import Find
from genlab.families.gan.layout import snapshot_path
from genlab.families.gan.network import DCGAN
from genlab.families.gan.request import GANRequest
from genlab.families.latents import DecodeRequest
from genlab.families.one_step import OneStepRunner
from genlab.families.open_network import label_rows, open_network
from genlab.families.walk_noise import first_noise, walk_generators
from genlab.formats.building import with_weights
from genlab.formats.hub_layout import read_json
from genlab.formats.metadata import ModelMetadata
from genlab.requests import UserError


class GANRunner(OneStepRunner):
    """Serves `GANRequest` and `DecodeRequest`.

    Extras: `z`, float32 (N, latent_dim), and `scores`, the discriminator's opinion of each picture.

    A score is float32 in [0, 1]: the probability that the picture is real, as the discriminator
    of the same training step sees it. There are none where a GAN came without its discriminator.
    """

    network_class = DCGAN

    def __init__(self, network: nn.Module, device: Device, folder: Path) -> None:
        super().__init__(network, device)
        self._folder = folder
        self._networks: dict[int | None, Any] = {None: self.network}

    @classmethod
    def open(cls, metadata: ModelMetadata, device: Device, find: Find) -> Self:
        return cls(open_network(metadata.path, DCGAN), device, metadata.path)

    @property
    def nbytes(self) -> int:
        in_file = getattr(self.network, "file_bytes", 0)
        return parameter_bytes(*self._networks.values()) + in_file

    def batch_key(self, request: GANRequest | DecodeRequest) -> tuple[str, ...]:
        return (*super().batch_key(request), str(_snapshot(request)))

    def start(self, jobs: Sequence[Job]) -> list[list[dict[str, Tensor]]]:
        for job in jobs:
            self._load(_snapshot(job.request))
        return super().start(jobs)

    def inputs(self, request: GANRequest | DecodeRequest, part: slice) -> tuple[Tensor, ...]:
        if isinstance(request, DecodeRequest):
            z = torch.from_numpy(request.z[part])
        else:
            owned = walk_generators(request, part)
            z = first_noise(request, owned, (self.network.latent_dim,), part)
        return z, *label_rows(self.network, request, part)

    def outputs(self, request: GANRequest | DecodeRequest, *rows: Tensor) -> dict[str, Tensor]:
        network = self._networks[_snapshot(request)]
        images = self.device.call(network, *rows)
        drawn = {"images": images, "z": rows[0]}
        if not getattr(network, "scores", True):
            return drawn
        return drawn | {"scores": self.device.call(network.score, images).sigmoid()}

    def report(self, request: GANRequest | DecodeRequest, outputs: dict[str, Tensor]) -> Result:
        images = to_uint8(outputs.pop("images"))
        return Result(images, {name: value.numpy() for name, value in outputs.items()})

    def _load(self, snapshot: int | None) -> None:
        """Make a snapshot's networks ready: two megabytes, read once."""
        if snapshot in self._networks:
            return
        assert snapshot is not None  # the finished network is there from the start
        config = read_json(self._folder / "config.json")
        try:
            tensors = load_file(snapshot_path(self._folder, snapshot))  # in half precision
            network = with_weights(lambda: type(self.network)(**config), tensors)
        except Exception as error:
            raise UserError(
                f"The snapshot of step {snapshot} is damaged or gone; start GenLab again."
            ) from error
        self._networks[snapshot] = network.to(self.device.torch)


def _snapshot(request: GANRequest | DecodeRequest) -> int | None:
    """The training step whose generator draws; given codes are for the finished one."""
    return request.snapshot if isinstance(request, GANRequest) else None
