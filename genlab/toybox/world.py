"""Toybox's world: what its prompts can say, read from `world.json`; knows no torch and no pixels.

The composer that makes training pictures, the judge, the page's word help and the tests all read
the same file through `World`, so a word added there is known everywhere.
"""

from __future__ import annotations

import json
import random
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from string import punctuation
from types import MappingProxyType
from typing import Any

RGB = tuple[int, int, int]

OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
"""What the second object of a scene is to the first, for each place of the first."""

_WORD = re.compile(r"[a-z]+(?:-[a-z]+)*|\d|\S", re.ASCII)
_JOINER = "\u200d"  # within an emoji that is made of several


@dataclass(frozen=True)
class SceneObject:
    """One thing in a picture; `None` means that the prompt leaves it open.

    Attributes:
        noun: canonical noun of `World.nouns`, such as "7" or "sneaker".
        colour: name in `World.colours`, or None.
        size: name in `World.sizes`; "medium" when nothing is said.
        place: name in `World.places`, seen from the other object; None if alone or open.
    """

    noun: str
    colour: str | None = None
    size: str = "medium"
    place: str | None = None


@dataclass(frozen=True)
class Scene:
    """One or two objects on a background (None: any)."""

    objects: tuple[SceneObject, ...]
    background: str | None = None


@dataclass(frozen=True)
class Noun:
    """Which class of which data set draws a noun; `dataset` is "mnist" or "fashion"."""

    dataset: str
    label: int


@dataclass(frozen=True)
class World:
    """Everything a Toybox prompt can name. Sizes and jitter are in pixels of the 64x64 picture."""

    image_size: int
    colours: Mapping[str, RGB]
    backgrounds: Mapping[str, RGB]
    nouns: Mapping[str, Noun]
    places: tuple[str, ...]
    sizes: Mapping[str, tuple[int, int]]
    pair_size: tuple[int, int]
    jitter: Mapping[str, int]
    synonyms: Mapping[str, str]
    fillers: frozenset[str]
    held_out: frozenset[tuple[str, str]]
    _phrases: tuple[tuple[tuple[str, ...], str], ...] = field(repr=False)

    @classmethod
    def load(cls, path: Path | str) -> World:
        """Read a `world.json` file, or the one in a checkpoint folder.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: a synonym stands for a word that the world does not have.
        """
        path = Path(path)
        path = path / "world.json" if path.is_dir() else path
        return cls.from_plain(json.loads(path.read_text(encoding="utf-8")))

    @classmethod
    def from_plain(cls, raw: Mapping[str, Any]) -> World:
        """A world from the content of a `world.json`.

        Raises:
            ValueError: a synonym stands for a word that the world does not have.
        """
        nouns = {name: Noun(spec["dataset"], spec["class"]) for name, spec in raw["nouns"].items()}
        canonical = {
            *raw["colours"],
            *raw["backgrounds"],
            *nouns,
            *raw["places"],
            *raw["sizes"],
            *raw["fillers"],
        }
        for synonym, meaning in raw["synonyms"].items():
            if meaning not in canonical:
                raise ValueError(f"'{synonym}' stands for '{meaning}', which the world lacks")
        phrases = {**raw["synonyms"], **{place: place for place in raw["places"]}}
        phrases |= {noun: noun for noun in nouns}
        split = [(tuple(_WORD.findall(phrase)), meaning) for phrase, meaning in phrases.items()]
        split.sort(key=lambda item: -len(item[0]))  # the longest phrase wins: "to the left of"
        return cls(
            image_size=raw["image_size"],
            colours=_rgb_table(raw["colours"]),
            backgrounds=_rgb_table(raw["backgrounds"]),
            nouns=MappingProxyType(nouns),
            places=tuple(raw["places"]),
            sizes=MappingProxyType(
                {size: (low, high) for size, (low, high) in raw["sizes"].items()}
            ),
            pair_size=(raw["pair_size"][0], raw["pair_size"][1]),
            jitter=MappingProxyType(dict(raw["jitter"])),
            synonyms=MappingProxyType(dict(raw["synonyms"])),
            fillers=frozenset(raw["fillers"]),
            held_out=frozenset((colour, noun) for colour, noun in raw["held_out"]),
            _phrases=tuple(split),
        )

    # Reading prompts -------------------------------------------------------------------------

    def words(self, prompt: str) -> list[str]:
        """The prompt in canonical words ("a Seven to the left of" -> ["a", "7", "left of"])."""
        raw = _WORD.findall(prompt.lower())
        words: list[str] = []
        at = 0
        while at < len(raw):
            for phrase, meaning in self._phrases:
                if tuple(raw[at : at + len(phrase)]) == phrase:
                    words.append(meaning)
                    at += len(phrase)
                    break
            else:
                words.append(raw[at])
                at += 1
        return words

    def unknown_words(self, prompt: str) -> list[str]:
        """Words of the prompt that Toybox was never taught, in order, each once.

        Emoji and words of any script are among them, whole; punctuation is not.
        """
        taught = {*self.colours, *self.backgrounds, *self.nouns, *self.places, *self.sizes}
        taught |= self.fillers
        unknown: list[str] = []
        for plain, run in groupby(_between_spaces(prompt.lower()), str.isascii):
            parts = list(run)
            words = self.words(" ".join(parts)) if plain else [w.strip(punctuation) for w in parts]
            told = (w for w in words if not w.isascii() or any(c.isalnum() for c in w))
            unknown += [w for w in told if w not in taught]
        return list(dict.fromkeys(unknown))

    def parse(self, prompt: str) -> Scene | None:
        """What the prompt asks for, or None when it names no noun or more than two.

        A colour belongs to the noun after it, to the background when "background" follows or "on"
        precedes it and no noun comes, else to the noun before it ("a 7 in red").
        """
        reader = _PromptReader(self)
        for word in self.words(prompt):
            reader.read(word)
        return reader.scene()

    # Making prompts --------------------------------------------------------------------------

    def sample_scene(
        self,
        rng: random.Random,
        two_objects: float = 0.2,
        digits: float = 0.5,
        often: Sequence[str] = (),
    ) -> Scene:
        """A random scene that says everything; never a pair of `held_out`.

        Args:
            rng: source of randomness; the same state gives the same scene.
            two_objects: share of scenes with two objects.
            digits: share of objects that are digits.
            often: nouns that come up twice as often as the others, or more often if named again.
        """

        def sample(size: str, place: str | None) -> SceneObject:
            dataset = "mnist" if rng.random() < digits else "fashion"
            names = [n for n in (*self.nouns, *often) if self.nouns[n].dataset == dataset]
            return self._sample_object(rng, rng.choice(names), background, size, place)

        background = rng.choice(list(self.backgrounds))
        if rng.random() >= two_objects:
            size = rng.choices(["small", "medium", "large"], [0.1, 0.8, 0.1])[0]
            return Scene((sample(size, None),), background)
        place = rng.choice(self.places)
        things = (sample("medium", place), sample("medium", OPPOSITE[place]))
        return Scene(things, background)

    def _sample_object(
        self, rng: random.Random, noun: str, background: str, size: str, place: str | None
    ) -> SceneObject:
        colours = [c for c in self.colours if c != background and (c, noun) not in self.held_out]
        return SceneObject(noun, rng.choice(colours), size, place)

    def caption(self, scene: Scene, rng: random.Random, full: bool = False) -> str:
        """One way to say the scene: synonyms, articles and order vary.

        Args:
            scene: what to say; attributes that are None are not said.
            rng: source of randomness.
            full: name every attribute; otherwise some are left out, as people do.
        """
        phrases = [self._object_phrase(item, rng, full) for item in scene.objects]
        if len(phrases) == 1:
            text = phrases[0]
        else:
            order = [0, 1] if rng.random() < 0.5 else [1, 0]
            place = scene.objects[order[0]].place
            say_place = place is not None and (full or rng.random() < 0.85)
            link = self._say(place, rng) if say_place and place else "and"
            text = f"{phrases[order[0]]} {link} {phrases[order[1]]}"
        if scene.background is not None and (full or rng.random() < 0.85):
            colour = self._say(scene.background, rng)
            text = rng.choices(
                [
                    f"{text} on a {colour} background",
                    f"{text} on {colour}",
                    f"{text}, {colour} background",
                    f"{text} with a {colour} background",
                    f"{text} against a {colour} backdrop",
                    f"on a {colour} background, {text}",
                ],
                [0.6, 0.1, 0.1, 0.07, 0.03, 0.1],
            )[0]
        return text

    def _object_phrase(self, item: SceneObject, rng: random.Random, full: bool) -> str:
        noun = self._say(item.noun, rng)
        if self.nouns[item.noun].dataset == "mnist" and rng.random() < 0.1:
            noun = f"{rng.choice(['digit', 'number'])} {noun}"
        words = [noun]
        if item.colour is not None and (full or rng.random() < 0.88):
            words.insert(0, self._say(item.colour, rng))
        if item.size != "medium" and (full or rng.random() < 0.9):
            words.insert(0, self._say(item.size, rng))
        article = "an" if words[0][0] in "aeio8" and words[0] != "one" else "a"
        article = rng.choices([article, "the", ""], [0.8, 0.08, 0.12])[0]
        return " ".join([article, *words] if article else words)

    def _say(self, word: str, rng: random.Random) -> str:
        """The word itself most of the time, one of its synonyms else."""
        others = [synonym for synonym, meaning in self.synonyms.items() if meaning == word]
        return rng.choice(others) if others and rng.random() < 0.3 else word


class _PromptReader:
    """Reads canonical words from left to right and collects the scene they describe."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.objects: list[SceneObject] = []
        self.background: str | None = None
        self.colour: str | None = None
        self.size: str | None = None
        self.link: str | None = None
        self.after_on = False

    def read(self, word: str) -> None:
        world = self.world
        if word in world.nouns:
            self._take_noun(word)
        elif word == "background":
            if self.colour in world.backgrounds:
                self.background = self.colour
            self.colour, self.after_on = None, False
        elif word in world.colours or word in world.backgrounds:
            self._settle_colour()
            self.colour = word
        elif word in world.sizes:
            self.size = word
        elif word in world.places:
            self._settle_colour()
            self.link = word
        elif word in ("on", "against"):
            self._settle_colour()
            self.after_on = True
        elif word in ("and", ",", "with"):
            self._settle_colour()

    def scene(self) -> Scene | None:
        self._settle_colour()
        objects = self.objects
        if not 1 <= len(objects) <= 2:
            return None
        if len(objects) == 2 and self.link is not None:
            first, second = objects
            objects = [
                SceneObject(first.noun, first.colour, first.size, self.link),
                SceneObject(second.noun, second.colour, second.size, OPPOSITE[self.link]),
            ]
        return Scene(tuple(objects), self.background)

    def _take_noun(self, noun: str) -> None:
        colour = self.colour if self.colour in self.world.colours else None
        self.objects.append(SceneObject(noun, colour, self.size or "medium"))
        self.colour, self.size, self.after_on = None, None, False

    def _settle_colour(self) -> None:
        """A colour that no noun took: the background's after "on", else the last object's."""
        colour, self.colour = self.colour, None
        if colour is None:
            return
        if self.after_on and colour in self.world.backgrounds:
            self.background, self.after_on = colour, False
        elif self.objects and self.objects[-1].colour is None and colour in self.world.colours:
            last = self.objects[-1]
            self.objects[-1] = SceneObject(last.noun, colour, last.size, last.place)


def _between_spaces(text: str) -> list[str]:
    """What stands between spaces and the punctuation of other scripts than ASCII."""
    return "".join(
        " " if not c.isascii() and c != _JOINER and unicodedata.category(c)[0] in "PZC" else c
        for c in text
    ).split()


def _rgb_table(raw: Mapping[str, list[int]]) -> Mapping[str, RGB]:
    return MappingProxyType({name: (r, g, b) for name, (r, g, b) in raw.items()})
