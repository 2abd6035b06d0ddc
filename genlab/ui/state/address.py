"""An address and what it says: tab, mode, and every control that differs from its default.

``?tab=vae&mode=codes&temperature=2&guidance.steps=10&run=1``: names without a dot are of the
address's own tab, the others name theirs; ``<tab>.mode`` is a mode that waits in another tab.
``embed=<tab>-<mode>`` shows that panel alone. Knows no component and no tab of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

from genlab.requests import UserError
from genlab.ui.state.controls import Control, Known, Tab

LONGEST = 16_000  # characters; browsers and proxies take few more
OTHERS = ("lang", "view", "logs", "deep_link", "present")
"""Parameters that are not about controls, besides those of Gradio and Spaces, ``__...``."""


@dataclass
class Place:
    """Where an address leads.

    Attributes:
        tab: "" for wherever the page is.
        modes: the mode of each tab that one is named for.
        values: by element id.
        run: "1" to press the open mode's first button, or the element id of one; "" for none.
        notes: a sentence on each thing that could not be used.
    """

    tab: str = ""
    modes: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    run: str = ""
    notes: list[str] = field(default_factory=list)


def read(tabs: Mapping[str, Tab], query: str, known: Known = lambda value, offered: False) -> Place:
    """What a query says; nothing in it can raise, and what is wrong is among the notes."""
    place = Place()
    if len(query) > LONGEST:
        place.notes.append(
            f"The address is {len(query)} characters long, but may have at most {LONGEST}."
        )
        return place
    given = dict(parse_qsl(query.lstrip("?"), keep_blank_values=True, errors="replace"))
    _read_embed(tabs, given, place)
    _read_tab(tabs, given, place)
    for name, text in given.items():
        if name in OTHERS or name.startswith("__"):
            continue
        try:
            _read_one(tabs, name, text, known, place)
        except UserError as error:
            place.notes.append(str(error))
    return place


def write(tabs: Mapping[str, Tab], place: Place) -> str:
    """The query of a place, as the browser writes it; values that are defaults are left out."""
    parts = {"tab": place.tab} if place.tab else {}
    if place.tab in place.modes:
        parts["mode"] = place.modes[place.tab]
    for tab in tabs.values():
        before = "" if tab.name == place.tab else f"{tab.name}."
        if before and tab.name in place.modes:
            parts[f"{before}mode"] = place.modes[tab.name]
        for control in tab.controls:
            value = place.values.get(control.element, control.default)
            if control.write(value) != control.write(control.default):
                parts[before + control.name] = control.write(value)
    if place.run:
        named = {element: name for name, element in tabs[place.tab].buttons.items()}
        parts["run"] = named.get(place.run, "1")
    return urlencode(parts, safe=",")


def visit(
    tab: str, mode: str = "", values: Mapping[str, Any] | None = None, run: bool | str = False
) -> str:
    """JavaScript for the ``js`` of an event: apply values to a tab, go there, press its button.

    What is not named takes its default, so that an experiment is the same whatever was set before.
    ``read(tabs, query_of(...)).notes`` says what would not be understood.

    Args:
        values: by the controls' names in that tab.
        run: whether to press the first button of the mode; a name presses that one.
    """
    return f"() => genlab.go({json.dumps(query_of(tab, mode, values, run))})"


def query_of(
    tab: str, mode: str = "", values: Mapping[str, Any] | None = None, run: bool | str = False
) -> str:
    """The query of a place, by the controls' names; nothing is checked."""
    parts = {"tab": tab} | ({"mode": mode} if mode else {})
    for name, value in (values or {}).items():
        listed = isinstance(value, (list, tuple))
        parts[name] = ",".join(map(str, value)) if listed else str(plain(value))
    if run:
        parts["run"] = "1" if run is True else run
    return urlencode(parts, safe=",")


def plain(value: Any) -> Any:
    """True and False as 1 and 0."""
    return int(value) if isinstance(value, bool) else value


def _read_embed(tabs: Mapping[str, Tab], given: dict[str, str], place: Place) -> None:
    embedded = given.pop("embed", "")
    if not embedded:
        return
    for tab in tabs.values():
        if embedded in (tab.name, *(f"{tab.name}-{mode}" for mode in tab.modes)):
            given["tab"] = tab.name
            if mode := embedded.removeprefix(tab.name).lstrip("-"):
                given["mode"] = mode
            return
    place.notes.append(
        f"There is no panel called {embedded[:60]!r}; one is written as <tab>-<mode>, such as "
        "guidance-steps."
    )


def _read_tab(tabs: Mapping[str, Tab], given: dict[str, str], place: Place) -> None:
    """The tab that names without a dot are of: the one that is named, else the first."""
    named = given.pop("tab", "")
    if named and named not in tabs:
        place.notes.append(f"tab is {named[:60]!r}, but must be one of {', '.join(tabs)}.")
        for name in [name for name in given if "." not in name]:
            del given[name]  # nobody knows whose they are
    elif named:
        place.tab = named
    elif any(
        name not in ("run", *OTHERS) and name[:2] != "__" and "." not in name for name in given
    ):
        place.tab = next(iter(tabs), "")


def _read_one(tabs: Mapping[str, Tab], name: str, text: str, known: Known, place: Place) -> None:
    if name == "run":
        place.run = _run(tabs.get(place.tab), text)
        return
    first, dot, rest = name.partition(".")
    tab, own = tabs.get(first if dot else place.tab), rest if dot else name
    if tab is None:
        raise UserError(f"The address says {name[:60]!r}, but there is no such tab.")
    if own == "mode":
        if text not in tab.modes:
            raise UserError(_wrong_mode(tab, text))
        place.modes[tab.name] = text
        return
    control = tab.find(own)
    if control is None:
        raise UserError(f"The {tab.title} tab has no control called {own[:60]!r}.")
    try:
        place.values[control.element] = control.parse(text, known)
    except UserError as error:
        raise UserError(f"{str(error)[:400]} It stays at {_default(control)}.") from None


def _run(tab: Tab | None, text: str) -> str:
    """Which button ``run`` means."""
    buttons = tab.buttons if tab else {}
    if text not in ("0", "1", *buttons):
        raise UserError(f"run is {text[:40]!r}, but must be {', '.join(['0', '1', *buttons])}.")
    return "" if text == "0" else buttons.get(text, text)


def _wrong_mode(tab: Tab, text: str) -> str:
    if not tab.modes:
        return f"mode is {text[:40]!r}, but the {tab.title} tab has no modes."
    return f"mode is {text[:40]!r}, but must be one of {', '.join(tab.modes)}."


def _default(control: Control) -> str:
    return control.write(control.default) or "empty"
