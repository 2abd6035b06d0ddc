"""The options of `sample`, made of the families' requests. Knows no family by name; no torch.

Whatever a request for samples has as a field is an option: a new family brings its own.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from genlab.families.description import FamilyDescription
from genlab.formats.metadata import ModelMetadata
from genlab.images import PICTURE_FILE, open_picture
from genlab.requests import SampleRequest, UserError, allowed

BASE = tuple(SampleRequest.model_fields)
"""What every request for samples has; the command says these itself."""
SHOWN = ("preview_every", "trajectory")
"""What is only for those who look on: it changes no picture."""
SWITCH: Any = Literal["none", "classifier-free"]
"""What ``--guidance`` can be for a family that has a guidance_scale and no other kind."""
ANYTHING = "text"
PLAIN = 1.0
"""The guidance_scale at which such a family predicts once, without guidance."""


@dataclass(frozen=True)
class FamilyOption:
    """One option.

    Attributes:
        name: of the parameter, as in "guidance_scale" for ``--guidance-scale``.
        fields: the request's field that it stands for, by the label of each family that has it.
    """

    name: str
    fields: Mapping[str, FieldInfo]

    @property
    def flag(self) -> str:
        return flag(self.name)

    @property
    def kind(self) -> type:
        """The type of its value; str if families differ in it."""
        kinds = {value_type(field.annotation) for field in self.fields.values()}
        return kinds.pop() if len(kinds) == 1 else str

    def help(self, families: int) -> str:
        """What it means and which values it takes.

        Args:
            families: how many families draw; those that have the option are named if some do not.
        """
        labels: dict[str, list[str]] = {}  # of families, by the values that they take
        for label, field in self.fields.items():
            labels.setdefault(values_in_words(field), []).append(label)
        everybody = len(labels) == 1 and len(self.fields) == families
        values = "; ".join(
            words if everybody else f"{words} ({', '.join(names)})"
            for words, names in labels.items()
        )
        if any(is_tuple(field) for field in self.fields.values()):
            return f"The {self.name} of every image: {values}."
        meanings = [field.description for field in self.fields.values() if field.description]
        meaning = meanings[0] if meanings else self.name.replace("_", " ")
        meaning = meaning[:1].upper() + meaning[1:]
        if values.startswith(ANYTHING):  # goes without saying
            return f"{meaning} {values.removeprefix(ANYTHING).strip()}".strip() + "."
        return f"{meaning}: {values}."


def sample_options(families: Iterable[FamilyDescription]) -> dict[str, FamilyOption]:
    """Every option by its name, family by family in the order of their fields."""
    found: dict[str, dict[str, FieldInfo]] = {}
    for description in families:
        for name, field in _fields(description).items():
            found.setdefault(name, {})[description.label] = field
    return {name: FamilyOption(name, fields) for name, fields in found.items()}


def request_fields(
    metadata: ModelMetadata, description: FamilyDescription, values: Mapping[str, Any]
) -> dict[str, Any]:
    """Options as fields of the family's request.

    Args:
        metadata: of the checkpoint.
        description: of its family.
        values: by option, those that were given.

    Raises:
        UserError: the family draws nothing, or lacks one of the options, which is named.
    """
    kind = description.sample_request
    if kind is None:
        raise UserError(f"A {description.label} draws no pictures; it judges them.")
    names = {option: name for name, option in description.options.items()}
    fields: dict[str, Any] = {}
    for option, value in values.items():
        name = names.get(option, option)
        if name in kind.model_fields and name not in (*BASE, *SHOWN):
            if _is_picture(kind.model_fields[name]):
                value = picture_from(option, value)
            fields[name] = (value,) if is_tuple(kind.model_fields[name]) else value
        elif option == "guidance" and "guidance_scale" in kind.model_fields:
            if value not in get_args(SWITCH):
                choices = " or ".join(get_args(SWITCH))
                raise UserError(f"{metadata.name} has guidance {choices}, not {value}.")
        else:
            raise lacks(metadata, description, option)
    if "guidance" not in kind.model_fields and values.get("guidance") == "none":
        fields["guidance_scale"] = PLAIN
    return fields


def lacks(metadata: ModelMetadata, description: FamilyDescription, option: str) -> UserError:
    """What to raise when a checkpoint's family has no such option."""
    return UserError(
        f"{metadata.name} is a {description.label} checkpoint, which has no option {flag(option)}."
    )


def flag(name: str) -> str:
    """How an option is written on the command line."""
    return "--" + name.replace("_", "-")


def value_type(annotation: Any) -> type:
    """The type of one value of a field: int of ``int | None`` and of ``tuple[int, ...]``."""
    if annotation in (bool, int, float, str):
        return annotation
    inner = [value_type(part) for part in get_args(annotation) if part not in (type(None), ...)]
    return inner[0] if inner else str


def picture_from(option: str, path: str) -> str:
    """The picture file at a path, as base64; raises UserError if there is none."""
    try:
        written = base64.b64encode(Path(path).read_bytes()).decode()
        open_picture(written)
    except (OSError, ValueError):
        raise UserError(f"{flag(option)} is {path}, but must be {PICTURE_FILE}.") from None
    return written


def _is_picture(field: FieldInfo) -> bool:
    """Whether a field holds a picture file, of which an option gives the path."""
    return bool(
        isinstance(field.json_schema_extra, dict) and "picture_file" in field.json_schema_extra
    )


def is_tuple(field: FieldInfo) -> bool:
    """Whether a field takes several values, of which an option gives one."""
    return get_origin(field.annotation) is tuple


def values_in_words(field: FieldInfo) -> str:
    """Which values an option may have: "a whole number from 0 to 9"."""
    if _is_picture(field):
        return PICTURE_FILE
    if is_tuple(field):
        return allowed(FieldInfo.from_annotation(get_args(field.annotation)[0]))
    return allowed(field)


def _fields(description: FamilyDescription) -> dict[str, FieldInfo]:
    """A family's own fields by the names of their options, and the switch for its guidance."""
    kind = description.sample_request
    fields = {
        description.options.get(name, name): field
        for name, field in (kind.model_fields if kind else {}).items()
        if name not in (*BASE, *SHOWN)
    }
    if "guidance_scale" in fields and "guidance" not in fields:
        fields["guidance"] = FieldInfo.from_annotation(SWITCH)
    return fields
