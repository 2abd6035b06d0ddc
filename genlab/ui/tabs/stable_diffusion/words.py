"""What a model with a small world says about words that it never learnt. Knows no component."""

from __future__ import annotations

from html import escape

from genlab.formats.metadata import ModelMetadata
from genlab.toybox.prompt_adherence import world_of
from genlab.toybox.world import World

LISTED = 6  # unknown words that are named
LETTERS = 24  # that are shown of one
READ = 1000  # letters of a text that are looked at; longer ones are refused anyway


def help_with_words(metadata: ModelMetadata, *texts: str) -> str:
    """A sentence on unknown words, with what is known behind it, as HTML; "" if all are known."""
    world = world_of(metadata)
    if world is None:
        return ""
    strange = list(dict.fromkeys(w for text in texts for w in world.unknown_words(text[:READ])))
    if not strange:
        return ""
    listed = " or ".join(f"“{escape(_short(word))}”" for word in strange[:LISTED])
    more = " and more" if len(strange) > LISTED else ""
    listing = "".join(
        f"<dt>{kind}</dt><dd>{escape(', '.join(words))}</dd>"
        for kind, words in vocabulary(world).items()
    )
    return (
        f'<div class="note words"><p>{escape(metadata.title)} does not know {listed}{more}.</p>'
        f"<details><summary>What it knows</summary><dl>{listing}</dl></details></div>"
    )


def _short(word: str) -> str:
    return word if len(word) <= LETTERS else word[: LETTERS - 3] + "..."


def vocabulary(world: World) -> dict[str, list[str]]:
    """The words of a world by kind, as short as they can be told."""
    nouns = list(world.nouns)
    digits = [noun for noun in nouns if noun.isdigit()]
    return {
        "Digits": [f"{digits[0]} to {digits[-1]}"] if digits else [],
        "Garments": [noun for noun in nouns if not noun.isdigit()],
        "Colours": list(world.colours),
        "Backgrounds": list(world.backgrounds),
        "Places": list(world.places),
        "Sizes": [size for size in world.sizes if size not in world.fillers],
    }
