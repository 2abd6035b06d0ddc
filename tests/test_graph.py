"""Networks as graphs: the same numbers as PyTorch's, for any number of rows."""

from __future__ import annotations

import logging
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn

from genlab.engine.device import Device
from genlab.engine.graph import Graph


class Scaled(nn.Module):
    """(B, 3, H, W) to (B, 5, H, W), scaled by row."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.SiLU(), nn.Conv2d(8, 5, 1))

    def forward(self, images: Tensor, scale: Tensor) -> Tensor:
        return self.layers(images) * scale[:, None, None, None]


@pytest.fixture
def network() -> Scaled:
    torch.manual_seed(0)
    return Scaled().eval()


@pytest.mark.parametrize("first", [1, 4])
def test_a_graph_gives_the_networks_own_numbers_whatever_the_rows(
    network: Scaled, first: int
) -> None:
    graph = Graph(lambda images, scale: network(images, scale), network)
    called = []
    network.register_forward_hook(lambda *_: called.append(True))
    for rows in (first, 1, 3, 7):
        images, scale = torch.randn(rows, 3, 8, 8), torch.rand(rows)
        with torch.inference_mode():
            drawn = graph(images, scale=scale)
            called.clear()
            assert torch.allclose(drawn, network(images, scale), atol=1e-5)
        assert drawn.shape == (rows, 5, 8, 8)
    called.clear()
    graph(torch.randn(2, 3, 8, 8), scale=torch.rand(2))
    assert not called, "PyTorch is not asked again"


def test_pictures_of_another_size_get_their_own_graph(network: Scaled) -> None:
    graph = Graph(network, network)
    for side in (8, 12):
        images, scale = torch.randn(2, 3, side, side), torch.rand(2)
        with torch.inference_mode():
            assert torch.allclose(graph(images, scale), network(images, scale), atol=1e-5)


def test_pytorch_serves_while_a_graph_is_made_in_the_background(network: Scaled) -> None:
    waiting = HeldExecutor()
    graph = Graph(network, network, waiting)
    called = []
    network.register_forward_hook(lambda *_: called.append(True))
    images, scale = torch.randn(2, 3, 8, 8), torch.rand(2)
    with torch.inference_mode():
        first = graph(images, scale)
        assert called, "PyTorch answers at once"
        waiting.run()
        called.clear()
        assert torch.allclose(graph(images, scale), first, atol=1e-5)
        assert not called, "and the graph from then on"
    assert waiting.count == 1


class HeldExecutor(Executor):
    """Does what it was given when it is told to."""

    def __init__(self) -> None:
        self.count = 0
        self._held: list[Any] = []

    def submit(self, call: Any, /, *args: Any, **named: Any) -> Future[Any]:
        self.count += 1
        future: Future[Any] = Future()
        self._held.append(lambda: future.set_result(call(*args, **named)))
        return future

    def run(self) -> None:
        """Do it now."""
        for work in self._held:
            work()


TOYBOX = Path(__file__).resolve().parent.parent / "checkpoints" / "stable-diffusion-toybox"


@pytest.mark.slow
def test_the_shipped_toyboxs_graphs_give_pytorchs_numbers() -> None:
    """The real weights, not a tiny network: UNet and decoder, at one row and at five."""
    torch.manual_seed(0)
    unet: Any = UNet2DConditionModel.from_pretrained(TOYBOX, subfolder="unet").float().eval()
    vae: Any = AutoencoderKL.from_pretrained(TOYBOX, subfolder="vae").float().eval()
    channels, side = unet.config.in_channels, unet.config.sample_size
    width = unet.config.cross_attention_dim

    def noise_pred(latents: Tensor, t: Tensor, encoder_hidden_states: Tensor) -> Tensor:
        return unet(latents, t, encoder_hidden_states=encoder_hidden_states).sample

    def decoded(latents: Tensor) -> Tensor:
        return vae.decode(latents).sample

    unet_graph, vae_graph = Graph(noise_pred, unet), Graph(decoded, vae)
    with torch.inference_mode():
        for rows in (1, 5):
            latents = torch.randn(rows, channels, side, side)
            t, text = torch.randint(0, 1000, (rows,)).float(), torch.randn(rows, 24, width)
            eps = noise_pred(latents, t, text)
            ours = unet_graph(latents, t, encoder_hidden_states=text)
            assert (ours - eps).abs().max() < 1e-4 * max(1.0, float(eps.abs().max()))
            pictures = decoded(latents)
            assert (vae_graph(latents) - pictures).abs().max() < 1 / 255
    assert all(made.result() is not None for made in unet_graph._sessions.values())
    assert all(made.result() is not None for made in vae_graph._sessions.values())


def test_what_cannot_be_a_graph_stays_pytorchs(caplog: pytest.LogCaptureFixture) -> None:
    def odd(rows: Tensor) -> Tensor:
        return torch.special.bessel_j0(rows)  # ONNX has no such operator

    graph, rows = Graph(odd, nn.Identity()), torch.rand(3, 2)
    with caplog.at_level(logging.WARNING, logger="genlab"):
        assert torch.equal(graph(rows), odd(rows))
        assert torch.equal(graph(rows), odd(rows))
    assert caplog.text.count("no graph of a Identity") == 1


def test_only_small_networks_on_a_cpu_become_graphs(
    network: Scaled, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(Device("cpu").graph(network, network), Graph)
    assert Device("cpu", graphs=False).graph(network, network) is network
    assert Device("meta").graph(network, network) is network
    monkeypatch.setattr("genlab.engine.device.SMALL", 100)
    assert Device("cpu").graph(network, network) is network
