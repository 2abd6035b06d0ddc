"""Trains Toybox's small CLIP: a text and an image tower that agree on which caption fits a picture.

The text tower becomes the pipeline's text encoder, as in Stable Diffusion.
Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision",
2021 (arXiv:2103.00020).
"""

from __future__ import annotations

import random
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from genlab.toybox.clip_network import WIDTH, ToyboxClip
from genlab.toybox.composer import to_network
from genlab.toybox.train.common import make_composer, prepare_cpu
from genlab.toybox.world import Scene, World
from genlab.training.trainer import Trainer, warmup_cosine

BATCH = 96
STEPS = 700
READING_BATCH = 128
READING_STEPS = 3_000
LEARNING_RATE = 1e-3
TWO_OBJECTS = 0.5
FULL_CAPTIONS = 0.7
"""Share of captions that name every attribute, so that few other pictures of a batch fit them."""

IGNORE = -100
SLOTS: tuple[str | None, ...] = (None, "left of", "right of", "above", "below")
"""Where an object can be: alone in the middle, or on one side of another."""


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Three layers, 128 wide, four heads; 0.5 million parameters."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            projection_dim=WIDTH,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=tokenizer.model_max_length,
            hidden_act="quick_gelu",
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


class NamingHeads(nn.Module):
    """Helper heads that name what an embedding shows, whichever tower it is from; not kept.

    For each place they say which noun and which colour is there, and the background. They bring
    class information into the embeddings much sooner than telling captions apart does.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        self.nouns = nn.Linear(WIDTH, len(SLOTS) * (len(world.nouns) + 1))
        self.colours = nn.Linear(WIDTH, len(SLOTS) * (len(world.colours) + 1))
        self.background = nn.Linear(WIDTH, len(world.backgrounds))

    def loss(self, embeddings: Tensor, targets: Targets) -> Tensor:
        """How badly they name nouns, colours, background; what is left open doesn't count."""
        nouns = self.nouns(embeddings).unflatten(1, (len(SLOTS), -1)).flatten(0, 1)
        colours = self.colours(embeddings).unflatten(1, (len(SLOTS), -1)).flatten(0, 1)
        return (
            F.cross_entropy(nouns, targets.nouns.flatten(), ignore_index=IGNORE)
            + F.cross_entropy(colours, targets.colours.flatten(), ignore_index=IGNORE)
            + F.cross_entropy(self.background(embeddings), targets.background)
        )


class Targets:
    """What the heads should say; the number after the last noun or colour means "nothing".

    Attributes:
        nouns: (B, slots) int64, IGNORE where the caption leaves it open.
        colours: (B, slots) int64, likewise.
        background: (B,) int64, likewise.
    """

    def __init__(self, scenes: list[Scene], world: World, device: str) -> None:
        noun_ids = {name: number for number, name in enumerate(world.nouns)}
        colour_ids = {name: number for number, name in enumerate(world.colours)}
        background_ids = {name: number for number, name in enumerate(world.backgrounds)}
        nouns, colours, backgrounds = [], [], []
        for scene in scenes:
            placed = len(scene.objects) == 1 or scene.objects[0].place is not None
            noun_row = [len(noun_ids) if placed else IGNORE] * len(SLOTS)
            colour_row = [len(colour_ids) if placed else IGNORE] * len(SLOTS)
            for item in scene.objects if placed else ():
                slot = SLOTS.index(item.place)
                noun_row[slot] = noun_ids[item.noun]
                colour_row[slot] = colour_ids[item.colour] if item.colour else IGNORE
            nouns.append(noun_row)
            colours.append(colour_row)
            backgrounds.append(background_ids[scene.background] if scene.background else IGNORE)
        self.nouns = torch.tensor(nouns, device=device)
        self.colours = torch.tensor(colours, device=device)
        self.background = torch.tensor(backgrounds, device=device)


def tokenize(tokenizer: CLIPTokenizer, captions: list[str], device: str | torch.device) -> Tensor:
    """Token ids (B, model_max_length), padded as StableDiffusionPipeline pads."""
    batch = tokenizer(
        captions,
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    return batch.input_ids.to(device)


def begin(
    modules: dict[str, nn.Module], folder: Path, steps: int
) -> tuple[list[nn.Parameter], AdamW, LambdaLR, Trainer]:
    """What both loops start with: all parameters, their optimizer and its rate, and the trainer."""
    trained = [p for part in modules.values() for p in part.parameters()]
    optimizer = AdamW(trained, lr=LEARNING_RATE, weight_decay=0.02)
    schedule = warmup_cosine(optimizer, steps)
    trainer = Trainer(folder, steps, modules, {"adamw": optimizer}, {"lr": schedule})
    return trained, optimizer, schedule, trainer


def learn_to_read(
    text_encoder: CLIPTextModel,
    clip: ToyboxClip,
    heads: NamingHeads,
    world: World,
    device: str,
    folder: Path,
    tokenizer: CLIPTokenizer,
) -> None:
    """Train (or go on training) the text tower alone to name what a caption puts where, in place.

    Of two objects, pictures teach slowly which noun has which colour and place, and a UNet can't
    draw what the text doesn't tell it. Captions alone teach it, and cost a tenth of a picture.

    Args:
        text_encoder, clip, heads: what is trained; of `clip` only the text's projection.
        world: what captions say.
        device: a torch device.
        folder: where the run is kept and resumed from.
        tokenizer: turns captions into ids.
    """
    modules = {"text_encoder": text_encoder, "clip": clip, "heads": heads}
    trained, optimizer, schedule, trainer = begin(modules, folder, READING_STEPS)
    text_encoder.train()
    for step in trainer.steps():
        # 1. data to device: captions and what each says
        rng = random.Random(step)
        scenes = [world.sample_scene(rng, TWO_OBJECTS) for _ in range(READING_BATCH)]
        captions, described = describe(world, scenes, rng)
        targets = Targets(described, world, device)
        # 2. forget the last gradients
        optimizer.zero_grad(set_to_none=True)
        # 3. forward
        pooled = text_encoder(tokenize(tokenizer, captions, device)).pooler_output
        text = clip.encode_text(pooled)  # (B, 128)
        # 4. loss
        loss = heads.loss(text, targets)
        # 5. backward
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        # 6. step
        optimizer.step()
        schedule.step()
        trainer.log(naming=loss)
    trainer.write_loss_curve(folder / "loss.png")


def describe(
    world: World, scenes: list[Scene], rng: random.Random
) -> tuple[list[str], list[Scene]]:
    """A caption for each scene, and what it says: a scene without what the caption leaves out."""
    captions = [world.caption(s, rng, full=rng.random() < FULL_CAPTIONS) for s in scenes]
    described = [world.parse(text) or scene for text, scene in zip(captions, scenes, strict=True)]
    return captions, described


def train_clip(
    world: World,
    data: Path | None,
    device: str,
    folder: Path,
    tokenizer: CLIPTokenizer,
) -> tuple[CLIPTextModel, ToyboxClip]:
    """Train (or go on training) both towers: first the text's by reading, then both together.

    Args:
        world: what the pictures show and how they are said.
        data: torchvision root with MNIST and Fashion-MNIST.
        device: a torch device.
        folder: where the run is kept and resumed from; that of reading is `reading` beside it.
        tokenizer: turns captions into ids.
    """
    prepare_cpu()
    torch.manual_seed(1)
    composer = make_composer(world, data, train=True, device=device)
    text_encoder = build_text_encoder(tokenizer).to(device)
    clip, heads = ToyboxClip().to(device), NamingHeads(world).to(device)
    reading = folder.with_name("reading")
    learn_to_read(text_encoder, clip, heads, world, device, reading, tokenizer)
    modules = {"text_encoder": text_encoder, "clip": clip, "heads": heads}
    trained, optimizer, schedule, trainer = begin(modules, folder, STEPS)
    text_encoder.train()
    clip.train()
    same = torch.arange(BATCH, device=device)
    for step in trainer.steps():
        # 1. data to device: pictures, captions, and what each of the two says
        rng = random.Random(step)
        scenes = [world.sample_scene(rng, TWO_OBJECTS) for _ in range(BATCH)]
        images = to_network(composer.compose(scenes, rng))  # (B, 3, 64, 64)
        captions, described = describe(world, scenes, rng)
        image_targets = Targets(scenes, world, device)
        text_targets = Targets(described, world, device)
        # 2. forget the last gradients
        optimizer.zero_grad(set_to_none=True)
        # 3. forward
        pooled = text_encoder(tokenize(tokenizer, captions, device)).pooler_output
        text = clip.encode_text(pooled)  # (B, 128)
        image = clip.encode_image(images)  # (B, 128)
        logits = clip.logits(text, image)  # (B, B)
        # 4. loss: each caption finds its picture and each picture its caption; the heads name both
        contrastive = (F.cross_entropy(logits, same) + F.cross_entropy(logits.T, same)) / 2
        naming = heads.loss(text, text_targets) + heads.loss(image, image_targets)
        loss = contrastive + 0.5 * naming
        # 5. backward
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        # 6. step
        optimizer.step()
        schedule.step()
        matched = (logits.argmax(dim=1) == same).float().mean()
        trainer.log(contrastive=contrastive, naming=naming, matched=matched)
    trainer.write_loss_curve(folder / "loss.png")
    return text_encoder.eval(), clip.eval()
