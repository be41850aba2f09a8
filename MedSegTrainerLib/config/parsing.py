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
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from MedSegTrainerLib.config.architectures import network_problems
from MedSegTrainerLib.config.job_settings import (
    JOB_KINDS,
    ApplyConfig,
    CrossValidateConfig,
    FindRateConfig,
    JobConfig,
    VerifyConfig,
)
from MedSegTrainerLib.config.settings import SCHEMA_VERSION, Auto, LossConfig, TrainConfig, TrainerConfig
from MedSegTrainerLib.duration import parse_duration
from MedSegTrainerLib.errors import ConfigError, UsageError, did_you_mean
from MedSegTrainerLib.files.json_input import parse_json

Assignment = str | tuple[str, Any]
MOST_SHOWN = 120  # characters of a value
MOST_PROBLEMS = 200
MOST_RATES = 16  # branches of a DeepLabV3Plus


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
    """One line for each setting that is wrong; alternatives of a union are told in one line."""
    known = setting_paths(cls)
    lines: dict[str, str] = {}
    for problem in error.errors(include_url=False)[:MOST_PROBLEMS]:
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
            lines[path] = f"{path} = {shortened(problem['input'])}: {problem['msg']}"
    more = error.error_count() - MOST_PROBLEMS
    return [*lines.values(), *([f"{more} more problems of this kind."] if more > 0 else [])]


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
        numbers = value if isinstance(value, list) else [value]
        outside = (
            f"{path} = {shortened(number)}: {told}" for number in numbers if (told := _outside(number, item.metadata))
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
        if value != "auto" and len(value) != length:
            problems.append(f"data.{name} = {shortened(value)}: give three positive numbers (z, y, x).")
    problems += network_problems(config)
    if len(config.optimizer.betas) != 2:
        problems.append(f"optimizer.betas = {shortened(config.optimizer.betas)}: give two numbers.")
    rates = config.network.aspp_rates
    if rates != "auto" and not 1 <= len(rates) <= MOST_RATES:
        problems.append(f"network.aspp_rates = {shortened(rates)}: give 1 to {MOST_RATES} numbers.")
    problems += _schedule_problems(config)
    if trainer.budget is not None:
        try:
            parse_duration(trainer.budget)
        except UsageError as error:
            problems.append(f"trainer.budget = {trainer.budget!r}: {error}")
    return problems


def _schedule_problems(config: TrainConfig) -> list[str]:
    rate, trainer = config.optimizer.learning_rate, config.trainer
    problems = []
    is_meant = trainer.lr_schedule in ("cosine", "plateau") or trainer.eta_min != TrainerConfig.eta_min
    if rate != "auto" and trainer.eta_min > rate and is_meant:
        problems.append(
            f"trainer.eta_min = {trainer.eta_min:g} and optimizer.learning_rate = {rate:g}: the smallest rate is above "
            "the largest. Make it smaller."
        )
    epochs, warmup = trainer.epochs, trainer.warmup_epochs
    if epochs != "auto" and warmup != "auto" and warmup > epochs:
        problems.append(
            f"trainer.warmup_epochs = {warmup:g} and epochs = {epochs}: the rate would never "
            "reach its full height. Make the warm-up shorter."
        )
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
            problems.append(f"loss.{name} = {shortened(value)}: all are 0, so the {term} term would learn nothing.")
    return problems


def _range_problems(config: FindRateConfig) -> list[str]:
    if config.lowest < config.highest:
        return []
    return [f"lowest = {config.lowest:g} and highest = {config.highest:g}: the lowest must be below the highest."]
