"""Variational autoencoders: sample the prior, reconstruct pictures. Knows no queue, no page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from genlab.engine.runner import (
    OneStepFamily,
    Outcome,
    generators,
    noise_rows,
    split_rows,
)
from genlab.families.vae.network import ConvVAE
from genlab.images import to_tensor, to_uint8
from genlab.requests import ReconstructRequest, Request, UserError, VAERequest

if TYPE_CHECKING:
    from genlab.engine import Job


class VAEFamily(OneStepFamily):
    """Serves `VAERequest` (extras: `z`) and `ReconstructRequest` (extras: `mu`, `logvar`).

    The extras are float32 arrays (N, latent_dim), one row a picture.
    """

    name = "vae"
    requests = (VAERequest, ReconstructRequest)
    network_class = ConvVAE

    @classmethod
    def check_request(cls, request: Request, folder: Path) -> None:
        check_grey(request)

    def start(self, jobs: Sequence[Job]) -> list[Any]:
        states = []
        for job in jobs:
            request = job.request
            if isinstance(request, ReconstructRequest):
                states.append(to_tensor(request.images))  # (N, 1, 28, 28)
            else:
                assert isinstance(request, VAERequest)
                noise = noise_rows(generators(request), (self.network.latent_dim,))
                states.append(request.temperature * noise)  # (N, latent_dim)
        return states

    def predict(self, jobs: Sequence[Job]) -> list[Any]:
        rows = torch.cat([job.state for job in jobs])
        named = {"z": rows}
        if isinstance(jobs[0].request, ReconstructRequest):  # a batch key holds one kind only
            posterior = self.runtime.call(lambda x: torch.cat(self.network.encode(x), dim=1), rows)
            mu, logvar = posterior.chunk(2, dim=1)
            named = {"mu": mu, "logvar": logvar}
        images = self.runtime.call(self.network.decode, named.get("mu", rows))
        pieces = {name: split_rows(value, jobs) for name, value in named.items()}
        return [
            (decoded, {name: pieces[name][k].cpu().numpy() for name in pieces})
            for k, decoded in enumerate(split_rows(images, jobs))
        ]

    def finish(self, jobs: Sequence[Job]) -> list[Outcome]:
        return [Outcome(to_uint8(images), extras) for images, extras in (j.state for j in jobs)]


def check_grey(request: Request) -> None:
    """Raise UserError unless the pictures of a request are 28x28 and grey."""
    images = getattr(request, "images", None)
    if images is not None and images.shape[1:] != (28, 28):
        shape = " x ".join(str(size) for size in images.shape[1:])
        raise UserError(f"{request.checkpoint} takes grey 28 x 28 pictures, not {shape}.")
