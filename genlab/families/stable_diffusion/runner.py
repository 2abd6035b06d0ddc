"""Stable Diffusion 1.x, 2.x and XL, row by row: gives what diffusers' stock pipelines give, for
many jobs in one UNet call. Knows no thread and no page."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from diffusers.utils.torch_utils import randn_tensor

from genlab import images
from genlab.diffusion import guidance
from genlab.diffusion.schedulers import make_scheduler, predicted_clean
from genlab.diffusion.trajectory import Film
from genlab.engine.runner import (
    BrokenCheckpoint,
    Family,
    Outcome,
    generators,
    parameter_bytes,
    split_rows,
)
from genlab.families.stable_diffusion.text_conditioning import Conditioning, TextConditioning
from genlab.formats import pipelines
from genlab.requests import Request, StableDiffusionRequest, UserError

if TYPE_CHECKING:
    from genlab.engine import Job, Runtime

COMPONENTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
MOST_FRAMES = 25  # of a film: each of them is up to three decoded pictures
FILMED = ("film_uncond", "film_cond", "film_guided")
PIXELS_AT_ONCE = 2**21  # that the VAE decodes in one call: eight pictures of 512x512


@dataclass
class State:
    """What a job remembers between steps; every tensor has one row an image."""

    scheduler: Any  # its own instance: schedulers hold history
    generators: list[torch.Generator]
    latents: torch.Tensor  # (count, 4, H/8, W/8)
    conditioning: Conditioning  # under guidance the negative prompt's rows first
    denoised: torch.Tensor | None = None  # the latest estimate of the clean latents
    notes: tuple[str, ...] = ()
    film: Film | None = None


class StableDiffusionFamily(Family):
    """A Stable Diffusion in diffusers' layout (Rombach et al. 2022, Podell et al. 2023)."""

    name = "stable_diffusion"
    requests = (StableDiffusionRequest,)

    def __init__(self, pipeline: Any, runtime: Runtime, card: dict[str, Any]) -> None:
        super().__init__(runtime, card)
        pipeline.to(runtime.device)
        self.unet: Any = pipeline.unet.eval()
        self.vae: Any = pipeline.vae.eval()
        self.scheduler_config = pipeline.scheduler.config
        self.size = self.unet.config.sample_size
        self.channels = self.unet.config.in_channels
        self.pixels = self.size * 2 ** (len(self.vae.config.block_out_channels) - 1)
        self.text = TextConditioning(pipeline, runtime, self.pixels)
        self._noise_pred = runtime.graph(self._predict_noise, self.unet)
        self._pictures = runtime.graph(lambda z: self.vae.decode(z).sample, self.vae)
        if self.text.xl and self.vae.config.force_upcast:  # its VAE overflows in fp16
            self.vae.float()

    @classmethod
    def check(cls, folder: Path) -> None:
        if pipelines.class_name(folder) not in pipelines.BATCHED:
            known = " or ".join(pipelines.BATCHED)
            raise BrokenCheckpoint(f"its model_index.json names no {known}.")
        missing = [name for name in COMPONENTS if name not in pipelines.components(folder)]
        if missing:
            raise BrokenCheckpoint(f"its model_index.json names no {missing[0]}.")
        pipelines.check_folder(folder)

    @classmethod
    def weigh(cls, folder: Path, dtype: torch.dtype) -> int:
        return pipelines.nbytes(folder, dtype)

    @classmethod
    def open(cls, folder: Path, runtime: Runtime, card: dict[str, Any]) -> Self:
        if folder.is_dir():
            cls.check(folder)
        return cls(pipelines.open_pipeline(folder, card, runtime.dtype), runtime, card)

    @property
    def nbytes(self) -> int:
        return parameter_bytes(self.unet, self.vae) + self.text.nbytes

    # --- a job's life -----------------------------------------------------------------------

    def start(self, jobs: Sequence[Job]) -> list[State]:
        asked = [_request(job.request) for job in jobs]
        states = []
        for request, conditioning in zip(asked, self.text.encode(asked), strict=True):
            scheduler = make_scheduler(request.scheduler, self.scheduler_config)
            scheduler.set_timesteps(request.num_inference_steps, device=self.runtime.device)
            owned = generators(request)
            noise = randn_tensor(
                (request.count, self.channels, self.size, self.size),
                generator=owned,
                device=self.runtime.device,
                dtype=self.runtime.dtype,
            )
            states.append(
                State(
                    scheduler=scheduler,
                    generators=owned,
                    latents=noise * scheduler.init_noise_sigma,
                    conditioning=conditioning,
                    notes=self.text.what_was_cut(request) + self._what_is_no_use(request),
                    film=Film(len(scheduler.timesteps), MOST_FRAMES) if request.film else None,
                )
            )
        return states

    def total_steps(self, job: Job) -> int:
        return len(job.state.scheduler.timesteps)  # PNDM takes more than num_inference_steps

    def predict(self, jobs: Sequence[Job]) -> list[torch.Tensor]:
        latents, timesteps = [], []
        for job in jobs:
            state: State = job.state
            t = state.scheduler.timesteps[job.step]
            scaled = state.scheduler.scale_model_input(state.latents, t)
            latents.append(torch.cat([scaled, scaled]) if _request(job.request).guided else scaled)
            timesteps.append(t.float().expand(job.request.rows))
        told = [job.state.conditioning for job in jobs]
        conditioning = {name: torch.cat([rows[name] for rows in told]) for name in told[0]}
        noise_pred = self.runtime.call(
            self._noise_pred, torch.cat(latents), torch.cat(timesteps), **conditioning
        )
        return split_rows(noise_pred, jobs)

    @torch.inference_mode()
    def advance(self, job: Job, prediction: torch.Tensor) -> None:
        state: State = job.state
        request = _request(job.request)
        predictions = {"guided": prediction}
        if request.guided:
            uncond, text = prediction.chunk(2)
            noise_pred = guidance.classifier_free(uncond, text, request.guidance_scale)
            predictions = {"uncond": uncond, "cond": text, "guided": noise_pred}
        noise_pred = predictions["guided"]
        scheduler = state.scheduler
        if state.film is not None:
            state.film.add(job.step, lambda: _frame(state, job.step, predictions))
        extra = (
            {"generator": state.generators}
            if "generator" in inspect.signature(scheduler.step).parameters
            else {}
        )
        # PNDM counts its own calls and looks at t again, so the step's own timestep is passed.
        output = scheduler.step(noise_pred, scheduler.timesteps[job.step], state.latents, **extra)
        state.latents = output.prev_sample
        state.denoised = _denoised(scheduler, output)

    def preview(self, jobs: Sequence[Job]) -> list[np.ndarray]:
        return self._decode([job.state.denoised for job in jobs])

    def finish(self, jobs: Sequence[Job]) -> list[Outcome]:
        latents = [job.state.latents for job in jobs]
        for rows in latents:
            if not torch.isfinite(rows).all():
                raise UserError("The numbers ran away at these settings; lower guidance_scale.")
        return [
            Outcome(pictures, self._developed(job.state.film), job.state.notes)
            for job, pictures in zip(jobs, self._decode(latents), strict=True)
        ]

    # --- network calls ----------------------------------------------------------------------

    def _predict_noise(
        self,
        latents: torch.Tensor,
        timesteps: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        **added: torch.Tensor,
    ) -> torch.Tensor:
        return self.unet(
            latents,
            timesteps,
            encoder_hidden_states=encoder_hidden_states,
            added_cond_kwargs=added or None,
        ).sample

    def _decode(self, latents: Sequence[torch.Tensor]) -> list[np.ndarray]:
        config = self.vae.config
        rows = torch.cat(list(latents)).to(self.vae.dtype) / config.scaling_factor
        if config.get("latents_mean") is not None and config.get("latents_std") is not None:
            mean, std = (
                torch.tensor(values, device=rows.device, dtype=rows.dtype).view(1, -1, 1, 1)
                for values in (config.latents_mean, config.latents_std)
            )
            rows = rows * std + mean
        at_once = max(1, PIXELS_AT_ONCE // self.pixels**2)
        pictures = np.concatenate(
            [
                images.to_uint8(self.runtime.call(self._pictures, part))
                for part in rows.split(at_once)
            ]
        )
        return np.split(pictures, np.cumsum([len(piece) for piece in latents])[:-1])

    def _developed(self, film: Film | None) -> dict[str, Any]:
        """The film as a Result's extras; its pictures are uint8 (S, 1, H, W, 3)."""
        if film is None:
            return {}
        extras = film.extras()
        names = [name for name in FILMED if name in extras]
        rows = [torch.from_numpy(extras[name]).to(self.runtime.device) for name in names]
        for name, frames in zip(names, self._decode(rows), strict=True):
            extras[name] = frames[:, None]
        return extras

    def _what_is_no_use(self, request: StableDiffusionRequest) -> tuple[str, ...]:
        why = self.card.get("distilled")
        return (f"{why} Here it was {request.guidance_scale:g}.",) if why and request.guided else ()


def _request(request: Request) -> StableDiffusionRequest:
    assert isinstance(request, StableDiffusionRequest)  # the catalogue has checked
    return request


def _frame(state: State, step: int, predictions: dict[str, torch.Tensor]) -> dict[str, Any]:
    """A film's frame of picture 0, before the step: the clean latents behind each prediction.

    And the L2 norm of what guidance adds to the unconditional output of the network.
    """
    frame: dict[str, Any] = {"timesteps": float(state.scheduler.timesteps[step])}
    for name, rows in predictions.items():
        clean = predicted_clean(state.scheduler, rows[:1], state.latents[:1], step)
        frame[name] = clean[0].float().cpu().numpy()
    if "uncond" in predictions:
        push = predictions["guided"][:1] - predictions["uncond"][:1]
        frame["guidance_norm"] = push.float().flatten(1).norm(dim=1).cpu().numpy()
    return frame


def _denoised(scheduler: Any, output: Any) -> torch.Tensor:
    """The scheduler's estimate of the clean latents after a step, or the best it offers."""
    if getattr(output, "pred_original_sample", None) is not None:
        return output.pred_original_sample
    history = getattr(scheduler, "model_outputs", None)  # DPM++ keeps its data predictions
    if history and history[-1] is not None:
        return history[-1]
    return output.prev_sample
