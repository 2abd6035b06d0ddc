"""What the house knows of a model family before torch is loaded: one description each.

A description names the family's requests and its parts, and says how to show, compare, ask and
measure it. The parts that need torch are named as "module:attribute" and loaded when first used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from genlab.engine.events import Result
from genlab.evaluation.figures import Figure
from genlab.formats.metadata import ModelMetadata
from genlab.requests import MAX_SEED, Request, SampleRequest

Find = Callable[[str], ModelMetadata | None]
"""The metadata of the model of that name, if there is one that can be used."""


@dataclass(frozen=True)
class Endpoint:
    """How a script asks for samples: the API's function of that name, one parameter a field."""

    name: str
    summary: str  # one sentence
    checkpoint: str  # the default
    fields: tuple[str, ...]  # of the sample request, in the order of the parameters
    required: tuple[str, ...] = ()  # those that have no default; they come first


class ColumnSettings(BaseModel):
    """What every column of a comparison is asked for."""

    model_config = ConfigDict(frozen=True)

    seed: int = Field(default=0, ge=0, le=MAX_SEED)
    count: int = Field(default=9, ge=1, le=16)
    label: int | None = Field(default=None, ge=0, le=9)

    def label_of(self, k: int) -> int:
        """The class of picture k, where one must be told: all ten by the seed if any will do."""
        return (self.seed + k) % 10 if self.label is None else self.label


CARD_FIGURES = {name: name for name in ("fid", "sharpness", "diversity", "samples")}
MEASURED_SAMPLE = 256
"""Pictures on which figures stand if more cost little: a class that is drawn in 7 % of them is seen
to be there, above 2 %, in 99.9 % of the draws."""


@dataclass(frozen=True)
class CompareColumn:
    """One of the models to compare, and how to ask it.

    Attributes:
        key: part of the element's id.
        order: columns stand from small to large.
        look: one line on what to look at.
        checkpoint: who draws; for real pictures, whose test pictures they are.
        requests: what to ask for; None: real pictures, which nobody draws.
        with_class: a remark when one class is wanted, with ``{}`` in its place.
        any_class: a remark when any class will do.
        measured: how the card calls what was measured of such pictures, by figure.
        unknown: why a figure has a dash, by its key.
        within_class: whether its diversity is that within a class, because it is told the classes:
            all ten in turn are diverse without its doing.
        merge: the figures of several requests as those of all their pictures.
    """

    key: str
    order: int
    title: str
    look: str
    checkpoint: str
    requests: Callable[[ModelMetadata, ColumnSettings], Sequence[Request]] | None
    with_class: str = "Cannot be told a class."
    any_class: str = ""
    measured: Mapping[str, str] = field(default_factory=lambda: CARD_FIGURES)
    unknown: Mapping[str, str] = field(default_factory=dict)
    within_class: bool = False
    merge: Callable[[Sequence[Mapping[str, Any]]], dict[str, Any]] | None = None

    def remark(self, label: int | None) -> str:
        """What becomes of the class that was chosen here."""
        return self.any_class if label is None else self.with_class.format(label)

    def figure(self, metadata: ModelMetadata, name: str) -> float | None:
        """What the card says of a figure in CARD_FIGURES; None if it was not measured."""
        return metadata.metric(self.measured.get(name, ""))


@dataclass(frozen=True)
class Judge:
    """How a family looks at other models' pictures.

    Attributes:
        question: what to ask it about the pictures of a result, or None if it cannot judge them;
            takes the request, the result, the metadata of who drew, and the judge's own.
        figures: JSON values by key, from the same four and the judge's answer.
        evaluate: "module:function" that measures a whole model whose pictures it judges, where
            that model's own family does not say how.
    """

    question: Callable[[SampleRequest, Result, ModelMetadata, ModelMetadata], Request | None]
    figures: Callable[[SampleRequest, Result, ModelMetadata, ModelMetadata, Result], dict[str, Any]]
    evaluate: str = ""


def _nothing(*_: Any) -> dict[str, Any]:
    return {}


def _anything(*_: Any) -> None:
    return


@dataclass(frozen=True)
class FamilyDescription:
    """One model family.

    Attributes:
        name: as a model card's ``genlab.family`` has it.
        label: in a sentence: "pixel diffusion".
        requests: the kinds of request it serves.
        runner: "module:class" with
            ``open(metadata: ModelMetadata, device: Device, find: Find) -> Runner``.
        check: a cheap look at path and card; no torch, headers only; raises BrokenCheckpoint.
        count_parameters: numbers in the weights at a path, from headers.
        own_config: the config.json of the family's own network that has weights of these shapes,
            by name; None if it has none.
        facts: what of the files the page, API and CLI show or need: plain values by name.
        check_request: raises UserError if this model cannot serve this request.
        endpoint: of the API; None if a script cannot ask for samples.
        options: what the command line calls a field, where it is not the field's own name.
        columns: of the Compare tab.
        strip: the figures shown under its pictures, in order.
        measured_sample: figures are of a population of so many pictures, where drawing them costs
            little; 0: of those shown alone.
        own_figures: JSON values from a request, its result and what a judge answered (or None).
        judge: how it judges others' pictures, for families that do.
        evaluate: "module:function" that measures a checkpoint.
        training: "module:mapping" of training configurations by checkpoint name.
        built_in: a model of this family that is part of GenLab and lies in no folder; it serves
            requests, but is in no list of models.
    """

    name: str
    label: str
    requests: tuple[type[Request], ...]
    runner: str
    check: Callable[[Path, Mapping[str, Any]], None]
    count_parameters: Callable[[Path], int]
    own_config: Callable[[Mapping[str, Sequence[int]]], Mapping[str, Any] | None] = _anything
    facts: Callable[[Path, Mapping[str, Any]], Mapping[str, Any]] = _nothing
    check_request: Callable[[Any, ModelMetadata, Find], None] = _anything
    endpoint: Endpoint | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[CompareColumn, ...] = ()
    strip: tuple[Figure, ...] = ()
    measured_sample: int = 0
    own_figures: Callable[[Any, Result, Result | None], dict[str, Any]] = _nothing
    judge: Judge | None = None
    evaluate: str = ""
    training: str = ""
    built_in: ModelMetadata | None = None

    @property
    def sample_request(self) -> type[SampleRequest] | None:
        """The kind of request that draws new images; None if it draws none."""
        return next((kind for kind in self.requests if issubclass(kind, SampleRequest)), None)


def load(part: str) -> Any:
    """What "module:attribute" names; importing it may load torch."""
    module, _, attribute = part.partition(":")
    return getattr(import_module(module), attribute)
