"""Checkpoints from elsewhere: recognised, and then the pictures are the network's own."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from genlab.engine.runner import generators, noise_rows
from genlab.engine.tensors import to_uint8
from genlab.families.gan.network import DCGAN
from genlab.families.vae.network import ConvVAE
from genlab.families.vae.request import ReconstructRequest
from genlab.formats.model_card import read_card
from genlab.formats.recognise.guesses import Corrections
from genlab.models.families import FAMILIES
from genlab.models.imports.convert import Imported, convert
from genlab.requests import UserError, parse_request
from tests.drive import drive, metadata_of, opened
from tests.tutorial_networks import (
    TUTORIALS,
    ConvolutionalVAE,
    FlatGAN,
    LinderGAN,
    PyTorchDCGAN,
    PyTorchDiscriminator,
    PyTorchExamplesVAE,
    SequentialVAE,
    Tutorial,
    vivid,
)

COUNT = 5


def imported(source: Path, folder: Path, **more: Any) -> Imported:
    return convert(source, folder, "Mine", "mnist", **more)


def drawn(family: str, folder: Path, **values: Any) -> np.ndarray:
    """What GenLab draws with an imported checkpoint."""
    description = FAMILIES[family]
    kind = description.sample_request
    assert kind is not None
    request = parse_request(kind, checkpoint=folder.name, seed=3, count=COUNT, **values)
    (result,) = drive(opened(description, folder), request)
    return result.images


def own_pictures(module: nn.Module, about: Tutorial, label: int | None = None) -> np.ndarray:
    """What the module itself draws for the same z, as uint8."""
    kind = FAMILIES[about.family].sample_request
    assert kind is not None
    request = parse_request(kind, checkpoint="x", seed=3, count=COUNT)
    z = noise_rows(generators(request), (about.latent_dim,))
    call: Any = module.decode if about.family == "vae" else module
    with torch.inference_mode():
        if about.classes:
            labels = torch.tensor([(3 + k) % 10 if label is None else label for k in range(COUNT)])
            raw = call(z, labels)
        else:
            raw = call(z)
    raw = raw.reshape(COUNT, *about.image)
    return to_uint8(2 * raw - 1 if about.unit else raw)


def close(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and int(np.abs(a.astype(int) - b.astype(int)).max()) <= 1


@pytest.mark.parametrize("name", TUTORIALS)
@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_a_tutorials_network_draws_here_what_it_draws_there(
    name: str, ending: str, tmp_path: Path
) -> None:
    about = TUTORIALS[name]
    module = vivid(about.make())
    source, folder = tmp_path / f"mine.{ending}", tmp_path / "mine"
    if ending == "pth":
        torch.save(module.state_dict(), source)
    else:
        save_file(module.state_dict(), source)
    result = imported(source, folder)
    assert result.family == about.family
    facts = metadata_of(FAMILIES[about.family], folder).facts
    assert facts["latent_dim"] == about.latent_dim
    assert tuple(facts["image"]) == about.image
    assert facts["classes"] == about.classes
    own = own_pictures(module, about)
    assert own.std() > 20, "pictures without contrast would prove nothing"
    assert close(drawn(about.family, folder), own)
    if about.classes:
        assert close(drawn(about.family, folder, label=7), own_pictures(module, about, 7))


@pytest.mark.parametrize("name", [n for n, t in TUTORIALS.items() if t.family == "vae"][:7])
def test_an_imported_vae_reconstructs_as_its_own_module_does(name: str, tmp_path: Path) -> None:
    about = TUTORIALS[name]
    module: Any = vivid(about.make())
    torch.save(module.state_dict(), tmp_path / "mine.pth")
    imported(tmp_path / "mine.pth", tmp_path / "mine")
    channels, height, width = about.image
    shape = (COUNT, height, width) if channels == 1 else (COUNT, height, width, channels)
    images = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    request = parse_request(ReconstructRequest, checkpoint="mine", images=images)
    (result,) = drive(opened(FAMILIES["vae"], tmp_path / "mine"), request)
    x = torch.from_numpy(images).float() / 255
    x = x.unsqueeze(1) if channels == 1 else x.permute(0, 3, 1, 2)
    with torch.inference_mode():
        mu, logvar = module.encode(x if about.unit else 2 * x - 1)
    assert np.allclose(result.extras["mu"], mu.numpy(), atol=1e-4)
    assert np.allclose(result.extras["logvar"], logvar.numpy(), atol=1e-4)


def wrap(state: Any, how: str) -> Any:
    """A state dict as training scripts save it."""
    if how == "module":
        return OrderedDict((f"module.{name}", tensor) for name, tensor in state.items())
    if how == "compiled":
        return OrderedDict((f"_orig_mod.{name}", tensor) for name, tensor in state.items())
    if how == "half":
        return OrderedDict((name, tensor.half()) for name, tensor in state.items())
    return {"model": state, "epoch": 12, "optimizer": {"state": {}, "param_groups": []}}


@pytest.mark.parametrize("how", ["module", "compiled", "half", "checkpoint"])
def test_what_a_training_script_wraps_round_the_weights_is_taken_off(
    how: str, tmp_path: Path
) -> None:
    module = vivid(PyTorchExamplesVAE())
    torch.save(wrap(module.state_dict(), how), tmp_path / "mine.pth")
    result = imported(tmp_path / "mine.pth", tmp_path / "mine")
    own = own_pictures(module, TUTORIALS["pytorch-examples-vae"])
    difference = np.abs(drawn("vae", tmp_path / "mine").astype(int) - own)
    assert difference.max() <= (3 if how == "half" else 1)
    if how == "checkpoint":
        assert "Taken from 'model'; left out: epoch, optimizer." in result.notes


def test_a_gan_of_two_state_dicts_keeps_its_discriminator(tmp_path: Path) -> None:
    about = TUTORIALS["pytorch-dcgan-64"]
    generator, discriminator = vivid(PyTorchDCGAN()), vivid(PyTorchDiscriminator(), 1)
    saved = {"G": generator.state_dict(), "D": discriminator.state_dict(), "optG": {"state": {}}}
    torch.save(saved, tmp_path / "mine.pth")
    result = imported(tmp_path / "mine.pth", tmp_path / "mine")
    assert set(result.parts) == {"generator", "discriminator"}
    kind = FAMILIES["gan"].sample_request
    assert kind is not None
    request = parse_request(kind, checkpoint="mine", seed=3, count=COUNT)
    (drawn_here,) = drive(opened(FAMILIES["gan"], tmp_path / "mine"), request)
    assert close(drawn_here.images, own_pictures(generator, about))
    z = noise_rows(generators(request), (100,))
    with torch.inference_mode():
        wanted = discriminator(generator(z)).numpy()
    assert np.allclose(drawn_here.extras["scores"].ravel(), wanted, atol=1e-4)


def test_a_generator_alone_is_served_without_scores(tmp_path: Path) -> None:
    torch.save(vivid(FlatGAN()).state_dict(), tmp_path / "mine.pth")
    imported(tmp_path / "mine.pth", tmp_path / "mine")
    description = FAMILIES["gan"]
    kind = description.sample_request
    assert kind is not None
    request = parse_request(kind, checkpoint="mine", count=2)
    (result,) = drive(opened(description, tmp_path / "mine"), request)
    assert set(result.extras) == {"z"}, "where it was drawn from, and no discriminator's scores"
    assert description.own_figures(request, result, None) == {}


@pytest.mark.parametrize("network", [ConvVAE(5, (4, 4), 16, 2, 1), ConvVAE(3, (4, 6), 8), DCGAN(6)])
def test_genlabs_own_networks_are_known_again(network: Any, tmp_path: Path) -> None:
    torch.save(network.state_dict(), tmp_path / "mine.pth")
    result = imported(tmp_path / "mine.pth", tmp_path / "mine")
    assert result.layout.startswith("GenLab's own")
    runner = opened(FAMILIES[result.family], tmp_path / "mine")
    assert type(runner.network) is type(network)


def test_what_was_guessed_is_told_and_can_be_corrected(tmp_path: Path) -> None:
    about = TUTORIALS["sequential-vae"]
    torch.save(vivid(SequentialVAE()).state_dict(), tmp_path / "mine.pth")
    guessed = imported(tmp_path / "mine.pth", tmp_path / "guessed")
    assert {guess.name: guess.value for guess in guessed.guesses} == {
        "hidden": "relu", "output": "sigmoid", "range": "0 to 1", "invert": "no", "size": "28",
    }  # fmt: skip
    corrections = Corrections(hidden="tanh", output="tanh", invert=True)
    corrected = imported(tmp_path / "mine.pth", tmp_path / "other", corrections=corrections)
    by_name = {guess.name: guess for guess in corrected.guesses}
    assert by_name["hidden"].value == "tanh"
    assert by_name["hidden"].certain
    assert by_name["range"].value == "-1 to 1"
    module = vivid(SequentialVAE())
    for part in (module.encoder, module.decoder):  # type: ignore[union-attr]
        for k, layer in enumerate(part):  # type: ignore[arg-type]
            if isinstance(layer, (nn.ReLU, nn.Sigmoid)):
                part[k] = nn.Tanh()  # type: ignore[index]
    own = own_pictures(module, TUTORIALS["flat-gan"].__class__(about.make, "vae", 2, about.image))
    assert close(drawn("vae", tmp_path / "other"), 255 - own)
    front, text = read_card(tmp_path / "other")
    assert front["genlab"]["imported"]["guessed"]["hidden"] == "tanh"
    assert "hidden: tanh (as you said)" in text


def test_pictures_tell_that_the_last_layer_gives_grey_values_already(tmp_path: Path) -> None:
    module: Any = vivid(FlatGAN())
    with torch.no_grad():  # as a network trained with a squared error and no activation
        module.fc4.weight.mul_(0.05)
        module.fc4.bias.copy_((torch.arange(784) % 2).float() * 0.9 + 0.05)
        module.fc3.weight.mul_(0.2)
    torch.save(module.state_dict(), tmp_path / "mine.pth")
    result = imported(tmp_path / "mine.pth", tmp_path / "mine")
    by_name = {guess.name: guess for guess in result.guesses}
    assert (by_name["output"].value, by_name["range"].value) == ("none", "0 to 1")
    assert "98 % of what its last layer gives" in by_name["output"].why


def test_dark_on_bright_and_empty_pictures_are_told(tmp_path: Path) -> None:
    module: Any = vivid(FlatGAN())
    frame = torch.zeros(28, 28)
    frame[2:-2, 2:-2] = -6.0
    with torch.no_grad():
        module.fc4.bias.copy_((frame + 3.0).flatten())
    torch.save(module.state_dict(), tmp_path / "dark.pth")
    (note,) = imported(tmp_path / "dark.pth", tmp_path / "dark").notes
    assert note.startswith("The pictures are dark on bright")
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(0.01)
    torch.save(module.state_dict(), tmp_path / "empty.pth")
    (note,) = imported(tmp_path / "empty.pth", tmp_path / "empty").notes
    assert "nearly the same grey" in note


def test_labels_are_checked_against_the_classes(tmp_path: Path) -> None:
    for name in ("one-hot-gan", "flat-gan"):
        torch.save(vivid(TUTORIALS[name].make()).state_dict(), tmp_path / "mine.pth")
        imported(tmp_path / "mine.pth", tmp_path / name)
    family = FAMILIES["gan"]
    kind = family.sample_request
    assert kind is not None
    for name, sentence in {
        "one-hot-gan": "label is 12, but Mine has classes from 0 to 9 only.",
        "flat-gan": "label is 12, but Mine is told no class.",
    }.items():
        request = parse_request(kind, checkpoint=name, label=12)
        with pytest.raises(UserError, match=sentence):
            family.check_request(request, metadata_of(family, tmp_path / name), lambda _: None)


def test_the_eps_of_batch_norms_is_that_of_its_tutorial_or_as_said(tmp_path: Path) -> None:
    torch.save(vivid(LinderGAN()).state_dict(), tmp_path / "mine.pth")
    plain = imported(tmp_path / "mine.pth", tmp_path / "plain")
    said = imported(tmp_path / "mine.pth", tmp_path / "said", corrections=Corrections(eps=1e-5))
    assert [g.value for g in plain.guesses if g.name == "eps"] == ["0.8"]
    assert [g.value for g in said.guesses if g.name == "eps"] == ["1e-05"]
    assert not close(drawn("gan", tmp_path / "plain"), drawn("gan", tmp_path / "said"))


def test_a_larger_convolutional_vae_is_recognised_though_no_name_says_its_order(
    tmp_path: Path,
) -> None:
    module = vivid(ConvolutionalVAE())
    shuffled = dict(sorted(module.state_dict().items(), key=lambda item: item[0][::-1]))
    torch.save(shuffled, tmp_path / "mine.pth")
    imported(tmp_path / "mine.pth", tmp_path / "mine")
    assert close(
        drawn("vae", tmp_path / "mine"), own_pictures(module, TUTORIALS["convolutional-vae"])
    )


class NormedVAE(nn.Module):
    """fc1, bn1 ... fc4, bn4: norms of both halves beside the layers that they follow."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.bn1 = nn.Linear(784, 64), nn.BatchNorm1d(64)
        self.fc2, self.bn2 = nn.Linear(64, 32), nn.BatchNorm1d(32)
        self.fc_mu, self.fc_logvar = nn.Linear(32, 4), nn.Linear(32, 4)
        self.fc3, self.bn3 = nn.Linear(4, 32), nn.BatchNorm1d(32)
        self.fc4, self.bn4 = nn.Linear(32, 64), nn.BatchNorm1d(64)
        self.fc5 = nn.Linear(64, 784)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.bn3(self.fc3(z)))
        return torch.sigmoid(self.fc5(torch.relu(self.bn4(self.fc4(h)))))


class PlainReshapeVAE(ConvolutionalVAE):
    """What fc3 gives becomes planes as it is."""

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        h = self.fc3(torch.relu(self.fc2(z))).view(-1, 16, 7, 7)
        return torch.sigmoid(self.deconv2(torch.relu(self.deconv1(h))))


def test_the_norms_of_an_encoder_stay_there(tmp_path: Path) -> None:
    module = vivid(NormedVAE()).eval()
    torch.save(module.state_dict(), tmp_path / "mine.pth")
    made = imported(tmp_path / "mine.pth", tmp_path / "mine")
    assert [sum(layer["op"] == "batch_norm" for layer in made.parts[name])
            for name in ("encoder", "decoder")] == [2, 2]  # fmt: skip
    about = Tutorial(NormedVAE, "vae", 4, (1, 28, 28), unit=True)
    assert close(drawn("vae", tmp_path / "mine"), own_pictures(module, about))


def test_whether_an_activation_stands_before_planes_can_be_said(tmp_path: Path) -> None:
    module = vivid(PlainReshapeVAE())
    torch.save(module.state_dict(), tmp_path / "mine.pth")
    about = Tutorial(PlainReshapeVAE, "vae", 10, (1, 28, 28), unit=True)
    guessed = imported(tmp_path / "mine.pth", tmp_path / "guessed")
    assert "reshape_active" in {guess.name for guess in guessed.guesses}
    assert not close(drawn("vae", tmp_path / "guessed"), own_pictures(module, about))
    said = Corrections(reshape_active=False)
    imported(tmp_path / "mine.pth", tmp_path / "said", corrections=said)
    assert close(drawn("vae", tmp_path / "said"), own_pictures(module, about))


def test_the_other_sizes_that_would_fit_are_told(tmp_path: Path) -> None:
    torch.save(vivid(LinderGAN()).state_dict(), tmp_path / "mine.pth")
    torch.save(vivid(PyTorchDCGAN(1)).state_dict(), tmp_path / "conv.pth")
    whys = []
    for name in ("mine", "conv"):
        made = imported(tmp_path / f"{name}.pth", tmp_path / name)
        whys += [guess.why for guess in made.guesses if guess.name == "size"]
    assert whys[0] == "by the layers' shapes"
    assert "would fit too" in whys[1]


def test_a_discriminator_of_an_unknown_kind_costs_the_scores_only(tmp_path: Path) -> None:
    module = vivid(FlatGAN())
    judge = nn.utils.spectral_norm(nn.Linear(784, 1))
    both = {f"generator.{name}": tensor for name, tensor in module.state_dict().items()}
    both |= {f"discriminator.0.{name}": tensor for name, tensor in judge.state_dict().items()}
    torch.save(both, tmp_path / "mine.pth")
    made = imported(tmp_path / "mine.pth", tmp_path / "mine")
    assert any("Its discriminator is of a kind" in note for note in made.notes)
    about = Tutorial(FlatGAN, "gan", 100, (1, 28, 28), unit=False)
    assert close(drawn("gan", tmp_path / "mine"), own_pictures(module, about))
