"""Settings of a training in every form that people paste: sections, bare keys, one node, or a whole workflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from MedSegTrainerLib.config.overrides import with_settings
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.errors import ConfigError, UsageError, did_you_mean
from MedSegTrainerLib.files.json_input import read_json_file
from MedSegTrainerLib.model.any_description import read_description
from MedSegTrainerLib.workflow.document import IGNORED_KEYS, NODE_KEYS, read_node, read_nodes, section_values
from MedSegTrainerLib.workflow.links import read_links
from MedSegTrainerLib.workflow.nodes import NODE_TYPES, SECTIONS, TRAINING_SECTIONS

FILE_SECTIONS = (*TRAINING_SECTIONS, "start")  # a node of a workflow has no model to begin with
MOST_VALUES = 5000  # of a document with settings; each unknown one is compared with all that are known


def train_config(data: Path, config: Path | None, assignments: Sequence[str]) -> TrainConfig:
    """The training on a folder with the settings of a file, if any, and ``key=value`` assignments over them.

    Raises UsageError or ConfigError with all problems, and ModelError where there is no model to begin with.
    """
    values = {} if config is None else settings_of(read_object(config, "settings, in sections such as 'trainer'"))
    if any(assignment.partition("=")[0] in ("data_dir", "data.data_dir") for assignment in assignments):
        raise UsageError(f"--set data_dir: the folder with the data is {data} already. Leave one of them out.")
    if not data.is_dir():
        what = "is a file, not a folder" if data.exists() else "does not exist"
        raise UsageError(f"{data} {what}. Give the folder that holds the images and the labels.")
    chosen = with_settings(values, list(assignments))
    section = chosen.setdefault("data", {})
    section["data_dir"] = str(data.resolve())
    for part, name in ((section, "split_file"), (section, "cache_dir"), (chosen.get("start", {}), "model")):
        path = part.get(name)
        if isinstance(path, str) and path and "\0" not in path:
            part[name] = str(Path(path).resolve())  # the process that trains is in another folder
    parsed: TrainConfig = parse_config(TrainConfig, chosen)
    if parsed.start.model:
        read_description(Path(parsed.start.model))  # before there is a job
    return parsed


def read_object(path: Path, what: str) -> dict[str, Any]:
    """The JSON object in a file; ``what`` it should hold is in the message where it does not. Raises UsageError."""
    try:
        document = read_json_file(path)
    except OSError as error:
        raise UsageError(f"The configuration {path} cannot be read: {error.strerror}. Check the path.") from None
    if not isinstance(document, dict):
        raise UsageError(f"{path} must hold an object with {what}.")
    if _count(document) > MOST_VALUES:
        raise UsageError(
            f"{path} holds more than {MOST_VALUES} values, far more than there are settings. It is not read."
        )
    return document


def _count(value: Any) -> int:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(_count(part) for part in parts)


def settings_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in a fragment by section, as written; raises ConfigError with all problems.

    A bare key goes to the section that has it; where several have it (``gamma``), to the one that the other keys
    of the fragment point at. The folder with the data is not a setting of a fragment: where one names it, it is
    left out.
    """
    problems: list[str] = []
    if "nodes" in document:
        values = _of_workflow(document, problems)
    elif _is_node(document):
        values = _of_node(document, problems)
    else:
        values = _of_keys(document, problems)
    if problems:
        raise ConfigError(problems)
    return values


def _of_workflow(document: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    nodes = read_nodes(document, problems)
    read_links(document.get("links"), nodes, problems)
    values = section_values([node for node in nodes if node.section in TRAINING_SECTIONS])
    values.get("data", {}).pop("data_dir", None)
    return dict(values)


def _is_node(document: Mapping[str, Any]) -> bool:
    if "config" in document:
        return True
    kind = document.get("type")
    return isinstance(kind, str) and kind in NODE_TYPES and document.keys() <= {*NODE_KEYS, *IGNORED_KEYS}


def _of_node(document: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    node = read_node(document, "The node", problems)
    if node is None:
        return {}
    if node.section not in TRAINING_SECTIONS:
        problems.append(f"{node.name}: a {node.type} has no settings of a training. It belongs into a workflow.")
    values = section_values([node])
    values.get("data", {}).pop("data_dir", None)
    return dict(values)


def _of_keys(document: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    """Sections stay as they are; a bare key is put into its own."""
    values: dict[str, Any] = {}
    for name, part in document.items():
        if name in FILE_SECTIONS:
            values[name] = dict(part) if isinstance(part, Mapping) else part
    sections_of = {key: _sections_with(key) for key in document if key not in FILE_SECTIONS}
    named = {*values, *(sections[0] for sections in sections_of.values() if len(sections) == 1)}
    for key, sections in sections_of.items():
        candidates = [section for section in sections if section in named] if len(sections) > 1 else sections
        if not sections:
            allowed = {
                *FILE_SECTIONS,
                *(item.name for name in TRAINING_SECTIONS for item in fields(SECTIONS[name])),
            }
            problems.append(f"{key}: unknown setting.{did_you_mean(key, allowed)}")
        elif len(candidates) != 1:
            stands_for = " or ".join(f"{section}.{key}" for section in sections)
            problems.append(
                f"{key}: stands for {stands_for}. Write it inside its section, as in {_example(sections, key)}."
            )
        elif not isinstance(values.get(candidates[0], {}), dict):
            continue  # that the section is no object is reported where settings are read
        elif key in values.get(candidates[0], {}):
            problems.append(f"{key}: given twice, by itself and in '{candidates[0]}'. Keep one.")
        else:
            values.setdefault(candidates[0], {})[key] = document[key]
    return values


def _sections_with(key: str) -> list[str]:
    return [name for name in TRAINING_SECTIONS if key in {item.name for item in fields(SECTIONS[name])}]


def _example(sections: list[str], key: str) -> str:
    return f'{{"{sections[0]}": {{"{key}": ...}}}}'
