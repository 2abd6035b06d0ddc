"""Models from outside checkpoints/: the presets, and what GENLAB_MODELS names. Knows no hub.

A source is a model of Hugging Face's hub ("org/name"), a diffusers folder or a .safetensors file.
Whether a model was distilled to draw without guidance is known of some by their exact name, of some
by their own files, and can be said for any: ``name@distilled`` or ``name@guided`` in GENLAB_MODELS.
Whose configuration a file takes can be said as well, where its tensors cannot tell:
``file.safetensors@org/name``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from genlab.requests import UserError

Kind = Literal["hub", "folder", "file"]
HUB_ID = re.compile(r"(?=.{1,96}$)[A-Za-z0-9_][\w.-]*/[A-Za-z0-9_][\w.-]*", re.ASCII)
"""Of at most 96 characters, says the hub."""
MARKS = {"distilled": True, "guided": False}
DISTILLED = (
    "This model was distilled to draw in few steps without guidance, so guidance_scale stays off."
)
DISTILLED_MODELS = frozenset(
    {
        "stabilityai/sd-turbo",
        "stabilityai/sdxl-turbo",
        "stabilityai/stable-diffusion-3.5-large-turbo",
        "black-forest-labs/flux.1-schnell",
    }
)
"""Ids of the hub, in small letters. A folder that is called like one of them is a copy of it."""
DISTILLED_FILES = {
    "sd_turbo": "stabilityai/sd-turbo",
    "sd_xl_turbo_1.0": "stabilityai/sdxl-turbo",
    "sd_xl_turbo_1.0_fp16": "stabilityai/sdxl-turbo",
    "flux1-schnell": "black-forest-labs/FLUX.1-schnell",
}
"""The same models' single files, without .safetensors, and where their configuration is."""


@dataclass(frozen=True)
class Source:
    """Where a model from outside checkpoints/ is, and how it is best asked."""

    name: str  # as requests call it
    title: str
    where: str  # a hub id, or a path
    kind: Kind = "hub"
    gb: float | None = None  # to download, about; None: only the hub knows
    parameters: float | None = None  # billions; each takes 2 bytes in fp16, 4 in fp32
    distilled: bool | None = None  # None: its own files say it
    config: str = ""  # of a file: the hub id whose configuration is its own; "": its tensors say it
    num_inference_steps: int = 25
    guidance_scale: float = 7.5
    scheduler: str = "dpmpp-2m"

    def defaults(self, distilled: bool, few_steps: bool) -> dict[str, Any]:
        """The fields that its requests begin with.

        Args:
            distilled: whether it draws without guidance.
            few_steps: whether it is made for a handful of steps.
        """
        steps, scale, scheduler = self.num_inference_steps, self.guidance_scale, self.scheduler
        if distilled:
            steps, scale, scheduler = min(steps, 4), 1.0, "euler-ancestral"
        elif few_steps:
            steps = min(steps, 4)
        return {
            "num_inference_steps": steps,
            "guidance_scale": scale,
            "scheduler": scheduler,
        }


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
        distilled=True,
        num_inference_steps=2,
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
            wrong[spec if len(spec) <= 80 else spec[:77] + "..."] = str(error)
            continue
        twin = next((other for other in found.values() if other.where == source.where), None)
        if twin is None:
            name = source.where if source.name in found else source.name
            found[name] = replace(source, name=name)
        elif source.distilled is not None:
            found[twin.name] = replace(twin, distilled=source.distilled)
    return list(found.values()), wrong


def read_spec(spec: str) -> Source:
    """One item of GENLAB_MODELS; raises UserError if it is no folder, file or hub id."""
    where, distilled, config = _without_marks(spec)
    kind = _kind_of_path(where)
    if config and kind != "file":
        raise UserError(f"only a .safetensors file takes its configuration from {config}.")
    if kind is None:
        if not HUB_ID.fullmatch(where):
            raise UserError(
                "there is no such folder or file, and it is no hub id such as org/name."
            )
        name = where.split("/")[1]
        if where.lower() in DISTILLED_MODELS:
            distilled = True if distilled is None else distilled
        return Source(name, name, where, "hub", distilled=distilled)
    path = Path(where).expanduser().resolve()
    if kind == "file" and path.suffix != ".safetensors":
        raise UserError("it is no .safetensors file; pickled weights are never loaded.")
    name = path.name.removesuffix(".safetensors")
    if distilled is None and name.lower() in _names_of_copies(kind):
        distilled = True
    if kind == "file" and not config:
        config = DISTILLED_FILES.get(name.lower(), "")
    return Source(name, name, str(path), kind, distilled=distilled, config=config)


def _without_marks(spec: str) -> tuple[str, bool | None, str]:
    """Where a model is, whether it is said to be distilled, and whose configuration it takes."""
    where, distilled, config = spec, None, ""
    while "@" in where and _kind_of_path(where) is None:
        before, mark = where.rsplit("@", 1)
        if mark in MARKS and distilled is None:
            distilled = MARKS[mark]
        elif HUB_ID.fullmatch(mark) and not config:
            config = mark
        else:
            break
        where = before
    return where, distilled, config


def _names_of_copies(kind: Kind) -> frozenset[str]:
    if kind == "file":
        return frozenset(DISTILLED_FILES)
    return frozenset(model.split("/")[1] for model in DISTILLED_MODELS)


def _kind_of_path(where: str) -> Kind | None:
    """Whether a folder or a file is there; None if neither, or if nobody may look."""
    try:
        path = Path(where).expanduser().resolve()
        if not where or not path.name:
            return None  # nothing, or the root of the disk
        return "folder" if path.is_dir() else "file" if path.is_file() else None
    except (OSError, RuntimeError, ValueError):  # too long a name, no such user, a null byte
        return None
