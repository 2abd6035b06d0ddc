"""From a text and its translation, as an author writes both, to entries of a dictionary.

An author writes Markdown: `code`, $LaTeX$, *italic*, **bold**, and [[a figure]] that stands for a
number. On the page those are elements; a dictionary writes them as ``<1>…</1>`` and ``<1/>``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_MARKUP = re.compile(r"`(?P<code>.+?)`|\$(?P<math>.+?)\$|\*\*(?P<bold>.+?)\*\*|\*(?P<italic>.+?)\*")
_FIGURE = re.compile(r"\[\[.+?\]\]")
_AS_IT_IS = ("code", "math")


@dataclass(frozen=True)
class _Part:
    kind: str  # "text", "code", "math", "bold" or "italic"
    content: str


def entries(english: str, own: str) -> Iterator[tuple[str, str]]:
    """The entries of one sentence or paragraph; raises ValueError if its markup differs."""
    figures = list(dict.fromkeys(_FIGURE.findall(english)))
    for k, figure in enumerate(figures):
        english, own = (text.replace(figure, f"{{figure{k}}}") for text in (english, own))
    if _FIGURE.search(own):
        raise ValueError(f"{own!r} has a figure that {english!r} lacks")
    theirs, ours = _parts(english), _parts(own)
    elements = [part for part in theirs if part.kind != "text"]
    numbers = _numbered(elements, [part for part in ours if part.kind != "text"], own)
    key = _written(theirs, list(range(len(elements))))
    yield key, _written(ours, numbers)
    marked = [part for part in ours if part.kind != "text"]
    for part, number in zip(marked, numbers, strict=True):
        other = elements[number]
        if part.kind not in _AS_IT_IS and _nested(part):
            yield from entries(other.content, part.content)


def markdown_entries(english: str, own: str) -> Iterator[tuple[str, str]]:
    """The entries of a text of paragraphs, tables and lists, whose formulas need no translation."""
    theirs, ours = _blocks(english), _blocks(own)
    if len(theirs) != len(ours):
        raise ValueError(f"{len(ours)} parts instead of {len(theirs)}: {own[:60]!r}")
    for one, other in zip(theirs, ours, strict=True):
        if one != other:
            yield from entries(one, other)


def _blocks(text: str) -> list[str]:
    """Paragraphs, items and cells, without formulas that stand alone."""
    blocks: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        lines = paragraph.splitlines()
        if lines[0].startswith("|"):
            rows = [row.strip().strip("|").split("|") for row in lines]
            cells = [cell.strip() for row in rows for cell in row]
            blocks += [cell for cell in cells if cell.strip("-")]
        elif lines[0].startswith("- "):
            blocks += [item.strip() for item in re.split(r"^- ", paragraph, flags=re.M)[1:]]
        elif not paragraph.startswith("$$"):
            blocks.append(" ".join(line.strip() for line in lines))
    return blocks


def _parts(text: str) -> list[_Part]:
    parts: list[_Part] = []
    end = 0
    for found in _MARKUP.finditer(text):
        parts.append(_Part("text", text[end : found.start()]))
        kind = found.lastgroup or "text"
        parts.append(_Part(kind, found[kind]))
        end = found.end()
    return [part for part in [*parts, _Part("text", text[end:])] if part.content]


def _numbered(theirs: list[_Part], ours: list[_Part], text: str) -> list[int]:
    """Which of the English elements each of ours is: the same code, else the next of its kind."""
    left = list(range(len(theirs)))
    numbers: list[int] = []
    for part in ours:
        same = [k for k in range(len(theirs)) if theirs[k] == part]
        alike = [k for k in left if theirs[k].kind == part.kind and part.kind not in _AS_IT_IS]
        free = [k for k in same if k in left] or alike or same
        if not free:
            raise ValueError(f"nothing in English is like {part.content!r} of {text!r}")
        numbers.append(free[0])
        if free[0] in left:
            left.remove(free[0])
    return numbers


def _nested(part: _Part) -> bool:
    return _MARKUP.search(part.content) is not None


def _written(parts: list[_Part], numbers: list[int]) -> str:
    """The parts as a dictionary writes them."""
    numbered = iter(numbers)
    text = ""
    for part in parts:
        if part.kind == "text":
            text += part.content
            continue
        k = next(numbered) + 1
        whole = part.kind in _AS_IT_IS or _nested(part)
        text += f"<{k}/>" if whole else f"<{k}>{part.content}</{k}>"
    return " ".join(text.split())
