"""A call that can be left in its middle and gone on with. Knows no model, and no thread.

It runs in a greenlet: the same thread, a stack of its own. So a function that other people wrote as
one long loop moves one step a turn, and is dropped between two steps if nobody wants it any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from greenlet import getcurrent, greenlet


class Stepwise:
    """``call()``, which runs up to the next ``pause()`` inside it whenever ``go_on()`` is called.

    Whether gradients are recorded is the caller's and the call's own affair on either side. A
    Stepwise that is dropped ends its call by ``GreenletExit``, so its ``finally`` blocks run.
    """

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = greenlet(call)
        self._grad = torch.is_grad_enabled()
        self.result: Any = None

    @property
    def ended(self) -> bool:
        """Whether the call has returned; ``result`` is what it gave."""
        return self._call.dead

    def go_on(self) -> None:
        """Run to the next pause or to the end; what the call raises is raised here."""
        if self.ended:
            return
        outside = torch.is_grad_enabled()
        self._call.parent = getcurrent()
        torch.set_grad_enabled(self._grad)
        try:
            answer = self._call.switch()
        finally:
            self._grad = torch.is_grad_enabled()
            torch.set_grad_enabled(outside)
        if self.ended:
            self.result = answer


def pause() -> None:
    """To be called inside a Stepwise call: hand over to whoever called ``go_on``."""
    paused = getcurrent().parent
    assert paused is not None, "only a Stepwise call can pause"
    paused.switch()
