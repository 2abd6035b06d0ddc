"""Diffusers pipelines on disk: what GenLab cannot draw with is said at the scan, without torch."""

from __future__ import annotations

import inspect
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file

from genlab.formats import distillation, pipeline_checks, pipeline_classes, pipelines, single_file
from genlab.formats.metadata import BrokenCheckpoint
from tests.original_layout import save_original
from tests.tiny_pipelines import (
    save_tiny_lcm,
    save_tiny_sd3,
    save_tiny_stable_diffusion,
    save_tiny_xl,
    tiny_unet,
)

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pipelines")
    save_tiny_stable_diffusion(root / "sd")
    save_tiny_xl(root / "xl")
    save_tiny_sd3(root / "sd3")
    save_tiny_lcm(root / "lcm")
    return root


@pytest.fixture
def sd(originals: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(originals / "sd", tmp_path / "sd"))


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("sd", "stable_diffusion"),
        ("xl", "stable_diffusion"),
        ("sd3", "text_to_image"),
        ("lcm", "text_to_image"),
    ],
)
def test_each_pipeline_finds_its_family_and_passes_its_checks(originals, name, family):
    check = {
        "stable_diffusion": pipeline_checks.check_stable_diffusion,
        "text_to_image": pipeline_checks.check_text_to_image,
    }
    assert pipeline_checks.family_of(originals / name) == family
    check[family](originals / name, {})
    assert pipelines.count_parameters(originals / name) > 1000
    assert pipelines.picture_size(originals / name) == 16


def test_checking_takes_neither_torch_nor_diffusers(originals: Path):
    code = (
        "import sys; from pathlib import Path; from genlab.formats.pipeline_checks import *;"
        f"check_stable_diffusion(Path({str(originals / 'sd')!r}), {{}});"
        f"check_text_to_image(Path({str(originals / 'sd3')!r}), {{}});"
        "print([m for m in ('torch', 'diffusers', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "[]"


def replace_unet(**config: Any) -> Callable[[Path], None]:
    """Another UNet in the place of the pipeline's own, whole and with its own config.json."""

    def harm(folder: Path) -> None:
        torch.manual_seed(0)
        tiny_unet(**config).save_pretrained(folder / "unet")

    return harm


def unet_config(**values: Any) -> Callable[[Path], None]:
    return lambda folder: change(folder / "unet" / "config.json", **values)


def other_text_encoder(folder: Path) -> None:
    change(folder / "text_encoder" / "config.json", hidden_size=24)


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (replace_unet(in_channels=9), "it is an inpainting model: its UNet takes 9 channels"),
        (replace_unet(in_channels=8), "UNet takes 8 channels, but its VAE's latents have 4"),
        (replace_unet(out_channels=8), "UNet gives 8 channels, but its VAE's latents have 4"),
        (replace_unet(cross_attention_dim=24), "looks at texts 24 numbers wide, but its text enc"),
        (replace_unet(num_class_embeds=10), "its UNet wants a class beside the prompt"),
        (replace_unet(sample_size=None), "has None as its sample_size"),
        (replace_unet(sample_size=(8, 16)), r"has \[8, 16\] as its sample_size"),
        (unet_config(sample_size=0), "has 0 as its sample_size"),
        (unet_config(in_channels=5), r"conv_in.weight is \[8, 4, 3, 3\], but should be \[8, 5"),
        (unet_config(block_out_channels=[16, 16]), r"conv_in.weight is \[8, 4, 3, 3\], but should"),
        (unet_config(cross_attention_dim=24), r"attn2.to_k.weight is \[.*, 16\], but should be"),
        (unet_config(cross_attention_dim="x"), "unet/config.json describes no unet"),
        (unet_config(in_channels=None), "unet/config.json describes no unet"),
        (unet_config(addition_embed_type="text_time"), "text_time as its addition_embed_type"),
        (other_text_encoder, "looks at texts 16 numbers wide, but its text encoder gives 24"),
        (
            lambda folder: change(folder / "vae" / "config.json", latent_channels=16),
            r"encoder.conv_out.weight is \[8, 8, 3, 3\], but should be \[32, 8, 3, 3\]",
        ),
    ],
)
def test_what_the_engine_cannot_draw_with_is_refused_at_the_scan(
    sd: Path, harm: Callable[[Path], None], sentence: str
):
    harm(sd)
    with pytest.raises(BrokenCheckpoint, match=sentence) as raised:
        pipeline_checks.check_stable_diffusion(sd, {})
    assert "\n" not in str(raised.value)


def test_two_text_encoders_are_taken_together(originals: Path, tmp_path: Path):
    xl = Path(shutil.copytree(originals / "xl", tmp_path / "xl"))
    change(xl / "text_encoder_2" / "config.json", hidden_size=17)
    with pytest.raises(BrokenCheckpoint, match="32 numbers wide, but its text encoders give 33"):
        pipeline_checks.check_stable_diffusion(xl, {})


def test_every_weight_is_compared_when_a_pipeline_is_opened(sd: Path):
    weights = sd / UNET
    tensors = load_file(weights)
    inner = next(name for name in tensors if "mid_block" in name and name.endswith("weight"))
    del tensors[inner]
    save_file(tensors, weights)
    pipeline_checks.check_stable_diffusion(sd, {})  # no outer layer: only opening can tell
    with pytest.raises(BrokenCheckpoint, match=f"{inner} is missing, but should be"):
        pipelines.open_pipeline(sd, {}, torch.float32)


def test_a_part_of_a_pipeline_is_called_what_it_is(sd: Path, tmp_path: Path):
    with pytest.raises(BrokenCheckpoint, match="is one AutoencoderKL alone, a part of a pipeline"):
        pipeline_checks.family_of(sd / "vae")
    lora = tmp_path / "lora"
    lora.mkdir()
    save_file({"x": torch.zeros(1)}, lora / "pytorch_lora_weights.safetensors")
    with pytest.raises(BrokenCheckpoint, match="it is a LoRA, an addition to another model"):
        pipeline_checks.family_of(lora)
    with pytest.raises(BrokenCheckpoint, match="it has no model_index.json"):
        pipeline_checks.family_of(tmp_path)


# --- one file -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def single(originals: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = originals / "sd"
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    return save_original(pipeline, tmp_path_factory.mktemp("single") / "model.safetensors")


def test_a_whole_file_passes_with_its_configuration(originals: Path, single: Path):
    card = {"config": str(originals / "sd")}
    pipeline_checks.check_stable_diffusion(single, card)
    folder_numbers = pipelines.count_parameters(originals / "sd")
    assert pipelines.count_parameters(single) == pytest.approx(folder_numbers, rel=0.01)


def test_a_file_is_compared_with_its_configuration(sd: Path, single: Path):
    change(sd / "unet" / "config.json", cross_attention_dim=24)
    with pytest.raises(BrokenCheckpoint, match=r"attn2.to_k.weight is \[.*, 16\], but should be"):
        pipeline_checks.check_stable_diffusion(single, {"config": str(sd)})


@pytest.mark.parametrize(
    ("keep", "sentence"),
    [
        (("model.diffusion_model.",), "holds a UNet alone: it has no VAE"),
        (("model.diffusion_model.", "first_stage_model."), "holds no text encoder"),
        (("first_stage_model.",), "no whole Stable Diffusion .* it is a VAE alone"),
        (("cond_stage_model.",), "no whole Stable Diffusion"),
    ],
)
def test_a_part_in_a_file_is_called_what_it_is(
    single: Path, tmp_path: Path, keep: tuple[str, ...], sentence: str
):
    tensors = {n: t for n, t in load_file(single).items() if n.startswith(keep)}
    save_file(tensors, tmp_path / "part.safetensors")
    with pytest.raises(BrokenCheckpoint, match=sentence):
        single_file.check(tmp_path / "part.safetensors")


def test_loras_and_inpainting_models_are_told_from_whole_ones(single: Path, tmp_path: Path):
    lora = tmp_path / "lora.safetensors"
    save_file({"lora_unet_down_blocks_0.lora_down.weight": torch.zeros(2, 2)}, lora)
    with pytest.raises(BrokenCheckpoint, match="it is a LoRA"):
        single_file.check(lora)
    tensors = load_file(single) | {single_file.FIRST: torch.zeros(8, 9, 3, 3)}
    save_file(tensors, tmp_path / "inpainting.safetensors")
    with pytest.raises(BrokenCheckpoint, match="an inpainting model: its UNet takes 9 channels"):
        single_file.check(tmp_path / "inpainting.safetensors")


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        ({"emb_params": (3, 768)}, "it is a textual inversion, a word for another model"),
        ({"clip_l": (2, 768), "clip_g": (2, 1280)}, "it is a textual inversion"),
        ({"<my-cat>": (1024,)}, "it is a textual inversion"),
        ({"control_model.input_hint_block.0.weight": (4, 4)}, "it is a ControlNet"),
        ({"one.weight": (3, 3)}, r"original layout \(model.diffusion_model\....\)\.$"),
    ],
    ids=str,
)
def test_additions_to_other_models_are_called_what_they_are(tmp_path: Path, tensors, sentence):
    file = tmp_path / "added.safetensors"
    save_file({name: torch.zeros(shape) for name, shape in tensors.items()}, file)
    with pytest.raises(BrokenCheckpoint, match=sentence):
        single_file.check(file)


@pytest.mark.parametrize("channels", [5, 7, 8])
def test_a_file_whose_unet_takes_a_picture_is_refused(single: Path, tmp_path: Path, channels: int):
    """Depth, upscaling and editing by instruction: none draws from a prompt alone."""
    tensors = load_file(single) | {single_file.FIRST: torch.zeros(8, channels, 3, 3)}
    save_file(tensors, tmp_path / "edits.safetensors")
    with pytest.raises(BrokenCheckpoint, match=f"its UNet takes {channels} channels, a picture"):
        single_file.check(tmp_path / "edits.safetensors")


# --- what was distilled ---------------------------------------------------------------------------


def test_a_models_own_files_say_whether_it_was_distilled(originals: Path, sd: Path):
    assert not distillation.draws_without_guidance(originals / "sd")
    assert not distillation.draws_in_few_steps(originals / "xl")
    assert distillation.draws_in_few_steps(originals / "lcm")
    assert not distillation.draws_without_guidance(originals / "lcm"), "it is told the scale"
    change(sd / "scheduler" / "scheduler_config.json", _class_name="LCMScheduler")
    assert distillation.draws_without_guidance(sd)


def test_a_flux_without_an_input_for_the_scale_was_distilled(tmp_path: Path):
    (tmp_path / "transformer").mkdir()
    (tmp_path / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    config = tmp_path / "transformer" / "config.json"
    for embeds, distilled in ((False, True), (True, False)):
        config.write_text(json.dumps({"guidance_embeds": embeds}))
        assert distillation.draws_without_guidance(tmp_path) is distilled


# --- the table of classes -------------------------------------------------------------------------

MORE_THAN_A_PROMPT = {"strength", "mask_image", "controlnet_conditioning_scale", "num_frames"}
"""What a call takes that edits a picture, follows another one, or makes a film."""
TAKEN = {"prompt", "num_inference_steps", "generator", "output_type"}
NO_PICTURE_OF_A_PROMPT = """
AceStep DiffusionGemma LLaDA2 LongCatAudioDiT StableAudio3 StableAudio3AudioToAudio
StableAudio3Inpaint
KandinskyV22Prior StableCascadePrior WuerstchenPrior
BriaFiboEdit CogVideoXFunControl CogView4Control FluxControl HunyuanImageRefiner JoyImageEdit
JoyImageEditPlus QwenImageEdit QwenImageEditPlus QwenImageLayered
StableDiffusionInstructPix2Pix
Latte SanaVideo
"""
"""Their calls look alike, but they make sounds, texts, embeddings and films, or edit a picture."""


def inspected() -> dict[str, str]:
    """What the installed diffusers says of each of its pipelines."""
    verdicts = {}
    for name in dir(diffusers):
        kind = getattr(diffusers, name, None) if "Pipeline" in name else None
        if not isinstance(kind, type) or not issubclass(kind, diffusers.DiffusionPipeline):
            continue
        takes = inspect.signature(kind.__call__).parameters
        needed = {
            key for key, p in takes.items() if p.default is p.empty and p.kind is not p.VAR_KEYWORD
        }
        alone = not needed - {"self", "prompt"} and not MORE_THAN_A_PROMPT & set(takes)
        pictures = name.removesuffix("Pipeline") not in NO_PICTURE_OF_A_PROMPT.split()
        if alone and pictures and set(takes) >= TAKEN:
            followed = "callback_on_step_end" in takes
            verdicts[name] = "from a prompt" if followed else "not followed"
        else:
            verdicts[name] = "others"
    return verdicts


def test_the_table_of_pipelines_says_what_diffusers_says():
    tables = {
        "from a prompt": pipeline_classes.FROM_A_PROMPT,
        "not followed": pipeline_classes.NOT_FOLLOWED,
        "others": pipeline_classes.OTHERS,
    }
    table = {name: verdict for verdict, names in tables.items() for name in names}
    assert sum(map(len, tables.values())) == len(table), "no name is in two tables"
    installed = inspected()
    assert {n: v for n, v in table.items() if n in installed} == {
        n: v for n, v in installed.items() if n in table
    }
    if diffusers.__version__ == pipeline_classes.DIFFUSERS:
        assert table == installed
    assert set(pipeline_classes.BATCHED) <= pipeline_classes.FROM_A_PROMPT
