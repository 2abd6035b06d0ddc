"""What no file of weights says: guessed by what tutorials do, told, and for a person to correct."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from genlab.formats.metadata import BrokenCheckpoint
from genlab.formats.recognise.order import Patience

Hidden = Literal[
    "relu", "leaky_relu", "elu", "gelu", "silu", "selu", "softplus", "tanh", "sigmoid"
]  # fmt: skip
Output = Literal["sigmoid", "tanh", "none"]
Range = Literal["0 to 1", "-1 to 1"]
USUAL_CODES = frozenset((2, 3, 4, 5, 8, 10, 16, 20, 25, 30, 32, 40, 50, 62, 64, 96, 100, 128, 200,
                         256, 300, 400, 500, 512))  # fmt: skip
"""Dimensions of z that are met again and again; 110 is 100 and a class of ten."""
CLASSES = 10


class Corrections(BaseModel):
    """What a person says of a network; None: it is guessed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: Literal["vae", "gan"] | None = Field(
        default=None, description="what a network that only draws is taken for"
    )
    hidden: Hidden | None = Field(default=None, description="activation between the layers")
    slope: float | None = Field(
        default=None, ge=0, le=1, allow_inf_nan=False, description="of leaky_relu below 0"
    )
    output: Output | None = Field(default=None, description="activation of the last layer")
    range: Range | None = Field(default=None, description="from black to white, at the output")
    invert: bool | None = Field(default=None, description="whether white is the lower end of it")
    eps: float | None = Field(
        default=None, gt=0, le=1, allow_inf_nan=False, description="eps of every batch norm"
    )
    classes: int | None = Field(
        default=None, ge=0, le=1000, description="how many classes it is told one of; 0: none"
    )
    label_first: bool | None = Field(default=None, description="whether the class stands before z")
    reshape_active: bool | None = Field(
        default=None, description="whether an activation stands where numbers become planes"
    )
    size: int | None = Field(default=None, ge=8, le=256, description="pixels of a picture's side")


class Guess(BaseModel):
    """One thing that was guessed, or that a person said.

    Attributes:
        name: of the correction.
        value: as a person reads it.
        why: half a sentence.
        certain: whether somebody said it.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    value: str
    why: str
    certain: bool = False


Seen = Mapping[str, tuple[Any, str]]
"""What the pictures themselves told of a correction: its value, and half a sentence on why."""


class Guesses:
    """Decides each of those things once, and keeps what was decided and why.

    Args:
        corrections: what a person said, which counts most.
        seen: what the pictures told, which counts more than what is usual.
        patience: of all searches for the network that the guesses are of.
    """

    def __init__(
        self, corrections: Corrections, seen: Seen, patience: Patience | None = None
    ) -> None:
        self.corrections = corrections
        self.patience = patience or Patience()
        self._seen = seen
        self.made: dict[str, Guess] = {}
        self._values: dict[str, Any] = {}

    @property
    def eps(self) -> float | None:
        """Of batch norms; None: PyTorch's own."""
        return self._values.get("eps")

    def forget(self) -> None:
        """Drop what was decided, for a network that then did not fit."""
        self.made.clear()
        self._values.clear()

    def decide(self, name: str, value: Any, why: str) -> Any:
        """What a person said of it, or else this value."""
        said = getattr(self.corrections, name)
        value, why = self._seen.get(name, (value, why))
        chosen = value if said is None else said
        self._values[name] = chosen
        because = why if said is None else "as you said"
        self.made[name] = Guess(
            name=name, value=_shown(chosen), why=because, certain=said is not None
        )
        return chosen

    def check_used(self, **known: Any) -> None:
        """Raise BrokenCheckpoint for a correction that nothing was made of.

        Args:
            known: what corrections must agree with, whether or not it was guessed.
        """
        for name, said in self.corrections.model_dump(exclude_none=True).items():
            if name in known and said != known[name]:
                raise BrokenCheckpoint(f"{name} is {said}, but the weights say {known[name]}.")
            if name not in known and name not in self.made:
                raise BrokenCheckpoint(f"{name} is {_shown(said)}, but {USES[name]}.")


USES: Mapping[str, str] = {
    "hidden": "it brings its own activations",
    "slope": "no leaky_relu stands between its layers",
    "output": "it brings its own last activation",
    "range": "it brings its own range",
    "invert": "it says itself what is black",
    "eps": "it has no batch norm that could take it",
    "label_first": "it is told no class beside z",
    "reshape_active": "it says itself what stands where numbers become planes, if any do",
    "size": "it says the size itself",
}
"""Why a correction has no use, for the network that it has none for."""


def hints(role: str, names: Sequence[str], ops: Sequence[str], widths: Sequence[int]) -> dict:
    """What tutorials whose layers are called so do: values of corrections, by name.

    Args:
        role: "vae", "gan" or "discriminator".
        names: of the layers of the part that draws, in order.
        ops: their kinds.
        widths: what they give.
    """
    convolutional = "conv_transpose" in ops
    text = " ".join(names)
    if role == "vae":
        if "decoder_input" in text and "final_layer" in text:  # github.com/AntixK/PyTorch-VAE
            return {"hidden": "leaky_relu", "slope": 0.01, "output": "tanh"}
        if "FC_" in text:  # github.com/Jackson-Kang/Pytorch-VAE-tutorial
            return {"hidden": "leaky_relu", "slope": 0.2, "output": "sigmoid"}
        return {"hidden": "relu", "output": "sigmoid"}
    if text.startswith("gen.0.0"):  # the GANs specialization of Coursera
        return {"hidden": "relu", "output": "tanh" if convolutional else "sigmoid"}
    late_norm = "batch_norm" in ops and ops[:3] == ["linear", "linear", "batch_norm"]
    if "conv_blocks" in text or (late_norm and list(widths[:2]) == [128, 256]):
        # github.com/eriklindernoren/PyTorch-GAN: BatchNorm1d(n, 0.8), where 0.8 becomes eps
        return {"hidden": "leaky_relu", "slope": 0.2, "output": "tanh", "eps": 0.8}
    if convolutional:
        return {"hidden": "relu", "output": "tanh"}
    return {"hidden": "leaky_relu", "slope": 0.2, "output": "tanh"}


def image_of(numbers: int, size: int | None) -> tuple[int, int, int] | None:
    """The picture that so many numbers are; None if they are no square one, grey or in colour."""
    for channels in (1, 3):
        side = round((numbers / channels) ** 0.5)
        if side * side * channels == numbers and (size in (None, side)) and side >= 8:
            return (channels, side, side)
    return None


def unusual(state: tuple[int, int], size: int | None) -> float | None:
    """How unusual a picture of (channels, side) is; None if it is none at all."""
    channels, side = state
    if channels not in (1, 3) or side < 8 or (size is not None and side != size):
        return None
    likely: Mapping[int, float] = {28: 0, 32: 2, 64: 3} if channels == 1 else {32: 0, 64: 0, 28: 2}
    return likely.get(side, 6.0)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value).replace("_", " ")
