"""Trains all that can be trained live, and keeps what came of it for the Train tab to open with.

``python -m benchmarks.live_training`` writes ``genlab/ui/tabs/train/measured``: what one sees after
a minute of training, half a minute of points, without an engine beside it.
"""

from __future__ import annotations

import argparse
import base64
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from genlab.engine.device import Device
from genlab.engine.job import Job
from genlab.families.live_training.data import load_digits
from genlab.families.live_training.request import SUBJECTS, TrainRequest
from genlab.families.live_training.runner import LiveTrainingRunner
from genlab.images import contact_sheet, to_png
from genlab.training.hardware import hardware
from genlab.ui.components.panel import FIRST_SEED
from genlab.ui.tabs.train.history import History
from genlab.ui.tabs.train.measured import FOLDER

STRETCH = 0.5  # seconds
KEPT = 120  # points of a curve


def main() -> None:
    """Train each for a while and write what is to be shown of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("subjects", nargs="*", default=list(SUBJECTS))
    parser.add_argument("--seconds", type=float, default=60.0, help="of those that learn digits")
    parser.add_argument("--points-seconds", type=float, default=30.0)
    parser.add_argument("--pictures", type=Path, help="folder for samples at 10, 30 and 60 s")
    chosen = parser.parse_args()
    runner = LiveTrainingRunner(load_digits(), Device("cpu", graphs=False))
    FOLDER.mkdir(exist_ok=True)
    for name in chosen.subjects:
        points = SUBJECTS[name].data == "points"
        seconds = chosen.points_seconds if points else chosen.seconds
        found = trained(runner, name, seconds, chosen.pictures)
        (FOLDER / f"{name}.json").write_text(json.dumps(found), encoding="utf-8")
        losses = {k: round(c["latest"], 3) for k, c in found["curves"].items()}
        print(f"{name}: {found['step']} steps in {found['seconds']:.0f} s, {losses}", flush=True)


def trained(
    runner: LiveTrainingRunner, name: str, seconds: float, pictures: Path | None = None
) -> dict[str, Any]:
    """A training of so many seconds, as plain values."""
    subject = SUBJECTS[name]
    history, state, steps, spent = History(), b"", subject.unit, 0.0
    moments = [10.0, 30.0, 60.0]
    extras: dict[str, Any] = {}
    images = np.zeros((0, 28, 28), np.uint8)
    while spent < seconds:
        request = TrainRequest(
            run="measured", subject=name, seed=FIRST_SEED, latent_dim=subject.latent_dim,
            learning_rate=subject.learning_rate, discriminator_rate=subject.discriminator_rate,
            steps=steps, state=state,
        )  # fmt: skip
        began = time.perf_counter()
        job = Job(1, request, "benchmark", 0.0)
        (job.state,) = runner.start([job])
        for k in range(runner.total_steps(job)):
            job.step = k
            runner.predict([job])
        runner.store(job, runner.decode([job])[0])
        result = runner.result(job)
        took = time.perf_counter() - began
        spent += took
        before = extras.get("step", 0)
        extras, images, state = dict(result.extras), result.images, result.extras["state"]
        taken = extras["step"] - before
        history.add(extras["losses"])
        if "clusters" in extras:
            history.add({"clusters": np.full(taken, extras["clusters"])})
        steps = max(1, min(round(STRETCH * taken / took), 4 * steps))
        if pictures is not None and len(images) and moments and spent >= moments[0]:
            pictures.mkdir(parents=True, exist_ok=True)
            contact_sheet(list(images), columns=8).save(
                pictures / f"{name}-{moments.pop(0):.0f}s.png"
            )
    found: dict[str, Any] = {
        "seconds": spent,
        "hardware": hardware("cpu"),
        "step": extras["step"],
        "examples": extras["examples"],
        "curves": {k: thinned(curve) for k, curve in history.curves.items()},
    }
    for key in ("points", "real"):
        if key in extras:
            found[key] = np.round(extras[key], 2).tolist()
    if "field" in extras:
        found["field"] = as_text(extras["field"])
    if len(images):
        found["samples"] = as_text(np.concatenate(list(images)))
    return found


def thinned(curve: Any) -> dict[str, Any]:
    """A curve of at most KEPT points, rounded."""
    every = -(-len(curve.points) // KEPT)
    means = [
        float(np.mean(curve.points[k : k + every])) for k in range(0, len(curve.points), every)
    ]
    return {"points": [round(mean, 4) for mean in means], "latest": round(curve.latest, 4)}


def as_text(picture: np.ndarray) -> str:
    """A uint8 (H, W) picture as a PNG in base64."""
    return base64.b64encode(to_png(picture)).decode()


if __name__ == "__main__":
    main()
