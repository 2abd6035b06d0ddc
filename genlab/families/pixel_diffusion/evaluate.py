"""Measures guidance: pixel diffusion against its scale, noisy classifiers against t. No page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from genlab.engine import Engine
from genlab.evaluation import metrics
from genlab.evaluation.sampling import draw, draw_images, joined, judge_images, real_images
from genlab.models.registry import Catalogue, Entry
from genlab.requests import GuidanceName, NoisyClassifyRequest, UserError, ask

STEPS = 50
SCHEDULER = "ddim"
SCALES: dict[GuidanceName, tuple[float, ...]] = {
    "classifier-free": (1, 1.5, 2, 3, 5, 10, 20),
    "classifier": (1, 2, 4, 8, 16, 32),
}
"""Beside 0, which is no guidance and is drawn once for both."""
SWEEP_SAMPLES = 500
SWEEP_STEPS = 25
GUIDED_SAMPLES = 1000  # for the methods that the FID target is not about
TIMESTEPS = (*range(0, 1000, 100), 999)


def evaluate_pixel_diffusion(
    entry: Entry, catalogue: Catalogue, engine: Engine, data: Path | None, count: int
) -> dict[str, Any]:
    """Sweep both kinds of guidance, then measure each at its best scale with DDIM, 50 steps.

    Best is the lowest FID for classifier-free guidance, and for a classifier's the scale of most
    pictures in the wished class: what it is meant to raise.

    Args:
        count: samples at the best scale of classifier-free guidance; the sweep has `SWEEP_SAMPLES`
            a scale and `SWEEP_STEPS` steps, the others `GUIDED_SAMPLES`; never more than `count`.

    Returns:
        Figures, and the sweep under ``scales``.

    Raises:
        UserError: if there is no judge, no data or no classifier to follow.
    """
    judge = catalogue.judge(entry.dataset)
    if judge is None:
        raise UserError(f"{entry.name} cannot be measured: no classifier judges {entry.dataset}.")
    test, _ = real_images(entry, data, train=False, count=10_000)
    train, _ = real_images(entry, data, train=True, count=count)
    real = judge_images(engine, judge, test)["features"]
    other = judge_images(engine, judge, train)["features"]

    def measured(method: GuidanceName, scale: float, steps: int, samples: int) -> dict[str, Any]:
        samples = min(samples, count)
        images, _ = draw_images(
            entry, engine, samples, guidance=method, guidance_scale=scale,
            num_inference_steps=steps, scheduler=SCHEDULER,
        )  # fmt: skip
        judged = judge_images(engine, judge, images)
        asked = np.arange(samples) % 10  # `PixelDiffusionRequest.wished` of seeds 0, 1, 2...
        histogram = metrics.class_histogram(judged["probs"])
        return {
            "guidance_scale": scale,
            "fid": metrics.fid(real, judged["features"]),
            "label_accuracy": float((judged["probs"].argmax(axis=1) == asked).mean()),
            "diversity": metrics.diversity_within(judged["features"], asked),
            "diversity_of_all": metrics.diversity(judged["features"]),
            "samples": samples,
            "class_entropy": metrics.class_entropy(histogram),
            "classes_above_2_percent": metrics.classes_above(histogram, 0.02),
            "class_histogram": histogram.tolist(),
            "confidence": metrics.confidence(judged["probs"]),
            "sharpness": metrics.sharpness(images),
        }

    methods: list[GuidanceName] = [
        m for m in SCALES if m != "classifier" or entry.card.get("classifier")
    ]
    unguided = measured("none", 0, SWEEP_STEPS, SWEEP_SAMPLES)
    sweep: dict[GuidanceName, list[dict[str, Any]]] = {
        method: [unguided]
        + [measured(method, scale, SWEEP_STEPS, SWEEP_SAMPLES) for scale in SCALES[method]]
        for method in methods
    }
    best = min(sweep["classifier-free"], key=lambda row: row["fid"])["guidance_scale"]
    figures = measured("classifier-free", best, STEPS, count)
    figures["fid_floor"] = metrics.fid(real, other)
    plain = measured("none", 0, STEPS, GUIDED_SAMPLES)
    kept = ("fid", "label_accuracy", "sharpness")
    figures |= {f"unguided_{key}": plain[key] for key in kept}
    figures["unguided_diversity"] = plain["diversity_of_all"]  # it has no class to stay within
    if "classifier" in sweep:
        scale = max(sweep["classifier"], key=lambda row: row["label_accuracy"])["guidance_scale"]
        led = measured("classifier", scale, STEPS, GUIDED_SAMPLES)
        kept = ("guidance_scale", "fid", "label_accuracy", "samples")
        figures |= {f"classifier_{key}": led[key] for key in kept}
    shown = ("guidance_scale", "label_accuracy", "fid", "diversity", "samples")
    scales: dict[str, Any] = {
        method: [{key: row[key] for key in shown} for row in rows] for method, rows in sweep.items()
    }
    few = min(SWEEP_SAMPLES, count)
    scales["fid_floor"] = metrics.fid(real, other[:few])
    scales["diversity_floor"] = metrics.diversity_within(real[:few], _labels(entry, data, few))
    scales |= {"num_inference_steps": SWEEP_STEPS, "scheduler": SCHEDULER}
    return figures | {"num_inference_steps": STEPS, "scheduler": SCHEDULER, "scales": scales}


def evaluate_noisy_classifier(
    entry: Entry, engine: Engine, data: Path | None, count: int
) -> dict[str, Any]:
    """Accuracy of a noisy classifier on noised test pictures, at each of `TIMESTEPS`."""
    images, labels = real_images(entry, data, train=False, count=count)
    accuracy = []
    for t in TIMESTEPS:
        parts = np.array_split(images, max(1, len(images) // 500))
        requests = (
            ask(NoisyClassifyRequest, checkpoint=entry.name, images=part, timestep=t, seed=k * 500)
            for k, part in enumerate(parts)
        )
        _, extras = joined(draw(engine, requests))
        accuracy.append(float((extras["probs"].argmax(axis=1) == labels).mean()))
    return {
        "accuracy": accuracy[0],
        "timesteps": list(TIMESTEPS),
        "accuracy_by_timestep": accuracy,
        "samples": len(images),
    }


def _labels(entry: Entry, data: Path | None, count: int) -> np.ndarray:
    return real_images(entry, data, train=False, count=count)[1]
