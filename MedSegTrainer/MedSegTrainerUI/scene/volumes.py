"""A volume of the scene as a file in its own frame, and where volumes lie relative to each other.

Parent transforms are not applied to what is written: images and label maps of a case lie in the frame of its first
volume, and only what lies under other transforms is brought there. Nodes of the scene stay as they are, and none is
added: files are written through nodes and storage nodes that no scene knows.
"""

from __future__ import annotations

import errno
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util import numpy_support

from MedSegTrainerLib import atomic
from MedSegTrainerLib.errors import DataError, StorageError
from MedSegTrainerUI.slicer_types import Node, SegmentationNode, VolumeNode, VtkObject

SAME_PLACE = 0.1  # voxels: below, voxels lie on each other and are not resampled (nearest neighbours are the same)


@dataclass(frozen=True, kw_only=True, eq=False)
class VolumeGeometry:
    """``size`` is (x, y, z) in voxels; ``ijk_to_ras`` (4 x 4) leads to mm in the volume's own frame."""

    size: tuple[int, int, int]
    ijk_to_ras: np.ndarray

    @property
    def size_zyx(self) -> tuple[int, int, int]:
        return self.size[2], self.size[1], self.size[0]

    @property
    def voxel_ml(self) -> float:
        return float(abs(np.linalg.det(self.ijk_to_ras[:3, :3]))) / 1000


def volume_geometry(volume: VolumeNode) -> VolumeGeometry:
    """Raises DataError for a volume that has no voxels, or no place (its axes are parallel)."""
    image = volume.GetImageData()
    if image is None or min(image.GetDimensions()) < 1 or image.GetPointData().GetScalars() is None:
        raise DataError(
            _("The volume {name} has no image data. Load its file again, or take it out.").format(name=volume.GetName())
        )
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    ijk_to_ras = matrix_array(matrix)
    if not np.isfinite(ijk_to_ras).all() or abs(np.linalg.det(ijk_to_ras[:3, :3])) < 1e-12:
        raise DataError(
            _("The volume {name} has a voxel size of 0. Correct its spacing in the Volumes module.").format(
                name=volume.GetName()
            )
        )
    return VolumeGeometry(size=tuple(image.GetDimensions()), ijk_to_ras=ijk_to_ras)


def volume_array(volume: VolumeNode) -> np.ndarray:
    """The voxels (z, y, x), a view. Raises DataError for a volume without voxels or with several numbers a voxel."""
    geometry = volume_geometry(volume)
    components = volume.GetImageData().GetNumberOfScalarComponents()
    if components != 1:
        raise DataError(
            _(
                "The volume {name} has {count} numbers a voxel, and one is needed. Convert it to a scalar volume "
                "(module Vector to Scalar Volume)."
            ).format(name=volume.GetName(), count=components)
        )
    return image_array(volume.GetImageData()).reshape(geometry.size_zyx)


def export_volume(volume: VolumeNode, path: Path) -> None:
    """Writes a volume as uncompressed NRRD in its own frame. Raises DataError or StorageError."""
    volume_array(volume)
    write_image(volume.GetImageData(), volume_geometry(volume).ijk_to_ras, path)


def export_channel(volume: VolumeNode, reference: SegmentationNode, path: Path) -> None:
    """Writes a volume on the voxels of ``reference``. Raises DataError or StorageError."""
    array = resample_to(volume, reference)
    write_image(array_image(array), volume_geometry(reference).ijk_to_ras, path)


def resample_to(volume: VolumeNode, reference: SegmentationNode) -> np.ndarray:
    """The voxels of a volume (z, y, x) on those of ``reference``, by linear interpolation, in the volume's own type.

    Voxels that the volume does not reach get its lowest value. Where both lie on the same voxels it is a view.
    Raises DataError where a transform between them is not linear.
    """
    array = volume_array(volume)
    there, here = volume_geometry(reference), volume_geometry(volume)
    to_here = np.linalg.inv(here.ijk_to_ras) @ relative_matrix(reference, volume) @ there.ijk_to_ras
    if here.size == there.size and offset_of(to_here, (0, 0, 0), there.size) == (0, 0, 0):
        return array
    box = (0, there.size[0] - 1, 0, there.size[1] - 1, 0, there.size[2] - 1)
    image = reslice(volume.GetImageData(), to_here, box, linear=True, background=float(array.min()))
    return image_array(image).reshape(there.size_zyx)


def relative_matrix(node: Node, other: Node) -> np.ndarray:
    """4 x 4: from the frame of ``node`` to that of ``other``, which lie under transforms of their own or none.

    Transforms that both lie under do not count. Raises DataError where one of the others is not linear.
    """
    own, others = _parents(node), _parents(other)
    while own and others and own[-1] is others[-1]:
        own.pop()
        others.pop()
    bent = next((one for one in (*own, *others) if not one.IsLinear()), None)
    if bent is not None:
        raise DataError(
            _(
                "{first} and {second} do not lie under the same transforms, and '{transform}' bends space. Put both "
                "under it, or harden it, in the Transforms module."
            ).format(first=node.GetName(), second=other.GetName(), transform=bent.GetName())
        )
    return np.linalg.inv(_to_ancestor(others)) @ _to_ancestor(own)


def offset_of(matrix: np.ndarray, low: tuple[int, ...], size: tuple[int, ...]) -> tuple[int, ...] | None:
    """By how many voxels ``matrix`` shifts the box of voxels at ``low``; None where it does not only shift them."""
    corners = np.array([[x, y, z, 1] for x in (0, size[0] - 1) for y in (0, size[1] - 1) for z in (0, size[2] - 1)])
    corners[:, :3] += np.array(low)
    # along an axis of one voxel the corners alone would not show that it is turned or scaled
    if np.abs(matrix[:3, :3] - np.eye(3)).max() > SAME_PLACE:
        return None
    shifts = (corners @ matrix.T - corners)[:, :3]
    offset = np.round(shifts[0])
    return tuple(int(step) for step in offset) if np.abs(shifts - offset).max() < SAME_PLACE else None


def reslice(
    image: VtkObject, to_input: np.ndarray, box: tuple[int, ...], *, linear: bool, background: float = 0.0
) -> VtkObject:
    """A vtkImageData of the voxels ``box`` (first, last along x, y, z); ``to_input`` leads to voxels of ``image``."""
    plain = vtk.vtkImageData()
    plain.ShallowCopy(image)
    plain.SetOrigin(0, 0, 0)
    plain.SetSpacing(1, 1, 1)
    plain.SetDirectionMatrix(1, 0, 0, 0, 1, 0, 0, 0, 1)
    transform = vtk.vtkTransform()
    transform.SetMatrix(np.asarray(to_input, float).ravel())
    filter_ = vtk.vtkImageReslice()
    filter_.SetInputData(plain)
    filter_.SetResliceTransform(transform)
    filter_.SetOutputOrigin(0, 0, 0)
    filter_.SetOutputSpacing(1, 1, 1)
    filter_.SetOutputExtent(*box)
    filter_.SetInterpolationMode(vtk.VTK_LINEAR_INTERPOLATION if linear else vtk.VTK_NEAREST_INTERPOLATION)
    filter_.SetBackgroundLevel(background)
    filter_.Update()
    return filter_.GetOutput()


def write_image(image: VtkObject, ijk_to_ras: np.ndarray, path: Path, *, compressed: bool = False) -> None:
    """Writes a vtkImageData as NRRD, whole or not at all; components are layers. Raises StorageError."""
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(np.asarray(ijk_to_ras, float).ravel())
    image = _writable(image)
    layered = image.GetNumberOfScalarComponents() > 1
    node = slicer.vtkMRMLVectorVolumeNode() if layered else slicer.vtkMRMLScalarVolumeNode()
    node.SetAndObserveImageData(image)
    node.SetIJKToRASMatrix(matrix)
    scalars = image.GetPointData().GetScalars()
    needed = scalars.GetNumberOfValues() * scalars.GetDataTypeSize()
    temporary = atomic.temporary_beside(path)
    with atomic.storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.touch()  # refused here, in words, and not by the writer, which has none
            if shutil.disk_usage(path.parent).free < needed:
                raise OSError(errno.ENOSPC, "", str(path))
            storage = slicer.vtkMRMLNRRDStorageNode()
            storage.SetFileName(str(temporary))
            storage.SetUseCompression(compressed)
            if not storage.WriteData(node) or (temporary.stat().st_size < needed and not compressed):
                raise StorageError(
                    _("Cannot write {path}. Free some space on the disk, then try again.").format(path=path)
                )
            atomic.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def _writable(image: VtkObject) -> VtkObject:
    """The image, in a wider type where Slicer's writer does not know its own."""
    if image.GetNumberOfScalarComponents() > 1:
        return image
    array = image_array(image)
    if array.dtype.kind == "f" or (array.dtype.itemsize <= 4 and array.dtype != np.int8):
        return image
    return array_image(array.astype(np.int16 if array.dtype == np.int8 else np.float64))


def image_array(image: VtkObject) -> np.ndarray:
    """The voxels of a vtkImageData with one number a voxel, (z, y, x), a view."""
    x, y, z = image.GetDimensions()
    return numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(z, y, x)


def array_image(array: np.ndarray) -> VtkObject:
    """A vtkImageData that holds the voxels (z, y, x)."""
    image = vtk.vtkImageData()
    image.SetDimensions(*array.shape[::-1])
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(np.ascontiguousarray(array).ravel()))
    return image


def matrix_array(matrix: VtkObject) -> np.ndarray:
    """A vtkMatrix4x4 as an array."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def _parents(node: Node) -> list[Node]:
    """The transforms that a node lies under, the nearest first."""
    parents = []
    parent = node.GetParentTransformNode()
    while parent is not None:
        parents.append(parent)
        parent = parent.GetParentTransformNode()
    return parents


def _to_ancestor(transforms: list[Node]) -> np.ndarray:
    product = np.eye(4)
    for transform in transforms:
        matrix = vtk.vtkMatrix4x4()
        transform.GetMatrixTransformToParent(matrix)
        product = matrix_array(matrix) @ product
    return product
