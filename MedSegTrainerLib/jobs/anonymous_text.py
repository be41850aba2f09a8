"""Texts of a job with numbers in place of paths and of the names of cases and computers: the same in all of them."""

from __future__ import annotations

import getpass
import json
import os
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from MedSegTrainerLib.errors import JobError
from MedSegTrainerLib.files.json_input import parse_json, read_json_file
from MedSegTrainerLib.imaging.file_formats import FOREIGN, READ_AS
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.job_logging import LINE
from MedSegTrainerLib.jobs.text_replacement import pattern_of

SUFFIXES = sorted({*READ_AS, *FOREIGN}, key=len, reverse=True)  # of files that may be named after a patient
MOST_FILES, DEEPEST = 20_000, 4  # of the folders with data, where names are looked for
SHORTEST_NAME, LONGEST_NUMBER = 3, 3  # characters, digits: what is shorter may be any word or count of a sentence
LAYOUT_WORDS = {  # of folders and files that every data set has
    "image", "images", "imagestr", "imagests", "label", "labels", "labelstr", "labelsts", "mask", "masks", "seg",
    "segmentation", "segmentations", "train", "test", "val", "data", "job", "model", "report", "predictions",
}  # fmt: skip
COMMON_USERS = {"root", "user", "admin"}
OF_PROGRAMS = re.compile(r".*[/\\](?=(?:site-packages|MedSegTrainerLib|lib[/\\]python3[\d.]*)[/\\].*\.py$)")
PATH = r"(?:[A-Za-z]:[\\/]|\\\\|/)"
QUOTED_PATH = re.compile(rf"(?<=[\"'])({PATH}[^\"'\n]+)(?=[\"'])")
BARE_PATH = re.compile(rf"(?<![\w.:/\\<-])({PATH}(?![\s/])[^\s\"'<>|;,()]*[^\s\"'<>|;,().:])")
FILE = re.compile(rf"[^\s/\\\"'<>|:;,()]+(?:{'|'.join(map(re.escape, SUFFIXES))})(?!\w)", re.IGNORECASE)
NUMBERED = re.compile(r"case-\d+(?:_\d{4}|\.seg)?")  # of a channel, as nnU-Net names them; of Slicer's .seg.nrrd


LISTED = "{}[]"  # the field that a list stands in, for what is in the list
OF_CASES = ("cases", "drawn", "per_case", "case_mean_dice")  # objects whose fields are named as cases are
OF_A_CASE = ("case", *map(LISTED.format, ("train", "val", "test", "unused")))


def anonymized(texts: Mapping[str, str], folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The texts, and why some are left out: in what is no JSON, although it should be, names cannot be told apart.

    folder: of the job. Names are looked for in all texts, in the list of its cases, and in the folders of its data.
    """
    documents = {name: _parsed(text) for name, text in texts.items() if name.endswith(".json")}
    left_out = {name: "it is damaged, and names in it cannot be found" for name in documents if documents[name] is None}
    events = {name: list(_events(text)) for name, text in texts.items() if name.endswith(".jsonl")}
    numbers = Numbers(folder, [*documents.values(), *(event for lines in events.values() for event in lines)])
    result: dict[str, str] = {}
    for name, text in texts.items():
        if name in events:
            result[name] = "".join(f"{json.dumps(numbers.value(event))}\n" for event in events[name])
        elif name not in documents:
            result[name] = "\n".join(numbers.line(line) for line in text.split("\n"))
        elif name not in left_out:
            result[name] = json.dumps(numbers.value(documents[name]), indent=1)
    return result, left_out


class Numbers:
    """Which number stands for what; the same text always becomes the same."""

    def __init__(self, folder: Path, documents: Iterable[Any]) -> None:
        sources = [*documents, _listed_cases(folder)]
        cases = {name for document in sources for name in _case_names(document)}
        files = {name for place in _data_folders(sources) for name in _names_in(place)}
        self._cases = {name: f"case-{index}" for index, name in enumerate(sorted(cases | files), start=1)}
        self._keys = cases  # only these are looked for among the names of fields
        self._paths: dict[str, str] = {}
        self._whole = set(_absolute_paths(sources))
        roots = {str(folder.absolute()), str(folder.resolve()), str(Path.home()), *self._whole}
        known_paths = pattern_of(root.rstrip("/\\") for root in roots if len(root.rstrip("/\\")) > 1)
        self._roots = re.compile(rf"{known_paths.pattern}(?:[/\\][^\s\"'<>|;,():]*)?")
        self._names = pattern_of(name for name in self._cases if _is_telling(name))
        self._others = _computer_names(sources) | _job_names(sources, folder)
        self._other_names = pattern_of(self._others)

    def value(self, value: Any) -> Any:
        """Of JSON, with the names in it replaced."""
        if isinstance(value, dict):
            return {self._key(name): self.value(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.value(item) for item in value]
        return self.text(value) if isinstance(value, str) else value

    def line(self, line: str) -> str:
        """Of a log; its time and its module stay."""
        header = LINE.match(line)
        begin = header.end() if header else 0
        return line[:begin] + self.text(line[begin:])

    def text(self, text: str) -> str:
        if text in self._cases:
            return self._cases[text]
        if text in self._whole:
            return self._path(text)
        text = self._names.sub(lambda match: self._cases[match[0]], text)
        for pattern in (self._roots, QUOTED_PATH, BARE_PATH):
            text = pattern.sub(lambda match: self._path(match[0]), text)
        text = self._other_names.sub(lambda match: self._others[match[0]], text)
        return FILE.sub(lambda match: self._file(match[0]), text)

    def _key(self, name: str) -> str:
        if name in self._keys:
            return self._cases[name]
        return self.text(name) if re.search(r"[/\\]", name) or _suffix(name) else name

    def _path(self, path: str) -> str:
        """Programs are no secret, and say where an error arose; of a file of a case its folder gets a number."""
        if OF_PROGRAMS.match(path):
            return OF_PROGRAMS.sub("", path)
        path = self._names.sub(lambda match: self._cases[match[0]], path).rstrip("/\\")
        name = re.split(r"[/\\]", path)[-1]
        place = path[: len(path) - len(name)]
        stem = name[: len(name) - len(_suffix(name))]
        if NUMBERED.fullmatch(stem):
            return f"{self._path(place)}/{name}" if place.strip("/\\") else name
        return self._paths.setdefault(path, f"path-{len(self._paths) + 1}")

    def _file(self, name: str) -> str:
        suffix = _suffix(name)
        stem = name[: len(name) - len(suffix)]
        if NUMBERED.fullmatch(stem) or stem.lower() in LAYOUT_WORDS or not stem:
            return name
        return self._cases.setdefault(stem, f"case-{len(self._cases) + 1}") + suffix


def _parsed(text: str) -> Any:
    try:
        return parse_json(text, "it", JobError)
    except JobError:
        return None


def _events(text: str) -> Iterator[Any]:
    return (event for line in text.splitlines() if (event := _parsed(line)) is not None)


def _listed_cases(folder: Path) -> Any:
    path = JobFolder(folder).used_cases_file
    if path.is_symlink() or not path.is_file():
        return None
    try:
        return read_json_file(path, JobError)
    except (OSError, JobError):
        return None


def _case_names(value: Any, key: str = "") -> Iterator[str]:
    """Names of cases, by the fields that hold them in the documents and events of a job."""
    if isinstance(value, dict):
        if key in OF_CASES:
            yield from value
        if (key == LISTED.format("cases") or value.get("kind") == "case") and isinstance(value.get("name"), str):
            yield value["name"]
        for name, item in value.items():
            yield from _case_names(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from _case_names(item, LISTED.format(key))
    elif isinstance(value, str) and value and (key in OF_A_CASE or key.endswith(LISTED.format("_cases"))):
        yield value


def _absolute_paths(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (path for item in value.values() for path in _absolute_paths(item))
    elif isinstance(value, list):
        yield from (path for item in value for path in _absolute_paths(item))
    elif isinstance(value, str) and "\n" not in value and re.match(PATH, value) and len(value) > 1:
        yield value


def _data_folders(documents: Iterable[Any]) -> list[Path]:
    """Those that the settings of the job name, where they are still there."""
    configs = [document.get("config") for document in documents if isinstance(document, dict)]
    return [path for name in dict.fromkeys(_absolute_paths(configs)) if (path := Path(name)).is_dir()]


def _names_in(folder: Path) -> set[str]:
    """Of files with images, without their suffix, and of the folders around them; links are not followed."""
    names: set[str] = set()
    seen = 0
    for place, folders, files in os.walk(folder):
        if len(Path(place).relative_to(folder).parts) >= DEEPEST:
            folders.clear()
        stems = [name[: -len(suffix)] for name in files if (suffix := _suffix(name))]
        names.update(name for name in (*folders, *stems) if name.lower() not in LAYOUT_WORDS)
        seen += len(folders) + len(files)
        if seen > MOST_FILES:
            break
    return names


def _suffix(name: str) -> str:
    return next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")


def _is_telling(name: str) -> bool:
    """Whether it is looked for within sentences: no short number or word, but somebody's initials."""
    if len(name) < SHORTEST_NAME:
        return len(name) == SHORTEST_NAME - 1 and name.isupper()
    return not (name.isdigit() and len(name) <= LONGEST_NUMBER)


def _job_names(documents: Iterable[Any], folder: Path) -> dict[str, str]:
    jobs = {document.get("job") for document in documents if isinstance(document, dict)} | {folder.resolve().name}
    named = sorted(job for job in jobs if isinstance(job, str) and _is_telling(job) and job not in LAYOUT_WORDS)
    return {job: f"job-{index}" for index, job in enumerate(named, start=1)}


def _computer_names(documents: Iterable[Any]) -> dict[str, str]:
    hosts = {document.get("host") for document in documents if isinstance(document, dict)} | {socket.gethostname()}
    named = sorted(host for host in hosts if isinstance(host, str) and host)
    names = {host: f"host-{index}" for index, host in enumerate(named, start=1)}
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # nobody knows a name for the number of this user
        return names
    return names if user in COMMON_USERS or len(user) < SHORTEST_NAME else {**names, user: "user-1"}
