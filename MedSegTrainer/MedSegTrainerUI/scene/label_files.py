"""Label maps in NRRD or NIfTI files: one number a voxel, or (NRRD) segments that overlap in layers of label maps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util import numpy_support

from MedSegTrainerLib.errors import DataError
from MedSegTrainerUI.scene.volumes import matrix_array

LONGEST_HEADER = 1 << 20  # bytes
NIFTI = (".nii", ".nii.gz")
SEGMENT_FIELD = re.compile(r"^(Segment\d+)_(?:(Name):=(.*)|(LabelValue|Layer):=(\d+))$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelMap:
    """``array`` (z, y, x) holds label values; ``ijk_to_ras`` is 4 x 4. numbers: of a layer beside others, those of its
    segments by their names, in place of the values of classes."""

    array: np.ndarray
    ijk_to_ras: np.ndarray
    numbers: Mapping[str, int] | None = None


def read_layers(path: Path) -> list[LabelMap]:
    """The layers of a file: one of a label map. Raises DataError."""
    header = _header(path)
    layered = re.search(r"^dimension: *4$", header, re.MULTILINE) is not None
    path = Path(path)
    nifti = path.name.lower().endswith(NIFTI)
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode() if nifti else slicer.vtkMRMLNRRDStorageNode()
    node = slicer.vtkMRMLVectorVolumeNode() if layered else slicer.vtkMRMLLabelMapVolumeNode()
    storage.SetFileName(str(path))
    if nifti:
        storage.SetSingleFile(True)
    image = node.GetImageData() if (header or nifti) and path.exists() and storage.ReadData(node) else None
    if image is None or image.GetPointData().GetScalars() is None:
        raise DataError(_("{path} cannot be read. Is the file there and complete?").format(path=path))
    if image.GetScalarType() in (vtk.VTK_FLOAT, vtk.VTK_DOUBLE):
        raise DataError(_("{path} is no label map: it needs one whole number a voxel.").format(path=path))
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    place, count = matrix_array(matrix), image.GetNumberOfScalarComponents()
    x, y, z = image.GetDimensions()
    voxels = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(z, y, x, count)
    numbers = _segments(header) if count > 1 else {}
    if count > 1 and not numbers:
        text = _("{path} has {count} layers, and does not say which segments are in them. Save it as a segmentation.")
        raise DataError(text.format(path=path, count=count))
    return [
        LabelMap(array=voxels[..., layer], ijk_to_ras=place, numbers=numbers.get(layer, {}) if count > 1 else None)
        for layer in range(count)
    ]


def layer_numbers(path: Path) -> dict[int, dict[str, int]]:
    """The numbers of the segments in each layer of a file, by their names; empty for one label map."""
    header = _header(path)
    return _segments(header) if re.search(r"^dimension: *4$", header, re.MULTILINE) else {}


def _header(path: Path) -> str:
    """Text of the header; '' where the file cannot be read or is no NRRD file."""
    try:
        with Path(path).open("rb") as stream:
            content = stream.read(LONGEST_HEADER)
    except OSError:
        return ""
    return content.partition(b"\n\n")[0].decode("utf-8", errors="replace") if content.startswith(b"NRRD") else ""


def _segments(header: str) -> dict[int, dict[str, int]]:
    """The numbers of the segments in each layer, by their names."""
    segments: dict[str, dict[str, str]] = {}
    for segment, *parts in SEGMENT_FIELD.findall(header):
        field, text = (part.strip() for part in (parts[:2] if parts[0] else parts[2:]))
        segments.setdefault(segment, {})[field] = text
    layers: dict[int, dict[str, int]] = {}
    for fields in segments.values():
        if {"Name", "Layer", "LabelValue"} <= fields.keys():
            layers.setdefault(int(fields["Layer"]), {})[fields["Name"]] = int(fields["LabelValue"])
    return layers
