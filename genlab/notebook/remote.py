"""A Lab at an address: the API of a GenLab that runs there, by `gradio_client`. No torch."""

from __future__ import annotations

import io
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from PIL import Image

from genlab.families.description import Endpoint
from genlab.models.families import FAMILIES
from genlab.notebook.lab import Lab, drawing
from genlab.notebook.pictures import Pictures
from genlab.notebook.progress import ProgressDisplay
from genlab.requests import SampleRequest, UserError

POLL_SECONDS = 0.1


class RemoteLab(Lab):
    """Asks a GenLab by its address.

    Args:
        url: its address, or OWNER/NAME of a Space.
        options: of `gradio_client.Client`.
    """

    def __init__(self, url: str, **options: Any) -> None:
        try:
            gradio_client = import_module("gradio_client")
        except ImportError:
            raise UserError(
                "To ask a GenLab by its address, gradio_client is needed: pip install gradio_client"
            ) from None
        self._error = import_module("gradio_client.exceptions").AppError
        self._files = tempfile.TemporaryDirectory(prefix="genlab-")
        ours = {"verbose": False, "analytics_enabled": False, "download_files": self._files.name}
        try:
            self._client = gradio_client.Client(url, **ours | options)
        except Exception as error:  # of httpx, of JSON or its own, as the address is wrong
            raise UserError(f"No GenLab answers at {url}: {error}") from error

    def checkpoints(self) -> list[dict[str, Any]]:
        return self._client.predict(api_name="/checkpoints")

    def sample(self, checkpoint: str, **settings: Any) -> Pictures:
        found = {entry["name"]: entry for entry in self.checkpoints()}
        if checkpoint not in found:
            names = ", ".join(found)
            raise UserError(f"There is no checkpoint called {checkpoint!r}; there are: {names}.")
        endpoint = endpoint_of(checkpoint, found[checkpoint]["family"], settings)
        with ProgressDisplay(found[checkpoint]["title"]) as progress:
            job = self._client.submit(
                checkpoint=checkpoint, **settings, api_name=f"/{endpoint.name}"
            )
            try:
                while not job.done():
                    status = job.status()
                    waits = f"waiting, number {status.rank + 1}" if status.rank else "drawing"
                    progress.say(waits)
                    time.sleep(POLL_SECONDS)
                files, figures = job.result()
            except self._error as error:
                raise UserError(str(error)) from None
            except BaseException:  # the notebook's Interrupt
                self._client.predict(api_name="/stop")
                raise
        return Pictures(tuple(_taken(Path(file)) for file in files), figures)

    def close(self) -> None:
        self._client.close()
        self._files.cleanup()


def endpoint_of(checkpoint: str, family: str, settings: dict[str, Any]) -> Endpoint:
    """What to call for a checkpoint; raises UserError for a setting that it does not take."""
    _, kind = drawing(checkpoint, family)
    endpoint = _endpoints()[kind]
    unknown = [name for name in settings if name not in endpoint.fields]
    if unknown:
        raise UserError(
            f"/{endpoint.name} has no setting called {unknown[0]}; it has "
            f"{', '.join(endpoint.fields)}."
        )
    missing = [name for name in endpoint.required if name not in settings]
    if missing:
        raise UserError(f"{missing[0]} is missing.")
    return endpoint


def _endpoints() -> dict[type[SampleRequest], Endpoint]:
    """By the kind of request, which families share: any text-to-image model has one endpoint."""
    return {
        family.sample_request: family.endpoint
        for family in FAMILIES.values()
        if family.endpoint is not None and family.sample_request is not None
    }


def _taken(path: Path) -> Image.Image:
    """A downloaded picture, metadata included; the file is removed."""
    image = Image.open(io.BytesIO(path.read_bytes()))
    image.load()
    path.unlink()
    return image
