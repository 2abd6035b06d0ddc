"""What a script can ask for by gradio_client: plain values in, picture files and JSON out.

Every function is an endpoint of its name; its docstring is the endpoint's description. There is no
``from __future__ import annotations`` here: Gradio reads the return types as they stand.
"""

import asyncio
import uuid
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import gradio as gr
import numpy as np
from gradio.data_classes import FileData
from gradio.processing_utils import save_bytes_to_cache, save_pil_to_cache
from gradio.utils import get_upload_folder

from genlab.engine import Failed, Result
from genlab.families.gan.runner import snapshot_steps
from genlab.generation_metadata import Recipe, put
from genlab.images import to_pil
from genlab.models.examples import examples
from genlab.requests import (
    GANRequest,
    PixelDiffusionRequest,
    ReconstructRequest,
    Request,
    SampleRequest,
    StableDiffusionRequest,
    UserError,
    VAERequest,
    ask,
)
from genlab.serving.session_runs import Stopped
from genlab.ui.context import Lab
from genlab.ui.live_run import finished, follow, judged
from genlab.ui.tabs.stable_diffusion.grid import planned
from genlab.ui.tabs.stable_diffusion.grid_table import Table, settings_of


def add_api(lab: Lab) -> None:
    """Register the endpoints; to be called inside the page's Blocks."""

    async def checkpoints() -> list[dict]:
        """Every usable checkpoint: name, title, family, dataset, its card's metrics, snapshots."""
        return [
            {
                "name": entry.name,
                "title": entry.title,
                "family": entry.family,
                "dataset": entry.dataset,
                "metrics": dict(entry.metrics),
                "snapshots": snapshot_steps(entry.folder) if entry.family == "gan" else [],
            }
            for entry in lab.catalogue.entries.values()
        ]

    async def vae_sample(
        client: gr.Request,
        checkpoint: str = "vae-mnist-20d",
        seed: int = 0,
        count: int = 16,
        temperature: float = 1.0,
    ) -> tuple[list[dict], dict]:
        """Decode temperature * z, z ~ N(0, I). Returns picture files and figures.

        seed 0 to 4294967295, count 1 to 64, temperature 0 to 3.
        """
        return await answer(
            client, VAERequest,
            checkpoint=checkpoint, seed=seed, count=count, temperature=temperature,
        )  # fmt: skip

    async def vae_reconstruct(
        client: gr.Request, checkpoint: str = "vae-mnist-20d", seed: int = 0, count: int = 10
    ) -> tuple[list[dict], list[dict], dict]:
        """Encode and decode test pictures. Returns originals, reconstructions and figures.

        seed (0 to 4294967295) draws the test pictures, count 1 to 64.
        """
        with sentences():
            drawn = ask(VAERequest, checkpoint=checkpoint, seed=seed, count=count)
            known = examples(lab.catalogue, lab.catalogue.entry(drawn.checkpoint).dataset)
            images = known.draw(drawn.count, drawn.seed)
        again, figures = await answer(
            client, ReconstructRequest, checkpoint=checkpoint, images=images
        )
        return files(images), again, figures

    async def gan_sample(
        client: gr.Request,
        checkpoint: str = "dcgan-mnist",
        seed: int = 0,
        count: int = 16,
        snapshot: int | None = None,
    ) -> tuple[list[dict], dict]:
        """Run a generator. Returns picture files and figures (with D's scores).

        seed 0 to 4294967295, count 1 to 64; snapshot is a training step that /checkpoints lists,
        or null for the finished generator.
        """
        return await answer(
            client, GANRequest, checkpoint=checkpoint, seed=seed, count=count, snapshot=snapshot
        )

    async def pixel_diffusion_sample(
        client: gr.Request,
        labels: list[int] | None = None,
        guidance: str = "classifier-free",
        guidance_scale: float = 2.0,
        num_inference_steps: int = 50,
        scheduler: str = "ddim",
        eta: float = 0.0,
        seed: int = 0,
        count: int = 16,
        checkpoint: str = "ddpm-mnist",
        classifier: str | None = None,
    ) -> tuple[list[dict], dict]:
        """Digits or garments from noise. Returns picture files and figures.

        labels: classes 0 to 9, of which picture k is labels[k % len(labels)]; guidance none,
        classifier-free or classifier; guidance_scale 0 to 50; num_inference_steps 1 to 1000;
        scheduler ddim, ddpm, dpmpp-2m or euler; eta 0 to 1, for ddim; count 1 to 64; classifier
        is the one to follow, or null for the one that the checkpoint's card names.
        """
        return await answer(
            client, PixelDiffusionRequest,
            checkpoint=checkpoint, labels=labels or [], guidance=guidance,
            guidance_scale=guidance_scale, num_inference_steps=num_inference_steps,
            scheduler=scheduler, eta=eta, seed=seed, count=count, classifier=classifier,
        )  # fmt: skip

    async def stable_diffusion_sample(
        client: gr.Request,
        prompt: str,
        negative_prompt: str = "",
        num_inference_steps: int = 25,
        guidance_scale: float = 4.0,
        scheduler: str = "dpmpp-2m",
        seed: int = 0,
        count: int = 4,
        checkpoint: str = "stable-diffusion-toybox",
    ) -> tuple[list[dict], dict]:
        """Text to image. Returns picture files and figures; figures["notes"] says what was cut.

        num_inference_steps 1 to 100, guidance_scale 0 to 20, count 1 to 16, seed 0 to 4294967295,
        scheduler one of ddim, euler, euler-ancestral, dpmpp-2m, pndm, ddpm.
        """
        return await answer(
            client, StableDiffusionRequest,
            checkpoint=checkpoint, prompt=prompt, negative_prompt=negative_prompt,
            num_inference_steps=num_inference_steps, guidance_scale=guidance_scale,
            scheduler=scheduler, seed=seed, count=count,
        )  # fmt: skip

    async def stable_diffusion_grid(
        client: gr.Request,
        prompt: str,
        columns: str = "num_inference_steps",
        column_values: list = [1, 2, 5, 10, 25],  # noqa: B006 (read only; a client sees it)
        rows: str = "guidance_scale",
        row_values: list = [0, 1, 2, 4, 8, 15],  # noqa: B006
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
        with sentences(), lab.desk.run(str(client.session_hash), f"api-{uuid.uuid4()}") as run:
            base = ask(
                StableDiffusionRequest,
                checkpoint=checkpoint, prompt=prompt, negative_prompt=negative_prompt,
                num_inference_steps=num_inference_steps, guidance_scale=guidance_scale,
                scheduler=scheduler, seed=seed,
            )  # fmt: skip
            wanted = planned(lab, base, columns, column_values, rows, row_values)
            async with aclosing(follow(run, run.submit(wanted.requests), apart=True)) as moments:
                events = [seen async for seen in moments][-1]
            table = await asyncio.to_thread(Table, wanted, lab.catalogue)
        path = save_bytes_to_cache(table.png(events), "genlab-grid.png", get_upload_folder())
        drawn, cells = [FileData(path=path).model_dump()], []
        for request, event in zip(wanted.requests, events, strict=True):
            cell: dict[str, Any] = settings_of(request) | {"file": None, "failed": None}
            if isinstance(event, Result):
                cell["file"] = len(drawn)
                drawn += files(event.images, lab.catalogue.recipes(request))
            elif isinstance(event, Failed):
                cell["failed"] = event.message
            cells.append(cell)
        return drawn, cells

    async def stop(client: gr.Request) -> int:
        """End all that this client has running or waiting. Returns how many runs that were."""
        return lab.desk.stop(str(client.session_hash))

    async def answer(client: gr.Request, kind: type[Request], **values: Any) -> tuple[list, dict]:
        """Serve one request; a wrong value or a failure becomes a gr.Error with its sentence."""
        with sentences(), lab.desk.run(str(client.session_hash), f"api-{uuid.uuid4()}") as run:
            request = ask(kind, **values)
            (result,) = await finished(run, [request])
            (figures,) = await judged(lab, run, [request], [result])
            recipes = []
            if isinstance(request, SampleRequest):  # reads the weights, so in a thread
                recipes = await asyncio.to_thread(lab.catalogue.recipes, request)
        told = {"seconds": round(result.seconds, 3), "notes": list(result.notes)}
        return files(result.images, recipes), figures | told

    for endpoint in (
        checkpoints, vae_sample, vae_reconstruct, gan_sample, pixel_diffusion_sample,
        stable_diffusion_sample, stable_diffusion_grid, stop,
    ):  # fmt: skip
        gr.api(endpoint, api_name=endpoint.__name__, concurrency_limit=None)


class sentences:  # noqa: N801 (reads as a statement: with sentences())
    """Turns what a person can mend into the error that Gradio sends on, without a traceback."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, UserError):
            raise gr.Error(str(error), print_exception=False) from None
        if isinstance(error, Stopped):
            raise gr.Error("Stopped.", print_exception=False) from None


def files(images: np.ndarray, recipes: Sequence[Recipe] = ()) -> list[dict]:
    """Pictures as PNG files of their own size, in the form that gradio_client downloads.

    Recipes, if there are any, are one a picture; each PNG carries its own.
    """
    folder = get_upload_folder()
    pictures = [to_pil(image) for image in images]
    if recipes:
        pictures = [put(p, told) for p, told in zip(pictures, recipes, strict=True)]
    return [
        FileData(path=save_pil_to_cache(p, folder, format="png")).model_dump() for p in pictures
    ]
