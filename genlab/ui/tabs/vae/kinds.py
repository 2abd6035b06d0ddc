"""Which VAEs a mode can use, by what the registry knows of them."""

from __future__ import annotations

from genlab.formats.metadata import ModelMetadata


def flat(metadata: ModelMetadata) -> bool:
    """Whether a code is two numbers, so that it can be plotted."""
    return metadata.facts.get("latent_dim") == 2


def reconstructs(metadata: ModelMetadata) -> bool:
    """Whether it takes test pictures: it has an encoder, and draws pictures of their size."""
    facts = metadata.facts
    size = list(facts.get("image", (1, 28, 28)))
    return bool(facts.get("reconstructs", True)) and size == [1, 28, 28]
