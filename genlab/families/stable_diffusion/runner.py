"""Stable Diffusion 1.x, 2.x and XL, row by row: gives what diffusers' stock pipelines give, for
many jobs in one UNet call. Knows no thread and no page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import is_
from typing import Any, Self

import numpy as np
import torch
from diffusers.utils.torch_utils import randn_tensor

from genlab.diffusion import guidance
from genlab.diffusion.schedulers import SCHEDULERS, make_scheduler, own_timestep, step_options
from genlab.engine.device import Device
from genlab.engine.events import Result
from genlab.engine.job import Job
from genlab.engine.runner import Runner, generators, parameter_bytes
from genlab.engine.tensors import to_uint8
from genlab.families.description import Find
from genlab.families.stable_diffusion.adapters import Adapters, predict_noise
from genlab.families.stable_diffusion.decoding import pictures_at_once
from genlab.families.stable_diffusion.latent_preview import preview_of
from genlab.families.stable_diffusion.latent_trajectory import LatentTrajectory
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.families.stable_diffusion.sentences import no_use_of_guidance, not_finite
from genlab.families.stable_diffusion.start_latents import StartLatents, mask_of, pixels_of
from genlab.families.stable_diffusion.text_conditioning import Conditioning, TextConditioning
from genlab.formats import pipelines
from genlab.formats.fingerprints import together
from genlab.formats.metadata import ModelMetadata
from genlab.formats.pipeline_checks import check_stable_diffusion
from genlab.requests import UserError


@dataclass
class LatentState:
    """What a job remembers between steps; every tensor has one row an image."""

    scheduler: Any  # its own instance: schedulers hold history; its tables lie on the CPU
    step_options: dict[str, Any]  # what its step takes besides the usual three
    latents: torch.Tensor  # (count, C, H/8, W/8)
    conditioning: Conditioning  # under guidance the negative prompt's rows first
    begin: int = 0  # the scheduler's step that is the job's first
    start: StartLatents | None = None  # the picture that it begins with
    notes: tuple[str, ...] = ()
    trajectory: LatentTrajectory | None = None
    denoised: torch.Tensor | None = None  # the latest estimate of the clean latents
    undecoded: torch.Tensor | None = None  # clean latents, once the last step is taken
    decoded: list[np.ndarray] = field(default_factory=list)  # uint8 (N, H, W, 3) each


@dataclass(frozen=True)
class Decoded:
    """What a call of the VAE made of some latents of one job."""

    pictures: np.ndarray  # uint8 (N, H, W, 3)
    finite: bool  # whether every pixel was a number


class StableDiffusionRunner(Runner):
    """A Stable Diffusion in diffusers' layout (Rombach et al. 2022, Podell et al. 2023).

    A job's state holds latents (count, C, H/8, W/8). A prediction is the UNet's output, eps or v,
    of the same shape; under guidance it has (2 * count, ...): first the unconditional rows, then
    the conditional ones. A result's pictures are uint8 (count, H, W, 3).

    Args:
        pipeline: of diffusers, with its weights.
        device: where it runs.
        metadata: its title, its defaults, and whether it was distilled.
        find: knows the LoRAs that requests may name.
    """

    def __init__(
        self, pipeline: Any, device: Device, metadata: ModelMetadata, find: Find = lambda name: None
    ) -> None:
        super().__init__(device)
        self.metadata = metadata
        pipeline.to(device.torch)
        self.unet: Any = pipeline.unet.eval()
        self.vae: Any = pipeline.vae.eval()
        self.scheduler_config = pipeline.scheduler.config
        self.size = self.unet.config.sample_size
        self.channels = self.unet.config.in_channels
        self.pixels = self.size * 2 ** (len(self.vae.config.block_out_channels) - 1)
        self.at_once = pictures_at_once(device, self.pixels**2)
        self.text = TextConditioning(pipeline, device, self.pixels)
        plain = partial(predict_noise, self.unet)
        self._noise_pred = device.graph(plain, self.unet)
        graphed = self._noise_pred is not plain
        self._loras = Adapters(pipeline, device, self.text, metadata.title, find, graphed)
        self._pictures = device.graph(lambda z: self.vae.decode(z).sample, self.vae)
        if self.text.xl and self.vae.config.force_upcast:  # its VAE overflows in fp16
            self.vae.float()
        self._vae_scale, self._vae_shift = _latent_statistics(self.vae)
        self._preview = preview_of(metadata.path, self.vae, self._vae_input)
        self._shared: list[Conditioning] = []  # of the jobs of the latest call, in order
        self._shared_rows: Conditioning = {}  # the same as one

    @classmethod
    def open(cls, metadata: ModelMetadata, device: Device, find: Find) -> Self:
        """Load the weights onto the device; raises BrokenCheckpoint with a sentence."""
        check_stable_diffusion(metadata.path, metadata.card)
        pipeline = pipelines.open_pipeline(metadata.path, metadata.card, device.dtype)
        return cls(pipeline, device, metadata, find)

    @property
    def nbytes(self) -> int:
        return parameter_bytes(self.unet, self.vae) + self.text.nbytes + self._loras.nbytes

    def fingerprint_of(self, request: StableDiffusionRequest) -> str:
        added = self._loras.fingerprint(request.lora) if request.lora else ""
        return together([part for part in (self.fingerprint, added) if part])

    def batch_key(self, request: StableDiffusionRequest) -> tuple[str, ...]:
        added = (request.lora, str(request.lora_scale)) if request.lora else ()
        return (*super().batch_key(request), *added)

    def rows(self, request: StableDiffusionRequest) -> int:
        return 2 * request.count if request.guided else request.count

    # --- a job's life -----------------------------------------------------------------------

    def start(self, jobs: Sequence[Job]) -> list[LatentState]:
        requests: list[StableDiffusionRequest] = [job.request for job in jobs]
        worn = self._loras.wear(requests[0])  # they have one batch key
        text = self._loras.text if worn.adapter else self.text
        states = []
        for request, conditioning in zip(requests, text.encode(requests, worn), strict=True):
            scheduler = self._scheduler(request)
            owned = generators(request)
            start = self._start_latents(request, owned) if request.picture else None
            if start is None:
                begin, latents = 0, self._noise(owned) * scheduler.init_noise_sigma
            else:
                begin, latents = start.first(scheduler, request)
            states.append(
                LatentState(
                    scheduler=scheduler,
                    step_options=step_options(scheduler, generator=owned),
                    latents=latents,
                    conditioning=conditioning,
                    begin=begin,
                    start=start,
                    notes=self.text.what_was_cut(request)
                    + no_use_of_guidance(self.metadata, request),
                    trajectory=LatentTrajectory(scheduler, begin) if request.trajectory else None,
                )
            )
        return states

    def total_steps(self, job: Job) -> int:
        # PNDM takes more than num_inference_steps
        return len(job.state.scheduler.timesteps) - job.state.begin

    @torch.inference_mode()
    def predict(self, jobs: Sequence[Job]) -> list[torch.Tensor]:
        latents: list[torch.Tensor] = []
        timesteps: list[float] = []
        rows = [self.rows(job.request) for job in jobs]
        for job, count in zip(jobs, rows, strict=True):
            state: LatentState = job.state
            t = state.scheduler.timesteps[state.begin + job.step]
            scaled = state.scheduler.scale_model_input(state.latents, t)
            latents += [scaled] * (count // len(scaled))  # twice under guidance
            timesteps += [float(t)] * count
        worn = self._loras.wear(jobs[0].request)
        noise_pred = self.device.call(
            self._loras.predict_noise if worn.adapter else self._noise_pred,
            torch.cat(latents),
            torch.tensor(timesteps, dtype=torch.float32),
            **self._conditioning(jobs),
        )
        return list(noise_pred.split(rows))

    @torch.inference_mode()
    def advance(self, job: Job, prediction: torch.Tensor) -> None:
        state: LatentState = job.state
        predictions = {"guided": prediction}
        if job.request.guided:
            uncond, text = prediction.chunk(2)
            noise_pred = guidance.classifier_free(uncond, text, job.request.guidance_scale)
            predictions = {"uncond": uncond, "cond": text, "guided": noise_pred}
        if state.trajectory is not None:
            state.trajectory.add(job.step, state.latents, predictions)
        scheduler, step = state.scheduler, state.begin + job.step
        # PNDM counts its own calls and looks at t again, so the step's own timestep is passed.
        t = own_timestep(scheduler, step)
        output = scheduler.step(predictions["guided"], t, state.latents, **state.step_options)
        state.latents = output.prev_sample
        state.denoised = _denoised(scheduler, output)
        if state.start is not None:
            state.latents = state.start.keep(scheduler, state.latents, step + 1)
            state.denoised = state.start.keep_clean(state.denoised)
        if step + 1 == len(scheduler.timesteps):
            kept = [state.latents]
            if state.trajectory is not None:
                kept.append(state.trajectory.latents())
            state.undecoded = torch.cat(kept)

    def undecoded(self, job: Job) -> int:
        return len(job.state.undecoded)

    @torch.inference_mode()
    def decode(self, jobs: Sequence[Job]) -> list[Decoded]:
        """The next pictures of each job, as many as are decoded at once in all.

        Those of a trajectory come after the job's own.
        """
        share, left = max(1, self.at_once // len(jobs)), self.at_once
        pieces: list[torch.Tensor] = []
        for job in jobs:
            pieces.append(job.state.undecoded[: min(share, left)])  # none left: its turn comes
            left -= len(pieces[-1])
        rows = self.device.call(self._pictures, self._vae_input(torch.cat(pieces)))
        finite = torch.isfinite(rows).flatten(1).all(dim=1).cpu()
        counts = [len(piece) for piece in pieces]
        pictures = np.split(to_uint8(rows), np.cumsum(counts)[:-1])
        return [
            Decoded(part, bool(good.all()))
            for part, good in zip(pictures, finite.split(counts), strict=True)
        ]

    def store(self, job: Job, decoded: Decoded) -> None:
        if not decoded.finite:
            raise not_finite(self.metadata, job.request)
        job.state.decoded.append(decoded.pictures)
        job.state.undecoded = job.state.undecoded[len(decoded.pictures) :]

    @torch.inference_mode()
    def preview(self, jobs: Sequence[Job]) -> list[np.ndarray | None]:
        denoised = [job.state.denoised for job in jobs]
        rows = self._preview(torch.cat(denoised))
        finite = torch.isfinite(rows).flatten(1).all(dim=1).cpu()
        counts = [len(piece) for piece in denoised]
        pictures = np.split(to_uint8(rows), np.cumsum(counts)[:-1])
        return [
            part if good.all() else None
            for part, good in zip(pictures, finite.split(counts), strict=True)
        ]

    def result(self, job: Job) -> Result:
        state: LatentState = job.state
        pictures = np.concatenate(state.decoded)
        own, others = np.split(pictures, [job.request.count])
        extras = {} if state.trajectory is None else state.trajectory.extras(others)
        return Result(own, extras, state.notes)

    def _noise(self, owned: Sequence[torch.Generator]) -> torch.Tensor:
        """Standard normal latents (len(owned), C, H/8, W/8), row k from generator k."""
        shape = (len(owned), self.channels, self.size, self.size)
        like = {"device": self.device.torch, "dtype": self.device.dtype}
        return randn_tensor(shape, generator=list(owned), **like)

    @torch.inference_mode()
    def _start_latents(
        self, request: StableDiffusionRequest, owned: Sequence[torch.Generator]
    ) -> StartLatents:
        """The request's picture as latents; raises UserError if its file is damaged."""
        pixels = pixels_of(request, self.pixels).to(self.device.torch, self.vae.dtype)
        mask = mask_of(request, self.pixels, self.size)
        if mask is not None:
            mask = mask.to(self.device.torch, self.device.dtype)
        moments = self.device.call(lambda x: self.vae.encode(x).latent_dist.parameters, pixels)
        return StartLatents.of(
            moments, owned, self._vae_scale, self._vae_shift, mask, self.device.dtype
        )

    def _scheduler(self, request: StableDiffusionRequest) -> Any:
        """A scheduler of a job's own, ready for its first step; raises UserError."""
        scheduler = make_scheduler(request.scheduler, self.scheduler_config)
        try:
            scheduler.set_timesteps(request.num_inference_steps, device="cpu")
        except ValueError as error:  # PNDM begins with several evaluations a step
            count = request.num_inference_steps
            label = SCHEDULERS[request.scheduler].label
            unit = "step" if count == 1 else "steps"
            raise UserError(
                f"{label} cannot draw in {count} {unit}; ask for another number."
            ) from error
        return scheduler

    # --- network calls ----------------------------------------------------------------------

    def _conditioning(self, jobs: Sequence[Job]) -> Conditioning:
        """The conditioning of all jobs; put together anew only when others take part."""
        parts: list[Conditioning] = [job.state.conditioning for job in jobs]
        same = len(parts) == len(self._shared) and all(map(is_, parts, self._shared))
        if not same:
            self._shared_rows = {name: torch.cat([p[name] for p in parts]) for name in parts[0]}
            self._shared = parts
        return self._shared_rows

    def _vae_input(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents as the VAE takes them, (B, C, H/8, W/8)."""
        return latents.to(self.vae.dtype) * self._vae_scale + self._vae_shift


def _latent_statistics(vae: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """What latents are multiplied with, and what is then added, each (1, C or 1, 1, 1)."""
    config, like = vae.config, next(vae.parameters())
    mean, std = config.get("latents_mean"), config.get("latents_std")
    if mean is None or std is None:
        mean, std = [0.0], [1.0]
    scale = torch.tensor(std, dtype=torch.float64).view(1, -1, 1, 1) / config.scaling_factor
    shift = torch.tensor(mean, dtype=torch.float64).view(1, -1, 1, 1)
    return scale.to(like.device, like.dtype), shift.to(like.device, like.dtype)


def _denoised(scheduler: Any, output: Any) -> torch.Tensor:
    """The scheduler's estimate of the clean latents after a step, or the best it offers."""
    if getattr(output, "pred_original_sample", None) is not None:
        return output.pred_original_sample
    history = getattr(scheduler, "model_outputs", None)  # DPM++ keeps its data predictions
    if history and history[-1] is not None:
        return history[-1]
    return output.prev_sample
