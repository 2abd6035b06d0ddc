"""How a network is run over rows."""

from __future__ import annotations

import pytest
import torch

from genlab.engine import Runtime


def test_rows_beyond_the_limit_are_split_and_put_together_again():
    runtime = Runtime("cpu", max_rows=4)
    sizes: list[int] = []

    def network(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        sizes.append(len(x))
        return x + y

    x = torch.arange(10.0)
    assert torch.equal(runtime.call(network, x, 2 * x), 3 * x)
    assert sizes == [4, 4, 2]


def test_no_graph_is_kept():
    weight = torch.ones(1, requires_grad=True)
    assert not Runtime("cpu").call(lambda x: x * weight, torch.ones(3)).requires_grad


def test_shrinking_halves_the_rows_until_one():
    runtime = Runtime("cpu", max_rows=4)
    assert [runtime.shrink(), runtime.shrink(), runtime.shrink()] == [True, True, False]
    assert runtime.max_rows == 1


def test_a_cpu_computes_in_single_precision():
    assert Runtime("cpu").dtype == torch.float32


@pytest.mark.gpu
def test_auto_takes_the_gpu():
    assert Runtime("auto").device.type == "cuda"
