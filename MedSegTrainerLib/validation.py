"""Untrusted JSON to a configuration: every problem is found and reported at once, with its path.

Values may be strings, as workflow documents have them ("0.5", "true", "[0.9, 0.999]").
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from MedSegTrainerLib.architectures import network_problems
from MedSegTrainerLib.config import (
    JOB_KINDS,
    SCHEMA_VERSION,
    ApplyConfig,
    Auto,
    CrossValidateConfig,
    FindRateConfig,
    JobConfig,
    LossConfig,
    TrainConfig,
    VerifyConfig,
)
from MedSegTrainerLib.duration import parse_duration
from MedSegTrainerLib.errors import ConfigError, UsageError, did_you_mean


def parse_job(document: Any) -> JobConfig:
    """The configuration in the content of a ``job.json``.

    Raises ConfigError with all problems.
    """
    if not isinstance(document, dict):
        raise ConfigError([f"job.json must hold an object, not {type(document).__name__}"])
    problems = [f"{key}: unknown key." for key in document.keys() - {"schema_version", "kind", "config"}]
    if document.get("schema_version", SCHEMA_VERSION) != SCHEMA_VERSION:
        problems.append(f"schema_version: {document['schema_version']!r}; this version reads {SCHEMA_VERSION}.")
    kind = str(document.get("kind"))
    if kind not in JOB_KINDS:
        problems.append(f"kind: '{kind}' is no kind of job." + did_you_mean(kind, JOB_KINDS))
    if problems:
        raise ConfigError(problems)
    return parse_config(JOB_KINDS[kind], document.get("config", {}))


def parse_config(cls: Any, values: Any) -> Any:
    """An instance of the configuration class ``cls`` from a nested dict; raises ConfigError with all problems."""
    values = _strings_to_json(values, cls)
    try:
        config: Any = TypeAdapter(cls).validate_python(values)
    except ValidationError as error:
        raise ConfigError(_problem_lines(error, cls)) from None
    problems = [*_limit_problems(config, ""), *_contradictions(config)]
    if problems:
        raise ConfigError(problems)
    return config


def with_settings(values: dict[str, Any], assignments: list[str], cls: type = TrainConfig) -> dict[str, Any]:
    """``values`` with ``key=value`` assignments applied; a key may leave out its sections where it is unique."""
    paths = _setting_paths(cls)
    problems = [
        f"{name} = {part!r}: must be an object with the settings of that section."
        for name, part in _sections_given(values, paths)
        if not isinstance(part, dict)
    ]
    if problems:
        raise ConfigError(problems)
    result = copy.deepcopy(values)
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        matches = [path for path in paths if f".{path}".endswith(f".{key}")]
        if not equals:
            problems.append(f"--set {assignment}: write it as key=value.")
        elif not matches:
            near = did_you_mean(key, {*paths, *(path.rpartition(".")[2] for path in paths)})
            problems.append(f"{key}: unknown setting.{near}")
        elif len(matches) > 1:
            problems.append(f"{key}: stands for {' or '.join(matches)}; write the whole of it.")
        else:
            *sections, name = matches[0].split(".")
            target = result
            for section in sections:
                target = target.setdefault(section, {})
            target[name] = None if value.lower() == "none" else value
    if problems:
        raise ConfigError(problems)
    return result


def _setting_paths(cls: Any, prefix: str = "") -> list[str]:
    hints = get_type_hints(cls)
    paths = []
    for item in fields(cls):
        inner = hints[item.name]
        path = prefix + item.name
        paths += _setting_paths(inner, path + ".") if is_dataclass(inner) else [path]
    return paths


def _sections_given(values: Mapping[str, Any], paths: list[str]) -> Iterator[tuple[str, Any]]:
    """The sections of ``values`` with what stands in them, as far as they can be entered."""
    for name in sorted({".".join(path.split(".")[:end]) for path in paths for end in range(1, path.count(".") + 1)}):
        part: Any = values
        for key in name.split("."):
            if not isinstance(part, Mapping) or key not in part:
                break
            part = part[key]
        else:
            yield name, part


def _strings_to_json(values: Any, cls: type) -> Any:
    """Text for a list, or for one of a few numbers, becomes that; the rest pydantic converts."""
    if not isinstance(values, Mapping):
        return values
    hints = get_type_hints(cls)
    converted = dict(values)
    for key, value in values.items():
        hint = hints.get(key)
        if isinstance(hint, type) and is_dataclass(hint):
            converted[key] = _strings_to_json(value, hint)
        elif isinstance(value, str) and value.startswith("[") and "list" in str(hint):
            try:
                converted[key] = json.loads(value)
            except ValueError:
                continue
        elif isinstance(value, str):
            converted[key] = next((number for number in _numbers_of(hint) if str(number) == value), value)
    return converted


def _numbers_of(hint: Any) -> list[int]:
    """The numbers that a ``Literal`` lists, also as one alternative of a union."""
    literals = [part for part in (hint, *get_args(hint)) if get_origin(part) is Literal]
    return [option for literal in literals for option in get_args(literal) if isinstance(option, int)]


def _problem_lines(error: ValidationError, cls: type) -> list[str]:
    """One line for each setting that is wrong; alternatives of a union are told in one line."""
    known = _setting_paths(cls)
    lines: dict[str, str] = {}
    for problem in error.errors():
        location = [str(part) for part in problem["loc"]]
        path = _longest_known(location, known)
        if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            path = ".".join(location)
            section = path.rpartition(".")[0]
            siblings = [p.removeprefix(section + ".").split(".")[0] for p in known if p.startswith(section)]
            lines[path] = f"{path}: unknown setting.{did_you_mean(location[-1], siblings)}"
        elif path in lines:
            lines[path] += f"; or: {problem['msg']}"
        else:
            lines[path] = f"{path} = {problem['input']!r}: {problem['msg']}"
    return list(lines.values())


def _longest_known(location: list[str], known: list[str]) -> str:
    """The setting a pydantic location points into; the parts behind it name alternatives of a union."""
    for end in range(len(location), 0, -1):
        if ".".join(location[:end]) in known:
            return ".".join(location[:end])
    return ".".join(location)


def _limit_problems(config: Any, prefix: str) -> list[str]:
    problems = []
    for item in fields(config):
        value, path = getattr(config, item.name), prefix + item.name
        if is_dataclass(value):
            problems += _limit_problems(value, path + ".")
            continue
        low, high = item.metadata.get("minimum"), item.metadata.get("maximum")
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, bool) or not isinstance(number, (int, float)):
                continue
            if not math.isfinite(number):
                problems.append(f"{path} = {number}: must be a finite number.")
            elif low is not None and not number >= low:
                problems.append(f"{path} = {number}: must be at least {low}.")
            elif high is not None and not number <= high:
                problems.append(f"{path} = {number}: must be at most {high}.")
    return problems


def _contradictions(config: Any) -> list[str]:
    if isinstance(config, FindRateConfig):
        return [*(f"train.{problem}" for problem in _train_contradictions(config.train)), *_range_problems(config)]
    if isinstance(config, CrossValidateConfig):
        return [*(f"train.{problem}" for problem in _train_contradictions(config.train)), *_fold_problems(config)]
    if isinstance(config, ApplyConfig):
        return _device_problems("device", config.device, config.devices)
    if isinstance(config, VerifyConfig):
        return [f"train.{problem}" for problem in _train_contradictions(config.train)]
    return _train_contradictions(config) if isinstance(config, TrainConfig) else []


def _train_contradictions(config: TrainConfig) -> list[str]:
    data, loss, trainer = config.data, config.loss, config.trainer
    problems = []
    if data.fold is not None and data.fold >= data.folds and data.split_file is None:
        problems.append(f"data.fold = {data.fold}: with {data.folds} folds it is 0 to {data.folds - 1}.")
    shares = [share for share in (data.train_split, data.val_split, data.test_split) if share != "auto"]
    total = sum(shares)
    if data.fold is None and data.split_file is None and total > 1 + 1e-6:
        problems.append(f"data.train_split + val_split + test_split = {total:g}: must not exceed 1.")
    problems += _loss_problems(loss) + _folder_problems(trainer.checkpoint_dir)
    if data.ignore_label == 0:
        problems.append("data.ignore_label = 0: 0 is background. Give voxels that nobody labelled another value.")
    for name, length in (("spacing", 3), ("patch_size", 3)):
        value = getattr(data, name)
        if value != "auto" and (len(value) != length or min(value) <= 0):
            problems.append(f"data.{name} = {value}: give three positive numbers (z, y, x).")
    problems += network_problems(config)
    if len(config.optimizer.betas) != 2:
        problems.append(f"optimizer.betas = {config.optimizer.betas}: give two numbers.")
    if trainer.budget is not None:
        try:
            parse_duration(trainer.budget)
        except UsageError as error:
            problems.append(f"trainer.budget = {trainer.budget!r}: {error}")
    return problems


def _device_problems(path: str, device: str, devices: int | Auto) -> list[str]:
    if ":" not in device or devices in (1, "auto"):
        return []
    return [f"{path} = '{device}' and devices = {devices}: that is a single one. Use 'auto' or 'cuda' for several."]


def _fold_problems(config: CrossValidateConfig) -> list[str]:
    trainer, devices = config.train.trainer, config.devices
    problems = _device_problems("train.trainer.device", trainer.device, devices)
    if trainer.devices > 1 and devices != 1:
        problems.append(
            f"train.trainer.devices = {trainer.devices} and devices = {devices}: either several devices train each "
            "fold, or each trains a fold of its own. Leave one of them at 1."
        )
    return problems


def _folder_problems(name: str) -> list[str]:
    folder = Path(name)
    if folder.is_absolute() or ".." not in folder.parts:
        return []
    return [f"trainer.checkpoint_dir = {name}: leads out of the job folder. Give a folder in it, or an absolute path."]


def _loss_problems(loss: LossConfig) -> list[str]:
    problems = []
    weights = loss.weights()
    if not weights:
        problems.append("loss: every weight of 'combined' is 0, so nothing would be learned. Give one of them.")
    for name, term in (("class_weights", "cross_entropy"), ("alpha", "focal")):
        value = getattr(loss, name)
        values = value if isinstance(value, list) else [value]
        if term in weights and values and all(number == 0 for number in values):
            problems.append(f"loss.{name} = {value}: all are 0, so the {term} term would learn nothing.")
    return problems


def _range_problems(config: FindRateConfig) -> list[str]:
    if 0 < config.lowest < config.highest:
        return []
    told = f"lowest = {config.lowest:g} and highest = {config.highest:g}"
    return [f"{told}: both must be above 0, and the lowest below the highest."]
