"""What the Guidance tab asks for: the row of digits, the three methods, one request each.

Knows no component and no tensor; judges nothing that ``genlab.requests.ask`` judges.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from genlab.models.registry import Catalogue
from genlab.requests import PixelDiffusionRequest, UserError, ask

MAX_COUNT = 64  # a longer row is refused for its labels, not for its count


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
class Wish:
    """The values of the tab's controls, as the browser sent them."""

    checkpoint: Any
    digits: Any
    seed: Any
    count: Any
    num_inference_steps: Any
    free_scale: Any
    classifier_scale: Any
    scheduler: Any
    eta: Any

    def labels(self, catalogue: Catalogue) -> tuple[int, ...]:
        """The class of each picture: the typed row, one typed class ``count`` times, or in turn."""
        names = class_names(catalogue, catalogue.entry(str(self.checkpoint)).dataset)
        return parse_row(str(self.digits), names) or tuple(range(len(names)))

    def request(self, catalogue: Catalogue, method: str, **changes: Any) -> PixelDiffusionRequest:
        """What one of METHODS draws for this wish.

        Args:
            changes: fields of the request that the controls don't say, or say otherwise.

        Raises:
            UserError: for the first wrong value, or if the checkpoint cannot serve it.
        """
        labels = self.labels(catalogue)
        listed = bool(str(self.digits).strip()) and len(labels) > 1
        count = min(len(labels), MAX_COUNT) if listed else self.count
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
            "count": count,
        }
        request = ask(PixelDiffusionRequest, **(values | changes))
        catalogue.check(request)
        return request


def parse_row(text: str, names: Sequence[str]) -> tuple[int, ...]:
    """The classes that a text names: "3 1 4", "3, 1, 4", "314", or names such as "bag, coat".

    A number outside the known classes is passed on: the request says what is allowed.

    Raises:
        UserError: naming the first word that is neither a number nor a class.
    """
    words = [re.escape(name.lower()) for name in sorted(names, key=len, reverse=True)]
    found = re.findall(rf"(?<![^\s,;])(?:{'|'.join(words)})(?![^\s,;])|[^\s,;]+", text.lower())
    if len(found) == 1 and re.fullmatch(r"[0-9]{2,}", found[0]):
        found = list(found[0])
    known = {name.lower(): k for k, name in enumerate(names)}
    labels = []
    for word in found:
        if word in known:
            labels.append(known[word])
        elif re.fullmatch(r"[+-]?[0-9]{1,9}", word):
            labels.append(int(word))
        else:
            short = word if len(word) <= 20 else word[:17] + "..."
            listed = ", ".join(names)
            raise UserError(f"“{short}” is no class; write classes from 0 to 9 or: {listed}.")
    return tuple(labels)


def class_names(catalogue: Catalogue, dataset: str) -> tuple[str, ...]:
    """What the ten classes of a data set are called, by its judge's card; else 0 to 9."""
    judge = catalogue.judge(dataset)
    names = (judge.card.get("classes") if judge is not None else None) or range(10)
    return tuple(map(str, names))
