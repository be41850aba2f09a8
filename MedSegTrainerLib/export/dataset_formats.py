"""A labelled data set as a folder for other programs, in one of ``DATASET_FORMATS``; whole, or not there at all."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from MedSegTrainerLib import atomic
from MedSegTrainerLib.config.settings import DataConfig
from MedSegTrainerLib.data.checks.scan import thread_count
from MedSegTrainerLib.data.dataset import Case
from MedSegTrainerLib.errors import UsageError, did_you_mean
from MedSegTrainerLib.events import Emit, Progress, Stage
from MedSegTrainerLib.export.data_content import DataContent, read_content
from MedSegTrainerLib.export.nnunet_dataset import NnunetWriter, refuse_folder


class Writer(Protocol):
    """Writes the cases of a data set, several at the same time, and at the end what says what they are;
    ``finish`` returns sentences about what is other than in the data."""

    def write_case(self, case: Case) -> None: ...

    def finish(self, name: str) -> list[str]: ...


@dataclass(frozen=True, kw_only=True)
class DatasetFormat:
    """title: for messages. refuse_folder: raises UsageError for a folder of a name that cannot be. writer: of the
    content, in a folder."""

    title: str
    refuse_folder: Callable[[Path], None]
    writer: Callable[[DataContent, Path], Writer]


DATASET_FORMATS: dict[str, DatasetFormat] = {
    "nnunet": DatasetFormat(title="nnU-Net", refuse_folder=refuse_folder, writer=NnunetWriter),
}


def export_data(folder: Path, output: Path, form: str, config: DataConfig, emit: Emit) -> list[str]:
    """Writes the data set in ``folder`` to the new folder ``output``, and returns sentences about what it wrote.

    Raises UsageError for an unknown format and a folder that is there, and DataError with all that a training would
    refuse, or that the format cannot say.
    """
    if form not in DATASET_FORMATS:
        raise UsageError(f"'{form}' is no format for data sets.{did_you_mean(form, DATASET_FORMATS)}")
    chosen = DATASET_FORMATS[form]
    chosen.refuse_folder(output)
    if output.exists():
        raise UsageError(f"{output} is there already and stays as it is. Choose another name.")
    content = read_content(folder, config, emit)
    with atomic.storage_errors(output):
        output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=output.parent) as scratch, atomic.storage_errors(output):
        unfinished = Path(scratch) / output.name
        unfinished.mkdir()
        writer = chosen.writer(content, unfinished)
        cases = content.dataset.cases
        emit(Stage(name="export", message=f"Writing {len(cases)} cases for {chosen.title}", total=len(cases)))
        with ThreadPoolExecutor(max_workers=thread_count(config.num_workers)) as pool:
            for done, _ in enumerate(pool.map(writer.write_case, cases), start=1):
                emit(Progress(done=done, total=len(cases)))
        notes = writer.finish(output.name)
        unfinished.replace(output)
    return [f"{output} has {_counted(content)}.", *notes]


def _counted(content: DataContent) -> str:
    names = {case.name for case in content.dataset.cases}
    aside = f", {len(content.test)} of them kept for a test" if content.test else ""
    divided = f"{len(content.splits)} folds" if len(content.splits) > 1 else content.splits[0].reason
    return f"{len(names)} cases{aside}, {len(content.classes)} classes; {divided}"
