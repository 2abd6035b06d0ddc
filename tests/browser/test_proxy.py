"""Behind a real nginx and a real Caddy: HTTPS, a path of the site, streams, uploads and the API.

What runs behind them is what the Dockerfile copies, in a folder of its own.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser

from tests.browser.visitor import Visitor
from tests.conftest import PROJECT, free_port, own_threads, wait_until_it_answers

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

ROOT = "/genlab"
SECRET = "zebracorn"  # of a prompt
MODELS = ("vae-mnist-20d", "mnist-classifier", "stable-diffusion-toybox")
NO_CHECK = ssl._create_unverified_context()  # the certificates are their own authority's


def program(name: str) -> str:
    """Where a proxy is, installed or unpacked by `make proxies`; skips where it is not."""
    unpacked = PROJECT / ".venv" / "proxies" / "usr"
    places = os.pathsep.join([os.environ["PATH"], f"{unpacked / 'sbin'}", f"{unpacked / 'bin'}"])
    found = shutil.which(name, path=places)
    if found is None:
        pytest.skip(f"no {name} here: `make proxies`, on Debian")
    return found


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a GenLab made of the image's files, with a few checkpoints."""
    folder, port = tmp_path_factory.mktemp("image"), free_port()
    dockerfile = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
    for line in re.findall(r"^COPY (.+)$", dockerfile, re.M):
        for name in line.split()[:-1]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if name == "checkpoints":
                for model in MODELS:
                    shutil.copytree(PROJECT / name / model, folder / name / model)
            elif (PROJECT / name).is_dir():
                shutil.copytree(PROJECT / name, folder / name)
            else:
                shutil.copy(PROJECT / name, folder / name)
    settings = {
        "GENLAB_ROOT_PATH": ROOT, "GENLAB_PORT": str(port), "HF_HUB_OFFLINE": "1",
        "GRADIO_TEMP_DIR": str(folder / "uploads"), "HOME": str(folder),
    }  # fmt: skip
    log = folder / "log.txt"
    with log.open("w") as out:
        app = subprocess.Popen(
            [sys.executable, "app.py"], cwd=folder, env=own_threads() | settings,
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            wait_until_it_answers(app, f"http://127.0.0.1:{port}/", log)
            yield port
        finally:
            app.terminate()
            app.wait(30)
    assert "Traceback" not in log.read_text(), log.read_text()[-5000:]


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def site(
    request: pytest.FixtureRequest, upstream: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a proxy that runs with the file in deploy/, without a slash at its end."""
    folder, port = tmp_path_factory.mktemp(request.param), free_port()
    environment = dict(os.environ)
    if request.param == "nginx":
        command = nginx(folder, port, upstream)
    else:
        command = [program("caddy"), "run", "--config", "deploy/Caddyfile"]
        command += ["--adapter", "caddyfile"]
        environment |= {
            "GENLAB_SITE": "localhost", "GENLAB_ROOT_PATH": ROOT,
            "GENLAB_UPSTREAM": f"127.0.0.1:{upstream}", "GENLAB_HTTPS_PORT": str(port),
            "GENLAB_HTTP_PORT": str(free_port()), "XDG_DATA_HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder),
        }  # fmt: skip
    log = folder / "log.txt"
    with log.open("w") as out:
        proxy = subprocess.Popen(
            command, cwd=PROJECT, env=environment, stdin=subprocess.DEVNULL, stdout=out,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            address = f"https://localhost:{port}"
            wait_for(f"{address}{ROOT}/healthz", proxy, log)
            yield address
        finally:
            proxy.terminate()
            proxy.wait(20)
    if request.param == "nginx":
        written = (folder / "access.log").read_text()
        assert f'"GET {ROOT}' in written or '"GET /' in written
        assert SECRET not in written, "prompts are nobody's business"


def nginx(folder: Path, port: int, upstream: int) -> list[str]:
    """How to start an nginx with deploy/nginx.conf, its ports and certificate replaced."""
    found = program("nginx")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    text = (PROJECT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
    for ours, here in {
        "listen 443 ssl": f"listen {port} ssl",
        "server_name lab.example.org": "server_name localhost",
        "/etc/ssl/certs/lab.example.org.pem": str(certificate),
        "/etc/ssl/private/lab.example.org.key": str(key),
        "127.0.0.1:7860": f"127.0.0.1:{upstream}",
        "/var/log/nginx/genlab.log": str(folder / "access.log"),
    }.items():
        assert ours in text
        text = text.replace(ours, here)
    (folder / "site.conf").write_text(text)
    kept = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{name}_temp_path {folder / name};\n" for name in kept)
    user = "user root;\n" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user}daemon off;\npid {folder / 'pid'};\nerror_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{paths}include {folder / 'site.conf'};\n}}\n"
    )
    return [found, "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]


def wait_for(url: str, proxy: subprocess.Popen[bytes], log: Path) -> None:
    """Return when the proxy serves GenLab's health."""
    for _ in range(200):
        if proxy.poll() is not None:
            pytest.fail(f"the proxy ended:\n{log.read_text()[-3000:]}")
        try:
            with urllib.request.urlopen(url, timeout=5, context=NO_CHECK):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"{url} is not served:\n{log.read_text()[-3000:]}")


def post(site: str, path: str, content: object) -> dict:
    """What the API answers."""
    request = urllib.request.Request(
        site + ROOT + path, json.dumps(content).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60, context=NO_CHECK) as answer:
        return json.loads(answer.read())


def test_the_health_check_of_the_image_ends_well(upstream: int) -> None:
    check = [sys.executable, PROJECT / "deploy" / "healthcheck.py"]
    done = subprocess.run(check, env=os.environ | {"GENLAB_PORT": str(upstream)}, check=False)
    assert done.returncode == 0


def test_the_page_draws_and_shows_its_pictures_under_the_path(browser: Browser, site: str) -> None:
    context = browser.new_context(ignore_https_errors=True)
    visitor = Visitor(context, f"{site}{ROOT}/")
    visitor.open_tab("VAE")
    visitor.enter("vae-count", 4)
    visitor.generate("vae")
    assert all(picture.deviation > 5 for picture in visitor.pictures("vae-gallery", 4))
    addresses = (
        visitor.find("vae-gallery").locator("img").evaluate_all("all => all.map(i => i.src)")
    )
    assert all(address.startswith(f"{site}{ROOT}/pictures/") for address in addresses)
    context.close()
    assert visitor.errors == []


def test_the_path_without_its_slash_leads_to_the_page(site: str) -> None:
    with urllib.request.urlopen(site + ROOT, timeout=20, context=NO_CHECK) as answer:
        assert answer.url == f"{site}{ROOT}/"
        assert b"GenLab" in answer.read()
    page = f"{site}{ROOT}/?stable-diffusion.prompt={SECRET}"
    with urllib.request.urlopen(page, timeout=20, context=NO_CHECK) as answer:
        assert answer.status == 200


def test_a_picture_dropped_on_the_page_is_uploaded_whatever_its_size(
    browser: Browser, site: str, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1200, 1200, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    assert (tmp_path / "photo.png").stat().st_size > 4_000_000
    context = browser.new_context(ignore_https_errors=True)
    visitor = Visitor(context, f"{site}{ROOT}/")
    visitor.open_tab("Stable Diffusion")
    visitor.find("sd-png").locator("input[type=file]").set_input_files(tmp_path / "photo.png")
    visitor.find("sd-png-note").get_by_text("carries no").wait_for()
    context.close()
    assert visitor.errors == []


def test_events_come_as_they_happen_and_not_at_the_end(site: str) -> None:
    with urllib.request.urlopen(f"{site}{ROOT}/config", timeout=60, context=NO_CHECK) as answer:
        endpoints = {one["api_name"]: one["id"] for one in json.load(answer)["dependencies"]}
    asked = ["a red 7", "", 50, 4.0, "dpmpp-2m", 0, 4, "stable-diffusion-toybox", "", 1.0]
    asked += ["", "", 0.6]
    mine = {"session_hash": "stream", "fn_index": endpoints["stable_diffusion_sample"]}
    post(site, "/gradio_api/queue/join", mine | {"data": asked})
    url = f"{site}{ROOT}/gradio_api/queue/data?session_hash=stream"
    seen: dict[str, float] = {}
    with urllib.request.urlopen(url, timeout=120, context=NO_CHECK) as stream:
        for line in stream:
            if line.startswith(b"data:"):
                seen.setdefault(json.loads(line[5:])["msg"], time.monotonic())
    assert seen["process_completed"] - seen["process_starts"] > 0.3


def test_a_script_gets_its_files_by_the_site_s_address(site: str, tmp_path: Path) -> None:
    from genlab import connect

    with connect(f"{site}{ROOT}/", ssl_verify=False) as lab:
        drawn = lab.sample("vae-mnist-20d", count=3, seed=1)
    assert drawn.arrays.shape == (3, 28, 28)
    assert drawn.metadata[2]["request"]["seed"] == 3
    again = io.BytesIO(drawn._repr_png_())
    assert Image.open(again).width > 100
