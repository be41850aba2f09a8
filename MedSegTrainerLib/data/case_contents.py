"""The content of the files of a case, as SHA-256: by it the same case is known again in other files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from MedSegTrainerLib.data.dataset import Case, Dataset, SliceAxis
from MedSegTrainerLib.imaging.partly_labelled import Box
from MedSegTrainerLib.imaging.read import file_stamps

BLOCK = 1 << 20
THREADS = 4


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """An image or label map. path: below the data folder where it lies there. stamp: of name, size and time of change
    of its files; where it is the same they are not read again. content: SHA-256 of their bytes."""

    path: str
    stamp: str
    content: str


@dataclass(frozen=True, kw_only=True)
class CaseRecord:
    """Files of a case, and what it says of them: as the fields of ``Case`` have it. ``label`` is the first of its
    masks, where each class has a file of its own."""

    images: tuple[FileRecord, ...]
    label: FileRecord
    segment_values: dict[str, int]
    masks: dict[str, FileRecord] = field(default_factory=dict)
    drawn: tuple[str, ...] | None = None
    labelled_slices: SliceAxis = ""
    labelled_box: Box | None = None


def contents_of(dataset: Dataset) -> dict[str, CaseRecord]:
    """Reads the bytes of all files of a data set; the cases by their names.

    Those of which a file cannot be read are left out: checking them says what is wrong.
    """

    def record(case: Case) -> CaseRecord | None:
        with suppress(OSError):
            return record_case(case, dataset.root)
        return None

    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        records = pool.map(record, dataset.cases)
    return {case.name: record for case, record in zip(dataset.cases, records, strict=True) if record is not None}


def record_case(case: Case, root: Path) -> CaseRecord:
    """Reads the bytes of its files; raises OSError."""
    images = tuple(_file_record(path, root) for path in case.images)
    files = {path: _file_record(path, root) for path in case.label_files}
    return CaseRecord(
        images=images,
        label=files[case.label],
        segment_values=dict(case.segment_values),
        masks={name: files[path] for name, path in case.masks.items()},
        drawn=case.drawn,
        labelled_slices=case.labelled_slices,
        labelled_box=case.labelled_box,
    )


def changes(record: CaseRecord, case: Case) -> list[str]:
    """What of the case is not as it was recorded, in words; reads files whose stamp is another one."""
    told = (
        ("other classes were drawn", _as_set(record.drawn), _as_set(case.drawn)),
        ("other labelled slices", record.labelled_slices, case.labelled_slices),
        ("another labelled box", record.labelled_box, case.labelled_box),
    )
    if len(record.images) != len(case.images):
        return ["another number of image files"]
    if record.masks.keys() != case.masks.keys():
        return ["masks of other classes"]
    return [*changed_files(record, case), *(kind for kind, before, today in told if before != today)]


def changed_files(record: CaseRecord, case: Case) -> list[str]:
    """Which files of a case, as many as were recorded, are others now; reads those whose stamp is another one."""
    pairs = [("label map changed", record.label, case.label)]
    pairs += [(f"mask of {name} changed", then, case.masks[name]) for name, then in record.masks.items()]
    pairs += [("image changed", then, now) for then, now in zip(record.images, case.images, strict=True)]
    changed = [kind for kind, then, now in pairs if then.stamp != _stamp(now) and then.content != _content(now)]
    return list(dict.fromkeys(changed))


def _file_record(path: Path, root: Path) -> FileRecord:
    inside = path.is_relative_to(root)
    return FileRecord(
        path=path.relative_to(root).as_posix() if inside else str(path), stamp=_stamp(path), content=_content(path)
    )


def _as_set(names: Sequence[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)


def _stamp(path: Path) -> str:
    stamps = [(Path(name).name, size, changed) for name, size, changed in file_stamps(path)]
    return hashlib.sha256(json.dumps(stamps).encode()).hexdigest()


def _content(path: Path) -> str:
    content = hashlib.sha256()
    for name, _, _ in file_stamps(path):
        with Path(name).open("rb") as stream:
            while block := stream.read(BLOCK):
                content.update(block)
    return content.hexdigest()
