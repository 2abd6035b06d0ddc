"""The shape of the house: who may import whom, how long a file may be, what may be committed."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
MODULES = sorted((PROJECT / "genlab").rglob("*.py"))

FLOORS: tuple[tuple[str, ...], ...] = (
    ("settings", "requests", "images"),
    ("generation_metadata", "engine"),
    ("formats", "diffusion"),
    ("training",),
    ("evaluation",),
    ("families",),
    ("toybox",),
    ("models",),
    ("serving",),
    ("ui", "cli", "notebook"),
    ("__main__",),
)
"""The rooms from the lowest floor up; a room imports from floors below its own, and from itself."""

HEAVY = ("torch", "torchvision", "diffusers", "transformers", "matplotlib", "torchmetrics")
FORBIDDEN: dict[str, tuple[str, ...]] = {
    "settings": ("torch", "numpy", "gradio"),
    "requests": ("torch", "gradio"),
    "engine": ("gradio", "diffusers", "transformers", "PIL", "threading", "asyncio"),
    "families": ("gradio", "threading", "asyncio"),
    "toybox": ("gradio", "threading", "asyncio"),
    "models": ("gradio",),
    "serving": ("gradio", "diffusers", "transformers"),
    "ui": (
        *HEAVY,
        "safetensors",
        *(f"genlab.formats.{m}" for m in ("headers", "hub_layout", "pipelines", "model_card")),
        "genlab.training",
        "genlab.models.cache",
        "genlab.models.judging",
        "genlab.serving.thread",
        "genlab.serving.ray",
        "genlab.serving.local_core",
        *(f"genlab.engine.{m}" for m in ("core", "runner", "device", "graph", "tensors")),
    ),
    "cli": HEAVY,
    "notebook": (*HEAVY, "gradio", "gradio_client", "IPython"),
}
"""What a room never imports: the engine knows no model, a runner no thread, a tab no tensor and no
file of a checkpoint, the page no driver."""

LIGHT = (
    "genlab.settings", "genlab.requests", "genlab.images", "genlab.generation_metadata",
    "genlab.engine.events", "genlab.formats.pipelines", "genlab.formats.hub_layout",
    "genlab.formats.model_card", "genlab.diffusion.schedulers", "genlab.models.families",
    "genlab.models.registry", "genlab.toybox.prompt_adherence", "genlab.serving.client",
    "genlab.serving.thread", "genlab.serving.session_runs", "genlab.ui.page", "genlab.cli",
    "genlab.serving.ray", "genlab.notebook.local",
)  # fmt: skip
"""What the page's process and the command line's help load: none of HEAVY is among it."""

PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".joblib")


def room(path: Path) -> str:
    """`genlab/engine/job.py` is in the room `engine`, `genlab/images.py` in `images`."""
    return path.relative_to(PROJECT / "genlab").parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Every module imported while the program runs; imports for type checkers are left out."""
    found: set[str] = set()
    for node in running_nodes(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} line {node.lineno}: write imports in full"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def running_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a tree but those inside `if TYPE_CHECKING:`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from running_nodes(child)


def tracked_files() -> list[Path]:
    """What git would carry, new files included; everything but .venv where there is no git."""
    git = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(git, cwd=PROJECT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        return [PROJECT / line for line in listed.stdout.splitlines() if (PROJECT / line).is_file()]
    return [p for p in PROJECT.rglob("*") if p.is_file() and ".venv" not in p.parts]


def module_name(path: Path) -> str:
    """`genlab/engine/job.py` is `genlab.engine.job`, a package's `__init__.py` the package."""
    name = ".".join(path.relative_to(PROJECT).with_suffix("").parts)
    return name.removesuffix(".__init__")


def all_imports(path: Path) -> set[str]:
    """Every import of a file, those inside functions and for type checkers included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """The sets of names that reach each other (Tarjan's strongly connected components)."""
    from graphlib import CycleError, TopologicalSorter

    found: list[list[str]] = []
    left = dict(edges)
    while True:
        try:
            tuple(TopologicalSorter(left).static_order())
        except CycleError as error:
            circle = list(error.args[1])
            found.append(circle)
            left[circle[1]] = left[circle[1]] - {circle[0]}
        else:
            return found


def test_no_files_and_no_rooms_import_each_other_in_a_circle() -> None:
    names = {module_name(path): path for path in MODULES}
    edges = {
        name: {other for other in all_imports(path) if other in names and other != name}
        for name, path in names.items()
    }
    assert circles(edges) == []
    rooms: dict[str, set[str]] = {}
    for name, others in edges.items():
        here = room(names[name])
        rooms.setdefault(here, set())
        rooms[here] |= {room(names[other]) for other in others} - {here, "__init__"}
    assert circles(rooms) == []


def test_a_circle_would_be_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) != []
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PROJECT)))
def test_imports_point_one_way(path: Path) -> None:
    floor_of = {name: floor for floor, names in enumerate(FLOORS) for name in names}
    here = room(path)
    if here == "__init__":
        assert imports(path) == {"os"}, "genlab/__init__.py imports nothing but os"
        return
    assert here in floor_of, f"say in FLOORS on which floor genlab/{here} stands"
    for name in all_imports(path):
        parts = name.split(".")
        if parts[0] == "genlab" and len(parts) > 1 and parts[1] in floor_of and parts[1] != here:
            assert floor_of[parts[1]] < floor_of[here], f"{here} must not import {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PROJECT)))
def test_no_room_imports_what_it_must_not_know(path: Path) -> None:
    for name in imports(path):
        for package in FORBIDDEN.get(room(path), ()):
            assert not f"{name}.".startswith(f"{package}."), f"{path} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PROJECT)))
def test_only_settings_reads_the_environment(path: Path) -> None:
    if room(path) == "settings":
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        reads = isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
        if room(path) == "__init__" and reads:
            reads = not isinstance(node.ctx, ast.Store)  # type: ignore[attr-defined]  # `|=` writes
        assert not reads, f"{path} line {node.lineno} reads the environment"  # type: ignore[attr-defined]


@pytest.mark.parametrize("module", LIGHT)
def test_what_the_page_and_the_help_load_brings_no_torch(module: str) -> None:
    code = f"import sys, {module}; print(*(set({HEAVY!r}) & set(sys.modules)))"
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PROJECT)))
def test_files_can_be_read_at_one_sitting(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 350
    if path.name != "__init__.py" or text.strip():
        assert ast.get_docstring(ast.parse(text)), "the first line says what the module is for"


def test_the_entry_point_stays_short() -> None:
    assert len((PROJECT / "app.py").read_text(encoding="utf-8").splitlines()) < 60


def test_no_two_classes_have_one_name() -> None:
    named: dict[str, list[str]] = {}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                named.setdefault(node.name, []).append(module_name(path))
    assert {name: where for name, where in named.items() if len(where) > 1} == {}


def test_nothing_pickled_is_committed() -> None:
    assert [p for p in tracked_files() if p.suffix.lower() in PICKLES] == []


def test_every_committed_file_is_under_ten_megabytes() -> None:
    assert [p for p in tracked_files() if p.stat().st_size >= 10_000_000] == []
