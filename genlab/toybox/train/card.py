"""The model cards of Toybox and of its judge."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from genlab.formats.model_card import read_card

TOYBOX_TEXT = """\
# Toybox

A complete small Stable Diffusion that comes with GenLab: `AutoencoderKL`, `UNet2DConditionModel`,
`CLIPTextModel`, `CLIPTokenizer` and a scheduler, in the stock layout. It works offline, and a
machine can check whether its pictures obey their prompts.

```python
from diffusers import StableDiffusionPipeline

pipeline = StableDiffusionPipeline.from_pretrained("checkpoints/stable-diffusion-toybox")
pipeline("a red 7 on a blue background", num_inference_steps=25, guidance_scale=4).images[0]
```

## Its world

64x64 pictures of one or two objects on a flat background: the ten digits of MNIST and the ten
garments of Fashion-MNIST, in nine colours, on eight backgrounds, small or large, left of, right of,
above or below each other. `world.json` lists every word. What a prompt leaves out is free.

- `a red 7 on a blue background`
- `a pink dress on black`
- `a large yellow bag on a purple background`
- `a green sneaker left of a white 3 on a red background`

Six pairs of colour and noun ("pink 4", "cyan bag", ...; `held_out` in `world.json`) were never
shown in training: what it draws for them, it had to put together.

## How it was trained

`python -m genlab train stable-diffusion-toybox`; the loops are in `genlab/toybox/train/`. A stage
that stands here twice went on from the weights before it (`--start-from`).

{parts}

1. **Autoencoder**: 64x64x3 to 16x16x4 and back; L1 + MSE, pixels on and near an object four times
   as heavy as the background's, differences of neighbours, and a little KL. Mean 0 and variance 1
   of each latent channel are folded into the convolutions beside the latents.
2. **CLIP**: the text tower first learns from captions alone what stands where (reading); then it
   and an image tower learn together which caption fits which picture, beside helper heads that name
   nouns, colours and background from either tower's embedding. The heads are not kept; the image
   tower is, in `clip/`, for the CLIP score. Then the text tower is frozen.
3. **UNet**: v-prediction, timesteps drawn in proportion to t, because at the noisy end the text
   decides, but for {sharp:.0%} of them from the first quarter, where edges are settled;
   {dropout:.0%} of the captions empty, moving average of the weights. The text is attended to, and
   its pooled summary also joins the time embedding. Of each garment it sees the {clear:.0%} that
   `fashion-classifier` is surest of, and shirts, pullovers and coats more often than others.
4. **Decoder**: the autoencoder's, twice as wide where pixels are many, goes on against a
   discriminator of patches, as Stable Diffusion's does, on latents of the encoder and on softer
   ones that the UNet drew; the encoder stays, so every latent does.

## Measured

The figures at the top of this file come from
`python -m genlab evaluate stable-diffusion-toybox --write-card`, at the steps, scale and scheduler
named there: the best of a sweep over prompts of their own.

![Pictures as asked against guidance_scale and scheduler](sweep.png)

DDIM and Euler draw alike, and so do DDPM and Euler ancestral: their lines lie on each other.

`adherence_`: the share of pictures of one object in which `toybox-judge` sees what was
asked for; `two_`: two objects, all attributes and places right; `held_out_`: pairs of colour and
noun never seen in training, of six easy nouns. The same names with `real_` before them are the
judge's figures on composites of held-out digits and garments for the same scenes: the most that can
be expected. `clip_score` is the mean cosine of prompt and picture in the CLIP above.
`diversity_ratio` within one prompt and `sharpness_ratio` are against such composites.
`fid`, in the judge's features, is against them too; `fid_floor` is that of real training composites
and `fid_reconstruction` of training composites that went through the autoencoder.

![Its first pictures of one and of two objects](samples.png)

Two rows of one object, in the order of `world.json`'s nouns, and two of two, as measured.

![Composites of held-out pictures, and below them after the autoencoder](reconstructions.png)

## What it does badly

Of two objects it is the class of one that fails, more than a colour or a place. Shirts often come
out as pullovers or coats; sandals come in pieces; fine texture is lost. From a guidance_scale of
7.5 on the background gets stains.
"""

TURBO_TEXT = """\
# Toybox Turbo

Toybox, distilled to draw in one to four steps: a latent consistency model (Luo et al. 2023,
arXiv:2310.04378) in the stock layout, with the LCM scheduler.

```python
from diffusers import StableDiffusionPipeline

folder = "checkpoints/stable-diffusion-toybox-turbo"
pipeline = StableDiffusionPipeline.from_pretrained(folder)
pipeline("a red 7 on a blue background", num_inference_steps=2, guidance_scale=1).images[0]
```

## In class

Put it beside Toybox at 1, 2, 4 and 25 steps. What does distillation buy, and what does it cost in
diversity? Its guidance was learnt from the teacher at a scale of {scale:g}: the slider is off.

## How it was trained

`python -m genlab train stable-diffusion-toybox-turbo`: {part.steps:,} steps of {part.batch} latents
in {part.minutes} minutes on {part.hardware}. The loop is `genlab/toybox/train/turbo.py`; the
teacher is `stable-diffusion-toybox`, {solver} steps of DDIM. All parts but the UNet are Toybox's.

![Loss against step](loss.png)

## Measured

The figures at the top of this file come from
`python -m genlab evaluate stable-diffusion-toybox-turbo --write-card`; Toybox's card says what
they are.

![Its first pictures of one and of two objects, in four steps](samples.png)
"""

JUDGE_TEXT = """\
# Toybox's judge

A small convolutional network that reads noun, colour and background off a 64x64 picture of one
object, and off the window round each object of a picture of two. It measures whether Toybox obeys
its prompts; they share neither weights nor latents.

## How it was trained

`genlab/toybox/judge/train.py`, on {hardware}: {stages} of 128 composites of the training halves of
MNIST and Fashion-MNIST, half of them whole pictures, half windows of pictures of two; half of
the batches slightly blurred and noisy, as decoded latents are. Every colour came with every noun,
also the pairs that Toybox itself never sees, or it would blame them on the model.

## Measured

The figures at the top of this file are on composites of the held-out test halves, small and large
ones included; `two_` figures are on pictures of two objects, all attributes of both. Shirts,
T-shirts, pullovers and coats look alike at this size, to people too: that is where its errors are.
"""


@dataclass(frozen=True)
class Part:
    """One stretch of training: a stage, its steps, pictures a step, minutes and hardware."""

    stage: str
    steps: int
    batch: int
    minutes: int
    hardware: str


def earlier_parts(folder: Path, runs: Path) -> list[Part]:
    """What made the weights that a run starts from, as their card had it when the run began.

    Args:
        folder: the checkpoint the run starts from; the run may be writing into it by now.
        runs: where the run is kept; the parts are noted there the first time.
    """
    note = runs / "earlier.json"
    if not note.is_file():
        stated = read_card(folder)[0].get("genlab", {}).get("parts") or []
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps(stated), encoding="utf-8")
    return [Part(**part) for part in json.loads(note.read_text(encoding="utf-8"))]


def write_toybox_card(
    folder: Path, parts: Sequence[Part], dropout: float, clear: float, sharp: float
) -> None:
    """Write Toybox's card; figures that an old card holds stay.

    Args:
        folder: the checkpoint.
        parts: how the weights were trained, in order.
        dropout: share of empty captions.
        clear: share of each garment's pictures that the UNet learns from.
        sharp: share of its timesteps at which edges are settled.
    """
    rows = ["| stage | steps | pictures a step | minutes | on |", "|---|---|---|---|---|"]
    rows += [f"| {p.stage} | {p.steps:,} | {p.batch} | {p.minutes} | {p.hardware} |" for p in parts]
    text = TOYBOX_TEXT.format(parts="\n".join(rows), dropout=dropout, clear=clear, sharp=sharp)
    tags = {"library_name": "diffusers", "pipeline_tag": "text-to-image"}
    extra = {"parts": [asdict(part) for part in parts]}
    _write(folder, tags, "stable_diffusion", "Toybox", text, extra=extra)


def write_turbo_card(folder: Path, part: Part, scale: float, solver: int) -> None:
    """Write Toybox Turbo's card; figures that an old card holds stay.

    Args:
        folder: the checkpoint.
        part: how it was distilled.
        scale: of guidance, the teacher's.
        solver: steps of the teacher from noise to picture.
    """
    text = TURBO_TEXT.format(part=part, scale=scale, solver=solver)
    tags = {"library_name": "diffusers", "pipeline_tag": "text-to-image"}
    extra = {
        "distilled": f"It was distilled at guidance_scale {scale:g}, so guidance_scale stays off.",
        "defaults": {"num_inference_steps": 4, "guidance_scale": 1.0, "scheduler": "lcm"},
        "parts": [asdict(part)],
    }
    _write(folder, tags, "stable_diffusion", "Toybox Turbo", text, extra=extra)


def write_judge_card(
    folder: Path, steps: int, seconds: float, hardware: str, metrics: dict[str, Any]
) -> None:
    """Write the judge's card with its figures on held-out composites."""
    stages = f"{steps:,} steps, {seconds / 60:.0f} minutes,"
    text = JUDGE_TEXT.format(hardware=hardware, stages=stages)
    tags = {"library_name": "genlab", "pipeline_tag": "image-classification"}
    _write(folder, tags, "judge", "Toybox's judge", text, metrics)


def _write(
    folder: Path,
    tags: dict[str, str],
    family: str,
    title: str,
    text: str,
    metrics: dict[str, Any] | None = None,
    extra: dict[str, Any] | None = None,
) -> None:
    if metrics is None:
        old = read_card(folder)[0].get("genlab", {}) if (folder / "README.md").is_file() else {}
        metrics = old.get("metrics") or {}
    about = {"family": family, "title": title, "dataset": "toybox", "metrics": metrics}
    about |= extra or {}
    front = yaml.safe_dump(
        {"license": "apache-2.0", **tags, "genlab": about},
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=None,
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(f"---\n{front}---\n\n{text.strip()}\n", encoding="utf-8")
