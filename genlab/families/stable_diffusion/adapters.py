"""LoRAs on top of one pipeline, one at a time, through PEFT and diffusers' own loader.

Knows no job and no step. A LoRA adds scale * alpha / r * B A to a layer's weights
(Hu et al. 2021, arXiv:2106.09685, section 4.1); the weights themselves stay as they are.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from copy import copy, deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.utils import delete_adapter_layers, set_weights_and_activate_adapters

from genlab.engine.device import Device
from genlab.engine.runner import parameter_bytes
from genlab.families.description import Find
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.families.stable_diffusion.text_conditioning import TextConditioning
from genlab.formats.building import ONE_AT_A_TIME
from genlab.formats.fingerprints import sha256_of, stamp_of
from genlab.formats.metadata import BrokenCheckpoint, ModelMetadata
from genlab.requests import UserError

log = logging.getLogger(__name__)

PARTS = ("unet", "text_encoder", "text_encoder_2")
KEPT = 4
"""LoRAs that stay loaded on one model; the least recently worn goes first."""


@dataclass(frozen=True)
class Worn:
    """A LoRA as it lay on disk when it was loaded, and how strongly it is worn."""

    adapter: str  # what PEFT calls it; "": none
    scale: float = 1.0
    fingerprint: str = ""


NOTHING = Worn("")


class Adapters:
    """The LoRAs that one pipeline has loaded, and which of them it wears.

    Args:
        pipeline: of diffusers, on its device; its UNet and text encoders get PEFT's layers.
        device: where they run.
        text: encodes prompts by the pipeline's encoders.
        title: what a person calls the model.
        find: knows where LoRAs lie.
        apart: whether to leave the pipeline's own networks alone and add to copies of them, since a
            graph may be made of them at any time.

    Attributes:
        text: encodes prompts by the encoders that wear what ``wear`` put on.
    """

    def __init__(
        self,
        pipeline: Any,
        device: Device,
        text: TextConditioning,
        title: str,
        find: Find,
        apart: bool,
    ) -> None:
        self.text = text
        self._pipeline = pipeline
        self._device = device
        self._apart = apart
        self._title = title
        self._find = find
        self._loaded: OrderedDict[str, tuple[Any, Worn]] = OrderedDict()  # with the file's stamp
        self._fingerprints: dict[str, str] = {}
        self._copied = False
        self._count = 0
        self._worn: Worn | None = NOTHING  # None: a load may have changed it

    @property
    def nbytes(self) -> int:
        """Memory of the copies; what is added in place counts as the network's own."""
        return parameter_bytes(*self._parts()) if self._copied else 0

    def fingerprint(self, name: str) -> str:
        """Of the LoRA of that name as it was loaded last."""
        return self._fingerprints.get(name, "")

    def predict_noise(self, *rows: torch.Tensor, **named: torch.Tensor) -> torch.Tensor:
        """`predict_noise` of the UNet that wears what ``wear`` put on."""
        return predict_noise(self._pipeline.unet, *rows, **named)

    def wear(self, request: StableDiffusionRequest) -> Worn:
        """Put a request's LoRA on, or take off what is worn; raises UserError with a sentence."""
        wanted = self._wanted(request)
        if wanted != self._worn:
            self._worn = None
            names = [wanted.adapter] if wanted.adapter else []
            for network in self._parts():  # layers that lack the adapter are as without any
                set_weights_and_activate_adapters(network, names, [wanted.scale] * len(names))
            self._worn = wanted
        return wanted

    def _wanted(self, request: StableDiffusionRequest) -> Worn:
        if not request.lora:
            return NOTHING
        entry = self._find(request.lora)
        if entry is None:
            raise UserError(f"The LoRA {request.lora} is gone.")
        stamp = stamp_of(entry.path)
        kept = self._loaded.get(entry.name)
        if kept is None or kept[0] != stamp:
            if kept is not None:
                self._drop(entry.name)
            while len(self._loaded) >= KEPT:
                self._drop(next(iter(self._loaded)))
            self._loaded[entry.name] = (stamp, self._load(entry))
        self._loaded.move_to_end(entry.name)
        loaded = self._loaded[entry.name][1]
        return Worn(loaded.adapter, request.lora_scale, loaded.fingerprint)

    def _load(self, entry: ModelMetadata) -> Worn:
        if self._apart and not self._copied:
            self._copy()
        self._count += 1
        self._worn = None
        adapter = f"lora{self._count}"
        try:
            fingerprint = sha256_of(entry.path)
            with ONE_AT_A_TIME:
                self._pipeline.load_lora_weights(
                    str(entry.path),
                    adapter_name=adapter,
                    use_safetensors=True,
                    local_files_only=True,
                )
            if not any(adapter in names for names in self._pipeline.get_list_adapters().values()):
                raise ValueError("none of its tensors has a place in the model")
        except BrokenCheckpoint as error:
            raise UserError(f"The LoRA {entry.name} is damaged: {error}") from error
        except Exception as error:
            log.warning("%s does not fit %s: %r", entry.name, self._title, error)
            self._forget(adapter)
            raise UserError(
                f"The LoRA {entry.name} does not fit {self._title}; the log says why."
            ) from error
        self._fingerprints[entry.name] = fingerprint
        return Worn(adapter, 1.0, fingerprint)

    def _copy(self) -> None:
        self._pipeline = copy(self._pipeline)
        for part in PARTS:
            network = getattr(self._pipeline, part, None)
            if network is not None:
                setattr(self._pipeline, part, deepcopy(network))
        self.text = TextConditioning(self._pipeline, self._device, self.text.pixels)
        self._copied = True

    def _parts(self) -> list[Any]:
        found = (getattr(self._pipeline, part, None) for part in PARTS)
        return [network for network in found if network is not None]

    def _drop(self, name: str) -> None:
        self._worn = None
        self._forget(self._loaded.pop(name)[1].adapter)

    def _forget(self, adapter: str) -> None:
        for network in self._parts():
            delete_adapter_layers(network, adapter)


def predict_noise(
    unet: Any,
    latents: torch.Tensor,
    timesteps: torch.Tensor,
    encoder_hidden_states: torch.Tensor,
    **added: torch.Tensor,
) -> torch.Tensor:
    """A UNet's prediction, (B, C, H/8, W/8), with one row of each argument a row of latents."""
    return unet(
        latents,
        timesteps,
        encoder_hidden_states=encoder_hidden_states,
        added_cond_kwargs=added or None,
    ).sample
