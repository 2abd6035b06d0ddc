"""Reads the weights of a file from elsewhere: nothing in it is run, and its size is bounded.

Knows no network: names and tensors are all. Needs torch, which it loads when it reads.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genlab.formats.metadata import BrokenCheckpoint

PICKLED = (".pth", ".pt", ".ckpt", ".tar", ".bin", ".pkl")
"""Endings under which PyTorch's own files go about."""
MAX_BYTES = 256_000_000
MOST = 4000  # tensors
DEEPEST = 4  # mappings inside mappings
WEIGHTS_OF = ("model", "state_dict", "model_state_dict", "net", "network", "weights", "params")
"""What a training script calls the weights inside its checkpoint."""
AVERAGED = ("ema", "ema_state_dict", "model_ema", "ema_model")
TRAINING = re.compile(r"optim|sched|scaler|epoch|step|iter|loss|hist|arg|config|seed|rng|best|acc")
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "vae.", "gan.")
SAVE = "torch.save(model.state_dict(), 'model.pth')"


@dataclass(frozen=True)
class StateDict:
    """The weights of a file.

    Attributes:
        tensors: float32 on the CPU, by name, in the order of the file.
        ordered: whether that is the order in which the layers were made; safetensors lose it.
        notes: what was taken out, or left out, one sentence each.
    """

    tensors: Mapping[str, Any]
    ordered: bool
    notes: tuple[str, ...] = field(default=())

    @property
    def shapes(self) -> dict[str, list[int]]:
        """The shape of each tensor, by its name."""
        return {name: list(tensor.shape) for name, tensor in self.tensors.items()}


def read_state_dict(path: Path) -> StateDict:
    """The weights of a .safetensors file, or of one of PyTorch's own.

    Raises:
        BrokenCheckpoint: one sentence on what was found and what would fit.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise BrokenCheckpoint(
            f"it has {size / 1e6:,.0f} MB, but may have at most {MAX_BYTES / 1e6:.0f} MB."
        )
    if path.suffix.lower() == ".safetensors":
        from safetensors.torch import load_file

        try:
            found: Any = load_file(path)
        except Exception as error:
            raise BrokenCheckpoint("it is cut short or is no safetensors file.") from error
        return _cleaned(found, ordered=False)
    if path.suffix.lower() not in PICKLED:
        raise BrokenCheckpoint(
            f"a {path.suffix or 'file without an ending'} is no checkpoint; a state dict (.pth, "
            ".pt), .safetensors, .onnx or a ZIP of a folder in the hub layout would be."
        )
    return _cleaned(_unpickled(path), ordered=True)


def _unpickled(path: Path) -> Any:
    """What ``torch.load`` makes of a file when it may make weights only."""
    import pickle

    import torch

    _check_archive(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if isinstance(error, pickle.UnpicklingError) and _holds_a_pickle(path):
            raise BrokenCheckpoint(_unpickling(str(error))) from error
        raise BrokenCheckpoint("it is cut short or was not written by torch.save().") from error


def _holds_a_pickle(path: Path) -> bool:
    """Whether a file is an archive, or begins like a pickle of protocol 2 or later."""
    with path.open("rb") as file:
        begin = file.read(2)
    return begin in (b"\x80\2", b"\x80\3", b"\x80\4", b"\x80\5") or zipfile.is_zipfile(path)


def _unpickling(trouble: str) -> str:
    """One sentence on a pickle that torch did not want to run."""
    named = re.search(r"GLOBAL ([\w.]+)", trouble) or re.search(r"class '([\w.]+)'", trouble)
    name = named[1][:60] if named else ""
    if not name:
        return f"it holds more than weights, which GenLab does not run; save {SAVE}."
    if "blocked" in trouble:
        return f"it would run {name} when it is loaded; GenLab runs nothing of a file."
    what = "a whole module" if name.startswith("torch.nn.") else "a whole Python object"
    return f"it holds {what} ({name}), which would be code to run; save its weights alone: {SAVE}."


def _check_archive(path: Path) -> None:
    """Raise BrokenCheckpoint for an archive that would unpack to more than it may.

    PyTorch stores tensors as they are; whoever packed them wants to be larger than they look.
    """
    if not zipfile.is_zipfile(path):
        return  # PyTorch's format from before 1.6: one pickle, then the bytes
    try:
        with zipfile.ZipFile(path) as archive:
            inside = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise BrokenCheckpoint("it is cut short.") from error
    unpacked = sum(item.file_size for item in inside)
    if unpacked > MAX_BYTES or len(inside) > 2 * MOST:
        raise BrokenCheckpoint(
            f"it would unpack to {unpacked / 1e6:,.0f} MB in {len(inside):,} parts, but may have "
            f"at most {MAX_BYTES / 1e6:.0f} MB."
        )
    if not any(item.filename.endswith("data.pkl") for item in inside):
        raise BrokenCheckpoint(
            "it is a ZIP but no file of torch.save(); call a ZIP of a folder .zip."
        )
    if any(item.filename.endswith("/constants.pkl") for item in inside):
        raise BrokenCheckpoint(
            "it is a TorchScript program, which would be code to run; save its weights alone: "
            f"{SAVE}, or export it as ONNX."
        )


# --- from what was saved to the weights -----------------------------------------------------


def _cleaned(found: Any, ordered: bool) -> StateDict:
    import torch

    notes: list[str] = []
    if isinstance(found, torch.Tensor):
        raise BrokenCheckpoint(
            f"it holds one tensor of shape {list(found.shape)}; a state dict holds a network's: "
            f"save {SAVE}."
        )
    tensors = dict(_flat(_unwrapped(found, notes), "", notes, DEEPEST))
    if not tensors:
        raise BrokenCheckpoint(f"it holds no weights; save {SAVE}.")
    if len(tensors) > MOST:
        raise BrokenCheckpoint(f"it holds {len(tensors):,} tensors, but may hold {MOST:,}.")
    numbers = sum(math.prod(tensor.shape) for tensor in tensors.values())
    if numbers * 4 > MAX_BYTES:
        raise BrokenCheckpoint(
            f"its tensors say that they are {numbers / 1e6:,.0f} million numbers, but may be "
            f"{MAX_BYTES / 4e6:.0f} million."
        )
    made: dict[str, Any] = {}
    for name, tensor in without_prefix(tensors).items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex():
            raise BrokenCheckpoint(f"{name[:80]} is no ordinary tensor of numbers.")
        if tensor.device.type != "cpu":
            raise BrokenCheckpoint(f"{name[:80]} has a shape but no numbers.")
        made[name] = tensor.detach().float().contiguous().clone()
        if not torch.isfinite(made[name]).all():
            bad = int((~torch.isfinite(made[name])).sum())
            raise BrokenCheckpoint(
                f"{bad:,} of the {tensor.numel():,} numbers of {name[:80]} are NaN or infinite: "
                "the training has diverged; save it from before that."
            )
    return StateDict(made, ordered, tuple(notes))


def _unwrapped(found: Any, notes: list[str]) -> Mapping[str, Any]:
    """The mapping of weights inside a training script's checkpoint."""
    for _ in range(DEEPEST):
        if not isinstance(found, Mapping):
            kind = type(found).__name__
            raise BrokenCheckpoint(f"it holds a {kind}, no state dict; save {SAVE}.")
        inner = {str(key): value for key, value in found.items()}
        usual = [key for key in (*AVERAGED, *WEIGHTS_OF) if isinstance(inner.get(key), Mapping)]
        if not usual:
            return inner
        left = [key for key in inner if key != usual[0]]
        if left:
            notes.append(f"Taken from {usual[0]!r}; left out: {', '.join(map(str, left))[:120]}.")
        found = inner[usual[0]]
    raise BrokenCheckpoint(f"its weights lie more than {DEEPEST} mappings deep; save {SAVE}.")


def _flat(
    found: Mapping[str, Any], prefix: str, notes: list[str], depth: int
) -> Iterator[tuple[str, Any]]:
    """Tensors by name; those of several networks in one checkpoint under its name for each."""
    import torch

    for key, value in found.items():
        name = f"{prefix}{key}"
        if isinstance(value, torch.Tensor):
            yield name, value
        elif isinstance(value, Mapping) and depth and not _is_training(str(key), value):
            part = re.sub(r"_?(model_)?state_dict$", "", str(key)) or str(key)
            yield from _flat(without_prefix(value), f"{prefix}{part}.", notes, depth - 1)
        elif isinstance(value, Mapping) or not prefix:
            notes.append(f"Left out: {name[:60]}.")


def _is_training(name: str, value: Mapping[str, Any]) -> bool:
    """Whether a mapping is an optimizer's or a schedule's, not a network's."""
    return "param_groups" in value or bool(TRAINING.search(name.lower()))


def without_prefix(found: Mapping[str, Any]) -> dict[str, Any]:
    """The same, without what all names begin with because of how the network was wrapped."""
    names = {str(key): value for key, value in found.items()}
    while names:
        common = next((p for p in PREFIXES if all(n.startswith(p) for n in names)), None)
        if common is None or any(name == common for name in names):
            break
        names = {name.removeprefix(common): value for name, value in names.items()}
    return names
