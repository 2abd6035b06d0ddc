"""The parts of a network that look at pictures: an encoder, a discriminator. No torch."""

from __future__ import annotations

from collections.abc import Sequence

from genlab.formats.layers import Layer
from genlab.formats.recognise.drawing import Drawing
from genlab.formats.recognise.geometry import fit
from genlab.formats.recognise.guesses import Guesses
from genlab.formats.recognise.leaves import Leaf
from genlab.formats.recognise.order import Width, chain
from genlab.formats.recognise.parts import NetworkPart, part


def encoder_of(
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

    begins = Width(channels, planes=True)
    way = chain(trunk, begins, is_code, False, guesses.patience) if trunk else []
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


def is_told_too(
    trunk: Sequence[Leaf], heads: tuple[Leaf, Leaf] | None, drawing: Drawing, guesses: Guesses
) -> bool:
    """Whether an encoder takes pictures and a class: joined numbers, or planes beside theirs."""
    channels, side, _ = drawing.image
    numbers = Width(channels * side**2 + drawing.label_width)
    planes = [Width(channels + more, planes=True) for more in (1, drawing.label_width)]
    layers = [*trunk, heads[0]] if heads else list(trunk)
    code = drawing.latent_dim if heads else 2 * drawing.latent_dim

    def is_code(width: Width) -> bool:
        return width.count == code

    return any(
        chain(layers, begins, is_code, False, guesses.patience) is not None
        for begins in (numbers, *planes)
    )


def discriminator_of(found: list[Leaf], drawing: Drawing, guesses: Guesses) -> NetworkPart | None:
    """The part that gives one score a picture; None if the layers do not."""
    channels, side, _ = drawing.image
    begins = Width(channels, planes=True)
    way = chain(found, begins, lambda width: width.count == 1, False, guesses.patience)
    if way is None:
        return None
    leaky = {"op": "leaky_relu", "slope": 0.2}
    placed = fit(way, (channels, side), False, lambda s: 0.0 if s in ((1, 0), (1, 1)) else None)
    return part(placed[0], leaky, eps=guesses.eps) if placed else None
