"""A network that is an ONNX graph, run by ONNX Runtime on the CPU. Knows no queue, no page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from genlab.formats.onnx_files import GRAPH
from genlab.formats.outside_graphs import OnnxConfig


class OnnxNetwork(nn.Module):
    """Draws pictures of z; neither trained nor moved to a device.

    Args:
        folder: a checkpoint's.
        about: its config.json.
    """

    scores = False

    def __init__(self, folder: Path, about: OnnxConfig) -> None:
        super().__init__()
        self.about = about
        self.latent_dim = about.latent_dim
        self.file_bytes = (folder / GRAPH).stat().st_size
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(
            str(folder / GRAPH), options, providers=["CPUExecutionProvider"]
        )

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Pictures (B, C, H, W) in [-1, 1] of z (B, latent_dim) and classes (B,)."""
        about, count = self.about, len(z)
        feed: dict[str, Any] = {about.z: z.cpu().numpy().reshape(count, *about.z_shape)}
        if about.labels and labels is not None:
            feed[about.labels] = labels.cpu().numpy()
        step = about.rows or count
        parts = [self._run(feed, begin, step) for begin in range(0, count, step)]
        drawn = np.concatenate(parts)[:count].astype(np.float32)
        channels, height, width = about.image
        if about.layout == "hwc":
            drawn = drawn.reshape(count, height, width, channels).transpose(0, 3, 1, 2)
        unit = (drawn - about.low) / (about.high - about.low)
        pictures = np.ascontiguousarray(2.0 * unit.reshape(count, channels, height, width) - 1.0)
        return torch.from_numpy(pictures).to(z.device)

    decode = forward

    def _run(self, feed: dict[str, Any], begin: int, step: int) -> np.ndarray:
        """One call of the graph; rows that it wants and nobody asked for repeat the last one."""
        rows = {}
        for name, values in feed.items():
            part = values[begin : begin + step]
            short = step - len(part)
            rows[name] = np.concatenate([part, np.repeat(part[-1:], short, 0)]) if short else part
        return np.asarray(self._session.run(None, rows)[0])
