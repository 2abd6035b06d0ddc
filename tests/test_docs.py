"""What is not documented does not exist: the README, the API page and the changelog keep up."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from docs import api as api_page
from docs import settings as settings_page
from docs.figures import written
from genlab import __version__
from genlab.families import vae
from genlab.models.families import FAMILIES
from genlab.settings import Settings
from tests.test_architecture import imports

PROJECT = Path(__file__).resolve().parent.parent
README = (PROJECT / "README.md").read_text(encoding="utf-8")
API = (PROJECT / "docs" / "api.md").read_text(encoding="utf-8")
CHECKPOINTS = sorted(p.parent.name for p in (PROJECT / "checkpoints").glob("*/README.md"))


def make_targets() -> list[str]:
    """The targets that `make help` lists."""
    return re.findall(r"^([a-z]+):.*##", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.M)


def pins() -> dict[str, str]:
    """Package and version of every line of requirements.txt."""
    lines = (PROJECT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def commands() -> list[str]:
    """The commands of `python -m genlab`."""
    from typer.main import get_command

    from genlab.__main__ import app

    return sorted(get_command(app).commands)  # type: ignore[attr-defined]


def api_names(empty: Path) -> list[str]:
    """Every public endpoint of the page, which is there even when no checkpoint is."""
    from genlab.models.registry import Registry
    from genlab.serving.thread import ThreadClient
    from genlab.ui.context import AppContext
    from genlab.ui.page import build_page

    registry = Registry(empty)
    page = build_page(AppContext(Settings(), registry, ThreadClient(registry, Settings())))
    return sorted(page.get_api_info()["named_endpoints"])


@pytest.mark.parametrize("target", make_targets())
def test_the_readme_names_every_make_target(target: str) -> None:
    assert f"make {target}" in README


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_readme_documents_every_setting(name: str) -> None:
    assert f"`GENLAB_{name.upper()}`" in README


def test_the_readme_has_the_settings_of_the_class() -> None:
    assert settings_page.written(README) == README, "run `make settings`"


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_the_readme_lists_every_checkpoint(name: str) -> None:
    assert f"`{name}`" in README


def test_the_readme_has_the_figures_of_the_cards() -> None:
    assert written(README, PROJECT / "checkpoints") == README, "run `make figures`"


def test_the_readme_documents_every_command() -> None:
    assert [c for c in commands() if f"python -m genlab {c}" not in README] == []


def test_the_readme_documents_every_tab() -> None:
    from genlab.ui.page import TABS

    assert [title for title in TABS if f"**{title}**" not in README] == []


def test_the_api_page_documents_every_endpoint(tmp_path: Path) -> None:
    names = api_names(tmp_path)
    assert len(names) >= 6
    assert [name for name in names if f"`{name}`" not in API] == []


def test_the_api_page_has_the_tables_of_the_descriptions() -> None:
    assert api_page.written(API, FAMILIES.values()) == API, "run `make api`"


def test_a_new_family_gets_a_section_of_the_api_page() -> None:
    endpoint = replace(vae.FAMILY.endpoint, name="flow_sample", summary="Follow a flow.")
    page = api_page.written(API, [replace(vae.FAMILY, endpoint=endpoint)])
    section = page.split("## `/flow_sample`")[1].split("\n## ")[0]
    assert "Follow a flow." in section
    assert "| `temperature` | `1.0` | scale of a VAE's z; a number from 0 to 3 |" in section
    assert page.index("/flow_sample") < page.index("## `/stop`")


def test_the_changelog_has_an_entry_for_this_version() -> None:
    changelog = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
    entry = re.search(rf"^## \[{re.escape(__version__)}\].*?(?=^## |\Z)", changelog, re.M | re.S)
    assert entry is not None
    assert "\n- " in entry.group()


def test_the_front_matter_starts_the_app_on_spaces() -> None:
    front = yaml.safe_load(README.split("---\n")[1])
    assert front["sdk"] == "gradio"
    assert front["sdk_version"] == pins()["gradio"], "Spaces installs sdk_version, not the pin"
    assert front["python_version"] == "3.12", "written as text: 3.10 would be read as 3.1"
    assert (PROJECT / front["app_file"]).name == "app.py"
    assert (PROJECT / front["app_file"]).is_file()
    assert front["license"] == "apache-2.0"
    for key in ("title", "emoji", "colorFrom", "colorTo", "short_description"):
        assert front[key]
    assert len(front["short_description"]) <= 60, "Spaces cuts what is longer"


def test_every_runtime_dependency_is_pinned_exactly() -> None:
    assert all(re.fullmatch(r"\d+(\.\d+)+", version) for version in pins().values())


def test_what_the_code_imports_is_pinned_and_nothing_else() -> None:
    named = {"PIL": "pillow", "yaml": "PyYAML", "pythonjsonlogger": "python_json_logger"}
    # the others import under their own names
    unseen = {"accelerate", "peft"}  # diffusers loads by them
    elsewhere = {"spaces"}  # in no pin: only ZeroGPU has it, where `deploy` asks for it
    wanted = {
        name.split(".")[0]
        for path in [PROJECT / "app.py", *(PROJECT / "genlab").rglob("*.py")]
        for name in imports(path)
    }
    wanted -= {*sys.stdlib_module_names, "genlab", "pydantic_core"}  # pydantic pins its own core
    listed = {name.replace("-", "_") for name in pins()}
    assert {named.get(name, name) for name in wanted - elsewhere} == listed - unseen


def test_links_inside_the_documents_lead_somewhere() -> None:
    pages = [PROJECT / "README.md", PROJECT / "CHANGELOG.md", *(PROJECT / "docs").rglob("*.md")]
    pages += (PROJECT / "benchmarks").glob("*.md")
    broken = [
        f"{page.relative_to(PROJECT)}: {link}"
        for page in pages
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
        if "://" not in link and not (page.parent / link).exists()
    ]
    assert broken == []
