"""The labels of a case in all forms that there are: a label map, regions of its values, a mask or a channel for each
class, segments in layers. They become one label map, or where classes overlap an array of ``class_bits``."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib.errors import DataError, some
from MedSegTrainerLib.findings import Finding
from MedSegTrainerLib.imaging.class_bits import IGNORED, MOST_CLASSES, class_bit
from MedSegTrainerLib.imaging.dicom_labels import is_label_object, lacks_grid
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_components import component_name
from MedSegTrainerLib.imaging.label_grid import Placed, place_on_grid
from MedSegTrainerLib.imaging.label_maps import (
    is_placeless,
    named_segments,
    place_label_map,
    read_label_map,
    read_numbers,
)
from MedSegTrainerLib.imaging.partly_labelled import ALL_OF_IT, LabelledPart, mark_unlabelled
from MedSegTrainerLib.imaging.read import as_volume, read_channels
from MedSegTrainerLib.imaging.seg_nrrd import Segment, refuse_equal_names

Pair = tuple[str, str]
Masks = Iterator[tuple[str, np.ndarray]]
WHITE = 255


@dataclass(frozen=True, kw_only=True)
class LabelSource:
    """Where the labels of a case are, and what the numbers in the files mean.

    path: the label map, or the first of ``masks``. numbers: class name to its number in what is read; of a plain label
    map with named segments, to the value that they get. masks: class name to the file with its voxels. regions: class
    name to the values of the label map that belong to it. overlapping: whether a voxel may have several classes, which
    are then numbered from 1 on. ignored_value: of voxels that nobody labelled, in the files. part: what of them is
    labelled, as far as the files do not say it. image: what is labelled, for contours that have no grid of their own.
    """

    path: Path
    numbers: Mapping[str, int] = field(default_factory=dict)
    masks: Mapping[str, Path] = field(default_factory=dict)
    regions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    overlapping: bool = False
    ignored_value: int | None = None
    part: LabelledPart = ALL_OF_IT
    image: Path | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it is a label map whose values are those of the classes."""
        return not (self.overlapping or self.masks or self.regions)

    @property
    def is_whole_map(self) -> bool:
        """Whether the file alone says all: its values, and what of it is labelled."""
        return self.is_plain and self.part.is_all

    @property
    def unlabelled(self) -> int | None:
        """The value in what is read of voxels that nobody labelled."""
        if self.is_plain and (self.ignored_value is not None or self.part.is_all):
            return self.ignored_value
        return IGNORED

    def to_json(self) -> dict[str, Any]:
        """For a report, which reads the labels again."""
        return {
            "path": str(self.path),
            "numbers": dict(self.numbers),
            "masks": {name: str(path) for name, path in self.masks.items()},
            "regions": {name: list(values) for name, values in self.regions.items()},
            "overlapping": self.overlapping,
            "ignored_value": self.ignored_value,
            "labelled_slices": self.part.slices,
            "labelled_box": self.part.box,
            "image": None if self.image is None else str(self.image),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> LabelSource:
        return cls(
            path=Path(document["path"]),
            numbers=document["numbers"],
            masks={name: Path(path) for name, path in document["masks"].items()},
            regions={name: tuple(values) for name, values in document["regions"].items()},
            overlapping=document["overlapping"],
            ignored_value=document["ignored_value"],
            part=LabelledPart(slices=document["labelled_slices"], box=document["labelled_box"]),
            image=None if document.get("image") is None else Path(document["image"]),
        )

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(dict.fromkeys(self.masks.values())) or (self.path,)


def read_labels(source: LabelSource) -> sitk.Image:
    """Labels as int32, 3D: of a plain label map its values, of all others the numbers of classes with ``IGNORED`` where
    nobody labelled, as ``class_bits`` where they overlap.

    Raises DataError where a file cannot be read, has values of no class, or classes overlap that must not, and where
    the labelled part of it cannot be found.
    """
    labels = _read_all(source, _grid_of_image(source))
    return labels if source.part.is_all else _marked(labels, source, Geometry.of(labels))


def place_labels(source: LabelSource, grid: sitk.Image, grid_path: Path | None = None) -> Placed:
    """``read_labels`` on the grid of an image, where they belong there, and what had to be done for it."""
    placed = _place_all(source, grid, grid_path)
    if source.part.is_all or Geometry.of(placed.image).disagreements(Geometry.of(grid)):
        return placed
    own = Geometry.of(_read_all(source, grid) if source.part.box else placed.image)
    return replace(placed, image=_marked(placed.image, source, own))


def _marked(labels: sitk.Image, source: LabelSource, own: Geometry) -> sitk.Image:
    assert source.unlabelled is not None  # as a part alone is labelled
    try:
        return mark_unlabelled(labels, source.part, source.unlabelled, own)
    except DataError as error:
        raise DataError(f"{source.path}: {error}") from None


def _grid_of_image(source: LabelSource) -> sitk.Image | None:
    """The image, or other labels of it, where the labels need their grid."""
    image = source.image
    if image is None or source.masks or not lacks_grid(source.path) or lacks_grid(image):
        return None
    return as_volume(read_numbers(image)) if is_label_object(image) else read_channels([image])[0]


def _read_all(source: LabelSource, image: sitk.Image | None = None) -> sitk.Image:
    """As if all of the files were labelled. image: what they are labels of, where that is at hand."""
    if source.is_plain:
        return read_label_map(source.path, source.numbers, image)
    if not source.masks:
        return _composed(source, image)
    grid = read_label_map(source.path)
    return _of_masks(source, grid, source.path).image


def _place_all(source: LabelSource, grid: sitk.Image, grid_path: Path | None) -> Placed:
    if source.is_plain:
        return place_label_map(source.path, grid, source.numbers, grid_path)
    if source.masks:
        return _of_masks(source, grid, grid_path)
    labels = _read_all(source, grid)
    if is_placeless(source.path):
        if labels.GetSize() == grid.GetSize():
            labels.CopyInformation(grid)
        return Placed(image=labels)
    return place_on_grid(labels, source.path, grid, grid_path, is_label=True)


def read_pair(prediction: LabelSource, reference: LabelSource) -> tuple[sitk.Image, sitk.Image]:
    """Labels of both; those whose files do not say where they lie, or hold a part only, on the other's grid."""
    if not reference.masks and lacks_grid(reference.path):
        predicted = read_labels(prediction)
        return predicted, place_labels(reference, predicted, prediction.path).image
    expected = read_labels(reference)
    predicted = place_labels(prediction, expected, reference.path).image
    if Geometry.of(predicted).disagreements(Geometry.of(expected)):
        expected = place_labels(reference, predicted, prediction.path).image
    return predicted, expected


def overlapping_pairs(source: LabelSource) -> dict[Pair, int]:
    """Voxels that two classes share, by their names; of several at a voxel each with the first of them."""
    shared: dict[Pair, int] = {}
    owner: np.ndarray | None = None
    names: list[str] = []
    for name, mask in _class_masks(source):
        if owner is None:
            owner = np.zeros(mask.shape, np.int32)
        covered = np.bincount(owner[mask], minlength=1)
        for index in np.flatnonzero(covered[1:]).tolist():
            shared[names[index], name] = shared.get((names[index], name), 0) + int(covered[index + 1])
        names.append(name)
        owner[mask & (owner == 0)] = len(names)
    return shared


def _class_masks(source: LabelSource) -> Masks:
    """Names and voxels of the classes; of masks all must have one grid."""
    if source.masks:
        grid = read_label_map(source.path)
        for name, path in source.masks.items():
            yield name, _mask_on(path, grid, source.path, source.ignored_value)[0]
        return
    yield from _content(source.path, source, _grid_of_image(source)).classes


@dataclass(frozen=True, kw_only=True)
class _Content:
    """A label file: an image with its grid, voxels of each class by name, and of those that nobody labelled."""

    grid: sitk.Image
    classes: Sequence[tuple[str, np.ndarray]]
    ignored: np.ndarray


def _content(path: Path, source: LabelSource, image: sitk.Image | None = None) -> _Content:
    stored = read_numbers(path, image)
    segments = named_segments(stored, path)
    if segments:
        return _of_segments(as_volume(stored), segments, source, path)
    if _components(stored) > 1:
        return _of_components(stored, source, path)
    labels = read_label_map(path)
    values = sitk.GetArrayViewFromImage(labels)
    ignored = np.zeros(values.shape, bool) if source.ignored_value is None else values == source.ignored_value
    return _Content(grid=labels, classes=list(_region_masks(values, source, path)), ignored=ignored)


def _composed(source: LabelSource, image: sitk.Image | None) -> sitk.Image:
    content = _content(source.path, source, image)
    labels = np.zeros(content.ignored.shape, np.int32)
    for name, mask in content.classes:
        _add(labels, mask, name, source)
    labels[content.ignored] = IGNORED
    return _on_grid(labels, content.grid)


def _add(labels: np.ndarray, mask: np.ndarray, name: str, source: LabelSource) -> None:
    """Marks the voxels of a class in place; raises DataError where one has another already, and must not."""
    number = number_of(name, source.numbers)
    if number is None:
        raise DataError(f"{source.path}: '{name}' is none of the classes ({some(list(source.numbers))}). Rename it.")
    if source.overlapping:
        if not 1 <= number <= MOST_CLASSES:
            raise DataError(f"{source.path}: at most {MOST_CLASSES} classes can overlap. Leave some out.")
        labels[mask] |= class_bit(number)
        return
    covered = labels[mask]
    if covered.any():
        other = next((key for key, value in source.numbers.items() if value == covered[covered != 0][0]), "another")
        raise overlap_error(source.path, other, name, int(np.count_nonzero(covered)))
    labels[mask] = number


def overlap_error(path: Path, first: str, second: str, voxels: int) -> DataError:
    """What to do where classes share voxels and must not."""
    return DataError(
        f"{path}: '{first}' and '{second}' overlap in {voxels} voxels, and a voxel can have one class only here. Train "
        "them as overlapping classes (--set overlapping=true), or take one from the other (3D Slicer: Logical "
        "operators, Subtract)."
    )


def number_of(name: str, numbers: Mapping[str, int]) -> int | None:
    """The number of a class, whatever letters of its name are large."""
    found = numbers.get(name)
    return found if found is not None else {key.casefold(): n for key, n in numbers.items()}.get(name.casefold())


def _of_masks(source: LabelSource, grid: sitk.Image, grid_path: Path | None) -> Placed:
    """The masks on a grid. One that lies elsewhere is given back as it is, for whoever compares the grids."""
    labels = np.zeros(sitk.GetArrayViewFromImage(grid).shape[:3], np.int32)
    ignored = np.zeros(labels.shape, bool)
    finding: Finding | None = None
    for name, path in source.masks.items():
        placed = _placed_mask(path, grid, grid_path)
        if Geometry.of(placed.image).disagreements(Geometry.of(grid)):
            return placed
        finding = finding or placed.finding
        mask, unknown = _split(sitk.GetArrayViewFromImage(placed.image), source.ignored_value)
        finding = finding or _several_values(sitk.GetArrayViewFromImage(placed.image)[mask], name)
        _add(labels, mask, name, source)
        ignored |= unknown
    labels[ignored] = IGNORED
    return Placed(image=_on_grid(labels, grid), finding=finding)


def _several_values(values: np.ndarray, name: str) -> Finding | None:
    """What to tell of a mask whose voxels have several values: it may be the label map of several classes."""
    different = np.unique(values) if values.size and values.min() != values.max() else values[:0]
    if not different.size:
        return None
    return Finding(
        severity="warning",
        kind="mask of several values",
        message=f"its mask of '{name}' has the values {some(list(map(str, different)))}, and all are '{name}'.",
        remedy="Right where they number the pieces of it. Where they are classes, give the file as label map.",
    )


def _mask_on(path: Path, grid: sitk.Image, grid_path: Path, ignored: int | None) -> tuple[np.ndarray, np.ndarray]:
    placed = _placed_mask(path, grid, grid_path)
    problems = Geometry.of(placed.image).disagreements(Geometry.of(grid))
    if problems:
        raise DataError(f"{path} and {grid_path.name} have different grids: {'; '.join(problems)}. Use one grid.")
    return _split(sitk.GetArrayViewFromImage(placed.image), ignored)


def _placed_mask(path: Path, grid: sitk.Image, grid_path: Path | None) -> Placed:
    return place_label_map(path, grid, grid_path=grid_path)


def _split(values: np.ndarray, ignored: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Of a mask the voxels of the class, and those that nobody labelled."""
    unknown = np.zeros(values.shape, bool) if ignored is None else values == ignored
    return (values != 0) & ~unknown, unknown


def _region_masks(values: np.ndarray, source: LabelSource, path: Path) -> Masks:
    """Voxels of each class by the values that belong to it; raises DataError for values that belong to none."""
    regions = source.regions or {name: (number,) for name, number in source.numbers.items()}
    known = {0, source.ignored_value, *(value for region in regions.values() for value in region)}
    present = np.unique(values).tolist()
    white = _white_of(present, known, regions)
    unknown = [] if white else [value for value in present if value not in known]
    if unknown:
        raise DataError(
            f"{path}: label values {some([str(value) for value in unknown])} belong to no class. Name them in "
            "dataset.json (or cases.json), or correct the label map."
        )
    for name, region in regions.items():
        yield name, np.isin(values, [WHITE] if white else region)


def _white_of(present: Sequence[int], known: Collection[int | None], regions: Mapping[str, Any]) -> bool:
    """Whether it is a mask of 0 and 255 of the only class."""
    return len(regions) == 1 and WHITE in present and WHITE not in known and not set(present) - {0, WHITE}


def _of_segments(image: sitk.Image, segments: Sequence[Segment], source: LabelSource, path: Path) -> _Content:
    refuse_equal_names(segments, path)
    array = sitk.GetArrayViewFromImage(image)
    array = array[..., None] if image.GetNumberOfComponentsPerPixel() == 1 else array
    named = any(number_of(one.item.name, source.numbers) is not None for one in segments)
    classes = []
    for one in segments:
        if one.layer >= array.shape[-1]:
            raise DataError(
                f"{path}: segment '{one.item.name}' lies in layer {one.layer} of {array.shape[-1]}. Save it again."
            )
        inside = array[..., one.layer] == one.stored
        if named or not source.regions:
            classes.append((one.item.name, inside))
        else:  # names that say nothing, such as Segment_1
            classes += [(name, inside) for name, region in source.regions.items() if one.item.value in region]
    stored = {(one.layer, one.stored) for one in segments}
    ignored = np.zeros(array.shape[:-1], bool)
    for layer in range(array.shape[-1]):
        if source.ignored_value is not None and (layer, source.ignored_value) not in stored:
            ignored |= array[..., layer] == source.ignored_value
    return _Content(grid=image, classes=classes, ignored=ignored)


def _components(image: sitk.Image) -> int:
    return image.GetNumberOfComponentsPerPixel() * int(np.prod(image.GetSize()[3:], dtype=int))


def _of_components(image: sitk.Image, source: LabelSource, path: Path) -> _Content:
    """A file with a channel for each class; the n-th is the class with the number n."""
    array = sitk.GetArrayViewFromImage(image)
    if image.GetNumberOfComponentsPerPixel() > 1:
        grid = as_volume(sitk.VectorIndexSelectionCast(image, 0))
        channels = np.moveaxis(array, -1, 0).reshape(-1, *sitk.GetArrayViewFromImage(grid).shape)
    else:
        further = image.GetSize()[3:]
        grid = image[(slice(None),) * 3 + (0,) * len(further)]
        channels = array.reshape(-1, *array.shape[-3:])
    names = {number: name for name, number in source.numbers.items()}
    classes, ignored = [], np.zeros(channels.shape[1:], bool)
    for number, channel in enumerate(channels, start=1):
        mask, unknown = _split(channel, source.ignored_value)
        if np.unique(channel[mask]).size > 1:
            raise DataError(
                f"{path} has several layers or a fourth axis, and a label map needs one number a voxel, or for classes "
                f"that overlap a channel of 0 and 1 for each; channel {number} has other values. Export the segments "
                "as one label map without overlap."
            )
        classes.append((component_name(number, names), mask))
        ignored |= unknown
    return _Content(grid=grid, classes=classes, ignored=ignored)


def _on_grid(labels: np.ndarray, grid: sitk.Image) -> sitk.Image:
    result = sitk.GetImageFromArray(labels)
    result.CopyInformation(grid)
    return result
