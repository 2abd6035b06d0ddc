"""Two runs behind one press: what the second asks for comes of the first's results.

Knows no component.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from genlab.ui.cells import Cell, CellView
from genlab.ui.context import AppContext
from genlab.ui.live_run import Frame, live_run

Views = tuple[CellView, ...]


async def chained_run(
    context: AppContext,
    owner: str,
    slot: str,
    first: Callable[[], Sequence[Cell]],
    then: Callable[[Views], Sequence[Cell]],
) -> AsyncGenerator[tuple[Frame, Views], None]:
    """Frames of both runs as one, each with the first's finished cells: () until they are there.

    Every cell has to be filled; the first failure ends all with its sentence.

    Args:
        owner: the visitor.
        slot: where on the page; a visitor's newer run in a slot replaces the older.
        first: what is asked for at once; raises UserError if nothing can be.
        then: what is asked for once that is there; likewise.
    """
    found: Views = ()
    async with aclosing(live_run(context, owner, slot, first, alone_may_fail=False)) as frames:
        async for frame in frames:
            if not frame.running and frame.cells and all(view.done for view in frame.cells):
                found = frame.cells  # not over yet: the second run says so
            else:
                yield frame, ()
    if not found:
        return
    following = live_run(context, owner, slot, lambda: then(found), alone_may_fail=False)
    async with aclosing(following) as frames:
        async for frame in frames:
            yield frame, found
