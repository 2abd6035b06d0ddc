"""Which network a state dict is of: a VAE, a GAN, or one that only draws. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from genlab.formats.layers import KIND, Layer, layer_weights
from genlab.formats.metadata import BrokenCheckpoint
from genlab.formats.recognise.drawing import Drawing, drawings
from genlab.formats.recognise.geometry import fit
from genlab.formats.recognise.guesses import CLASSES, Corrections, Guess, Guesses, Seen, hints
from genlab.formats.recognise.leaves import Leaf, leaves
from genlab.formats.recognise.order import Width, chain
from genlab.formats.recognise.parts import NetworkPart, part
from genlab.formats.recognise.roles import ROLES, by_role, head_pairs, is_table, splits

WOULD_FIT = (
    "GenLab recognises fully connected and convolutional VAEs and GANs; any other network goes in "
    "as ONNX (z in, picture out)."
)


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
    guesses = Guesses(corrections or Corrections(), seen or {})
    found = leaves(shapes, ordered)
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
        raise _unknown(found)
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
        parts: dict[str, NetworkPart] = {}
        notes: list[str] = []
        activation, last = _activations(drawing, "vae", guesses)
        if drawing.label_width:
            notes.append("Its encoder is told the class as well, so it reconstructs nothing here.")
        else:
            read = _encoder(trunk, heads, drawing, activation, guesses)
            if read is None:
                continue
            parts |= read
        parts["decoder"] = part(drawing.steps, activation, last, guesses.eps)
        return _finished("vae", parts, drawing, table, guesses, notes)
    return None


def _encoder(
    trunk: Sequence[Leaf],
    heads: tuple[Leaf, Leaf] | None,
    drawing: Drawing,
    activation: Layer,
    guesses: Guesses,
) -> dict[str, NetworkPart] | None:
    """Encoder, mu and logvar; None if they do not read such pictures."""
    channels, side, _ = drawing.image
    wanted = heads[0].readings[0] if heads else None

    def is_code(width: Width) -> bool:
        if wanted is None:
            return width.count == 2 * drawing.latent_dim
        if wanted.op == "linear" and width.planes:
            return wanted.inputs % width.count == 0
        return width.count == wanted.inputs

    def ends(state: tuple[int, int]) -> float | None:
        if wanted is None or wanted.op != "linear":
            return 0.0
        return 0.0 if state[0] * max(state[1], 1) ** 2 == wanted.inputs else None

    way = chain(trunk, Width(channels, planes=True), is_code, up=False) if trunk else []
    placed = fit(way, (channels, side), False, ends) if way is not None else None
    if placed is None:
        return None
    steps, state = placed
    eps = guesses.eps
    parts = {"encoder": part(steps, activation, [activation] if heads and steps else (), eps)}
    for name, head in zip(("mu", "logvar"), heads or (), strict=False):
        own = fit([(head, head.readings[0])], state, False, lambda _: 0.0)
        if own is None:
            return None
        parts[name] = part(own[0], activation)
    return parts


def _gan(
    generating: list[Leaf], judging: list[Leaf], tables: Sequence[Leaf], guesses: Guesses
) -> Recognised:
    if not generating:
        raise _only_judges(judging) or _unknown(judging)
    own = [t for t in tables if not ROLES["discriminator"].search(t.name.split(".")[0])]
    table = next(iter(own), None)
    ways = drawings(generating, None, table, guesses)
    found = next((drawing for drawing, left in ways if not left), None)
    if found is None:
        raise _unknown(generating)
    activation, last = _activations(found, "gan", guesses)
    parts = {"generator": part(found.steps, activation, last, guesses.eps)}
    notes: list[str] = []
    if judging:
        judge = _discriminator(judging, found, guesses) if len(own) == len(tables) else None
        if judge is None:
            notes.append(
                "Its discriminator is of a kind that GenLab does not know, or is told classes: it "
                "is left out, so pictures have no scores."
            )
        else:
            parts["discriminator"] = judge
    return _finished("gan", parts, found, table, guesses, notes)


def _discriminator(found: list[Leaf], drawing: Drawing, guesses: Guesses) -> NetworkPart | None:
    channels, side, _ = drawing.image
    way = chain(found, Width(channels, planes=True), lambda width: width.count == 1, up=False)
    if way is None:
        return None
    leaky = {"op": "leaky_relu", "slope": 0.2}
    placed = fit(way, (channels, side), False, lambda s: 0.0 if s in ((1, 0), (1, 1)) else None)
    return part(placed[0], leaky, eps=guesses.eps) if placed else None


def _alone(
    found: list[Leaf], tables: Sequence[Leaf], guesses: Guesses, family: Literal["vae", "gan"]
) -> Recognised:
    """A network that draws and does nothing else: a generator, or a decoder."""
    table = next(iter(tables), None)
    ways = drawings(found, None, table, guesses)
    drawing = next((drawing for drawing, left in ways if not left), None)
    if drawing is None:
        raise _only_judges(found) or _unknown(found)
    kind = guesses.decide("family", family, "it only draws, and this is what its names look like")
    activation, last = _activations(drawing, kind, guesses)
    name = "generator" if kind == "gan" else "decoder"
    made = part(drawing.steps, activation, last, guesses.eps)
    alone = ["It only draws: it has no encoder, so it reconstructs nothing."]
    return _finished(kind, {name: made}, drawing, table, guesses, alone if kind == "vae" else [])


# --- what they share --------------------------------------------------------------------------


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
    return Recognised(family, config, weights, list(guesses.made.values()), notes)


def _only_judges(found: Sequence[Leaf]) -> BrokenCheckpoint | None:
    """What to raise for a discriminator, or a classifier, which draw nothing."""
    for channels in (1, 3):
        for outputs in (1, CLASSES):
            ends = partial(_gives, outputs)
            if chain(found, Width(channels, planes=True), ends, up=False) is not None:
                what = "a discriminator" if outputs == 1 else "a classifier of ten classes"
                return BrokenCheckpoint(
                    f"it is {what} alone, which draws nothing; bring a generator, or a VAE."
                )
    return None


def _gives(outputs: int, width: Width) -> bool:
    return width.count == outputs


def _unknown(found: Sequence[Leaf]) -> BrokenCheckpoint:
    words = [f"{leaf.name} {_sizes(leaf)}".strip()[:60] for leaf in found[:4]]
    shown = ", ".join(words) + (", ..." if len(found) > 4 else "")
    return BrokenCheckpoint(
        f"its {len(found)} layers ({shown}) are no network that is known here. {WOULD_FIT}"
    )


def _sizes(leaf: Leaf) -> str:
    reading = leaf.readings[0]
    return f"{reading.inputs}-{reading.outputs}"
