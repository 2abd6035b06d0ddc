"""What a live training has made as a checkpoint folder, in the hub layout. No torch.

The networks that lie in the families' own classes keep their names; those of plain layers are
written as the list that `formats/layers.py` describes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from genlab.families.gan import layout as gan
from genlab.families.live_training.request import SUBJECTS, TrainRequest
from genlab.families.vae import layout as vae
from genlab.formats.hub_layout import CONFIG, WEIGHTS
from genlab.formats.layers import KIND
from genlab.formats.model_card import write_card

PIXELS = 28 * 28
RENAMED = {"fc1": "encoder.1", "fc21": "mu.0", "fc22": "logvar.0", "fc3": "decoder.0"} | {
    "fc4": "decoder.2"
}
"""Layers of a `DenseVAE`, and where the list has them."""
OWN = {"conv-vae": vae.own_config, "conv-gan": gan.own_config}
"""Whose configurations the families themselves read off the weights."""


def can_be_kept(subject: str) -> bool:
    """Whether what is trained draws pictures, as a checkpoint does."""
    return SUBJECTS[subject].data == "digits"


def title(subject: str, step: int) -> str:
    """What a person calls the result."""
    return f"My {SUBJECTS[subject].title}, {step:,} steps"


def write_checkpoint(
    folder: Path, request: TrainRequest, state: bytes, step: int, examples: int
) -> None:
    """Write config.json, model.safetensors and README.md.

    Args:
        folder: is made if it is not there.
        request: what was trained, and how at the end.
        state: of the training, as its last result has it.
        step: how many steps were taken.
        examples: how many digits it learnt from.
    """
    from safetensors.numpy import load, save_file

    tensors = {
        name.removeprefix("network."): array
        for name, array in load(state).items()
        if name.startswith("network.")
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(_named(request.subject, tensors), folder / WEIGHTS)
    config = json.dumps(_config(request.subject, tensors), indent=2)
    (folder / CONFIG).write_text(f"{config}\n", encoding="utf-8")
    subject = SUBJECTS[request.subject]
    text = _card_text(request, step, examples)
    write_card(folder, subject.family, title(request.subject, step), "mnist", text)


def _named(subject: str, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    if subject != "mlp-vae":
        return tensors
    renamed = {}
    for name, array in tensors.items():
        layer, _, last = name.rpartition(".")
        renamed[f"{RENAMED[layer]}.{last}"] = array
    return renamed


def _config(subject: str, tensors: dict[str, np.ndarray]) -> dict[str, Any]:
    if (own_config := OWN.get(subject)) is not None:
        config = own_config({name: list(array.shape) for name, array in tensors.items()})
        assert config is not None, "it was made by the family's own class"
        return config
    if subject == "mlp-vae":
        hidden, latent_dim = tensors["fc3.weight"].shape
        parts = {
            "encoder": [{"op": "flatten"}, _linear(PIXELS, hidden, "fc1"), {"op": "relu"}],
            "mu": [_linear(hidden, latent_dim, "fc21")],
            "logvar": [_linear(hidden, latent_dim, "fc22")],
            "decoder": [
                _linear(latent_dim, hidden, "fc3"), {"op": "relu"},
                _linear(hidden, PIXELS, "fc4"), {"op": "sigmoid"},
            ],
        }  # fmt: skip
        low = 0.0
    else:
        widths = [tensors[f"generator.{k}.weight"].shape for k in (0, 2, 4)]
        latent_dim = widths[0][1]
        leaky = {"op": "leaky_relu", "slope": 0.2}
        up = [_linear(i, o, f"generator.{2 * k}") for k, (o, i) in enumerate(widths)]
        seen = [tensors[f"discriminator.{k}.weight"].shape for k in (1, 3, 5)]
        down = [_linear(i, o, f"discriminator.{2 * k + 1}") for k, (o, i) in enumerate(seen)]
        parts = {
            "generator": [up[0], leaky, up[1], leaky, up[2], {"op": "tanh"}],
            "discriminator": [{"op": "flatten"}, down[0], leaky, down[1], leaky, down[2]],
        }
        low = -1.0
    return {
        "network": KIND, "latent_dim": latent_dim, "image": [1, 28, 28], "low": low, "high": 1.0,
        "parts": parts,
    }  # fmt: skip


def _linear(inputs: int, outputs: int, source: str) -> dict[str, Any]:
    return {"op": "linear", "in": inputs, "out": outputs, "source": source}


def _card_text(request: TrainRequest, step: int, examples: int) -> str:
    subject = SUBJECTS[request.subject]
    shown = {"seed": request.seed, "latent_dim": request.latent_dim}
    if subject.family == "vae":
        shown |= {"kl_weight": request.kl_weight, "learning_rate": request.learning_rate}
    else:
        shown |= {
            "learning_rate": request.learning_rate,
            "discriminator_rate": request.discriminator_rate,
            "generator_updates": request.generator_updates,
        }
    settings = "\n".join(f"- `{name}`: {value:g}" for name, value in shown.items())
    return f"""# {title(request.subject, step)}

{subject.about} Trained in the page of GenLab, {step:,} steps of {subject.batch_size} digits, on
{examples:,} of MNIST's training digits. The settings at its end:

{settings}

Images are float (B, 1, 28, 28) in [-1, 1], bright on black.
"""
