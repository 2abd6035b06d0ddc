"""Models from outside checkpoints/: the presets, and what GENLAB_MODELS names. Knows no hub.

A source is a model of Hugging Face's hub ("org/name"), a diffusers folder or a .safetensors file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from genlab.requests import SchedulerName, UserError

Kind = Literal["hub", "folder", "file"]
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
DISTILLED = (
    "This model was distilled to draw in few steps without guidance, so guidance_scale stays off."
)
DISTILLED_NAMES = ("turbo", "lightning", "schnell", "hyper")


@dataclass(frozen=True)
class Source:
    """Where a model from outside checkpoints/ is, and how it is best asked."""

    name: str  # as requests call it
    title: str
    where: str  # a hub id, or a path
    kind: Kind = "hub"
    gb: float | None = None  # to download, about; None: only the hub knows
    parameters: float | None = None  # billions; each takes 2 bytes in fp16, 4 in fp32
    distilled: str | None = None  # why guidance is off, for models that learnt to do without
    num_inference_steps: int = 25
    guidance_scale: float = 7.5
    scheduler: SchedulerName = "dpmpp-2m"


PRESETS = (
    Source(
        name="stable-diffusion-1.5",
        title="Stable Diffusion 1.5",
        where="stable-diffusion-v1-5/stable-diffusion-v1-5",
        gb=2.1,  # all of it in fp16
        parameters=1.07,  # UNet 0.86, text encoder 0.12, VAE 0.08
    ),
    Source(
        name="bk-sdm-small",
        title="BK-SDM small (a pruned Stable Diffusion)",
        where="nota-ai/bk-sdm-small",
        gb=2.6,  # should it be in fp32
        parameters=0.66,
    ),
    Source(
        name="sdxl-base",
        title="Stable Diffusion XL base",
        where="stabilityai/stable-diffusion-xl-base-1.0",
        gb=6.9,
        parameters=3.47,  # UNet 2.57, text encoders 0.12 and 0.69, VAE 0.08
        guidance_scale=5.0,
    ),
    Source(
        name="sd-turbo",
        title="SD-Turbo (distilled: one to four steps)",
        where="stabilityai/sd-turbo",
        gb=2.6,
        parameters=1.29,  # UNet 0.87, text encoder 0.34, VAE 0.08
        distilled=DISTILLED,
        num_inference_steps=2,
        guidance_scale=1.0,
        scheduler="euler-ancestral",
    ),
)


def sources(specs: Iterable[str]) -> tuple[list[Source], dict[str, str]]:
    """The presets and the sources that ``specs`` name, and what is wrong with the others."""
    found = {source.name: source for source in PRESETS}
    wrong: dict[str, str] = {}
    for spec in specs:
        try:
            source = read_spec(spec)
        except UserError as error:
            wrong[spec] = str(error)
            continue
        known = {source.where for source in found.values()}
        if source.where not in known:
            name = source.where if source.name in found else source.name
            found[name] = replace(source, name=name)
    return list(found.values()), wrong


def read_spec(spec: str) -> Source:
    """One item of GENLAB_MODELS; raises UserError if it is no folder, file or hub id."""
    path = Path(spec).expanduser()
    name = path.name.removesuffix(".safetensors")
    if path.is_dir():
        return _outside(name, str(path.resolve()), "folder")
    if path.is_file():
        if path.suffix != ".safetensors":
            raise UserError("it is no .safetensors file; pickled weights are never loaded.")
        return _outside(name, str(path.resolve()), "file")
    if HUB_ID.fullmatch(spec):
        return _outside(name, spec, "hub")
    raise UserError("there is no such folder or file, and it is no hub id such as org/name.")


def _outside(name: str, where: str, kind: Kind) -> Source:
    """A source with the defaults that its name suggests."""
    source = Source(name, name, where, kind)
    if not any(word in name.lower() for word in DISTILLED_NAMES):
        return source
    return replace(
        source,
        distilled=DISTILLED,
        num_inference_steps=4,
        guidance_scale=1.0,
        scheduler="euler-ancestral",
    )
