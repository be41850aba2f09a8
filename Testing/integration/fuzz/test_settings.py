"""Whatever a setting is given, it is read as it was meant or refused in words that name it."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hostile import mutated, runs, scalars, values
from hypothesis import example, given
from hypothesis import strategies as st

from MedSegTrainerLib.config.job_settings import job_document
from MedSegTrainerLib.config.overrides import with_settings
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.errors import ConfigError, MedSegError
from MedSegTrainerLib.jobs.kinds import parse_job, settings_of_kinds
from MedSegTrainerLib.workflow.document import Workflow, read_workflow
from MedSegTrainerLib.workflow.settings_files import settings_of

KINDS = settings_of_kinds()
FAST, SLOW = 300, 2000
WORKFLOWS = Path(__file__).resolve().parents[3] / "Resources" / "workflows"


@cache
def settings_of_class(cls: type) -> tuple[str, ...]:
    """The path of every setting of a kind of job, with its sections."""
    found: list[str] = []
    for item in fields(cls):  # type: ignore[arg-type]
        hint = get_type_hints(cls)[item.name]
        found += [f"{item.name}.{name}" for name in settings_of_class(hint)] if is_dataclass(hint) else [item.name]
    return tuple(found)


ALL = [(kind, path) for kind, cls in KINDS.items() for path in settings_of_class(cls)]


def nested(path: str, value: Any) -> dict[str, Any]:
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


def at(config: Any, path: str) -> Any:
    for key in path.split("."):
        config = getattr(config, key)
    return config


def is_same(read: Any, given: Any) -> bool:
    """Whether what was read is what was given, if need be as text."""
    if isinstance(given, str) and not isinstance(read, str):
        words = {"none": None, "null": None, **dict.fromkeys(("true", "yes", "on", "y", "t", "1"), True)}
        words |= dict.fromkeys(("false", "no", "off", "n", "f", "0"), False)
        if read is None or isinstance(read, bool):
            return words.get(given.lower(), given) is read
        given = json.loads(given.strip().replace("_", "")) if given.strip() else given
    if isinstance(read, bool):
        return given in (0, 1)
    if isinstance(read, list):
        return isinstance(given, list) and len(read) == len(given) and all(map(is_same, read, given))
    if isinstance(read, dict):
        return read.keys() == given.keys() and all(is_same(read[key], given[key]) for key in read)
    if isinstance(read, (int, float)):
        return not isinstance(given, bool) and math.isfinite(read) and math.isclose(read, float(given), rel_tol=1e-12)
    return bool(read == given)


def check_setting(kind: str, path: str, value: Any) -> None:
    try:
        config = parse_config(KINDS[kind], nested(path, value))
    except ConfigError as error:
        check_words(error)
        assert any(path.split(".")[-1] in line for line in error.problems), error.problems
        return
    assert is_same(at(config, path), value), (at(config, path), value)
    assert parse_job(json.loads(json.dumps(job_document(config)))) == config


def check_words(error: MedSegError) -> None:
    text = str(error)
    assert text and "Traceback" not in text and len(text) < 200_000
    assert all(sign.isprintable() or sign == "\n" for sign in text), text


def check_text(kind: str, path: str, value: str) -> None:
    """As ``--set`` gives it."""
    try:
        config = parse_config(KINDS[kind], with_settings({}, [f"{path}={value}"], KINDS[kind]))
    except ConfigError as error:
        check_words(error)
        return
    assert is_same(at(config, path), None if value.lower() == "none" else value)


@runs(FAST)
@given(st.sampled_from(ALL), values)
@example(("train", "data.spacing"), "[1, 1")
@example(("train", "data.seed"), 10**400)
@example(("train", "data.seed"), True)
@example(("train", "optimizer.learning_rate"), 10**400)
@example(("apply", "inputs"), ["a\0b"])
@example(("apply", "cases"), {"a\0b": []})
@example(("train", "data.flip_axes"), [["x"]])
def test_one_setting(setting: tuple[str, str], value: Any) -> None:
    check_setting(*setting, value)


@pytest.mark.slow
@runs(SLOW)
@given(st.sampled_from(ALL), values)
def test_one_setting_often(setting: tuple[str, str], value: Any) -> None:
    check_setting(*setting, value)


@runs(FAST)
@given(st.sampled_from(ALL), scalars.map(str))
def test_one_setting_as_text(setting: tuple[str, str], value: str) -> None:
    check_text(*setting, value)


@pytest.mark.slow
@runs(SLOW)
@given(st.sampled_from(ALL), scalars.map(str))
def test_one_setting_as_text_often(setting: tuple[str, str], value: str) -> None:
    check_text(*setting, value)


JOBS = [job_document(cls()) for cls in KINDS.values()]


@runs(FAST)
@given(st.sampled_from(JOBS).flatmap(mutated))
def test_jobs(document: Any) -> None:
    try:
        config = parse_job(document)
    except ConfigError as error:
        check_words(error)
        return
    assert parse_job(json.loads(json.dumps(job_document(config)))) == config


FRAGMENTS: list[Any] = [
    asdict(TrainConfig()),
    {"learning_rate": "0.001", "epochs": "5", "loss": {"gamma": 2}},
    {"type": "UNet3D", "config": {"base_channels": "16"}},
    *(json.loads(path.read_text(encoding="utf-8")) for path in sorted(WORKFLOWS.glob("*.json"))),
]


@runs(FAST)
@given(st.sampled_from(FRAGMENTS).flatmap(mutated))
@example({"type": {}, "data": {}})
@example({"trainer": {"checkpoint_dir": "a\0b"}})
def test_fragments(document: Any) -> None:
    if not isinstance(document, dict):
        return  # read_object refuses it
    try:
        parse_config(TrainConfig, with_settings(settings_of(document), []))
    except ConfigError as error:
        check_words(error)


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "data").mkdir()
        yield Path(folder)


@runs(FAST)
@given(document=st.sampled_from(FRAGMENTS[3:]).flatmap(mutated))
def test_workflows(place: Path, document: Any) -> None:
    try:
        assert isinstance(read_workflow(document, place, (), place / "data"), Workflow)
    except ConfigError as error:
        check_words(error)
