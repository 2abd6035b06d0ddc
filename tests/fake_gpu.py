"""A pretended GPU: tensors that say they are on one, compute on the CPU, and refuse company.

Inside `FakeGpu` whatever is sent to its device becomes such a tensor. It has real numbers, so whole
runs go through, and each operation is held to CUDA's rule: all tensors on one device, but for lone
numbers and indices. What it cannot tell: kernels, their limits and speed, memory, rounding.

It calls itself "cuda", which PyTorch's gradients do not believe where there is no driver; for them
it takes the name "lazy", of a device that nothing in PyTorch treats as a special one.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Self
from unittest import mock

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only

KINDS = ("cuda", "lazy")
ARITHMETIC = ("conv", "linear", "mm", "attention", "group_norm", "layer_norm", "batch_norm")
aten: Any = torch.ops.aten
READING = aten._local_scalar_dense.default  # of a number, by Python
TRANSFERS = (aten._to_copy.default, aten.copy_.default, READING)
INDEXING = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default)
"""These take indices from the CPU."""


class OnGpu(Tensor):
    """A tensor that says it is on a device; ``inner`` holds its numbers on the CPU."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor, device: torch.device) -> OnGpu:
        made = Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(),
            dtype=inner.dtype, device=device, requires_grad=inner.requires_grad,
        )  # fmt: skip
        made.inner = inner
        return made

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"OnGpu({self.inner!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


class FakeGpu(TorchDispatchMode):
    """Within it there is a GPU, as far as PyTorch's own code can tell.

    Attributes:
        device: its name.
        left_on_cpu: how often the CPU did a network's arithmetic, by the operation's name.
        waits: how often Python waited for something that is on the GPU, by the operation's name.
    """

    def __init__(self, kind: str = "cuda") -> None:
        super().__init__()
        self.device = f"{kind}:0"
        self.left_on_cpu: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()
        self._while_inside = ExitStack()

    def __enter__(self) -> Self:
        torch._C._ensureCUDADeviceGuardSet()
        stack = self._while_inside
        for patch in self._patches():
            stack.enter_context(patch)
        stack.enter_context(torch.backends.cudnn.flags(enabled=False))  # its kernels are not here,
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))  # nor are those of attention
        for switch in (
            torch._C._set_only_lift_cpu_tensors,  # torch.tensor(..., device="cuda") asks us, too
            torch.__future__.set_overwrite_module_params_on_conversion,  # into another class
        ):
            switch(True)
            stack.callback(switch, False)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._while_inside.close()

    def _patches(self) -> Iterator[Any]:
        """What PyTorch asks a driver for, and what a subclass of Tensor cannot be."""
        answers: dict[str, Any] = {
            "_lazy_init": None, "is_available": True, "empty_cache": None, "current_device": 0,
            "is_bf16_supported": True,
        }  # fmt: skip
        if self.device.startswith("cuda"):
            for name, answer in answers.items():
                yield mock.patch.object(torch.cuda, name, lambda *_, it=answer, **__: it)
        # inference tensors can be in no subclass: what is done in that mode is done without grad
        yield mock.patch.object(torch.inference_mode, "__enter__", _enter_no_grad)
        yield mock.patch.object(torch.inference_mode, "__exit__", _exit_no_grad)
        yield mock.patch.object(
            sys.modules["torch.optim.optimizer"], "_get_fused_kernels_supported_devices",
            return_value=["cpu", *KINDS],
        )  # fmt: skip

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = run(func, args, kwargs or {})
        name = func.name()
        given, made = _on_gpu((args, kwargs)), _on_gpu(answer)
        if not (given or made) and any(kind in name for kind in ARITHMETIC):
            self.left_on_cpu[name] += 1
        if given and not made and answer is not None and (func in TRANSFERS or "item" in name):
            self.waits[name] += 1
        return answer


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """One operation where its tensors are; RuntimeError as CUDA gives it if they are apart."""
    leaves = tree_leaves((args, kwargs))
    wanted = None if kwargs.get("device") is None else torch.device(kwargs["device"])
    wrapped = [leaf for leaf in leaves if isinstance(leaf, OnGpu)]
    if func not in TRANSFERS and wrapped:
        _refuse_strangers(func, args, leaves)
    device = wrapped[0].device if wrapped else None
    given_args, given_kwargs = tree_map_only(OnGpu, lambda t: t.inner, (args, kwargs))
    if wanted is not None:
        device = wanted if wanted.type in KINDS else None
        given_kwargs = {**given_kwargs, "device": torch.device("cpu"), "pin_memory": None}
        if "pin_memory" not in kwargs:
            del given_kwargs["pin_memory"]
    if func is aten.copy_.default and not isinstance(args[0], OnGpu):
        device = None
    if device is not None:
        _refuse_generator(kwargs.get("generator"))
    answer = func(*given_args, **given_kwargs)
    if func is aten._to_copy.default and any(answer is given for given in given_args):
        answer = answer.clone()  # never the same memory on both
    outer = {id(t.inner): t for t in wrapped}

    def placed(value: Any) -> Any:
        if device is None or not isinstance(value, Tensor):
            return value
        if id(value) in outer:  # changed in its place, it stays the tensor that it was
            return outer[id(value)]
        return OnGpu(value, torch.device(device.type, 0))

    return tree_map(placed, answer)


def _enter_no_grad(mode: Any) -> None:
    mode.before = torch.is_grad_enabled()
    torch.set_grad_enabled(mode.before and not mode.mode)


def _exit_no_grad(mode: Any, *error: Any) -> None:
    torch.set_grad_enabled(mode.before)


def _on_gpu(values: Any) -> bool:
    return any(isinstance(leaf, OnGpu) for leaf in tree_leaves(values))


def _refuse_strangers(func: Any, args: Any, leaves: list[Any]) -> None:
    """CUDA's rule; lone numbers may come from the CPU where an operation goes by elements."""
    strangers = [t for t in leaves if isinstance(t, Tensor) and not isinstance(t, OnGpu)]
    if func in INDEXING and isinstance(args[0], OnGpu):
        values = [id(value) for value in args[2:3]]  # what is put there
        strangers = [t for t in strangers if id(t) in values and t.dim()]
    elif torch.Tag.pointwise in func.tags:
        strangers = [t for t in strangers if t.dim()]
    if strangers:
        shapes = ", ".join(str(tuple(t.shape)) for t in strangers)
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, the "
            f"GPU and the CPU: {func.name()} with {shapes} on the CPU"
        )


def _refuse_generator(generator: torch.Generator | None) -> None:
    if generator is not None and generator.device.type == "cpu":
        raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
