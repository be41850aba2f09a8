"""The cases that a job uses, as they were when it first read them.

They lie in ``used_cases.json`` of the job folder. A resume goes on with exactly these cases, divided as they were, or
is refused: a model must not be judged on what it trained on, nor go on with other labels than it began with.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pydantic import TypeAdapter

from MedSegTrainerLib import atomic
from MedSegTrainerLib.data.dataset import Case, Dataset, SliceAxis
from MedSegTrainerLib.data.splits.split import Split
from MedSegTrainerLib.errors import DataError, JobError, some
from MedSegTrainerLib.files.json_input import read_json_file
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


@dataclass(frozen=True, kw_only=True)
class UsedCases:
    """A division, the cases in it, and the names of those that were there but are in none of its parts.

    overlapping: whether classes overlapped; None where an earlier version wrote it, to which they never did."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    reason: str
    unused: tuple[str, ...]
    label_names: dict[int, str]
    cases: dict[str, CaseRecord]
    overlapping: bool | None = None

    @property
    def split(self) -> Split:
        return Split(train=self.train, val=self.val, test=self.test, reason=self.reason)

    def write(self, path: Path) -> None:
        atomic.write_json(path, asdict(self))

    def divided(self, split: Split) -> UsedCases:
        """The same files for another division of them."""
        names = {*split.train, *split.val, *split.test}
        unused = tuple(sorted({*self.unused, *self.cases} - names))
        return replace(
            self,
            train=split.train,
            val=split.val,
            test=split.test,
            reason=split.reason,
            unused=unused,
            cases={name: case for name, case in self.cases.items() if name in names},
        )

    def added(self, dataset: Dataset) -> list[str]:
        """Names of cases that were not there."""
        return sorted({case.name for case in dataset.cases} - {*self.cases, *self.unused})

    def as_at_start(self, dataset: Dataset, instead: str) -> Dataset:
        """The data set of today without cases that were added, the label values of the others as they were.

        Reads files whose stamp is another one. Raises DataError that lists the cases that are gone or changed;
        ``instead`` is the command that trains on today's data.
        """
        today = {case.name: case for case in dataset.cases}
        remaining = [name for name in self.cases if name in today]
        with ThreadPoolExecutor(max_workers=THREADS) as pool:
            changes = pool.map(lambda name: _changes(self.cases[name], today[name]), remaining)
            by_change = {"no longer there, or no longer whole": [name for name in self.cases if name not in today]}
            for name, kinds in zip(remaining, changes, strict=True):
                for kind in kinds:
                    by_change.setdefault(kind, []).append(name)
        lines = [f"\n  - {kind}: {some(names)}" for kind, names in by_change.items() if names]
        if lines:
            raise DataError(
                f"The data in {dataset.root} are not those that this training began with:{''.join(lines)}\n"
                "Put them back as they were, then --resume goes on. To train on the data as they are now, begin anew "
                f"in another folder: {instead}"
            )
        kept = [_as_recorded(today[name], case) for name, case in self.cases.items()]
        kept += [today[name] for name in self.unused if name in today]
        return replace(dataset, cases=tuple(kept), label_names=self.label_names)


def record_cases(dataset: Dataset, split: Split) -> UsedCases:
    """Reads the bytes of all files of the divided cases; raises OSError."""
    names = {*split.train, *split.val, *split.test}
    used = [case for case in dataset.cases if case.name in names]
    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        records = list(pool.map(lambda case: _record(case, dataset.root), used))
    return UsedCases(
        train=split.train,
        val=split.val,
        test=split.test,
        reason=split.reason,
        unused=tuple(sorted({case.name for case in dataset.cases} - names)),
        label_names=dict(dataset.label_names),
        cases={case.name: record for case, record in zip(used, records, strict=True)},
        overlapping=dataset.overlapping,
    )


def content_of_cases(dataset: Dataset) -> dict[str, CaseRecord]:
    """All cases of a data set by their names, whatever part they will be in; raises OSError."""
    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        records = pool.map(lambda case: _record(case, dataset.root), dataset.cases)
    return {case.name: record for case, record in zip(dataset.cases, records, strict=True)}


def read_used_cases(path: Path) -> UsedCases | None:
    """None where the job has none yet; raises JobError where the file is damaged."""
    if not path.exists():
        return None
    try:
        used: UsedCases = TypeAdapter(UsedCases).validate_python(read_json_file(path, JobError))
        if not used.train or {*used.train, *used.val, *used.test} != set(used.cases):
            raise ValueError
    except ValueError:
        raise JobError(
            f"{path} is damaged, so it is not known any more which cases this training began with. Remove the file if "
            "the data are the same as then: it is written again."
        ) from None
    return used


def _record(case: Case, root: Path) -> CaseRecord:
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


def _as_recorded(case: Case, record: CaseRecord) -> Case:
    """With the numbers that the classes had, and without classes that only cases added later have."""
    regions = {name: values for name, values in case.regions.items() if name in record.segment_values}
    return replace(case, segment_values=record.segment_values, regions=regions)


def _file_record(path: Path, root: Path) -> FileRecord:
    inside = path.is_relative_to(root)
    return FileRecord(
        path=path.relative_to(root).as_posix() if inside else str(path), stamp=_stamp(path), content=_content(path)
    )


def _changes(record: CaseRecord, case: Case) -> list[str]:
    if len(record.images) != len(case.images):
        return ["another number of image files"]
    if record.masks.keys() != case.masks.keys():
        return ["masks of other classes"]
    pairs = [("label map changed", record.label, case.label)]
    pairs += [(f"mask of {name} changed", then, case.masks[name]) for name, then in record.masks.items()]
    pairs += [("image changed", then, now) for then, now in zip(record.images, case.images, strict=True)]
    changed = [kind for kind, then, now in pairs if then.stamp != _stamp(now) and then.content != _content(now)]
    told = (
        ("other classes were drawn", _as_set(record.drawn), _as_set(case.drawn)),
        ("other labelled slices", record.labelled_slices, case.labelled_slices),
        ("another labelled box", record.labelled_box, case.labelled_box),
    )
    changed += [kind for kind, before, today in told if before != today]
    return list(dict.fromkeys(changed))


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
