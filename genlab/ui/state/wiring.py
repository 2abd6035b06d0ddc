"""The page's part in its address and its runs: it goes where its address says, and comes back.

Knows no tab and no model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from genlab.ui.components.panel import PRIVATE
from genlab.ui.context import AppContext
from genlab.ui.model_choices import LOOK
from genlab.ui.scripts import script_tag
from genlab.ui.state.address import Place, read
from genlab.ui.state.controls import PRESSED, Control, Tab, tabs_of
from genlab.ui.state.kept import coming_back
from genlab.ui.state.share import SCRIPTS, TOOLS

SCRIPT = Path(__file__).with_name("address.js").read_text(encoding="utf-8")


def head() -> str:
    """What the page's document begins with, before Gradio's scripts."""
    return f"<script>{SCRIPT}</script>{''.join(map(script_tag, SCRIPTS))}"


def follow_address(context: AppContext, page: gr.Blocks, note: gr.HTML) -> dict[str, Tab]:
    """Let a finished page go where its address says and write there where it is.

    To be called within the page, after its tabs. Returns them.

    Args:
        note: what in an address was wrong goes there.
    """
    tabs = tabs_of(page)
    controls = [control for tab in tabs.values() for control in tab.controls]
    switches = _switches(tabs)
    gr.HTML(TOOLS, elem_id="share", elem_classes=["flush"], padding=False)
    place, token = gr.Textbox(visible="hidden"), gr.Textbox(visible="hidden")
    go = gr.Button(visible="hidden", elem_id="go")

    def known(value: str, offered: Sequence[str]) -> bool:
        """Whether it is a model that came after the page was made, of a family on offer."""
        entry = context.registry.find(value)
        families = {e.family for name in offered if (e := context.registry.find(name))}
        return entry is not None and entry.family in families

    async def arrive(query: Any) -> list[Any]:
        found = read(tabs, str(query), known)
        plan = json.dumps({"tab": found.tab, "modes": found.modes, "run": found.run})
        return [
            notes_of(found.notes),
            plan,
            *(selected(tabs, found, switch) for switch in switches),
            *settings(found, controls),
        ]

    shown = [part for control in controls for part in _parts(control)]
    now = [control.component for control in controls]
    arrival = go.click(
        arrive, place, [note, place, *switches.values(), *shown],
        js="() => genlab.pending()", queue=False, preprocess=False,
        trigger_mode="multiple",  # address.js goes to one place at a time
        **PRIVATE,
    )  # fmt: skip
    arrival.then(
        None, [place, *now], None,
        js="(place, ...values) => genlab.arrived(JSON.parse(place), values)",
    )  # fmt: skip
    if now:
        changes = [component.change for component in now]
        gr.on(changes, None, now, None, js="(...values) => genlab.changed(values)")
    _come_back(context, page, token, f"() => genlab.start({json.dumps(spec(tabs))})")
    return tabs


def _come_back(context: AppContext, page: gr.Blocks, token: gr.Textbox, start: str) -> None:
    """Let a page say whose it is when it is opened, and show it what its visitor has running.

    Args:
        start: the script that begins a page in the browser, and returns its token.
    """
    again = gr.Button(visible="hidden", elem_id="back")
    context.kept.gone = context.registry.own.forget
    context.kept.moved.append(context.registry.own.adopt)

    async def arrive(request: gr.Request, token: Any) -> str:
        owner = str(request.session_hash)
        context.kept.arrive(owner, str(token))
        runs = context.kept.of(owner)
        for slot in runs:  # what a panel opens with is for those who have nothing there
            context.openings.has_own(owner, slot)
        return str(len(runs))

    here = page.load(
        arrive, token, token, js=start, queue=False, preprocess=False, **PRIVATE
    )  # fmt: skip
    here.then(None, token, None, js="count => genlab.known(Number(count))")
    here.then(None, None, None, js=LOOK)  # a visitor's own models are known to be theirs by now
    back, outputs = coming_back(context, page)
    if outputs:
        again.click(
            back, None, outputs, concurrency_limit=None, trigger_mode="multiple", **PRIVATE
        )  # fmt: skip


def spec(tabs: Mapping[str, Tab]) -> dict[str, Any]:
    """What the browser has to know: modes' names by id, the tabs of runs, and the controls."""
    return {
        "tabs": {
            tab.name: {str(block.id): name for name, block in tab.modes.items()}
            for tab in tabs.values()
        },
        "runs": {
            element.removesuffix(PRESSED): tab.name
            for tab in tabs.values()
            for element in tab.buttons.values()
        },
        "controls": [
            {
                "tab": control.tab,
                "mode": control.mode,
                "name": control.name,
                "begin": control.write(control.default),
            }
            | ({"choices": control.choices} if control.several else {})
            | ({"text": True} if isinstance(control.component, gr.Textbox) else {})
            for tab in tabs.values()
            for control in tab.controls
        ],
    }


def settings(place: Place, controls: Sequence[Control]) -> list[Any]:
    """Updates of all controls, and of the sliders under them.

    What the place does not name keeps its value, but for the controls of the mode that it leads to:
    they take their defaults.
    """
    updates: list[Any] = []
    for control in controls:
        shown = control.mode in ("", place.modes.get(place.tab, control.mode))
        begins = control.tab == place.tab and shown
        for part in _parts(control):  # an update of its own for each: Gradio takes them apart
            if control.element in place.values:
                updates.append(_set(part, place.values[control.element]))
            else:
                updates.append(gr.update(value=control.default) if begins else gr.skip())
    return updates


def _set(part: Any, value: Any) -> Any:
    """The update to a value; a slider whose end moves has to reach it first."""
    if isinstance(part, gr.Slider) and value > part.maximum:
        return gr.update(maximum=value, value=value)
    return gr.update(value=value)


def selected(tabs: Mapping[str, Tab], place: Place, switch: str) -> Any:
    """The update of the switch between the tabs, "", or between the modes of one."""
    if not switch:
        return gr.update(selected=place.tab) if place.tab else gr.skip()
    if switch not in place.modes:
        return gr.skip()
    return gr.update(selected=tabs[switch].modes[place.modes[switch]].id)


def notes_of(notes: Sequence[str]) -> str:
    """What an address said that could not be used, as HTML."""
    return "".join(f'<p class="note" role="status">{escape(note)}</p>' for note in notes)


def _switches(tabs: Mapping[str, Tab]) -> dict[str, Any]:
    """The ``gr.Tabs`` of the page, "", and of each tab's modes."""
    found = {"": next(tab.block.parent for tab in tabs.values())} if tabs else {}
    for tab in tabs.values():
        if tab.modes:
            found[tab.name] = next(iter(tab.modes.values())).parent
    return found


def _parts(control: Control) -> list[Any]:
    return [control.component, *([control.slider] if control.slider else [])]
