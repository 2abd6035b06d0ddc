"""Measures a pixel diffusion under both kinds of guidance, against their scale. Knows no page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genlab.evaluation import metrics
from genlab.evaluation.real_images import real_images
from genlab.evaluation.sampling import (
    SAMPLES,
    JudgeFinder,
    SampleClient,
    draw_images,
    judge_for,
    judge_images,
)
from genlab.families.classifier.request import ClassifyRequest
from genlab.families.pixel_diffusion.request import GuidanceName, PixelDiffusionRequest
from genlab.formats.metadata import ModelMetadata

STEPS = 50
SCHEDULER = "ddim"
ETAS = (0.0, 1.0)
"""Noise that DDIM adds at each step, none or as much as DDPM: it takes back what the steps before
got wrong, and it softens texture. Which weighs more, each model's unguided pictures say, as many as
are measured: a thousand said it wrongly (docs/decisions/0045). A flow has none."""
SCALES: dict[GuidanceName, tuple[float, ...]] = {
    "classifier-free": (1, 1.25, 1.5, 2, 3, 5, 10, 20),
    "classifier": (1, 2, 4, 8, 16, 32),
}
"""Beside 0, which is no guidance and is drawn once for both."""
SWEEP_SAMPLES = 500
SWEEP_STEPS = 25
CLOSE = 0.005
"""Shares of the sweep's pictures in a class that chance cannot tell apart."""
CLASSIFIER_SAMPLES = 1000  # at two networks a step and the gradient of one, the dearest


def evaluate(
    client: SampleClient,
    metadata: ModelMetadata,
    registry: JudgeFinder,
    data: Path | None = None,
    samples: int | None = None,
    pictures: Path | None = None,
) -> dict[str, Any]:
    """Sweep both kinds of guidance, then measure each at its best scale with DDIM.

    Best is the lowest FID for classifier-free guidance, of the scales above 1, at which it moves
    the prediction; and for a classifier's `smallest_that_leads`. All of it with that of `ETAS` at
    which unguided pictures have the lower FID.

    Args:
        client: where the checkpoint and its judge are served.
        metadata: of the checkpoint.
        registry: knows its judge.
        data: torchvision root; None for the setting GENLAB_DATA.
        samples: how many without guidance and at the best scale of classifier-free guidance, None
            for `SAMPLES`; the sweep has `SWEEP_SAMPLES` a scale and `SWEEP_STEPS` steps, a
            classifier's guidance `CLASSIFIER_SAMPLES`; never more than `samples`.
        pictures: not used: `write_curves` draws the sweep.

    Returns:
        Figures, and the sweep under ``scales``.

    Raises:
        UserError: if there is no judge, no data or no classifier to follow.
    """
    count, judge = samples or SAMPLES, judge_for(registry, metadata)
    test, test_labels = real_images(metadata, data, train=False, count=10_000)
    train, train_labels = real_images(metadata, data, train=True, count=max(count, SAMPLES))
    real = judge_images(client, ClassifyRequest, judge.name, test)["features"]
    other = judge_images(client, ClassifyRequest, judge.name, train)["features"]

    def measured(
        method: GuidanceName, scale: float, steps: int, most: int, eta: float
    ) -> dict[str, Any]:
        drawn = min(most, count)
        images, _ = draw_images(
            client, PixelDiffusionRequest, metadata.name, drawn, guidance=method,
            guidance_scale=scale, num_inference_steps=steps, scheduler=SCHEDULER, eta=eta,
        )  # fmt: skip
        judged = judge_images(client, ClassifyRequest, judge.name, images)
        targets = np.arange(drawn) % 10  # the `target_classes` of seeds 0, 1, 2...
        seen = judged["probs"].argmax(axis=1)
        histogram = metrics.class_histogram(judged["probs"])
        return {
            "guidance_scale": scale,
            "fid": metrics.fid(real, judged["features"]),
            "label_accuracy": float((seen == targets).mean()),
            "diversity": metrics.diversity_within(judged["features"], seen),
            "diversity_of_all": metrics.diversity(judged["features"]),
            "samples": drawn,
            "class_entropy": metrics.class_entropy(histogram),
            "classes_above_2_percent": metrics.classes_above(histogram, 0.02),
            "class_histogram": histogram.tolist(),
            "confidence": metrics.confidence(judged["probs"]),
            "sharpness": metrics.sharpness(images),
        }

    methods: list[GuidanceName] = [
        m for m in SCALES if m != "classifier" or metadata.card.get("classifier")
    ]
    etas = (0.0,) if metadata.facts.get("flow") else ETAS
    tried = {each: measured("none", 0, STEPS, count, each) for each in etas}
    eta, plain = min(tried.items(), key=lambda item: item[1]["fid"])
    unguided = measured("none", 0, SWEEP_STEPS, SWEEP_SAMPLES, eta)
    sweep: dict[GuidanceName, list[dict[str, Any]]] = {
        method: [unguided]
        + [measured(method, scale, SWEEP_STEPS, SWEEP_SAMPLES, eta) for scale in SCALES[method]]
        for method in methods
    }
    guided = [row for row in sweep["classifier-free"] if row["guidance_scale"] > 1]
    best = min(guided, key=lambda row: row["fid"])["guidance_scale"]
    figures = measured("classifier-free", best, STEPS, count, eta)
    figures["fid_floor"] = metrics.fid(real, other[:count])
    kept = ("fid", "label_accuracy", "confidence", "sharpness", "samples")
    figures |= {f"unguided_{key}": plain[key] for key in kept}
    figures["unguided_diversity"] = plain["diversity_of_all"]  # it has no class to stay within
    if "classifier" in sweep:
        least = smallest_that_leads(sweep["classifier"])
        led = measured("classifier", least, STEPS, CLASSIFIER_SAMPLES, eta)
        kept = ("guidance_scale", "fid", "label_accuracy", "samples")
        figures |= {f"classifier_{key}": led[key] for key in kept}
    shown = ("guidance_scale", "label_accuracy", "fid", "diversity", "samples")
    scales: dict[str, Any] = {
        method: [{key: row[key] for key in shown} for row in rows] for method, rows in sweep.items()
    }
    few = min(SWEEP_SAMPLES, count)
    scales["fid_floor"] = metrics.fid(real, other[classes_in_turn(train_labels)[:few]])
    scales["diversity_floor"] = metrics.diversity_within(real[:few], test_labels[:few])
    how = {"scheduler": SCHEDULER, "eta": eta}
    scales |= {"num_inference_steps": SWEEP_STEPS} | how
    return figures | {"num_inference_steps": STEPS} | how | {"scales": scales}


def smallest_that_leads(rows: Sequence[Mapping[str, Any]]) -> float:
    """The smallest scale at which as many pictures are in the class led to as at any: `CLOSE`.

    Beyond it accuracy has nothing more to gain, and FID only to lose.
    """
    most = max(row["label_accuracy"] for row in rows)
    return min(r["guidance_scale"] for r in rows if r["label_accuracy"] >= most - CLOSE)


def classes_in_turn(labels: np.ndarray) -> np.ndarray:
    """The rows of labels (N,) in an order in which the classes take turns: 0, 1, 2... as drawn.

    Few pictures whose classes chance chose lie further from the whole than as many of each class,
    which is what guidance draws: as a floor they would stand above its curve.
    """
    order = np.argsort(labels, kind="stable")
    turn = np.empty_like(order)
    turn[order] = np.arange(len(labels)) - np.searchsorted(labels[order], labels[order])
    return np.lexsort((labels, turn))
