"""GenLab from a notebook: the same requests here and by address, progress, and the example."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from genlab import connect
from genlab.engine.events import Failed, Loading, Progress, Queued
from genlab.generation_metadata import KEY
from genlab.notebook.lab import Lab
from genlab.notebook.local import LocalLab
from genlab.notebook.progress import ProgressDisplay
from genlab.requests import UserError
from tests.fake_client import FakeClient, FakeRegistry, answering, draw

PROJECT = Path(__file__).resolve().parent.parent
NOTEBOOK = PROJECT / "docs" / "notebook.ipynb"


def lab_over(client: FakeClient, family: str = "vae") -> LocalLab:
    """A lab whose client draws nothing by itself."""
    registry: Any = FakeRegistry(family)
    return LocalLab(registry, client)


class Terminal(io.StringIO):
    """Somebody looks at it."""

    def isatty(self) -> bool:
        return True


class FakeIPython:
    """A notebook's kernel that keeps what each display shows, in order."""

    def __init__(self) -> None:
        self.shown: list[Any] = []

    def display(self, what: Any, display_id: bool) -> SimpleNamespace:
        self.shown.append(what)
        return SimpleNamespace(update=lambda what, raw=False: self.shown.append(what))

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
        ipython.get_ipython = lambda: SimpleNamespace(kernel=self)  # type: ignore[attr-defined]
        display.display = self.display  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        monkeypatch.setitem(sys.modules, "IPython.display", display)


# --- pictures -------------------------------------------------------------------------------


def test_sample_gives_pictures_with_figures_and_what_each_was_drawn_by() -> None:
    drawn = lab_over(FakeClient(draw)).sample("tiny", count=3, seed=5, temperature=0.5)
    assert [image.size for image in drawn] == [(8, 8)] * 3
    assert drawn.arrays.shape == (3, 8, 8)
    assert drawn.figures["notes"] == []
    assert [one["request"]["seed"] for one in drawn.metadata] == [5, 6, 7]
    assert drawn.metadata[0]["request"]["temperature"] == 0.5
    assert drawn.metadata[0]["checkpoint_sha256"] == "f" * 64
    assert "3 pictures of 8x8" in repr(drawn)


def test_a_notebook_shows_all_pictures_enlarged_on_one_sheet() -> None:
    drawn = lab_over(FakeClient(draw)).sample("tiny", count=4)
    sheet = Image.open(io.BytesIO(drawn._repr_png_()))
    assert sheet.size == (18 * 16, 18 * 16)  # 2 x 2 of 8 pixels, a gap of 2, 16 times as large
    assert drawn.sheet(columns=4).size == (38 * 16, 8 * 16)


def test_saved_pictures_carry_their_metadata(tmp_path: Path) -> None:
    drawn = lab_over(FakeClient(draw)).sample("tiny", count=2)
    paths = drawn.save(tmp_path / "new")
    assert [path.name for path in paths] == ["000.png", "001.png"]
    assert Image.open(paths[1]).info[KEY] == drawn[1].info[KEY]
    assert (np.asarray(Image.open(paths[1])) == drawn.arrays[1]).all()


def test_the_metadata_of_a_picture_asks_for_it_again() -> None:
    client = FakeClient(draw)
    lab = lab_over(client)
    first = lab.sample("tiny", count=3, seed=5)
    lab.sample(**first.metadata[2]["request"])
    assert client.tickets[-1].request == client.tickets[0].request.for_image(2).model_copy(
        update={"judge": True}
    )


# --- what goes wrong --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "settings", "sentence"),
    [
        ("vae", {"count": 100}, "count is 100, but must be a whole number from 1 to 64."),
        ("vae", {"prompt": "a 7"}, "VAERequest has no setting called prompt."),
        ("classifier", {}, "tiny is a classifier, which draws no pictures."),
        ("unheard", {}, "tiny is of the family 'unheard', which this GenLab lacks."),
    ],
)
def test_a_wrong_value_is_one_sentence(
    family: str, settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError) as error:
        lab_over(FakeClient(draw), family).sample("tiny", **settings)
    assert str(error.value) == sentence


def test_what_the_engine_could_not_draw_is_its_sentence() -> None:
    lab = lab_over(answering(lambda request: [Failed("The device is out of memory.")]))
    with pytest.raises(UserError, match="out of memory"):
        lab.sample("tiny")


def test_interrupting_a_cell_ends_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ProgressDisplay, "show", interrupt)
    client = answering(lambda request: [Progress(1, 5, None, None)])
    with pytest.raises(KeyboardInterrupt):
        lab_over(client).sample("tiny")
    assert client.cancelled == [client.tickets[0].id]


def test_connect_names_an_unknown_setting_and_a_wrong_value() -> None:
    with pytest.raises(UserError, match="no setting called colour"):
        connect(colour="red")
    with pytest.raises(UserError, match="port is -1, but must be a whole number from 1 to 65535"):
        connect(port=-1)


def test_an_address_where_nobody_answers_is_named() -> None:
    with pytest.raises(UserError, match=r"No GenLab answers at http://127\.0\.0\.1:9"):
        connect("http://127.0.0.1:9")


def test_without_gradio_client_a_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "gradio_client", None)
    with pytest.raises(UserError, match="pip install gradio_client"):
        connect("http://127.0.0.1:9")


# --- progress ---------------------------------------------------------------------------------


def test_a_terminal_sees_a_bar_with_what_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with ProgressDisplay("Toybox") as progress:
        progress.show(Queued(2))
        progress.show(Loading("Toybox"))
        progress.show(Progress(3, 5, None, 1.0))
    seen = sys.stderr.getvalue()
    assert "Toybox, waiting, number 2" in seen
    assert "Toybox, loading Toybox" in seen
    assert "3/5" in seen


def test_a_file_or_a_pipe_sees_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with ProgressDisplay("Toybox") as progress:
        progress.show(Progress(3, 5, None, 1.0))
    assert sys.stderr.getvalue() == ""


def test_a_notebook_sees_previews_which_the_end_takes_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel = FakeIPython()
    kernel.install(monkeypatch)
    with ProgressDisplay("Toybox") as progress:
        for step in (5, 6, 7):
            preview = None if step == 6 else np.full((2, 8, 8), step, np.uint8)
            progress.show(Progress(step, 9, preview, None))
    assert [type(shown) for shown in kernel.shown] == [Image.Image, Image.Image, dict]
    assert kernel.shown[1].getpixel((0, 0)) == 7
    assert "7/9" in capsys.readouterr().err


def test_a_notebook_asks_for_previews_where_there_are_any(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeIPython().install(monkeypatch)
    client = FakeClient(draw)
    lab_over(client, "stable_diffusion").sample("tiny", prompt="a 7")
    assert client.tickets[0].request.preview_every > 0
    lab_over(client).sample("tiny")  # a VAE has none
    assert len(client.tickets) == 2


def test_elsewhere_no_previews_are_asked_for() -> None:
    client = FakeClient(draw)
    lab_over(client, "stable_diffusion").sample("tiny", prompt="a 7", count=2)
    assert client.tickets[0].request.preview_every == 0


# --- by address -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def remote(app_url: str) -> Any:
    """A lab at the address of the running app."""
    with connect(app_url) as lab:
        yield lab


@pytest.mark.browser
def test_by_address_the_same_pictures_come_with_figures_and_metadata(remote: Lab) -> None:
    drawn = remote.sample("vae-mnist-20d", count=3, seed=5)
    assert drawn.arrays.shape == (3, 28, 28)
    assert drawn.figures["mean_confidence"] > 0
    again = remote.sample("vae-mnist-20d", count=1, seed=drawn.metadata[2]["request"]["seed"])
    assert np.abs(again.arrays[0].astype(int) - drawn.arrays[2]).max() <= 2
    coloured = remote.sample("stable-diffusion-toybox", prompt="a red 7", num_inference_steps=2)
    assert coloured.arrays.shape == (4, 64, 64, 3)


@pytest.mark.browser
def test_by_address_a_wrong_value_is_the_same_sentence(remote: Lab) -> None:
    with pytest.raises(UserError, match="count is 100, but must be a whole number from 1 to 64"):
        remote.sample("vae-mnist-20d", count=100)
    with pytest.raises(UserError, match="no setting called prompt; it has checkpoint, seed"):
        remote.sample("vae-mnist-20d", prompt="a 7")
    with pytest.raises(UserError, match="prompt is missing"):
        remote.sample("stable-diffusion-toybox")
    with pytest.raises(UserError, match="There is no checkpoint called 'nope'"):
        remote.sample("nope")


@pytest.mark.browser
def test_both_labs_list_the_same_checkpoints(remote: Lab) -> None:
    here = {metadata["name"]: metadata for metadata in remote.checkpoints()}
    assert here["dcgan-mnist"]["snapshots"]
    assert here["vae-mnist-20d"].keys() == here["dcgan-mnist"].keys()


# --- the example ------------------------------------------------------------------------------


def test_importing_genlab_loads_nothing_of_it() -> None:
    code = (
        "import sys, genlab; print(*[m for m in sys.modules if m.startswith(('genlab', 'numpy'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["genlab"]


def test_the_example_notebook_is_kept_without_its_outputs() -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbclient is not installed")
    cells = nbformat.read(NOTEBOOK, 4).cells
    assert [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []


@pytest.mark.slow
def test_the_example_notebook_runs() -> None:
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    import nbformat

    notebook = nbformat.read(NOTEBOOK, 4)
    where = {"metadata": {"path": str(NOTEBOOK.parent)}}
    nbclient.NotebookClient(notebook, timeout=240, resources=where).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    shown = [output["data"] for output in outputs if "data" in output]
    assert sum("image/png" in data for data in shown) >= 4
    last = next(data["text/plain"] for data in reversed(shown) if "text/plain" in data)
    assert int(last.rstrip(")").split(",")[-1]) <= 2, "the recipe drew another picture"
    said = "".join(output["text"] for output in outputs if output["output_type"] == "stream")
    assert "5/5" in said
    assert "Warning" not in said


def test_where_genlab_is_not_the_notebook_fetches_it(tmp_path: Path) -> None:
    import json

    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    setup = next("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    source = tmp_path / "source"
    (source / "genlab").mkdir(parents=True)
    (source / "genlab" / "__init__.py").write_text("fetched = True\n")
    pins = f"# pins\ntorch==99.0\nnumpy=={np.__version__}\n"
    (source / "requirements.txt").write_text(pins)
    git = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run([*git, *command], cwd=source, check=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", f"{setup}\nimport genlab\nassert genlab.fetched"],
        cwd=elsewhere,
        input=f"file://{source}\n",
        env=os.environ | {"PIP_NO_INDEX": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
