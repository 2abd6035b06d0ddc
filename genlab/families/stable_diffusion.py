"""Stable Diffusion, row by row: gives what diffusers' StableDiffusionPipeline gives, for many jobs
in one UNet call. Knows no thread and no page."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.utils.torch_utils import randn_tensor

from genlab import guidance, images
from genlab.families.base import (
    BrokenCheckpoint,
    Family,
    Outcome,
    check_weights,
    generators,
    parameter_bytes,
    read_json,
    split_rows,
    weight_files,
)
from genlab.families.schedulers import kept_steps, make_scheduler, predicted_clean
from genlab.requests import Request, StableDiffusionRequest, UserError

if TYPE_CHECKING:
    from genlab.engine import Job, Runtime

COMPONENTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
MOST_FRAMES = 25
"""A film keeps at most this many steps: each of them is up to three decoded pictures."""


@dataclass
class Film:
    """What was predicted for picture 0 at some steps of its run, as clean latents (4, H/8, W/8).

    Lists have one item a frame; the unguided predictions stay empty where guidance is off.
    """

    keep: frozenset[int]  # the steps that make a frame
    steps: list[int] = field(default_factory=list)
    timesteps: list[float] = field(default_factory=list)
    predictions: dict[str, list[torch.Tensor]] = field(
        default_factory=lambda: {"uncond": [], "cond": [], "guided": []}
    )
    guidance_norm: list[float] = field(default_factory=list)


@dataclass
class State:
    """What a job remembers between steps; every tensor has one row an image."""

    scheduler: Any  # its own instance: schedulers hold history
    generators: list[torch.Generator]
    latents: torch.Tensor  # (count, 4, H/8, W/8)
    embeddings: torch.Tensor  # (rows, length, width); under guidance the negative prompt's first
    denoised: torch.Tensor | None = None  # the latest estimate of the clean latents
    notes: tuple[str, ...] = field(default=())
    film: Film | None = None


class StableDiffusionFamily(Family):
    """A Stable Diffusion 1.x pipeline in the stock diffusers layout (Rombach et al. 2022)."""

    name = "stable_diffusion"
    requests = (StableDiffusionRequest,)

    def __init__(
        self, pipeline: StableDiffusionPipeline, runtime: Runtime, card: dict[str, Any]
    ) -> None:
        super().__init__(runtime, card)
        self.unet: Any = pipeline.unet.eval()
        self.vae: Any = pipeline.vae.eval()
        self.text_encoder: Any = pipeline.text_encoder.eval()
        self.tokenizer: Any = pipeline.tokenizer
        self.scheduler_config = pipeline.scheduler.config
        self.size = self.unet.config.sample_size
        self.channels = self.unet.config.in_channels

    @classmethod
    def check(cls, folder: Path) -> None:
        index = read_json(folder / "model_index.json")
        if index.get("_class_name") != "StableDiffusionPipeline":
            raise BrokenCheckpoint("its model_index.json names no StableDiffusionPipeline.")
        missing = [name for name in COMPONENTS if not (folder / name).is_dir()]
        if missing:
            raise BrokenCheckpoint(f"it has no {missing[0]} folder.")
        for name, network in (("unet", UNet2DConditionModel), ("vae", AutoencoderKL)):
            config = read_json(folder / name / "config.json")
            try:
                with torch.device("meta"):
                    wanted = network(**network.extract_init_dict(config)[0]).state_dict()
            except Exception as error:
                raise BrokenCheckpoint(f"its {name}/config.json describes no {name}.") from error
            check_weights(
                weight_files(folder / name), {k: list(v.shape) for k, v in wanted.items()}
            )
        check_weights(weight_files(folder / "text_encoder"), None)

    @classmethod
    def open(cls, folder: Path, runtime: Runtime, card: dict[str, Any]) -> Self:
        cls.check(folder)
        try:
            pipeline = StableDiffusionPipeline.from_pretrained(
                folder,
                dtype=runtime.dtype,
                use_safetensors=True,
                local_files_only=True,
                safety_checker=None,
                requires_safety_checker=False,
            )
        except Exception as error:
            raise BrokenCheckpoint("diffusers cannot open it as a Stable Diffusion.") from error
        return cls(pipeline.to(runtime.device), runtime, card)

    @property
    def nbytes(self) -> int:
        return parameter_bytes(self.unet, self.vae, self.text_encoder)

    # --- a job's life -----------------------------------------------------------------------

    def start(self, jobs: Sequence[Job]) -> list[State]:
        asked = [_request(job.request) for job in jobs]
        texts = [text for r in asked for text in (r.negative_prompt, r.prompt)]
        encoded = self._encode(texts)  # (2 * jobs, length, width)
        states = []
        for k, request in enumerate(asked):
            negative, positive = (
                encoded[i].expand(request.count, -1, -1) for i in (2 * k, 2 * k + 1)
            )
            scheduler = make_scheduler(request.scheduler, self.scheduler_config)
            scheduler.set_timesteps(request.num_inference_steps, device=self.runtime.device)
            owned = generators(request)
            noise = randn_tensor(
                (request.count, self.channels, self.size, self.size),
                generator=owned,
                device=self.runtime.device,
                dtype=self.runtime.dtype,
            )
            kept = kept_steps(len(scheduler.timesteps), MOST_FRAMES)
            states.append(
                State(
                    scheduler=scheduler,
                    generators=owned,
                    latents=noise * scheduler.init_noise_sigma,
                    embeddings=torch.cat([negative, positive]) if request.guided else positive,
                    notes=self._what_was_cut(request),
                    film=Film(frozenset(kept)) if request.film else None,
                )
            )
        return states

    def total_steps(self, job: Job) -> int:
        return len(job.state.scheduler.timesteps)  # PNDM takes more than num_inference_steps

    def predict(self, jobs: Sequence[Job]) -> list[torch.Tensor]:
        latents, timesteps, embeddings = [], [], []
        for job in jobs:
            state: State = job.state
            t = state.scheduler.timesteps[job.step]
            scaled = state.scheduler.scale_model_input(state.latents, t)
            latents.append(torch.cat([scaled, scaled]) if _request(job.request).guided else scaled)
            timesteps.append(t.float().expand(job.request.rows))
            embeddings.append(state.embeddings)
        noise_pred = self.runtime.call(
            self._noise_pred, torch.cat(latents), torch.cat(timesteps), torch.cat(embeddings)
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
        if state.film is not None and job.step in state.film.keep:
            _record(state.film, state, job.step, predictions)
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

    def _noise_pred(
        self, latents: torch.Tensor, timesteps: torch.Tensor, embeddings: torch.Tensor
    ) -> torch.Tensor:
        return self.unet(latents, timesteps, encoder_hidden_states=embeddings).sample

    def _encode(self, texts: list[str]) -> torch.Tensor:
        """Text embeddings (len(texts), length, width); too long a text is cut, as in diffusers."""
        tokens = self.tokenizer(
            texts,
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        return self.runtime.call(lambda ids: self.text_encoder(ids)[0], tokens.input_ids)

    def _decode(self, latents: Sequence[torch.Tensor]) -> list[np.ndarray]:
        rows = torch.cat(list(latents)) / self.vae.config.scaling_factor
        pictures = images.to_uint8(self.runtime.call(lambda z: self.vae.decode(z).sample, rows))
        return np.split(pictures, np.cumsum([len(piece) for piece in latents])[:-1])

    def _developed(self, film: Film | None) -> dict[str, Any]:
        """The film as a Result's extras; its pictures are uint8 (S, 1, H, W, 3)."""
        if film is None:
            return {}
        made = {name: rows for name, rows in film.predictions.items() if rows}
        pictures = self._decode([torch.stack(rows) for rows in made.values()])
        extras: dict[str, Any] = {
            "film_steps": np.array(film.steps),
            "film_timesteps": np.array(film.timesteps),
        }
        for name, frames in zip(made, pictures, strict=True):
            extras[f"film_{name}"] = frames[:, None]
        if film.guidance_norm:
            extras["film_guidance_norm"] = np.array(film.guidance_norm, np.float32)[:, None]
        return extras

    def _what_was_cut(self, request: StableDiffusionRequest) -> tuple[str, ...]:
        notes = []
        for name in ("prompt", "negative_prompt"):
            limit = self.tokenizer.model_max_length - 2  # start and end take two places
            ids = self.tokenizer(
                getattr(request, name), add_special_tokens=False, verbose=False
            ).input_ids
            if len(ids) > limit:
                left_out = self.tokenizer.decode(ids[limit:])
                notes.append(
                    f"The {name.replace('_', ' ')} has {len(ids)} tokens, but the text encoder "
                    f"reads {limit}; this was left out: {left_out!r}."
                )
        return tuple(notes)


def _request(request: Request) -> StableDiffusionRequest:
    assert isinstance(request, StableDiffusionRequest)  # the catalogue has checked
    return request


def _record(film: Film, state: State, step: int, predictions: dict[str, torch.Tensor]) -> None:
    """Add a frame: the clean latents behind each prediction for picture 0, before the step."""
    scheduler = state.scheduler
    film.steps.append(step)
    film.timesteps.append(float(scheduler.timesteps[step]))
    for name, rows in predictions.items():
        clean = predicted_clean(scheduler, rows[:1], state.latents[:1], step)
        film.predictions[name].append(clean[0])
    if "uncond" in predictions:
        push = predictions["guided"][0] - predictions["uncond"][0]
        film.guidance_norm.append(push.float().norm().item())


def _denoised(scheduler: Any, output: Any) -> torch.Tensor:
    """The scheduler's estimate of the clean latents after a step, or the best it offers."""
    if getattr(output, "pred_original_sample", None) is not None:
        return output.pred_original_sample
    history = getattr(scheduler, "model_outputs", None)  # DPM++ keeps its data predictions
    if history and history[-1] is not None:
        return history[-1]
    return output.prev_sample
