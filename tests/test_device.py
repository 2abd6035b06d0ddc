"""How a network is run over rows."""

from __future__ import annotations

import pytest
import torch

from genlab.engine.device import Device


def test_rows_beyond_the_limit_are_split_and_put_together_again():
    device = Device("cpu", max_rows=4)
    sizes: list[int] = []

    def network(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        sizes.append(len(x))
        return x + y

    x = torch.arange(10.0)
    assert torch.equal(device.call(network, x, 2 * x), 3 * x)
    assert sizes == [4, 4, 2]


def test_no_graph_is_kept():
    weight = torch.ones(1, requires_grad=True)
    assert not Device("cpu").call(lambda x: x * weight, torch.ones(3)).requires_grad


def test_shrinking_halves_the_rows_until_one():
    device = Device("cpu", max_rows=4)
    assert [device.shrink(), device.shrink(), device.shrink()] == [True, True, False]
    assert device.max_rows == 1


def test_each_model_has_a_limit_of_its_own_that_grows_back():
    device = Device("cpu", max_rows=8)
    one, other = device.for_model(), device.for_model()
    one.shrink()
    one.shrink()
    assert (one.max_rows, other.max_rows, device.max_rows) == (2, 8, 8)
    for limit in (4, 8, 8):
        one.grow()
        assert one.max_rows == limit


def test_a_cpu_computes_in_single_precision():
    assert Device("cpu").dtype == torch.float32


@pytest.mark.gpu
def test_auto_takes_the_gpu():
    assert Device("auto").torch.type == "cuda"
