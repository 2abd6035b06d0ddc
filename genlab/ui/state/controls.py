"""Every control of the page under a stable, readable name, read off the finished page.

A new tab takes part by nothing more than what the pieces of ``genlab.ui.components.panel`` do: each
control has an element id that begins with the tab's word, ``<tab>-<name>``, and stands in a
``gr.Tab`` with an id. What is found there: numbers, sliders, choosers, texts, check boxes. A slider
under a number (``panel.numbered``) is that number's other hand, not a control of its own. A
control that should not be part of an address has the class UNSHARED. A button starts a run if its
id ends in ``-generate``.

Knows no tab, no model and no tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import gradio as gr

from genlab.requests import MAX_SEED, UserError

UNSHARED = "unshared"
MAX_TEXT = 4000  # characters in one text of an address
PRESSED = "-generate"
FORM = (gr.Number, gr.Slider, gr.Dropdown, gr.Radio, gr.Textbox, gr.Checkbox, gr.CheckboxGroup)

_ends: WeakKeyDictionary[Any, float] = WeakKeyDictionary()

Known = Callable[[str, Sequence[str]], bool]
"""Whether a value that a chooser did not offer at first, one of these, is among its kind by now."""


@dataclass(frozen=True)
class Control:
    """One control.

    Attributes:
        tab: the id of its tab.
        mode: the name of its mode; "" if all modes of the tab share it.
        name: unique in its tab.
        element: its element id.
        component: what holds the value.
        slider: what stands under a number and follows it.
        bounds: the least and the largest number.
        whole: whether it takes whole numbers only.
        choices: what may be chosen.
    """

    tab: str
    mode: str
    name: str
    element: str
    component: Any
    slider: gr.Slider | None = None
    bounds: tuple[float, float] = (0.0, 0.0)
    whole: bool = False
    choices: tuple[str, ...] = ()

    @property
    def default(self) -> Any:
        """The value that the page begins with."""
        value = self.component.value
        return "" if value is None and isinstance(self.component, gr.Textbox) else value

    @property
    def several(self) -> bool:
        """Whether its value is a list."""
        many = isinstance(self.component, gr.CheckboxGroup)
        return many or bool(getattr(self.component, "multiselect", False))

    def write(self, value: Any) -> str:
        """A value as an address has it; the browser writes the same (``address.js``)."""
        if self.several:
            return ",".join(name for name in self.choices if name in (value or ()))
        if isinstance(value, bool):
            return str(int(value))
        if isinstance(value, float):
            return str(int(value)) if value.is_integer() else repr(value)
        return "" if value is None else str(value)

    def parse(self, text: str, known: Known = lambda value, offered: False) -> Any:
        """The value that a text means; raises UserError with the value and what is allowed."""
        if isinstance(self.component, gr.Checkbox):
            return self._one_of(text, ("0", "1"), known) == "1"
        if isinstance(self.component, gr.Textbox):
            if len(text) > MAX_TEXT:
                raise UserError(
                    f"{self.name} is {len(text)} characters long, but may have at most {MAX_TEXT}."
                )
            return text
        if self.several:
            return [self._one_of(part, self.choices, known) for part in text.split(",") if part]
        if self.choices:
            return self._one_of(text, self.choices, known)
        return self._number(text)

    def _one_of(self, text: str, choices: Sequence[str], known: Known) -> str:
        if text in choices or known(text, choices):
            return text
        listed = ", ".join(choice or "nothing" for choice in choices)
        raise UserError(f"{self.name} is {_short(text)}, but must be one of {listed}.")

    def _number(self, text: str) -> float:
        low, high = self.bounds
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high or (self.whole and not value.is_integer()):
            kind = "a whole number" if self.whole else "a number"
            raise UserError(
                f"{self.name} is {_short(text)}, but must be {kind} from "
                f"{_plain(low)} to {_plain(high)}."
            )
        return int(value) if value.is_integer() else value


@dataclass(frozen=True)
class Tab:
    """A tab of the page.

    Attributes:
        name: its id.
        block: what it is on the page.
        modes: the tabs within it, by name.
        controls: of all its modes.
        buttons: the element ids of what starts a run, by name.
    """

    name: str
    block: gr.Tab
    modes: dict[str, gr.Tab]
    controls: tuple[Control, ...]
    buttons: dict[str, str]

    @property
    def title(self) -> str:
        """What its button says."""
        return str(self.block.label)

    def find(self, name: str) -> Control | None:
        """The control of that name."""
        return next((control for control in self.controls if control.name == name), None)


def may_reach(slider: gr.Slider, most: float) -> None:
    """Let an address hold values of a slider up to ``most``: its end moves with another control."""
    _ends[slider] = most


def tabs_of(page: gr.Blocks) -> dict[str, Tab]:
    """The tabs of a finished page by id, in their order, with all that their modes hold.

    Raises ValueError if two controls of a tab have one name.
    """
    found = {}
    for tab in _tabs_under(page):
        modes = [mode for mode in _tabs_under(tab) if mode.id]
        within = {id(mode): mode for mode in modes}
        placed = [(str(mode.id), c) for mode in modes for c in _controls(mode)]
        placed += [("", c) for c in _controls(tab, leave_out=within)]
        word = min((element for _, (element, _, _) in placed), default="").partition("-")[0]
        name = str(tab.id)
        found[name] = Tab(
            name,
            tab,
            {_own(str(mode.id), name, word): mode for mode in modes},
            tuple(
                _control(name, _own(mode, name, word), _own(element, name, word), element, *parts)
                for mode, (element, *parts) in placed
            ),
            {_own(e, name, word).removesuffix(PRESSED): e for e in _pressed(tab)},
        )
        names = [control.name for control in found[name].controls]
        if twice := {each for each in names if names.count(each) > 1}:
            raise ValueError(f"Two controls of the tab {name} are called {', '.join(twice)}.")
    return found


def _own(element: str, tab: str, word: str) -> str:
    """An id without the word of its tab."""
    for prefix in (f"{tab}-", f"{word}-"):
        if element.startswith(prefix):
            return element.removeprefix(prefix)
    return element


def _tabs_under(block: Any) -> Iterator[Any]:
    """The ``gr.Tab`` of the outermost ``gr.Tabs`` in a block."""
    for child in getattr(block, "children", ()):
        if isinstance(child, gr.Tabs):
            yield from (tab for tab in child.children if isinstance(tab, gr.Tab))
        else:
            yield from _tabs_under(child)


def _controls(block: Any, leave_out: Any = ()) -> Iterator[tuple[str, Any, gr.Slider | None]]:
    """Element id, component and slider of every control in a block."""
    for child in getattr(block, "children", ()):
        if id(child) in leave_out or UNSHARED in (child.elem_classes or ()):
            continue
        if isinstance(child, FORM):
            if child.elem_id and child.visible is True:
                yield child.elem_id, child, None
        elif "numbered" in (child.elem_classes or ()) and child.elem_id:
            parts = list(_leaves(child))
            number = next(part for part in parts if isinstance(part, gr.Number))
            slider = next((part for part in parts if isinstance(part, gr.Slider)), None)
            yield child.elem_id, number, slider
        else:
            yield from _controls(child, leave_out)


def _pressed(block: Any) -> Iterator[str]:
    """The element ids of the buttons that start a run."""
    for part in _leaves(block):
        name = part.elem_id or ""
        if isinstance(part, gr.Button) and name.endswith(PRESSED):
            yield name


def _leaves(block: Any) -> Iterator[Any]:
    for child in getattr(block, "children", ()):
        yield child
        yield from _leaves(child)


def _control(
    tab: str, mode: str, name: str, element: str, component: Any, slider: gr.Slider | None
) -> Control:
    scale = slider or component
    bounds, whole, choices = (0.0, 0.0), False, ()
    if isinstance(scale, (gr.Number, gr.Slider)):
        low, high = scale.minimum, _ends.get(scale, scale.maximum)
        bounds = (0 if low is None else low, MAX_SEED if high is None else high)
        step = scale.step or 1
        whole = float(step).is_integer() and float(bounds[0]).is_integer()
    elif isinstance(component, (gr.Dropdown, gr.Radio, gr.CheckboxGroup)):
        choices = tuple(str(value) for _, value in component.choices)
    return Control(tab, mode, name, element, component, slider, bounds, whole, choices)


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _plain(value: float) -> str:
    return f"{value:.12g}"
