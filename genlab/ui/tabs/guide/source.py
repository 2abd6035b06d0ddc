"""Lines of this repository's own code, read from its files, and where the six steps are in them.

Nothing is imported to be shown: a training loop would bring torch into the page's process.
"""

from __future__ import annotations

import ast
import io
import keyword
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.util import find_spec
from pathlib import Path

import genlab

ROOT = Path(genlab.__file__).parent.parent
FORWARD = ("generator",)  # networks that a loop may call before it clears gradients
LOSSES = ("elbo_terms",)  # functions that compute one


@dataclass(frozen=True)
class SourceLine:
    """One line of a file.

    Attributes:
        number: counted from 1.
        step: the one of the six that it belongs to; 0 for none.
        coloured: from where to where there is what kind of token.
    """

    number: int
    text: str
    step: int = 0
    coloured: tuple[tuple[int, int, str], ...] = ()


@dataclass(frozen=True)
class Excerpt:
    """A part of a function, class or assignment of a module.

    Attributes:
        module: such as ``genlab.families.vae.train``.
        name: such as ``train_vae`` or ``ConvVAE.decode``.
        begins: what the first line that is shown begins with; "": from the beginning.
        ends: what the last line that is shown begins with; "": to the end.
        six_steps: whether lines are marked by the six steps of training.
    """

    module: str
    name: str
    begins: str = ""
    ends: str = ""
    six_steps: bool = False

    @property
    def path(self) -> str:
        """The file as one finds it in the repository."""
        return Path(_file(self.module)).relative_to(ROOT).as_posix()

    def lines(self) -> list[SourceLine]:
        """The lines, without a docstring; raises ValueError if the file has no such part."""
        text = Path(_file(self.module)).read_text(encoding="utf-8")
        node = _find(ast.parse(text), self.name)
        steps = six_steps(node) if self.six_steps else {}
        first, last = _lines_of(node)
        hidden, colours = _docstring(node), _colours(text)
        lines = [
            SourceLine(k, line, steps.get(k, 0), tuple(colours.get(k, ())))
            for k, line in enumerate(text.splitlines(), start=1)
            if first <= k <= last and k not in hidden
        ]
        begin = _index(lines, self.begins) if self.begins else 0
        end = _index(lines, self.ends, begin) if self.ends else len(lines) - 1
        return lines[begin : end + 1]


def excerpt_html(lines: Sequence[SourceLine], path: str) -> str:
    """The lines with their numbers, coloured as Python, the six steps marked at the left."""
    dent = min(len(line.text) - len(line.text.lstrip()) for line in lines if line.text.strip())
    rows = []
    for line in lines:
        mark = f' data-step="{line.step}"' if line.step else ""
        rows.append(f"<span{mark}><i>{line.number}</i>{_coloured(line, dent)}\n</span>")
    looks = "source stepped" if any(line.step for line in lines) else "source"
    return (
        f'<pre class="{looks}" tabindex="0" role="region" aria-label="{escape(path)}">'
        f"<code>{''.join(rows)}</code></pre>"
    )


def six_steps(loop: ast.AST) -> dict[int, int]:
    """Which of the six steps each line of a training loop belongs to; other lines are left out.

    1 data to device, 2 zero_grad, 3 forward, 4 loss, 5 backward, 6 step. Told by what the
    statements do: a loss is what is assigned to a name with "loss" in it, or what LOSSES return.
    """
    found: dict[int, int] = {}
    phase = 0
    for statement in _statements(_loop(loop)):
        calls = {_called(node) for node in ast.walk(statement) if isinstance(node, ast.Call)}
        step = 0
        if any(name.endswith(".zero_grad") for name in calls):
            step = phase = 2
        elif any(name.endswith(".backward") for name in calls):
            step = phase = 5
        elif any(name.endswith("optimizer.step") for name in calls):
            step = phase = 6
        elif isinstance(statement, ast.Assign):
            step = _of_assignment(statement, calls, phase)
        if step:
            first, last = _lines_of(statement)
            found |= dict.fromkeys(range(first, last + 1), step)
    return found


def _of_assignment(statement: ast.Assign, calls: set[str], phase: int) -> int:
    names = " ".join(ast.unparse(target) for target in statement.targets)
    if phase == 0:
        return 1
    if phase == 2 and ("loss" in names or calls & {*LOSSES}):
        return 4
    return 3 if phase == 2 or calls & {*FORWARD} else 0


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The simple statements in order, those inside others included."""
    for statement in body:
        inner = [*getattr(statement, "body", ()), *getattr(statement, "orelse", ())]
        yield from _statements(inner) if inner else [statement]


def _loop(node: ast.AST) -> list[ast.stmt]:
    """The body of the loop over ``trainer.steps()``."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.For) and ast.unparse(inner.iter).endswith(".steps()"):
            return inner.body
    raise ValueError("There is no loop over trainer.steps() here.")


def _called(call: ast.Call) -> str:
    """Such as ``optimizer.step``; of ``(a + b).backward()`` it is ``.backward``."""
    function = call.func
    if isinstance(function, ast.Attribute) and not isinstance(function.value, ast.Name):
        return f".{function.attr}"
    return ast.unparse(function)


def _find(tree: ast.Module, name: str) -> ast.AST:
    node: ast.AST = tree
    for part in name.split("."):
        named = (n for n in ast.iter_child_nodes(node) if part in _names(n))
        inner = next(named, None)
        if inner is None:
            raise ValueError(f"There is no {name} in that file.")
        node = inner
    return node


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [ast.unparse(target) for target in targets]
    return []


def _lines_of(node: ast.AST) -> tuple[int, int]:
    decorators = getattr(node, "decorator_list", ())
    first = min([node.lineno, *(d.lineno for d in decorators)])  # type: ignore[attr-defined]
    return first, node.end_lineno or first  # type: ignore[attr-defined]


def _docstring(node: ast.AST) -> range:
    """The numbers of a docstring's lines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
        first, last = _lines_of(node.body[0])
        return range(first, last + 1)
    return range(0)


def _index(lines: Sequence[SourceLine], text: str, begin: int = 0) -> int:
    for k, line in enumerate(lines[begin:], start=begin):
        if line.text.lstrip().startswith(text):
            return k
    raise ValueError(f"No line begins with {text!r}.")


@cache
def _file(module: str) -> str:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ValueError(f"There is no module {module}.")
    return spec.origin


def _coloured(line: SourceLine, dent: int) -> str:
    """The line without its first ``dent`` spaces, as HTML."""
    pieces, at = [], dent
    for start, end, looks in line.coloured:
        word = escape(line.text[start:end])
        pieces += [escape(line.text[at:start]), f'<b class="{looks}">{word}</b>']
        at = end
    return "".join([*pieces, escape(line.text[at:])])


def _colours(text: str) -> dict[int, list[tuple[int, int, str]]]:
    """Comments, keywords, strings and numbers of a file, by line; what spans lines is left out."""
    found: dict[int, list[tuple[int, int, str]]] = {}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        (row, start), (last, end), looks = token.start, token.end, _looks(token)
        if looks and row == last:
            found.setdefault(row, []).append((start, end, looks))
    return found


def _looks(token: tokenize.TokenInfo) -> str:
    if token.type == tokenize.NAME and keyword.iskeyword(token.string):
        return "kw"
    return {tokenize.COMMENT: "co", tokenize.STRING: "st", tokenize.NUMBER: "nu"}.get(
        token.type, ""
    )
