"""Measures Toybox: do its pictures follow their prompts, differ, and look like real composites?

Knows no driver: it is handed whatever takes requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from transformers import CLIPTextModel, CLIPTokenizer

from genlab.engine.tensors import to_tensor, to_uint8
from genlab.evaluation import metrics
from genlab.evaluation.sampling import JudgeFinder, SampleClient
from genlab.formats.hub_layout import load_hub_module
from genlab.formats.metadata import ModelMetadata
from genlab.images import contact_sheet
from genlab.requests import UserError
from genlab.toybox.checkable_prompts import checkable_scenes, prompt_for, shares
from genlab.toybox.clip_network import ToyboxClip
from genlab.toybox.evaluate.pictures import compose, draw_scenes, read_pictures
from genlab.toybox.evaluate.sweep import best_of, try_settings
from genlab.toybox.train.clip import tokenize
from genlab.toybox.train.common import CLIP, make_composer
from genlab.toybox.world import World

PROMPTS = 2_000
SHARE = 5  # one prompt of two objects and one of a held-out pair for so many of one object
IN_ROW = 10  # pictures of a contact sheet
SWEEP_PROMPTS = 50  # at most, of each kind, for each scheduler and scale that is tried
SAME_PROMPT = 16  # pictures of one prompt, whose differences are its diversity


def evaluate(
    client: SampleClient,
    metadata: ModelMetadata,
    registry: JudgeFinder,
    data: Path | None = None,
    samples: int | None = None,
    pictures: Path | None = None,
) -> dict[str, Any]:
    """Measure a Stable Diffusion checkpoint whose world has a judge.

    Args:
        client: where the checkpoint and its judge are served.
        metadata: of the checkpoint; drawn from at its default number of steps and at the scheduler
            and scale that follow prompts best in a sweep of `try_settings`; a distilled one at its
            defaults.
        registry: knows its judge.
        data: torchvision root, for composites of held-out digits and garments.
        samples: number of prompts of one object; None for `PROMPTS`. A fifth as many ask for two
            objects, and for pairs held out of training.
        pictures: a folder for `samples.png`, the first pictures measured, and
            `reconstructions.png`, composites above what the autoencoder makes of them.

    Returns:
        The settings measured at, and under ``sweep`` what found them, if anything. Then shares of
        pictures as asked: `adherence_*` for one object, `two_*` for two, `held_out_*`
        for pairs never trained on, and with `real_` before them the judge's shares on composites
        of held-out pictures for the same scenes, which bound them. If the checkpoint has a CLIP,
        `clip_score` and that of the composites, `real_clip_score`. Then `diversity_ratio` within
        one prompt and `sharpness_ratio`, against composites; and in the judge's features `fid`
        against composites, `fid_floor`, of train against held-out composites, and
        `fid_reconstruction`, of train composites that went through the autoencoder.

    Raises:
        UserError: if nothing can judge its prompts, or the data is missing.
    """
    count, judge = samples or PROMPTS, registry.judge(metadata.dataset)
    if judge is None or not (metadata.path / "world.json").is_file():
        raise UserError(f"{metadata.name} cannot be measured: only Toybox's prompts have a judge.")
    world = World.load(metadata.path)
    held, trained = (make_composer(world, data, half, "cpu") for half in (False, True))
    figures: dict[str, Any] = {"samples": count}
    if metadata.distilled is None:
        prompts_each = min(SWEEP_PROMPTS, max(2, count // 4))
        figures["sweep"] = try_settings(client, metadata, world, judge.name, prompts_each)
        best = best_of(figures["sweep"])
    else:
        best = dict(metadata.defaults)
    figures |= best
    few = max(2, count // SHARE)
    one = checkable_scenes(world, count)
    kinds = {
        "adherence": one,
        "two": checkable_scenes(world, few, objects=2),
        "held_out": checkable_scenes(world, few, held_out=True),
    }
    drawn, features = {}, {}
    for kind, scenes in kinds.items():
        drawn[kind] = draw_scenes(client, metadata.name, scenes, **best)
        seen, features[kind] = read_pictures(client, judge.name, drawn[kind], scenes)
        real = compose(held, scenes)
        drawn[f"real_{kind}"] = real
        bound, features[f"real_{kind}"] = read_pictures(client, judge.name, real, scenes)
        figures |= {f"{kind}_{name}": share for name, share in shares(scenes, seen).items()}
        figures |= {f"real_{kind}_{name}": share for name, share in shares(scenes, bound).items()}
    sharp, real_sharp = (metrics.sharpness(drawn[kind]) for kind in ("adherence", "real_adherence"))
    if (metadata.path / CLIP).is_dir():
        prompts = [prompt_for(scene) for scene in one]
        for prefix in ("", "real_"):
            shown = drawn[f"{prefix}adherence"]
            figures[f"{prefix}clip_score"] = clip_score(metadata.path, prompts, shown)
    figures |= {"sharpness": sharp, "sharpness_ratio": sharp / real_sharp}

    same = [scene for scene in one[: min(count, 20)] for _ in range(SAME_PROMPT)]
    both = (draw_scenes(client, metadata.name, same, **best), compose(held, same, seed=1))
    within, real_within = (
        diversity_within(read_pictures(client, judge.name, each, same)[1]) for each in both
    )
    figures |= {"diversity": within, "diversity_ratio": within / real_within}

    train = compose(trained, one, seed=2)
    restored = reconstruct(metadata.path, train)
    real = features["real_adherence"]
    figures["fid"] = metrics.fid(real, features["adherence"])
    for name, shown in (("fid_floor", train), ("fid_reconstruction", restored)):
        figures[name] = metrics.fid(real, read_pictures(client, judge.name, shown, one)[1])
    if pictures is not None:
        write_sheets(pictures, metadata.path, drawn)
    return figures


def write_sheets(folder: Path, checkpoint: Path, drawn: Mapping[str, np.ndarray]) -> None:
    """Contact sheets of what was measured: `samples.png` and `reconstructions.png`.

    Args:
        folder: where they go.
        checkpoint: whose autoencoder restores composites.
        drawn: pictures of each kind, and composites of it as `real_<kind>`.
    """
    samples = [*drawn["adherence"][: 2 * IN_ROW], *drawn["two"][: 2 * IN_ROW]]
    rows: list[np.ndarray] = []
    for kind in ("real_adherence", "real_two"):
        before = drawn[kind][:IN_ROW]
        rows += [*before, *reconstruct(checkpoint, before)]
    for name, sheet in (("samples", samples), ("reconstructions", rows)):
        enlarged = [picture.repeat(2, axis=0).repeat(2, axis=1) for picture in sheet]
        contact_sheet(enlarged, IN_ROW).save(folder / f"{name}.png")


def diversity_within(features: np.ndarray) -> float:
    """Mean over prompts of the diversity of each prompt's pictures, rows in prompt's order."""
    parts = features.reshape(-1, SAME_PROMPT, features.shape[1])
    return float(np.mean([metrics.diversity(part) for part in parts]))


@torch.no_grad()
def clip_score(folder: Path, prompts: Sequence[str], pictures: np.ndarray) -> float:
    """Mean cosine, -1 to 1, of each prompt and its picture in the checkpoint's CLIP.

    Source: Hessel et al., "CLIPScore: A Reference-free Evaluation Metric for Image Captioning",
    2021 (arXiv:2104.08718), without its factor 2.5.

    Args:
        folder: the checkpoint.
        prompts: N of them.
        pictures: uint8 (N, 64, 64, 3).
    """
    text_encoder = CLIPTextModel.from_pretrained(folder, subfolder="text_encoder").eval()
    tokenizer = CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer")
    towers = load_hub_module(ToyboxClip, folder / CLIP)
    assert isinstance(towers, ToyboxClip)
    pooled = text_encoder(tokenize(tokenizer, list(prompts), "cpu")).pooler_output
    texts, images = towers.encode_text(pooled), towers.encode_image(to_tensor(pictures))
    return float(F.cosine_similarity(texts, images).mean())


@torch.no_grad()
def reconstruct(folder: Path, pictures: np.ndarray) -> np.ndarray:
    """Pictures after the pipeline's autoencoder, uint8 (N, 64, 64, 3)."""
    vae: Any = AutoencoderKL.from_pretrained(folder, subfolder="vae").float().eval()
    parts = [
        to_uint8(vae.decode(vae.encode(part).latent_dist.mean).sample)
        for part in to_tensor(pictures).split(50)
    ]
    return np.concatenate(parts)
