"""Which images of a BIDS data set a label map belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib.data.layouts.bids_names import LABELS, BidsName, asks_for, joined, read_name
from MedSegTrainerLib.errors import DataError, some
from MedSegTrainerLib.files.json_input import read_json_file
from MedSegTrainerLib.imaging.read import image_files

NO_IMAGES = frozenset({LABELS, "mask", "probseg", "defacemask", "xfm", "boldref"})
ANATOMY = "anat"  # the folder of images where a label map lies in none of such a name
AS_SCANNED = ("individual", "orig", "native")  # names of the space of an image itself
TOLERANCE = 1e-3  # mm, and of cosines
Image = tuple[Path, BidsName]


def channels_of(label: Path, name: BidsName, root: Path, wanted: Sequence[str]) -> dict[str, Path]:
    """Channel to image, in the order of ``wanted`` or by name; {} without any. Raises DataError where several images
    could be meant by one channel."""
    candidates = list(_candidates(label, name, root))
    if wanted:
        chosen = {want: [image for image in candidates if asks_for(want, image[1])] for want in wanted}
        return _single(chosen, label) if all(chosen.values()) else {}
    sources = _sources(label)
    named = [image for image in candidates if image[0].name in sources]
    in_space = [image for image in candidates if image[1].suffix == name.entities.get("space")]
    kinds: dict[str, list[Image]] = {}
    for image in named or in_space or candidates:
        kinds.setdefault(image[1].suffix, []).append(image)
    if len(kinds) > 1 and not named:
        grid = _grid(label)
        same = {kind: [image for image in images if _is_same(_grid(image[0]), grid)] for kind, images in kinds.items()}
        kinds = {kind: images for kind, images in same.items() if images} or kinds
    return _single(dict(sorted(kinds.items())), label)


def has_image(label: Path, name: BidsName, root: Path) -> bool:
    return next(_candidates(label, name, root), None) is not None


def _candidates(label: Path, name: BidsName, root: Path) -> Iterator[Image]:
    """Images of the subject and session, of the same kind of data, that have the entities of the label map."""
    folder = root / f"sub-{name.entities['sub']}"
    if "ses" in name.entities:
        folder = folder / f"ses-{name.entities['ses']}"
    datatype = folder / label.parent.name
    datatype = datatype if datatype.is_dir() else folder / ANATOMY
    for path in image_files(datatype) if datatype.is_dir() else []:
        image = None if path.is_dir() or path == label else read_name(path)
        if image is None or image.suffix in (*NO_IMAGES, name.suffix):
            continue
        if _lies_in(image, name.entities.get("space")) and name.source.items() <= image.source.items():
            yield path, image


def _lies_in(image: BidsName, space: str | None) -> bool:
    """Whether an image lies in the space of a label map: where it was scanned, or a template's."""
    own = image.entities.get("space")
    return own in (None, space) if space in (None, image.suffix, *AS_SCANNED) else own == space


def _single(kinds: Mapping[str, Sequence[Image]], label: Path) -> dict[str, Path]:
    for kind, images in kinds.items():
        if len(images) > 1:
            raise DataError(
                f"{label} may belong to several images: {some([path.name for path, _ in images])}. Say which to take "
                f"by a part of its name, such as --set 'image_names=[\"{_apart(images, kind)}\"]'"
            )
    return {kind: images[0][0] for kind, images in kinds.items()}


def _apart(images: Sequence[Image], kind: str) -> str:
    """The part of the first name that tells it from the others."""
    first, *others = (name for _, name in images)
    own = {key: value for key, value in first.entities.items() if any(o.entities.get(key) != value for o in others)}
    return joined(own, first.suffix) if own else kind


def _sources(label: Path) -> set[str]:
    """Names of the files that the label map was drawn on, by the sidecar beside it."""
    sidecar = label.with_name(label.name.partition(".")[0] + ".json")
    if not sidecar.is_file():
        return set()
    document = read_json_file(sidecar, DataError)
    listed = document.get("Sources") if isinstance(document, dict) else None
    return {str(source).rpartition("/")[2] for source in listed} if isinstance(listed, list) else set()


def _grid(path: Path) -> tuple[tuple[int, ...], np.ndarray] | None:
    """Size, and spacing, origin and direction in one array; None for a file whose header cannot be read."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:  # reading it says what is wrong
        return None
    return reader.GetSize(), np.array([*reader.GetSpacing(), *reader.GetOrigin(), *reader.GetDirection()])


def _is_same(one: tuple[tuple[int, ...], np.ndarray] | None, other: tuple[tuple[int, ...], np.ndarray] | None) -> bool:
    return (
        one is not None and other is not None and one[0] == other[0] and np.allclose(one[1], other[1], atol=TOLERANCE)
    )
