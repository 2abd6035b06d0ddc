"""A network as a graph of ONNX Runtime, which a CPU runs faster than PyTorch. Knows no model."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import Any

import onnxruntime
import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)

Call = Callable[..., Tensor]
"""From tensors with one row an image (B, ...), by position or by name, to one such tensor."""
Session = onnxruntime.InferenceSession | None


class Graph:
    """A call into a network, made into a graph when its first rows come; any number of rows fits.

    Rows of another shape or number format get a graph of their own. While one is being made in the
    background, and for what cannot be made into one, PyTorch serves; the log says why.

    Args:
        call: has no randomness, needs no gradient.
        network: holds the weights that ``call`` uses.
        background: where graphs are made; None: at once, before the first answer.
    """

    def __init__(self, call: Call, network: nn.Module, background: Executor | None = None) -> None:
        self._call = call
        self._network = network
        self._background = background
        self._sessions: dict[tuple[Any, ...], Future[Session]] = {}

    def __call__(self, *rows: Tensor, **named: Tensor) -> Tensor:
        inputs = [*rows, *named.values()]
        kind = (*named, *((tensor.dtype, tensor.shape[1:]) for tensor in inputs))
        if kind not in self._sessions:
            self._sessions[kind] = self._making(inputs, tuple(named))
        made = self._sessions[kind]
        session = made.result() if made.done() else None
        if session is None:
            return self._call(*rows, **named)
        feed = {
            name: t.contiguous().numpy() for name, t in zip(_names(inputs), inputs, strict=True)
        }
        return torch.from_numpy(session.run(None, feed)[0])

    def _making(self, inputs: Sequence[Tensor], named: tuple[str, ...]) -> Future[Session]:
        # The trace needs two rows: it would take the 1 of a single one for a shape that broadcasts.
        example = tuple(torch.cat([tensor[:1], tensor[:1]]) for tensor in inputs)
        if self._background is not None:
            return self._background.submit(self._session, example, named)
        made: Future[Session] = Future()
        made.set_result(self._session(example, named))
        return made

    def _session(self, example: tuple[Tensor, ...], named: tuple[str, ...]) -> Session:
        module = _ByPosition(self._call, self._network, named).eval()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Small shares of work: a thread that the page's process holds up leaves its rest to others.
        options.add_session_config_entry("session.dynamic_block_base", "16")
        try:
            return onnxruntime.InferenceSession(
                exported(module, example, _names(example)),
                options,
                providers=["CPUExecutionProvider"],
            )
        except Exception as error:
            log.warning("no graph of a %s: %r", type(self._network).__name__, error)
            return None


class _ByPosition(nn.Module):
    """A call whose rows all come by position, as the exporter wants them."""

    def __init__(self, call: Call, network: nn.Module, named: tuple[str, ...]) -> None:
        super().__init__()
        self.call, self.network, self.named = call, network, named

    def forward(self, *inputs: Tensor) -> Tensor:
        plain = len(inputs) - len(self.named)
        return self.call(*inputs[:plain], **dict(zip(self.named, inputs[plain:], strict=True)))


def _names(inputs: Sequence[Tensor]) -> list[str]:
    return [f"rows{k}" for k in range(len(inputs))]


def exported(
    module: nn.Module, example: tuple[Tensor, ...], names: Sequence[str], answer: str = "answer"
) -> bytes:
    """The module in the ONNX format, for any number of rows.

    Args:
        module: called with the example.
        example: two rows or more of each input.
        names: what the inputs are called.
        answer: what the output is called.
    """
    file = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        # dynamo=True, the exporter that is to follow this one, takes 20 s for Toybox instead of 1.
        torch.onnx.export(
            module,
            example,
            file,  # type: ignore[arg-type]
            input_names=list(names),
            output_names=[answer],
            dynamic_axes={name: {0: "row"} for name in (*names, answer)},
            dynamo=False,
        )
    return file.getvalue()
