"""The loops' own source with the six steps marked, to be shown beside what they do. No torch."""

from __future__ import annotations

import ast
import re
import textwrap
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).with_name("loops.py")
BEGINS = re.compile(r"\s*# ([1-6])\. ")
ENDS = "yield at("


@dataclass(frozen=True)
class LoopLine:
    """One line of a loop.

    Attributes:
        text: without the indentation that all have.
        stage: which step it belongs to, counted from 1 through the whole loop; 0: none.
        phase: which of the six that is; 0: none.
        part: the network that the step is about, as the loop's `Moment` calls it.
    """

    text: str
    stage: int = 0
    phase: int = 0
    part: str = ""

    @property
    def hands_over(self) -> bool:
        """Whether it only lets the engine look."""
        return self.text.lstrip().startswith(ENDS)


@cache
def listing(family: str) -> tuple[LoopLine, ...]:
    """The lines of ``<family>_loop``, from its ``def`` on, without its docstring.

    Raises StopIteration if there is no such loop.
    """
    source = SOURCE.read_text(encoding="utf-8")
    loop = next(
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name == f"{family}_loop"
    )
    lines = source.splitlines()[loop.lineno - 1 : loop.end_lineno]
    documented = loop.body[0]
    skipped = range(documented.lineno - loop.lineno, (documented.end_lineno or 0) - loop.lineno + 1)
    shown = [line for k, line in enumerate(lines) if k not in skipped]
    found: list[LoopLine] = []
    stage, phase = 0, 0
    for text in textwrap.dedent("\n".join(shown)).splitlines():
        if begins := BEGINS.match(text):
            stage, phase = stage + 1, int(begins[1])
        found.append(LoopLine(text, stage if phase else 0, phase))
        if text.lstrip().startswith(ENDS):
            part = re.search(r'at\(\d, "(\w+)"', text)
            named = part[1] if part else "network"
            found = [_of(line, stage, named) for line in found]
            phase = 0
    return tuple(found)


def _of(line: LoopLine, stage: int, part: str) -> LoopLine:
    return LoopLine(line.text, stage, line.phase, part) if stage and line.stage == stage else line


@cache
def stages(family: str) -> tuple[tuple[int, str], ...]:
    """Phase and network of each stage of a loop, in order."""
    found = {line.stage: (line.phase, line.part) for line in listing(family) if line.stage}
    return tuple(found[stage] for stage in sorted(found))
