"""Diffusers pipelines as they lie on disk: a folder in the stock layout, or one .safetensors file.

Knows no job and no hub. A file has its configuration in a folder of its own, which a card names
under ``config``: the stock layout without weights.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.loaders.single_file_utils import fetch_diffusers_config
from safetensors import safe_open

from genlab.engine.runner import BrokenCheckpoint, check_weights, read_json, weight_files

INDEX = "model_index.json"
BATCHED = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")
"""The pipelines that the batched engine runs step by step."""
MORE_THAN_A_PROMPT = {"strength", "mask_image", "controlnet_conditioning_scale", "num_frames"}
"""What a call takes that edits a picture, follows another one, or makes a film."""
NEVER_LOADED = ("safety_checker",)
FITTING = ("UNet2DConditionModel", "AutoencoderKL")
OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
MODELS = ("diffusers", "transformers")  # the libraries whose classes may have weights


def configuration(path: Path, card: Mapping[str, Any]) -> Path:
    """The folder that holds a pipeline's configuration: its own, or what a file's card names."""
    return path if path.is_dir() else Path(card["config"])


def class_name(folder: Path) -> str:
    """The name of the pipeline's class; raises BrokenCheckpoint with a sentence."""
    return str(read_json(folder / INDEX).get("_class_name"))


def components(folder: Path) -> dict[str, tuple[str, str]]:
    """The parts that a pipeline is made of, as name: (library, class)."""
    index = read_json(folder / INDEX)
    return {
        name: (str(about[0]), str(about[1]))
        for name, about in index.items()
        if isinstance(about, list) and len(about) == 2 and about[0] and name not in NEVER_LOADED
    }


def family_of(folder: Path) -> str:
    """The name of the family that serves a pipeline; raises BrokenCheckpoint if none does."""
    unet = folder / "unet" / "config.json"
    consistency = unet.is_file() and read_json(unet).get("time_cond_proj_dim") is not None
    if class_name(folder) in BATCHED and not consistency:
        return "stable_diffusion"
    check_text_to_image(folder)
    return "text_to_image"


def check_text_to_image(folder: Path) -> None:
    """Raise BrokenCheckpoint unless a pipeline draws pictures from a prompt, step by step."""
    kind = class_name(folder)
    network: Any = getattr(diffusers, kind, None)
    if not isinstance(network, type) or not issubclass(network, diffusers.DiffusionPipeline):
        raise BrokenCheckpoint(f"its {INDEX} names {kind}, which diffusers does not have.")
    takes = inspect.signature(network.__call__).parameters
    wanted = ("prompt", "num_inference_steps", "generator", "output_type")
    needed = {
        name for name, p in takes.items() if p.default is p.empty and p.kind is not p.VAR_KEYWORD
    }
    alone = not needed - {"self", "prompt"} and not MORE_THAN_A_PROMPT & set(takes)
    if not alone or any(name not in takes for name in wanted):
        raise BrokenCheckpoint(f"a {kind} does not draw pictures from a prompt alone.")
    if "callback_on_step_end" not in takes:
        raise BrokenCheckpoint(f"a {kind} cannot be followed or stopped in the middle of its work.")


def check_parts(folder: Path) -> None:
    """Raise BrokenCheckpoint unless there is a folder for every part."""
    for name in components(folder):
        if not (folder / name).is_dir():
            raise BrokenCheckpoint(f"it has no {name} folder.")


def check_folder(folder: Path) -> None:
    """Raise BrokenCheckpoint unless every part is there and its weights open; reads headers only.

    Those of the networks that GenLab calls itself have to fit their configuration.
    """
    check_parts(folder)
    for name, (library, kind) in components(folder).items():
        part = folder / name
        if not _is_network(library, part):
            continue
        for files in {tuple(chosen_files(part, half)) for half in (True, False)}:
            check_weights(files, None)
            if kind in FITTING:
                check_fit(getattr(diffusers, kind), part, files)
        check_shards(part)


def check_shards(part: Path) -> None:
    """Raise BrokenCheckpoint if some, but not all, of the files that an index names are there."""
    for index in part.glob("*.safetensors.index*.json"):
        shards = sorted(set(read_json(index).get("weight_map", {}).values()))
        missing = [shard for shard in shards if not (part / shard).is_file()]
        if missing and len(missing) < len(shards):
            raise BrokenCheckpoint(f"its {part.name} folder has no {missing[0]}.")


def check_fit(network: Any, part: Path, files: Sequence[Path]) -> None:
    """Raise BrokenCheckpoint unless files hold every weight that a config.json describes.

    Older files have other names for the VAE's attention, which diffusers translates as well.
    """
    config = read_json(part / "config.json")
    try:
        with torch.device("meta"):
            wanted = network(**network.extract_init_dict(config)[0]).state_dict()
    except Exception as error:
        raise BrokenCheckpoint(f"its {part.name}/config.json describes no {part.name}.") from error
    found = {name: shape for file in files for name, shape in shapes(file)}
    for old, new in OLD_NAMES.items():
        found = {name.replace(f".{old}.", f".{new}."): shape for name, shape in found.items()}
    for name, tensor in wanted.items():
        if found.get(name) != list(tensor.shape):
            raise BrokenCheckpoint(
                f"its weights do not fit its config.json: {name} is {found.get(name, 'missing')}, "
                f"but should be {list(tensor.shape)}."
            )


def chosen_files(part: Path, half: bool) -> list[Path]:
    """The safetensors files that are loaded of a part: those in fp16 or the full ones, if it has
    both."""
    files = [path for path in weight_files(part) if "non_ema" not in path.name]
    fp16 = [path for path in files if ".fp16" in path.name]
    full = [path for path in files if ".fp16" not in path.name]
    return (fp16 or full) if half else (full or fp16)


def nbytes(path: Path, dtype: torch.dtype) -> int:
    """Memory that a pipeline's weights will take in that number format; reads headers only."""
    size = torch.empty((), dtype=dtype).element_size()
    if path.is_file():
        loaded = (shape for name, shape in shapes(path) if not name.startswith("model_ema."))
        return size * sum(math.prod(shape) for shape in loaded)
    total = 0
    for name, (library, _) in components(path).items():
        if _is_network(library, path / name):
            files = chosen_files(path / name, half=dtype != torch.float32)
            total += size * sum(math.prod(shape) for file in files for _, shape in shapes(file))
    return total


def shapes(file: Path) -> Iterator[tuple[str, list[int]]]:
    """The name and shape of each tensor in a safetensors file."""
    try:
        with safe_open(file, framework="pt") as opened:
            for key in opened.keys():  # noqa: SIM118
                yield key, opened.get_slice(key).get_shape()
    except Exception as error:
        raise BrokenCheckpoint(f"{file.name} is cut short or is no safetensors file.") from error


def repository_of(file: Path) -> str:
    """The hub's model whose configuration fits a single file, from the names of its tensors."""
    tensors = {name: torch.empty(shape, device="meta") for name, shape in shapes(file)}
    if not any(name.startswith("model.diffusion_model.") for name in tensors):
        raise BrokenCheckpoint(
            "it holds no whole Stable Diffusion in the original layout (model.diffusion_model...)."
        )
    return str(fetch_diffusers_config(tensors)["pretrained_model_name_or_path"])


def picture_size(folder: Path) -> int | None:
    """Pixels of a picture's side, where a pipeline's configuration says so."""
    vae = folder / "vae" / "config.json"
    blocks = read_json(vae).get("block_out_channels") if vae.is_file() else None
    for name in ("unet", "transformer"):
        path = folder / name / "config.json"
        side = read_json(path).get("sample_size") if path.is_file() else None
        if isinstance(side, int) and blocks:
            return side * 2 ** (len(blocks) - 1)
    return None


def open_pipeline(path: Path, card: Mapping[str, Any], dtype: torch.dtype) -> Any:
    """The pipeline with its weights, on the CPU; raises BrokenCheckpoint. Asks no network."""
    folder = configuration(path, card)
    name = class_name(folder)
    network: Any = getattr(diffusers, name)
    index = read_json(folder / INDEX)
    offline: dict[str, Any] = {"dtype": dtype, "local_files_only": True}
    offline |= {part: None for part, about in index.items() if about == [None, None]}
    if "safety_checker" in index:
        offline |= {"safety_checker": None, "requires_safety_checker": False}
    try:
        if path.is_file():
            return network.from_single_file(str(path), config=str(folder), **offline)
        fp16 = dtype != torch.float32 or not _has_full_weights(folder)
        variant = "fp16" if fp16 and any(folder.glob("*/*.fp16*.safetensors")) else None
        return network.from_pretrained(folder, use_safetensors=True, variant=variant, **offline)
    except Exception as error:
        raise BrokenCheckpoint(f"diffusers cannot open it as a {name}.") from error


def _is_network(library: str, part: Path) -> bool:
    """Whether a part has weights; a tokenizer, a scheduler and a processor have none."""
    if library not in MODELS:
        return False
    if not (part / "config.json").is_file() and any(part.glob("*.safetensors")):
        raise BrokenCheckpoint(f"its {part.name} folder has no config.json.")
    return (part / "config.json").is_file()


def _has_full_weights(folder: Path) -> bool:
    """Whether every part has weights that are not the fp16 ones."""
    parts = {path.parent for path in folder.glob("*/*.safetensors")}
    return all(any(".fp16" not in p.name for p in part.glob("*.safetensors")) for part in parts)
