"""What a teacher would set up without GenLab: a plain Gradio app round the stock pipeline.

Gradio's own queue lets one request in at a time. With ``--runtime onnx`` the same networks run as
the graphs that GenLab runs, so that what batching gives can be told from what the runtime gives.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

import gradio as gr
import torch
from diffusers import StableDiffusionPipeline
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from benchmarks.serve_toybox import open_stock
from genlab.diffusion.schedulers import make_scheduler
from genlab.engine.graph import Graph
from genlab.serving.loop_lag import LoopLag
from genlab.settings import Settings

CHECKPOINT = "stable-diffusion-toybox"


def as_graphs(pipeline: StableDiffusionPipeline) -> None:
    """Let ONNX Runtime run the UNet and the decoder of a stock pipeline."""
    unet, vae = pipeline.unet, pipeline.vae
    forward, decode = unet.forward, vae.decode
    noise = Graph(lambda x, t, c: forward(x, t, encoder_hidden_states=c).sample, unet)
    pictures = Graph(lambda z: decode(z).sample, vae)

    def predict(sample: Any, timestep: Any, encoder_hidden_states: Any, **_: Any) -> Any:
        return (noise(sample, timestep.expand(len(sample)), encoder_hidden_states),)

    unet.forward = predict
    vae.decode = lambda z, **_: (pictures(z),)


def build(draw: Callable[..., Any]) -> gr.Blocks:
    """Prompt, settings, a button and the picture; named as on GenLab's page."""
    with gr.Blocks(analytics_enabled=False) as page:
        inputs = [
            gr.Textbox(elem_id="sd-prompt"),
            gr.Number(25, elem_id="sd-steps", precision=0),
            gr.Number(4.0, elem_id="sd-guidance"),
            gr.Number(0, elem_id="sd-seed", precision=0),
            gr.Number(1, elem_id="sd-count", precision=0),
        ]
        button = gr.Button("Generate", elem_id="sd-generate")
        button.click(draw, inputs, gr.Image(type="pil", format="png"))
    return page


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--runtime", choices=("eager", "onnx"), default="eager")
    given = parser.parse_args()
    settings = Settings()
    pipeline = open_stock(settings, CHECKPOINT)
    if given.runtime == "onnx":
        as_graphs(pipeline)
    pipeline.scheduler = make_scheduler("dpmpp-2m", pipeline.scheduler.config)

    def draw(prompt: str, steps: int, scale: float, seed: int, count: int) -> Any:
        return pipeline(
            prompt,
            num_inference_steps=steps,
            guidance_scale=scale,
            num_images_per_prompt=count,
            generator=[torch.Generator().manual_seed(seed + k) for k in range(count)],
        ).images[0]

    lag = LoopLag()

    async def health(request: Request) -> JSONResponse:
        seconds = int(request.query_params.get("seconds", "60"))
        return JSONResponse({"device": "cpu", "loop_lag_seconds": lag.figures(seconds)})

    @asynccontextmanager
    async def beside(app: Any) -> Any:
        async with lag.watching():
            yield

    build(draw).queue().launch(
        server_port=given.port,
        quiet=True,
        ssr_mode=False,
        app_kwargs={"routes": [Route("/healthz", health)], "lifespan": beside},
    )


if __name__ == "__main__":
    main()
