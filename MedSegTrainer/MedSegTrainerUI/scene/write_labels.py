"""The label files of a case: one label map, or where segments overlap a mask a class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.export_labels import Overlap, label_map
from MedSegTrainerUI.scene.labelled_region import labelled_voxels
from MedSegTrainerUI.scene.segment_classes import SegmentClass, segments_of_classes
from MedSegTrainerUI.scene.volumes import array_image, volume_geometry, write_image


def write_label_map(
    row: CaseRow, drawn: Sequence[SegmentClass], path: Path, ignore: int | None, *, overlap: Overlap
) -> None:
    """Writes the values of the ``drawn`` classes as uncompressed NRRD on the voxels of the row's first volume; what
    belongs to others stays out. ignore: the value where nobody labelled. Raises DataError or StorageError."""
    labels = label_map(row.segmentation, row.volumes[0], drawn, overlap=overlap)
    if row.region != "everywhere":
        labels = np.where(labelled_voxels(row, labels > 0), labels, np.array(ignore, np.int16))
    write_image(array_image(labels), volume_geometry(row.volumes[0]).ijk_to_ras, path)


def write_masks(
    row: CaseRow, drawn: Sequence[SegmentClass], folder: Path, stem: str, ignore: int | None
) -> dict[str, str]:
    """Writes a mask for each of the ``drawn`` classes that has a segment, compressed, 0 outside; class to file name.

    ignore: as for ``write_label_map``. Raises DataError or StorageError.
    """
    volume, there = row.volumes[0], {item.name for item in segments_of_classes(row.segmentation, drawn).values()}
    known = None
    if row.region != "everywhere":
        known = labelled_voxels(row, label_map(row.segmentation, volume, drawn, overlap="order") > 0)
    files = {}
    for item in drawn:
        if item.name in there:
            files[item.name] = f"{stem}_mask{item.value}.nrrd"
            mask = label_map(row.segmentation, volume, [item])
            if known is not None:
                mask = np.where(known, mask, np.array(ignore, np.int16))
            write_image(
                array_image(mask), volume_geometry(volume).ijk_to_ras, folder / files[item.name], compressed=True
            )
    return files
