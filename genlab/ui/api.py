"""What a script can ask for by gradio_client: plain values in, picture files and JSON out.

Each family that describes an endpoint gets one that draws samples; the others stand here. Every
function is an endpoint of its name; its docstring is the endpoint's description. There is no
``from __future__ import annotations`` here: Gradio reads the types as they stand.
"""

import asyncio
import contextlib
import inspect
import ipaddress
import logging
import uuid
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Literal, get_args, get_origin

import gradio as gr
import numpy as np
from gradio.data_classes import FileData
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder

from genlab.engine.events import FINAL, Event, Failed, Result
from genlab.families.description import Endpoint, FamilyDescription
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.families.vae.request import ReconstructRequest, VAERequest
from genlab.generation_metadata import GenerationMetadata
from genlab.models.examples import examples
from genlab.models.families import FAMILIES
from genlab.requests import Request, SampleRequest, UserError, allowed, parse_request
from genlab.serving.session_runs import Run, Stopped
from genlab.serving.uploads import NO_ROOM
from genlab.settings import Host
from genlab.ui.cells import CellView
from genlab.ui.context import AppContext
from genlab.ui.picture_store import encoded
from genlab.ui.tabs.stable_diffusion.grid import requested_grid
from genlab.ui.tabs.stable_diffusion.grid_table import settings_of, sheet_png

log = logging.getLogger(__name__)


def add_api(context: AppContext) -> None:
    """Register the endpoints; to be called inside the page's Blocks."""
    described = [family for family in FAMILIES.values() if family.endpoint is not None]
    endpoints = [sampling(context, family) for family in described] + handwritten(context)
    for endpoint in endpoints:
        gr.api(endpoint, api_name=endpoint.__name__, concurrency_limit=None)


def sampling(context: AppContext, family: FamilyDescription) -> Callable[..., Coroutine]:
    """The endpoint that a family describes: one parameter a field of its sample request."""
    endpoint, kind = family.endpoint, family.sample_request
    if endpoint is None or kind is None:
        raise ValueError(f"the family {family.name} describes no endpoint for samples")

    async def sample(client: gr.Request, *values: Any) -> tuple[list[dict], dict]:
        given = dict(zip(endpoint.fields, values, strict=True))
        # null is a list's way to say: none
        given = {k: v for k, v in given.items() if v is not None or not _is_list(kind, k)}
        return await answer(context, client, kind, judge=True, **given)

    types = {name: _type(kind.model_fields[name].annotation) for name in endpoint.fields}
    parameters = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=types[name])
        .replace(default=_default(kind, endpoint, name))
        for name in endpoint.fields
    ]  # fmt: skip
    client = inspect.Parameter(
        "client", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=gr.Request
    )
    returned = tuple[list[dict], dict]
    signature = inspect.Signature([client, *parameters], return_annotation=returned)
    sample.__name__ = sample.__qualname__ = endpoint.name
    sample.__doc__ = described(endpoint, kind)
    sample.__annotations__ = {"client": gr.Request, **types, "return": returned}
    sample.__signature__ = signature  # pyright: ignore[reportFunctionMemberAccess]
    return sample


def described(endpoint: Endpoint, kind: type[SampleRequest]) -> str:
    """The description of a sampling endpoint: what it does, and each parameter."""
    explained = []
    for name in endpoint.fields:
        field = kind.model_fields[name]
        words = [field.description or "", allowed(field)]
        explained.append(f"{name}: {', '.join(text for text in words if text not in ('', 'text'))}")
    return f"{endpoint.summary}\n\n{'; '.join(explained)}."


def _default(kind: type[SampleRequest], endpoint: Endpoint, name: str) -> Any:
    if name in endpoint.required:
        return inspect.Parameter.empty
    if name == "checkpoint":
        return endpoint.checkpoint
    return None if _is_list(kind, name) else kind.model_fields[name].default


def _is_list(kind: type[SampleRequest], name: str) -> bool:
    return get_origin(kind.model_fields[name].annotation) is tuple


def _type(annotation: Any) -> Any:
    """A request's type as JSON has it: a list for a tuple, text for a choice."""
    if get_origin(annotation) is Literal:
        return str
    if get_origin(annotation) is tuple:
        item = get_args(annotation)[0]
        return list[getattr(item, "__origin__", item)] | None  # of Annotated[int, ...]: int
    return annotation


def handwritten(context: AppContext) -> list[Callable[..., Coroutine]]:
    """The endpoints that no family describes."""

    async def checkpoints() -> list[dict]:
        """Every usable checkpoint: name, title, family, dataset, its card's metrics, snapshots."""
        return [entry.summary() for entry in context.registry.entries.values()]

    async def vae_reconstruct(
        client: gr.Request, checkpoint: str = "vae-mnist-20d", seed: int = 0, count: int = 10
    ) -> tuple[list[dict], list[dict], dict]:
        """Encode and decode test pictures. Returns originals, reconstructions and figures.

        seed (0 to 4294967295) draws the test pictures, count 1 to 64.
        """
        with sentences():
            drawn = parse_request(VAERequest, checkpoint=checkpoint, seed=seed, count=count)
            dataset = context.registry.entry(drawn.checkpoint).dataset
            pictures = await asyncio.to_thread(examples, context.registry, dataset)
            images = pictures.draw(drawn.count, drawn.seed)
        again, figures = await answer(
            context, client, ReconstructRequest, checkpoint=checkpoint, images=images, judge=True
        )
        return await files(images), again, figures

    async def stable_diffusion_grid(
        client: gr.Request,
        prompt: str,
        columns: str = "num_inference_steps",
        column_values: list = [1, 2, 5, 10, 25],  # noqa: B006 (read only; a client sees it)
        rows: str = "guidance_scale",
        row_values: list = [1, 2, 4, 8, 15],  # noqa: B006
        negative_prompt: str = "",
        num_inference_steps: int = 25,
        guidance_scale: float = 4.0,
        scheduler: str = "dpmpp-2m",
        seed: int = 0,
        checkpoint: str = "stable-diffusion-toybox",
    ) -> tuple[list[dict], list[dict]]:
        """Two settings against each other. Returns files, the labelled sheet first, and the cells.

        columns and rows: two of num_inference_steps, guidance_scale, seed, scheduler,
        negative_prompt; at most 64 cells. A cell has its settings, "file" (an index of the files,
        or null) and "failed" (a sentence, or null).
        """
        with sentences(), begun(context, client) as run:
            base = parse_request(
                StableDiffusionRequest,
                checkpoint=checkpoint, prompt=prompt, negative_prompt=negative_prompt,
                num_inference_steps=num_inference_steps, guidance_scale=guidance_scale,
                scheduler=scheduler, seed=seed,
            )  # fmt: skip
            grid = requested_grid(context, base, columns, column_values, rows, row_values)
            events = await finished(run, grid.requests)
            views = [CellView((event,)) for event in events]
            first = next((event for event in events if isinstance(event, Result)), None)
            if first is None:
                raise UserError(views[0].failed)
        title = context.registry.entry(checkpoint).title
        metadata = metadata_of(context, grid.requests[0], first)[0]
        sheet = await asyncio.to_thread(sheet_png, grid, views, title, metadata)
        drawn, cells = [_file(sheet, "genlab-grid.png")], []
        for request, event in zip(grid.requests, events, strict=True):
            cell: dict[str, Any] = settings_of(request) | {"file": None, "failed": None}
            if isinstance(event, Result):
                cell["file"] = len(drawn)
                pictures = event.files or event.images
                drawn += await files(pictures, metadata_of(context, request, event))
            elif isinstance(event, Failed):
                cell["failed"] = event.message
            cells.append(cell)
        return drawn, cells

    async def stop(client: gr.Request) -> int:
        """End all that this client has running or waiting. Returns how many runs that were."""
        return context.runs.stop(str(client.session_hash))

    return [checkpoints, vae_reconstruct, stable_diffusion_grid, stop]


# --- what they share ------------------------------------------------------------------------


async def answer(
    context: AppContext, client: gr.Request, kind: type[Request], **values: Any
) -> tuple[list[dict], dict]:
    """Serve one request; a wrong value or a failure becomes a gr.Error with its sentence."""
    with sentences(), begun(context, client) as run:
        request = parse_request(kind, **values)
        (event,) = await finished(run, [request])
        if isinstance(event, Failed):
            raise UserError(event.message)
    pictures = await files(event.files or event.images, metadata_of(context, request, event))
    return pictures, dict(event.figures) | {
        "seconds": round(event.seconds, 3), "notes": list(event.notes),
    }  # fmt: skip


def begun(context: AppContext, client: gr.Request) -> Run:
    """A run of its own for one call, so that a client's calls do not replace one another."""
    return context.runs.run(str(client.session_hash), f"api-{uuid.uuid4()}", account_of(client))


def account_of(client: gr.Request) -> str:
    """Whose quota and share of the device a script's call takes: its address's.

    Sessions cost a script nothing, so a loop of calls would take every place. Of IPv6 it is the
    network, in which one machine has as many addresses as it likes. On ZeroGPU it is the session:
    there Hugging Face keeps the accounts, by a token in each call.
    """
    host = client.client.host if client.client is not None else ""
    if not host or Host().zero_gpu:
        return str(client.session_hash)
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host)
        if isinstance(address, ipaddress.IPv6Address):
            host = str(ipaddress.ip_network((address, 64), strict=False))
    return f"scripts at {host}"


async def finished(run: Run, requests: Sequence[Request]) -> list[Result | Failed]:
    """How each of the requests ended; raises UserError, Stopped or Superseded."""

    async def last(events: Any) -> Event:
        return [event async for event in events if isinstance(event, FINAL)][-1]

    ended = await asyncio.gather(*map(last, run.submit(requests)))
    answers = [event for event in ended if isinstance(event, (Result, Failed))]
    if len(answers) < len(ended):
        raise run.ending or Stopped()
    return answers


class sentences:  # noqa: N801 (reads as a statement: with sentences())
    """Turns what a person can mend into the error that Gradio sends on, without a traceback."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, UserError):
            raise gr.Error(str(error), print_exception=False) from None
        if isinstance(error, Stopped):
            raise gr.Error("Stopped.", print_exception=False) from None


def metadata_of(
    context: AppContext, request: Request, result: Result
) -> Sequence[GenerationMetadata]:
    """What each picture's file carries; nothing for pictures that were given, not drawn."""
    if not isinstance(request, SampleRequest):
        return ()
    return context.registry.generation_metadata(request, result.fingerprint)


async def files(
    images: np.ndarray | Sequence[bytes], metadata: Sequence[GenerationMetadata] = ()
) -> list[dict]:
    """Pictures as PNG files of their own size, in the form that gradio_client downloads."""
    inside = [*metadata, *[None] * (len(images) - len(metadata))]
    return await asyncio.to_thread(
        lambda: [
            _file(encoded(image, own), "image.png")
            for image, own in zip(images, inside, strict=True)
        ]
    )


def _file(content: bytes, name: str) -> dict:
    try:
        path = save_bytes_to_cache(content, name, get_upload_folder())
    except OSError as error:
        log.error("the file of a picture cannot be written: %s", error)
        raise gr.Error(NO_ROOM, print_exception=False) from None
    return FileData(path=path).model_dump()
