"""Variational autoencoders: sample the prior, reconstruct pictures. Knows no queue, no page."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from genlab.engine.device import Device
from genlab.engine.events import Result
from genlab.engine.tensors import to_tensor, to_uint8
from genlab.families.description import Find
from genlab.families.latents import DecodeRequest
from genlab.families.one_step import OneStepRunner
from genlab.families.open_network import label_rows, open_network
from genlab.families.vae.network import ConvVAE
from genlab.families.vae.request import ReconstructRequest, VAERequest
from genlab.families.walk_noise import first_noise, walk_generators
from genlab.formats.metadata import ModelMetadata

Served = VAERequest | ReconstructRequest | DecodeRequest


class VAERunner(OneStepRunner):
    """Serves `VAERequest` and `DecodeRequest` (extras: `z`), and `ReconstructRequest`.

    The last one's extras are `mu` and `logvar`.

    The extras are float32 arrays (N, latent_dim), one row a picture.
    """

    network_class = ConvVAE

    @classmethod
    def open(cls, metadata: ModelMetadata, device: Device, find: Find) -> Self:
        return cls(open_network(metadata.path, ConvVAE), device)

    def inputs(self, request: Served, part: slice) -> tuple[Tensor, ...]:
        if isinstance(request, ReconstructRequest):
            return (to_tensor(request.images[part]),)  # (N, 1, 28, 28)
        if isinstance(request, DecodeRequest):
            z = torch.from_numpy(request.z[part])  # (N, latent_dim)
            return z, *label_rows(self.network, request, part)
        noise = first_noise(
            request, walk_generators(request, part), (self.network.latent_dim,), part
        )
        z = request.temperature * noise  # (N, latent_dim)
        return z, *label_rows(self.network, request, part)

    def outputs(self, request: Served, *rows: Tensor) -> dict[str, Tensor]:
        inputs = rows[0]
        if not isinstance(request, ReconstructRequest):
            return {"images": self.device.call(self.network.decode, *rows), "z": inputs}
        posterior = self.device.call(lambda x: torch.cat(self.network.encode(x), dim=1), inputs)
        mu, logvar = posterior.chunk(2, dim=1)
        images = self.device.call(self.network.decode, mu)
        return {"images": images, "mu": mu, "logvar": logvar}

    def report(self, request: Served, outputs: dict[str, Tensor]) -> Result:
        images = to_uint8(outputs.pop("images"))
        return Result(images, {name: value.numpy() for name, value in outputs.items()})
