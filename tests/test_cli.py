"""`python -m genlab` on the shipped checkpoints: files, figures, one sentence for each mistake."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

from genlab.cli import app
from genlab.cli.sample import read_texts
from genlab.diffusion.schedulers import scheduler_names
from genlab.families.pixel_diffusion import evaluate as measured
from genlab.families.pixel_diffusion.evaluate import classes_in_turn
from genlab.formats.model_card import read_card, write_card
from genlab.models import training
from genlab.models.training import trainings
from genlab.serving.thread import ThreadClient
from genlab.settings import PROJECT
from genlab.training.config import TrainingConfig

SHIPPED = PROJECT / "checkpoints"
TOYBOX = "stable-diffusion-toybox"
CONFIGS = {
    name: config for name, config in trainings().items() if isinstance(config, TrainingConfig)
}
HEAVY = ("torch", "diffusers", "transformers", "matplotlib", "torchmetrics", "gradio")


def genlab(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refusal(*arguments: object) -> str:
    """The sentence that a command ends with; asserts that it is one, and on stderr."""
    result = genlab(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1
    assert "Traceback" not in result.stderr
    return result.stderr


@pytest.fixture
def test_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge's held-out examples stand in for the dataset, which is not in the repository."""

    def examples(dataset: str, train: bool, root: Path) -> tuple[torch.Tensor, torch.Tensor]:
        stored = load_file(SHIPPED / f"{dataset}-classifier" / "examples.safetensors")
        return stored["images"], stored["labels"]

    for module in ("evaluation.real_images", "toybox.train.common"):
        monkeypatch.setattr(f"genlab.{module}.load_images", examples)


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["sample", "--help"]])
def test_help_and_list_load_no_torch(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from genlab.cli import app\n"
        f"try: app({arguments})\n"
        "except SystemExit as end: assert end.code == 0\n"
        f"print('loaded:', sorted(set({HEAVY}) & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert ended.stdout.rstrip().endswith("loaded: []")


def test_what_cannot_be_drawn_is_refused_without_torch() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "genlab", "sample", "dcgan-mnist"]
    ended = subprocess.run(
        [*command, "--snapshot", "26", "--out", "never.npz"],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert "no snapshot of step 26" in ended.stderr
    assert not [line for line in ended.stderr.splitlines() if line.endswith("| torch")]


def test_list_names_every_shipped_checkpoint() -> None:
    result = genlab("list")
    assert result.exit_code == 0
    assert "damaged" not in result.stdout
    for name in (*CONFIGS, TOYBOX, "toybox-judge"):
        assert name in result.stdout


def test_list_says_which_checkpoint_is_damaged_and_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_card(tmp_path / "empty", "vae", "Nothing", "mnist", "No weights.")
    monkeypatch.setenv("GENLAB_CHECKPOINTS", str(tmp_path))
    assert genlab("list").stdout.startswith("empty  damaged: it has no config.json")


@pytest.mark.parametrize("name", ["vae-mnist-2d", "vae-fashion-20d", "dcgan-mnist"])
def test_sample_writes_uint8_images(name: str, tmp_path: Path) -> None:
    out = tmp_path / "samples.npz"
    result = genlab("sample", name, "--count", 3, "--seed", 5, "--out", out)
    assert result.exit_code == 0, result.output
    with np.load(out) as arrays:
        assert list(arrays) == ["images"]
        assert arrays["images"].dtype == np.uint8
        assert arrays["images"].shape == (3, 28, 28)
        assert arrays["images"].max() > 128
        assert np.median(arrays["images"]) < 64  # bright on black


def test_image_k_is_seed_plus_k_however_many_are_asked_for(tmp_path: Path) -> None:
    many, one = tmp_path / "many.npz", tmp_path / "one.npz"
    genlab("sample", "dcgan-mnist", "--count", 70, "--seed", 10, "--out", many)
    genlab("sample", "dcgan-mnist", "--count", 1, "--seed", 79, "--out", one)
    with np.load(many) as a, np.load(one) as b:
        difference = a["images"][69].astype(int) - b["images"][0].astype(int)
        assert np.abs(difference).max() <= 1


def test_options_of_the_family_change_the_pictures(tmp_path: Path) -> None:
    for name, option, value in [
        ("vae-mnist-20d", "--temperature", 0.2),
        ("dcgan-mnist", "--snapshot", 25),
    ]:
        genlab("sample", name, "--count", 2, "--out", tmp_path / "a.npz")
        genlab("sample", name, "--count", 2, option, value, "--out", tmp_path / "b.npz")
        with np.load(tmp_path / "a.npz") as a, np.load(tmp_path / "b.npz") as b:
            assert not np.array_equal(a["images"], b["images"])


def test_a_file_of_prompts_gives_one_image_a_line(tmp_path: Path) -> None:
    texts = ["a red 3 on a black background", "a green bag on a white background"]
    (tmp_path / "prompts.txt").write_text("\n".join(texts) + "\n")
    out = tmp_path / "samples.npz"
    result = genlab(
        *("sample", TOYBOX, "--prompts", tmp_path / "prompts.txt", "--steps", 2),
        *("--guidance", "none", "--scheduler", "ddim", "--out", out),
    )
    assert result.exit_code == 0, result.output
    with np.load(out) as arrays:
        assert arrays["prompts"].tolist() == texts
        assert arrays["images"].shape == (2, 64, 64, 3)
        assert arrays["images"].dtype == np.uint8


def test_a_file_of_prompts_has_16_requests_under_way_and_image_k_its_own_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most, submit = [0], ThreadClient.submit

    def counting(self: ThreadClient, *arguments: Any) -> Any:
        ticket = submit(self, *arguments)
        most[0] = max(most[0], self.figures().open_jobs)
        return ticket

    monkeypatch.setattr(ThreadClient, "submit", counting)
    (tmp_path / "prompts.txt").write_text("\n".join(f"a red {k % 10}" for k in range(20)))
    out, alone = tmp_path / "all.npz", tmp_path / "alone.npz"
    fast = ("--steps", 3, "--scheduler", "ddim")
    genlab("sample", TOYBOX, "--prompts", tmp_path / "prompts.txt", *fast, "--out", out)
    genlab("sample", TOYBOX, "--prompt", "a red 7", "--seed", 17, "--count", 1, *fast,
           "--out", alone)  # fmt: skip
    assert most[0] == 16
    with np.load(out) as many, np.load(alone) as one:
        difference = many["images"][17].astype(int) - one["images"][0].astype(int)
        assert np.abs(difference).max() <= 2


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        (("--label", 7), [7, 7, 7]),
        (("--guidance", "classifier", "--seed", 8), [8, 9, 0]),
        (("--guidance", "none"), None),
    ],
)
def test_the_classes_asked_of_a_diffusion_are_written_beside_its_pictures(
    options: tuple[object, ...], labels: list[int] | None, tmp_path: Path
) -> None:
    out = tmp_path / "samples.npz"
    result = genlab("sample", "ddpm-mnist", "--count", 3, "--steps", 2, *options, "--out", out)
    assert result.exit_code == 0, result.output
    with np.load(out) as arrays:
        assert ("labels" in arrays) == (labels is not None)
        if labels is not None:
            assert arrays["labels"].dtype == np.int64
            assert arrays["labels"].tolist() == labels


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("vae-mnist-20d", "--snapshot", 3), "vae checkpoint, which has no option --snapshot"),
        (("dcgan-mnist", "--prompt", "a cat"), "gan checkpoint, which has no option --prompt"),
        (("dcgan-mnist", "--guidance-scale", 2), "no option --guidance-scale"),
        (("dcgan-mnist", "--guidance", "none"), "no option --guidance"),
        (("vae-mnist-20d", "--snapshot", 25), "no option --snapshot"),
        ((TOYBOX, "--temperature", 1), "no option --temperature"),
        ((TOYBOX, "--guidance", "classifier"), "none or classifier-free, not classifier"),
        ((TOYBOX, "--scheduler", "magic"), "one of ddim, euler"),
        ((TOYBOX, "--steps", 0), "num_inference_steps is 0"),
        ((TOYBOX, "--guidance-scale", "nan"), "guidance_scale is nan"),
        (("dcgan-mnist", "--snapshot", 26), "no snapshot of step 26"),
        (("mnist-classifier",), "draws no pictures"),
        (("nothing",), "no checkpoint called 'nothing'"),
        (("../checkpoints/vae-mnist-20d",), "no checkpoint called"),
        (("vae-mnist-20d", "--seed", -1), "seed is -1"),
        (("vae-mnist-20d", "--seed", 2**70), "seed is"),
        (("vae-mnist-20d", "--seed", "abc"), "--seed"),
        (("vae-mnist-20d", "--count", 0), "--count is 0"),
        (("vae-mnist-20d", "--temperature", 9), "temperature is 9"),
        (("vae-mnist-20d", "--colour", "red"), "--colour"),
        ((TOYBOX, "--prompts", "missing.txt"), "missing.txt cannot be used"),
        ((TOYBOX, "--prompts", "missing.txt", "--count", 2), "not both"),
    ],
)
def test_sample_refuses_with_one_sentence(
    arguments: tuple[object, ...], sentence: str, tmp_path: Path
) -> None:
    out = tmp_path / "samples.npz"
    assert sentence in refusal("sample", *arguments, "--out", out)
    assert not out.exists()


def test_without_a_command_the_help_is_shown_as_it_is_laid_out() -> None:
    result = genlab()
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) > 5


def test_samples_go_to_the_file_that_is_named(tmp_path: Path) -> None:
    assert "is a folder" in refusal("sample", "vae-mnist-2d", "--out", tmp_path)
    result = genlab("sample", "vae-mnist-2d", "--count", 1, "--out", tmp_path / "digits")
    assert f"to {tmp_path / 'digits.npz'}." in result.stdout
    assert (tmp_path / "digits.npz").is_file()


def test_a_device_that_is_not_there_is_one_sentence_in_all_that_is_printed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "genlab", "sample", "vae-mnist-2d", "--device", "quantum"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "x.npz")],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    sentence = "There is no device 'quantum' here: choose another with GENLAB_DEVICE or --device.\n"
    assert (done.returncode, done.stderr) == (2, sentence)


def test_a_file_of_prompts_may_come_from_any_editor(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes("\ufeffa red 3\r\n\r\n  \r\na \u2028 green bag\r\n".encode())
    assert read_texts(path) == ["a red 3", "a \u2028 green bag"]


@pytest.mark.parametrize("content", [b"\xff\xfea\x00", b"a caf\xe9\n"])
def test_a_file_of_prompts_that_is_no_text_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes(content)
    sentence = refusal("sample", TOYBOX, "--prompts", path, "--out", tmp_path / "x.npz")
    assert "no text in UTF-8" in sentence


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "99999"), ("MEMORY_GB", "0"), ("MAX_ROWS", "many"), ("MODELS", "[")],
)
def test_a_setting_that_cannot_be_is_named_with_its_value(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"GENLAB_{name}", value)
    assert f"GENLAB_{name} is '{value}'" in refusal("list")


def test_a_word_for_a_number_is_refused_in_plain_words() -> None:
    sentence = refusal("sample", "ddpm-mnist", "--steps", "abc", "--out", "x.npz")
    assert sentence.strip() == "Invalid value for '--steps': it must be a whole number."
    assert "Value error" not in refusal("export", "vae-mnist-2d", "--to", "banana")


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    out = tmp_path / "missing" / "samples.npz"
    assert "cannot be used" in refusal("sample", "vae-mnist-2d", "--count", 1, "--out", out)


@pytest.mark.usefixtures("test_split")
def test_evaluate_prints_json_alone_on_stdout() -> None:
    result = genlab("evaluate", "vae-mnist-2d", "--json", "--samples", 60)
    figures = json.loads(result.stdout)
    assert figures["checkpoint"] == "vae-mnist-2d"
    assert figures["samples"] == 60
    assert figures["fid"] > figures["fid_floor"] >= 0
    assert sum(figures["class_histogram"]) == pytest.approx(1.0, abs=1e-3)
    assert 0 < figures["reconstruction_mse"] < 1


@pytest.mark.usefixtures("test_split")
def test_evaluate_measures_a_classifier_by_its_accuracy() -> None:
    figures = json.loads(genlab("evaluate", "mnist-classifier", "--json", "--samples", 500).stdout)
    assert figures["accuracy"] > 0.98


@pytest.mark.usefixtures("test_split")
@pytest.mark.parametrize(
    ("name", "etas", "eta"),
    [("ddpm-mnist", (1.0, 0.0), 0.0), ("ddpm-mnist", (1.0,), 1.0), ("flow-mnist", (1.0,), 0.0)],
    ids=["the better", "the only one", "a flow has none"],
)
def test_a_pixel_diffusion_is_measured_with_the_noise_that_suits_it(
    name: str, etas: tuple[float, ...], eta: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "ETAS", etas)
    monkeypatch.setattr(measured, "STEPS", 4)  # so few that noise at each step stays in the picture
    monkeypatch.setattr(measured, "SWEEP_STEPS", 2)
    monkeypatch.setattr(measured, "SCALES", {"classifier-free": (1, 2), "classifier": (4,)})
    figures = json.loads(genlab("evaluate", name, "--json", "--samples", 60).stdout)
    assert (figures["eta"], figures["num_inference_steps"]) == (eta, 4)
    assert figures["fid"] < figures["unguided_fid"]
    assert figures["label_accuracy"] > figures["unguided_label_accuracy"]
    assert [row["guidance_scale"] for row in figures["scales"]["classifier"]] == [0, 4]
    assert figures["guidance_scale"] == 2, "at 1 nothing is guided"


def test_a_classifiers_guidance_is_measured_where_more_of_it_leads_no_more_pictures() -> None:
    led = {0: 0.1, 2: 0.95, 8: 0.996, 16: 0.998, 32: 1.0}
    rows = [{"guidance_scale": s, "label_accuracy": share} for s, share in led.items()]
    assert measured.smallest_that_leads(rows) == 8
    assert measured.smallest_that_leads(rows[:2]) == 2


def test_real_pictures_of_a_floor_have_as_many_of_each_class() -> None:
    labels = np.random.default_rng(0).integers(0, 10, 2000)
    rows = classes_in_turn(labels)
    assert sorted(rows) == list(range(2000))
    assert labels[rows[:30]].tolist() == [*range(10)] * 3
    assert rows[0] == np.flatnonzero(labels == 0)[0], "the first of each come first"


@pytest.mark.usefixtures("test_split")
def test_write_card_puts_the_figures_into_the_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mnist-classifier", "vae-mnist-2d"):
        (tmp_path / name).symlink_to(SHIPPED / name)
    copy = tmp_path / "mine"
    copy.mkdir()
    for path in (SHIPPED / "dcgan-mnist").glob("*.*"):
        (copy / path.name).write_bytes(path.read_bytes())
    monkeypatch.setenv("GENLAB_CHECKPOINTS", str(tmp_path))
    assert genlab("evaluate", "mine", "--write-card", "--samples", 50).exit_code == 0
    assert read_card(copy)[0]["genlab"]["metrics"]["samples"] == 50


@pytest.mark.usefixtures("test_split")
def test_toybox_is_measured_by_its_judge_and_leaves_contact_sheets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from genlab.toybox.evaluate import measure, sweep

    monkeypatch.setattr(sweep, "SCALES", (4.0,))
    monkeypatch.setattr(measure, "SAME_PROMPT", 2)
    monkeypatch.setattr(measure, "SWEEP_PROMPTS", 1)
    shutil.copytree(SHIPPED / TOYBOX, tmp_path / TOYBOX)
    (tmp_path / "toybox-judge").symlink_to(SHIPPED / "toybox-judge")
    for name in ("samples.png", "reconstructions.png"):
        (tmp_path / TOYBOX / name).unlink(missing_ok=True)
    monkeypatch.setenv("GENLAB_CHECKPOINTS", str(tmp_path))
    result = genlab("evaluate", TOYBOX, "--samples", 60, "--json", "--write-card")
    figures = json.loads(result.stdout)
    assert figures["real_adherence_all"] >= 0.6
    assert figures["adherence_background"] >= 0.9
    assert 0 < figures["clip_score"] < 1
    assert figures["fid_floor"] < figures["fid"]
    tried = json.loads((tmp_path / TOYBOX / "sweep.json").read_text())
    last = [row for row in tried if row["prompts"] == max(row["prompts"] for row in tried)]
    best = max(last, key=lambda row: row["one"] + row["two"])
    assert (figures["scheduler"], figures["guidance_scale"]) == (
        best["scheduler"],
        best["guidance_scale"],
    )
    assert len(last) == 4
    assert {row["scheduler"] for row in tried} == set(scheduler_names())
    assert read_card(tmp_path / TOYBOX)[0]["genlab"]["metrics"]["samples"] == 60
    with Image.open(tmp_path / TOYBOX / "samples.png") as sheet:
        assert sheet.width == 10 * 128 + 9 * 2


def test_train_writes_a_checkpoint_with_its_loss_curve_and_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def noise(dataset: str, train: bool, root: Path) -> tuple[torch.Tensor, torch.Tensor]:
        images = torch.randint(256, (40, 28, 28), generator=torch.Generator().manual_seed(0))
        return images.to(torch.uint8), torch.arange(40) % 10

    for module in ("training.config", "evaluation.real_images"):
        monkeypatch.setattr(f"genlab.{module}.load_images", noise)
    tiny = {"epochs": 1, "batch_size": 20, "channels": (2, 2, 2)}
    config = dataclasses.replace(CONFIGS["mnist-classifier"], hyperparameters=tiny)
    monkeypatch.setattr(training, "trainings", lambda: {"tiny": config})
    monkeypatch.setenv("GENLAB_CHECKPOINTS", str(tmp_path / "checkpoints"))

    result = genlab("train", "tiny", "--runs", tmp_path / "runs", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert "accuracy" in result.stdout
    folder = tmp_path / "checkpoints" / "tiny"
    assert {path.name for path in folder.iterdir()} == {
        *("README.md", "config.json", "model.safetensors", "loss.png", "examples.safetensors")
    }
    front, text = read_card(folder)
    assert front["genlab"]["metrics"]["samples"] == 40
    assert "2 steps" in text
    assert "damaged" not in genlab("list").stdout


def test_evaluate_and_train_refuse_what_does_not_exist() -> None:
    assert "no checkpoint called" in refusal("evaluate", "nothing", "--json")
    assert "from 2 to 10000" in refusal("evaluate", "vae-mnist-2d", "--samples", 1)
    assert "no recipe called 'nothing'; there are: vae-mnist-20d" in refusal("train", "nothing")
    assert "no device 'abacus'" in refusal("evaluate", "vae-mnist-2d", "--device", "abacus")


def test_every_shipped_card_holds_its_measured_figures() -> None:
    for name, config in CONFIGS.items():
        front, text = read_card(SHIPPED / name)
        card = front["genlab"]
        assert (card["family"], card["dataset"]) == (config.family, config.dataset)
        assert card["metrics"]["samples"] == 10_000
        assert f"python -m genlab evaluate {name}" in text
        assert (SHIPPED / name / "loss.png").is_file()
