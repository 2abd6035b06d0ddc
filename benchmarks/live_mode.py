"""Live mode on the page: from a moved slider to the new picture, against pressing Generate.

Drives the real page in Chromium. Both draw one Toybox picture of the same number of steps.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from collections.abc import Callable

from playwright.sync_api import Page, expect

from benchmarks.serving import median
from docs.screenshots import PATIENCE, chromium, opened, running_app

CHANGED = "before => document.querySelector('#sd-gallery img').getAttribute('src') !== before"
DONE = "() => document.querySelector('#sd-stop').disabled"


def seconds_to_picture(page: Page, act: Callable[[], None]) -> tuple[float, float]:
    """Seconds from an act until another picture shows, a preview included, and until it is done.

    The page is asked at each frame that it draws: Playwright's ``expect`` looks after 0.1, 0.35,
    0.85 and 1.85 seconds only.
    """
    before = page.locator("#sd-gallery img").first.get_attribute("src") or ""
    begun = time.perf_counter()
    act()
    page.wait_for_function(CHANGED, arg=before, timeout=PATIENCE)
    first = time.perf_counter() - begun
    page.wait_for_function(DONE, timeout=PATIENCE)
    return first, time.perf_counter() - begun


def compare(page: Page, rounds: int) -> dict[str, float]:
    """Press Generate after each move of the guidance slider, then let live mode do it.

    Returns:
        Medians in seconds, to the first change of the picture and to the finished one, and
        ``ratio``, live mode's finished over Generate's.
    """
    page.get_by_role("tab", name="Stable Diffusion", exact=True).click()
    count = page.locator("#sd-count input[type=number]").first
    count.fill("1")
    count.press("Tab")
    slider = page.locator("#sd-guidance input[type=range]")
    generate, live = page.locator("#sd-generate"), page.locator("#sd-live").get_by_role("checkbox")
    generate.click()  # loads the weights
    expect(page.locator("#sd-gallery img")).to_have_count(1, timeout=PATIENCE)
    expect(page.locator("#sd-stop")).to_be_disabled(timeout=PATIENCE)
    pressed, moved = [], []
    for _ in range(rounds):
        slider.press("ArrowRight")
        pressed.append(seconds_to_picture(page, generate.click))
    seconds_to_picture(page, live.check)
    for _ in range(rounds):
        moved.append(seconds_to_picture(page, lambda: slider.press("ArrowLeft")))
    figures = {}
    for side, seconds in (("pressed", pressed), ("moved", moved)):
        figures[f"{side}_first_seconds"] = median([first for first, _ in seconds])
        figures[f"{side}_done_seconds"] = median([done for _, done in seconds])
    return figures | {"ratio": figures["moved_done_seconds"] / figures["pressed_done_seconds"]}


def main() -> None:
    """Parse the command line, start the app unless one is named, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="an app that runs already")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        url = given.url or stack.enter_context(running_app())
        browser = stack.enter_context(chromium())
        page = stack.enter_context(opened(browser, url, 1280, 900))
        figures = compare(page, given.rounds)
    if given.json:
        print(json.dumps(figures, indent=2))
        return
    print(f"{'seconds until':20}{'Generate':>9}{'live':>9}")
    for when in ("first", "done"):
        pair = "".join(f"{figures[f'{side}_{when}_seconds']:9.2f}" for side in ("pressed", "moved"))
        print(f"{'a picture changes' if when == 'first' else 'it is finished':20}{pair}")
    print(f"live takes {figures['ratio']:.2f}x the time")


if __name__ == "__main__":
    main()
