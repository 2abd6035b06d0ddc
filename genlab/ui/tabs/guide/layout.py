"""The guide's elements as HTML. Knows no component, no model and no run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from html import escape

from genlab.ui.tabs.guide.source import Excerpt, excerpt_html
from genlab.ui.tabs.guide.steps import Experiment, GuideStep
from genlab.ui.tabs.guide.words import GuideWords, StepWords, inline

log = logging.getLogger(__name__)

SAID_BY_SCRIPT = ("progress", "done", "right", "yours", "agreed", "differed", "first", "back")
"""The words of the page that only the browser knows when to say."""


def contents(words: GuideWords, steps: Sequence[GuideStep]) -> str:
    """The list of questions with what of them is done, and the words that the script says."""
    page = words.page
    data = " ".join(f'data-{name}="{escape(page[name])}"' for name in SAID_BY_SCRIPT)
    items = "".join(
        f'<li><button type="button" data-go="{step.key}"><b>{k}</b>'
        f"<span>{inline(words.steps[step.key].title)}</span>"
        '<span class="said-only" data-state></span></button></li>'
        for k, step in enumerate(steps, start=1)
    )
    return (
        f'<div data-words {data}></div><p class="intro">{escape(page["intro"])}</p>'
        f'<nav aria-label="{escape(page["steps"])}"><ol>{items}</ol></nav>'
        '<div class="bar"><i></i></div><p class="tally"><span role="status" data-tally></span>'
        f'<button type="button" class="plain" data-forget hidden>{page["forget"]}</button></p>'
    )


def heading(words: GuideWords, own: StepWords, k: int, count: int) -> str:
    """A question and what is to be known before it is answered."""
    number = words.page["number"].format(k=k + 1, all=count)
    return (
        f'<p class="number">{number}</p><h2 tabindex="-1">{inline(own.question)}</h2>'
        f'<p class="setup">{inline(own.setup)}</p>'
    )


def asking(words: GuideWords, own: StepWords, step: GuideStep) -> str:
    """Predict, run, reveal."""
    page = words.page
    choices = "".join(
        f'<label><input type="radio" name="guide-choice-{step.key}" value="{k}">'
        f"<span>{inline(choice)}</span><small></small></label>"
        for k, choice in enumerate(own.choices)
    )
    first, *others = zip(step.experiments, own.experiments, strict=True)
    more = "".join(
        f'<li><button type="button" class="plain" {_runs(k, experiment)}>{inline(text)}</button>'
        "</li>"
        for k, (experiment, text) in enumerate(others, start=1)
    )
    return (
        f'<div class="asking" data-right="{step.right}">'
        f"<section><h3><b>1</b>{page['predict']}</h3><fieldset><legend>{inline(own.predict)}"
        f"</legend>{choices}</fieldset></section>"
        f"<section><h3><b>2</b>{page['run']}</h3><p>{inline(first[1])}</p>"
        f'<button type="button" class="act" {_runs(0, first[0])}>{page["run_button"]}</button>'
        f'<p class="look" data-look>{inline(own.look)}</p>'
        + (f'<div class="more"><p>{page["more"]}</p><ul>{more}</ul></div>' if more else "")
        + f"</section><section><h3><b>3</b>{page['reveal']}</h3>"
        f'<button type="button" class="act" data-reveal>{page["reveal_button"]}</button>'
        '<p class="first" role="alert" data-note></p>'
        '<p class="verdict" role="status" data-verdict></p></section></div>'
    )


def code(words: GuideWords, own: StepWords, step: GuideStep) -> str:
    """Real lines of this repository, each piece under what it does."""
    pieces = [six(words)] if any(excerpt.six_steps for excerpt in step.excerpts) else []
    for excerpt, caption in zip(step.excerpts, own.code, strict=True):
        pieces.append(_piece(words, excerpt, caption))
    return f"<h3>{words.page['code']}</h3>{''.join(pieces)}"


def six(words: GuideWords) -> str:
    """The six steps of training, named and explained, under the numbers that mark their lines."""
    pairs = zip(words.six["names"], words.six["what"], strict=True)
    items = "".join(
        f'<li data-step="{k}"><b>{escape(name)}</b> {escape(what)}</li>'
        for k, (name, what) in enumerate(pairs, start=1)
    )
    return f'<ol class="six" aria-label="{escape(words.six["heading"])}">{items}</ol>'


def onward(words: GuideWords, steps: Sequence[GuideStep], k: int) -> str:
    """Buttons to the questions before and after."""

    def button(name: str, other: int) -> str:
        if other not in range(len(steps)):
            return "<span></span>"
        title = inline(words.steps[steps[other].key].title)
        return (
            f'<button type="button" class="onward-{name}" data-go="{steps[other].key}">'
            f"<small>{words.page[name]}</small>{title}</button>"
        )

    return f'<div class="onward">{button("previous", k - 1)}{button("next", k + 1)}</div>'


def _piece(words: GuideWords, excerpt: Excerpt, caption: str) -> str:
    """The lines under their caption; "" if the file has changed so that they are not found."""
    try:
        lines = excerpt.lines()
    except ValueError as error:
        log.warning("The guide does not show %s: %s", excerpt.path, error)
        return ""
    first, last = lines[0].number, lines[-1].number
    said = words.page["code_line" if first == last else "code_lines"]
    where = said.format(path=excerpt.path, first=first, last=last)
    return (
        f'<figure class="code"><figcaption><span>{inline(caption)}</span> '
        f"<code>{escape(where)}</code>"
        f"</figcaption>{excerpt_html(lines, where)}</figure>"
    )


def _runs(k: int, experiment: Experiment) -> str:
    return f'data-run="{k}" data-query="{escape(experiment.query)}"'
