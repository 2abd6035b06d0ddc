"""Builds Toybox's CLIPTokenizer: byte-pair merges in which every word of the world is one token."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import CLIPTokenizer

from genlab.toybox.world import World

MAX_LENGTH = 24
"""Tokens of a prompt, start and end included; the longest caption needs 22."""

_SPECIAL = ["<|startoftext|>", "<|endoftext|>"]
_SUFFIX = "</w>"


def kept_tokenizer(world: World, folder: Path) -> CLIPTokenizer:
    """The tokenizer in `folder`, built and saved there the first time.

    Pairs that are equally frequent are merged in an order that differs from run to run, and with it
    the ids; a resumed run must go on with the ids that its text encoder has learnt.
    """
    if not folder.is_dir():
        build_tokenizer(world).save_pretrained(folder)
    return CLIPTokenizer.from_pretrained(folder)


def build_tokenizer(world: World) -> CLIPTokenizer:
    """A stock CLIPTokenizer over a few hundred tokens; unknown words fall apart into characters."""
    names = [
        *world.colours,
        *world.backgrounds,
        *world.nouns,
        *world.places,
        *world.sizes,
        *world.synonyms,
        *world.fillers,
    ]
    words = sorted({word for name in names for word in re.findall(r"[a-z]+", name)})
    # CLIP's vocabulary starts with every byte, alone and as the end of a word.
    alphabet = sorted(ByteLevel.alphabet())
    bpe = Tokenizer(BPE(end_of_word_suffix=_SUFFIX))
    trainer = BpeTrainer(
        vocab_size=10_000,  # never reached: merging ends when every word is one token
        min_frequency=1,
        end_of_word_suffix=_SUFFIX,
        show_progress=False,
    )
    # Each word comes in its own line; a Tokenizer without a pre-tokenizer takes a line as one word.
    bpe.train_from_iterator(words, trainer)
    merges = [tuple(pair) for pair in json.loads(bpe.to_str())["model"]["merges"]]
    tokens = [*alphabet, *(byte + _SUFFIX for byte in alphabet), *("".join(m) for m in merges)]
    vocab = {token: number for number, token in enumerate(dict.fromkeys([*tokens, *_SPECIAL]))}
    with tempfile.TemporaryDirectory() as folder:
        vocab_file, merges_file = Path(folder, "vocab.json"), Path(folder, "merges.txt")
        vocab_file.write_text(json.dumps(vocab), encoding="utf-8")
        lines = ["#version: 0.2", *(" ".join(merge) for merge in merges)]
        merges_file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return CLIPTokenizer(
            str(vocab_file),
            str(merges_file),
            model_max_length=MAX_LENGTH,
            pad_token="<|endoftext|>",
        )
