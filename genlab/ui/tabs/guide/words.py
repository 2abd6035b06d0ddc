"""The guide's words, one file a language: plain data, read and checked once. Knows no component."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from genlab.ui.languages.pairs import entries, markdown_entries

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class StepWords:
    """What one question says.

    Attributes:
        title: its name in the list of questions.
        question: its heading.
        setup: what is to be known before predicting.
        captions: one a row of pictures.
        predict: what is to be predicted.
        choices: the predictions to choose from.
        experiments: what each experiment does; the first is the one of the button.
        look: what is to be seen in it.
        answer: Markdown with LaTeX.
        symbols: LaTeX and meaning of each symbol in the answer.
        code: one a piece of code.
    """

    title: str
    question: str
    setup: str
    captions: tuple[str, ...]
    predict: str
    choices: tuple[str, ...]
    experiments: tuple[str, ...]
    look: str
    answer: str
    symbols: tuple[tuple[str, str], ...]
    code: tuple[str, ...]


@dataclass(frozen=True)
class GuideWords:
    """All words of the guide in one language.

    Attributes:
        page: what stands round the questions, by name.
        six: heading, names and meanings of the six steps of training.
        steps: the questions by key.
    """

    page: Mapping[str, str]
    six: Mapping[str, Any]
    steps: Mapping[str, StepWords]


@cache
def guide_words(language: str = "en") -> GuideWords:
    """The words of ``<language>.toml``; raises TypeError where a step has other keys."""
    content = tomllib.loads((FOLDER / f"{language}.toml").read_text(encoding="utf-8"))
    page, six = content.pop("page"), content.pop("six")
    steps = {
        key: StepWords(**{name: _frozen(value) for name, value in step.items()})
        for key, step in content.items()
    }
    return GuideWords(page, six, steps)


def inline(text: str) -> str:
    """A sentence as HTML: `code`, *italic* and **bold**."""
    text = re.sub(r"`(.+?)`", r"<code>\1</code>", escape(text))
    text = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", text)
    return re.sub(r"\*(.+?)\*", r"<i>\1</i>", text)


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def translations(language: str) -> dict[str, str]:
    """The guide's texts in a language by the English ones, as a page's dictionary has them."""
    english, own = guide_words(), guide_words(language)
    found = dict(
        entry for name, text in english.page.items() for entry in entries(text, own.page[name])
    )
    found[english.six["heading"]] = own.six["heading"]
    for name in ("names", "what"):
        found |= zip(english.six[name], own.six[name], strict=True)
    for key, step in english.steps.items():
        other = own.steps[key]
        found |= markdown_entries(step.answer, other.answer)
        for name in ("title", "question", "setup", "predict", "look"):
            found |= entries(getattr(step, name), getattr(other, name))
        for name in ("captions", "choices", "experiments", "code"):
            for one, two in zip(getattr(step, name), getattr(other, name), strict=True):
                found |= entries(one, two)
        for (latex, one), (_, two) in zip(step.symbols, other.symbols, strict=True):
            found |= entries(f"${latex}$: {one}", f"${latex}$：{two}")
    return {one: two for one, two in found.items() if one != two}
