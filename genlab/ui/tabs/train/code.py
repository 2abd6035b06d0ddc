"""The loop that trains, line by line, and the lights that run beside it, as HTML.

Which line is lit is for CSS: the lights' element says where the training is (`style.css`, "train").
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from genlab.families.live_training.listing import LoopLine, listing, stages
from genlab.families.live_training.request import PHASES

WHERE = "genlab/families/live_training/loops.py"


def code(family: str) -> str:
    """The lines of a family's loop."""
    lines = "".join(map(_line, listing(family)))
    return (
        f'<figure class="loop" style="--stages:{len(stages(family))}">'
        f"<figcaption>The loop that runs, <code>{WHERE}</code>. After each <code>yield</code> the "
        "engine may serve somebody else.</figcaption>"
        '<pre tabindex="0" role="region" aria-label="The training loop">'
        f"<code>{lines}</code></pre></figure>"
    )


def _line(line: LoopLine) -> str:
    looks = ["line"]
    if line.hands_over:
        looks.append("hands-over")
    elif line.text.lstrip().startswith("#"):
        looks.append("comment")
    stage = f' data-stage="{line.stage}" style="--stage:{line.stage}"' if line.stage else ""
    return f'<span class="{" ".join(looks)}"{stage}>{escape(line.text) or " "}\n</span>'


def lights(family: str, running: bool, stage: int = 0, what: Sequence[str] = ()) -> str:
    """Where the training is: everywhere while it runs, at one stage while one walks through it.

    Args:
        running: whether steps are taken, many a second.
        stage: which stage of the loop is shown, counted from 1; 0: none.
        what: what happened in each stage up to that one.
    """
    attributes = ' data-running="1"' if running else f' data-at="{stage}"' if stage else ""
    if not what:
        return f'<div class="lights"{attributes}></div>'
    items = "".join(f"<li>{text}</li>" for text in what)
    return f'<div class="lights"{attributes}><ol>{items}</ol></div>'


def walked(watched: Sequence[tuple[int, str, str]]) -> list[str]:
    """A line of HTML for each stage that one has walked through."""
    several = len({part for _, part, _ in watched}) > 1
    return [
        f"<b>{phase}. {PHASES[phase - 1]}</b> "
        f"<span>{f'<em>{part}</em> ' if several else ''}{escape(words)}</span>"
        for phase, part, words in watched
    ]


def shares(values: np.ndarray) -> list[str]:
    """A line of HTML for each of the six steps: how much of the time it takes."""
    return [
        f"<b>{k + 1}. {name}</b> "
        f'<span class="amount"><i style="width:{100 * share:.0f}%"></i></span>'
        f"<em>{100 * share:.0f} %</em>"
        for k, (name, share) in enumerate(zip(PHASES, values.tolist(), strict=True))
    ]
