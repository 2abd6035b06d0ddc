"""What a UNet is told about a prompt: the text encoders of Stable Diffusion 1.x, 2.x and XL.

Knows no job, no step and no guidance.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Any

import torch

from genlab.engine.device import Device
from genlab.engine.runner import parameter_bytes
from genlab.families.stable_diffusion.request import StableDiffusionRequest

Conditioning = dict[str, torch.Tensor]
"""The UNet's arguments beside latents and timesteps, by name; each has one row an image."""

REMEMBERED = 256
"""Texts whose embeddings are kept: a class repeats its prompts, and the empty one is everybody's.
Of XL in half precision that many take 80 MB."""


class TextConditioning:
    """Encodes prompts as the stock pipeline of the same layout does, each of them once.

    Stable Diffusion 1.x and 2.x take ``encoder_hidden_states`` (rows, length, width) from the last
    layer of one text encoder. XL takes them from the last but one layer of two, side by side, and
    with them ``text_embeds`` (rows, width), the second encoder's embedding of the whole text, and
    ``time_ids`` (rows, 6): the size of the training picture, its crop, the size wanted
    (Podell et al. 2023, arXiv:2307.01952, section 2.2).

    Args:
        pipeline: of diffusers, on the device.
        device: where its encoders run.
        pixels: of a picture's side.
    """

    def __init__(self, pipeline: Any, device: Device, pixels: int) -> None:
        pairs = [
            (
                getattr(pipeline, f"tokenizer{end}", None),
                getattr(pipeline, f"text_encoder{end}", None),
            )
            for end in ("", "_2")
        ]
        self.pairs: list[tuple[Any, Any]] = [(t, e.eval()) for t, e in pairs if e is not None]
        self.device = device
        self.pixels = pixels
        self.xl = hasattr(pipeline, "tokenizer_2")
        self.zeros_for_none = bool(pipeline.config.get("force_zeros_for_empty_prompt", False))
        self.time_ids = torch.tensor([[pixels, pixels, 0, 0, pixels, pixels]], dtype=device.dtype)
        self._rows: OrderedDict[Hashable, Conditioning] = OrderedDict()  # one row; the latest last

    @property
    def nbytes(self) -> int:
        """Memory that the encoders' weights take."""
        return parameter_bytes(*(encoder for _, encoder in self.pairs))

    def encode(
        self, requests: Sequence[StableDiffusionRequest], worn: Hashable = None
    ) -> list[Conditioning]:
        """The conditioning of each request: under guidance the negative prompt's rows first.

        ``worn`` names what was added to the encoders' weights: with another the same text counts
        as a new one.

        One call of each encoder for all texts that are new. A text that is too long is cut, as in
        diffusers. XL without a negative prompt gets zeros in its place, if the pipeline is
        configured so.
        """
        texts = {r.prompt: None for r in requests}
        texts |= {r.negative_prompt: None for r in requests if r.guided}
        rows = self._rows_of(list(texts), worn)
        conditionings = []
        for request in requests:
            parts = [rows[request.prompt]] * request.count
            if request.guided:
                negative = rows[request.negative_prompt]
                if self.xl and self.zeros_for_none and not request.negative_prompt:
                    negative = negative | {
                        name: torch.zeros_like(negative[name])
                        for name in ("encoder_hidden_states", "text_embeds")
                    }
                parts = [negative] * request.count + parts
            conditionings.append({name: torch.cat([p[name] for p in parts]) for name in parts[0]})
        return conditionings

    def _rows_of(self, texts: list[str], worn: Hashable) -> dict[str, Conditioning]:
        """The conditioning of each text, tensors of one row; at most REMEMBERED are kept."""
        kept = self._rows
        rows = {text: kept[worn, text] for text in texts if (worn, text) in kept}
        unseen = [text for text in texts if text not in rows]
        if unseen:
            encoded = self._encode(unseen)  # one row a text
            for k, text in enumerate(unseen):
                rows[text] = {name: tensor[k : k + 1].clone() for name, tensor in encoded.items()}
        for text in texts:
            kept[worn, text] = rows[text]
            kept.move_to_end((worn, text))
        while len(kept) > REMEMBERED:
            kept.popitem(last=False)
        return rows

    def _encode(self, texts: list[str]) -> Conditioning:
        if not self.xl:
            ((tokenizer, encoder),) = self.pairs
            ids = self._ids(tokenizer, texts)
            return {"encoder_hidden_states": self.device.call(lambda i: encoder(i)[0], ids)}
        parts, pooled = [], None
        for tokenizer, encoder in self.pairs:
            ids = self._ids(tokenizer, texts)
            length = ids.shape[1]

            def packed(ids: torch.Tensor, encoder: Any = encoder) -> torch.Tensor:
                """Both outputs in one row, as a call returns one tensor."""
                output = encoder(ids, output_hidden_states=True)
                return torch.cat([output.hidden_states[-2].flatten(1), output[0].flatten(1)], 1)

            rows = self.device.call(packed, ids)
            width = encoder.config.hidden_size
            parts.append(rows[:, : length * width].unflatten(1, (length, width)))
            pooled = rows[:, length * width :]  # of the last encoder: its first output is 2-D
        assert pooled is not None
        return {
            "encoder_hidden_states": torch.cat(parts, dim=-1),
            "text_embeds": pooled,
            "time_ids": self.time_ids.to(pooled.device).repeat(len(texts), 1),
        }

    def _ids(self, tokenizer: Any, texts: list[str]) -> torch.Tensor:
        return tokenizer(
            texts,
            padding="max_length",
            max_length=tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).input_ids

    def what_was_cut(self, request: StableDiffusionRequest) -> tuple[str, ...]:
        """A sentence for each prompt that is longer than the encoders read."""
        tokenizer = self.pairs[0][0]
        limit = tokenizer.model_max_length - 2  # start and end take two places
        notes = []
        for name in ("prompt", "negative_prompt"):
            ids = tokenizer(getattr(request, name), add_special_tokens=False, verbose=False)
            if len(ids.input_ids) > limit:
                left_out = tokenizer.decode(ids.input_ids[limit:])
                notes.append(
                    f"The {name.replace('_', ' ')} has {len(ids.input_ids)} tokens, but the text "
                    f"encoder reads {limit}; this was left out: {left_out!r}."
                )
        return tuple(notes)
