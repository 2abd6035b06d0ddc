"""Networks as graphs: the same numbers as PyTorch's, for any number of rows."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import Tensor, nn

from genlab.engine import Runtime
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
    assert isinstance(Runtime("cpu").graph(network, network), Graph)
    assert Runtime("cpu", graphs=False).graph(network, network) is network
    assert Runtime("meta").graph(network, network) is network
    monkeypatch.setattr("genlab.engine.device.SMALL", 100)
    assert Runtime("cpu").graph(network, network) is network
