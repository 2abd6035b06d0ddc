"""Diffusion in pixel space under any kind of guidance, many jobs a call. Knows no queue, no page.

Jobs with different methods, scales, classes, steps and schedulers share each UNet call, one row a
prediction; those that need a classifier share one gradient call.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from diffusers import UNet2DModel
from torch import Tensor

from genlab.diffusion import guidance
from genlab.diffusion.schedulers import alpha_bar, make_scheduler, predicted_clean
from genlab.diffusion.trajectory import Film
from genlab.engine.runner import (
    BrokenCheckpoint,
    Family,
    Outcome,
    check_weights,
    generators,
    load_hub_module,
    noise_rows,
    parameter_bytes,
    read_card,
    read_json,
    weight_files,
)
from genlab.families.noisy_classifier.network import NoisyClassifier
from genlab.families.pixel_diffusion.network import (
    NULL_LABEL,
    PixelDiffusionPipeline,
    predict_noise,
)
from genlab.images import to_uint8
from genlab.requests import PixelDiffusionRequest, Request, UserError

if TYPE_CHECKING:
    from genlab.engine import Job, Runtime


@dataclass
class State:
    """What a job remembers between steps; every tensor has one row an image."""

    scheduler: Any  # its own instance: schedulers hold history
    generators: list[torch.Generator]
    x_t: Tensor  # (count, 1, H, W), in the scheduler's own scale
    labels: Tensor  # (count,) int64, the wished classes
    film: Film | None
    classifier: str | None  # the folder of the one that says log p(y | x_t, t), if that is wanted
    denoised: Tensor | None = field(default=None)  # the guided prediction of x_0, (count, 1, H, W)


@dataclass(frozen=True)
class Prediction:
    """What the networks say about a job's x_t; None where a job has no use for it."""

    uncond: Tensor | None = None  # eps_u, (count, 1, H, W)
    cond: Tensor | None = None  # eps_c, likewise
    gradient: Tensor | None = None  # grad_{x_t} log p(y | x_t, t), likewise
    log_prob: Tensor | None = None  # log p(y | x_t, t), (count,)


class PixelDiffusionFamily(Family):
    """A `PixelDiffusionPipeline`: one `UNet2DModel` that predicts eps with a class and without."""

    name = "pixel_diffusion"
    requests = (PixelDiffusionRequest,)

    def __init__(
        self,
        pipeline: PixelDiffusionPipeline,
        folder: Path,
        runtime: Runtime,
        card: dict[str, Any],
    ) -> None:
        super().__init__(runtime, card)
        self.unet = pipeline.unet.eval().to(runtime.device)
        self.scheduler_config = pipeline.scheduler.config
        self.size = pipeline.image_size
        self._noise_pred = runtime.graph(lambda *row: predict_noise(self.unet, *row), self.unet)
        self._folder = folder
        self._classifiers: dict[str, Any] = {}

    @classmethod
    def check(cls, folder: Path) -> None:
        index = read_json(folder / "model_index.json")
        if index.get("_class_name") != PixelDiffusionPipeline.__name__:
            raise BrokenCheckpoint("its model_index.json names no PixelDiffusionPipeline.")
        read_json(folder / "scheduler" / "scheduler_config.json")
        config = read_json(folder / "unet" / "config.json")
        try:
            with torch.device("meta"):
                unet = UNet2DModel(**UNet2DModel.extract_init_dict(config)[0])
                wanted = {k: list(v.shape) for k, v in unet.state_dict().items()}
        except Exception as error:
            raise BrokenCheckpoint("its unet/config.json describes no UNet2DModel.") from error
        check_weights(weight_files(folder / "unet"), wanted)

    @classmethod
    def check_request(cls, request: Request, folder: Path) -> None:
        assert isinstance(request, PixelDiffusionRequest)
        if request.guidance == "classifier" or request.classifier is not None:
            _check_classifier(request, folder)

    @classmethod
    def open(cls, folder: Path, runtime: Runtime, card: dict[str, Any]) -> Self:
        cls.check(folder)
        try:
            pipeline = PixelDiffusionPipeline.from_pretrained(
                folder, use_safetensors=True, local_files_only=True
            )
        except Exception as error:
            raise BrokenCheckpoint("diffusers cannot open it as a pixel diffusion.") from error
        return cls(pipeline, folder, runtime, card)

    @property
    def nbytes(self) -> int:
        return parameter_bytes(self.unet, *self._classifiers.values())

    # --- a job's life -----------------------------------------------------------------------

    def start(self, jobs: Sequence[Job]) -> list[State]:
        states = []
        for job in jobs:
            request = _request(job)
            scheduler = make_scheduler(request.scheduler, self.scheduler_config)
            scheduler.set_timesteps(request.num_inference_steps)
            owned = generators(request)
            noise = noise_rows(owned, (1, self.size, self.size))
            labels = torch.tensor(request.wished)
            film = Film(len(scheduler.timesteps)) if request.film else None
            x_t = noise * scheduler.init_noise_sigma
            classifier = self._classifier_name(request)
            states.append(State(scheduler, owned, x_t, labels, film, classifier))
        return states

    def total_steps(self, job: Job) -> int:
        return len(job.state.scheduler.timesteps)

    def predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        inputs = [_model_input(job) for job in jobs]  # x_t and timesteps of each job
        wanted = [_labels_to_predict(job) for job in jobs]
        rows = [
            (x_t, t, labels)
            for (x_t, t), many in zip(inputs, wanted, strict=True)
            for labels in many.values()
        ]
        noise_pred = self.runtime.call(
            self._noise_pred,
            *(torch.cat(column) for column in zip(*rows, strict=True)),
        ).cpu()
        pieces = iter(noise_pred.split([len(labels) for _, _, labels in rows]))
        said = [{name: next(pieces) for name in many} for many in wanted]
        followers = [k for k, job in enumerate(jobs) if job.state.classifier is not None]
        told = self._gradients([jobs[k] for k in followers], [inputs[k] for k in followers])
        for k, slopes in zip(followers, told, strict=True):
            said[k] |= slopes
        return [Prediction(**named) for named in said]

    def advance(self, job: Job, prediction: Prediction) -> None:
        state: State = job.state
        scheduler, t = state.scheduler, state.scheduler.timesteps[job.step]
        with torch.no_grad():
            noise_pred = _guided(job, prediction)
            state.denoised = predicted_clean(scheduler, noise_pred, state.x_t, job.step)
            if state.film is not None:
                state.film.add(job.step, lambda: _frame(job, prediction, noise_pred))
            known = inspect.signature(scheduler.step).parameters
            extra = {
                "generator": state.generators,
                "eta": _request(job).eta,
                # DDIM clips x_0; unless eps is derived again from the clipped x_0, what guidance
                # pushed out of range stays in as noise. See docs/decisions/0011.
                "use_clipped_model_output": True,
            }
            extra = {name: value for name, value in extra.items() if name in known}
            state.x_t = scheduler.step(noise_pred, t, state.x_t, **extra).prev_sample

    def preview(self, jobs: Sequence[Job]) -> list[np.ndarray]:
        return [to_uint8(job.state.denoised) for job in jobs]

    def finish(self, jobs: Sequence[Job]) -> list[Outcome]:
        outcomes = []
        for job in jobs:
            state: State = job.state
            if not torch.isfinite(state.x_t).all():
                raise UserError("The numbers ran away at these settings; lower guidance_scale.")
            extras = state.film.extras() if state.film is not None else {}
            outcomes.append(Outcome(to_uint8(state.x_t), extras))
        return outcomes

    # --- the classifier ---------------------------------------------------------------------

    def _gradients(
        self, jobs: Sequence[Job], inputs: Sequence[tuple[Tensor, Tensor]]
    ) -> list[dict[str, Tensor]]:
        """One gradient call for all these jobs; what it says for each of them."""
        if not jobs:
            return []
        network = self._classifier(jobs[0].state.classifier)  # a batch key holds one only

        def gradient(x_t: Tensor, t: Tensor, labels: Tensor) -> Tensor:
            slopes, log_probs = guidance.class_gradient(network, x_t, t, labels)
            return torch.cat([slopes.flatten(1), log_probs[:, None]], dim=1)

        both = self.runtime.call(
            gradient,
            torch.cat([x_t for x_t, _ in inputs]),
            torch.cat([t for _, t in inputs]),
            torch.cat([job.state.labels for job in jobs]),
        ).cpu()
        return [
            {"gradient": rows[:, :-1].reshape(job.state.x_t.shape), "log_prob": rows[:, -1]}
            for job, rows in zip(
                jobs, both.split([_request(job).count for job in jobs]), strict=True
            )
        ]

    def _classifier_name(self, request: PixelDiffusionRequest) -> str | None:
        """The folder of the classifier that guides a request, or shows in its film how p grows."""
        if request.guidance != "classifier" and not request.film:
            return None
        name = request.classifier or self.card.get("classifier")
        if name is not None and (self._folder.parent / name / "config.json").is_file():
            return name
        if request.guidance == "classifier":
            raise UserError("The classifier to follow is gone; start GenLab again.")
        return None

    def _classifier(self, name: str) -> Any:
        if name not in self._classifiers:
            try:
                network = load_hub_module(NoisyClassifier, self._folder.parent / name)
            except BrokenCheckpoint as error:
                raise UserError(f"The checkpoint {name} is damaged: {error}") from error
            self._classifiers[name] = network.requires_grad_(False).to(self.runtime.device)
        return self._classifiers[name]


def _request(job: Job) -> PixelDiffusionRequest:
    assert isinstance(job.request, PixelDiffusionRequest)  # the catalogue has checked
    return job.request


def _model_input(job: Job) -> tuple[Tensor, Tensor]:
    """The variance-preserving x_t, (count, 1, H, W), and its timesteps, (count,)."""
    state: State = job.state
    t = state.scheduler.timesteps[job.step]
    with torch.no_grad():
        x_t = state.scheduler.scale_model_input(state.x_t, t)
    return x_t, t.float().expand(len(x_t))


def _labels_to_predict(job: Job) -> dict[str, Tensor]:
    """Which predictions a step needs, each with the labels (count,) that the UNet is told."""
    request, labels = _request(job), job.state.labels
    null = torch.full_like(labels, NULL_LABEL)
    if request.two_predictions:
        return {"uncond": null, "cond": labels}
    if request.guidance == "classifier-free" and request.guidance_scale == 1:
        return {"cond": labels}
    return {"uncond": null}


def _guided(job: Job, prediction: Prediction) -> Tensor:
    """The noise prediction under the job's guidance, (count, 1, H, W)."""
    request = _request(job)
    uncond, cond = prediction.uncond, prediction.cond
    if request.guidance == "classifier":
        assert uncond is not None
        assert prediction.gradient is not None
        alphabar = alpha_bar(job.state.scheduler, job.step)
        return guidance.classifier(uncond, prediction.gradient, request.guidance_scale, alphabar)
    if uncond is not None and cond is not None:
        return guidance.classifier_free(uncond, cond, request.guidance_scale)
    only = cond if uncond is None else uncond
    assert only is not None
    return only


def _frame(job: Job, prediction: Prediction, noise_pred: Tensor) -> dict[str, np.ndarray]:
    """What a film keeps of one step; see `Film`."""
    state: State = job.state

    def clean(eps: Tensor) -> np.ndarray:
        return to_uint8(predicted_clean(state.scheduler, eps, state.x_t, job.step))

    frame = {
        "timesteps": np.float32(state.scheduler.timesteps[job.step]),
        "x_t": to_uint8(_model_input(job)[0]),
        "guided": clean(noise_pred),
    }
    if prediction.uncond is not None:
        frame["uncond"] = clean(prediction.uncond)
        frame["guidance_norm"] = (noise_pred - prediction.uncond).flatten(1).norm(dim=1).numpy()
    if prediction.cond is not None:
        frame["cond"] = clean(prediction.cond)
    if prediction.log_prob is not None:
        frame["confidence"] = prediction.log_prob.exp().numpy()
    if prediction.gradient is not None and _request(job).guidance == "classifier":
        frame["gradient"] = prediction.gradient[:, 0].half().numpy()
    return frame


def _check_classifier(request: PixelDiffusionRequest, folder: Path) -> None:
    """Raise UserError unless the classifier to follow is there and for the same data set."""
    card = read_card(folder)
    name = request.classifier or card.get("classifier")
    if not name:
        raise UserError(f"The card of {request.checkpoint} names no classifier to follow.")
    there = folder.parent / name
    if there.parent != folder.parent or not (there / "config.json").is_file():
        raise UserError(
            f"{request.checkpoint} has no classifier to follow: there is no checkpoint called "
            f"{name!r}."
        )
    theirs = read_card(there)
    if theirs.get("family") != "noisy_classifier":
        raise UserError(
            f"{name} is a {theirs.get('family')}, but guidance follows a noisy_classifier only."
        )
    if theirs.get("dataset") != card.get("dataset"):
        raise UserError(
            f"{name} reads {theirs.get('dataset')}, but {request.checkpoint} draws "
            f"{card.get('dataset')}: choose a classifier of the same data set."
        )
