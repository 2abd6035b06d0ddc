"""The config.json of a checkpoint that is an ONNX graph, and the checks of its folder. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from genlab.formats.metadata import BrokenCheckpoint
from genlab.formats.onnx_files import GRAPH, read_graph

KIND = "onnx"


class OnnxConfig(BaseModel):
    """How such a graph is called, and how what it gives is a picture.

    Attributes:
        z: name of its input.
        z_shape: of one row.
        labels: name of the input for classes; "" if there is none.
        classes: how many there are; 0: it is told none.
        rows: how many rows it takes in a call; 0: any number.
        image: (C, H, W).
        layout: how a row of the output lies.
        low: what is black, and
        high: what is white.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    z: str = Field(max_length=200)
    z_shape: tuple[int, ...] = Field(min_length=1, max_length=3)
    labels: str = Field("", max_length=200)
    classes: int = Field(0, ge=0, le=1000)
    rows: int = Field(0, ge=0, le=64)
    image: tuple[int, int, int]
    layout: Literal["chw", "hwc", "flat"] = "chw"
    low: float = Field(-1.0, allow_inf_nan=False)
    high: float = Field(1.0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _consistent(self) -> OnnxConfig:
        if self.low == self.high or bool(self.labels) != bool(self.classes):
            raise ValueError("the range is empty, or classes have no input")
        return self

    @property
    def latent_dim(self) -> int:
        return self.z_shape[0]


def is_graph(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is one of these."""
    return config.get("network") == KIND


def graph_config(config: Mapping[str, Any]) -> OnnxConfig:
    """Check a configuration; raises BrokenCheckpoint if it describes no graph."""
    try:
        return OnnxConfig.model_validate(dict(config))
    except ValidationError as error:
        field = ".".join(map(str, error.errors()[0]["loc"])) or "it"
        raise BrokenCheckpoint(f"its config.json describes no ONNX graph: {field}.") from error


def check_graph(folder: Path, config: Mapping[str, Any]) -> None:
    """Raise BrokenCheckpoint unless the graph may be run and takes what the configuration says."""
    about = graph_config(config)
    graph = read_graph(folder / GRAPH)
    if (graph.z, graph.z_shape, graph.labels) != (about.z, about.z_shape, about.labels):
        raise BrokenCheckpoint(f"its {GRAPH} takes other inputs than its config.json says.")


def count_graph_parameters(folder: Path) -> int:
    """Numbers in the weights of a graph; raises BrokenCheckpoint."""
    return read_graph(folder / GRAPH).parameters
