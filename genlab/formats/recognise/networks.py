"""Which network a state dict is of: a VAE, a GAN, or one that only draws. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from genlab.formats.layers import KIND, LONGEST, Layer, layer_weights
from genlab.formats.metadata import BrokenCheckpoint
from genlab.formats.recognise.drawing import Drawing, drawings
from genlab.formats.recognise.guesses import Corrections, Guess, Guesses, Seen, hints
from genlab.formats.recognise.leaves import Leaf, leaves
from genlab.formats.recognise.parts import NetworkPart, part, unknown_reshape
from genlab.formats.recognise.readers import discriminator_of, encoder_of, is_told_too
from genlab.formats.recognise.refusals import (
    AUTOENCODER,
    WOULD_FIT,
    autoencoder,
    only_judges,
    unknown,
)
from genlab.formats.recognise.roles import (
    ROLES,
    by_role,
    head_pairs,
    is_table,
    splits,
    without_discriminator,
)

NO_JUDGE = (
    "Its discriminator is of a kind that GenLab does not know, or is told classes: it is left out, "
    "so pictures have no scores."
)
SIZES = (28, 32, 64, 128)
"""Of pictures, that are told of where they fit too."""
MOST_LAYERS = 2 * LONGEST


@dataclass(frozen=True)
class Recognised:
    """A network as it was understood.

    Attributes:
        family: "vae" or "gan".
        config: the config.json that describes it.
        weights: the name of each tensor there, by its new name.
        guesses: what no file says, and was guessed or corrected.
        notes: what else a person should know, one sentence each.
    """

    family: Literal["vae", "gan"]
    config: Mapping[str, Any]
    weights: Mapping[str, str]
    guesses: Sequence[Guess]
    notes: Sequence[str] = ()


def recognise(
    shapes: Mapping[str, Sequence[int]],
    ordered: bool,
    corrections: Corrections | None = None,
    seen: Seen | None = None,
) -> Recognised:
    """Understand a state dict.

    Args:
        shapes: of its tensors, by name.
        ordered: whether these are in the order in which the layers were made.
        corrections: what a person knows of it.
        seen: what its pictures told.

    Raises:
        BrokenCheckpoint: one sentence on what was found and what would fit.
    """
    try:
        found, notes = leaves(shapes, ordered), []
    except BrokenCheckpoint:
        drawing = without_discriminator(shapes)
        if drawing is None:
            raise
        found, notes = leaves(drawing, ordered), [NO_JUDGE]
    if len(found) > MOST_LAYERS:
        raise BrokenCheckpoint(
            f"it has {len(found):,} layers with weights, but may have at most {MOST_LAYERS}. "
            f"{WOULD_FIT}"
        )
    guesses = Guesses(corrections or Corrections(), seen or {})
    network = _recognised(found, guesses)
    network = replace(network, notes=[*network.notes, *notes])
    return _with_other_sizes(network, found, guesses)


def _with_other_sizes(network: Recognised, found: Sequence[Leaf], guesses: Guesses) -> Recognised:
    """The network, whose guess of the size names those that would fit too."""
    said = guesses.corrections
    layers = [layer for own in network.config["parts"].values() for layer in own]
    if said.size is not None or not any("kernel" in layer for layer in layers):
        return network
    others = [size for size in SIZES if size != network.config["image"][1]]
    fitting = [str(size) for size in others if _fits(found, guesses, size)]
    if not fitting:
        return network
    too = f"by the layers' shapes, which {' and '.join(fitting)} would fit too"
    told = [
        guess.model_copy(update={"why": too}) if guess.name == "size" else guess
        for guess in network.guesses
    ]
    return replace(network, guesses=told)


def _fits(found: Sequence[Leaf], guesses: Guesses, size: int) -> bool:
    """Whether the layers could draw pictures of another size."""
    said = guesses.corrections.model_copy(update={"size": size})
    try:
        _recognised(found, Guesses(said, {}, guesses.patience))
    except BrokenCheckpoint:
        return False
    return True


def _recognised(found: Sequence[Leaf], guesses: Guesses) -> Recognised:
    """The network of these layers; raises BrokenCheckpoint if they are none."""
    tables = [leaf for leaf in found if is_table(leaf)]
    roles = by_role([leaf for leaf in found if leaf not in tables])
    if roles["generator"] or roles["discriminator"]:
        return _gan(roles["generator"] + roles["rest"], roles["discriminator"], tables, guesses)
    if roles["encoder"]:
        for heads, decoding, encoding in splits(roles):
            network = _vae(heads, decoding, encoding, tables, guesses)
            if network is not None:
                return network
    for heads, others in head_pairs([leaf for leaf in found if leaf not in tables]):
        network = _vae(heads, others, None, tables, guesses)
        if network is not None:
            return network
    if roles["encoder"]:
        raise autoencoder(roles, guesses) or unknown(found, guesses)
    family = "vae" if roles["decoder"] else "gan"
    return _alone(roles["decoder"] + roles["rest"], tables, guesses, family)


# --- networks ---------------------------------------------------------------------------------


def _vae(
    heads: tuple[Leaf, Leaf] | None,
    decoding: list[Leaf],
    encoding: list[Leaf] | None,
    tables: Sequence[Leaf],
    guesses: Guesses,
) -> Recognised | None:
    """The network of these parts; None if they do not fit each other.

    Args:
        heads: the layers that give mu and logvar; None: the encoder's last gives both.
        decoding: the decoder's layers; if ``encoding`` is None, the encoder's are among them.
        encoding: the encoder's, without the heads.
    """
    if heads is not None:
        latent_dim = heads[0].readings[0].outputs
    elif encoding and encoding[-1].readings[0].outputs % 2 == 0:
        latent_dim = encoding[-1].readings[0].outputs // 2
    else:
        return None
    table = next(iter(tables), None)
    for drawing, left in drawings(decoding, latent_dim, table, guesses, encoding is None):
        trunk = encoding if encoding is not None else left
        if encoding is not None and left:
            continue
        guesses.forget()
        parts: dict[str, NetworkPart] = {}
        notes: list[str] = []
        decoder, activation = _drawn_by(drawing, "vae", guesses)
        told, read = drawing.label_width > 0, None
        if heads or not told:  # without heads, half of an autoencoder's code could be a class
            read = encoder_of(trunk, heads, drawing, activation, guesses)
        if told and read is not None:
            notes.append("Only its decoder is told the class; it reconstructs nothing here.")
        elif told and is_told_too(trunk, heads, drawing, guesses):
            notes.append("Its encoder is told the class as well, so it reconstructs nothing here.")
        elif read is not None:
            parts |= read
        else:
            continue
        parts["decoder"] = decoder
        return _finished("vae", parts, drawing, table, guesses, notes)
    return None


def _gan(
    generating: list[Leaf], judging: list[Leaf], tables: Sequence[Leaf], guesses: Guesses
) -> Recognised:
    if not generating:
        raise only_judges(judging, guesses) or unknown(judging, guesses)
    own = [t for t in tables if not ROLES["discriminator"].search(t.name.split(".")[0])]
    table = next(iter(own), None)
    ways = drawings(generating, None, table, guesses)
    found = next((drawing for drawing, left in ways if not left), None)
    if found is None:
        raise unknown(generating, guesses)
    parts = {"generator": _drawn_by(found, "gan", guesses)[0]}
    notes: list[str] = []
    if judging:
        judge = discriminator_of(judging, found, guesses) if len(own) == len(tables) else None
        if judge is None:
            notes.append(NO_JUDGE)
        else:
            parts["discriminator"] = judge
    return _finished("gan", parts, found, table, guesses, notes)


def _alone(
    found: list[Leaf], tables: Sequence[Leaf], guesses: Guesses, family: Literal["vae", "gan"]
) -> Recognised:
    """A network that draws and does nothing else: a generator, or a decoder."""
    table = next(iter(tables), None)
    ways = drawings(found, None, table, guesses)
    drawing = next((drawing for drawing, left in ways if not left), None)
    guesses.forget()
    if drawing is None:
        raise only_judges(found, guesses) or unknown(found, guesses)
    if drawing.latent_dim >= math.prod(drawing.image):
        raise BrokenCheckpoint(AUTOENCODER)
    kind = guesses.decide("family", family, "it only draws, and this is what its names look like")
    name = "generator" if kind == "gan" else "decoder"
    made, _ = _drawn_by(drawing, kind, guesses)
    alone = ["It only draws: it has no encoder, so it reconstructs nothing."]
    return _finished(kind, {name: made}, drawing, table, guesses, alone if kind == "vae" else [])


# --- what they share --------------------------------------------------------------------------


def _drawn_by(
    drawing: Drawing, family: str, guesses: Guesses
) -> tuple[NetworkPart, dict[str, Any]]:
    """The part that draws, and the activation of its hidden layers."""
    activation, last = _activations(drawing, family, guesses)
    before = unknown_reshape(drawing.steps)
    active = True
    if before is not None:
        why = "where numbers become planes; tutorials differ"
        active = guesses.decide("reshape_active", "decoder_input" not in before, why)
    return part(drawing.steps, activation, last, guesses.eps, active), activation


def _activations(
    drawing: Drawing, family: str, guesses: Guesses
) -> tuple[dict[str, Any], list[Layer]]:
    """The activation of hidden layers, and the last one's, as layers."""
    names = [leaf.name for leaf, _ in drawing.chain]
    ops = [reading.op for _, reading in drawing.chain]
    widths = [reading.outputs for leaf, reading in drawing.chain if not leaf.is_norm]
    usual = hints(family, names, ops, widths)
    hidden = guesses.decide("hidden", usual["hidden"], "what such tutorials use")
    activation: dict[str, Any] = {"op": hidden}
    if hidden == "leaky_relu":
        slope = guesses.decide("slope", usual.get("slope", 0.2), "what such tutorials use")
        activation["slope"] = slope
    if any(leaf.is_norm for leaf, _ in drawing.chain):
        usual_eps = usual.get("eps", 1e-5)
        why = "what this tutorial has" if "eps" in usual else "PyTorch's own"
        guesses.decide("eps", usual_eps, why)
    output = guesses.decide("output", usual["output"], f"what such {family.upper()}s end with")
    return activation, [] if output == "none" else [{"op": output}]


def _finished(
    family: Literal["vae", "gan"],
    parts: Mapping[str, NetworkPart],
    drawing: Drawing,
    table: Leaf | None,
    guesses: Guesses,
    notes: Sequence[str],
) -> Recognised:
    for name, own in parts.items():
        if len(own.layers) > LONGEST:
            raise BrokenCheckpoint(
                f"its {name} would have {len(own.layers)} layers, activations included, but may "
                f"have at most {LONGEST}. {WOULD_FIT}"
            )
    output = guesses.made["output"].value
    low_high = guesses.decide(
        "range", "-1 to 1" if output == "tanh" else "0 to 1", f"what {output} gives"
    )
    low, high = (-1.0, 1.0) if low_high == "-1 to 1" else (0.0, 1.0)
    if guesses.decide("invert", False, "bright on black, as MNIST is"):
        low, high = high, low
    guesses.decide("size", drawing.image[1], "by the layers' shapes")
    config: dict[str, Any] = {
        "network": KIND,
        "latent_dim": drawing.latent_dim,
        "image": list(drawing.image),
        "low": low,
        "high": high,
        "parts": {name: list(own.layers) for name, own in parts.items()},
    }
    weights = {
        f"{name}.{k}.{last}": f"{source}.{last}".lstrip(".")
        for name, own in parts.items()
        for k, source in own.sources.items()
        for last in layer_weights(own.layers[k])
    }
    if table is not None:
        classes, width = table.readings[0].outputs, table.readings[0].inputs
        config |= {"classes": classes, "embedding": width, "label_source": f"{table.name}.weight"}
        config["multiply"] = drawing.label_width == 0
        weights["label.weight"] = f"{table.name}.weight"
    elif drawing.label_width:
        config["classes"] = drawing.label_width
    if config.get("classes"):
        guesses.decide("classes", config["classes"], "by the width of its first layer")
    if config.get("classes") and not config.get("multiply"):
        usual = table is not None and table.name.endswith("label_emb")
        first = guesses.decide("label_first", usual, "as tutorials with such names have it")
        config["label_first"] = first
    guesses.check_used(classes=config.get("classes", 0), family=family)
    return Recognised(family, config, weights, list(guesses.made.values()), notes)
