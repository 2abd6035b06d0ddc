"""A wheel of GenLab holds all that the page reads, not its Python files alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.conftest import PROJECT

BUILT_FROM = ("pyproject.toml", "README.md", "LICENSE", "requirements.txt")


def test_a_wheel_has_every_file_of_the_package(tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(PROJECT / "genlab", tmp_path / "genlab", ignore=ignored)
    for name in BUILT_FROM:
        shutil.copy(PROJECT / name, tmp_path)
    code = "from setuptools import build_meta; build_meta.build_wheel('dist')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    files = {p.relative_to(tmp_path).as_posix() for p in (tmp_path / "genlab").rglob("*.*")}
    assert any(name.endswith(".css") for name in files)
    assert files - packed == set()
    assert not {name for name in packed if name.startswith(("tests/", "benchmarks/"))}
