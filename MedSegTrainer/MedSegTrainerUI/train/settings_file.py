"""Settings of a training in files: saved, and loaded from what the library, or somebody, has written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from MedSegTrainerLib import atomic
from MedSegTrainerLib.errors import UsageError, did_you_mean
from MedSegTrainerLib.files.json_input import read_json_file
from MedSegTrainerLib.files.typed import fits
from MedSegTrainerUI.train.settings import (
    BY_THE_PANEL,
    all_settings,
    by_section,
    full_key,
    only_changes,
    parse_value,
    show_value,
)

START: dict[str, Any] = {"start.model": str, "start.rename": list[str], "start.adapt": bool}  # what it starts from


def save_settings(path: Path, changes: Mapping[str, Any]) -> None:
    """As ``medsegtrainer train --config`` takes them: sections with these settings. Raises StorageError."""
    atomic.write_json(path, by_section(changes))


def load_settings(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The changed settings in a file: sections, bare keys, or a ``job.json``; and what it says of ``START``, by key.

    Raises UsageError in one sentence.
    """
    try:
        document = read_json_file(path)
    except OSError as error:
        raise UsageError(_("{file} cannot be used: {reason}.").format(file=path.name, reason=error.strerror)) from None
    if isinstance(document, dict) and {"kind", "config"} <= document.keys():
        document = document["config"]
    if not isinstance(document, dict):
        raise UsageError(_("{file} holds no settings of a training.").format(file=path.name))
    if "nodes" in document or "config" in document:
        raise UsageError(
            _("{file} is a workflow, which only the command line reads: save its settings by themselves.").format(
                file=path.name
            )
        )
    try:
        values = dict(_flat(document))
        start = {key: _start_value(key, values.pop(key)) for key in START if key in values}
        return only_changes({key: parse_value(all_settings()[key], value) for key, value in values.items()}), start
    except UsageError as error:
        raise UsageError(_("{file} is not used. {problem}").format(file=path.name, problem=error)) from None


def _flat(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every setting of a file with its key; raises UsageError at the first that is not known."""
    sections = {key.partition(".")[0] for key in all_settings()}
    pointed = {name for name in document if name in sections}
    pointed |= {key.partition(".")[0] for name in document if (key := full_key(name)) is not None}
    for name, value in document.items():
        if name in sections:
            if not isinstance(value, dict):
                raise UsageError(_("'{name}' must be an object with settings.").format(name=name))
            for inner, inner_value in value.items():
                yield from _known(f"{name}.{inner}", inner_value)
            continue
        homes = [key for key in (*all_settings(), *BY_THE_PANEL) if key.partition(".")[2] == name or key == name]
        likely = [key for key in homes if key.partition(".")[0] in pointed] if len(homes) > 1 else homes
        if len(homes) > 1 and len(likely) != 1:
            keys = _(" or ").join(homes)
            raise UsageError(_("'{name}' can be {keys}: write it in its section.").format(name=name, keys=keys))
        yield from _known(likely[0] if likely else name, value)


def _start_value(key: str, value: object) -> Any:
    if not fits(value, START[key]):
        raise UsageError(_("'{key}' cannot be {value}.").format(key=key, value=show_value(value)))
    return value


def _known(key: str, value: object) -> Iterator[tuple[str, Any]]:
    if key in BY_THE_PANEL and key not in START:
        return  # which cases and how long is chosen in the panel
    if key not in all_settings() and key not in START:
        names = [name for known in all_settings() for name in (known, known.partition(".")[2])]
        raise UsageError(_("'{key}' is no setting of a training.").format(key=key) + did_you_mean(key, names))
    yield key, value
