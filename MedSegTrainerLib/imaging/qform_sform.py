"""Where a NIfTI file says that its voxels lie: it may say so twice, by its qform and by its sform.

Programs choose differently where the two disagree: nibabel and FSL take the sform, ITK (and with it 3D Slicer and this
project) the qform, unless the sform's code is 1.
"""

from __future__ import annotations

import gzip
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from MedSegTrainerLib.imaging.file_formats import read_start
from MedSegTrainerLib.imaging.geometry import Geometry, corners
from MedSegTrainerLib.imaging.nifti_checks import NIFTI_SUFFIXES

HEADER = 348  # bytes of NIfTI-1; ITK reads no NIfTI-2
# Format and place of the first four dimensions, the first four pixdim, the units, and both codes with quaternion,
# offset and the rows of the sform (nifti1.h).
DIMENSIONS, SIZES, UNITS, FORMS = ("4h", 40), ("4f", 76), ("B", 123), ("2h18f", 252)
MILLIMETRES = {1: 1000.0, 3: 0.001}  # in a unit of the header: metre, micron
PACKED_LEVEL = 6  # as ITK packs
TOLERANCE = 0.1  # of a voxel


@dataclass(frozen=True, kw_only=True)
class Forms:
    """qform, sform: 4x4, voxel to RAS, in the file's own unit of ``unit_mm``; one whose code is 0 is not in use.

    axes: how many the file has. size: voxels along x, y, z. pixdim: qfac and the voxel sizes. units, stored: these
    fields as the file has them.
    """

    axes: int
    size: tuple[int, int, int]
    qform_code: int
    sform_code: int
    qform: np.ndarray
    sform: np.ndarray
    unit_mm: float
    pixdim: tuple[float, ...]
    units: int
    stored: tuple[float, ...]

    def used(self) -> dict[str, np.ndarray]:
        """The forms that say something, by name."""
        codes = {"qform": self.qform_code, "sform": self.sform_code}
        return {name: form for name, form in self.usable().items() if codes[name] > 0}

    def usable(self) -> dict[str, np.ndarray]:
        """The forms that are affines of a volume, whatever their codes say."""
        forms = {"qform": self.qform, "sform": self.sform}
        return {name: form for name, form in forms.items() if np.isfinite(form).all() and np.linalg.det(form) != 0}


def read_forms(path: Path) -> Forms | None:
    """The forms of a NIfTI-1 file, of the byte order it has; None for other files."""
    if not path.name.lower().endswith(NIFTI_SUFFIXES) or not path.is_file():
        return None
    start = read_start(path)[1]
    order = next((o for o in "<>" if len(start) >= HEADER and struct.unpack_from(o + "i", start)[0] == HEADER), None)
    if order is None:
        return None
    dims, pixdim, units, stored = (
        struct.unpack_from(order + f, start, at) for f, at in (DIMENSIONS, SIZES, UNITS, FORMS)
    )
    return Forms(
        axes=dims[0],
        size=(max(1, dims[1]), max(1, dims[2]), max(1, dims[3]) if dims[0] > 2 else 1),
        qform_code=stored[0],
        sform_code=stored[1],
        qform=_of_quaternion(stored[2:8], pixdim),
        sform=np.array([stored[8:12], stored[12:16], stored[16:20], (0, 0, 0, 1)]),
        unit_mm=MILLIMETRES.get(units[0] & 7, 1.0),
        pixdim=pixdim,
        units=units[0],
        stored=stored,
    )


def distance_mm(forms: Forms) -> float:
    """How far apart qform and sform place the same corner of the volume, at most; 0 where only one is in use."""
    used = list(forms.used().values())
    if len(used) < 2:
        return 0.0
    distances = ((used[0] - used[1]) @ corners(forms.size))[:3]
    return float(np.linalg.norm(distances, axis=0).max()) * forms.unit_mm


def forms_apart(path: Path, grid: Geometry) -> str:
    """What to say of a file whose qform and sform disagree by more than a tenth of a voxel; '' for others.

    grid: as ITK read it from the file.
    """
    forms = read_forms(path)
    gap = distance_mm(forms) if forms else 0.0
    if forms is None or gap <= TOLERANCE * min(grid.spacing):
        return ""
    sizes = {name: np.linalg.norm(matrix[:3, :3], axis=0) for name, matrix in forms.used().items()}
    if not np.allclose(sizes["qform"], sizes["sform"], rtol=0.01):
        descriptions = [f"{' x '.join(f'{n:.4g}' for n in size)} mm by the {name}" for name, size in sizes.items()]
        voxels = f", with voxels of {' and '.join(descriptions)}"
    else:
        voxels = ""
    form = _nearest(forms, grid)
    others = "as ITK and 3D Slicer do; nibabel and FSL take the sform" if form == "qform" else "as most programs do"
    return f"qform and sform of {path.name} lie up to {gap:.3g} mm apart{voxels}. The {form} is taken here, {others}."


def _nearest(forms: Forms, grid: Geometry) -> str:
    """The name of the form that the grid follows."""
    voxels, affine = corners(forms.size), grid.affine_ras()
    gaps = {name: np.abs((matrix * forms.unit_mm - affine) @ voxels)[:3].max() for name, matrix in forms.used().items()}
    return min(gaps, key=lambda name: float(gaps[name]))


def put_forms(plain: Path, forms: Forms) -> None:
    """Gives a NIfTI-1 file that is not packed these forms, voxel sizes and unit in place of its own.

    That of a picture gets its two axes, too, for ITK reads less of the forms then.
    """
    with plain.open("r+b") as stream:
        header = bytearray(stream.read(HEADER))
        order = next(o for o in "<>" if struct.unpack_from(o + "i", header)[0] == HEADER)
        if forms.axes == 2:
            struct.pack_into(order + "h", header, DIMENSIONS[1], 2)
        own = struct.unpack_from(order + SIZES[0], header, SIZES[1])
        sizes = [new if new > 0 else old for old, new in zip(own[1:], forms.pixdim[1:], strict=True)]
        struct.pack_into(order + SIZES[0], header, SIZES[1], forms.pixdim[0], *sizes)
        struct.pack_into(order + UNITS[0], header, UNITS[1], forms.units)
        struct.pack_into(order + FORMS[0], header, FORMS[1], *forms.stored)
        stream.seek(0)
        stream.write(header)


def pack(plain: Path, packed: Path) -> None:
    """The file, compressed with gzip."""
    with (
        plain.open("rb") as source,
        packed.open("wb") as target,
        gzip.GzipFile("", "wb", PACKED_LEVEL, target, mtime=0) as stream,
    ):
        shutil.copyfileobj(source, stream, 1 << 20)


def _of_quaternion(stored: tuple[float, ...], pixdim: tuple[float, ...]) -> np.ndarray:
    """The affine of a qform: nifti1.h, method 2."""
    b, c, d = stored[:3]
    a = np.sqrt(max(0.0, 1.0 - (b * b + c * c + d * d)))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    affine = np.eye(4)
    affine[:3, :3] = rotation * pixdim[1:] * (1, 1, -1 if pixdim[0] < 0 else 1)
    affine[:3, 3] = stored[3:]
    return affine
