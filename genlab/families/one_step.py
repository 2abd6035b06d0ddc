"""What runners share whose one network runs once over each picture. Knows no family, no queue."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from genlab.engine.device import Device
from genlab.engine.events import Result
from genlab.engine.job import Job
from genlab.engine.runner import Runner, parameter_bytes
from genlab.families.checks import broken_weights
from genlab.families.description import Find
from genlab.formats.hub_layout import load_hub_module
from genlab.formats.metadata import ModelMetadata

CHUNK = 64
"""Most pictures of one request in one call: thousands of them are to be judged now and then, and
nobody else should wait for all of those."""


class OneStepRunner(Runner):
    """A network in the hub layout that reads the rows of a request, CHUNK of them at a time.

    A job's state lists what came of each chunk so far: tensors by name, one row a picture, on the
    CPU. A prediction is such a chunk.
    """

    network_class: ClassVar[type[torch.nn.Module]]

    def __init__(self, network: Any, device: Device) -> None:
        super().__init__(device)
        self.network = network.to(device.torch)

    @classmethod
    def open(cls, metadata: ModelMetadata, device: Device, find: Find) -> Self:
        """Load the weights onto the device; raises BrokenCheckpoint."""
        return cls(load_hub_module(cls.network_class, metadata.path), device)

    @property
    def nbytes(self) -> int:
        return parameter_bytes(self.network) + getattr(self.network, "file_bytes", 0)

    # --- what a family adds -----------------------------------------------------------------

    @abstractmethod
    def inputs(self, request: Any, part: slice) -> tuple[Tensor, ...]:
        """What the network reads for these pictures of a request, one row each, on the CPU."""

    @abstractmethod
    def outputs(self, request: Any, *rows: Tensor) -> dict[str, Tensor]:
        """Call the network for the rows of requests that share the batch key of this one."""

    @abstractmethod
    def report(self, request: Any, outputs: dict[str, Tensor]) -> Result:
        """The result of a request whose outputs, on the CPU, are all finite."""

    # --- a job's life -----------------------------------------------------------------------

    def rows(self, request: Any) -> int:
        return min(request.count, CHUNK)

    def start(self, jobs: Sequence[Job]) -> list[list[dict[str, Tensor]]]:
        return [[] for _ in jobs]

    def total_steps(self, job: Job) -> int:
        return -(-job.request.count // CHUNK)

    def predict(self, jobs: Sequence[Job]) -> list[dict[str, Tensor]]:
        inputs = []
        for job in jobs:
            begin = job.step * CHUNK
            part = slice(begin, min(begin + CHUNK, job.request.count))
            inputs.append(self.inputs(job.request, part))
        rows = [torch.cat(column) for column in zip(*inputs, strict=True)]
        outputs = self.outputs(jobs[0].request, *rows)
        counts = [len(first) for first, *_ in inputs]
        pieces = {name: value.cpu().split(counts) for name, value in outputs.items()}
        return [{name: piece[k] for name, piece in pieces.items()} for k in range(len(jobs))]

    def advance(self, job: Job, prediction: dict[str, Tensor]) -> None:
        job.state.append(prediction)

    def result(self, job: Job) -> Result:
        chunks: list[dict[str, Tensor]] = job.state
        outputs = {name: torch.cat([chunk[name] for chunk in chunks]) for name in chunks[0]}
        if not all(torch.isfinite(value).all() for value in outputs.values()):
            raise broken_weights(job.request.checkpoint)
        return self.report(job.request, outputs)
