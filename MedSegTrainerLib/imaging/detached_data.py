"""NRRD and MetaImage headers that name files with the voxels: only those beside the header are read.

A header comes with a data set from somebody else, and any file of this machine, read as raw numbers, is an image.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PureWindowsPath

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.files.regular_file import refuse_no_file

HEADER_SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")
LONGEST_LINE, MOST_LINES = 1 << 20, 1 << 16
FIELDS = (re.compile(r"data ?file: *(.+)", re.IGNORECASE), re.compile(r"\s*ElementDataFile\s*[=:]\s*(.+)"))
NUMBERED = re.compile(r"([^%]*%\d{0,2}d[^%]*?) +(\d{1,6}) +(\d{1,6}) +([1-9]\d{0,5})( +[1-9])?")
SAME_FILE = ("LOCAL", "Local", "local")  # MetaImage's word for voxels behind the header


def refuse_files_elsewhere(path: Path) -> None:
    """Raises DataError where a header names data files that are not in its own folder or below, or are no files.

    A link that lies there may lead anywhere, as in DataLad's data sets. Other images than NRRD and MetaImage pass.
    """
    if not path.name.lower().endswith(HEADER_SUFFIXES):
        return
    for name in _data_files(path):
        location = PureWindowsPath(name)  # knows both separators, and drives
        if location.drive or location.root or ".." in location.parts:
            raise DataError(
                f"{path} takes its voxels from {name}, outside its own folder, and such files are not read. "
                f"Put that file beside the header, and write its bare name there: {location.name}"
            )
        try:
            refuse_no_file(path.parent / name)
        except DataError as problem:
            raise DataError(f"{path} takes its voxels from '{name}': {problem}") from None


def has_files_beside(path: Path) -> bool:
    """Whether a header takes voxels from other files, or may do so: it cannot be read."""
    if not path.name.lower().endswith(HEADER_SUFFIXES):
        return False
    try:
        return bool(_data_files(path))
    except (OSError, DataError):
        return True


def _data_files(path: Path) -> list[str]:
    """The names of other files that a header takes voxels from, as they stand there; [] where they follow it."""
    with path.open("rb") as stream:
        read = iter(lambda: stream.readline(LONGEST_LINE), b"")
        lines = (line.rstrip(b"\r\n").decode(errors="surrogateescape") for line in islice(read, MOST_LINES))
        for line in lines:
            field = next(filter(None, (expression.match(line) for expression in FIELDS)), None)
            if field is not None:
                return _named_files(field[1].strip(), lines, path)
            if not line:  # ends the header of an NRRD file
                return []
    return []


def _named_files(value: str, following: Iterator[str], path: Path) -> list[str]:
    """The files that a field means: one, a list in the lines that follow it, or a name with a number in it."""
    if value in SAME_FILE:
        return []
    if value.startswith("LIST"):
        return [line.strip() for line in following if line.strip()]
    if value != "-" and "%" not in value:
        return [value]
    numbered = NUMBERED.fullmatch(value)
    if numbered is None:  # NRRD takes '-' for the keyboard; ITK crashes at other uses of %
        raise DataError(f"{path} names its data file {value!r}, which is not read. Give a file, or file%03d.raw 0 9 1.")
    first, last, step = (int(number) for number in numbered.groups()[1:4])
    return [numbered[1] % number for number in range(first, last + 1, step)]
