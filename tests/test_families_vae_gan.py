"""VAE, GAN and classifier families, driven by the real engine on tiny seeded checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from genlab.engine import Engine, Runtime
from genlab.engine.runner import generators
from genlab.families.classifier.network import Classifier
from genlab.families.gan.network import DCGAN
from genlab.families.gan.runner import snapshot_steps
from genlab.families.gan.train import write_snapshot
from genlab.families.vae.network import ConvVAE
from genlab.formats.model_card import write_card
from genlab.images import to_uint8
from genlab.models.registry import Catalogue
from genlab.requests import (
    ClassifyRequest,
    GANRequest,
    ReconstructRequest,
    Request,
    UserError,
    VAERequest,
)


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
    }
    for family, network in networks.items():
        network.eval().save_pretrained(root / family)
        write_card(root / family, family, f"A tiny {family}", "mnist", "For tests.")
    for step in (0, 25):
        other = vivid(DCGAN(6, (4, 4), 8))
        write_snapshot(root / "gan", step, other.generator, other.discriminator)
    return root


@pytest.fixture
def engine(root: Path) -> Engine:
    """Not started: tests call tick() themselves, so that jobs share it for certain."""
    return Engine(Catalogue(root, Runtime("cpu")))


def run(engine: Engine, *requests: Request) -> list:
    """Results of requests that are all in the queue before the first tick."""
    jobs = [engine.submit(request, owner=str(k)) for k, request in enumerate(requests)]
    while engine.tick():
        pass
    return [job.result() for job in jobs]


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal up to one grey level: batch sizes may round differently."""
    return a.shape == b.shape and int(np.abs(a.astype(int) - b.astype(int)).max()) <= 1


@pytest.mark.parametrize("kind", [VAERequest, GANRequest])
def test_a_picture_depends_on_its_seed_and_not_on_who_shares_the_tick(
    engine: Engine, kind: type[VAERequest] | type[GANRequest]
) -> None:
    name = {VAERequest: "vae", GANRequest: "gan"}[kind]
    mine = kind(checkpoint=name, seed=7, count=3)
    strangers = [kind(checkpoint=name, seed=seed, count=seed) for seed in (1, 2, 5)]
    (alone,) = run(engine, mine)
    together = run(engine, strangers[0], mine, *strangers[1:])[1]
    (third,) = run(engine, kind(checkpoint=name, seed=9, count=1))
    assert alone.images.dtype == np.uint8
    assert alone.images.shape == (3, 28, 28)
    assert same(alone.images, together.images)
    assert same(alone.images[2:], third.images)  # image k of seed s is image 0 of seed s + k
    assert not same(alone.images[:1], alone.images[1:2])


def test_vae_samples_are_the_decoded_noise(engine: Engine, root: Path) -> None:
    request = VAERequest(checkpoint="vae", seed=3, count=2, temperature=0.5)
    (result,) = run(engine, request)
    z = 0.5 * torch.stack([torch.randn(5, generator=g) for g in generators(request)])
    np.testing.assert_allclose(result.extras["z"], z)
    network = ConvVAE.from_pretrained(root / "vae")
    with torch.no_grad():
        assert same(result.images, to_uint8(network.decode(z)))


def test_temperature_zero_is_the_same_picture_for_every_seed(engine: Engine) -> None:
    (result,) = run(engine, VAERequest(checkpoint="vae", seed=1, count=4, temperature=0))
    assert all(np.array_equal(image, result.images[0]) for image in result.images)


def test_temperatures_can_share_a_tick(engine: Engine) -> None:
    cold, hot = (VAERequest(checkpoint="vae", seed=1, temperature=t) for t in (0.0, 2.0))
    together = run(engine, cold, hot)
    assert same(together[0].images, run(engine, cold)[0].images)
    assert same(together[1].images, run(engine, hot)[0].images)


def test_reconstruction_decodes_the_posterior_mean(engine: Engine, root: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28)).astype(np.uint8)
    results = run(
        engine,
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


def test_pictures_of_another_size_are_refused_with_their_size(engine: Engine) -> None:
    large = np.zeros((1, 32, 32, 3), np.uint8)
    with pytest.raises(UserError, match="28 x 28 pictures, not 32 x 32 x 3"):
        engine.submit(ReconstructRequest(checkpoint="vae", images=large))
    with pytest.raises(UserError, match="28 x 28"):
        engine.submit(ClassifyRequest(checkpoint="classifier", images=large))


def test_snapshots_are_other_generators_for_the_same_z(engine: Engine, root: Path) -> None:
    assert snapshot_steps(root / "gan") == [0, 25]
    requests = [GANRequest(checkpoint="gan", seed=1, snapshot=s) for s in (None, 0, 25)]
    final, first, second = run(engine, *requests)
    assert not same(final.images, first.images)
    assert not same(first.images, second.images)
    assert same(first.images, run(engine, requests[1])[0].images)


def test_an_unknown_snapshot_is_refused_with_those_that_exist(engine: Engine) -> None:
    with pytest.raises(UserError, match=r"no snapshot of step 26; it has 0, 25\."):
        engine.submit(GANRequest(checkpoint="gan", snapshot=26))


def test_scores_are_the_discriminators_probabilities(engine: Engine, root: Path) -> None:
    request = GANRequest(checkpoint="gan", seed=4, count=3)
    scores = run(engine, GANRequest(checkpoint="gan", count=2), request)[1].extras["scores"]
    network = DCGAN.from_pretrained(root / "gan")
    z = torch.stack([torch.randn(6, generator=g) for g in generators(request)])
    with torch.no_grad():
        expected = network.discriminator(network.generator(z)).sigmoid()
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_a_classifier_gives_probabilities_and_features(engine: Engine, root: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (70, 28, 28)).astype(np.uint8)
    (result,) = run(engine, ClassifyRequest(checkpoint="classifier", images=images))
    network = Classifier.from_pretrained(root / "classifier").eval()
    with torch.no_grad():
        x = torch.from_numpy(images).unsqueeze(1) / 127.5 - 1
        np.testing.assert_allclose(result.extras["probs"], network(x).softmax(1), atol=1e-5)
        np.testing.assert_allclose(result.extras["features"], network.features(x), atol=1e-4)
    np.testing.assert_allclose(result.extras["probs"].sum(axis=1), 1, rtol=1e-5)


def test_a_checkpoint_cannot_serve_another_familys_request(engine: Engine) -> None:
    with pytest.raises(UserError, match="gan"):
        engine.submit(VAERequest(checkpoint="gan"))


@pytest.mark.parametrize(
    ("file", "damage", "sentence"),
    [
        ("model.safetensors", lambda data: data[:500], "cut short"),
        ("model.safetensors", None, "no model.safetensors"),
        ("config.json", lambda data: data.replace(b"6", b"7"), "do not fit"),
        ("config.json", lambda data: b"{", "not valid JSON"),
        ("snapshots/step-000025.safetensors", lambda data: data[:100], "cut short"),
        ("snapshots/best.safetensors", lambda data: b"", "not called step"),
    ],
)
def test_a_damaged_gan_is_named_and_the_others_are_served(
    root: Path, tmp_path: Path, file: str, damage, sentence: str
) -> None:
    for folder in root.iterdir():
        for path in folder.rglob("*.*"):
            copy = tmp_path / path.relative_to(root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    target = tmp_path / "gan" / file
    if damage is None:
        target.unlink()
    else:
        target.write_bytes(damage(target.read_bytes() if target.exists() else b""))

    catalogue = Catalogue(tmp_path, Runtime("cpu"))
    assert sentence in catalogue.broken["gan"]
    engine = Engine(catalogue)
    with pytest.raises(UserError, match="damaged"):
        engine.submit(GANRequest(checkpoint="gan"))
    assert run(engine, VAERequest(checkpoint="vae", count=1))[0].images.shape == (1, 28, 28)
