"""Trains Toybox, the small Stable Diffusion, in stages; each resumes where it stopped.

Knows the loop of each stage and no page, no engine.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    LCMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextModel, CLIPTokenizer

from genlab.requests import UserError
from genlab.toybox.clip_network import ToyboxClip
from genlab.toybox.judge import train as judge
from genlab.toybox.train import autoencoder, clip, decoder, turbo, unet
from genlab.toybox.train.card import Part, earlier_parts, write_toybox_card, write_turbo_card
from genlab.toybox.train.common import CHECKPOINT, CLIP, MAX_SHARD, TURBO, publish, time_spent
from genlab.toybox.train.tokenizer import kept_tokenizer
from genlab.toybox.world import World
from genlab.training.config import StagedTraining
from genlab.training.hardware import hardware

STAGES = ("autoencoder", "clip", "unet", "decoder", "judge")
FROM_WEIGHTS = ("unet", "decoder")
"""Stages that can go on from a finished Toybox; each leaves all other parts as they are."""
BATCHES = {
    "autoencoder": autoencoder.BATCH,
    "reading": clip.READING_BATCH,
    "clip": clip.BATCH,
    "unet": unet.BATCH,
    "decoder": decoder.BATCH,
}

TURBO_STAGES = ("distillation",)
TOYBOX_PARTS = ("model_index.json", f"{CLIP}/config.json")
"""Files that a folder must hold to be gone on from."""

RUNS = Path("runs") / CHECKPOINT.name
TURBO_RUNS = RUNS.with_name(TURBO.name)


def train(
    data: Path | None,
    device: str = "cpu",
    out: Path = CHECKPOINT,
    stage: str | None = None,
    runs: Path = RUNS,
    start_from: Path | None = None,
    unet_steps: int | None = None,
) -> None:
    """Run the stages in order, from autoencoder to judge; finished ones cost nothing.

    Args:
        data: torchvision root with MNIST and Fashion-MNIST.
        device: a torch device, such as "cpu" or "cuda".
        out: the pipeline's checkpoint folder; the judge goes to `toybox-judge` beside it.
        stage: only this one (the stages before it are resumed first); None: all.
        runs: where the unfinished state of each stage is kept.
        start_from: a trained Toybox whose UNet goes on training, or with that stage its decoder,
            while its other parts are kept; None: begin at random weights.
        unet_steps: length of the UNet's training; None for its own.

    Raises:
        UserError: there is no such stage, or none that goes on from a trained Toybox.
    """
    stages = STAGES if start_from is None else FROM_WEIGHTS
    if stage is not None and stage not in stages:
        goes_on = " that goes on from a trained Toybox" if start_from is not None else ""
        raise UserError(f"There is no stage '{stage}'{goes_on}; there are {', '.join(stages)}.")
    out = Path(out)
    world_file = out / "world.json"
    if not world_file.exists():
        world_file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKPOINT / "world.json", world_file)
    world = World.load(world_file)
    if stage == "judge":
        judge.train_judge(world, data, device, runs / "judge", out.with_name("toybox-judge"))
        return
    start, parts = None, []
    if start_from is not None:
        vae, text_encoder, tokenizer, start = _trained(start_from)
        towers = ToyboxClip.from_pretrained(start_from / CLIP)
        parts = earlier_parts(start_from, runs)
    else:
        vae = autoencoder.train_autoencoder(world, data, device, runs / "autoencoder")
        if stage == "autoencoder":
            return
        tokenizer = kept_tokenizer(world, runs / "tokenizer")
        text_encoder, towers = clip.train_clip(world, data, device, runs / "clip", tokenizer)
        if stage == "clip":
            return

    def write(network: UNet2DConditionModel) -> None:
        scheduler = unet.build_scheduler()
        pipeline = _pipeline(vae, text_encoder, tokenizer, network, scheduler)

        def save(folder: Path) -> None:
            pipeline.save_pretrained(folder, safe_serialization=True, max_shard_size=MAX_SHARD)
            towers.save_pretrained(folder / CLIP)
            (folder / CLIP / "README.md").unlink()  # an empty model card; ours is above

        publish(save, out)
        now = [
            Part(name, spent[0], batch, round(spent[1] / 60), hardware(device))
            for name, batch in BATCHES.items()
            if (spent := time_spent(runs / name))
        ]
        shares = (unet.CAPTION_DROPOUT, unet.CLEAR_GARMENTS, unet.LITTLE_NOISE)
        write_toybox_card(out, [*parts, *now], *shares)

    network = start
    if network is None or stage != "decoder":
        network = unet.train_unet(
            world,
            data,
            device,
            runs / "unet",
            vae,
            text_encoder,
            tokenizer,
            write,
            unet_steps,
            start,
        )
    if stage == "decoder" or (stage is None and start is None):
        pipeline = _pipeline(vae, text_encoder, tokenizer, network, unet.build_scheduler())
        drawn = decoder.drawn_latents(world, pipeline.to(device), runs / "decoder" / "drawn.pt")
        vae = decoder.train_decoder(world, data, device, runs / "decoder", vae, drawn)
        write(network)
    if stage is None:
        judge.train_judge(world, data, device, runs / "judge", out.with_name("toybox-judge"))


def train_turbo(
    data: Path | None,
    device: str = "cpu",
    out: Path = TURBO,
    stage: str | None = None,
    runs: Path = TURBO_RUNS,
    start_from: Path | None = None,
) -> None:
    """Distil Toybox into Toybox Turbo; its other parts are Toybox's own, the UNet is in fp16.

    Args:
        data: torchvision root with MNIST and Fashion-MNIST.
        device: a torch device.
        out: the checkpoint's folder.
        stage: there is but one.
        runs: where the unfinished state is kept.
        start_from: the teacher's folder; None: the Toybox that ships.
    """
    if stage not in (None, *TURBO_STAGES):
        raise UserError(f"There is no stage {stage!r}; there is {TURBO_STAGES[0]}.")
    taught_by = start_from or CHECKPOINT
    world = World.load(taught_by)
    vae, text_encoder, tokenizer, teacher = _trained(taught_by)
    student = turbo.distil(world, data, device, runs, vae, text_encoder, tokenizer, teacher)
    scheduler = turbo.build_turbo_scheduler()
    pipeline = _pipeline(vae, text_encoder, tokenizer, student.half(), scheduler)

    def save(folder: Path) -> None:
        pipeline.save_pretrained(folder, safe_serialization=True, max_shard_size=MAX_SHARD)
        shutil.copytree(taught_by / CLIP, folder / CLIP)
        for name in ("world.json", "preview.json"):
            shutil.copy(taught_by / name, folder / name)
        shutil.copy(runs / "loss.png", folder / "loss.png")

    publish(save, out)
    spent = time_spent(runs)
    assert spent is not None
    part = Part(TURBO_STAGES[0], spent[0], turbo.BATCH, round(spent[1] / 60), hardware(device))
    write_turbo_card(out, part, turbo.GUIDANCE_SCALE, turbo.SOLVER_STEPS)


def _pipeline(
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    network: UNet2DConditionModel,
    scheduler: DDIMScheduler | LCMScheduler,
) -> StableDiffusionPipeline:
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=network,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _trained(
    folder: Path,
) -> tuple[AutoencoderKL, CLIPTextModel, CLIPTokenizer, UNet2DConditionModel]:
    """The networks of a Toybox on disk, in fp32."""
    pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    for network in (pipeline.vae, pipeline.unet):
        network.register_to_config(_name_or_path="")  # where it lay is nobody's business
    return (
        pipeline.vae.float().eval(),
        pipeline.text_encoder.float().eval(),
        pipeline.tokenizer,
        pipeline.unet.float(),
    )


TRAINING: dict[str, StagedTraining] = {
    CHECKPOINT.name: StagedTraining(train, STAGES, TOYBOX_PARTS),
    TURBO.name: StagedTraining(train_turbo, TURBO_STAGES, TOYBOX_PARTS),
}
"""The checkpoints made here, by name; `toybox-judge` is the last stage of Toybox's."""
