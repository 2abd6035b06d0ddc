"""Models that come and go while the app runs: choosers list what there is by now, and the
visitor's own.

Knows no tab: a dropdown whose choices are names of models lists models of those kinds, and
``lists`` says more of one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import gradio as gr

from genlab.formats.metadata import ModelMetadata
from genlab.models.families import FAMILIES
from genlab.models.registry import Registry
from genlab.ui.components.panel import PRIVATE, titles
from genlab.ui.context import AppContext

NEWS = "models-news"
"""Element id of the button that is pressed when the visitor has other models than before."""
LOOK = f'() => {{ document.getElementById("{NEWS}")?.click() }}'
"""JavaScript for the ``js`` of an event after which choosers have to look anew."""

Fits = Callable[[ModelMetadata], bool]


@dataclass(frozen=True)
class _Kinds:
    """What a dropdown lists: models of these families that fit."""

    families: frozenset[str]
    fits: Fits


_said: WeakKeyDictionary[gr.Dropdown, _Kinds] = WeakKeyDictionary()


def lists(
    dropdowns: Sequence[gr.Dropdown], families: Sequence[str], fits: Fits = lambda entry: True
) -> None:
    """Say which models dropdowns list, where the names that they begin with do not say all."""
    for dropdown in dropdowns:
        _said[dropdown] = _Kinds(frozenset(families), fits)


def follow_models(page: gr.Blocks, context: AppContext) -> None:
    """Let every page look for models that were added, changed or removed, its visitor's own too.

    It looks when it is opened and whenever NEWS is pressed. To be called when all tabs are built,
    inside the page's Blocks. As long as nothing changed, nothing is sent.
    """
    registry = context.registry
    built_from = registry.entries
    listed = [
        (block, kinds)
        for block in page.blocks.values()
        if isinstance(block, gr.Dropdown) and (kinds := _kinds(block, registry)) is not None
    ]
    if not listed:
        return
    news = gr.Button(visible="hidden", elem_id=NEWS)
    had: dict[str, bool] = {}  # whether a page was told of models of its own

    def look(request: gr.Request) -> Any:
        registry.rescan_if_changed()
        owner = str(request.session_hash)
        own = registry.own.of(owner)
        before = had.pop(owner, False)
        if own:
            had[owner] = True
        if registry.entries is built_from and not own and not before:
            updates = [gr.skip() for _ in listed]
        else:
            updates = [_updated(block, kinds, registry, own) for block, kinds in listed]
        return updates[0] if len(updates) == 1 else updates

    gr.on(
        [page.load, news.click], look, None, [block for block, _ in listed],
        queue=False, preprocess=False, **PRIVATE,
    )  # fmt: skip


def _kinds(dropdown: gr.Dropdown, registry: Registry) -> _Kinds | None:
    """What a dropdown lists; None if it is no models.

    Families that are asked by the same kind of request are listed together.
    """
    if dropdown in _said:
        return _said[dropdown]
    names = [str(value) for _, value in dropdown.choices if value != ""]
    found = [registry.entries.get(name) for name in names]
    requests = {FAMILIES[entry.family].requests for entry in found if entry is not None}
    if not names or None in found:
        return None
    families = (name for name, family in FAMILIES.items() if family.requests in requests)
    return _Kinds(frozenset(families), lambda entry: True)


def _updated(
    dropdown: gr.Dropdown, kinds: _Kinds, registry: Registry, own: Sequence[ModelMetadata]
) -> Any:
    """The dropdown with today's models: the visitor's, then those that it had in their order."""
    entries = _fitting(registry.entries.values(), kinds)
    before = [value for _, value in dropdown.choices]
    entries.sort(key=lambda e: before.index(e.name) if e.name in before else len(before))
    others = [choice for choice in dropdown.choices if choice[1] == ""]  # "nothing"
    mine = [(f"{title} (yours)", name) for title, name in titles(_fitting(own, kinds))]
    choices = [*others, *mine, *titles(entries)]
    left = [value for _, value in choices]
    if dropdown.value in left or not left:
        return gr.Dropdown(choices=choices)  # what was chosen meanwhile stays
    return gr.Dropdown(choices=choices, value=left[0])


def _fitting(entries: Any, kinds: _Kinds) -> list[ModelMetadata]:
    return [e for e in entries if e.family in kinds.families and kinds.fits(e)]
