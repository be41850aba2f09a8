"""The rows of the table as a folder that the library trains on: images, label maps or masks, and ``cases.json``.

Beside it ``scene.json`` records what of the scene became what:

    {"schema_version": 1,
     "cases": {"CT_01": {"volumes": ["vtkMRMLScalarVolumeNode1"], "segmentation": "vtkMRMLSegmentationNode1",
                         "segments": {"Segment_1": "liver"}}},
     "classes": [{"name": "liver", "value": 1, "segments": ["liver", "Liver"]}]}
"""

from __future__ import annotations

import secrets
import shutil
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from MedSegTrainerLib import atomic
from MedSegTrainerLib.errors import DataError, MedSegError
from MedSegTrainerUI.scene.case_checks import check_rows, error_lines, row_overlaps
from MedSegTrainerUI.scene.case_rows import CaseRow, free_name
from MedSegTrainerUI.scene.drawn_classes import drawn_classes
from MedSegTrainerUI.scene.export_labels import Overlap
from MedSegTrainerUI.scene.segment_classes import SegmentClass, same_name, segments_of_classes
from MedSegTrainerUI.scene.volumes import export_channel, export_volume
from MedSegTrainerUI.scene.write_labels import write_label_map, write_masks

CASES = "cases.json"
MAPPING = "scene.json"
SCHEMA_VERSION = 1
NOBODY_LABELLED = -1  # the value of voxels that are neither a class nor background


def export_cases(
    rows: Sequence[CaseRow],
    classes: Sequence[SegmentClass],
    folder: Path,
    *,
    overlap: Overlap = "masks",
    on_case: Callable[[str], None] = lambda name: None,
) -> None:
    """Writes the rows that are in use into ``folder``, which appears when all is written; files are named, not copied.

    overlap: "masks" writes a mask for each class where segments overlap in any case; else as for ``label_map``.
    on_case: called with the name of each case before it is written. Raises DataError with all that is wrong with the
    rows, or StorageError; then there is no folder, as there was none before.
    """
    used = [row for row in rows if row.use]
    _refuse(used, classes, overlap)
    folder = Path(folder).absolute()
    with atomic.storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DataError(_("{folder} is not empty. Choose another folder.").format(folder=folder))
        partial = folder.with_name(f".tmp-{secrets.token_hex(4)}-{folder.name}")
        partial.mkdir()
        try:
            _write(used, classes, partial, overlap, on_case)
            if folder.exists():
                folder.rmdir()
            atomic.replace(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _refuse(rows: Sequence[CaseRow], classes: Sequence[SegmentClass], overlap: Overlap) -> None:
    if not rows:
        raise DataError(_("No case is chosen. Add a volume with its segmentation, and set its check mark."))
    if not classes:
        raise DataError(_("No class is chosen. Set the check mark of at least one."))
    wrong = error_lines(check_rows(rows, classes, overlap=overlap))
    if wrong:
        raise DataError(wrong)
    for row in rows:
        if row.images:
            _refuse_changed_values(row, classes)
    ignore_value(rows)


def _refuse_changed_values(row: CaseRow, classes: Sequence[SegmentClass]) -> None:
    """Label maps on disk stay as they are: their classes cannot be joined or left out."""
    of_name = {same_name(name): item for item in classes for name in item.segments}
    values = row.values or range(1, len(row.segments) + 1)
    for name, value in zip(row.segments, values, strict=True):
        item = of_name.get(same_name(name))
        if item is None or item.value != value:
            raise DataError(
                _(
                    "{case} comes from a folder, and '{name}' can be neither left out nor merged there. Load its files "
                    "into the scene, or take its check mark away."
                ).format(case=row.name, name=name)
            )


def _write(
    rows: Sequence[CaseRow],
    classes: Sequence[SegmentClass],
    folder: Path,
    overlap: Overlap,
    on_case: Callable[[str], None],
) -> None:
    entries: list[dict[str, Any]] = []
    mapping: dict[str, Any] = {}
    stems: list[str] = []
    ignore = ignore_value(rows)
    as_masks = overlap == "masks" and any(row_overlaps(row, classes) for row in rows)
    for row in rows:
        name = free_name(row.name, [entry["name"] for entry in entries])
        on_case(name)
        drawn = drawn_classes(row, classes)
        listed = {} if len(drawn) == len(classes) else {"drawn": [item.name for item in drawn]}
        if row.images:
            paths = [str(Path(image).absolute()) for image in row.images]
            files = {"images": paths, "label": str(Path(row.label).absolute())}
            entries.append({"name": name, **files, **listed, **_region_of_files(row)})
            continue
        stems.append(free_name(_plain(name), stems))
        try:
            written = _write_images(row, folder, stems[-1])
            if as_masks:
                written["masks"] = write_masks(row, drawn, folder, stems[-1], ignore)
            else:
                written["label"] = f"{stems[-1]}_label.nrrd"
                write_label_map(row, drawn, folder / written["label"], ignore, overlap=overlap)
        except MedSegError as error:
            raise type(error)(f"{name}: {error}") from error
        entries.append({"name": name, **written, **listed})
        mapping[name] = _origin(row, drawn)
    named = [
        {"value": item.value, "name": item.name, "color": list(item.color), "terminology": item.terminology}
        for item in classes
    ]
    meant = [{"name": item.name, "value": item.value, "segments": list(item.segments)} for item in classes]
    atomic.write_json(folder / MAPPING, {"schema_version": SCHEMA_VERSION, "cases": mapping, "classes": meant})
    document = {"schema_version": SCHEMA_VERSION, "classes": named, "cases": entries}
    if ignore is not None:
        document["ignore_label"] = ignore
    if as_masks:
        document["overlapping"] = True
    atomic.write_json(folder / CASES, document)


def _write_images(row: CaseRow, folder: Path, stem: str) -> dict[str, Any]:
    images = []
    reference = row.volumes[0]
    for channel, volume in enumerate(row.volumes):
        path = folder / f"{stem}_{channel:04d}.nrrd"
        if channel == 0:
            export_volume(volume, path)
        else:
            export_channel(volume, reference, path)
        images.append(path.name)
    return {"images": images}


def ignore_value(rows: Sequence[CaseRow]) -> int | None:
    """The number of voxels that nobody labelled, in all label maps of these rows; None where there are none.

    That of the rows on disk, of which files stay as they are. Raises DataError where two of them differ, or where it is
    none that a label map of the scene can hold.
    """
    known = {row.ignore_label: row.name for row in rows if row.ignore_label is not None}
    if len(known) > 1:
        (one, first), (other, second) = list(known.items())[:2]
        raise DataError(
            _(
                "In {first} {one} is the value of voxels that nobody labelled, and in {second} {other}: they cannot be "
                "trained together. Take the check marks of one folder away."
            ).format(first=first, one=one, second=second, other=other)
        )
    if not any(row.volumes and row.region != "everywhere" for row in rows):
        return next(iter(known), None)
    value = next(iter(known), NOBODY_LABELLED)
    if not np.iinfo(np.int16).min <= value <= np.iinfo(np.int16).max or value == 0:
        raise DataError(
            _(
                "{case} comes from a folder where {value} is the value of voxels that nobody labelled, which cases of "
                "the scene cannot have. Take its check mark away."
            ).format(case=known[value], value=value)
        )
    return value


def _region_of_files(row: CaseRow) -> dict[str, Any]:
    """As the folder of the case says it."""
    if row.region == "slices":
        return {"labelled_slices": row.axis or "auto"}
    return {"labelled_box": row.box} if row.region == "box" else {}


def _origin(row: CaseRow, classes: Sequence[SegmentClass]) -> dict[str, Any]:
    owners = segments_of_classes(row.segmentation, classes)
    return {
        "volumes": [volume.GetID() for volume in row.volumes],
        "segmentation": row.segmentation.GetID(),
        "segments": {segment_id: item.name for segment_id, item in owners.items()},
    }


def _plain(name: str) -> str:
    """A name of letters that file systems and readers of all countries agree on."""
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in letters).strip("._") or "case"
