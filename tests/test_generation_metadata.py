"""A PNG carries what is needed to draw it again, and a bad file is answered with a sentence."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from genlab import generation_metadata
from genlab.engine.core import Core
from genlab.engine.device import Device
from genlab.engine.events import Result
from genlab.families.gan.request import GANRequest
from genlab.families.pixel_diffusion.request import PixelDiffusionRequest
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.families.vae.request import VAERequest
from genlab.generation_metadata import GenerationMetadata
from genlab.models.cache import ModelCache
from genlab.models.registry import Registry
from genlab.requests import MAX_SEED, SampleRequest, UserError, parse_request
from tests.tiny_pipelines import save_tiny_stable_diffusion

VERSIONS = (
    '"versions": {"genlab": "0.1.0", "torch": "2.14.1", "diffusers": "0.42.1", '
    '"transformers": "5.23.0"}}'
)
EARLIER = {
    "pixel_diffusion": '{"kind": "PixelDiffusionRequest", "family": "pixel_diffusion", '
    '"request": {"checkpoint": "ddpm-mnist", "seed": 4, "count": 1, "labels": [7], '
    '"guidance": "classifier", "guidance_scale": 8.0, "classifier": null, '
    '"num_inference_steps": 50, "scheduler": "ddim", "eta": 0.5, "preview_every": 5, '
    '"film": true}, "checkpoint_sha256": "abc", ' + VERSIONS,
    "stable_diffusion": '{"kind": "StableDiffusionRequest", "family": "stable_diffusion", '
    '"request": {"checkpoint": "stable-diffusion-toybox", "seed": 5, "count": 1, '
    '"prompt": "a red 7", "negative_prompt": "", "num_inference_steps": 25, '
    '"guidance_scale": 4.0, "scheduler": "dpmpp-2m", "preview_every": 0, "film": false}, '
    '"checkpoint_sha256": "abc", ' + VERSIONS,
    "gan": '{"kind": "GANRequest", "family": "gan", "request": {"checkpoint": "dcgan-mnist", '
    '"seed": 5, "count": 1, "snapshot": 25}, "checkpoint_sha256": "abc", ' + VERSIONS,
    "vae": '{"kind": "VAERequest", "family": "vae", "request": {"checkpoint": "vae-mnist-2d", '
    '"seed": 5, "count": 1, "temperature": 1.0}, "checkpoint_sha256": "abc", ' + VERSIONS,
}
"""What GenLab 0.1.0 wrote into pictures, byte for byte."""
OF_EARLIER: dict[str, SampleRequest] = {
    "pixel_diffusion": parse_request(
        PixelDiffusionRequest, checkpoint="ddpm-mnist", seed=4, count=1, labels=(7,),
        guidance="classifier", guidance_scale=8, num_inference_steps=50, eta=0.5, preview_every=5,
        trajectory=True,
    ),
    "stable_diffusion": parse_request(
        StableDiffusionRequest, checkpoint="stable-diffusion-toybox", seed=5, count=1,
        prompt="a red 7",
    ),
    "gan": parse_request(GANRequest, checkpoint="dcgan-mnist", seed=5, count=1, snapshot=25),
    "vae": parse_request(VAERequest, checkpoint="vae-mnist-2d", seed=5, count=1),
}  # fmt: skip
KINDS = {type(request).__name__: type(request) for request in OF_EARLIER.values()}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    root = tmp_path_factory.mktemp("checkpoints")
    save_tiny_stable_diffusion(root / "tiny")
    return Registry(root)


def request(**values: object) -> StableDiffusionRequest:
    defaults = {"checkpoint": "tiny", "prompt": "a red seven", "count": 3, "seed": 5}
    usual = defaults | {"num_inference_steps": 3}
    return parse_request(StableDiffusionRequest, **(usual | values))


def drawn(registry: Registry, wanted: SampleRequest) -> Result:
    core = Core(ModelCache(registry, Device("cpu", graphs=False)))
    core.add(1, wanted, "somebody")
    for _ in range(1000):
        for _, event in core.step():
            if isinstance(event, Result):
                return event
    pytest.fail("it was never drawn")


def metadata(registry: Registry, wanted: SampleRequest) -> list[GenerationMetadata]:
    return registry.generation_metadata(wanted, registry.fingerprint("tiny"))


def png(text: str | None = None, key: str = generation_metadata.KEY) -> bytes:
    chunks = PngInfo()
    if text is not None:
        chunks.add_text(key, text)
    file = io.BytesIO()
    Image.new("L", (4, 4)).save(file, format="PNG", pnginfo=chunks)
    return file.getvalue()


def changed(registry: Registry, **values: Any) -> bytes:
    (first, *_) = metadata(registry, request())
    return png(json.dumps(json.loads(first.to_text()) | values))


@pytest.mark.parametrize("scheduler", ["dpmpp-2m", "euler-ancestral"])
def test_the_same_picture_comes_again_from_its_png(registry: Registry, scheduler: str):
    wanted = request(scheduler=scheduler, prompt="a red seven, «ночь» 夜", guidance_scale=7.5)
    result = drawn(registry, wanted)
    pictures = result.images
    for k, own in enumerate(registry.generation_metadata(wanted, result.fingerprint)):
        again, notes = registry.restore(generation_metadata.to_png(pictures[k], own))
        assert (notes, again.seed, again.count) == ((), 5 + k, 1)
        assert again == wanted.model_copy(update={"seed": 5 + k, "count": 1})
        gap = drawn(registry, again).images[0].astype(int) - pictures[k].astype(int)
        assert np.abs(gap).max() <= 1


def test_a_picture_as_gradio_saves_it_carries_its_metadata(registry: Registry, tmp_path: Path):
    own = metadata(registry, request())[1]
    picture = generation_metadata.put(Image.new("RGB", (16, 16), "red"), own)
    chunks = PngInfo()
    for key, value in picture.info.items():  # as gradio.processing_utils.encode_pil_to_bytes does
        chunks.add_text(str(key), str(value))
    picture.save(tmp_path / "picture.png", pnginfo=chunks)
    assert registry.restore((tmp_path / "picture.png").read_bytes()) == (own.request, ())


def test_the_keys_inside_a_png_are_those_that_other_programs_read(registry: Registry):
    (first, *_) = metadata(registry, request())
    content = json.loads(first.to_text())
    assert list(content) == [
        "format", "kind", "family", "request", "checkpoint_sha256", "versions"
    ]  # fmt: skip
    assert (content["format"], content["kind"]) == (1, "StableDiffusionRequest")
    assert content["request"]["seed"] == 5
    assert "judge" not in content["request"], "whether it was measured changes no picture"
    with Image.open(io.BytesIO(png(first.to_text()))) as picture:
        assert picture.info["genlab"] == first.to_text()


def test_the_hash_is_that_of_the_weights_files_one_after_the_other(registry: Registry):
    folder = registry.entry("tiny").path
    files = sorted(folder.rglob("*.safetensors"), key=lambda p: p.as_posix())
    content = b"".join(path.read_bytes() for path in files)
    assert drawn(registry, request()).fingerprint == hashlib.sha256(content).hexdigest()
    (first, *_) = metadata(registry, request())
    assert set(first.versions) == {"genlab", "torch", "diffusers", "transformers"}


def test_making_metadata_reads_no_weights(registry: Registry, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Registry, "fingerprint", lambda *_: pytest.fail("weights were read"))
    (first, *_) = registry.generation_metadata(request(), "of what was loaded")
    assert first.sha256 == "of what was loaded"


def test_a_picture_of_a_row_of_labels_keeps_its_own_label_and_seeds_begin_anew_after_the_last():
    row = parse_request(
        PixelDiffusionRequest, checkpoint="x", labels=(3, 1, 4), count=5, seed=MAX_SEED
    )
    fourth = generation_metadata.for_pictures(row, "pixel_diffusion", "")[3].request
    assert isinstance(fourth, PixelDiffusionRequest)
    assert (fourth.labels, fourth.seed, fourth.count) == ((3,), 2, 1)


# --- from other versions --------------------------------------------------------------------------


@pytest.mark.parametrize("family", EARLIER)
def test_a_picture_of_the_first_version_still_comes_back(family: str):
    found = generation_metadata.read(png(EARLIER[family]), KINDS)
    assert found.request == OF_EARLIER[family]
    assert (found.family, found.sha256) == (family, "abc")


def test_other_weights_and_other_versions_are_told_and_the_settings_still_come_back(registry):
    restored, notes = registry.restore(changed(registry, checkpoint_sha256="0" * 64))
    assert restored == request(count=1)
    assert "other weights of tiny" in notes[0]
    versions = {"torch": "1.0", "gone": "2"}
    restored, notes = registry.restore(changed(registry, versions=versions))
    assert restored == request(count=1)
    assert "drawn with torch 1.0 (here " in notes[0]


@pytest.mark.parametrize("newer", [{"format": 2}, {"versions": {"genlab": "999.0"}}])
def test_settings_of_a_newer_version_are_named(registry: Registry, newer: dict[str, Any]):
    fields = request(count=1).model_dump(mode="json") | {"churn": 0.5, "karras": True}
    with pytest.raises(UserError, match="newer GenLab .* does not have: churn, karras"):
        registry.restore(changed(registry, request=fields, **newer))


def test_a_newer_picture_without_new_settings_comes_back(registry: Registry):
    restored, _ = registry.restore(changed(registry, format=2))
    assert restored == request(count=1)


# --- what cannot be used --------------------------------------------------------------------------


def test_a_checkpoint_that_is_not_here_is_named(registry: Registry):
    fields = request(checkpoint="gone", count=1).model_dump()
    with pytest.raises(UserError, match="'gone', which is not here"):
        registry.restore(changed(registry, request=fields))
    fields = request(checkpoint="sd-turbo", count=1).model_dump()
    with pytest.raises(UserError, match="'sd-turbo', which is offered, but not downloaded"):
        registry.restore(changed(registry, request=fields))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "no PNG"),
        (b"hello", "no PNG"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "no PNG"),
        (png(), "carries no recipe"),
        (png("a horse", key="parameters"), "carries no recipe"),
        (png("{"), "recipe in this picture is damaged"),
        (png("[]"), "recipe in this picture is damaged"),
        (png("3"), "recipe in this picture is damaged"),
        (png('{"kind": "VAERequest", "request": 3}'), "recipe in this picture is damaged"),
        (png("[" * 200_000), "recipe in this picture is damaged"),
        (bytes(generation_metadata.LARGEST + 1), "no picture of GenLab has more than 50 MB"),
        (png("x" * 2_000_000), "damaged|larger than any picture"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else value[:20],
)
def test_a_file_without_usable_metadata_gets_one_sentence(registry, content, sentence):
    with pytest.raises(UserError, match=sentence) as raised:
        registry.restore(content)
    assert "\n" not in str(raised.value)


def test_a_png_cut_short_is_damaged(registry: Registry):
    whole = changed(registry)
    for end in (20, 60, len(whole) - 20):
        with pytest.raises(UserError, match="no PNG|damaged"):
            registry.restore(whole[:end])


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"kind": "Eval"}, "'Eval', which GenLab does not know"),
        ({"kind": ["x"]}, "which GenLab does not know"),
        ({"kind": "ClassifyRequest"}, "'ClassifyRequest', which GenLab does not know"),
        ({"kind": "VAERequest"}, "VAERequest has no setting called"),
        ({"request": {"checkpoint": "tiny", "seed": -1}}, "seed is -1, but must be"),
        ({"request": {"checkpoint": "tiny", "kind": "x"}}, "has no setting called kind"),
        ({"request": {"checkpoint": "tiny", "self": "x"}}, "has no setting called self"),
        ({"request": {"prompt": "x"}}, "checkpoint is missing"),
        ({"request": {"checkpoint": "tiny", "prompt": "\ud800"}}, "is damaged"),
        ({"request": {"checkpoint": "tiny", "\ud800": 1}}, "is damaged"),
        ({"kind": "\udfff"}, "is damaged"),
        ({"request": None}, "is damaged"),
        ({"request": [["checkpoint", "tiny"], [1, 2]]}, "has no setting called 1"),
        ({"request": {"checkpoint": "tiny", "z" * 5000: 1}}, "no setting called z{1,60}"),
        ({"request": {"checkpoint": "tiny", "a\nb": 1}}, "no setting called"),
        ({"versions": 3}, "is damaged"),
        ({"format": "new"}, "is damaged"),
        ({"format": None}, "is damaged"),
        ({"format": float("inf")}, "is damaged"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_metadata_that_was_tampered_with_gets_one_sentence(registry, values, sentence):
    with pytest.raises(UserError, match=sentence) as raised:
        registry.restore(changed(registry, **values))
    str(raised.value).encode()
    assert len(str(raised.value)) < 400
    assert "\n" not in str(raised.value)


def test_a_version_that_was_tampered_with_makes_no_long_sentence(registry: Registry):
    content = changed(registry, versions={"torch": "9" * 100_000, "diffusers": "1\n2"})
    _, notes = registry.restore(content)
    assert all(len(note) < 300 and "\n" not in note for note in notes)
