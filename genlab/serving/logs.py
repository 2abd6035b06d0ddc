"""The log: plain text for a person, or a JSON object a line; with job ids, without prompts.

Whoever logs about a request gives it as ``extra={"request": ...}``; here it becomes words or
fields. What people wrote into it is left out unless a setting asks for it.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from datetime import UTC, datetime
from typing import IO, Any, Literal

import numpy as np
from pydantic import BaseModel
from pythonjsonlogger.json import JsonFormatter

SHORTEST = 4  # letters of a prompt that is looked for in the text of an error
PICTURES = ("picture", "mask")  # fields that hold a file
PLAIN = (str, int, float, bool, type(None))


def set_up(
    kind: Literal["text", "json"] = "text", prompts: bool = False, stream: IO[str] | None = None
) -> None:
    """Let everything that this process logs go to ``stream``, by default stderr, in one form.

    As text these are warnings and errors; as JSON the end of every job too.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines(prompts) if kind == "json" else TextLines(prompts))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("genlab").setLevel(logging.INFO if kind == "json" else logging.WARNING)


def take_over(*names: str) -> None:
    """Let loggers that have handlers of their own, as a web server's, write as all others do."""
    for name in names:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True


def described(request: BaseModel, prompts: bool) -> dict[str, Any]:
    """A request's settings as plain values; of what a person wrote only how long it is.

    Args:
        prompts: whether to tell that, too.
    """
    fields: dict[str, Any] = {"kind": type(request).__name__}
    for name in type(request).model_fields:
        value = getattr(request, name)
        if name in PICTURES or (_is_personal(name) and not prompts):
            value = f"{len(value)} characters"
        elif isinstance(value, np.ndarray):
            value = f"an array of {value.shape}"
        elif not isinstance(value, PLAIN):
            value = str(value)
        fields[name] = value
    return fields


def _is_personal(field: str) -> bool:
    return field.endswith("prompt") or field in PICTURES


def lose_what_cannot_be_written() -> None:
    """Let stdout and stderr be `Unfailing`."""
    for name in ("stdout", "stderr"):
        own = getattr(sys, name)
        if own is not None and not isinstance(own, Unfailing):
            setattr(sys, name, Unfailing(own))


class Unfailing:
    """A text stream of which no write fails: a full disk loses lines of a log, not an answer.

    Others' code prints tracebacks while somebody waits, and an error in that ends the waiting of
    nobody.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """As the stream's own; what cannot be written is dropped."""
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """As the stream's own."""
        with contextlib.suppress(OSError):
            self._stream.flush()


class _WithoutPrompts(logging.Formatter):
    """What both forms share: an error's text says nothing of a prompt either."""

    prompts: bool
    _hidden: tuple[str, ...] = ()

    def format(self, record: logging.LogRecord) -> str:
        request = getattr(record, "request", None)
        self._hidden = ()
        if isinstance(request, BaseModel) and not self.prompts:
            texts = (getattr(request, n) for n in type(request).model_fields if _is_personal(n))
            self._hidden = tuple(t for t in texts if len(t) >= SHORTEST)
        record.exc_text = None  # another handler's formatter may have left its own
        return super().format(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802 (its name in logging)
        text = super().formatException(ei)
        for prompt in self._hidden:
            text = text.replace(prompt, f"<{len(prompt)} characters>")
            text = text.replace(repr(prompt)[1:-1], f"<{len(prompt)} characters>")
        return text


class TextLines(_WithoutPrompts):
    """``2026-11-26 09:00:00 WARNING genlab.engine.core: job 3 failed [count=1 ...]``."""

    def __init__(self, prompts: bool) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self.prompts = prompts

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        line = super().formatMessage(record)
        request = getattr(record, "request", None)
        if not isinstance(request, BaseModel):
            return line
        fields = described(request, self.prompts)
        return f"{line} [{' '.join(f'{name}={value!r}' for name, value in fields.items())}]"


class JsonLines(_WithoutPrompts, JsonFormatter):
    """One JSON object a line: time, level, logger, message, and what came as ``extra``."""

    def __init__(self, prompts: bool) -> None:
        JsonFormatter.__init__(
            self,
            "%(levelname)s %(name)s %(message)s",
            rename_fields={"levelname": "level", "name": "logger", "exc_info": "error"},
        )
        self.prompts = prompts

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        log_data["time"] = datetime.fromtimestamp(record.created, UTC).isoformat(
            "T", "milliseconds"
        )
        super().add_fields(log_data, record, message_dict)
        request = getattr(record, "request", None)
        if isinstance(request, BaseModel):
            log_data["request"] = described(request, self.prompts)
