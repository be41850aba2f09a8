"""The segments that a label file names, from its header alone: of ``.seg.nrrd``, DICOM SEG and RTSTRUCT."""

from __future__ import annotations

from pathlib import Path

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging import seg_nrrd
from MedSegTrainerLib.imaging.dicom_labels import label_file
from MedSegTrainerLib.imaging.seg_nrrd import Segment


def read_header(path: Path) -> list[Segment]:
    """The segments of a label file; [] for files that name none, or cannot be read. Of DICOM the layers are not known,
    and all are 0."""
    try:
        found = label_file(path)
        if found is None:
            return seg_nrrd.read_header(path)
        file, kind = found
        return [Segment(item=one, layer=0, stored=one.value) for one in kind.classes(file)]
    except (DataError, OSError):  # reading the label map says what is wrong
        return []
