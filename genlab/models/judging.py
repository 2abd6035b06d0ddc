"""Figures of what was drawn: who judges it, what is asked, and what is made of the answer.

Knows no network and no page: the questions and the figures are the families' own. What was drawn
is never lost because measuring it failed; then a note says why there are no figures.

A few pictures say little of a model. Where more cost little, a population is drawn and measured
instead, once for everybody: always the same seeds, so that a class that presses Generate together
waits for one population, and not for two hundred.
"""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from genlab.engine.core import FollowUp
from genlab.engine.events import Result
from genlab.evaluation.figures import PER_PICTURE
from genlab.evaluation.judging import card_figures
from genlab.formats.metadata import ModelMetadata
from genlab.models.families import FAMILIES
from genlab.models.registry import Registry
from genlab.requests import Request, SampleRequest, UserError

log = logging.getLogger(__name__)

POPULATION_SEED = 0
KEPT = 1000  # populations' figures; one is a kilobyte


class Judging:
    """Says what is to be asked about a result, and makes figures of the answer.

    It belongs to one core, which calls it from one thread.

    Args:
        registry: what models there are, those that judge included.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: OrderedDict[Hashable, Mapping[str, Any]] = OrderedDict()

    def follow_up(self, request: SampleRequest, result: Result) -> FollowUp | None:
        """What to ask about a result, and how the answer becomes figures.

        Args:
            request: what was drawn.
            result: the pictures, and the family's extras.

        Returns:
            Without a request in it if nobody here can judge the pictures; None if nothing is known
            of who drew them.
        """
        entry = self._registry.find(request.checkpoint)
        if entry is None:
            return None
        judge = self._registry.judge(entry.dataset)
        measuring = _Measuring(self._registry, request, entry, judge)
        sample = FAMILIES[entry.family].measured_sample
        if judge is None or not isinstance(request, SampleRequest) or request.count >= sample:
            return measuring.ask(result)
        population = request.model_copy(
            update={"seed": POPULATION_SEED, "count": sample, "judge": False}
        )
        key = (population, result.fingerprint, judge.name)
        if key in self._known:
            self._known.move_to_end(key)
            return measuring.ask(result, self._known[key])

        def drawn_too(_: Result, larger: Result | None) -> FollowUp:
            assert larger is not None, "it was asked for"
            return replace(measuring.ask(larger), merge=partial(measured, larger), once=key)

        def measured(larger: Result, drawn: Result, answer: Result | None) -> FollowUp:
            figures = measuring.figures(larger, answer)
            if answer is not None and not measuring.troubles:
                self._known[key] = figures
                while len(self._known) > KEPT:
                    self._known.popitem(last=False)
            return measuring.ask(drawn, figures)

        return FollowUp(population, drawn_too, once=key)


@dataclass
class _Measuring:
    """One result on its way to its figures."""

    registry: Registry
    request: SampleRequest
    entry: ModelMetadata
    judge: ModelMetadata | None
    troubles: list[str] = field(default_factory=list)  # one sentence each

    def ask(self, drawn: Result, population: Mapping[str, Any] | None = None) -> FollowUp:
        """What to ask the judge about pictures; figures that a population has are taken from it."""

        def merge(drawn: Result, answer: Result | None) -> Result:
            figures = self.figures(drawn, answer) | {
                name: value for name, value in (population or {}).items() if name not in PER_PICTURE
            }
            return replace(drawn, figures=figures, notes=(*drawn.notes, *self.troubles))

        return FollowUp(self._question(drawn), merge)

    def _question(self, sample: Result) -> Request | None:
        """What to ask the judge; None if there is none or it cannot judge such pictures."""
        if self.judge is None:
            return None
        judge = self.judge
        by = FAMILIES[judge.family].judge
        asking: list[Request | None] = []

        def put_question() -> Mapping[str, Any]:
            question = by.question(self.request, sample, self.entry, judge) if by else None
            if question is not None:
                self.registry.check(question)
            asking.append(question)
            return {}

        self._attempt(put_question)
        return asking[0] if asking else None

    def figures(self, sample: Result, answer: Result | None) -> dict[str, Any]:
        """All figures of pictures that can be had, by what the judge answered about them."""
        figures: dict[str, Any] = {}
        judge = self.judge
        by = FAMILIES[judge.family].judge if judge is not None else None
        if judge is not None and by is not None and answer is not None:
            found = self._attempt(
                lambda: by.figures(self.request, sample, self.entry, judge, answer)
            )
            figures |= found | ({"judged_count": len(sample.images)} if found else {})
        own = FAMILIES[self.entry.family].own_figures
        figures |= self._attempt(lambda: own(self.request, sample, answer))
        figures |= self._attempt(lambda: card_figures(self.request, self.entry))
        return figures

    def _attempt(self, measure: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """What is measured, as far as JSON can hold it; {} and a note if it raises."""
        try:
            return {key: value for key, value in measure().items() if _is_json(key, value)}
        except UserError as error:
            self._note(str(error))
        except Exception as error:
            log.exception("pictures of %s could not be measured", self.entry.name)
            self._note(f"something went wrong ({type(error).__name__}); the log says why.")
        return {}

    def _note(self, sentence: str) -> None:
        note = f"The pictures could not be measured: {sentence}"
        if note not in self.troubles:
            self.troubles.append(note)


def _is_json(key: str, value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        log.warning("the figure %s is left out: %.60r", key, value)
        return False
    return True
