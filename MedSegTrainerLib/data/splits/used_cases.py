"""The cases that a job uses, as they were when it first read them.

They lie in ``used_cases.json`` of the job folder. A resume goes on with exactly these cases, divided as they were, or
is refused: a model must not be judged on what it trained on, nor go on with other labels than it began with.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter

from MedSegTrainerLib import atomic
from MedSegTrainerLib.data.case_contents import THREADS, CaseRecord, changes, record_case
from MedSegTrainerLib.data.dataset import Case, Dataset
from MedSegTrainerLib.data.splits.split import Split
from MedSegTrainerLib.errors import DataError, JobError, some
from MedSegTrainerLib.files.json_input import read_json_file


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
            found = pool.map(lambda name: changes(self.cases[name], today[name]), remaining)
            by_change = {"no longer there, or no longer whole": [name for name in self.cases if name not in today]}
            for name, kinds in zip(remaining, found, strict=True):
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


def record_cases(dataset: Dataset, split: Split, known: Mapping[str, CaseRecord] | None = None) -> UsedCases:
    """Reads the bytes of the files of those divided cases whose contents are not known yet; raises OSError."""
    names = {*split.train, *split.val, *split.test}
    used = [case for case in dataset.cases if case.name in names]
    read = {} if known is None else known
    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        records = list(pool.map(lambda case: read.get(case.name) or record_case(case, dataset.root), used))
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


def _as_recorded(case: Case, record: CaseRecord) -> Case:
    """With the numbers that the classes had, and without classes that only cases added later have."""
    regions = {name: values for name, values in case.regions.items() if name in record.segment_values}
    return replace(case, segment_values=record.segment_values, regions=regions)
