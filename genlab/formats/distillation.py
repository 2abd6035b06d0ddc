"""What a pipeline's own files say of how it was distilled. Knows no name of a model.

Distilled models draw in a handful of steps. Most of them have learnt what guidance would have made
of the prediction, so guidance has no use any more; some take the scale as an input (Luo et al.
2023, arXiv:2310.04378) and still heed it.
"""

from __future__ import annotations

from pathlib import Path

from genlab.formats import pipelines
from genlab.formats.metadata import BrokenCheckpoint


def draws_without_guidance(folder: Path) -> bool:
    """Whether guidance has no use: a consistency model that is not told the scale, or a Flux
    that was made without an input for it (schnell)."""
    if pipelines.class_name(folder) == "FluxPipeline":
        return pipelines.config_of(folder, "transformer").get("guidance_embeds") is False
    return _is_consistency_model(folder) and not _takes_the_scale(folder)


def draws_in_few_steps(folder: Path) -> bool:
    """Whether a handful of steps is all that it needs."""
    return (
        _is_consistency_model(folder) or _takes_the_scale(folder) or draws_without_guidance(folder)
    )


def _is_consistency_model(folder: Path) -> bool:
    try:
        return pipelines.scheduler_config(folder).get("_class_name") == "LCMScheduler"
    except BrokenCheckpoint:
        return False


def _takes_the_scale(folder: Path) -> bool:
    """Whether its UNet has an input for the scale of guidance."""
    return pipelines.config_of(folder, "unet").get("time_cond_proj_dim") is not None
