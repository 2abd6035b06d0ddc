"""Diffusion in pixel space under any kind of guidance, many jobs a call. Knows no queue, no page.

Jobs with different methods, scales, classes, steps and schedulers share each UNet call, one row a
prediction; those that need a classifier share one gradient call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from diffusers import UNet2DModel
from torch import Tensor

from genlab.diffusion import guidance
from genlab.diffusion.schedulers import (
    first_scale,
    make_scheduler,
    noised,
    predicted_clean,
    set_steps,
    step_options,
    within_range,
)
from genlab.diffusion.trajectory import Trajectory
from genlab.engine.device import Device
from genlab.engine.events import Result
from genlab.engine.job import Job
from genlab.engine.runner import Runner, parameter_bytes
from genlab.engine.tensors import to_tensor, to_uint8
from genlab.families.checks import broken_weights
from genlab.families.description import Find
from genlab.families.noisy_classifier.network import NoisyClassifier
from genlab.families.pixel_diffusion import layout
from genlab.families.pixel_diffusion.guided import (
    Prediction,
    all_finite,
    classifier_input,
    guided_noise,
    model_input,
    trajectory_frame,
)
from genlab.families.pixel_diffusion.network import (
    NULL_LABEL,
    PixelDiffusionPipeline,
    build_scheduler,
    predict,
)
from genlab.families.pixel_diffusion.request import DenoiseRequest, PixelDiffusionRequest
from genlab.families.walk_noise import first_noise, walk_generators
from genlab.formats import headers
from genlab.formats.building import ONE_AT_A_TIME
from genlab.formats.hub_layout import load_hub_module, read_json
from genlab.formats.metadata import BrokenCheckpoint, ModelMetadata
from genlab.requests import UserError


@dataclass
class PixelState:
    """What a job remembers between steps; tensors have one row an image, on the device."""

    scheduler: Any  # its own instance, as schedulers hold history; its tables are on the CPU
    options: dict[str, Any]  # what its ``step`` takes besides
    begin: int  # the scheduler's step that is the job's first
    x_t: Tensor  # (count, 1, H, W), in the scheduler's own scale
    labels: dict[str, Tensor]  # (count,) int64: what the UNet is told for each of its predictions
    targets: Tensor  # (count,) int64, the classes that guidance leads to
    classifier: str | None  # which one says log p(y | x_t, t), if that is of use
    trajectory: Trajectory | None
    extras: dict[str, np.ndarray]  # what is known of it from the start
    denoised: Tensor | None = None  # the guided prediction of x_0, for previews
    sound: dict[str, Tensor] = field(default_factory=dict)  # 0-d bools, see ``advance``


class PixelDiffusionRunner(Runner):
    """A `PixelDiffusionPipeline`: one `UNet2DModel` that predicts eps with a class and without.

    Serves `PixelDiffusionRequest` and `DenoiseRequest`. Extras: those of a `Trajectory` of
    `trajectory_frame`, and on the way to another seed `noise_norm`, float32 (count,), the L2 norm
    of each first noise.

    Args:
        classifier: the name of the one that is followed unless a request names another.
        find: where classifiers are looked up.
    """

    def __init__(
        self,
        pipeline: PixelDiffusionPipeline,
        device: Device,
        classifier: str | None,
        find: Find,
    ) -> None:
        super().__init__(device)
        self.unet = pipeline.unet.eval().to(device.torch)
        self.scheduler_config = pipeline.scheduler.config
        self.size = pipeline.image_size
        self._noise_pred = device.graph(lambda *row: predict(self.unet, *row), self.unet)
        self._classifier = classifier
        self._find = find
        self._classifiers: dict[str, NoisyClassifier] = {}
        self._alphas_cumprod = build_scheduler().alphas_cumprod  # that they were trained on

    @classmethod
    def open(cls, metadata: ModelMetadata, device: Device, find: Find) -> Self:
        """Load the weights onto the device; raises BrokenCheckpoint."""
        check_unet(metadata.path)
        try:
            with ONE_AT_A_TIME:
                pipeline = PixelDiffusionPipeline.from_pretrained(
                    metadata.path, use_safetensors=True, local_files_only=True
                )
        except Exception as error:
            raise BrokenCheckpoint("diffusers cannot open it as a pixel diffusion.") from error
        return cls(pipeline, device, metadata.facts.get("classifier"), find)

    @property
    def nbytes(self) -> int:
        return parameter_bytes(self.unet, *self._classifiers.values())

    def batch_key(self, request: PixelDiffusionRequest) -> tuple[str, ...]:
        return (*super().batch_key(request), request.classifier or self._classifier or "")

    def rows(self, request: PixelDiffusionRequest) -> int:
        """A gradient of the classifier takes about as long as a prediction, so it counts as one."""
        followed = self._followed(request) is not None
        return request.count * (len(request.predictions) + followed)

    # --- a job's life -----------------------------------------------------------------------

    def start(self, jobs: Sequence[Job]) -> list[PixelState]:
        return [self._begin(job.request) for job in jobs]

    def _begin(self, request: PixelDiffusionRequest) -> PixelState:
        scheduler = make_scheduler(request.scheduler, self.scheduler_config)
        set_steps(scheduler, request.num_inference_steps)
        owned = walk_generators(request)
        noise = first_noise(request, owned, (1, self.size, self.size)).to(self.device.torch)
        targets = torch.tensor(request.target_classes, device=self.device.torch)
        labels = {"uncond": torch.full_like(targets, NULL_LABEL), "cond": targets}
        begin, x_t = self._first(request, scheduler, noise)
        steps = len(scheduler.timesteps) - begin
        return PixelState(
            scheduler=scheduler,
            # DDIM clips x_0; unless eps is derived again from the clipped x_0, what guidance
            # moved out of range stays in as noise. See docs/decisions/0011.
            options=step_options(
                scheduler, generator=owned, eta=request.eta, use_clipped_model_output=True
            ),
            begin=begin,
            x_t=x_t,
            labels={name: labels[name] for name in request.predictions},
            targets=targets,
            classifier=self._load_classifier(request),
            trajectory=Trajectory(steps) if request.trajectory else None,
            extras={} if request.to_seed is None else {"noise_norm": _norms(noise)},
        )

    def _first(
        self, request: PixelDiffusionRequest, scheduler: Any, noise: Tensor
    ) -> tuple[int, Tensor]:
        """The scheduler's step that a job begins with, and the x_t of it, (count, 1, H, W)."""
        if not isinstance(request, DenoiseRequest):
            return 0, noise * first_scale(scheduler)
        if request.clean.shape != (self.size, self.size):
            raise UserError(
                f"{request.checkpoint} draws {self.size} x {self.size} pictures, so it cannot go "
                "on from one of 28 x 28."
            )
        later = (scheduler.timesteps > request.start_timestep).sum()
        begin = min(int(later), len(scheduler.timesteps) - 1)
        if hasattr(scheduler, "set_begin_index"):  # those that count their steps
            scheduler.set_begin_index(begin)
        clean = to_tensor(request.clean[None]).to(noise).expand_as(noise)
        return begin, noised(scheduler, clean, noise, begin)

    def total_steps(self, job: Job) -> int:
        return len(job.state.scheduler.timesteps) - job.state.begin

    @torch.inference_mode()
    def predict(self, jobs: Sequence[Job]) -> list[Prediction]:
        states: list[PixelState] = [job.state for job in jobs]
        inputs = [
            model_input(s.scheduler, s.x_t, s.begin + job.step)
            for s, job in zip(states, jobs, strict=True)
        ]
        rows = [
            (x_t, t, labels)
            for state, (x_t, t) in zip(states, inputs, strict=True)
            for labels in state.labels.values()
        ]
        columns = (torch.cat(column) for column in zip(*rows, strict=True))
        noise_pred = self.device.call(self._noise_pred, *columns)
        pieces = iter(noise_pred.split([len(labels) for _, _, labels in rows]))
        parts = [{name: next(pieces) for name in state.labels} for state in states]
        following = [k for k, state in enumerate(states) if state.classifier is not None]
        slopes = self._gradients([(states[k], jobs[k].step) for k in following])
        for k, (gradient, log_prob) in zip(following, slopes, strict=True):
            parts[k] |= {"gradient": gradient, "log_prob": log_prob}
        return [Prediction(**part) for part in parts]

    @torch.inference_mode()
    def advance(self, job: Job, prediction: Prediction) -> None:
        state: PixelState = job.state
        request: PixelDiffusionRequest = job.request
        scheduler, x_t, step = state.scheduler, state.x_t, state.begin + job.step
        noise_pred = guided_noise(request, scheduler, step, prediction)
        if job.step == 0:  # what is made of the first noise alone, no setting has had a part in
            parts = {request.checkpoint: (prediction.uncond, prediction.cond)}
            if state.classifier is not None:
                parts[state.classifier] = (prediction.gradient, prediction.log_prob)
            state.sound = {name: all_finite(*tensors) for name, tensors in parts.items()}
        if request.preview_every:
            state.denoised = predicted_clean(scheduler, noise_pred, x_t, step)
        if state.trajectory is not None:
            state.trajectory.add(
                job.step,
                lambda: trajectory_frame(request, scheduler, x_t, step, prediction, noise_pred),
            )
        noise_pred, t = within_range(scheduler, noise_pred, x_t, step), scheduler.timesteps[step]
        state.x_t = scheduler.step(noise_pred, t, x_t, **state.options).prev_sample

    def preview(self, jobs: Sequence[Job]) -> list[np.ndarray | None]:
        pictures: list[np.ndarray | None] = []
        for job in jobs:
            denoised: Tensor | None = job.state.denoised
            if denoised is None or not torch.isfinite(denoised).all():
                pictures.append(None)
            else:
                pictures.append(to_uint8(denoised))
        return pictures

    def result(self, job: Job) -> Result:
        state: PixelState = job.state
        for name, sound in state.sound.items():
            if not sound:
                raise broken_weights(name)
        if not torch.isfinite(state.x_t).all():
            if job.request.guided:
                raise UserError("The numbers ran away at these settings; lower guidance_scale.")
            raise broken_weights(job.request.checkpoint)
        extras = state.trajectory.extras() if state.trajectory is not None else {}
        return Result(to_uint8(state.x_t), extras | state.extras)

    # --- the classifier ---------------------------------------------------------------------

    def _gradients(
        self, followers: Sequence[tuple[PixelState, int]]
    ) -> list[tuple[Tensor, Tensor]]:
        """Gradient (count, 1, H, W) and log p (count,) for states at a job's step, by one call."""
        if not followers:
            return []
        states = [state for state, _ in followers]
        network = self._classifiers[states[0].classifier or ""]  # a batch key holds one only
        inputs = [
            classifier_input(s.scheduler, s.x_t, s.begin + step, self._alphas_cumprod)
            for s, step in followers
        ]

        def gradient(x_t: Tensor, t: Tensor, labels: Tensor) -> Tensor:
            slopes, log_probs = guidance.class_gradient(network, x_t, t, labels)
            return torch.cat([slopes.flatten(1), log_probs[:, None]], dim=1)

        both = self.device.call(
            gradient,
            torch.cat([x_t for x_t, _ in inputs]),
            torch.cat([t for _, t in inputs]),
            torch.cat([state.targets for state in states]),
        )
        return [
            (rows[:, :-1].reshape(state.x_t.shape), rows[:, -1])
            for state, rows in zip(states, both.split([len(s.x_t) for s in states]), strict=True)
        ]

    def _followed(self, request: PixelDiffusionRequest) -> str | None:
        """The name of the classifier that guides a request or shows how its class appears."""
        of_use = request.trajectory or (request.guidance == "classifier" and request.guided)
        return (request.classifier or self._classifier) if of_use else None

    def _load_classifier(self, request: PixelDiffusionRequest) -> str | None:
        """Make the classifier of a request ready: two megabytes, read once.

        None if it has none, or if it is gone and was to be shown only.
        """
        name = self._followed(request)
        if name is not None and name not in self._classifiers:
            metadata = self._find(name)
            if metadata is None:
                if request.guidance != "classifier":
                    return None
                raise UserError("The classifier to follow is gone; start GenLab again.")
            try:
                network = load_hub_module(NoisyClassifier, metadata.path)
            except BrokenCheckpoint as error:
                raise UserError(f"The checkpoint {name} is damaged: {error}") from error
            self._classifiers[name] = network.requires_grad_(False).to(self.device.torch)
        return name


def _norms(noise: Tensor) -> np.ndarray:
    return noise.flatten(1).norm(dim=1).cpu().numpy()


def check_unet(path: Path) -> None:
    """Raise BrokenCheckpoint unless every tensor of a folder's UNet fits its config.json."""
    layout.check(path, {})
    config = read_json(path / "unet" / "config.json")
    try:
        with torch.device("meta"):
            unet = UNet2DModel(**UNet2DModel.extract_init_dict(config)[0])
            wanted = {name: list(value.shape) for name, value in unet.state_dict().items()}
    except Exception as error:
        raise BrokenCheckpoint("its unet/config.json describes no UNet2DModel.") from error
    headers.check_weights(layout.unet_files(path), wanted)
