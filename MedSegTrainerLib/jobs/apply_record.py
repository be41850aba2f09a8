"""Which results in a folder 'apply' made, and from what: nothing is made twice, and nothing made by hand is lost.

``made.jsonl`` in the output folder has a line for each result: its files, and ``recipe``, a checksum of everything that
they follow from. A label map whose content is no longer what was written counts as made by hand.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from MedSegTrainerLib import atomic
from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.files.json_input import parse_json
from MedSegTrainerLib.model.package import ModelPackage
from MedSegTrainerLib.results_file import CaseResult, case_from_json

RECORD = "made.jsonl"
ABSENT, SAME, OTHER, BY_HAND = "absent", "same", "other", "by hand"
CHUNK = 1 << 20


class ApplyRecord:
    """The record of an output folder. A line that a dying process left torn is passed over."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / RECORD
        self.contents: dict[str, str] = {}  # file to what identifies its content, or '' while it is being made
        self.recipes: dict[str, str] = {}  # label map to recipe
        self.results: dict[str, CaseResult] = {}  # label map to what was said of it
        lines = self.path.read_bytes().split(b"\n") if self.path.exists() else []
        for line in lines:
            try:
                self._follow(parse_json(line, str(self.path)))
            except (UsageError, KeyError, ValueError, TypeError, AttributeError):
                continue

    def state(self, label_map: Path, maps: Iterable[Path], recipe: str) -> str:
        """What is there of a result: nothing (or a part that is ours), the same, an other one, or one made by hand."""
        files = [label_map, *maps]
        present = [file for file in files if file.exists()]
        if any(not self._is_ours(file) for file in present):
            return BY_HAND
        if not label_map.exists():
            return ABSENT
        whole = len(present) == len(files) and all(self.contents[self._name(file)] for file in files)
        return SAME if whole and self.recipes.get(self._name(label_map)) == recipe else OTHER

    def refuse_others(self, files: Iterable[Path]) -> None:
        """Raises UsageError where files that are going to be written are there, and not as they were written last."""
        others = [file for file in files if file.exists() and not self._is_ours(file)]
        if others:
            raise UsageError(
                f"{others[0]} is there already and stays as it is: this program did not write it, or somebody changed "
                "it since. Rename it, or choose another output folder."
            )

    def begin(self, maps: Iterable[Path]) -> None:
        """Says that these files are going to be made, so that what a dying process leaves of them counts as ours."""
        files = {self._name(file): "" for file in maps}
        if files:
            self._append({"files": files})

    def kept_results(self) -> list[CaseResult]:
        """What was said of the label maps that are still there as they were made."""
        paths = {name: self.folder / name for name in self.results}
        return [self.results[name] for name, path in paths.items() if path.is_file() and self._is_ours(path)]

    def result(self, label_map: Path) -> CaseResult | None:
        """What was said of a label map when it was made; None of older versions."""
        return self.results.get(self._name(label_map))

    def add(self, label_map: Path, maps: Iterable[Path], recipe: str, result: CaseResult | None = None) -> None:
        """Says that all files of a result are whole; ``result``: what is known of it, for who looks later, None where
        that is nothing."""
        files = {self._name(file): f"{file.stat().st_size} bytes" for file in maps}
        files[self._name(label_map)] = checksum(label_map)
        line: dict[str, Any] = {"label_map": self._name(label_map), "recipe": recipe, "files": files}
        if result is not None:
            line |= {"warnings": result.warnings} if result.warnings else {}
            line["result"] = asdict(result)
        self._append(line)

    def end(self, files: Iterable[Path]) -> None:
        """Says that files which were begun are as they shall be."""
        self._append({"files": {self._name(file): checksum(file) for file in files}})

    def _is_ours(self, file: Path) -> bool:
        content = self.contents.get(self._name(file))
        if content is None:
            return False
        return content in ("", f"{file.stat().st_size} bytes") or content == checksum(file)

    def _name(self, file: Path) -> str:
        return file.relative_to(self.folder).as_posix()

    def _follow(self, line: Mapping[str, Any]) -> None:
        files = {str(name): str(content) for name, content in line["files"].items()}
        if "recipe" in line:
            self.recipes[str(line["label_map"])] = str(line["recipe"])
            result = case_from_json(line.get("result"))
            if result is not None and result.label_map == line["label_map"]:
                self.results[result.label_map] = result
        self.contents |= files

    def _append(self, line: dict[str, Any]) -> None:
        self._follow(line)
        with atomic.storage_errors(self.path):
            self.folder.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b") as stream:
                stream.seek(0, os.SEEK_END)
                if stream.tell():
                    stream.seek(-1, os.SEEK_END)
                    if stream.read(1) != b"\n":
                        stream.write(b"\n")
                stream.write(json.dumps(line).encode() + b"\n")


def recipe(packages: Sequence[str], settings: Mapping[str, Any], stamps: Sequence[tuple[str, int, int]]) -> str:
    """A checksum of models (``model_checksum``), settings (JSON) and images (``data.images.file_stamps``).

    Of the images the names count, not the folders: they may be moved.
    """
    images = [(Path(name).name, size, changed) for name, size, changed in stamps]
    text = json.dumps([list(packages), settings, images], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def model_checksum(package: ModelPackage) -> str:
    """A checksum of the weights and of what the result follows from beside them."""
    digest = hashlib.sha256(json.dumps(package.plan.to_json(), sort_keys=True).encode())
    for name, value in sorted(package.weights.items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def checksum(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
