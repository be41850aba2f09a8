"""Settings by name, as ``--set a.b=c`` and keyword arguments of Python give them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from MedSegTrainerLib.config.parsing import Assignment, setting_paths, shortened
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.errors import ConfigError, did_you_mean


def with_settings(values: dict[str, Any], assignments: Iterable[Assignment], cls: type = TrainConfig) -> dict[str, Any]:
    """``values`` with assignments applied: texts ``key=value``, or pairs of key and value; a key may leave out its
    sections where it is unique, and the value of a section is an object with settings of it."""
    paths = setting_paths(cls)
    problems = [
        f"{name} = {shortened(part)}: must be an object with the settings of that section."
        for name, part in _given_sections(values, paths)
        if not isinstance(part, dict)
    ]
    if problems:
        raise ConfigError(problems)
    result = copy.deepcopy(values)
    for key, value in _pairs(assignments, paths, problems):
        matches = [path for path in paths if f".{path}".endswith(f".{key}")]
        if not matches:
            near = did_you_mean(key, {*paths, *(path.rpartition(".")[2] for path in paths)})
            problems.append(f"{key}: unknown setting.{near}")
        elif len(matches) > 1:
            problems.append(f"{key}: stands for {' or '.join(matches)}; write the whole of it.")
        else:
            *sections, name = matches[0].split(".")
            target = result
            for section in sections:
                target = target.setdefault(section, {})
            target[name] = None if isinstance(value, str) and value.lower() == "none" else value
    if problems:
        raise ConfigError(problems)
    return result


def _pairs(assignments: Iterable[Assignment], paths: list[str], problems: list[str]) -> Iterator[tuple[str, Any]]:
    """Every assignment as key and value, those of a whole section one by one."""
    for assignment in assignments:
        if isinstance(assignment, str):
            key, equals, value = assignment.partition("=")
            if equals:
                yield key, value
            else:
                problems.append(f"--set {assignment}: write it as key=value.")
            continue
        key, value = assignment
        if isinstance(value, Mapping) and any(path.startswith(f"{key}.") for path in paths):
            yield from _pairs([(f"{key}.{name}", part) for name, part in value.items()], paths, problems)
        else:
            yield key, value


def _given_sections(values: Mapping[str, Any], paths: list[str]) -> Iterator[tuple[str, Any]]:
    """The sections of ``values`` with what stands in them, as far as they can be entered."""
    for name in sorted({".".join(path.split(".")[:end]) for path in paths for end in range(1, path.count(".") + 1)}):
        part: Any = values
        for key in name.split("."):
            if not isinstance(part, Mapping) or key not in part:
                break
            part = part[key]
        else:
            yield name, part
