"""Any other text-to-image pipeline of diffusers, by its stock ``__call__``. Knows no thread.

A stock call is one loop over all steps. It runs here as a `Stepwise` call that pauses at the end of
each, so the engine goes on with other people's jobs in between, and Stop ends it there. See
docs/decisions/0007.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from genlab import images
from genlab.engine.runner import (
    Family,
    Outcome,
    generators,
    parameter_bytes,
)
from genlab.families.text_to_image.stepwise import Stepwise, pause
from genlab.formats import pipelines
from genlab.requests import Request, StableDiffusionRequest, UserError

if TYPE_CHECKING:
    from genlab.engine import Job, Runtime


@dataclass
class State:
    """A stock call on its way."""

    call: Stepwise
    notes: tuple[str, ...]


class TextToImageFamily(Family):
    """A diffusers pipeline that takes a prompt and gives pictures, one step of one job a tick.

    It keeps its own scheduler, as its authors chose it: these pipelines are not made for others.
    """

    name = "text_to_image"
    requests = (StableDiffusionRequest,)

    def __init__(self, pipeline: Any, runtime: Runtime, card: dict[str, Any]) -> None:
        super().__init__(runtime, card)
        self.pipeline = pipeline.to(runtime.device)
        self.takes = set(inspect.signature(pipeline.__call__).parameters)

    @classmethod
    def check(cls, folder: Path) -> None:
        pipelines.check_text_to_image(folder)
        pipelines.check_folder(folder)

    @classmethod
    def weigh(cls, folder: Path, dtype: torch.dtype) -> int:
        return pipelines.nbytes(folder, dtype)

    @classmethod
    def open(cls, folder: Path, runtime: Runtime, card: dict[str, Any]) -> Self:
        if folder.is_dir():
            cls.check(folder)
        return cls(pipelines.open_pipeline(folder, card, number_format(runtime)), runtime, card)

    @property
    def nbytes(self) -> int:
        networks = self.pipeline.components.values()
        return parameter_bytes(*(n for n in networks if isinstance(n, torch.nn.Module)))

    def taking_part(self, jobs: Sequence[Job]) -> list[Job]:
        """One job at a time: the one that has begun, else the one whose turn it is."""
        begun = [job for job in jobs if job.started_at is not None]
        return [(begun or list(jobs))[0]]

    # --- a job's life -----------------------------------------------------------------------

    def start(self, jobs: Sequence[Job]) -> list[State]:
        return [self._begin(_request(job.request)) for job in jobs]

    def total_steps(self, job: Job) -> int:
        return _request(job.request).num_inference_steps

    def predict(self, jobs: Sequence[Job]) -> list[None]:
        return [None] * len(jobs)  # a stock call predicts and moves in one go: see advance

    def advance(self, job: Job, prediction: None) -> None:
        call: Stepwise = job.state.call
        try:
            call.go_on()
            while job.step + 1 == job.total and not call.ended:
                call.go_on()  # solvers of second order have more steps than were asked for
        except torch.OutOfMemoryError as error:
            raise UserError(
                "The device has too little memory for this; ask for fewer images."
            ) from error

    def preview(self, jobs: Sequence[Job]) -> list[np.ndarray | None]:
        return [None for _ in jobs]  # each pipeline packs its latents in its own way

    def finish(self, jobs: Sequence[Job]) -> list[Outcome]:
        outcomes = []
        for job in jobs:
            pictures = torch.from_numpy(np.asarray(job.state.call.result.images))
            if not torch.isfinite(pictures).all():
                raise UserError("The numbers ran away at these settings; lower guidance_scale.")
            rows = pictures.permute(0, 3, 1, 2) * 2 - 1
            outcomes.append(Outcome(images.to_uint8(rows), notes=job.state.notes))
        return outcomes

    # --- the stock call ---------------------------------------------------------------------

    def _begin(self, request: StableDiffusionRequest) -> State:
        """The stock call of a request, not yet running, on a pipeline of its own.

        The copy shares the networks, but has its own scheduler and settings: a stock call keeps
        both in its pipeline.
        """
        pipeline = copy.copy(self.pipeline)
        pipeline.scheduler = copy.deepcopy(self.pipeline.scheduler)  # it holds history
        pipeline.set_progress_bar_config(disable=True)
        asked: dict[str, Any] = {
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
            del asked["negative_prompt"]
        if "num_images_per_prompt" not in self.takes:
            asked["prompt"] = [request.prompt] * request.count
        taken = {name: value for name, value in asked.items() if name in self.takes}
        return State(Stepwise(lambda: pipeline(**taken)), self._notes(request))

    def _notes(self, request: StableDiffusionRequest) -> tuple[str, ...]:
        kind = type(self.pipeline).__name__
        notes = [f"{kind} draws with its own scheduler, {type(self.pipeline.scheduler).__name__}."]
        if request.negative_prompt and "negative_prompt" not in self.takes:
            notes.append(f"{kind} knows no negative prompt; it was left out.")
        if request.film:
            notes.append(f"{kind} keeps no film of its steps.")
        if self.card.get("distilled") and request.guided:
            notes.append(f"{self.card['distilled']} Here it was {request.guidance_scale:g}.")
        return tuple(notes)


def _paused(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
    """What a stock call does at the end of each step."""
    pause()
    return {}


def _request(request: Request) -> StableDiffusionRequest:
    assert isinstance(request, StableDiffusionRequest)  # the catalogue has checked
    return request


def number_format(runtime: Runtime) -> torch.dtype:
    """bfloat16 on a GPU that has it: many transformers and T5 overflow in float16."""
    if runtime.device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.bfloat16
    return runtime.dtype
