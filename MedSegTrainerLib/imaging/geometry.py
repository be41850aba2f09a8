"""Where a volume lies in the patient: one value, and the only LPS/RAS conversion of the project.

Everything here is in ITK's convention: axes in x, y, z (fastest first), millimetres, LPS
(x grows to the patient's Left, y to Posterior, z to Superior). Voxel arrays are numpy arrays
in z, y, x order, the reverse; ``spacing_zyx`` and ``size_zyx`` are for them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib.config.plan import AXES

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Grid of a 3D volume (a 2D image has one slice).

    size: voxels along x, y, z. spacing: mm. origin: LPS position of voxel (0, 0, 0), mm.
    direction: 3x3 direction cosines, row by row, columns are the x, y and z axes in LPS.
    """

    size: tuple[int, int, int]
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

    @classmethod
    def of(cls, image: sitk.Image) -> Geometry:
        """The geometry of a 3D SimpleITK image."""
        return cls(
            size=image.GetSize(), spacing=image.GetSpacing(), origin=image.GetOrigin(), direction=image.GetDirection()
        )

    @property
    def size_zyx(self) -> tuple[int, int, int]:
        return self.size[2], self.size[1], self.size[0]

    @property
    def spacing_zyx(self) -> tuple[float, float, float]:
        return self.spacing[2], self.spacing[1], self.spacing[0]

    @property
    def voxel_volume_mm3(self) -> float:
        return float(np.prod(self.spacing))

    def place(self, array: np.ndarray) -> sitk.Image:
        """A SimpleITK image of ``array`` (z, y, x) with this geometry."""
        if array.shape != self.size_zyx:
            msg = f"An array of shape {array.shape} (z, y, x) cannot lie on a grid of {self.size_zyx}"
            raise ValueError(msg)
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(self.spacing)
        image.SetOrigin(self.origin)
        image.SetDirection(self.direction)
        return image

    def resized(self, spacing: tuple[float, float, float]) -> Geometry:
        """The same box sampled with another spacing (x, y, z); the voxel borders of the box coincide."""
        size = tuple(max(1, round(n * old / new)) for n, old, new in zip(self.size, self.spacing, spacing, strict=True))
        return self.with_size((size[0], size[1], size[2]))

    def with_size(self, size: tuple[int, int, int]) -> Geometry:
        """The same box with another number of voxels (x, y, z)."""
        exact = np.array(self.size) * self.spacing / np.array(size)
        shift = self._rotation() @ ((exact - np.array(self.spacing)) / 2)
        return Geometry(
            size=size,
            spacing=_triple(exact),
            origin=_triple(np.array(self.origin) + shift),
            direction=self.direction,
        )

    def affine_ras(self) -> np.ndarray:
        """4x4 matrix from voxel (i, j, k) to RAS millimetres, the convention of NIfTI and of MRML."""
        affine = np.eye(4)
        affine[:3, :3] = self._rotation() * np.array(self.spacing)
        affine[:3, 3] = self.origin
        return LPS_TO_RAS @ affine

    def disagreements(self, other: Geometry) -> list[str]:
        """What differs from ``other`` by more than a tenth of a voxel anywhere in the volume, a phrase each."""
        if self.size != other.size:
            return [f"size {self.size} against {other.size} voxels"]
        tolerance = 0.1 * min(self.spacing)
        differences = []
        if np.abs((np.array(self.spacing) - other.spacing) * self.size).max() > tolerance:
            differences.append(f"spacing {_text(self.spacing)} against {_text(other.spacing)} mm")
        if np.abs(np.array(self.origin) - other.origin).max() > tolerance:
            differences.append(f"origin {_text(self.origin)} against {_text(other.origin)} mm")
        extent = np.array(self.size) * self.spacing
        # absolute values, because exchanged axes move some corner even where they leave the farthest one in place
        if (np.abs(self._rotation() - other._rotation()) @ extent).max() > tolerance:
            differences.append(f"direction {_text(self.direction)} against {_text(other.direction)}")
        return differences

    def orientation(self) -> str:
        """Three letters: towards which side of the patient x, y and z grow, e.g. ``LPS``."""
        return str(sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(self.direction))

    def __str__(self) -> str:
        return (
            f"size {self.size}, spacing {_text(self.spacing)} mm, origin {_text(self.origin)} mm (LPS), "
            f"direction {_text(self.direction)}"
        )

    def _rotation(self) -> np.ndarray:
        return np.array(self.direction).reshape(3, 3)


def corners(size: tuple[int, int, int]) -> np.ndarray:
    """Indices of the voxels in the eight corners as columns (4, 8), x, y, z and 1, as an affine takes them."""
    ends = np.array(np.meshgrid(*[(0, n - 1) for n in size])).reshape(3, 8)
    return np.vstack([ends, np.ones(8, ends.dtype)])


def index_map(part: np.ndarray, size: tuple[int, int, int], whole: np.ndarray) -> np.ndarray | None:
    """4x4 matrix of whole numbers from a voxel of one grid to the voxel of another that lies there.

    part, whole: affines, voxel to mm; size: voxels of the first. None where axes are not parallel, or any voxel of the
    first lies more than a tenth of a voxel beside one of the second.
    """
    exact = np.linalg.inv(whole) @ part
    rounded = np.rint(exact)
    steps = np.abs(rounded[:3, :3])
    error_mm = (whole @ (exact - rounded) @ corners(size))[:3]
    tolerance = 0.1 * np.linalg.norm(whole[:3, :3], axis=0).min()
    if not (steps.sum(axis=0) == 1).all() or not (steps.sum(axis=1) == 1).all() or np.abs(error_mm).max() > tolerance:
        return None
    whole_numbers: np.ndarray = rounded.astype(np.int64)
    return whole_numbers


def to_canonical(image: sitk.Image, slice_axis: str = "z") -> sitk.Image:
    """The same volume with its axes reordered and flipped to be nearest to LPS; no voxel is interpolated.

    slice_axis: which of them ('z', 'y' or 'x') is the first of its array; the order of all three stands in ``AXES``.
    """
    code = "".join({"z": "S", "y": "P", "x": "L"}[axis] for axis in reversed(AXES[slice_axis]))
    return sitk.DICOMOrient(image, code)


def resample(image: sitk.Image, target: Geometry, *, is_label: bool) -> sitk.Image:
    """``image`` on the grid of ``target``: linear, or nearest for labels; the border voxel is repeated outside."""
    if not Geometry.of(image).disagreements(target):
        return image
    interpolator = sitk.sitkNearestNeighbor if is_label else sitk.sitkLinear
    filled = sitk.ResampleImageFilter()
    filled.SetSize(target.size)
    filled.SetOutputSpacing(target.spacing)
    filled.SetOutputOrigin(target.origin)
    filled.SetOutputDirection(target.direction)
    filled.SetInterpolator(interpolator)
    filled.SetUseNearestNeighborExtrapolator(True)
    return filled.Execute(image)


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])


def _text(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"
