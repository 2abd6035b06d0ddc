"""VAE, GAN and classifier runners, driven directly on tiny seeded checkpoints."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from genlab.engine.runner import generators
from genlab.engine.tensors import to_uint8
from genlab.families import classifier, gan, noisy_classifier, vae
from genlab.families.classifier.network import Classifier
from genlab.families.classifier.request import ClassifyRequest
from genlab.families.gan.layout import snapshot_path, snapshot_steps
from genlab.families.gan.network import DCGAN
from genlab.families.gan.request import GANRequest
from genlab.families.latents import DecodeRequest
from genlab.families.noisy_classifier.network import NoisyClassifier
from genlab.families.noisy_classifier.request import NoisyClassifyRequest
from genlab.families.one_step import CHUNK, OneStepRunner
from genlab.families.pixel_diffusion.network import build_scheduler
from genlab.families.vae.network import ConvVAE
from genlab.families.vae.request import ReconstructRequest, VAERequest
from genlab.formats.metadata import BrokenCheckpoint
from genlab.formats.model_card import write_card
from genlab.requests import UserError, parse_request
from tests.drive import drive, metadata_of, opened

MODULES = {"vae": vae, "gan": gan, "classifier": classifier, "noisy_classifier": noisy_classifier}


def vivid(network: DCGAN) -> DCGAN:
    """Larger random weights: an untrained generator paints everything the same grey."""
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.5)
    return network


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoints folder with one tiny untrained checkpoint of each family."""
    root = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(1)
    networks = {
        "vae": ConvVAE(5, (4, 4), 16),
        "gan": vivid(DCGAN(6, (4, 4), 8)),
        "classifier": Classifier((2, 2, 2), 8),
        "noisy_classifier": NoisyClassifier((8, 8), 16),
    }
    for family, network in networks.items():
        network.eval().save_pretrained(root / family)
        write_card(root / family, family, f"A tiny {family}", "mnist", "For tests.")
    (root / "gan" / "snapshots").mkdir()
    for step in (0, 25):
        save_file(vivid(DCGAN(6, (4, 4), 8)).half().state_dict(), snapshot_path(root / "gan", step))
    return root


@pytest.fixture(scope="module")
def runners(root: Path) -> dict[str, OneStepRunner]:
    return {name: opened(module.FAMILY, root / name) for name, module in MODULES.items()}


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal up to one grey level: batch sizes may round differently."""
    return a.shape == b.shape and int(np.abs(a.astype(int) - b.astype(int)).max()) <= 1


def noise_images(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 28, 28)).astype(np.uint8)


@pytest.mark.parametrize("kind", [VAERequest, GANRequest])
def test_a_picture_depends_on_its_seed_and_not_on_who_shares_the_call(
    runners: dict[str, OneStepRunner], kind: type[VAERequest] | type[GANRequest]
) -> None:
    name = {VAERequest: "vae", GANRequest: "gan"}[kind]
    mine = kind(checkpoint=name, seed=7, count=3)
    strangers = [kind(checkpoint=name, seed=seed, count=seed) for seed in (1, 2, 5)]
    (alone,) = drive(runners[name], mine)
    together = drive(runners[name], strangers[0], mine, *strangers[1:])[1]
    (third,) = drive(runners[name], kind(checkpoint=name, seed=9, count=1))
    assert alone.images.dtype == np.uint8
    assert alone.images.shape == (3, 28, 28)
    assert same(alone.images, together.images)
    assert same(alone.images[2:], third.images)  # image k of seed s is image 0 of seed s + k
    assert not same(alone.images[:1], alone.images[1:2])


def test_vae_samples_are_the_decoded_noise(runners: dict[str, OneStepRunner], root: Path) -> None:
    request = VAERequest(checkpoint="vae", seed=3, count=2, temperature=0.5)
    (result,) = drive(runners["vae"], request)
    z = 0.5 * torch.stack([torch.randn(5, generator=g) for g in generators(request)])
    np.testing.assert_allclose(result.extras["z"], z)
    network = ConvVAE.from_pretrained(root / "vae")
    with torch.no_grad():
        assert same(result.images, to_uint8(network.decode(z)))


def test_given_codes_are_decoded_as_they_are(runners: dict[str, OneStepRunner]) -> None:
    (sampled,) = drive(runners["vae"], VAERequest(checkpoint="vae", seed=3, count=3))
    (decoded,) = drive(runners["vae"], DecodeRequest(checkpoint="vae", z=sampled.extras["z"]))
    assert same(decoded.images, sampled.images)
    (made,) = drive(runners["gan"], GANRequest(checkpoint="gan", seed=3, count=3))
    (again,) = drive(runners["gan"], DecodeRequest(checkpoint="gan", z=made.extras["z"].tolist()))
    assert same(again.images, made.images)


@pytest.mark.parametrize(
    "z",
    [
        [[0.0, float("nan")]],
        [[1e39, 0.0]],
        [1.0, 2.0],
        [[]],
        [[0.0], [0.0, 1.0]],
        "z",
        None,
        [[0]] * 1025,
    ],
)
def test_codes_that_are_none_are_a_sentence(z: Any) -> None:
    with pytest.raises(UserError, match="but must be from 1 to 1024 codes of equally many finite"):
        parse_request(DecodeRequest, checkpoint="vae", z=z)


def test_codes_of_another_length_are_a_sentence(root: Path) -> None:
    for module, name, wanted in ((vae, "vae", 5), (gan, "gan", 6)):
        metadata = metadata_of(module.FAMILY, root / name)
        request = DecodeRequest(checkpoint=name, z=np.zeros((2, 3)))
        with pytest.raises(UserError, match=f"3 numbers a code, but .* takes {wanted}."):
            module.FAMILY.check_request(request, metadata, lambda name: None)
        right = DecodeRequest(checkpoint=name, z=np.zeros((2, wanted)))
        module.FAMILY.check_request(right, metadata, lambda name: None)


def test_temperature_zero_is_the_same_picture_for_every_seed(runners) -> None:
    (result,) = drive(runners["vae"], VAERequest(checkpoint="vae", seed=1, count=4, temperature=0))
    assert all(np.array_equal(image, result.images[0]) for image in result.images)


def test_temperatures_can_share_a_call(runners) -> None:
    cold, hot = (VAERequest(checkpoint="vae", seed=1, temperature=t) for t in (0.0, 2.0))
    assert runners["vae"].batch_key(cold) == runners["vae"].batch_key(hot)
    together = drive(runners["vae"], cold, hot)
    assert same(together[0].images, drive(runners["vae"], cold)[0].images)
    assert same(together[1].images, drive(runners["vae"], hot)[0].images)


def test_reconstruction_decodes_the_posterior_mean(runners, root: Path) -> None:
    images = noise_images(3)
    results = drive(
        runners["vae"],
        ReconstructRequest(checkpoint="vae", images=images[:1]),
        ReconstructRequest(checkpoint="vae", images=images[1:]),
    )
    network = ConvVAE.from_pretrained(root / "vae")
    with torch.no_grad():
        x = torch.from_numpy(images).unsqueeze(1) / 127.5 - 1
        mu, logvar = network.encode(x)
        expected = to_uint8(network.decode(mu))
    assert same(np.concatenate([result.images for result in results]), expected)
    np.testing.assert_allclose(results[1].extras["mu"], mu[1:], atol=1e-5)
    np.testing.assert_allclose(results[1].extras["logvar"], logvar[1:], atol=1e-5)


@pytest.mark.parametrize(
    ("family", "request_"),
    [
        (vae.FAMILY, ReconstructRequest(checkpoint="vae", images=np.zeros((1, 32, 32, 3), "u1"))),
        (classifier.FAMILY, ClassifyRequest(checkpoint="c", images=np.zeros((1, 32, 32, 3), "u1"))),
        (
            noisy_classifier.FAMILY,
            NoisyClassifyRequest(checkpoint="n", images=np.zeros((1, 32, 32, 3), "u1")),
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_pictures_of_another_size_are_refused_with_their_size(root, family, request_) -> None:
    metadata = metadata_of(family, root / family.name)
    with pytest.raises(UserError, match="28 x 28 pictures, not 32 x 32 x 3"):
        family.check_request(request_, metadata, lambda name: None)


def test_snapshots_are_other_generators_for_the_same_z(runners, root: Path) -> None:
    assert snapshot_steps(root / "gan") == [0, 25]
    requests = [GANRequest(checkpoint="gan", seed=1, snapshot=s) for s in (None, 0, 25)]
    assert len({runners["gan"].batch_key(request) for request in requests}) == 3
    final, first, second = drive(runners["gan"], *requests)
    assert not same(final.images, first.images)
    assert not same(first.images, second.images)
    assert same(first.images, drive(runners["gan"], requests[1])[0].images)


def test_a_snapshot_is_read_once_and_counts_as_memory(root: Path, monkeypatch) -> None:
    runner = opened(gan.FAMILY, root / "gan")
    alone = runner.nbytes
    read: list[Path] = []
    monkeypatch.setattr(
        "genlab.families.gan.runner.load_file", lambda path: read.append(path) or load_file(path)
    )
    for _ in range(2):
        drive(runner, GANRequest(checkpoint="gan", snapshot=25))
    assert read == [snapshot_path(root / "gan", 25)]
    assert runner.nbytes == 2 * alone


def test_a_snapshot_that_has_gone_is_one_sentence(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "gan", tmp_path / "gan")
    runner = opened(gan.FAMILY, tmp_path / "gan")
    snapshot_path(tmp_path / "gan", 25).unlink()
    with pytest.raises(UserError, match="snapshot of step 25 is damaged or gone"):
        drive(runner, GANRequest(checkpoint="gan", snapshot=25))


def test_an_unknown_snapshot_is_refused_with_those_that_exist(root: Path) -> None:
    metadata = metadata_of(gan.FAMILY, root / "gan")
    for request in (GANRequest(checkpoint="gan"), GANRequest(checkpoint="gan", snapshot=25)):
        gan.FAMILY.check_request(request, metadata, lambda name: None)
    with pytest.raises(UserError, match=r"no snapshot of step 26; it has 0, 25\."):
        gan.FAMILY.check_request(
            GANRequest(checkpoint="gan", snapshot=26), metadata, lambda name: None
        )


def test_scores_are_the_discriminators_probabilities(runners, root: Path) -> None:
    request = GANRequest(checkpoint="gan", seed=4, count=3)
    results = drive(runners["gan"], GANRequest(checkpoint="gan", count=2), request)
    network = DCGAN.from_pretrained(root / "gan")
    z = torch.stack([torch.randn(6, generator=g) for g in generators(request)])
    with torch.no_grad():
        expected = network.discriminator(network.generator(z)).sigmoid()
    np.testing.assert_allclose(results[1].extras["scores"], expected, atol=1e-5)


def test_a_classifier_gives_probabilities_and_features(runners, root: Path) -> None:
    images = noise_images(CHUNK + 6)
    (result,) = drive(runners["classifier"], ClassifyRequest(checkpoint="c", images=images))
    network = Classifier.from_pretrained(root / "classifier").eval()
    with torch.no_grad():
        x = torch.from_numpy(images).unsqueeze(1) / 127.5 - 1
        np.testing.assert_allclose(result.extras["probs"], network(x).softmax(1), atol=1e-5)
        np.testing.assert_allclose(result.extras["features"], network.features(x), atol=1e-4)
    np.testing.assert_allclose(result.extras["probs"].sum(axis=1), 1, rtol=1e-5)
    assert result.images is images


def test_a_noisy_classifier_reads_the_noised_picture_that_it_shows(runners, root: Path) -> None:
    images = noise_images(CHUNK + 3)
    request = NoisyClassifyRequest(checkpoint="n", images=images, timestep=400, seed=5)
    (result,) = drive(runners["noisy_classifier"], request)
    tail = request.model_copy(update={"images": images[CHUNK:], "seed": 5 + CHUNK})
    (again,) = drive(runners["noisy_classifier"], tail)
    assert same(result.images[CHUNK:], again.images), "noise k is of seed + k, in any chunk"
    np.testing.assert_allclose(result.extras["probs"][CHUNK:], again.extras["probs"], atol=1e-5)
    x_0 = torch.from_numpy(images).unsqueeze(1) / 127.5 - 1
    noise = torch.stack([torch.randn(1, 28, 28, generator=g) for g in generators(request)])
    t = torch.full((len(x_0),), 400)
    x_t = build_scheduler().add_noise(x_0, noise, t)
    assert same(result.images, to_uint8(x_t))
    network = NoisyClassifier.from_pretrained(root / "noisy_classifier").eval()
    with torch.no_grad():
        np.testing.assert_allclose(result.extras["probs"], network(x_t, t).softmax(1), atol=1e-5)


def test_many_pictures_are_taken_in_calls_of_bounded_size(runners, monkeypatch) -> None:
    runner = runners["classifier"]
    calls: list[int] = []
    call = runner.device.call

    def count(network, *rows):
        calls.append(len(rows[0]))
        return call(network, *rows)

    monkeypatch.setattr(runner.device, "call", count)
    many = ClassifyRequest(checkpoint="c", images=noise_images(150))
    few = ClassifyRequest(checkpoint="c", images=noise_images(3))
    assert (runner.rows(many), runner.rows(few)) == (64, 3)
    drive(runner, many, few, joins=(0, 1))
    assert calls == [64, 64 + 3, 22]


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("vae", VAERequest(checkpoint="vae", count=1)),
        ("gan", GANRequest(checkpoint="gan", count=1)),
        ("classifier", ClassifyRequest(checkpoint="classifier", images=noise_images(1))),
    ],
)
def test_numbers_that_are_not_finite_are_no_picture_but_a_sentence(root, name, request_) -> None:
    runner = opened(MODULES[name].FAMILY, root / name)
    with torch.no_grad():
        for parameter in runner.network.parameters():
            parameter.fill_(float("nan"))
    with pytest.raises(UserError, match=f"{name} gives numbers that are not finite.* weights"):
        drive(runner, request_)


@pytest.mark.parametrize(
    ("file", "damage", "sentence"),
    [
        ("model.safetensors", lambda data: data[:500], "cut short"),
        ("model.safetensors", None, "no model.safetensors"),
        ("config.json", lambda data: data.replace(b"6", b"7"), "do not fit"),
        ("config.json", lambda data: data.replace(b"batch_norm", b"layer_norm"), "DCGAN"),
        ("config.json", lambda data: b"{", "not valid JSON"),
        ("snapshots/step-000025.safetensors", lambda data: data[:100], "cut short"),
        ("snapshots/best.safetensors", lambda data: b"", "not called step"),
    ],
)
def test_a_damaged_gan_is_named_with_the_reason(
    root: Path, tmp_path: Path, file: str, damage, sentence: str
) -> None:
    folder = tmp_path / "gan"
    shutil.copytree(root / "gan", folder)
    if damage is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(
            damage((folder / file).read_bytes() if (folder / file).exists() else b"")
        )
    with pytest.raises(BrokenCheckpoint, match=sentence):
        metadata_of(gan.FAMILY, folder)
