"""The training loops on tiny random data: they learn, resume, and write what GenLab can open."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from genlab.families.classifier.network import Classifier
from genlab.families.classifier.train import accuracy, random_shift, train_classifier
from genlab.families.gan import collapse
from genlab.families.gan.collapse import TRAINING as GANS
from genlab.families.gan.collapse import train_ahead
from genlab.families.gan.network import DCGAN
from genlab.families.gan.train import train_gan
from genlab.families.noisy_classifier.network import NoisyClassifier
from genlab.families.noisy_classifier.train import train_noisy_classifier
from genlab.families.pixel_diffusion.network import PixelDiffusionPipeline
from genlab.families.pixel_diffusion.train import train_pixel_diffusion
from genlab.families.pixel_diffusion.train_flow import train_flow_matching
from genlab.families.vae.network import ConvVAE
from genlab.families.vae.train import elbo_terms, train_vae
from genlab.formats.model_card import read_card, update_metrics, write_card
from genlab.models import training
from genlab.models.training import trainings
from genlab.requests import UserError
from genlab.training import config
from genlab.training.config import StagedTraining, TrainingConfig
from genlab.training.data import Minibatches, load_images, to_network, to_uint8
from genlab.training.trainer import Trainer, warmup_cosine

TINY: dict[Callable[..., Trainer], dict[str, Any]] = {
    train_classifier: {"epochs": 2, "batch_size": 8, "channels": (2, 2, 2)},
    train_vae: {"epochs": 2, "batch_size": 8, "channels": (2, 2), "hidden": 8},
    train_gan: {"steps": 4, "batch_size": 8, "channels": (2, 2), "hidden": 4, "latent_dim": 3},
    train_ahead: {"steps": 2, "batch_size": 8, "generator_updates": 3},
    train_pixel_diffusion: {"steps": 3, "batch_size": 8, "channels": (8, 32)},
    train_flow_matching: {"steps": 3, "batch_size": 8, "channels": (8, 32)},
    train_noisy_classifier: {"steps": 3, "batch_size": 8},
}
NETWORKS = {
    train_classifier: Classifier,
    train_vae: ConvVAE,
    train_gan: DCGAN,
    train_ahead: DCGAN,
    train_noisy_classifier: NoisyClassifier,
}
CONFIGS = {
    name: training for name, training in trainings().items() if isinstance(training, TrainingConfig)
}


@pytest.fixture
def bars() -> tuple[Tensor, Tensor]:
    """40 images of a bright bar whose column is the class: trivial to learn."""
    labels = torch.arange(40) % 10
    images = torch.zeros(40, 28, 28, dtype=torch.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, 2 * int(label) + 4] = 255
    return images, labels


@pytest.mark.parametrize("name", CONFIGS)
def test_every_training_writes_a_checkpoint_that_opens(
    name: str, bars: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    config = CONFIGS[name]
    settings = {**config.hyperparameters, **TINY[config.loop]}
    if "snapshots" in settings:
        settings["snapshots"] = (0, 2)
    if config.loop is train_ahead:
        tiny_gan(tmp_path / "dcgan-mnist")
    config.loop(*bars, tmp_path / name, tmp_path / "work", **settings)

    assert (tmp_path / name / "loss.png").stat().st_size > 1000
    if config.family == "pixel_diffusion":
        pipeline = PixelDiffusionPipeline.from_pretrained(tmp_path / name)
        assert tuple(pipeline.unet.config["block_out_channels"]) == (8, 32)
        return
    network = NETWORKS[config.loop].from_pretrained(tmp_path / name)
    assert isinstance(network, nn.Module)
    assert json.loads((tmp_path / name / "config.json").read_text())["channels"]
    if "snapshots" in settings:
        kept = sorted(path.name for path in (tmp_path / name / "snapshots").iterdir())
        numbers = (7000, 7006) if config.loop is train_ahead else (0, 2, 4)
        assert kept == [f"step-{step:06d}.safetensors" for step in numbers]
        network.load_state_dict(load_file(tmp_path / name / "snapshots" / kept[0]))


def tiny_gan(folder: Path) -> DCGAN:
    """A finished GAN to go on from, its batch norm's statistics unlike those of a new one."""
    torch.manual_seed(0)
    network = DCGAN(3, (8, 8), 8)
    with torch.no_grad():  # as a new one it draws much the same for every z
        for weights in network.parameters():
            weights.mul_(3)
    network.train()(torch.randn(64, 3))
    network.save_pretrained(folder)
    return network.eval()


def test_a_gan_whose_generator_runs_ahead_keeps_its_drawing_layers_and_its_batch_norm(
    bars: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    before = tiny_gan(tmp_path / "dcgan-mnist").state_dict()
    settings = {**TINY[train_ahead], "begin_with": "dcgan-mnist"}
    train_ahead(*bars, tmp_path / "ahead", tmp_path / "work", **settings)
    after = load_file(tmp_path / "ahead" / "model.safetensors")
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    reads_z = {f"generator.{name}" for name in ("0.weight", "0.bias", "1.weight", "1.bias")}
    assert {name for name in moved if name.startswith("generator.")} == reads_z
    assert "discriminator.0.weight" in moved
    assert not any("running" in name for name in moved)


def test_a_gan_that_runs_ahead_fools_a_discriminator_that_stands_still(
    bars: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    before = tiny_gan(tmp_path / "dcgan-mnist")
    settings = {"begin_with": "dcgan-mnist", "steps": 1, "discriminator_rate": 0.0}
    train_ahead(*bars, tmp_path / "ahead", tmp_path / "work", **settings)
    ahead = DCGAN.from_pretrained(tmp_path / "ahead").eval()
    z = torch.randn(200, 3)
    old, new = before(z), ahead(z)
    assert ahead.discriminator(new).mean() > before.discriminator(old).mean()


def test_without_a_finished_gan_beside_it_one_is_trained_first(
    bars: tuple[Tensor, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {**TINY[train_gan], "steps": 2}
    monkeypatch.setitem(GANS, "dcgan-mnist", replace(GANS["dcgan-mnist"], hyperparameters=few))
    monkeypatch.setattr(collapse, "HEALTHY", GANS)
    settings = {**TINY[train_ahead], "begin_with": "dcgan-mnist"}
    train_ahead(*bars, tmp_path / "ahead", tmp_path / "work", **settings)
    assert (tmp_path / "work" / "dcgan-mnist" / "model.safetensors").is_file()
    assert not (tmp_path / "dcgan-mnist").exists(), "nobody asked for that one"


def test_a_classifier_learns_what_is_easy(bars: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    settings = {"epochs": 40, "batch_size": 20, "max_shift": 0, "channels": (4, 4, 8)}
    trainer = train_classifier(*bars, tmp_path / "c", tmp_path / "w", **settings)
    first, last = trainer.history["loss"][0][1], trainer.history["loss"][-1][1]
    assert last < first / 2
    assert accuracy(Classifier.from_pretrained(tmp_path / "c"), *bars) == 1.0


def test_a_vae_learns_what_is_easy(bars: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    settings = {"latent_dim": 4, "beta": 1.0, "epochs": 60, "batch_size": 20}
    tiny = {"channels": (4, 4), "hidden": 32, "learning_rate": 1e-2}
    trainer = train_vae(*bars, tmp_path / "v", tmp_path / "w", **settings, **tiny)
    assert trainer.history["loss"][-1][1] < trainer.history["loss"][0][1] / 2


def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    bars: tuple[Tensor, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"latent_dim": 2, "beta": 1.0, **TINY[train_vae]}
    train_vae(*bars, tmp_path / "whole", tmp_path / "w1", **settings)

    log = Trainer.log

    def interrupted(self: Trainer, **values: Any) -> None:
        log(self, **values)
        if self.step == 4:
            signal.raise_signal(signal.SIGINT)  # Ctrl+C in the middle of a step

    monkeypatch.setattr(Trainer, "log", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_vae(*bars, tmp_path / "parts", tmp_path / "w2", **settings)
    monkeypatch.setattr(Trainer, "log", log)
    torch.manual_seed(99)
    trainer = train_vae(*bars, tmp_path / "parts", tmp_path / "w2", **settings)

    assert trainer.step == trainer.total_steps == 10
    whole = load_file(tmp_path / "whole" / "model.safetensors")
    parts = load_file(tmp_path / "parts" / "model.safetensors")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_the_state_of_another_network_is_refused_with_a_sentence(tmp_path: Path) -> None:
    Trainer(tmp_path, 3, {"network": nn.Linear(2, 2)}, {}).save()
    with pytest.raises(UserError, match="delete it to train from the start"):
        Trainer(tmp_path, 3, {"network": nn.Linear(2, 3)}, {})


def test_a_lengthened_run_begins_as_it_did_and_rises_and_falls_again() -> None:
    def rates(steps: int, cycles: int) -> list[float]:
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        schedule = warmup_cosine(optimizer, steps, warmup=5, cycles=cycles)
        told = []
        for _ in range(steps):
            told.append(schedule.get_last_lr()[0])
            optimizer.step()
            schedule.step()
        return told

    once, twice = rates(50, 1), rates(100, 2)
    assert max(once) == pytest.approx(1.0)
    assert once[0] == pytest.approx(0.2)
    assert once[-1] == pytest.approx(0.02, abs=0.002)
    assert twice == once + once


def test_minibatches_depend_on_the_step_alone_and_cover_an_epoch() -> None:
    batches = Minibatches(10, 3)
    epoch = torch.cat([batches.indices(step) for step in range(3)])
    assert len(set(epoch.tolist())) == 9
    assert torch.equal(Minibatches(10, 3).indices(7), batches.indices(7))


def test_pictures_survive_the_way_to_the_network_and_back() -> None:
    images = torch.arange(256, dtype=torch.uint8).repeat(7)[: 2 * 28 * 28].view(2, 28, 28)
    assert torch.equal(to_uint8(to_network(images)), images)


def test_random_shift_moves_a_dot_by_at_most_so_many_pixels() -> None:
    images = torch.zeros(50, 28, 28, dtype=torch.uint8)
    images[:, 10, 10] = 255
    places = random_shift(images, 2).nonzero()
    assert len(places) == 50
    assert int((places[:, 1:] - 10).abs().max()) == 2


def test_elbo_terms_of_a_standard_normal_posterior_and_a_coin_flip() -> None:
    x, zeros = torch.zeros(3, 1, 28, 28), torch.zeros(3, 4)
    reconstruction, kl = elbo_terms(x, torch.zeros_like(x), zeros, zeros)
    assert float(kl) == 0.0
    assert float(reconstruction) == pytest.approx(784 * 0.693147, rel=1e-5)
    assert float(elbo_terms(x, x, zeros + 1, zeros)[1]) == pytest.approx(4 * 0.5)


def test_missing_data_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", offline)
    with pytest.raises(UserError, match="--data or GENLAB_DATA"):
        load_images("mnist", train=True, root=tmp_path)


def test_a_card_keeps_its_text_when_its_metrics_change(tmp_path: Path) -> None:
    write_card(tmp_path, "classifier", "A title", "mnist", "# Hello\n\n---\n\nText.", classes=["0"])
    update_metrics(tmp_path, {"accuracy": 0.5})
    update_metrics(tmp_path, {"accuracy": 0.75, "sharpness": 1.0})
    front, text = read_card(tmp_path)
    assert front["genlab"]["metrics"] == {"accuracy": 0.75, "sharpness": 1.0}
    assert front["genlab"]["classes"] == ["0"]
    assert front["pipeline_tag"] == "image-classification"
    assert text == "# Hello\n\n---\n\nText.\n"


def test_the_card_names_the_file_of_the_loop_its_command_and_what_differs(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path, 1234, {}, {})
    text = config.card_text("dcgan-mnist", CONFIGS["dcgan-mnist"], trainer, "an abacus")
    assert "The loop is\n`genlab/families/gan/train.py`" in text
    assert "`python -m genlab train dcgan-mnist`: 1,234 steps" in text
    assert "seconds on an abacus" in text
    assert "- `steps`: 7000" in text
    plotted = config.card_text("ddpm-mnist", CONFIGS["ddpm-mnist"], trainer, "an abacus")
    assert "](scales.png)" in plotted
    assert "](scales.png)" not in text


def test_what_is_trained_in_stages_gets_its_stage_and_where_it_goes_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[object, ...]] = []
    staged = StagedTraining(lambda *values: calls.append(values), ("one", "two"), ("a.json",))
    monkeypatch.setattr(training, "trainings", lambda: {"house": staged})
    older, work = tmp_path / "older", tmp_path / "runs"
    with pytest.raises(UserError, match=r"older is no trained house: it has no a\.json"):
        training.train("house", tmp_path, work, start_from=older)
    older.mkdir()
    (older / "a.json").touch()
    assert training.train("house", tmp_path, work, None, "cpu", older, "two") is staged
    assert calls == [(None, "cpu", tmp_path / "house", "two", work / "house", older)]


def test_a_training_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(UserError, match="no recipe called 'nothing'; there are: vae-mnist-20d"):
        training.train("nothing")
