"""From the Guidance tab's controls to requests: the row of digits, the three methods.

Knows no component and no tensor; checks nothing that ``parse_request`` checks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from genlab.families.pixel_diffusion.request import PixelDiffusionRequest
from genlab.models.registry import Registry
from genlab.requests import UserError, parse_request

MAX_COUNT = 64  # a longer row is refused for its labels, not for its count
PREVIEWS = 8  # during a run


@dataclass(frozen=True)
class Method:
    """One way to draw: what it is called, and its noise prediction as HTML."""

    title: str
    formula: str


UNCOND = "<i>ε</i><sub>u</sub>"
METHODS = {
    "none": Method("Unguided", f"<i>ε</i> = {UNCOND}"),
    "classifier": Method(
        "Classifier guidance",
        f"<i>ε</i> = {UNCOND} − <i>s σ<sub>t</sub></i> ∇<sub><i>x<sub>t</sub></i></sub> "
        "log <i>p</i>(<i>y</i> | <i>x<sub>t</sub></i>, <i>t</i>)",
    ),
    "classifier-free": Method(
        "Classifier-free guidance",
        f"<i>ε</i> = {UNCOND} + <i>s</i> (<i>ε</i><sub>c</sub> − {UNCOND})",
    ),
}
"""All three start from the unconditional prediction; Dhariwal & Nichol 2021, Ho & Salimans 2022."""


@dataclass(frozen=True)
class GuidanceInputs:
    """The values of the tab's controls, as the browser sent them; "" for an empty box."""

    checkpoint: Any
    digits: Any
    seed: Any
    count: Any
    num_inference_steps: Any
    free_scale: Any
    classifier_scale: Any
    scheduler: Any
    eta: Any

    @classmethod
    def of(cls, values: Sequence[Any]) -> Self:
        """The controls' values in the order of the fields."""
        # An empty box sends None, which would read oddly in a sentence.
        return cls(*("" if value is None else value for value in values))

    def labels(self, registry: Registry) -> tuple[int, ...]:
        """The class of each picture: the typed row, one typed class ``count`` times, or in turn."""
        names = class_names(registry, registry.entry(str(self.checkpoint)).dataset)
        return parse_row(str(self.digits), names) or tuple(range(len(names)))

    def request(self, registry: Registry, method: str, **changes: Any) -> PixelDiffusionRequest:
        """What one of METHODS draws under these settings, to be judged.

        Args:
            changes: fields of the request that the controls don't set, or set otherwise.

        Raises:
            UserError: for the first wrong value, or if the checkpoint cannot serve it.
        """
        labels = self.labels(registry)
        listed = bool(str(self.digits).strip()) and len(labels) > 1
        scales = {"classifier": self.classifier_scale, "classifier-free": self.free_scale}
        values = {
            "checkpoint": self.checkpoint,
            "labels": labels,
            "guidance": method,
            "guidance_scale": scales.get(method, 0.0),
            "num_inference_steps": self.num_inference_steps,
            "scheduler": self.scheduler,
            "eta": self.eta,
            "seed": self.seed,
            "count": min(len(labels), MAX_COUNT) if listed else self.count,
            "judge": True,
        }
        request = parse_request(PixelDiffusionRequest, **(values | changes))
        registry.check(request)
        return request

    def one_picture(self, registry: Registry, method: str, picture: Any) -> PixelDiffusionRequest:
        """The trajectory of one picture of the row, counted from 1; raises UserError."""
        row = self.request(registry, method)
        if picture not in range(1, row.count + 1):
            raise UserError(f"Picture is {picture!r}, but the row has 1 to {row.count}.")
        return row.for_image(int(picture) - 1).model_copy(update={"trajectory": True})


def preview_every(steps: Any) -> int:
    """Steps between two previews; 0, for none, if ``steps`` is no number to count by."""
    return -(-int(steps) // PREVIEWS) if isinstance(steps, (int, float)) and 1 < steps < 1e4 else 0


def parse_row(text: str, names: Sequence[str]) -> tuple[int, ...]:
    """The classes that a text names: "3 1 4", "3, 1, 4", "314", or names such as "bag, coat".

    A number outside the known classes is passed on: the request says what is allowed.

    Raises:
        UserError: naming the first word that is neither a number nor a class.
    """
    words = [re.escape(name.lower()) for name in sorted(names, key=len, reverse=True)]
    found = re.findall(rf"(?<![^\s,;])(?:{'|'.join(words)})(?![^\s,;])|[^\s,;]+", text.lower())
    if is_glued(text):
        found = list(found[0])
    class_of = {name.lower(): k for k, name in enumerate(names)}
    labels = []
    for word in found:
        if word in class_of:
            labels.append(class_of[word])
        elif re.fullmatch(r"[+-]?[0-9]{1,9}", word):
            labels.append(int(word))
        else:
            short = word if len(word) <= 20 else word[:17] + "..."
            listed = "" if list(names) == list("0123456789") else f" or: {', '.join(names)}"
            raise UserError(f"“{short}” is no class; write classes from 0 to 9{listed}.")
    return tuple(labels)


def is_glued(text: str) -> bool:
    """Whether a text is one number of several digits, which is read as a row of them."""
    return re.fullmatch(r"[\s,;]*[0-9]{2,}[\s,;]*", text) is not None


def row_note(text: str, names: Sequence[str]) -> str:
    """How a typed row is read, and what it means for the number of pictures.

    "" for one class, for none, and for what is no row: a run says what is wrong with it.
    """
    try:
        labels = parse_row(text, names)
    except UserError:
        return ""
    if not 2 <= len(labels) <= MAX_COUNT or not all(0 <= k < len(names) for k in labels):
        return ""
    read = f"“{text.strip(' ,;')}” is read as the row {', '.join(map(str, labels))}. "
    glued = read if is_glued(text) else ""
    return f"{glued}A row has one picture for each entry: {len(labels)}, whatever Count says."


def class_names(registry: Registry, dataset: str) -> tuple[str, ...]:
    """What the ten classes of a data set are called, by its judge; else 0 to 9."""
    judge = registry.judge(dataset)
    names = (judge.facts.get("classes") if judge is not None else None) or range(10)
    return tuple(map(str, names))
