"""What another program finds in a ``metrics.json``, checked before it is used: the file may come from anywhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, TypeAdapter, ValidationError

from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.files.json_input import read_json_file

READ_VERSION = 1
MOST = 1e15  # of a measured number, whatever its unit

Number = Annotated[float, Field(ge=-MOST, le=MOST, allow_inf_nan=False, strict=True)]
Shade = Annotated[int, Field(ge=0, le=255, strict=True)]


@dataclass(frozen=True, kw_only=True)
class _Class:
    __pydantic_config__: ClassVar[Any] = {"extra": "ignore"}

    name: str
    color: Annotated[list[Shade], Field(min_length=3, max_length=3)]


@dataclass(frozen=True, kw_only=True)
class _Evaluation:
    """What pairing and testing look at; there is more in the file."""

    __pydantic_config__: ClassVar[Any] = {"extra": "ignore"}

    metrics: list[str]
    classes: list[_Class]
    cases: dict[str, dict[str, dict[str, Number | None]]]
    length: Literal["mm", "pixels"] = "mm"
    surface_tolerance_mm: Number | None = None
    not_drawn: dict[str, list[str]] = field(default_factory=dict)


def read_evaluation(path: Path) -> dict[str, Any]:
    """The content of a ``metrics.json`` with numbers for each case; raises UsageError for everything else."""
    document = read_json_file(path)
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != READ_VERSION or not all(isinstance(document.get(key), list) for key in ("classes", "metrics")):
        raise UsageError(
            f"{path} is no metrics.json of an evaluation that this version can read (schema_version: "
            f"{version if isinstance(version, int) else 'none'}). Evaluate again with 'medsegtrainer evaluate'."
        )
    if not isinstance(document.get("cases"), dict):
        raise UsageError(f"{path} has means alone, no cases to pair. Evaluate again with per_case=true.")
    try:
        TypeAdapter(_Evaluation).validate_python(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        location = ".".join(repr(str(part)[:40])[1:-1] for part in first["loc"])
        raise UsageError(
            f"{path} was damaged or changed: {location}: {first['msg']}. Evaluate again with 'medsegtrainer evaluate'."
        ) from None
    checked: dict[str, Any] = document
    return checked
