"""The options of `sample` come from the families' requests: a new family brings its own."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field
from typer.main import get_command

from genlab.cli import build_app
from genlab.cli.options import SHOWN, request_fields, sample_options
from genlab.cli.sample import target_classes
from genlab.families.description import FamilyDescription
from genlab.families.gan.request import GANRequest
from genlab.families.pixel_diffusion.request import PixelDiffusionRequest
from genlab.formats.metadata import ModelMetadata
from genlab.models.families import FAMILIES
from genlab.requests import SampleRequest, UserError

OLD = (
    *("out", "count", "seed", "label", "prompt", "prompts", "negative-prompt", "steps"),
    *("guidance-scale", "guidance", "scheduler", "eta", "temperature", "snapshot", "device"),
)
"""The options that `sample` has had since the first version."""


class FlowRequest(SampleRequest):
    """Of a family that nobody has written."""

    solver: Literal["euler", "heun"] = Field("heun", description="how the path is followed")
    widths: tuple[Annotated[int, Field(ge=1, le=3)], ...] = Field(())
    reverse: bool = Field(False, description="run the path backwards")
    temperature: float = Field(1.0, ge=0, le=9, description="scale of the noise")
    preview_every: int = 0


FLOW = dataclasses.replace(
    FAMILIES["vae"],
    name="flow",
    label="flow matching",
    requests=(FlowRequest,),
    options={"widths": "width"},
)


def help_of_sample() -> str:
    """What `sample --help` says, in one line."""
    command: Any = get_command(build_app())
    sample = command.commands["sample"]
    with sample.make_context("sample", ["name", "--out", "x"]) as context:
        return re.sub(r"\s+", " ", sample.get_help(context))


def metadata(family: str) -> ModelMetadata:
    return ModelMetadata("mine", Path("mine"), family, "Mine", "mnist")


def fields(family: FamilyDescription, **values: Any) -> dict[str, Any]:
    return request_fields(metadata(family.name), family, values)


def test_every_option_of_before_is_there() -> None:
    text = help_of_sample()
    assert [name for name in OLD if f" --{name} " not in text] == []


def test_every_field_of_every_familys_samples_has_an_option() -> None:
    options = sample_options(FAMILIES.values())
    for family in FAMILIES.values():
        for field in getattr(family.sample_request, "model_fields", {}):
            if field not in SampleRequest.model_fields and field not in SHOWN:
                assert family.label in options[family.options.get(field, field)].fields


def test_an_options_help_says_what_it_takes_and_who_has_it() -> None:
    text = help_of_sample()
    assert "Scale of a VAE's z: a number from 0 to 3 (vae)." in text
    assert "a whole number from 1 to 100 (stable diffusion, text to image)" in text
    assert "a whole number from 1 to 1000 (pixel diffusion)" in text
    assert "The label of every image: a whole number from 0 to 999 (vae, gan); " in text
    assert "a whole number from 0 to 9 (pixel diffusion)." in text


def test_a_new_family_brings_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--solver" not in help_of_sample()
    monkeypatch.setitem(FAMILIES, "flow", FLOW)
    text = help_of_sample()
    assert "How the path is followed: one of euler, heun (flow matching)." in text
    assert "--width <int> The width of every image: a whole number from 1 to 3" in text
    assert "a number from 0 to 3 (vae); a number from 0 to 9 (flow matching)." in text
    assert "--reverse" in text
    assert "--preview-every" not in text


def test_options_become_fields_of_the_request() -> None:
    assert fields(FLOW, width=2, solver="euler") == {"widths": (2,), "solver": "euler"}
    assert fields(FAMILIES["pixel_diffusion"], label=7, steps=9) == {
        "labels": (7,),
        "num_inference_steps": 9,
    }


@pytest.mark.parametrize(
    ("family", "option", "flag"),
    [("vae", "snapshot", "--snapshot"), ("gan", "guidance_scale", "--guidance-scale")],
)
def test_an_option_that_the_family_lacks_is_named(family: str, option: str, flag: str) -> None:
    with pytest.raises(UserError, match=f"is a {family} checkpoint, which has no option {flag}"):
        fields(FAMILIES[family], **{option: 1})


def test_guidance_of_a_family_that_has_one_kind_is_on_or_off() -> None:
    diffusion = FAMILIES["stable_diffusion"]
    assert fields(diffusion, guidance="none", guidance_scale=5.0) == {"guidance_scale": 1.0}
    assert fields(diffusion, guidance="classifier-free") == {}
    with pytest.raises(UserError, match="none or classifier-free, not classifier"):
        fields(diffusion, guidance="classifier")
    assert fields(FAMILIES["pixel_diffusion"], guidance="none") == {"guidance": "none"}


def test_the_classes_of_pictures_are_those_that_guidance_leads_to() -> None:
    guided = PixelDiffusionRequest(checkpoint="d", count=3, seed=8)
    assert target_classes(guided) == (8, 9, 0)
    assert target_classes(guided.model_copy(update={"guidance": "none"})) == ()
    assert target_classes(GANRequest(checkpoint="g")) == ()
