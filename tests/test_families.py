"""Descriptions of families: free of torch, true to their networks, complete."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genlab.engine.events import Result
from genlab.engine.runner import Runner
from genlab.evaluation.judging import card_figures
from genlab.families import classifier, gan, pixel_diffusion, vae
from genlab.families.classifier.network import Classifier
from genlab.families.classifier.request import ClassifyRequest
from genlab.families.description import ColumnSettings, FamilyDescription, load
from genlab.families.gan.network import DCGAN
from genlab.families.gan.request import GANRequest
from genlab.families.noisy_classifier.network import NoisyClassifier
from genlab.families.pixel_diffusion.layout import outer_shapes
from genlab.families.pixel_diffusion.network import build_unet
from genlab.families.pixel_diffusion.request import PixelDiffusionRequest
from genlab.families.vae.network import ConvVAE
from genlab.families.vae.request import VAERequest
from genlab.formats.metadata import ModelMetadata
from genlab.formats.model_card import write_card
from genlab.models.families import FAMILIES
from tests.drive import metadata_of

OURS = {"vae": ConvVAE, "gan": DCGAN, "classifier": Classifier, "noisy_classifier": NoisyClassifier}
CONFIGS = [
    ("vae", {"latent_dim": 3}),
    ("vae", {"latent_dim": 2, "channels": [4, 6], "hidden": 10, "depth": 3}),
    ("vae", {"latent_dim": 2, "channels": [4, 6], "hidden": 10, "depth": 2, "blocks": 2}),
    ("gan", {}),
    ("gan", {"latent_dim": 7, "channels": [4, 6], "hidden": 10}),
    ("gan", {"latent_dim": 7, "channels": [4, 6], "hidden": 10, "batch_norm": False}),
    ("classifier", {}),
    ("classifier", {"channels": [2, 3, 4], "feature_dim": 9}),
    ("noisy_classifier", {}),
    ("noisy_classifier", {"channels": [8, 16], "hidden": 12, "num_classes": 4}),
]


def described(name: str = "m", **values: Any) -> ModelMetadata:
    """Metadata of a model that lies nowhere."""
    known = {"path": Path(name), "family": "vae", "title": name, "dataset": "mnist"}
    return ModelMetadata(name=name, **(known | values))


def test_knowing_the_families_loads_nothing_that_takes_seconds():
    heavy = ("torch", "diffusers", "transformers", "huggingface_hub", "matplotlib", "torchmetrics")
    code = (
        "import sys, genlab.models.families\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip() == "[]", answer.stdout + answer.stderr


@pytest.mark.parametrize(("family", "config"), CONFIGS, ids=str)
def test_a_layout_is_what_the_network_has(family: str, config: dict[str, Any]):
    shapes = load(f"genlab.families.{family}.layout:weight_shapes")(config)
    with torch.device("meta"):
        tensors = OURS[family](**config).state_dict()
    assert shapes == {name: list(tensor.shape) for name, tensor in tensors.items()}


@pytest.mark.parametrize("family", OURS)
@pytest.mark.parametrize("config", [{"width": 3}, {"channels": [4]}, {"channels": "many"}], ids=str)
def test_a_configuration_of_another_network_is_refused(family: str, config: dict[str, Any]):
    shapes = load(f"genlab.families.{family}.layout:weight_shapes")
    with pytest.raises((TypeError, ValueError)):
        shapes({"latent_dim": 2} | config if family == "vae" else config)


@pytest.mark.parametrize("channels", [(8, 32), (32, 64)])
def test_the_outer_shapes_of_a_unet_are_those_that_diffusers_makes(channels: tuple[int, int]):
    unet = build_unet(channels)
    tensors = unet.state_dict()
    shapes = outer_shapes(dict(unet.config))
    assert len(shapes) == 6
    assert shapes == {name: list(tensors[name].shape) for name in shapes}


@pytest.mark.parametrize("name", OURS)
def test_parameters_are_counted_without_loading_them(tmp_path: Path, name: str):
    network = OURS[name](**next(config for family, config in CONFIGS if family == name))
    network.save_pretrained(tmp_path)
    numbers = sum(tensor.numel() for tensor in network.state_dict().values())
    assert FAMILIES[name].count_parameters(tmp_path) == numbers


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_what_a_description_names_is_there(family: FamilyDescription):
    assert FAMILIES[family.name] is family
    assert issubclass(load(family.runner), Runner)
    assert callable(load(family.runner).open)
    if family.evaluate:
        assert callable(load(family.evaluate))
    if family.training:
        assert load(family.training), "a training configuration for each checkpoint of ours"
    sample = family.sample_request
    fields = sample.model_fields if sample is not None else {}
    assert set(family.options) <= fields.keys()
    if family.endpoint is not None:
        assert set(family.endpoint.fields) <= fields.keys()
        assert "checkpoint" in family.endpoint.fields
        assert family.endpoint.name == f"{family.name}_sample"


def test_columns_stand_in_one_order_and_ask_for_pictures_that_their_family_draws():
    columns = sorted(
        (column for family in FAMILIES.values() for column in family.columns),
        key=lambda column: column.order,
    )
    assert [column.key for column in columns] == [
        "vae", "vae-no-kl", "gan", "gan-collapsed", "diffusion", "guided", "flow", "toybox", "real",
    ]  # fmt: skip
    settings = ColumnSettings(seed=7, count=4)
    for column in columns:
        if column.requests is not None:
            requests = column.requests(described(column.checkpoint), settings)
            assert sum(request.count for request in requests) == 4
            assert {request.checkpoint for request in requests} == {column.checkpoint}


def test_the_guided_column_asks_for_the_scale_and_classes_that_are_wanted():
    (column,) = [c for c in pixel_diffusion.FAMILY.columns if c.key == "guided"]
    model = described(
        card={"metrics": {"guidance_scale": 1.5, "diversity": 2.6, "diversity_of_all": 6.5}}
    )
    (request,) = column.requests(model, ColumnSettings(seed=8, count=3))
    assert (request.guidance_scale, request.labels) == (1.5, (8, 9, 0))
    (request,) = column.requests(model, ColumnSettings(label=4, count=3))
    assert request.labels == (4, 4, 4)
    assert column.remark(4) == "Asked for 4."
    assert column.figure(model, "diversity") == 2.6, "within a class: it is told all ten in turn"
    assert column.within_class


def test_a_vae_says_how_long_its_codes_are(tmp_path: Path):
    ConvVAE(5, (4, 4), 16).save_pretrained(tmp_path / "vae")
    write_card(tmp_path / "vae", "vae", "A tiny VAE", "mnist", "")
    assert metadata_of(vae.FAMILY, tmp_path / "vae").facts == {
        "latent_dim": 5, "classes": 0, "image": [1, 28, 28], "reconstructs": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("classes", "expected"),
    [(["shoe", 2], ["shoe", "2"]), (None, list("0123456789")), ("many", list("0123456789"))],
)
def test_a_classifier_names_its_classes(classes: Any, expected: list[str]):
    assert classifier.FAMILY.facts(Path(), {"classes": classes}) == {"classes": expected}


def write_scheduler(folder: Path) -> None:
    (folder / "scheduler").mkdir()
    config = {"_class_name": "DDIMScheduler"}
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    "content",
    ["[]", "{", '{"classifier-free": "none"}', '{"classifier": [{"fid": 1}]}', "[" * 100_000],
    ids=["a list", "cut short", "no points", "points without a scale", "bottomless"],
)
def test_curves_that_cannot_be_drawn_are_none(tmp_path: Path, content: str):
    write_scheduler(tmp_path)
    (tmp_path / "scales.json").write_text(content)
    facts = pixel_diffusion.FAMILY.facts(tmp_path, {})
    assert facts == {"scales": {}, "classifier": None, "flow": False}


def test_measured_curves_are_facts_less_the_points_that_have_no_scale(tmp_path: Path):
    write_scheduler(tmp_path)
    point = {"guidance_scale": 2, "fid": 0.5}
    (tmp_path / "scales.json").write_text(
        json.dumps({"classifier": [point, 3, {}], "fid_floor": 1})
    )
    facts = pixel_diffusion.FAMILY.facts(tmp_path, {"classifier": "noisy"})
    assert facts["classifier"] == "noisy"
    assert facts["scales"] == {"classifier": [point], "classifier-free": [], "fid_floor": 1}


MEASURED = {"fid": 0.25, "guidance_scale": 1.5, "num_inference_steps": 50, "scheduler": "ddim"}


@pytest.mark.parametrize(
    ("request_", "figures"),
    [
        (VAERequest(checkpoint="m"), {"fid": 0.25}),
        (VAERequest(checkpoint="m", temperature=0.5), {}),
        (GANRequest(checkpoint="m"), {"fid": 0.25}),
        (GANRequest(checkpoint="m", snapshot=25), {}),
        (PixelDiffusionRequest(checkpoint="m", guidance_scale=1.5), {"fid": 0.25}),
        (PixelDiffusionRequest(checkpoint="m", guidance_scale=2), {}),
        (PixelDiffusionRequest(checkpoint="m", guidance_scale=1.5, scheduler="euler"), {}),
        (PixelDiffusionRequest(checkpoint="m", guidance_scale=1.5, eta=0.5), {}),
        (PixelDiffusionRequest(checkpoint="m", guidance_scale=1.5, num_inference_steps=9), {}),
        (PixelDiffusionRequest(checkpoint="m", guidance="classifier", guidance_scale=1.5), {}),
        (ClassifyRequest(checkpoint="m", images=np.zeros((1, 28, 28), "u1")), {}),
    ],
    ids=repr,
)
def test_the_cards_fid_is_said_of_pictures_that_are_drawn_as_it_was_measured(request_, figures):
    assert card_figures(request_, described(card={"metrics": MEASURED})) == figures
    assert card_figures(request_, described()) == {}


def drawn(count: int = 4, **extras: Any) -> Result:
    return Result(np.random.default_rng(0).integers(0, 256, (count, 28, 28)).astype("u1"), extras)


def seen(*classes: int) -> Result:
    """A judge's answer: sure of these classes, features as far apart as they are."""
    probs = np.full((len(classes), 10), 0.01)
    probs[range(len(classes)), classes] = 0.91
    features = np.arange(len(classes), dtype=np.float32)[:, None]
    return Result(np.zeros((len(classes), 28, 28), "u1"), {"probs": probs, "features": features})


def test_a_classifier_judges_sharpness_and_classes():
    by = classifier.FAMILY.judge
    assert by is not None
    judge = described(
        "judge", facts={"classes": list("abcdefghij")}, card={"metrics": {"sharpness": 0.5}}
    )
    request, result = VAERequest(checkpoint="m", count=4), drawn()
    question = by.question(request, result, described(), judge)
    assert isinstance(question, ClassifyRequest)
    assert question.checkpoint == "judge"
    assert question.images is result.images
    figures = by.figures(request, result, described(), judge, seen(0, 0, 1, 2))
    assert figures["class_histogram"]["a"] == 0.5
    assert figures["classes_above_2_percent"] == 3
    assert figures["mean_confidence"] == 0.91
    assert figures["sharpness_percent"] > 100, "noise is sharper than any digit"


@pytest.mark.parametrize("shape", [(1, 32, 32), (1, 28, 28, 3)])
def test_a_classifier_judges_no_pictures_of_another_size(shape: tuple[int, ...]):
    by = classifier.FAMILY.judge
    assert by is not None
    large = Result(np.zeros(shape, "u1"))
    assert by.question(VAERequest(checkpoint="m"), large, described(), described()) is None


def test_a_gan_shows_what_its_discriminator_thinks():
    result = drawn(4, scores=np.array([0.123456, 1.0, 0.95, 0.05], np.float32))
    figures = gan.FAMILY.own_figures(GANRequest(checkpoint="m", count=2), result, None)
    assert figures == {
        "discriminator": [0.1235, 1.0],  # of those that are shown
        "discriminator_histogram": [0.25, 0.25, 0, 0, 0, 0, 0, 0, 0, 0.5],  # of the larger sample
    }


def test_pixel_diffusion_shows_how_many_pictures_are_as_asked_and_how_they_differ():
    own = pixel_diffusion.FAMILY.own_figures
    request = PixelDiffusionRequest(checkpoint="m", labels=(3, 5), count=4)
    figures = own(request, drawn(), seen(3, 5, 3, 1))
    assert figures == {"as_asked_percent": {"class": 75.0}, "diversity": 2.0}
    mistaken = own(request, drawn(), seen(3, 1, 5, 0))
    assert mistaken == {"as_asked_percent": {"class": 25.0}}, "an error is no variety"
    assert own(request, drawn(), None) == {}, "nobody judged"
    unguided = PixelDiffusionRequest(checkpoint="m", guidance="none", count=4)
    assert own(unguided, drawn(), seen(3, 5, 3, 1)) == {}, "no class was asked for"
