"""The only reader of the environment: every setting, its default and its limits. No torch."""

from __future__ import annotations

import difflib
import json
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PROJECT = Path(__file__).resolve().parent.parent
PREFIX = "GENLAB_"
Names = Annotated[tuple[str, ...], NoDecode]
"""In the environment: names with commas between them, or a JSON list."""
SITE = re.compile(r"https?://(\*\.)?[A-Za-z0-9._-]+(:[0-9]+)?")
PROXY = ("SITE", "TLS", "UPSTREAM", "HTTP_PORT", "HTTPS_PORT")
"""What deploy/Caddyfile reads: variables beside GenLab's own."""


class Settings(BaseSettings):
    """Set any of these as ``GENLAB_<NAME>`` in the environment, or as a flag of ``app.py``.

    The README's table is written from here by `make settings`, in this order. A variable that is
    empty counts as one that is not set.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore"
    )

    checkpoints: Path = Field(
        default=PROJECT / "checkpoints", description="folder of checkpoint folders"
    )
    models: Names = Field(
        default=(),
        description="more models, with commas between: hub ids (`org/name`), diffusers folders, "
        "`.safetensors` files; `name@distilled` and `name@guided` say what its files do not; see "
        "[real models](#real-models)",
    )
    downloads: bool = Field(
        default=True,
        description="visitors may download the models that are offered; `false` offers none",
    )
    uploads: bool = Field(
        default=True, description="visitors may bring checkpoints of their own, for themselves"
    )
    visitor_models: Path | None = Field(
        default=None,
        description="folder in which those lie while they are used; all replicas must see it",
    )
    trainings: int = Field(
        default=2, ge=0, le=64, description="live trainings at once, on the Train tab; `0`: none"
    )
    training_seconds: float = Field(
        default=300.0,
        ge=1,
        le=3600,
        allow_inf_nan=False,
        description="how long one of them may run, pauses not counted",
    )
    return_seconds: float = Field(
        default=120.0,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="how long a run goes on, and its result waits, for a page that is gone",
    )
    data: Path = Field(
        default=PROJECT / "data",
        description="torchvision root of MNIST and Fashion-MNIST, for `train` and `evaluate`; "
        "downloaded there when missing",
    )
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|mps|xpu|cuda(:[0-9]+)?)$",
        json_schema_extra={"allowed": "auto, cpu, cuda, cuda:1 (or another number), mps or xpu"},
        description="`auto`, `cpu`, `cuda`, `cuda:1`, `mps`, `xpu`",
    )
    memory_gb: float = Field(
        default=8.0,
        gt=0,
        allow_inf_nan=False,
        description="weights kept loaded, in GB; the least recently used go first",
    )
    max_rows: int = Field(
        default=64,
        ge=1,
        le=4096,
        description="most rows in one network call; halved by itself when memory runs out",
    )
    max_jobs: int = Field(default=256, ge=1, description="most requests waiting or running")
    max_jobs_per_owner: int = Field(default=64, ge=1, description="the same for one visitor")
    host: str = Field(
        default="127.0.0.1", description="address to listen on; `0.0.0.0` for a classroom"
    )
    port: int = Field(default=7860, ge=1, le=65535, description="port to listen on")
    root_path: str = Field(
        default="",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        json_schema_extra={
            "allowed": "empty, or a path such as /genlab, without a slash at its end"
        },
        description="where a reverse proxy shows GenLab, such as `/genlab`; without one, at the "
        "top of its site",
    )
    share: bool = Field(default=False, description="open a public gradio.live link")
    auth: Names = Field(
        default=(),
        repr=False,
        description="who may come in: `name:password`, with commas between; without one, everybody",
    )
    teacher_key: SecretStr = Field(
        default=SecretStr(""),
        description="a key without which nobody starts or stops a download or reads `/metrics`; "
        "without one, everybody may",
    )
    hosts: Names = Field(
        default=(),
        description="names by which browsers may call a GenLab that listens on this machine only, "
        "with commas between, beside `localhost`; `*`: any; see "
        "[security](docs/classroom.md#who-may-do-what)",
    )
    origins: Names = Field(
        default=(),
        description="other sites whose scripts may call GenLab, such as `https://lms.example.org`; "
        "`*`: any",
    )
    frames: Names = Field(
        default=("*",),
        description="sites that may show GenLab in a frame, such as `https://lms.example.org`; "
        "`*`: any, `none`: no site",
    )
    log: Literal["text", "json"] = Field(
        default="text", description="`json`: one JSON object a line, for a collector of logs"
    )
    log_prompts: bool = Field(
        default=False, description="write prompts into the log; else only how long they were"
    )
    replicas: int = Field(
        default=0, ge=0, description="engines on a Ray cluster; 0: one engine in this process"
    )
    max_replicas: int = Field(
        default=0, ge=0, description="as many while much is queued; 0: always `GENLAB_REPLICAS`"
    )
    ray_address: str = Field(
        default="",
        description="head of a Ray cluster to join, `host:port`; without one it is this machine",
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

    @field_validator("models", "auth", "hosts", "origins", "frames", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """A JSON list, or items with commas between them."""
        if not isinstance(value, str):
            return value
        if not value.lstrip().startswith("["):
            return [item.strip() for item in value.split(",") if item.strip()]
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            raise ValueError("names with commas between, or a JSON list of them") from None

    @field_validator("checkpoints")
    @classmethod
    def _is_folder(cls, value: Path) -> Path:
        if not value.is_dir() and (value.exists() or not value.absolute().parent.is_dir()):
            raise ValueError("a folder, or a new one inside a folder that is there")
        return value

    @field_validator("auth")
    @classmethod
    def _are_accounts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for account in value:
            name, colon, password = account.partition(":")
            if not (name.strip() and colon and password):
                raise ValueError("name:password, with commas between")
        return value

    @field_validator("origins", "frames")
    @classmethod
    def _are_sites(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        words = ("*", "none") if info.field_name == "frames" else ("*",)
        for site in value:
            if site not in words and not SITE.fullmatch(site):
                raise ValueError(
                    f"sites such as https://lms.example.org, with commas between, or {words[0]}"
                )
        return value


class Host(BaseSettings):
    """What Hugging Face Spaces says of the machine; nothing of it is set anywhere else."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    space_id: str = Field(default="", validation_alias="SPACE_ID")
    zero_gpu: bool = Field(default=False, validation_alias="SPACES_ZERO_GPU")


SECRET = ("auth", "teacher_key")


def wrong_setting(error: ValidationError) -> str:
    """One sentence on a setting, from the environment or a flag, that has a wrong value."""
    first = error.errors()[0]
    name = str(first["loc"][0])
    field = Settings.model_fields.get(name)
    shown = "not shown here" if name in SECRET else repr(first["input"])[:40]
    message = first["msg"].removeprefix("Value error, ")
    extra = field.json_schema_extra if field is not None else None
    if isinstance(extra, dict):
        message = str(extra["allowed"])
    if first["type"] in ("value_error", "string_pattern_mismatch"):
        message = f"must be {message}"
    return f"{PREFIX}{name.upper()} is {shown}: {message[:1].lower()}{message[1:]}."


def unknown_settings() -> list[str]:
    """One sentence for each variable that looks like a setting of GenLab and is none."""
    known = [name.upper() for name in Settings.model_fields]
    sentences = []
    for variable in sorted(os.environ):
        name = variable.removeprefix(PREFIX).upper()
        if not variable.upper().startswith(PREFIX) or name in (*known, *PROXY):
            continue
        near = difflib.get_close_matches(name, known, 1)
        guess = f"; perhaps {PREFIX}{near[0]} is meant" if near else ""
        sentences.append(f"{variable} is no setting of GenLab{guess}.")
    return sentences
