"""Nothing leaves the room: no look-up, no connection, no file of a telemetry client in HOME."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent

SWITCHES = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
CHATTY = {
    "GRADIO_ANALYTICS_ENABLED": "True",
    "HF_HUB_DISABLE_TELEMETRY": "0",
    "ORT_DISABLE_TELEMETRY": "0",
    "RAY_USAGE_STATS_ENABLED": "1",
}
"""What somebody's environment may say; GenLab is private all the same."""

FIRST_IMPORT = """
import importlib, os, sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in {"diffusers", "gradio", "gradio_client", "huggingface_hub", "onnxruntime",
                    "transformers"}:
            stop()

def stop():
    sys.exit(" ".join(str(os.environ.get(name)) for name in sys.argv[2:]))

sys.meta_path.insert(0, Watch())
importlib.import_module(sys.argv[1])
stop()
"""
"""Ends with the switches as they stand when the first library that could send is imported, or at
the end of a module that imports none."""

SAMPLE = """
import runpy, time
try:
    runpy.run_module("genlab", run_name="__main__", alter_sys=True)
finally:
    time.sleep(15)  # ONNX Runtime 1.32 looks up its events host 9 s after it is imported
"""
ARGUMENTS = ["sample", "ddpm-mnist", "--count=1", "--steps=2", "--device=cpu"]

PAGE = """
import time, urllib.request
from genlab.models.registry import Registry
from genlab.serving.thread import ThreadClient
from genlab.settings import PROJECT, Settings
from genlab.ui.context import AppContext
from genlab.ui.page import build_page, launch_options

registry = Registry(PROJECT / "checkpoints")
client = ThreadClient(registry, Settings())
context = AppContext(Settings(), registry, client)
page = build_page(context)
_, url, _ = page.launch(
    server_name="127.0.0.1", prevent_thread_lock=True, **launch_options(context)
)
with client:
    client.wait_until_ready()
    assert b"GenLab" in urllib.request.urlopen(url).read()
    time.sleep(15)
    page.close()
"""

STRACE = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=network"]


@dataclass
class Visit:
    """What a process left in an empty home, and what strace saw of its network if it could."""

    files: list[str]
    trace: str | None


def can_trace() -> bool:
    """Whether strace is here and may follow a process."""
    if shutil.which("strace") is None:
        return False
    return subprocess.run([*STRACE, "true"], capture_output=True).returncode == 0


def foreign(trace: str) -> list[str]:
    """The calls that look up a name, or that address a machine other than this one."""
    found = []
    for line in trace.splitlines():
        if not re.search(r"\b(connect|sendto|sendmsg|sendmmsg)\(", line):
            continue
        for family in re.findall(r"sa_family=(\w+)", line):
            inside = family in ("AF_UNIX", "AF_NETLINK", "AF_UNSPEC") or (
                family in ("AF_INET", "AF_INET6")
                and re.search(r'"(127\.[\d.]+|::1|::ffff:127\.[\d.]+)"', line)
            )
            # A resolver may run on this machine too, and ask on.
            if not inside or "htons(53)" in line or "io.systemd.Resolve" in line:
                found.append(line)
    return found


@pytest.fixture(scope="module", params=["sample", "page"])
def visit(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Visit:
    """A picture drawn by the command line, or the page served once, in a home that was empty."""
    home, own = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("own")
    out, trace = own / "samples.npz", own / "trace.txt"
    drawing = request.param == "sample"
    code = ["-c", SAMPLE, *ARGUMENTS, f"--out={out}"] if drawing else ["-c", PAGE]
    traced = can_trace()
    command = [*STRACE, "-o", str(trace)] if traced else []
    # Nothing else of this process's environment: importing GenLab has set the switches in it.
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    done = subprocess.run(
        [*command, sys.executable, *code],
        cwd=PROJECT,
        env=kept | CHATTY | {"HOME": str(home), "TMPDIR": str(own), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert out.is_file() == drawing
    files = sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())
    return Visit(files, trace.read_text() if traced else None)


@pytest.mark.slow
def test_nothing_is_written_into_the_home(visit: Visit) -> None:
    assert visit.files == []


@pytest.mark.slow
def test_nobody_outside_is_asked_or_told(visit: Visit) -> None:
    if visit.trace is None:
        pytest.skip("no strace here, or it may not follow a process")
    assert "socket(" in visit.trace  # it did look
    assert foreign(visit.trace) == []


@pytest.mark.parametrize(
    "call",
    [
        '7 connect(3, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("1.2.3.4")}, 16',
        '7 sendto(3, "", 0, 0, {sa_family=AF_INET, sin_port=htons(53), '
        'sin_addr=inet_addr("127.0.0.53")}, 16) = 0',
        "7 connect(3, {sa_family=AF_INET6, sin6_port=htons(443), sin6_flowinfo=htonl(0), "
        'inet_pton(AF_INET6, "2001:db8::1", &sin6_addr), sin6_scope_id=0}, 28 <unfinished ...>',
        '7 connect(3, {sa_family=AF_UNIX, sun_path="/run/systemd/resolve/io.systemd.Resolve"}, 42',
        "7 sendmsg(3, {msg_name={sa_family=AF_PACKET, sll_protocol=htons(ETH_P_ALL)}, 20",
    ],
)
def test_a_call_to_the_outside_is_seen(call: str) -> None:
    assert foreign(f"7 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3\n{call}\n") == [call]


def test_calls_inside_the_machine_are_no_matter() -> None:
    assert not foreign(
        "7 connect(3, {sa_family=AF_INET, sin_port=htons(7860), "
        'sin_addr=inet_addr("127.0.0.1")}, 16) = 0\n'
        "7 connect(3, {sa_family=AF_INET6, sin6_port=htons(7860), sin6_flowinfo=htonl(0), "
        'inet_pton(AF_INET6, "::1", &sin6_addr), sin6_scope_id=0}, 28) = 0\n'
        '7 connect(3, {sa_family=AF_UNIX, sun_path="/var/run/nscd/socket"}, 110) = -1 ENOENT\n'
        "7 sendto(4, [{nlmsg_len=20}], 20, 0, {sa_family=AF_NETLINK, nl_pid=0}, 12) = 20\n"
    )


@pytest.mark.parametrize(
    "entry", ["app", "genlab.__main__", "benchmarks.serve_toybox", "tests.test_ui"]
)
def test_the_switches_are_off_before_anything_could_send(entry: str) -> None:
    seen = subprocess.run(
        [sys.executable, "-c", FIRST_IMPORT, entry, *SWITCHES],
        cwd=PROJECT,
        env=os.environ | CHATTY,
        capture_output=True,
        text=True,
    )
    assert seen.stderr.strip() == " ".join(SWITCHES.values())


def test_the_libraries_know_the_switches() -> None:
    from gradio.analytics import analytics_enabled
    from huggingface_hub import constants

    assert not analytics_enabled()
    assert constants.HF_HUB_DISABLE_TELEMETRY
