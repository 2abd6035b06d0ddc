"""Any other text-to-image pipeline of diffusers, by its stock ``__call__``. Knows no thread.

A stock call is one loop over all steps. It runs here as a `Stepwise` call that pauses at the end of
each, so the engine goes on with other people's jobs in between, and Stop ends it there. See
docs/decisions/0007.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch

from genlab.engine.device import Device
from genlab.engine.events import Result
from genlab.engine.job import Job
from genlab.engine.runner import Runner, generators, parameter_bytes
from genlab.engine.tensors import to_uint8
from genlab.families.description import Find
from genlab.families.stable_diffusion.decoding import pictures_at_once
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.families.stable_diffusion.sentences import no_use_of_guidance, not_finite
from genlab.families.text_to_image.stepwise import Stepwise, pause
from genlab.formats import pipelines
from genlab.formats.metadata import ModelMetadata
from genlab.formats.pipeline_checks import check_text_to_image


@dataclass
class StockState:
    """A stock call on its way."""

    call: Stepwise
    notes: tuple[str, ...]
    turns: int = 0  # that it has had since its last step


class TextToImageRunner(Runner):
    """A diffusers pipeline that takes a prompt and gives pictures, one step of one job a turn.

    It keeps its own scheduler, as its authors chose it: these pipelines are not made for others.
    A prediction is None: a stock call predicts and moves in one go, in ``advance``; after its steps
    it decodes a few pictures a turn, in ``store``. A result's pictures are uint8 (count, H, W, 3).
    """

    exclusive = True

    def __init__(self, pipeline: Any, device: Device, metadata: ModelMetadata) -> None:
        super().__init__(device)
        self.metadata = metadata
        self.pipeline = pipeline.to(device.torch)
        self.takes = set(inspect.signature(pipeline.__call__).parameters)
        vae = getattr(pipeline, "vae", None)
        if vae is not None:
            vae.decode = _in_parts(vae.decode, device, getattr(pipeline, "vae_scale_factor", 8))

    @classmethod
    def open(cls, metadata: ModelMetadata, device: Device, find: Find) -> Self:
        """Load the weights onto the device; raises BrokenCheckpoint with a sentence."""
        check_text_to_image(metadata.path, metadata.card)
        pipeline = pipelines.open_pipeline(metadata.path, metadata.card, number_format(device))
        return cls(pipeline, device, metadata)

    @property
    def nbytes(self) -> int:
        networks = self.pipeline.components.values()
        return parameter_bytes(*(n for n in networks if isinstance(n, torch.nn.Module)))

    # --- a job's life -----------------------------------------------------------------------

    def start(self, jobs: Sequence[Job]) -> list[StockState]:
        return [self._begin(job.request) for job in jobs]

    def total_steps(self, job: Job) -> int:
        return job.request.num_inference_steps

    def predict(self, jobs: Sequence[Job]) -> list[None]:
        return [None] * len(jobs)

    def advance(self, job: Job, prediction: None) -> None:
        job.state.call.go_on()

    def undecoded(self, job: Job) -> int:
        """How many turns the stock call still needs, about; solvers of second order take more."""
        state: StockState = job.state
        return 0 if state.call.ended else max(1, job.request.count - state.turns)

    def decode(self, jobs: Sequence[Job]) -> list[None]:
        return [None] * len(jobs)

    def store(self, job: Job, decoded: None) -> None:
        job.state.call.go_on()
        job.state.turns += 1

    def result(self, job: Job) -> Result:
        pictures = torch.from_numpy(np.asarray(job.state.call.result.images))  # (count, H, W, 3)
        if not torch.isfinite(pictures).all():
            raise not_finite(self.metadata, job.request)
        return Result(to_uint8(pictures.permute(0, 3, 1, 2) * 2 - 1), notes=job.state.notes)

    # --- the stock call ---------------------------------------------------------------------

    def _begin(self, request: StableDiffusionRequest) -> StockState:
        """The stock call of a request, not yet running, on a pipeline of its own.

        The copy shares the networks, but has its own scheduler and settings: a stock call keeps
        both in its pipeline.
        """
        pipeline = copy.copy(self.pipeline)
        pipeline.scheduler = copy.deepcopy(self.pipeline.scheduler)  # it holds history
        pipeline.set_progress_bar_config(disable=True)
        arguments: dict[str, Any] = {
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt,
            "num_inference_steps": request.num_inference_steps,
            "guidance_scale": request.guidance_scale,
            "num_images_per_prompt": request.count,
            "generator": generators(request),
            "output_type": "np",
            "callback_on_step_end": _paused,
        }
        if not request.negative_prompt:
            del arguments["negative_prompt"]
        if "num_images_per_prompt" not in self.takes:
            arguments["prompt"] = [request.prompt] * request.count
        taken = {name: value for name, value in arguments.items() if name in self.takes}
        return StockState(Stepwise(lambda: pipeline(**taken)), self._notes(request))

    def _notes(self, request: StableDiffusionRequest) -> tuple[str, ...]:
        kind = type(self.pipeline).__name__
        notes = [f"{kind} draws with its own scheduler, {type(self.pipeline.scheduler).__name__}."]
        if request.negative_prompt and "negative_prompt" not in self.takes:
            notes.append(f"{kind} knows no negative prompt; it was left out.")
        if request.trajectory:
            notes.append(f"{kind} keeps no trajectory of its steps.")
        return (*notes, *no_use_of_guidance(self.metadata, request))


def _paused(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
    """What a stock call does at the end of each step."""
    pause()
    return {}


def _in_parts(decode: Callable[..., Any], device: Device, scale: int) -> Callable[..., Any]:
    """A VAE's ``decode`` that pauses after every few pictures; for use in a Stepwise call.

    Args:
        decode: takes latents (B, ..., h, w), gives a tuple or an output with one tensor.
        device: where it runs.
        scale: pixels for each latent pixel, along a side.
    """

    def decode_in_parts(latents: torch.Tensor, *others: Any, **named: Any) -> Any:
        pixels = scale**2 * latents.shape[-1] * latents.shape[-2]
        outputs = []
        for rows in latents.split(pictures_at_once(device, pixels)):
            if outputs:
                pause()
            outputs.append(decode(rows, *others, **named))
        pictures = torch.cat([output[0] for output in outputs])
        first = outputs[0]
        return (pictures,) if isinstance(first, tuple) else type(first)(sample=pictures)

    return decode_in_parts


def number_format(device: Device) -> torch.dtype:
    """bfloat16 on a GPU that has it: many transformers and T5 overflow in float16."""
    if device.torch.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.bfloat16
    return device.dtype
