"""Label map files: read as integers on a 3D grid, written with the classes' names and colours."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.dicom import DICOM_SUFFIXES
from MedSegTrainerLib.imaging.dicom_labels import label_file, lacks_grid
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_grid import Placed, place_on_grid
from MedSegTrainerLib.imaging.numpy_files import ARRAY_SUFFIXES, has_geometry, read_array
from MedSegTrainerLib.imaging.photos import is_lossy
from MedSegTrainerLib.imaging.read import PHOTO_SUFFIXES, as_volume, image_suffix, read_file, refuse_unreadable
from MedSegTrainerLib.imaging.seg_nrrd import Segment, read_segments, segment_fields, text_fields, to_label_map
from MedSegTrainerLib.imaging.write import write_volume

INTEGER_TYPES = {
    sitk.sitkUInt8,
    sitk.sitkInt8,
    sitk.sitkUInt16,
    sitk.sitkInt16,
    sitk.sitkUInt32,
    sitk.sitkInt32,
    sitk.sitkUInt64,
    sitk.sitkInt64,
}
INT32 = np.iinfo(np.int32)
UINT16 = int(np.iinfo(np.uint16).max)
ROUNDING, ROUNDED = 1e-3, "rounded"
JPEG_LOW, JPEG_HIGH = 64, 191  # at quality 75 a binary mask comes back within 45 of 0 and 255


def read_label_map(
    path: Path, segment_values: Mapping[str, int] | None = None, grid: sitk.Image | None = None
) -> sitk.Image:
    """A 3D image of int32 label values.

    Whole numbers stored as floats are accepted, and the numbers of a palette. What lies within 0.001 of whole numbers,
    as scaling leaves it, is rounded; ``ROUNDED`` in the metadata of the image is then such a value. Of a JPEG, which
    holds no exact numbers, only 0 and 255 are accepted. segment_values: the value that each segment of a ``.seg.nrrd``
    or a DICOM segmentation gets, by its name; layers become one label map. grid: as ``read_numbers`` takes it. Raises
    DataError for other values, several components, colours, values beyond 32 bits, or segments that overlap.
    """
    stored = read_numbers(path, grid, segment_values or ())
    segments = named_segments(stored, path)
    if segments:
        stored = to_label_map(stored, segments, segment_values or {}, path)
    image = as_volume(stored)
    if image.GetNumberOfComponentsPerPixel() > 1 or image.GetDimension() != 3:
        raise DataError(
            f"{path} has several layers or a fourth axis, and a label map needs one number a voxel. "
            "Export the segments as one label map without overlap."
        )
    example = None
    if image.GetPixelID() not in INTEGER_TYPES:
        image, example = _rounded(image, path)
    values = sitk.GetArrayViewFromImage(image)
    if values.min() < INT32.min or values.max() > INT32.max:
        raise DataError(f"{path} has label values beyond 32 bits. Renumber the classes.")
    labels = sitk.Cast(image, sitk.sitkInt32)
    if example is not None:
        labels.SetMetaData(ROUNDED, f"{example:.12g}")
    return labels


def read_label_map_onto(
    path: Path, grid: sitk.Image, segment_values: Mapping[str, int] | None = None, grid_path: Path | None = None
) -> sitk.Image:
    """A label map as ``read_label_map`` gives it, on ``grid`` where it belongs there.

    Files that do not say where their voxels lie (NPY, PNG, NPZ without spacing) lie on the grid where they have its
    size; others are brought there as ``place_on_grid`` can. grid_path: the file of the grid.
    """
    return place_label_map(path, grid, segment_values, grid_path).image


def place_label_map(
    path: Path, grid: sitk.Image, segment_values: Mapping[str, int] | None = None, grid_path: Path | None = None
) -> Placed:
    """``read_label_map_onto``, and what had to be done for it."""
    labels = read_label_map(path, segment_values, grid)
    if is_placeless(path):
        if labels.GetSize() == grid.GetSize():
            labels.CopyInformation(grid)
        return Placed(image=labels)
    return place_on_grid(labels, path, grid, grid_path, is_label=True)


def is_placeless(path: Path) -> bool:
    """Whether a file does not say where its voxels lie, nor how large they are."""
    suffix = image_suffix(path)
    return suffix in PHOTO_SUFFIXES or (suffix in ARRAY_SUFFIXES and not has_geometry(path))


def read_label_pair(
    prediction: Path, reference: Path, segment_values: Mapping[str, int] | None = None
) -> tuple[sitk.Image, sitk.Image]:
    """Both label maps; the one whose file does not say where it lies, or holds a part only, on the other's grid."""
    if lacks_grid(reference):
        predicted = read_label_map(prediction, segment_values)
        return predicted, read_label_map_onto(reference, predicted, segment_values, prediction)
    expected = read_label_map(reference, segment_values)
    predicted = read_label_map_onto(prediction, expected, segment_values, reference)
    if Geometry.of(predicted).disagreements(Geometry.of(expected)):
        expected = read_label_map_onto(reference, predicted, segment_values, prediction)
    return predicted, expected


def labelled_parts(
    prediction: np.ndarray, reference: np.ndarray, ignore_label: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Both arrays, 0 where the reference has ``ignore_label``: nobody knows what is right there."""
    if ignore_label is None:
        return prediction, reference
    ignored = reference == ignore_label
    return np.where(ignored, 0, prediction), np.where(ignored, 0, reference)


def write_label_map(labels: sitk.Image, path: Path, classes: Sequence[LabelClass], like: Path | None = None) -> None:
    """Writes an integer image at once, in the smallest type that holds it; ``like`` is that of ``write_volume``.

    ``.nrrd`` files get the ``Segment*`` fields by which 3D Slicer shows names and colours; ``.npy`` files are
    arrays (z, y, x). Raises DataError for a ``.png`` of several slices or of values beyond 16 bits.
    """
    image = sitk.Cast(labels, _smallest_type(labels, classes))
    if path.suffix.lower() == ".png":
        image = _as_png(image, path)
    if path.name.lower().endswith(".nrrd"):
        for key, value in segment_fields(image.GetSize(), classes).items():
            image.SetMetaData(key, value)
    write_volume(image, path, like)


def refuse_several_slices(size: Sequence[int], path: Path) -> None:
    """Raises DataError where an image of this size (x, y, z) cannot be written to a PNG file."""
    if path.suffix.lower() == ".png" and size[2] > 1:
        raise DataError(f"A PNG file holds one slice, and {path.name} would have {size[2]}. Write nii.gz or seg.nrrd.")


def read_numbers(path: Path, grid: sitk.Image | None = None, names: Collection[str] = ()) -> sitk.Image:
    """The file as it is, a photograph as the numbers its pixels stand for, DICOM SEG as a ``.seg.nrrd``.

    grid: the image that is labelled; what DICOM leaves open of where labels lie is taken from it. names: the
    segments to take of DICOM, which often has more than classes; all where empty.
    """
    suffix = image_suffix(path)
    if suffix in (None, *DICOM_SUFFIXES) and (path.is_dir() or path.is_file()):
        refuse_unreadable(path)
        found = label_file(path)
        if found is not None:
            file, kind = found
            return kind.read(file, None if grid is None else Geometry.of(grid), names)
    if suffix in ARRAY_SUFFIXES:
        refuse_unreadable(path)
        return read_array(path, "label")
    if suffix not in PHOTO_SUFFIXES or not path.exists():
        return read_file(path)
    image = read_file(path, stored=True)
    if image.GetNumberOfComponentsPerPixel() == 3:
        array = sitk.GetArrayViewFromImage(image)
        if (array != array[..., :1]).any():
            raise DataError(
                f"{path} is a colour picture, and a label map needs one number a pixel. "
                "Save it as gray, with the number of the class as the value of the pixel."
            )
        image = sitk.VectorIndexSelectionCast(image, 0)
    return _without_noise(image, path) if is_lossy(path) else image


def _rounded(image: sitk.Image, path: Path) -> tuple[sitk.Image, float | None]:
    """The image with whole numbers, and the value that was farthest from one; None where all were whole."""
    values = sitk.GetArrayViewFromImage(image)
    whole = np.round(values)
    with np.errstate(invalid="ignore"):  # infinity less infinity
        deviation = np.abs(values - whole)
    wrong = values[~(deviation < ROUNDING)]  # also what is not finite
    if wrong.size:
        raise DataError(
            f"{path} is no label map: {wrong.size} voxels are not whole numbers (the first is {wrong[0]:.7g}). "
            "Is it an image or a probability map? Give the label map, whole numbers with 0 as background."
        )
    if not deviation.any():
        return image, None
    labels = sitk.GetImageFromArray(whole)
    labels.CopyInformation(image)
    return labels, float(values.flat[int(np.argmax(deviation))])


def named_segments(image: sitk.Image, path: Path) -> list[Segment]:
    try:
        return _header_segments(image)
    except ValueError as error:
        raise DataError(f"{path}: its segments cannot be read: {error}. Save it again with 3D Slicer.") from None


def _header_segments(image: sitk.Image) -> list[Segment]:
    return read_segments(text_fields(image), image.GetNumberOfComponentsPerPixel())


def _without_noise(image: sitk.Image, path: Path) -> sitk.Image:
    """A binary JPEG mask without what compression left around edges; others are refused, for their numbers are lost."""
    array = sitk.GetArrayViewFromImage(image)
    between = int(((array >= JPEG_LOW) & (array <= JPEG_HIGH)).sum())
    if between or (array.any() and array.max() <= JPEG_HIGH):
        raise DataError(
            f"{path} is a JPEG, which does not keep the numbers of classes: {between} pixels lie between {JPEG_LOW} "
            f"and {JPEG_HIGH}, the largest is {array.max()}. Save label maps as PNG."
        )
    return sitk.Cast(image > JPEG_HIGH, sitk.sitkUInt8) * 255


def _as_png(image: sitk.Image, path: Path) -> sitk.Image:
    refuse_several_slices(image.GetSize(), path)
    values = sitk.GetArrayViewFromImage(image)
    if values.min() < 0 or values.max() > UINT16:
        raise DataError(
            f"{path.name}: PNG files hold numbers from 0 to {UINT16}, not {values.min()} to {values.max()}. "
            "Write nii.gz or seg.nrrd."
        )
    wide = image.GetPixelID() != sitk.sitkUInt8
    return sitk.Cast(image, sitk.sitkUInt16)[:, :, 0] if wide else image[:, :, 0]


def _smallest_type(labels: sitk.Image, classes: Sequence[LabelClass]) -> int:
    values = sitk.GetArrayViewFromImage(labels)
    class_values = [item.value for item in classes]
    low, high = min([int(values.min()), *class_values]), max([int(values.max()), *class_values])
    if low >= 0 and high <= 255:
        return sitk.sitkUInt8
    return sitk.sitkInt16 if low >= -(2**15) and high < 2**15 else sitk.sitkInt32
