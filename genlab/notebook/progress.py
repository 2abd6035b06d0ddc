"""How far a run is, for who looks on: a bar in a terminal or a notebook, previews in a notebook.

Knows events and no lab. IPython is used where it runs already, and is never loaded otherwise.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, Self

import numpy as np
from tqdm import tqdm

from genlab.engine.events import Event, Loading, Progress, Queued
from genlab.notebook.pictures import shown


def in_notebook() -> bool:
    """Whether this runs in a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    return hasattr(ipython and ipython.get_ipython(), "kernel")


class ProgressDisplay:
    """One run's bar, and its previews; a context manager that takes both away at its end."""

    def __init__(self, title: str) -> None:
        self.previews = in_notebook()  # whether it can show any
        # A notebook's stderr is no terminal, but shows a bar as well as one does.
        hidden = not (self.previews or sys.stderr.isatty())
        form = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}"
        self._title = title
        self._bar = tqdm(total=1, desc=title, disable=hidden, leave=False, bar_format=form)
        self._handle: Any = None  # of IPython, once a preview is shown

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._bar.close()
        if self._handle is not None:
            self._handle.update({"text/plain": ""}, raw=True)

    def show(self, event: Event) -> None:
        """What has just happened."""
        if isinstance(event, Queued):
            self.say(f"waiting, number {event.position}")
        elif isinstance(event, Loading):
            self.say(f"loading {event.title}")
        elif isinstance(event, Progress):
            self._bar.set_description_str(self._title, refresh=False)
            self._bar.total, self._bar.n = event.total, event.step
            self._bar.refresh()
            if event.preview is not None and self.previews:
                self._show_preview(event.preview)

    def say(self, what: str) -> None:
        """Put a few words behind the title."""
        self._bar.set_description_str(f"{self._title}, {what}")

    def _show_preview(self, images: np.ndarray) -> None:
        sheet = shown(images)
        if self._handle is None:
            self._handle = import_module("IPython.display").display(sheet, display_id=True)
        else:
            self._handle.update(sheet)
