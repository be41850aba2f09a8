"""Cases in the folder that jobs share: found by the content of their files, whatever these are called and wherever."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from MedSegTrainerLib.cache_folder import SharedFolder
from MedSegTrainerLib.data.case_contents import CaseRecord, FileRecord, changed_files
from MedSegTrainerLib.data.dataset import Case
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.detached_data import has_files_beside
from MedSegTrainerLib.imaging.label_grid import SEGMENTATION_SUFFIXES
from MedSegTrainerLib.imaging.read import image_suffix


@dataclass(frozen=True, kw_only=True)
class SharedCases:
    """The shared folder, and the contents of the cases of a job by their names."""

    folder: SharedFolder
    contents: Mapping[str, CaseRecord]

    def entry(self, kind: str, case: Case, follows_from: Mapping[str, Any]) -> Path | None:
        """Where the entry of a case lies; None where its files do not say all, so that it is not shared.

        follows_from: what it follows from beside the files, as values of JSON.
        """
        record = self.contents.get(case.name)
        if record is None or any(has_files_beside(path) for path in (*case.images, *case.label_files)):
            return None
        text = json.dumps([kind, _read_from(case, record), follows_from], sort_keys=True)
        return self.folder.entry(kind, hashlib.sha256(text.encode()).hexdigest())

    def store(self, path: Path, case: Case, write: Callable[[Path], None]) -> None:
        """Puts an entry there that was made of the case's files; raises DataError where they changed meanwhile, and
        StorageError."""
        changes = changed_files(self.contents[case.name], case)
        if changes:
            raise DataError(
                f"{case.name}: {', '.join(changes)} while it was read. Leave the files as they are while a job begins, "
                "and start it again."
            )
        self.folder.store(path, write)


def _read_from(case: Case, record: CaseRecord) -> dict[str, Any]:
    """What the voxels and the labels of a case follow from."""
    return {
        "images": [_file(path, image) for path, image in zip(case.images, record.images, strict=True)],
        "label": _file(case.label, record.label),
        "masks": {name: _file(path, record.masks[name]) for name, path in case.masks.items()},
        "numbers": dict(case.segment_values),
        "regions": {name: list(values) for name, values in case.regions.items()},
        "overlapping": case.overlapping,
        "ignored_value": case.ignored_value,
        "labelled": [case.labelled_slices.removeprefix("none"), case.labelled_box],
    }


def _file(path: Path, record: FileRecord) -> list[str]:
    """The suffix says how the bytes are read."""
    segmentation = next((suffix for suffix in SEGMENTATION_SUFFIXES if path.name.lower().endswith(suffix)), None)
    return [record.content, "/" if path.is_dir() else segmentation or image_suffix(path) or ""]
