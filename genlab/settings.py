"""The only reader of the environment: every setting, its default and its limits. No torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PROJECT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """Set any of these as ``GENLAB_<NAME>`` in the environment, or as a flag of ``app.py``."""

    model_config = SettingsConfigDict(env_prefix="GENLAB_", frozen=True, extra="ignore")

    checkpoints: Path = Field(
        default=PROJECT / "checkpoints", description="folder of checkpoint folders"
    )
    models: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="more models, comma-separated: hub ids, diffusers folders, .safetensors files; "
        "a name may end in @distilled or @guided",
    )
    downloads: bool = Field(
        default=True, description="visitors may download the models that are offered"
    )
    uploads: bool = Field(
        default=True, description="visitors may bring checkpoints of their own, for themselves"
    )
    visitor_models: Path | None = Field(
        default=None,
        description="folder in which those lie while they are used; all replicas must see it",
    )
    data: Path = Field(
        default=PROJECT / "data", description="torchvision root, for training and evaluate"
    )
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:1, mps")
    memory_gb: float = Field(
        default=8.0, gt=0, description="weights kept loaded, in GB; oldest go first"
    )
    max_rows: int = Field(default=64, ge=1, le=4096, description="most rows in one network call")
    max_jobs: int = Field(default=256, ge=1, description="most requests waiting or running")
    max_jobs_per_owner: int = Field(default=64, ge=1, description="the same for one visitor")
    host: str = Field(
        default="127.0.0.1", description="address to listen on; 0.0.0.0 for a classroom"
    )
    port: int = Field(default=7860, ge=0, le=65535)
    root_path: str = Field(
        default="",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        description="where a reverse proxy shows GenLab, such as /genlab",
    )
    share: bool = Field(default=False, description="open a public gradio.live link")
    replicas: int = Field(
        default=0, ge=0, description="engines on a Ray cluster; 0: one engine in this process"
    )
    max_replicas: int = Field(
        default=0, ge=0, description="as many while much is queued; 0: always GENLAB_REPLICAS"
    )
    ray_address: str = Field(
        default="", description="head of a Ray cluster to join; without one it is this machine"
    )
    replica_cpus: float = Field(default=1.0, gt=0, description="cores that a replica takes")
    replica_gpus: float = Field(
        default=0.0, ge=0, description="GPUs that a replica takes; 0: it draws on its cores"
    )
    lease_above_millions: float = Field(
        default=100.0,
        ge=0,
        description="on ZeroGPU: models of more million weights are drawn on a leased GPU",
    )

    @field_validator("models", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """A JSON list, or items with commas between them."""
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("["):
            return json.loads(value)
        return [item.strip() for item in value.split(",") if item.strip()]


class Host(BaseSettings):
    """What Hugging Face Spaces says of the machine; nothing of it is set anywhere else."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    space_id: str = Field(default="", validation_alias="SPACE_ID")
    zero_gpu: bool = Field(default=False, validation_alias="SPACES_ZERO_GPU")


def wrong_setting(error: ValidationError) -> str:
    """One sentence on a setting, from the environment or a flag, that has a wrong value."""
    first = error.errors()[0]
    name, value = "_".join(map(str, first["loc"])).upper(), repr(first["input"])
    return f"GENLAB_{name} is {value[:40]}: {first['msg'][:1].lower()}{first['msg'][1:]}."
