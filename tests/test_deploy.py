"""`deploy`: what a Space would consist of, what speaks against it, and what the hub is asked."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import create_autospec

import httpx2
import huggingface_hub
import pytest
import yaml
from huggingface_hub import HfApi, SpaceHardware
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError
from typer.testing import CliRunner, Result

from genlab.cli import app
from genlab.cli.deploy import gather
from genlab.cli.space import (
    HARDWARE,
    LARGE_FILE,
    ZERO,
    ZERO_PINS,
    SpacePlan,
    cost_in_words,
    plan_space,
)
from genlab.settings import PROJECT

SPACE = "ada/genlab"
FREE = {"name": "ada", "isPro": False, "orgs": [{"name": "school"}]}
CARD = "---\nlicense: apache-2.0\ngenlab:\n  family: vae\n  title: A VAE\n  dataset: mnist\n---\n"


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    """One checkpoint, the smallest that ships."""
    folder = tmp_path / "checkpoints" / "vae"
    folder.mkdir(parents=True)
    shipped = PROJECT / "checkpoints" / "vae-mnist-20d"
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes((shipped / name).read_bytes())
    (folder / "README.md").write_text(CARD)
    return folder.parent


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of a few files, with this one's README and pins."""
    folder = tmp_path / "project"
    (folder / "genlab" / "__pycache__").mkdir(parents=True)
    (folder / "genlab" / "__pycache__" / "old.pyc").write_text("")
    (folder / "genlab" / "__init__.py").write_text("")
    (folder / "app.py").write_text("")
    (folder / ".env").write_text("SECRET=1")
    for name in ("README.md", "requirements.txt"):
        (folder / name).write_text((PROJECT / name).read_text(encoding="utf-8"), encoding="utf-8")
    return folder


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The hub's client: takes the real one's calls, and remembers them and what was uploaded."""
    api = create_autospec(HfApi, instance=True)
    api.whoami.return_value = FREE
    api.create_repo.return_value = f"https://huggingface.co/spaces/{SPACE}"
    api.get_space_runtime.return_value = SimpleNamespace(hardware=None, requested_hardware=None)
    api.uploaded = {}

    def take(folder_path: str, **more: Any) -> None:
        for path in Path(folder_path).rglob("*"):
            if path.is_file():
                api.uploaded[path.relative_to(folder_path).as_posix()] = path.read_bytes()

    api.upload_folder.side_effect = take
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: api)
    return api


@pytest.fixture
def genlab(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("GENLAB_CHECKPOINTS", str(checkpoints))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["deploy", "--space", SPACE, *arguments])

    return run


def front_of(plan: SpacePlan) -> dict[str, Any]:
    return yaml.safe_load(plan.written["README.md"].split("---\n")[1])


def test_this_repository_can_be_deployed_as_it_is() -> None:
    plan = plan_space(PROJECT, PROJECT / "checkpoints", SPACE, ZERO)
    assert plan.problems == []
    assert {"app.py", "genlab/serving/zerogpu.py", "LICENSE"} <= plan.files.keys()
    assert "checkpoints/stable-diffusion-toybox/README.md" in plan.files
    assert not any("__pycache__" in name or name.startswith("tests") for name in plan.files)


def test_hardware_has_the_hubs_names() -> None:
    assert set(HARDWARE) <= {hardware.value for hardware in SpaceHardware}


def test_zerogpu_gets_the_versions_that_it_serves(project: Path, checkpoints: Path) -> None:
    plan = plan_space(project, checkpoints, SPACE, ZERO)
    lines = plan.written["requirements.txt"].splitlines()
    for package, version in ZERO_PINS.items():
        assert f"{package}=={version}" in lines
    assert any(line.startswith("spaces") for line in lines)
    assert front_of(plan)["python_version"] == "3.12.12"


def test_other_hardware_gets_this_repositorys_pins(project: Path, checkpoints: Path) -> None:
    plan = plan_space(project, checkpoints, SPACE, "t4-small")
    assert plan.written["requirements.txt"] == (PROJECT / "requirements.txt").read_text()
    assert front_of(plan)["python_version"] == "3.12"
    assert front_of(plan)["suggested_hardware"] == "t4-small"


def test_the_spaces_page_keeps_the_text_of_the_readme(project: Path, checkpoints: Path) -> None:
    readme = plan_space(project, checkpoints, SPACE, ZERO).written["README.md"]
    assert readme.endswith((PROJECT / "README.md").read_text(encoding="utf-8").split("---\n", 2)[2])


def test_models_are_fetched_while_the_space_is_built(project: Path, checkpoints: Path) -> None:
    models = {"org/name": ("model_index.json", "unet/config.json")}
    plan = plan_space(project, checkpoints, SPACE, ZERO, models)
    assert front_of(plan)["preload_from_hub"] == ["org/name model_index.json,unet/config.json"]
    assert plan.variables["GENLAB_MODELS"] == "org/name"
    assert any("org/name: read the licence" in note for note in plan.notes)


def test_neither_secrets_nor_caches_go_along(project: Path, checkpoints: Path) -> None:
    plan = plan_space(project, checkpoints, SPACE, ZERO)
    assert [name for name in plan.files if not name.startswith("checkpoints/")] == [
        "app.py",
        "genlab/__init__.py",
    ]


def test_a_large_file_is_named(project: Path, checkpoints: Path) -> None:
    with (checkpoints / "vae" / "extra.npz").open("wb") as file:
        file.truncate(LARGE_FILE)
    plan = plan_space(project, checkpoints, SPACE, ZERO)
    assert "Stored as large files: checkpoints/vae/extra.npz." in plan.notes
    assert plan.problems == []


def break_pin(project: Path, checkpoints: Path) -> None:
    path = project / "requirements.txt"
    path.write_text(path.read_text().replace("tqdm==", "tqdm>="))


def break_sdk_version(project: Path, checkpoints: Path) -> None:
    path = project / "README.md"
    path.write_text(path.read_text().replace("sdk_version: ", "sdk_version: 1"))


def break_python(project: Path, checkpoints: Path) -> None:
    path = project / "README.md"
    path.write_text(path.read_text().replace('"3.12"', '"3.11"'))


def break_app_file(project: Path, checkpoints: Path) -> None:
    (project / "app.py").unlink()


def break_licence(project: Path, checkpoints: Path) -> None:
    (checkpoints / "vae" / "README.md").write_text(CARD.replace("license: apache-2.0\n", ""))


def break_weights(project: Path, checkpoints: Path) -> None:
    (checkpoints / "vae" / "model.safetensors").write_bytes(b"short")


def break_pickle(project: Path, checkpoints: Path) -> None:
    (checkpoints / "vae" / "model.bin").write_bytes(b"pickle")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (break_pin, "requirements.txt does not pin 'tqdm>="),
        (break_sdk_version, "but requirements.txt pins gradio"),
        (break_python, "ZeroGPU serves Python 3.12.12 and 3.10.13, not 3.11"),
        (break_app_file, "app_file 'app.py', which is not here"),
        (break_licence, "The card of the checkpoint vae names no license"),
        (break_weights, "The checkpoint vae is damaged"),
        (break_pickle, "checkpoints/vae/model.bin is a pickle"),
    ],
)
def test_what_speaks_against_it_is_a_sentence(
    project: Path, checkpoints: Path, spoil: Callable[[Path, Path], None], sentence: str
) -> None:
    spoil(project, checkpoints)
    (problem,) = plan_space(project, checkpoints, SPACE, ZERO).problems
    assert sentence in problem


def test_a_dry_run_asks_nobody_and_says_all(genlab: Callable[..., Result], hub: Any) -> None:
    result = genlab("--dry-run")
    assert result.exit_code == 0, result.output
    for part in ("ada/genlab", "Costs nothing", "torch==2.11.0", "apache-2.0 (1)", "dry run"):
        assert part in result.output
    assert hub.method_calls == []


def test_a_problem_keeps_everything_here(
    genlab: Callable[..., Result], checkpoints: Path, hub: Any
) -> None:
    break_licence(PROJECT, checkpoints)
    result = genlab()
    assert result.exit_code == 2
    assert "Nothing was uploaded: The card of the checkpoint vae" in result.stderr
    assert hub.method_calls == []


def test_a_free_account_gets_a_zerogpu_space(genlab: Callable[..., Result], hub: Any) -> None:
    result = genlab()
    assert result.exit_code == 0, result.output
    assert f"https://huggingface.co/spaces/{SPACE}" in result.output
    made = hub.create_repo.call_args
    assert made.args == (SPACE,)
    assert made.kwargs["repo_type"] == "space"
    assert made.kwargs["space_sdk"] == "gradio"
    assert made.kwargs["space_hardware"] == ZERO
    assert made.kwargs["space_sleep_time"] is None, "nobody pays for it"
    hub.add_space_variable.assert_any_call(SPACE, "GENLAB_MEMORY_GB", "24")
    hub.request_space_hardware.assert_called_once()
    assert b"torch==2.11.0" in hub.uploaded["requirements.txt"]
    assert "checkpoints/vae/model.safetensors" in hub.uploaded
    assert "genlab/serving/zerogpu.py" in hub.uploaded


def test_a_space_that_has_its_hardware_is_not_asked_again(
    genlab: Callable[..., Result], hub: Any
) -> None:
    hub.get_space_runtime.return_value = SimpleNamespace(hardware=ZERO, requested_hardware=ZERO)
    assert genlab().exit_code == 0
    hub.request_space_hardware.assert_not_called()


def test_paid_hardware_falls_asleep(genlab: Callable[..., Result], hub: Any) -> None:
    hub.whoami.return_value = FREE | {"isPro": True}
    assert genlab("--hardware", "t4-small", "--sleep-minutes", "15").exit_code == 0
    assert hub.create_repo.call_args.kwargs["space_sleep_time"] == 900


@pytest.mark.parametrize("hardware", [name for name in HARDWARE if name != ZERO])
def test_a_free_account_is_told_what_it_can_do(
    genlab: Callable[..., Result], hub: Any, hardware: str
) -> None:
    result = genlab("--hardware", hardware)
    assert result.exit_code == 2
    assert f"use --hardware {ZERO}, or subscribe to PRO" in result.stderr
    hub.create_repo.assert_not_called()


def test_somebody_elses_name_is_refused(genlab: Callable[..., Result], hub: Any) -> None:
    hub.whoami.return_value = FREE | {"name": "bob"}
    assert "logged in as bob, who cannot make Spaces for ada" in genlab().stderr
    hub.create_repo.assert_not_called()


def refusal(status: int, text: str) -> HfHubHTTPError:
    request = httpx2.Request("POST", "https://huggingface.co/api/repos/create")
    return HfHubHTTPError(text, response=httpx2.Response(status, request=request))


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (LocalTokenNotFoundError("none"), "call `hf auth login`"),
        (refusal(401, "no"), "The token is not valid any more"),
        (refusal(402, "pay"), "This account's plan does not pay for ada/genlab: pay"),
        (refusal(403, "2 ZeroGPU Spaces at most"), "refused ada/genlab: 2 ZeroGPU Spaces at most"),
        (httpx2.ConnectError("no route"), "huggingface.co cannot be reached"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence(
    genlab: Callable[..., Result], hub: Any, error: Exception, sentence: str
) -> None:
    hub.create_repo.side_effect = error
    result = genlab()
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    hub.upload_folder.assert_not_called()


def test_hardware_that_is_not_there_is_named(genlab: Callable[..., Result]) -> None:
    result = genlab("--hardware", "tpu")
    assert "There is no hardware 'tpu'; there are: zero-a10g, cpu-basic" in result.stderr


@pytest.mark.parametrize("hardware", HARDWARE)
def test_every_hardware_says_what_it_costs(hardware: str) -> None:
    sentences = " ".join(cost_in_words(hardware))
    assert "free account" in sentences
    assert "cost" in sentences.lower() or "an hour" in sentences or "hourly" in sentences


def test_what_is_uploaded_starts_by_itself(checkpoints: Path, tmp_path: Path) -> None:
    folder = tmp_path / "space"
    folder.mkdir()
    gather(plan_space(PROJECT, checkpoints, SPACE, ZERO), folder)
    done = subprocess.run(
        [sys.executable, "app.py", "--help"],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "--lease-above-millions" in done.stdout
    listed = subprocess.run(
        [sys.executable, "-m", "genlab", "list"], cwd=folder, capture_output=True, text=True
    )
    assert listed.stdout.startswith("vae  vae")
