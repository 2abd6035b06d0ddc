"""Takes the pictures in docs/screenshots: starts the app, generates in each tab, looks at it.

``make screenshots`` runs it; ``python docs/screenshots.py --url http://127.0.0.1:7860`` uses an app
that runs already. It fails if the browser's console shows an error or a phone scrolls sideways.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

PROJECT = Path(__file__).resolve().parent.parent
FOLDER = PROJECT / "docs" / "screenshots"
VIEWS = {  # file name: the tabs to open, and the name that its buttons begin with
    "guide": (["Lab guide"], ""),
    "vae": (["VAE"], "vae"),
    "vae-reconstruct": (["VAE", "Reconstruct"], "vae-reconstruct"),
    "vae-codes": (["VAE", "2-D codes"], "vae-codes"),
    "gan": (["GAN"], "gan"),
    "latents": (["Latents"], "latents-walk"),
    "latents-between": (["Latents", "Between pictures"], "latents-between"),
    "latents-dimensions": (["Latents", "Single dimensions"], "latents-dimensions"),
    "latents-draw": (["Latents", "Draw a digit"], "latents-draw"),
    "latents-noise": (["Latents", "Noise"], "latents-noise"),
    "guidance": (["Guidance", "Side by side"], "guidance"),
    "guidance-film": (["Guidance", "Filmstrip"], "guidance-film"),
    "guidance-steps": (["Guidance", "Steps"], "guidance-ladder"),
    "guidance-scale": (["Guidance", "Scale"], "guidance-scales"),
    "stable-diffusion": (["Stable Diffusion"], "sd"),
    "stable-diffusion-grid": (["Stable Diffusion", "Grid"], "sd-grid"),
    "stable-diffusion-scale": (["Stable Diffusion", "Curves"], "sd-curve-scale"),
    "stable-diffusion-cfg": (["Stable Diffusion", "What CFG does"], "sd-cfg"),
    "stable-diffusion-few-steps": (["Stable Diffusion", "Few steps"], "sd-few"),
    "stable-diffusion-redraw": (["Stable Diffusion", "Redraw"], "sd-redraw"),
    "compare": (["Compare"], "compare"),
    "train": (["Train"], "train"),
}
WIDTHS = {1440: 900, 390: 844}  # a projector and a phone: width and height in pixels
SCHEMES = ("light", "dark")
PATIENCE = 300_000  # milliseconds


def main() -> None:
    """Take every picture, or those of the views named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("views", nargs="*", default=list(VIEWS), help=", ".join(VIEWS))
    parser.add_argument("--url", help="an app that runs already")
    chosen = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        url = chosen.url or stack.enter_context(running_app())
        browser = stack.enter_context(chromium())
        for width, height in WIDTHS.items():
            for scheme in SCHEMES:
                with opened(browser, f"{url}/?__theme={scheme}", width, height) as page:
                    for view in chosen.views:
                        take(page, view, FOLDER / f"{view}-{width}-{scheme}.png")


def take(page: Page, view: str, path: Path) -> None:
    """Generate in one view and keep what it looks like."""
    tabs, name = VIEWS[view]
    for tab in tabs:
        page.get_by_role("tab", name=tab, exact=True).click()
    if name == "train":
        learn(page)
    elif name:
        generate(page, name)
    else:
        answer(page)
    page.mouse.move(0, 0)
    page.wait_for_timeout(1500)  # plots draw themselves, and hovered pictures shrink
    sideways = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    if sideways > 0:
        raise SystemExit(f"{path.name}: the page is {sideways} pixels wider than the window")
    page.screenshot(path=path, full_page=True)
    print(path.relative_to(PROJECT))


def generate(page: Page, name: str) -> None:
    """Press a panel's button and wait for its pictures: not those that everybody is shown first."""
    page.click(f"#{name}-generate")
    expect(page.locator(f"#{name}-status")).to_contain_text(
        re.compile(r"^(?!.*Drawn once).*pictures? in", re.S), timeout=PATIENCE
    )
    expect(page.locator(f"#{name}-stop")).to_be_disabled(timeout=PATIENCE)


def learn(page: Page) -> None:
    """Train for ten seconds, and walk to the fourth of the six steps."""
    page.click("#train-generate")
    status = page.locator("#train-status")
    expect(status).to_contain_text("a second", timeout=PATIENCE)
    page.wait_for_timeout(10_000)
    page.click("#train-pause")
    expect(status).to_contain_text("Paused", timeout=PATIENCE)
    for count in range(1, 5):
        page.click("#train-step")
        expect(page.locator("#train-lights li")).to_have_count(count, timeout=PATIENCE)


def answer(page: Page) -> None:
    """Predict in the guide's open question, and reveal its answer."""
    question = page.locator(".guide-step[data-here]")
    question.locator("img").first.wait_for(timeout=PATIENCE)
    question.get_by_role("radio").nth(1).check()
    question.locator("[data-reveal]").click()


@contextlib.contextmanager
def opened(browser: Browser, url: str, width: int, height: int) -> Iterator[Page]:
    """A page in a window of that size; errors in its console end the script."""
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url)
    page.get_by_role("tab").first.wait_for(timeout=PATIENCE)
    yield page
    context.close()
    if errors:
        raise SystemExit("The browser's console shows: " + "; ".join(errors))


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, or whatever of its family is installed."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        raise SystemExit("There is no Chromium here: run `make chromium` first.")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()


@contextlib.contextmanager
def running_app() -> Iterator[str]:
    """The app in a process of its own, on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    app = subprocess.Popen([sys.executable, "app.py", "--port", str(port)], cwd=PROJECT)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(app, url)
        yield url
    finally:
        app.terminate()
        app.wait(30)


def wait_for(app: subprocess.Popen[bytes], url: str) -> None:
    """Return once the app answers; end the script if it ends first or takes four minutes."""
    last = time.monotonic() + 240
    while time.monotonic() < last and app.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise SystemExit("The app did not start.")


if __name__ == "__main__":
    main()
