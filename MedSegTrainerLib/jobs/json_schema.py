"""JSON schemas of the files of a job folder, made from the very dataclasses that write and read them.

``python scripts/schema.py`` writes them to ``Resources/``, for programs that are not written in Python.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

from pydantic import TypeAdapter

from MedSegTrainerLib.config.settings import SCHEMA_VERSION
from MedSegTrainerLib.events import EVENT_KINDS
from MedSegTrainerLib.job_status import Status
from MedSegTrainerLib.jobs.kinds import settings_of_kinds

DIALECT = "https://json-schema.org/draft/2020-12/schema"
NUMBERS = ("number", "integer")


def schemas() -> dict[str, dict[str, Any]]:
    """A schema for each file that the parts of the program exchange, by the name of the schema's own file."""
    return {
        "job.schema.json": job_schema(),
        "status.schema.json": status_schema(),
        "events.schema.json": events_schema(),
    }


def job_schema() -> dict[str, Any]:
    """Of ``job.json`` as this program writes it, with the help text and the limits of every setting."""
    kinds = settings_of_kinds()
    adapters = [(kind, "validation", TypeAdapter(cls)) for kind, cls in kinds.items()]
    references, shared = TypeAdapter.json_schemas(adapters)  # type: ignore[arg-type]
    definitions = shared["$defs"]
    for cls in {part for config in kinds.values() for part in (config, *_sections(config))}:
        _describe(definitions[cls.__name__], cls)
    return {
        "$schema": DIALECT,
        "title": "job.json",
        "description": "What a job is to do. Settings left out, and sections left out, keep their defaults. "
        "Numbers, lists and booleans may also be written as text, as in '0.5'; this schema does not show that.",
        "type": "object",
        "properties": {
            "schema_version": {"const": SCHEMA_VERSION},
            "kind": {"enum": list(kinds)},
            "config": {"type": "object"},
        },
        "required": ["kind"],
        "additionalProperties": False,
        "oneOf": [
            {"properties": {"kind": {"const": kind}, "config": references[kind, "validation"]}} for kind in kinds
        ],
        "$defs": definitions,
    }


def status_schema() -> dict[str, Any]:
    """Of ``status.json``."""
    schema = _written(Status)
    return {"$schema": DIALECT, **schema, "title": "status.json"}


def events_schema() -> dict[str, Any]:
    """Of one line of ``events.jsonl``; a number that is not finite is written as null."""
    definitions = {}
    for kind, cls in EVENT_KINDS.items():
        schema = _written(cls)
        for name, value in schema["properties"].items():
            if value.get("type") == "number":
                schema["properties"][name] = {**value, "type": ["number", "null"]}
        common = {
            "seq": {"type": "integer", "minimum": 1, "description": "Counts up from 1."},
            "time": {"type": "number", "description": "Seconds since 1970."},
            "kind": {"const": kind},
        }
        schema["properties"] = common | schema["properties"]
        schema["required"] = list(schema["properties"])
        definitions[kind] = schema
    return {
        "$schema": DIALECT,
        "title": "A line of events.jsonl",
        "description": "What a job says while it works. Later versions may add kinds and fields.",
        "oneOf": [{"$ref": f"#/$defs/{kind}"} for kind in definitions],
        "$defs": definitions,
    }


def _sections(config: type) -> list[type]:
    return [hint for hint in get_type_hints(config).values() if is_dataclass(hint) and isinstance(hint, type)]


def _written(cls: type) -> dict[str, Any]:
    """The schema of a class whose objects are always written with all their fields."""
    schema = TypeAdapter(cls).json_schema()
    _describe(schema, cls)
    for value in schema["properties"].values():
        value.pop("default", None)
    schema["required"] = list(schema["properties"])
    return schema


def _describe(schema: dict[str, Any], cls: Any) -> None:
    """Adds what pydantic cannot know of the fields of ``cls``, and removes titles that only repeat their names."""
    for item in fields(cls):
        value = schema["properties"][item.name]
        value.pop("title", None)
        if "help" in item.metadata:
            value["description"] = item.metadata["help"]
        limits = {name: item.metadata.get(name) for name in ("minimum", "maximum")}
        for part in (value, value.get("items", {}), *value.get("anyOf", [])):
            if part.get("type") in NUMBERS:
                part.update({name: limit for name, limit in limits.items() if limit is not None})
