"""How many layers or channels a label file has, and what a channel without a name is called."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.dicom_labels import label_file
from MedSegTrainerLib.imaging.label_maps import read_numbers
from MedSegTrainerLib.imaging.numpy_files import ARRAY_SUFFIXES
from MedSegTrainerLib.imaging.read import VOLUME_SUFFIXES, image_suffix, refuse_unreadable


def component_count(path: Path) -> int:
    """Layers or channels of a label file, by its header where that tells; 1 where it cannot be read.

    Of DICOM it is the number of segments where these may overlap.
    """
    suffix = image_suffix(path)
    try:
        found = label_file(path)
        if found is not None:
            file, kind = found
            return len(kind.classes(file)) if kind.may_overlap(file) else 1
        if suffix not in (*VOLUME_SUFFIXES, *ARRAY_SUFFIXES) or path.is_dir():
            return 1
        refuse_unreadable(path)
        if suffix in ARRAY_SUFFIXES:
            size, components = read_numbers(path).GetSize(), 1
        else:
            reader = sitk.ImageFileReader()
            reader.SetFileName(str(path))
            reader.ReadImageInformation()
            size, components = reader.GetSize(), reader.GetNumberOfComponents()
    except (DataError, RuntimeError, ValueError, OSError):  # reading the label map says what is wrong
        return 1
    return components * int(np.prod(size[3:], dtype=int))


def component_name(number: int, names: Mapping[int, str]) -> str:
    """What the channel of a label file is called, counted from 1."""
    return names.get(number, f"label {number}")
