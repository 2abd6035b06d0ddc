"""Whether a scheduler_config.json describes one that can be made, from its values. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genlab.formats.metadata import BrokenCheckpoint

FILE = "scheduler_config.json"
PREDICTIONS = ("epsilon", "v_prediction", "sample", "flow_prediction")
MOST_TIMESTEPS = 100_000


def check_scheduler(config: Mapping[str, Any]) -> None:
    """Raise BrokenCheckpoint for the first value that no scheduler of diffusers can have.

    What is left out has diffusers' own default, which is right.
    """
    prediction = config.get("prediction_type", PREDICTIONS[0])
    if prediction not in PREDICTIONS:
        raise _wrong("prediction_type", prediction, f"one of {', '.join(PREDICTIONS)}")
    steps = config.get("num_train_timesteps", 1000)
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= MOST_TIMESTEPS:
        wanted = f"a whole number from 1 to {MOST_TIMESTEPS:,}"
        raise _wrong("num_train_timesteps", steps, wanted)
    for name in ("beta_start", "beta_end"):
        beta = config.get(name, 0.01)
        if isinstance(beta, bool) or not isinstance(beta, int | float) or not 0 < beta < 1:
            raise _wrong(name, beta, "a number above 0 and below 1")


def _wrong(name: str, value: Any, wanted: str) -> BrokenCheckpoint:
    return BrokenCheckpoint(f"its {FILE} has {str(value)[:40]} as {name}, which must be {wanted}.")
