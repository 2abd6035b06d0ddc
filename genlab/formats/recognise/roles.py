"""Which layer is of which part: by its names, or by shapes that come in pairs. No torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from genlab.formats.recognise.leaves import LABELS, Leaf

ROLES: Mapping[str, re.Pattern[str]] = {
    "encoder": re.compile(r"^(enc|encode|encoder|q_net|inference)(?![a-df-z])", re.I),
    "decoder": re.compile(r"^(dec|decode|decoder|p_net)(?![a-df-z])|^final_layer", re.I),
    "generator": re.compile(r"^(g|gen|generator|net_?g|g_?net|model_g|g_model)$", re.I),
    "discriminator": re.compile(
        r"^(d|dis|disc|discriminator|net_?d|d_?net|critic|model_d|d_model)$", re.I
    ),
}
MU = re.compile(r"(^|_|\d|fc|to|z)(mu|mean|means|loc)\d*(_|$)", re.I)
LOGVAR = re.compile(r"log_?_?(var|sigma|std)|(^|_|fc|z)(var|sigma|std|scale|lnvar)\d*(_|$)", re.I)


def is_table(leaf: Leaf) -> bool:
    """Whether it is a table that makes numbers of a class: an ``nn.Embedding``."""
    (reading, *_) = leaf.readings
    return (
        reading.op == "linear"
        and leaf.tensors == ("weight",)
        and bool(LABELS.search(leaf.name))
        and 2 <= reading.outputs <= 1000
    )


def without_discriminator(shapes: Mapping[str, Sequence[int]]) -> dict[str, Sequence[int]] | None:
    """The tensors of a GAN but for its discriminator's; None if it is no GAN of both."""
    firsts = {name: name.split(".")[0] for name in shapes}
    if not any(ROLES["generator"].search(first) for first in firsts.values()):
        return None
    kept = {n: shapes[n] for n, first in firsts.items() if not ROLES["discriminator"].search(first)}
    return kept if len(kept) < len(shapes) else None


def by_role(found: Sequence[Leaf]) -> dict[str, list[Leaf]]:
    """Layers by the part that their names say they are of; the others under "rest"."""
    roles: dict[str, list[Leaf]] = {name: [] for name in (*ROLES, "rest")}
    for leaf in found:
        pieces = leaf.name.split(".")
        role = next((name for name, said in ROLES.items() if said.search(pieces[0])), "rest")
        roles[role].append(leaf)
    return roles


def head_pairs(found: Sequence[Leaf]) -> Iterator[tuple[tuple[Leaf, Leaf], list[Leaf]]]:
    """Pairs of layers that may give mu and logvar, and the others; named pairs come first."""
    linear = [leaf for leaf in found if not leaf.is_norm and leaf.readings[0].op != "prelu"]
    named = [
        (mu, logvar)
        for mu in linear
        for logvar in linear
        if mu is not logvar
        and _is(MU, mu) and _is(LOGVAR, logvar)
        and mu.readings == logvar.readings
    ]  # fmt: skip
    twins = [
        (a, b) for a, b in zip(linear, linear[1:], strict=False)
        if a.readings == b.readings and a.kernel == b.kernel
    ]  # fmt: skip
    for pair in named or twins:
        yield pair, [leaf for leaf in found if leaf not in pair]


def _is(said: re.Pattern[str], leaf: Leaf) -> bool:
    return any(said.search(piece) for piece in leaf.name.split("."))


def splits(
    roles: Mapping[str, list[Leaf]],
) -> Iterator[tuple[tuple[Leaf, Leaf] | None, list[Leaf], list[Leaf]]]:
    """Heads, decoder and encoder of a VAE whose parts are named; without heads, one layer is both.

    Layers of neither part belong to the encoder if they are in front of the decoder's, else to the
    decoder; so a layer that only one of them can use finds its place.
    """
    encoding, decoding, rest = roles["encoder"], roles["decoder"], roles["rest"]
    for heads, others in head_pairs(encoding + rest):
        for places in ([True] * len(rest), [False] * len(rest)):
            to_encoder = [r for r, place in zip(rest, places, strict=True) if place and r in others]
            to_decoder = [r for r in others if r in rest and r not in to_encoder]
            mine = [leaf for leaf in others if leaf in encoding] + to_encoder
            yield heads, to_decoder + decoding, mine
    yield None, rest + decoding, encoding
