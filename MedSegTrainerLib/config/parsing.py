"""Untrusted JSON to a configuration: every problem is found and reported at once, with its path.

Values may be strings, as workflow documents have them ("0.5", "true", "[0.9, 0.999]").
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import islice
from pkgutil import resolve_name
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from MedSegTrainerLib.config.settings import JobConfig
from MedSegTrainerLib.errors import ConfigError, UsageError, did_you_mean
from MedSegTrainerLib.files.json_input import parse_json

Assignment = str | tuple[str, Any]
MOST_SHOWN = 120  # characters of a value
MOST_PROBLEMS = 200


def parse_config(cls: Any, values: Any) -> Any:
    """An instance of the configuration class ``cls`` from a nested dict; raises ConfigError with all problems.

    Values may be those of JSON, or what stands for them in Python: paths, tuples, numbers and arrays of numpy.
    """
    problems: list[str] = []
    values = _converted(_plain(values), cls, "", problems)
    try:
        config: Any = _reader(cls).validate_python(values)
    except ValidationError as error:
        raise ConfigError([*problems, *_problem_lines(error, cls)]) from None
    problems += [*_limit_problems(config, ""), *_contradictions(config)]
    if problems:
        raise ConfigError(problems)
    return config


@cache
def _reader(cls: Any) -> TypeAdapter[Any]:
    return TypeAdapter(cls)


def setting_paths(cls: Any, prefix: str = "") -> list[str]:
    hints = get_type_hints(cls)
    paths = []
    for item in fields(cls):
        inner = hints[item.name]
        path = prefix + item.name
        paths += setting_paths(inner, path + ".") if is_dataclass(inner) else [path]
    return paths


def _plain(value: Any) -> Any:
    """Values of Python as JSON has them: paths are text, tuples and arrays lists."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value.tolist() if hasattr(value, "tolist") else value


def _converted(values: Any, cls: type, prefix: str, problems: list[str]) -> Any:
    """Text for a list, or for one of a few numbers, becomes that; the rest pydantic converts. What it would take for
    something else is a problem, and left out."""
    if not isinstance(values, Mapping):
        return values
    hints = get_type_hints(cls)
    converted = dict(values)
    for key, value in values.items():
        hint, path = hints.get(key), f"{prefix}{key}"
        if isinstance(hint, type) and is_dataclass(hint):
            converted[key] = _converted(value, hint, f"{path}.", problems)
            continue
        try:
            converted[key] = _from_text(value, hint, path) if isinstance(value, str) else value
            problem = "" if hint is None else _misread(converted[key], hint)
        except UsageError as error:
            problems.append(str(error))
            del converted[key]
            continue
        if problem:
            problems.append(f"{path} = {shortened(value)}: {problem}")
            del converted[key]
    return converted


def _from_text(text: str, hint: Any, path: str) -> Any:
    """Raises UsageError for text that begins like a list and is none."""
    if text.startswith("[") and "list" in str(hint):
        return parse_json(text, f"{path} = {shortened(text)}")
    return next((number for number in _numbers_of(hint) if str(number) == text), text)


def _misread(value: Any, hint: Any) -> str:
    """Why pydantic would take a value for another one than was meant; '' where it would not."""
    parts = [*value, *value.values()] if isinstance(value, Mapping) else value if isinstance(value, list) else [value]
    if any(isinstance(part, bool) for part in parts) and "bool" not in str(hint):
        return "give a number or text, not true or false."
    if any(
        isinstance(text, str) and "\0" in text
        for part in parts
        for text in (part if isinstance(part, list) else [part])
    ):
        return "there is a character in it (NUL) that no name can have."
    return ""


def shortened(value: Any) -> str:
    if isinstance(value, int) and value.bit_length() > 8 * MOST_SHOWN:
        return f"a number of {value.bit_length()} bits"  # Python writes no such number in digits
    text = repr(value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}... ({len(text)} characters)"


def _numbers_of(hint: Any) -> list[int]:
    """The numbers that a ``Literal`` lists, also as one alternative of a union."""
    literals = [part for part in (hint, *get_args(hint)) if get_origin(part) is Literal]
    return [option for literal in literals for option in get_args(literal) if isinstance(option, int)]


def _problem_lines(error: ValidationError, cls: type) -> list[str]:
    """One line for each setting that is wrong; alternatives of a union share a line."""
    paths = setting_paths(cls)
    lines: dict[str, str] = {}
    for problem in error.errors(include_url=False)[:MOST_PROBLEMS]:
        location = [str(part) for part in problem["loc"]]
        path = _longest_path(location, paths)
        if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            path = ".".join(location)
            section = path.rpartition(".")[0]
            siblings = [p.removeprefix(section + ".").split(".")[0] for p in paths if p.startswith(section)]
            lines[path] = f"{path}: unknown setting.{did_you_mean(location[-1], siblings)}"
        elif path in lines:
            lines[path] += f"; or: {problem['msg']}"
        else:
            lines[path] = f"{path} = {shortened(problem['input'])}: {problem['msg']}"
    more = error.error_count() - MOST_PROBLEMS
    return [*lines.values(), *([f"{more} more problems of this kind."] if more > 0 else [])]


def _longest_path(location: list[str], paths: list[str]) -> str:
    """The setting a pydantic location points into; the parts behind it name alternatives of a union."""
    for end in range(len(location), 0, -1):
        if ".".join(location[:end]) in paths:
            return ".".join(location[:end])
    return ".".join(location)


def _limit_problems(config: Any, prefix: str) -> list[str]:
    problems = []
    for item in fields(config):
        value, path = getattr(config, item.name), prefix + item.name
        if is_dataclass(value):
            problems += _limit_problems(value, path + ".")
            continue
        numbers = value if isinstance(value, list) else [value]
        outside = (
            f"{path} = {shortened(number)}: {excess}"
            for number in numbers
            if (excess := _outside(number, item.metadata))
        )
        problems += list(islice(outside, 1))
    return problems


def _outside(number: Any, limits: Mapping[str, Any]) -> str:
    """How a number is beyond its limits; '' where it is inside, or no number."""
    low, high = limits.get("minimum"), limits.get("maximum")
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        return ""
    if isinstance(number, float) and not math.isfinite(number):
        return "must be a finite number."
    if low is not None and number < low:
        return f"must be at least {low}."
    return f"must be at most {high}." if high is not None and number > high else ""


def _contradictions(config: Any, prefix: str = "") -> list[str]:
    """What the CHECK of a job's settings says, after those of the jobs in it."""
    problems = [
        problem
        for item in fields(config)
        if isinstance(value := getattr(config, item.name), JobConfig)
        for problem in _contradictions(value, f"{prefix}{item.name}.")
    ]
    check = resolve_name(config.CHECK) if isinstance(config, JobConfig) and config.CHECK else None
    return [*problems, *(f"{prefix}{problem}" for problem in (check(config) if check else []))]
