"""Diffusers pipelines as they lie on disk: a folder in the stock layout, or one .safetensors file.

Knows no job and no hub. A file has its configuration in a folder of its own, which a card names
under ``config``: the stock layout without weights. All but ``open_pipeline`` and ``check_fit`` read
JSON and headers only and need neither torch nor diffusers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genlab.formats import headers
from genlab.formats.building import ONE_AT_A_TIME
from genlab.formats.headers import Shapes, check_weights, tensor_shapes
from genlab.formats.hub_layout import CONFIG, read_json
from genlab.formats.metadata import BrokenCheckpoint

INDEX = "model_index.json"
NEVER_LOADED = ("safety_checker",)
FITTING = ("UNet2DConditionModel", "AutoencoderKL")
OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
MODELS = ("diffusers", "transformers")  # the libraries whose classes may have weights


def configuration(path: Path, card: Mapping[str, Any]) -> Path:
    """The folder that holds a pipeline's configuration: its own, or what a file's card names."""
    if not path.is_file():
        return path
    if not isinstance(card.get("config"), str):
        raise BrokenCheckpoint("no folder is known that holds its configuration.")
    return Path(card["config"])


def class_name(folder: Path) -> str:
    """The name of the pipeline's class; raises BrokenCheckpoint with a sentence."""
    if not (folder / INDEX).exists():
        if any(folder.glob("*lora*.safetensors")):
            raise BrokenCheckpoint(
                f"it has no {INDEX}: it is a LoRA, an addition to another model, not a whole one."
            )
        if (folder / CONFIG).is_file():
            part = str(read_json(folder / CONFIG).get("_class_name", "network"))
            raise BrokenCheckpoint(
                f"it has no {INDEX}: it is one {part[:60]} alone, a part of a pipeline."
            )
    return str(read_json(folder / INDEX).get("_class_name"))


def components(folder: Path) -> dict[str, tuple[str, str]]:
    """The parts that a pipeline is made of, as name: (library, class)."""
    index = read_json(folder / INDEX)
    return {
        name: (str(about[0]), str(about[1]))
        for name, about in index.items()
        if isinstance(about, list) and len(about) == 2 and about[0] and name not in NEVER_LOADED
    }


def config_of(folder: Path, part: str) -> dict[str, Any]:
    """A part's config.json; {} if it has none. Raises BrokenCheckpoint if it cannot be read."""
    path = folder / part / CONFIG
    return read_json(path) if path.exists() else {}


def scheduler_config(folder: Path) -> dict[str, Any]:
    """The configuration of a pipeline's scheduler; raises BrokenCheckpoint."""
    return read_json(folder / "scheduler" / "scheduler_config.json")


# --- weights --------------------------------------------------------------------------------


def check_parts(folder: Path) -> None:
    """Raise BrokenCheckpoint unless there is a folder for every part."""
    for name in components(folder):
        if not (folder / name).is_dir():
            raise BrokenCheckpoint(f"it has no {name} folder.")


def check_folder(folder: Path) -> None:
    """Raise BrokenCheckpoint unless every part is there and its weights open."""
    check_parts(folder)
    for name, (library, _) in components(folder).items():
        part = folder / name
        if has_weights(library, part):
            for files in {tuple(chosen_files(part, half)) for half in (True, False)}:
                check_weights(files, None)
            check_shards(part)
        if name == "scheduler":
            scheduler_config(folder)


def check_shards(part: Path) -> None:
    """Raise BrokenCheckpoint if some, but not all, of the files that an index names are there."""
    for index in part.glob("*.safetensors.index*.json"):
        places = read_json(index).get("weight_map")
        if not isinstance(places, dict) or not all(isinstance(p, str) for p in places.values()):
            raise BrokenCheckpoint(f"its {part.name}/{index.name} does not say which files it has.")
        shards = sorted(set(places.values()))
        missing = [shard for shard in shards if not (part / shard).is_file()]
        if missing and len(missing) < len(shards):
            raise BrokenCheckpoint(f"its {part.name} folder has no {missing[0]}.")


def has_weights(library: str, part: Path) -> bool:
    """Whether a part is a network; a tokenizer, a scheduler and a processor are none."""
    if library not in MODELS:
        return False
    if not (part / CONFIG).is_file() and any(part.glob("*.safetensors")):
        raise BrokenCheckpoint(f"its {part.name} folder has no {CONFIG}.")
    return (part / CONFIG).is_file()


def weight_files(part: Path) -> list[Path]:
    """The safetensors files of a part, shards included; raises BrokenCheckpoint if it has none."""
    files = sorted(part.glob("*.safetensors"))
    if not files:
        raise BrokenCheckpoint(f"its {part.name} folder has no safetensors file.")
    return files


def chosen_files(part: Path, half: bool) -> list[Path]:
    """The safetensors files that are loaded of a part: those in fp16 or the full ones, if it has
    both."""
    files = [path for path in weight_files(part) if "non_ema" not in path.name]
    fp16 = [path for path in files if ".fp16" in path.name]
    full = [path for path in files if ".fp16" not in path.name]
    return (fp16 or full) if half else (full or fp16)


def shapes_of_part(part: Path, half: bool) -> Shapes:
    """Name and shape of the tensors that are loaded of a part, under their newer names."""
    found: Shapes = {}
    for file in chosen_files(part, half):
        found |= tensor_shapes(file)
    for old, new in OLD_NAMES.items():
        found = {name.replace(f".{old}.", f".{new}."): shape for name, shape in found.items()}
    return found


def count_parameters(path: Path) -> int:
    """How many numbers the weights of a folder or a file are; raises BrokenCheckpoint."""
    if path.is_file():
        found = tensor_shapes(path).items()
        return sum(math.prod(s) for name, s in found if not name.startswith("model_ema."))
    parts = [
        path / name
        for name, (library, _) in components(path).items()
        if has_weights(library, path / name)
    ]
    return sum(headers.count_parameters(chosen_files(part, half=False)) for part in parts)


def picture_size(folder: Path) -> int | None:
    """Pixels of a picture's side, where a pipeline's configuration says so."""
    blocks = config_of(folder, "vae").get("block_out_channels")
    for name in ("unet", "transformer"):
        side = config_of(folder, name).get("sample_size")
        if isinstance(side, int) and side > 0 and isinstance(blocks, list) and blocks:
            return side * 2 ** (len(blocks) - 1)
    return None


# --- loading --------------------------------------------------------------------------------


def open_pipeline(path: Path, card: Mapping[str, Any], dtype: Any) -> Any:
    """The pipeline with its weights, on the CPU; asks no network.

    Args:
        path: its folder, or its one file.
        card: of a file, names the folder of its configuration.
        dtype: the torch number format of its weights.

    Raises:
        BrokenCheckpoint: a part is missing, does not fit its configuration, or diffusers says no.
    """
    import diffusers
    import torch

    folder = configuration(path, card)
    name = class_name(folder)
    found = getattr(diffusers, name, None)
    if not isinstance(found, type) or not issubclass(found, diffusers.DiffusionPipeline):
        raise BrokenCheckpoint(f"its {INDEX} names {name}, which diffusers does not have.")
    network: Any = found
    index = read_json(folder / INDEX)
    offline: dict[str, Any] = {"dtype": dtype, "local_files_only": True}
    offline |= {part: None for part, about in index.items() if about == [None, None]}
    if "safety_checker" in index:
        offline |= {"safety_checker": None, "requires_safety_checker": False}
    if path.is_file():
        tensor_shapes(path)  # says more plainly than diffusers if it was cut short
        return _open(name, network.from_single_file, str(path), config=str(folder), **offline)
    check_folder(folder)
    half = dtype != torch.float32 or not _has_full_weights(folder)
    for part, (library, kind) in components(folder).items():
        if library == "diffusers" and kind in FITTING:
            check_fit(getattr(diffusers, kind), folder / part, half)
    variant = "fp16" if half and any(folder.glob("*/*.fp16*.safetensors")) else None
    return _open(
        name, network.from_pretrained, folder, use_safetensors=True, variant=variant, **offline
    )


def check_fit(network: Any, part: Path, half: bool) -> None:
    """Raise BrokenCheckpoint unless a part's files hold every weight that its config.json wants.

    Older files have other names for the VAE's attention, which diffusers translates as well.
    """
    import torch

    config = read_json(part / CONFIG)
    try:
        with torch.device("meta"):
            wanted = network(**network.extract_init_dict(config)[0]).state_dict()
    except Exception as error:
        raise BrokenCheckpoint(f"its {part.name}/{CONFIG} describes no {part.name}.") from error
    expect(shapes_of_part(part, half), {key: list(t.shape) for key, t in wanted.items()})


def expect(found: Mapping[str, Sequence[int]], wanted: Mapping[str, Sequence[int]]) -> None:
    """Raise BrokenCheckpoint unless all that is wanted was found; there may be more."""
    for key, shape in wanted.items():
        if found.get(key) != shape:
            raise BrokenCheckpoint(
                f"its weights do not fit its {CONFIG}: {key} is {found.get(key, 'missing')}, "
                f"but should be {shape}."
            )


def _open(name: str, opener: Any, *where: Any, **how: Any) -> Any:
    try:
        with ONE_AT_A_TIME:
            return opener(*where, **how)
    except Exception as error:
        raise BrokenCheckpoint(f"diffusers cannot open it as a {name}.") from error


def _has_full_weights(folder: Path) -> bool:
    """Whether every part has weights that are not the fp16 ones."""
    parts = {path.parent for path in folder.glob("*/*.safetensors")}
    return all(any(".fp16" not in p.name for p in part.glob("*.safetensors")) for part in parts)
