"""A lab server: image, compose file, unit and Makefile say what they promise. No Docker is needed.

The reverse proxies are really run in `tests/browser/test_proxy.py`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import venv
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from genlab.cli.space import CPU_INDEX, requirements_for
from genlab.settings import Settings
from tests.conftest import free_port

PROJECT = Path(__file__).resolve().parent.parent
DEPLOY = PROJECT / "deploy"
DOCKERFILE = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((PROJECT / "compose.yaml").read_text(encoding="utf-8"))
PINS = re.findall(r"^(torch|torchvision)==(.+)$", (PROJECT / "requirements.txt").read_text(), re.M)


def example() -> dict[str, str]:
    """The variables of deploy/example.env."""
    lines = (DEPLOY / "example.env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def copied() -> list[str]:
    """What the Dockerfile takes from the repository."""
    lines = re.findall(r"^COPY (.+)$", DOCKERFILE, re.M)
    return [source for line in lines for source in line.split()[:-1]]


# --- make TORCH=cpu -----------------------------------------------------------------------------


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run make in the repository, as a person would who is not inside `make test`."""
    inherited = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES")
    own = {name: value for name, value in os.environ.items() if name not in inherited}
    return subprocess.run(
        ["make", *arguments], cwd=PROJECT, env=own | environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_torch_cpu_takes_the_pinned_builds_from_pytorchs_own_index_first(tmp_path: Path) -> None:
    said = make("-n", "run", "TORCH=cpu", f"VENV={tmp_path / 'venv'}").stdout
    installs = [line for line in said.splitlines() if " pip install " in line]
    assert len(installs) == 2
    assert "--index-url https://download.pytorch.org/whl/cpu" in installs[0]
    assert installs[1].endswith("-r requirements.txt")
    assert "--index-url" not in installs[1]


def test_without_it_everything_comes_from_one_place(tmp_path: Path) -> None:
    said = make("-n", "run", f"VENV={tmp_path / 'venv'}", TORCH="cuda").stdout
    assert said.count(" pip install ") == 1


def test_another_kind_of_torch_is_refused() -> None:
    done = make("-n", "run", "TORCH=gpu")
    assert done.returncode != 0
    assert "TORCH is 'gpu', but must be cpu or cuda" in done.stderr


def test_the_makefile_finds_a_python_3_12_where_python3_is_older(tmp_path: Path) -> None:
    for name, status in {"python3": 1, "python3.13": 1, "python3.12": 0}.items():
        fake = tmp_path / name
        fake.write_text(f"#!/bin/sh\nexit {status}\n")
        fake.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = make("--eval=found:\n\t@echo found $(PYTHON)", "found", PATH=path)
    assert done.stdout == "found python3.12\n"


def wheel(folder: Path, name: str, version: str) -> None:
    """A package without content on a package index."""
    info = f"{name}-{version}.dist-info"
    where = folder / name
    where.mkdir(parents=True)
    with zipfile.ZipFile(where / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{info}/RECORD", "")


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """A stand-in for PyTorch's index of CPU builds, which call themselves 2.x.y+cpu."""
    folder = tmp_path / "index"
    for name, version in PINS:
        wheel(folder, name, f"{version}+cpu")

    class Index(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = folder / self.path.strip("/").replace("%2B", "+")
            content, kind = b"", "application/octet-stream"
            if path.is_dir():
                links = [f'<a href="{file.name}">{file.name}</a>' for file in path.iterdir()]
                content, kind = "".join(links).encode(), "text/html"
            elif path.is_file():
                content = path.read_bytes()
            self.send_response(200 if content else 404)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Index)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_the_cpu_builds_satisfy_the_pins_and_stay(tmp_path: Path, index: str) -> None:
    assert len(PINS) == 2
    shutil.copy(PROJECT / "Makefile", tmp_path)
    pins = "".join(f"{name}=={version}\n" for name, version in PINS)
    (tmp_path / "requirements.txt").write_text(pins)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "MAKE"))}
    venv.create(tmp_path / ".venv", symlinks=True)  # without a pip, which would take long
    pip = f"{sys.executable} -m pip --python .venv/bin/python"
    done = subprocess.run(
        ["make", "install", "TORCH=cpu", f"TORCH_INDEX={index}", f"PIP={pip} install"],
        cwd=tmp_path,
        env=clean | {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_PROXY": "127.0.0.1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    infos = [path.stem for path in (tmp_path / ".venv").rglob("*.dist-info")]
    assert sorted(infos) == sorted(f"{name}-{version}+cpu" for name, version in PINS)


def test_a_space_on_a_cpu_looks_at_pytorchs_index_too() -> None:
    pins = (PROJECT / "requirements.txt").read_text(encoding="utf-8")
    for hardware in ("cpu-basic", "cpu-upgrade"):
        assert requirements_for(hardware, pins)[0] == f"{CPU_INDEX}\n{pins}"
    assert "index" not in requirements_for("t4-small", pins)[0]


# --- the image ----------------------------------------------------------------------------------


def test_the_dockerfile_has_no_fault_that_hadolint_knows() -> None:
    hadolint = shutil.which("hadolint") or Path(sys.executable).parent / "hadolint"
    if not Path(hadolint).exists():
        pytest.skip("no hadolint here; requirements-dev.txt brings it")
    done = subprocess.run(
        [hadolint, "--no-color", "Dockerfile"], cwd=PROJECT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    ignored = (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored[1] == "*"
    allowed = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert set(copied()) == allowed
    assert [name for name in copied() if not (PROJECT / name).exists()] == []


def test_the_image_runs_as_nobody_in_particular_and_is_watched() -> None:
    assert re.search(r"^USER (\d+):(\d+)$", DOCKERFILE, re.M)
    assert DOCKERFILE.index("USER ") < DOCKERFILE.index("CMD [")
    watch = re.search(r'HEALTHCHECK [^C]+CMD \["python", "(.+)"\]', DOCKERFILE)
    assert watch is not None
    assert watch[1] in copied()


@pytest.mark.parametrize(("status", "ends_with"), [(200, 0), (503, 1)])
def test_the_health_check_ends_by_what_healthz_says(status: int, ends_with: int) -> None:
    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Health)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    assert check_health(server.server_port) == ends_with
    server.shutdown()
    server.server_close()


def test_the_health_check_fails_where_nobody_answers() -> None:
    assert check_health(free_port()) == 1


def check_health(port: int) -> int:
    """How the image's health check ends, as Docker would call it."""
    done = subprocess.run(
        [sys.executable, DEPLOY / "healthcheck.py"],
        env=os.environ | {"GENLAB_PORT": str(port), "http_proxy": "http://127.0.0.1:9"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.returncode


# --- compose, proxy and unit --------------------------------------------------------------------


def test_only_the_proxy_can_be_reached_from_outside() -> None:
    assert [name for name, service in COMPOSE["services"].items() if "ports" in service] == [
        "proxy"
    ]


def test_both_kinds_of_image_are_there_behind_one_name() -> None:
    profiles = [p for s in COMPOSE["services"].values() for p in s.get("profiles", ())]
    assert profiles == ["cpu", "cuda"]
    assert example()["COMPOSE_PROFILES"] in profiles
    for kind in profiles:
        service = COMPOSE["services"][kind]
        assert service["build"]["args"]["TORCH"] == kind
        assert service["networks"]["default"]["aliases"] == ["genlab"]
        assert service["environment"]["GENLAB_HOST"] == "0.0.0.0"
    assert COMPOSE["services"]["proxy"]["environment"]["GENLAB_UPSTREAM"] == "genlab:7860"


def test_the_proxy_is_told_all_that_its_file_asks_for() -> None:
    caddyfile = (DEPLOY / "Caddyfile").read_text(encoding="utf-8")
    asked = set(re.findall(r"\{\$(\w+)", caddyfile))
    told = set(COMPOSE["services"]["proxy"]["environment"])
    assert asked - told == {"GENLAB_HTTP_PORT", "GENLAB_HTTPS_PORT"}, "those have defaults"
    assert told <= asked


def test_every_variable_of_the_example_means_something() -> None:
    settings = {f"GENLAB_{name.upper()}" for name in Settings.model_fields}
    proxy = set(COMPOSE["services"]["proxy"]["environment"])
    assert set(example()) <= settings | proxy | {"COMPOSE_PROFILES"}


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze here")
    unit = (DEPLOY / "genlab.service").read_text(encoding="utf-8")
    python = "/opt/genlab/.venv/bin/python"
    assert f"ExecStart={python} app.py" in unit
    mended = unit.replace(python, sys.executable).replace("/opt/genlab", str(PROJECT))
    (tmp_path / "genlab.service").write_text(mended)
    done = subprocess.run(
        [analyze, "verify", "--man=no", tmp_path / "genlab.service"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert [line for line in done.stderr.splitlines() if "genlab.service" in line] == []


# --- the setting --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "/genlab", "/teaching/genlab-2"])
def test_a_root_path_is_handed_to_gradio(path: str) -> None:
    from genlab.ui.page import launch_options
    from tests.fake_client import FakeClient, fake_context

    context = fake_context(FakeClient())
    object.__setattr__(context, "settings", Settings(root_path=path))
    assert launch_options(context)["root_path"] == (path or None)


@pytest.mark.parametrize("path", ["genlab", "/genlab/", "/", "https://lab.example.org", "/a b"])
def test_a_root_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(ValidationError):
        Settings(root_path=path)
