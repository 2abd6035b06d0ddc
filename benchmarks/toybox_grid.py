"""One Toybox picture, and a 5x5 grid of them: GenLab's engine against the stock pipeline.

The cells of the grid differ in steps and guidance scale; the stock pipeline draws them one by one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from benchmarks.serve_toybox import open_stock, stock
from benchmarks.serving import Figures, Serve, duels, genlab, open_house, table, warm_up
from genlab.families.stable_diffusion.request import StableDiffusionRequest
from genlab.requests import UserError
from genlab.settings import Settings

PROMPT = "a red 7 on a blue background"
STEPS = (5, 10, 15, 20, 25)
SCALES = (1.0, 2.0, 4.0, 7.5, 12.0)


def cell(checkpoint: str, steps: int, scale: float) -> StableDiffusionRequest:
    """One picture, by the page's own scheduler."""
    return StableDiffusionRequest(
        checkpoint=checkpoint,
        prompt=PROMPT,
        seed=42,
        count=1,
        num_inference_steps=steps,
        guidance_scale=scale,
    )


def compare(checkpoint: str, rounds: int, settings: Settings) -> Figures:
    """Both in turns, for one picture and for the grid; see ``duels``."""
    with open_house(settings, checkpoint) as client:
        pipeline = open_stock(settings, checkpoint)

        def both(requests: Sequence[StableDiffusionRequest]) -> tuple[Serve, Serve]:
            return lambda: stock(pipeline, requests), lambda: genlab(client, requests)

        grid = [cell(checkpoint, steps, scale) for steps in STEPS for scale in SCALES]
        warm_up(*both([cell(checkpoint, 2, 4.0)]), both(grid[:10])[1])
        cases = {
            "one picture, 25 steps": both([cell(checkpoint, 25, 4.0)]),
            f"a {len(STEPS)}x{len(SCALES)} grid": both(grid),
        }
        return duels(cases, rounds)


def main() -> None:
    """Parse the command line, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", default="stable-diffusion-toybox")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    try:
        figures = compare(given.checkpoint, given.rounds, Settings())
    except UserError as error:
        raise SystemExit(str(error)) from None
    print(json.dumps(figures, indent=2) if given.json else table(figures))


if __name__ == "__main__":
    main()
