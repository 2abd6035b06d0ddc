"""A PNG carries what is needed to draw it again, and a bad file is answered with a sentence."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from genlab import generation_metadata as recipe
from genlab.engine import Engine, Runtime
from genlab.models.registry import Catalogue
from genlab.requests import (
    MAX_SEED,
    PixelDiffusionRequest,
    SampleRequest,
    StableDiffusionRequest,
    UserError,
    ask,
)
from genlab.ui import api
from tests.tiny_pipelines import save_tiny_stable_diffusion


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    root = tmp_path_factory.mktemp("checkpoints")
    save_tiny_stable_diffusion(root / "tiny")
    return Catalogue(root, Runtime("cpu"))


def wish(**values: object) -> StableDiffusionRequest:
    defaults = {"checkpoint": "tiny", "prompt": "a red seven", "count": 3, "seed": 5}
    return ask(StableDiffusionRequest, **(defaults | {"num_inference_steps": 3} | values))


def drawn(catalogue: Catalogue, request: SampleRequest) -> np.ndarray:
    engine = Engine(catalogue)
    job = engine.submit(request)
    while engine.tick():
        pass
    return job.result().images


def png(text: str | None = None, key: str = recipe.KEY) -> bytes:
    told = PngInfo()
    if text is not None:
        told.add_text(key, text)
    file = io.BytesIO()
    Image.new("L", (4, 4)).save(file, format="PNG", pnginfo=told)
    return file.getvalue()


def changed(catalogue: Catalogue, **values: object) -> bytes:
    (first, *_) = catalogue.recipes(wish())
    return png(json.dumps(json.loads(first.to_text()) | values))


@pytest.mark.parametrize("scheduler", ["dpmpp-2m", "euler-ancestral"])
def test_the_same_picture_comes_again_from_its_png(catalogue: Catalogue, scheduler: str):
    request = wish(scheduler=scheduler, prompt="a red seven, «ночь» 夜", guidance_scale=7.5)
    pictures = drawn(catalogue, request)
    for k, told in enumerate(catalogue.recipes(request)):
        again, notes = catalogue.restore(recipe.to_png(pictures[k], told))
        assert (notes, again.seed, again.count) == ((), 5 + k, 1)
        assert again == request.model_copy(update={"seed": 5 + k, "count": 1})
        gap = drawn(catalogue, again)[0].astype(int) - pictures[k].astype(int)
        assert np.abs(gap).max() <= 1


def test_the_apis_files_carry_one_recipe_each(catalogue: Catalogue, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(api, "get_upload_folder", lambda: str(tmp_path))
    pictures = np.arange(3 * 8 * 8 * 3, dtype=np.uint8).reshape(3, 8, 8, 3)
    told = catalogue.recipes(wish())
    for k, file in enumerate(api.files(pictures, told)):
        request, notes = catalogue.restore(Path(file["path"]).read_bytes())
        assert (request, notes) == (told[k].request, ())
        assert np.array_equal(np.asarray(Image.open(file["path"])), pictures[k])


def test_the_hash_is_that_of_the_weights_files_one_after_the_other(catalogue: Catalogue):
    folder = catalogue.entry("tiny").folder
    files = sorted(folder.rglob("*.safetensors"), key=lambda p: p.as_posix())
    content = b"".join(path.read_bytes() for path in files)
    assert catalogue.fingerprint("tiny") == hashlib.sha256(content).hexdigest()
    (told, *_) = catalogue.recipes(wish())
    assert told.sha256 == catalogue.fingerprint("tiny")
    assert set(told.versions) == {"genlab", "torch", "diffusers", "transformers"}


def test_weights_are_read_once(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch):
    catalogue.fingerprint("tiny")
    monkeypatch.setattr(
        "genlab.models.registry.sha256_of", lambda folder: pytest.fail("read again")
    )
    catalogue.recipes(wish())


def test_a_picture_of_a_row_of_labels_keeps_its_own_label_and_seeds_begin_anew_after_the_last():
    row = ask(PixelDiffusionRequest, checkpoint="x", labels=(3, 1, 4), count=5, seed=MAX_SEED)
    fourth = row.alone(3)
    assert (fourth.labels, fourth.seed, fourth.count) == ((3,), 2, 1)


def test_other_weights_and_other_versions_are_told_and_the_settings_still_come_back(catalogue):
    request, notes = catalogue.restore(changed(catalogue, checkpoint_sha256="0" * 64))
    assert request == wish(count=1)
    assert "other weights of tiny" in notes[0]
    request, notes = catalogue.restore(changed(catalogue, versions={"torch": "1.0", "gone": "2"}))
    assert request == wish(count=1)
    assert "drawn with torch 1.0 (here " in notes[0]


def test_a_checkpoint_that_is_not_here_is_named(catalogue: Catalogue):
    fields = wish(checkpoint="gone", count=1).model_dump()
    with pytest.raises(UserError, match="'gone', which is not here"):
        catalogue.restore(changed(catalogue, request=fields))
    fields = wish(checkpoint="sd-turbo", count=1).model_dump()
    with pytest.raises(UserError, match="'sd-turbo', which is offered, but not downloaded"):
        catalogue.restore(changed(catalogue, request=fields))


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
        (png('{"kind": "VAERequest", "request": 3}'), "recipe in this picture is damaged"),
        (png("[" * 200_000), "recipe in this picture is damaged"),
        (bytes(recipe.LARGEST + 1), "no picture of GenLab has more than 50 MB"),
        (png("x" * 2_000_000), "damaged|larger than any picture"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else value[:20],
)
def test_a_file_without_a_usable_recipe_gets_one_sentence(catalogue, content, sentence):
    with pytest.raises(UserError, match=sentence) as raised:
        catalogue.restore(content)
    assert "\n" not in str(raised.value)


def test_a_png_cut_short_is_damaged(catalogue: Catalogue):
    whole = changed(catalogue)
    for end in (20, 60, len(whole) - 20):
        with pytest.raises(UserError, match="no PNG|damaged"):
            catalogue.restore(whole[:end])


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"kind": "Eval"}, "'Eval', which GenLab does not know"),
        ({"kind": ["x"]}, "which GenLab does not know"),
        ({"kind": "VAERequest"}, "VAERequest has no setting called"),
        ({"request": {"checkpoint": "tiny", "seed": -1}}, "seed is -1, but must be"),
        ({"request": {"prompt": "x"}}, "checkpoint is missing"),
        ({"request": None}, "is damaged"),
        ({"versions": 3}, "is damaged"),
    ],
    ids=str,
)
def test_a_recipe_that_was_tampered_with_gets_one_sentence(catalogue, values, sentence):
    with pytest.raises(UserError, match=sentence):
        catalogue.restore(changed(catalogue, **values))
