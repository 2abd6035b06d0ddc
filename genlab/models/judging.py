"""Figures of what was drawn: who judges it, what is asked, and what is made of the answer.

Knows no network and no page: the questions and the figures are the families' own. What was drawn
is never lost because measuring it failed; then a note says why there are no figures.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from genlab.engine.core import FollowUp
from genlab.engine.events import Result
from genlab.evaluation.judging import card_figures
from genlab.formats.metadata import ModelMetadata
from genlab.models.families import FAMILIES
from genlab.models.registry import Registry
from genlab.requests import Request, SampleRequest, UserError

log = logging.getLogger(__name__)


class Judging:
    """Says what is to be asked about a result, and makes figures of the answer.

    It keeps nothing between two calls, so any thread may call it.

    Args:
        registry: what models there are, those that judge included.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def follow_up(self, request: SampleRequest, result: Result) -> FollowUp | None:
        """What to ask about a result, and how the answer becomes figures.

        A few pictures say little of a model. Where more cost next to nothing, those of the next
        seeds are drawn first, and the figures are of all.

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
        more = request.model_copy(update={"count": sample, "judge": False})
        return FollowUp(more, lambda drawn, larger: measuring.ask(larger or drawn))


@dataclass
class _Measuring:
    """One result on its way to its figures."""

    registry: Registry
    request: SampleRequest
    entry: ModelMetadata
    judge: ModelMetadata | None
    troubles: list[str] = field(default_factory=list)  # one sentence each

    def ask(self, sample: Result) -> FollowUp:
        """What to ask the judge about the pictures that the figures will be of."""
        return FollowUp(self._question(sample), partial(self._merge, sample))

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

    def _merge(self, sample: Result, drawn: Result, answer: Result | None) -> Result:
        """The result with all figures that can be had, and why others cannot."""
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
        return replace(drawn, figures=figures, notes=(*drawn.notes, *self.troubles))

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
