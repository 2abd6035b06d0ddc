"""Whether the values of a configuration can be those of a scheduler or a VAE. No torch."""

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
        raise _wrong(FILE, "prediction_type", prediction, f"one of {', '.join(PREDICTIONS)}")
    steps = config.get("num_train_timesteps", 1000)
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= MOST_TIMESTEPS:
        wanted = f"a whole number from 1 to {MOST_TIMESTEPS:,}"
        raise _wrong(FILE, "num_train_timesteps", steps, wanted)
    for name in ("beta_start", "beta_end"):
        check_number(FILE, config, name, below=1)


def check_number(file: str, config: Mapping[str, Any], name: str, below: int) -> None:
    """Raise BrokenCheckpoint unless a value is a number above 0 and below a bound, or left out."""
    if name not in config:
        return
    value = config[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < below:
        raise _wrong(file, name, value, f"a number above 0 and below {below:,}")


def _wrong(file: str, name: str, value: Any, wanted: str) -> BrokenCheckpoint:
    return BrokenCheckpoint(f"its {file} has {str(value)[:40]} as {name}, which must be {wanted}.")
