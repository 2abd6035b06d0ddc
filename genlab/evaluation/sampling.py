"""Measures a checkpoint with fresh samples and a judge; draws through the engine, knows no page."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from genlab.engine import Engine, Result
from genlab.evaluation import metrics
from genlab.models.families import FAMILIES
from genlab.models.registry import Catalogue, Entry
from genlab.requests import (
    ClassifyRequest,
    ReconstructRequest,
    Request,
    SampleRequest,
    UserError,
    ask,
)
from genlab.training.data import load_images

SAMPLES = 10_000
IN_FLIGHT = 16  # requests inside the engine at once: enough to fill its batches


def evaluate(
    name: str,
    catalogue: Catalogue,
    engine: Engine,
    data: Path | None = None,
    samples: int | None = None,
    pictures: Path | None = None,
) -> dict[str, Any]:
    """Measure a checkpoint.

    Args:
        name: of the checkpoint.
        catalogue, engine: where it and its judge are served.
        data: torchvision root; None for the setting GENLAB_DATA.
        samples: how many images to draw, by default 10,000; for Stable Diffusion, how many
            prompts of one object; for a classifier, how many test images to read.
        pictures: a folder for contact sheets of what was measured, where its card shows them.

    Returns:
        Figures by name, each a number or a list of numbers, ready for JSON.

    Raises:
        UserError: if there is no such checkpoint, no judge of its data, or no data.
    """
    entry = catalogue.entry(name)
    if entry.family == "classifier":
        return _rounded(_classifier(entry, engine, data, samples or SAMPLES))
    if entry.family == "pixel_diffusion":
        from genlab.families.pixel_diffusion.evaluate import evaluate_pixel_diffusion

        return _rounded(
            evaluate_pixel_diffusion(entry, catalogue, engine, data, samples or SAMPLES)
        )
    if entry.family == "noisy_classifier":
        from genlab.families.pixel_diffusion.evaluate import evaluate_noisy_classifier

        return _rounded(evaluate_noisy_classifier(entry, engine, data, samples or SAMPLES))
    if entry.family == "stable_diffusion":
        from genlab.toybox.evaluate.measure import evaluate_toybox

        return _rounded(evaluate_toybox(entry, catalogue, engine, data, samples, pictures))
    if entry.family == "judge":
        raise UserError(f"{name} was measured where it was trained; its card has the figures.")
    if not entry.dataset:
        raise UserError(f"{name} cannot be measured: no data set here has pictures like its own.")
    return _rounded(_unconditional(entry, catalogue, engine, data, samples or SAMPLES))


def sample_requests(kind: type[SampleRequest], count: int, **values: Any) -> Iterator[Request]:
    """Requests for images `seed` to `seed + count - 1`, as large as the kind of request allows."""
    largest = next(m.le for m in kind.model_fields["count"].metadata if hasattr(m, "le"))
    seed = values.pop("seed", 0)
    ask(kind, seed=seed, count=1, **values)  # a wrong value is named before anything is drawn
    for begin in range(0, count, largest):
        yield ask(kind, seed=seed + begin, count=min(largest, count - begin), **values)


def draw(engine: Engine, requests: Iterable[Request]) -> Iterator[Result]:
    """Results in the order of the requests, with a few requests inside the engine at a time.

    Raises:
        UserError: what went wrong with the first request that failed.
    """
    waiting = deque()
    for request in requests:
        waiting.append(engine.submit(request))
        if len(waiting) >= IN_FLIGHT:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def draw_images(
    entry: Entry, engine: Engine, count: int, **values: Any
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """`count` images of a checkpoint, uint8 (count, H, W[, 3]), and its extras, row by row."""
    kind = sample_kind(entry.family)
    requests = sample_requests(kind, count, checkpoint=entry.name, **values)
    return joined(draw(engine, requests))


def sample_kind(family: str) -> type[SampleRequest]:
    """The kind of request that draws new images of a family.

    Raises:
        UserError: if the family draws none.
    """
    for kind in FAMILIES[family].requests:
        if issubclass(kind, SampleRequest):
            return kind
    raise UserError(f"A {family} draws no pictures; it judges them.")


def _classifier(entry: Entry, engine: Engine, data: Path | None, count: int) -> dict[str, Any]:
    images, labels = real_images(entry, data, train=False, count=count)
    judged = judge_images(engine, entry, images)
    train = judge_images(engine, entry, real_images(entry, data, train=True, count=count)[0])
    return {
        "accuracy": float((judged["probs"].argmax(axis=1) == labels).mean()),
        "samples": len(images),
        "fid_floor": metrics.fid(train["features"], judged["features"]),
        "sharpness": metrics.sharpness(images),
        "confidence": metrics.confidence(judged["probs"]),
        "diversity": metrics.diversity(judged["features"]),
    }


def _unconditional(
    entry: Entry, catalogue: Catalogue, engine: Engine, data: Path | None, count: int
) -> dict[str, Any]:
    judge = catalogue.judge(entry.dataset)
    if judge is None:
        raise UserError(
            f"{entry.name} cannot be measured: there is no classifier of {entry.dataset} to judge "
            f"it. Train one with `python -m genlab train {entry.dataset}-classifier`."
        )
    test, _ = real_images(entry, data, train=False, count=count)
    train, _ = real_images(entry, data, train=True, count=count)
    real = judge_images(engine, judge, test)["features"]
    images, extras = draw_images(entry, engine, count)
    judged = judge_images(engine, judge, images)
    histogram = metrics.class_histogram(judged["probs"])
    figures: dict[str, Any] = {
        "fid": metrics.fid(real, judged["features"]),
        "fid_floor": metrics.fid(real, judge_images(engine, judge, train)["features"]),
        "samples": len(images),
        "class_entropy": metrics.class_entropy(histogram),
        "classes_above_2_percent": metrics.classes_above(histogram, 0.02),
        "class_histogram": histogram.tolist(),
        "confidence": metrics.confidence(judged["probs"]),
        "sharpness": metrics.sharpness(images),
        "diversity": metrics.diversity(judged["features"]),
    }
    if ReconstructRequest in FAMILIES[entry.family].requests:
        request = ReconstructRequest(checkpoint=entry.name, images=test)
        (result,) = draw(engine, [request])
        error = (result.images.astype(np.float32) - test.astype(np.float32)) / 255.0
        figures["reconstruction_mse"] = float(np.square(error).mean())
    if "scores" in extras:
        figures["discriminator_score"] = float(extras["scores"].mean())
    return figures


def real_images(
    entry: Entry, data: Path | None, train: bool, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """The first images and labels of one half of a checkpoint's dataset."""
    if entry.dataset not in ("mnist", "fashion"):
        raise UserError(f"{entry.name} names the dataset {entry.dataset!r}, which is not known.")
    images, labels = load_images(entry.dataset, train=train, root=data)
    return images[:count].numpy(), labels[:count].numpy()


def judge_images(engine: Engine, judge: Entry, images: np.ndarray) -> dict[str, np.ndarray]:
    """`probs` (N, 10) and `features` (N, D) of pictures."""
    parts = np.array_split(images, max(1, len(images) // 500))
    requests = (ask(ClassifyRequest, checkpoint=judge.name, images=part) for part in parts)
    return joined(draw(engine, requests))[1]


def joined(results: Iterable[Result]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Images and extras of several results of one kind, one after another."""
    results = list(results)
    extras = {
        key: np.concatenate([result.extras[key] for result in results]) for key in results[0].extras
    }
    return np.concatenate([result.images for result in results]), extras


def _rounded(figures: dict[str, Any]) -> dict[str, Any]:
    """Four significant digits, as a card shows them."""

    def short(value: Any) -> Any:
        if isinstance(value, list):
            return [short(item) for item in value]
        if isinstance(value, dict):
            return {key: short(item) for key, item in value.items()}
        return float(f"{value:.4g}") if isinstance(value, float) else value

    return {key: short(value) for key, value in figures.items()}
