"""Opens the network of a VAE or a GAN: the family's own, or one that its config.json describes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from genlab.families.conditional import SeededRequest, labels_of
from genlab.families.layered import LayeredNetwork
from genlab.families.onnx_network import OnnxNetwork
from genlab.formats import layers, outside_graphs
from genlab.formats.hub_layout import CONFIG, load_hub_module, read_json


def open_network(folder: Path, own: type[nn.Module]) -> Any:
    """A checkpoint's network with its weights, on the CPU, ready to be called.

    Args:
        folder: a checkpoint's.
        own: the class of the family's own networks.

    Raises:
        BrokenCheckpoint: file and configuration do not fit each other.
    """
    config = read_json(folder / CONFIG)
    if outside_graphs.is_graph(config):
        return OnnxNetwork(folder, outside_graphs.graph_config(config))
    return load_hub_module(LayeredNetwork if layers.is_described(config) else own, folder)


class _Drawer(nn.Module):
    """A network as one call from z, and perhaps classes, to pictures in [-1, 1]."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        self.latent_dim = int(network.latent_dim)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        draw = getattr(self.network, "decode", self.network)  # of a VAE; a GAN's own call draws
        return draw(z) if labels is None else draw(z, labels)


def drawing_network(folder: Path, own: type[nn.Module]) -> Any:
    """What of `open_network` draws, as one module: z (B, L) and classes (B,) to pictures.

    Raises BrokenCheckpoint.
    """
    return _Drawer(open_network(folder, own)).eval()


def label_rows(network: Any, request: SeededRequest, part: slice) -> tuple[Tensor, ...]:
    """The classes of these pictures of a request, int64 (N,), for a network that is told them.

    () for any other network.
    """
    classes = getattr(getattr(network, "about", None), "classes", 0)
    if not classes:
        return ()
    labels = labels_of(request, getattr(request, "label", None), classes)
    return (torch.tensor(labels[part], dtype=torch.int64),)
