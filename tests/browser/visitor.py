"""One person in front of the page: what they press, type and see."""

from __future__ import annotations

import re
from dataclasses import dataclass

from playwright.sync_api import BrowserContext, ConsoleMessage, Error, Locator, Request, expect

PATIENCE = 120_000  # milliseconds that a busy two-core machine may take for one thing on the page
expect.set_options(timeout=PATIENCE)
CUT_OFF = re.compile(
    "AbortError|Connection errored out|network error|Failed to fetch|ERR_INTERNET_DISCONNECTED|"
    "ERR_NETWORK|ERR_INCOMPLETE_CHUNKED|ERR_ABORTED",
    re.IGNORECASE,
)
"""What Gradio writes into the console when its page is left, or the network is gone."""
LOOK = """images => Promise.all(images.map(async image => {
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
    let count = 0, sum = 0, squares = 0, hash = 0;
    for (let k = 0; k < data.length; k++) {
        if (k % 4 === 3) continue;
        count += 1; sum += data[k]; squares += data[k] * data[k];
        hash = (hash * 31 + data[k]) | 0;
    }
    const mean = sum / count;
    return {width: canvas.width, height: canvas.height, hash,
            deviation: Math.sqrt(Math.max(0, squares / count - mean * mean))};
}))"""


@dataclass(frozen=True)
class Picture:
    """What the browser drew: size in its own pixels, spread of the values, a checksum."""

    width: int
    height: int
    deviation: float  # of the values from 0 to 255; 0 is a blank picture
    hash: int


class Visitor:
    """A page in a browser window of its own, and what went wrong in its console."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context = context
        self.errors: list[str] = []
        context.set_default_timeout(PATIENCE)
        # As in a school without internet: only the lab's machine answers.
        context.route(
            lambda asked: not asked.startswith((url, "data:", "blob:")), lambda route: route.abort()
        )
        self.page = context.new_page()
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(url)
        self.page.get_by_role("tab").first.wait_for()

    def find(self, name: str) -> Locator:
        """The element of that id."""
        return self.page.locator(f"#{name}")

    def open_tab(self, title: str) -> None:
        """Choose a tab, or a tab within a tab, by its title."""
        self.page.get_by_role("tab", name=title, exact=True).click()

    def enter(self, name: str, value: object) -> None:
        """Type into a number, a slider's number or a text.

        A mode that was opened a moment ago may still be filling in its first values: type again.
        """
        field = self.find(name).locator("input[type=number], textarea, input[type=text]").first
        for _ in range(5):
            field.fill(str(value))
            field.press("Tab")
            self.page.wait_for_timeout(150)
            if field.input_value() == str(value):
                return

    def choose(self, name: str, option: str) -> None:
        """Pick an entry of a dropdown by its words."""
        self.find(name).get_by_role("combobox").click()
        self.page.get_by_role("option", name=option, exact=True).click()

    def generate(self, tab: str) -> None:
        """Press Generate and wait until the run has ended."""
        self.press(f"{tab}-generate")
        self.wait_until_done(tab)

    def press(self, name: str) -> None:
        """Click a button."""
        self.find(name).click()

    def wait_until_done(self, tab: str, timeout: float = PATIENCE) -> None:
        """Wait until the visitor's newest run has ended: pictures, a complaint or Stop.

        What a panel opens with has a note that it was drawn for everybody.
        """
        ends = r"pictures? in|but must|but may|Stopped|no checkpoint"
        expect(self.find(f"{tab}-status")).to_contain_text(
            re.compile(rf"^(?!.*Drawn once).*({ends})", re.S), timeout=timeout
        )
        expect(self.find(f"{tab}-stop")).to_be_disabled(timeout=PATIENCE)

    def wait_until_quiet(self, seconds: float = 1) -> None:
        """Wait until the page has asked the server nothing for so long: what follows a run too."""
        asked: list[str] = []

        def note(request: Request) -> None:
            if "queue/join" in request.url:
                asked.append(request.url)

        self.page.on("request", note)
        try:
            while True:
                asked.clear()
                self.page.wait_for_timeout(1000 * seconds)
                if not asked:
                    return
        finally:
            self.page.remove_listener("request", note)

    def status(self, tab: str) -> str:
        """The sentence under the buttons."""
        return self.find(f"{tab}-status").inner_text().strip()

    def pictures(self, name: str, count: int) -> list[Picture]:
        """The pictures of a gallery or an image, once there are ``count`` of them."""
        images = self.find(name).locator("img")
        expect(images).to_have_count(count, timeout=PATIENCE)
        for _ in range(20):
            try:
                return [Picture(**seen) for seen in images.evaluate_all(LOOK)]
            except Error as error:  # a preview that gave way to the next while it was decoded
                if "EncodingError" not in str(error):
                    raise
                self.page.wait_for_timeout(250)
        return [Picture(**seen) for seen in images.evaluate_all(LOOK)]

    def overflow(self) -> int:
        """How many pixels the page is wider than its window."""
        return self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )

    def _note(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} ({message.location.get('url', '')})")
