"""What ``model.json`` says of a model, from its folder, its zip or the job that made it; standard library only."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal

from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.files.json_input import parse_json

SCHEMA_VERSION = 1
DESCRIPTION, WEIGHTS, CARD = "model.json", "weights.safetensors", "card.md"
LARGEST = {DESCRIPTION: 64 << 20, WEIGHTS: 8 << 30}  # bytes; no model comes near them, a zip bomb does
MOST_PROBLEMS = 20
JSON_NAMES: dict[type, str] = {dict: "an object", list: "a list", int: "a whole number", str: "a text"}
HEAD, ENTRIES = (
    {"schema_version": int, "made_by": str},
    {
        "plan": dict,
        "training": dict,
        "metrics": dict,
        "data": dict,
        "curves": list,
        "postprocessing": list,
        "likely_dice": dict,
    },
)
NOT_READ = (  # of a zip that is damaged or locked, whatever it is compressed with
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    RuntimeError,
    EOFError,
    ValueError,
    OSError,
)
Opened = Callable[[str], AbstractContextManager[tuple[IO[bytes], int]]]
Problem = Literal[
    "gone", "untrained", "no_model", "zip_without_model", "no_zip", "unreachable", "damaged", "version", "foreign"
]


class DescriptionError(ModelError):
    """Why there is no model to read; ``problem`` names it for a program that says it in another language.

    detail: the format version of the model where that is the problem, what the system said of a zip out of reach, why
    a model of another program ("foreign") cannot be used.
    """

    def __init__(self, problem: Problem, message: str, detail: object = None) -> None:
        super().__init__(message)
        self.problem: Problem = problem
        self.detail = detail


def parse_description(opened: Opened, path: Path) -> dict[str, Any]:
    """What ``model.json`` holds of an opened package; raises DescriptionError."""
    with opened(DESCRIPTION) as (stream, size):
        text = stream.read(size)
    try:
        document = parse_json(text, DESCRIPTION, ModelError)
    except ModelError as error:
        raise damaged(path, str(error)) from None
    if not isinstance(document, dict) or "schema_version" not in document:
        raise damaged(path, "it has no schema_version")
    if document["schema_version"] != SCHEMA_VERSION:
        version = document["schema_version"]
        message = f"{path} has model format {version!r}; this version reads {SCHEMA_VERSION}. Update one."
        raise DescriptionError("version", message, version)
    problems = [*_entry_problems(document, {**HEAD, **ENTRIES, "members": list})]
    for member in document["members"] if isinstance(document.get("members"), list) else []:
        problems += _entry_problems(member, {"weights": str, **ENTRIES})
    if problems:
        raise damaged(path, "; ".join(problems[:MOST_PROBLEMS]))
    return document


def _entry_problems(entry: Any, types: Mapping[str, type]) -> list[str]:
    """What is missing, unknown or of another kind; optional are all but plan and weights."""
    if not isinstance(entry, dict):
        return [f"{entry!r:.40} is no object"]
    missing = [f"{name} is missing" for name in ("plan", "weights") if name in types and name not in entry]
    unknown = [f"{name!r:.60} is unknown, as of a later version" for name in entry.keys() - types.keys()]
    wrong = [
        f"{name} must be {JSON_NAMES[types[name]]}"
        for name in entry
        if not isinstance(entry[name], types.get(name, object))
    ]
    return missing + unknown + wrong


def damaged(path: Path, reason: str) -> DescriptionError:
    return DescriptionError(
        "damaged",
        f"{path} is no model of this program: {DESCRIPTION} is damaged, or of a later version: {reason}\n"
        "Copy the model again, or update MedSegTrainer.",
    )


@contextmanager
def open_package(path: Path) -> Iterator[Opened]:
    """What opens a member of the package by its name, as a stream and its number of bytes. Of a zip nothing is unpacked
    to disk, whatever the paths in it say."""
    if not path.is_file():
        folder = _folder_of(path)
        yield lambda name: _open_file(folder / name, path)
        return
    try:
        with zipfile.ZipFile(path) as archive:
            members = {PurePosixPath(info.filename).name: info for info in archive.infolist() if not info.is_dir()}
            if not {DESCRIPTION, WEIGHTS} <= members.keys():
                message = f"{path} is no model: the zip lacks {DESCRIPTION} or {WEIGHTS}."
                raise DescriptionError("zip_without_model", message)

            @contextmanager
            def open_member(name: str) -> Iterator[tuple[IO[bytes], int]]:
                if name not in members:
                    raise DescriptionError("damaged", f"{path} is no whole model: the zip lacks {name}.")
                _refuse_large(path, name, members[name].file_size)
                with archive.open(members[name]) as stream:
                    yield stream, members[name].file_size

            yield open_member
    except NOT_READ as error:
        reason = f"it cannot be read as a zip file ({error})"
        message = f"{path} is no model: {reason}. Give a model folder, its zip or a job."
        if isinstance(error, OSError) and error.strerror:
            raise DescriptionError("unreachable", message, error.strerror) from None
        raise DescriptionError("no_zip", message) from None


@contextmanager
def _open_file(file: Path, path: Path) -> Iterator[tuple[IO[bytes], int]]:
    if not file.is_file():
        message = f"{path} is no whole model: {file.name} is missing. Copy the model again."
        raise DescriptionError("damaged", message)
    size = file.stat().st_size
    _refuse_large(path, file.name, size)
    with file.open("rb") as stream:
        yield stream, size


def _refuse_large(path: Path, name: str, size: int) -> None:
    if size > LARGEST.get(name, LARGEST[WEIGHTS]):
        raise DescriptionError("damaged", f"{path}: {name} claims {size} bytes. It is not opened.")


def model_name(path: Path) -> str:
    """The name of the job or file; a folder that is called ``model`` is named after the one it lies in, and one that
    nnU-Net called TRAINER__PLANS__CONFIGURATION also after its data set."""
    if path.name.count("__") == 2:
        return f"{path.parent.name}, {path.name.split('__')[2]}"
    return path.parent.name if path.name == "model" else path.stem if path.suffix.lower() == ".zip" else path.name


def _folder_of(path: Path) -> Path:
    if not path.exists():
        raise DescriptionError("gone", f"The model {path} does not exist. Check the path.")
    folder = path / "model" if (path / "model" / DESCRIPTION).exists() else path
    if (folder / DESCRIPTION).exists() and (folder / WEIGHTS).exists():
        return folder
    if (path / "job.json").exists():
        message = f"{path} holds no model. The job has no model yet; train it first."
        raise DescriptionError("untrained", message)
    message = f"{path} holds no model. A model is a folder (or zip) with {DESCRIPTION} and {WEIGHTS}, or a job folder."
    raise DescriptionError("no_model", message)
