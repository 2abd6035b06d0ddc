"""What visitors of a ZeroGPU Space meet, with the real `spaces`: run as a process of its own.

`python -m tests.zerogpu_visits FOLDER` serves the models in FOLDER as `app.py` does on ZeroGPU and
prints one JSON object with a transcript of each visit. The device API is a stub on loopback, and
since there is no GPU, leases draw on the CPU: `spaces` does all else, the forked child included.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.spaces_stub import TOKEN, SpacesStub

LARGE, SMALL = "tiny-sd", "tiny-vae"
PATIENCE = 60  # seconds; on a busy machine a new process takes its time


class Visits:
    """The running Space, and what each visit of it saw."""

    def __init__(self, stub: SpacesStub, folder: Path) -> None:
        import spaces.zero.torch as device  # before torch, as `open_zerogpu` does

        # What a machine without a GPU lacks:
        device.init = lambda uuid: None  # puts a tensor on the GPU
        device.move = lambda callback=None: None  # waits for the GPU
        from genlab.models.registry import Registry
        from genlab.serving.zerogpu import open_zerogpu
        from genlab.settings import Settings

        self.stub = stub
        self.registry = Registry(folder)
        sizes = [self.registry.entry(name).parameters for name in (SMALL, LARGE)]
        settings = Settings(checkpoints=folder, lease_above_millions=sum(sizes) / 2e6)
        assert sizes[0] < sizes[1]
        self.settings = settings
        self.client: Any = open_zerogpu(self.registry, settings, device="cpu")
        self.drawn: list[tuple[int, Any]] = []  # all that leases have sent
        self.client._other._draw = self._noted(self.client._other._draw)

    def _noted(self, draw: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
        def noted(*work: Any) -> Iterator[Any]:
            with closing(draw(*work)) as steps:
                for events in steps:
                    self.drawn.extend(events)
                    yield events

        return noted

    def request(self, steps: int = 6, count: int = 2, **more: Any) -> Any:
        from genlab.families.stable_diffusion.request import StableDiffusionRequest

        asked = {"checkpoint": LARGE, "num_inference_steps": steps, "count": count, "seed": 3}
        return StableDiffusionRequest(**asked | more)

    def visit(
        self, *requests: Any, at: Callable[[str, Any], None] = lambda kind, ticket: None
    ) -> dict[str, Any]:
        """Submit requests at once and follow them; what came and when.

        Args:
            at: called with each event's kind, and the ticket of the first request.
        """
        calls, began = len(self.stub.calls), time.monotonic()
        tickets = [self.client.submit(request, "ada") for request in requests]
        events: list[tuple[float, Any]] = []

        def follow() -> None:
            for event in tickets[0]:
                events.append((time.monotonic() - began, event))
                at(type(event).__name__, tickets[0])

        reader = threading.Thread(target=follow, daemon=True)
        reader.start()
        reader.join(PATIENCE)
        if reader.is_alive():
            raise AssertionError(f"no end after {events}")
        others = [ticket.result() for ticket in tickets[1:]]
        self.wait_until_released()
        last = events[-1][1]
        # a quick run's steps may have gone by between two looks
        moving = [at for at, e in events if type(e).__name__ in ("Progress", "Result")]
        return {
            "kinds": [type(event).__name__ for _, event in events],
            "steps": sorted({e.step for _, e in events if type(e).__name__ == "Progress"}),
            "previews": sum(getattr(event, "preview", None) is not None for _, event in events),
            "first_step_after": round(moving[0], 2) if moving else None,
            "seconds": round(events[-1][0], 2),
            "sentence": getattr(last, "message", ""),
            "others": len(others),
            "calls": [
                {"name": call.name, "after": round(call.at - began, 2), **call.values}
                for call in self.stub.calls[calls:]
            ],
            "images": getattr(last, "images", None),
        }

    def wait_until_released(self) -> None:
        """Return when every lease that was given is released."""
        last_moment = time.monotonic() + PATIENCE
        while len(self.stub.named("release")) < self.stub.granted:
            assert time.monotonic() < last_moment, f"never released: {self.stub.calls}"
            time.sleep(0.02)

    # --- the visits ---------------------------------------------------------------------------

    def small_model(self) -> dict[str, Any]:
        from genlab.families.vae.request import VAERequest

        return self.visit(VAERequest(checkpoint=SMALL, count=2))

    def large_model(self) -> dict[str, Any]:
        return self.visit(self.request(preview_every=1, steps=8))

    def same_picture(self) -> dict[str, Any]:
        """Leased and in this process, with and without company."""
        import numpy as np

        from genlab.serving.thread import ThreadClient

        leased = self.visit(self.request())["images"]
        settings = self.settings.model_copy(update={"device": "cpu"})
        with ThreadClient(self.registry, settings) as own:
            drawn = own.submit(self.request()).result().images
        apart = int(np.abs(leased.astype(int) - drawn.astype(int)).max())
        return {"shape": list(leased.shape), "apart": apart, "spread": int(np.ptp(leased))}

    def many_at_once(self) -> dict[str, Any]:
        return self.visit(*[self.request(count=1, prompt=f"{k}") for k in range(5)])

    def stop(self) -> dict[str, Any]:
        return self.visit(self.request(steps=100, count=16), at=self._stop_at_first_step)

    def _stop_at_first_step(self, kind: str, ticket: Any) -> None:
        if kind == "Progress":
            self.client.cancel(ticket.id)

    def stop_one(self) -> dict[str, Any]:
        """One of two requests of a lease; how far each was drawn."""
        before = len(self.drawn)
        both = self.request(steps=100, count=16), self.request(steps=40, count=1)
        visit = self.visit(*both, at=self._stop_at_first_step)
        drawn: dict[int, list[Any]] = {}
        for ticket_id, event in self.drawn[before:]:
            drawn.setdefault(ticket_id, []).append(event)
        ends = {
            f"{name}'s": [type(events[-1]).__name__, max(getattr(e, "step", 0) for e in events)]
            for name, (_, events) in zip(("first", "second"), sorted(drawn.items()), strict=True)
        }
        return visit | ends

    def killed(self) -> dict[str, Any]:
        def kill(kind: str, ticket: Any) -> None:
            if kind == "Progress" and not killed:
                killed.append(int(self.stub.named("allow")[-1].values["pid"]))
                os.kill(killed[0], signal.SIGKILL)

        killed: list[int] = []
        return self.visit(self.request(steps=100, count=16), at=kill)

    def after_it(self) -> dict[str, Any]:
        return self.visit(self.request())

    def new_model(self) -> dict[str, Any]:
        """One that was downloaded after the leased process had been forked."""
        root = self.registry.root
        shutil.copytree(root / LARGE, root / "newer")
        self.registry.scan()
        return self.visit(self.request(checkpoint="newer"))

    def refused(self, answer: str, token: str | None = None) -> dict[str, Any]:
        from gradio.context import LocalContext

        class Visitor:
            """As much of a request as `spaces` looks at."""

            class Headers(dict):
                pass

            headers = Headers({"x-ip-token": token} if token else {})
            headers.update({"x-gradio-user": "app"})

        self.stub.answers.append(answer)
        mark = LocalContext.request.set(Visitor())  # type: ignore[arg-type]
        try:
            return self.visit(self.request())
        finally:
            LocalContext.request.reset(mark)

    def page(self) -> dict[str, Any]:
        """A picture through the page's API, by a visitor who is logged in."""
        from gradio_client import Client as Visitor

        from genlab.ui.page import AppContext, build_page, launch_options

        context = AppContext(self.settings, self.registry, self.client)
        page = build_page(context).queue(default_concurrency_limit=None, max_size=10_000)
        _, url, _ = page.launch(
            server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, **launch_options(context)
        )
        visitor = Visitor(url, headers={"x-ip-token": TOKEN}, verbose=False)
        files, figures = visitor.predict(
            "a", "", 4, 4.0, "ddim", 3, 1, LARGE, api_name="/stable_diffusion_sample"
        )
        self.wait_until_released()
        asked = self.stub.named("schedule")[-1].values
        page.close()
        return {
            "startup_reports": len(self.stub.named("startup-report")),
            "files": len(files),
            "token": asked.get("token"),
            "seconds": figures.get("seconds"),
        }


def main(folder: Path) -> None:
    with SpacesStub() as stub, tempfile.TemporaryDirectory() as own:
        group = Path(own, "cgroup")
        group.write_text("0::/stub\n")
        os.environ |= {
            "SPACES_ZERO_GPU": "true",
            "SPACES_ZERO_DEVICE_API_URL": stub.url,
            "ZEROGPU_PROC_SELF_CGROUP_PATH": str(group),
            "GRADIO_TEMP_DIR": str(Path(own, "uploads")),
            "HOME": own,
            "HF_HUB_OFFLINE": "1",
        }
        import genlab  # noqa: F401  # switches off what would report home

        visits = Visits(stub, folder)
        found: dict[str, Any] = {}
        with visits.client:
            visits.client.wait_until_ready()
            for name, visit in {
                "small model": visits.small_model,
                "large model": visits.large_model,
                "same picture": visits.same_picture,
                "many at once": visits.many_at_once,
                "stop": visits.stop,
                "after stop": visits.after_it,
                "stop one": visits.stop_one,
                "killed": visits.killed,
                "after killed": visits.after_it,
                "over quota": lambda: visits.refused("over quota", TOKEN),
                "over quota, nobody": lambda: visits.refused("over quota"),
                "queue failed": lambda: visits.refused("queue failed", TOKEN),
                "too long": lambda: visits.refused("too long"),
                "no gpu": lambda: visits.refused("no gpu"),
                "after refusals": visits.after_it,
                "new model": visits.new_model,
                "page": visits.page,
            }.items():
                found[name] = visit()
                found[name].pop("images", None)
                print(f"{name}: {json.dumps(found[name])}", file=sys.stderr, flush=True)
            found["restarts"] = visits.client.figures().restarts
        print("\n" + json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
