"""A folder without labelled images: what it does hold, and what is missing for a layout that can be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from MedSegTrainerLib.data.layouts.flat_folders import IMAGE_FOLDERS, LABEL_FOLDERS
from MedSegTrainerLib.data.layouts.name_pairs import is_label_name
from MedSegTrainerLib.errors import some
from MedSegTrainerLib.imaging.dicom import holds_series
from MedSegTrainerLib.imaging.file_formats import FOREIGN, foreign_suffix
from MedSegTrainerLib.imaging.read import image_suffix

MOST_FILES, DEEPEST = 5000, 4
EXPECTED = (
    "Expected one of: images/ and labels/ (or masks/) with equal file names; image_0001.* beside mask_0001.*, or "
    "CASE_image.* beside CASE_label.*; a folder for each case with image.* and mask.* (also DICOM); a Decathlon folder "
    "with dataset.json; an nnU-Net folder with imagesTr/CASE_0000.* and labelsTr/CASE.*; CASE/ct.* with "
    "CASE/segmentations/CLASS.*; NPZ files with image and label; BIDS with derivatives/**/*_dseg.*; cases.json; or "
    "train/, val/ and test/ with one of these."
)


@dataclass(frozen=True, kw_only=True)
class Content:
    """folders: those directly in the root. files: all, also of deeper folders, relative to the root."""

    root: Path
    folders: Sequence[Path]
    files: Sequence[Path]

    def images(self, folder: Path = Path()) -> list[Path]:
        """Image files of a folder, a path relative to the root."""
        return [path for path in self.files if path.parent == folder and image_suffix(path)]


def what_is_missing(root: Path) -> str:
    """Sentences: what lies in the folder, what comes nearest to a layout, and which layouts there are."""
    folders = [path for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    content = Content(root=root, folders=folders, files=list(islice(_files(root, root, DEEPEST), MOST_FILES)))
    hint = next((text for text in (find(content) for find in HINTS) if text), "")
    return " ".join(filter(None, (_counted(content), hint, EXPECTED)))


def _files(folder: Path, root: Path, levels: int) -> Iterator[Path]:
    try:
        inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:  # what may not be read cannot be listed
        return
    yield from (path.relative_to(root) for path in inside if not path.is_dir())
    for path in inside if levels else ():
        if path.is_dir():
            yield from _files(path, root, levels - 1)


def _counted(content: Content) -> str:
    kinds = Counter(image_suffix(path) or path.suffix.lower() or "without suffix" for path in content.files)
    kinds_text = some([f"{count} {kind}" for kind, count in kinds.most_common()])
    if not kinds:
        return "It holds no files."
    where = some([f"{folder.name}/" for folder in content.folders])
    more = "at least " if len(content.files) >= MOST_FILES else ""
    return f"It holds {more}{len(content.files)} files ({kinds_text}){f', in {where}' if where else ''}."


def _foreign(content: Content) -> str:
    """Formats that are not read, where nothing else is there."""
    suffixes = [suffix for suffix in map(foreign_suffix, content.files) if suffix]
    if not suffixes or any(image_suffix(path) for path in content.files):
        return ""
    name, remedy = FOREIGN[Counter(suffixes).most_common(1)[0][0]]
    return f"The format is {name}, which is not read: {remedy}."


def _masks_of_classes(content: Content) -> str:
    """A file for each class in a folder whose name does not say it: s0001/ct.nii.gz and s0001/organs/liver.nii.gz."""
    for case in content.folders:
        inner = sorted({path.parent for path in content.files if path.parent.parent == Path(case.name)})
        for folder in inner:
            masks = [path.name for path in content.images(folder)]
            if masks and content.images(Path(case.name)):
                return (
                    f"{folder}/ seems to hold a mask for each class ({some(masks)}). Name such folders segmentations/, "
                    f"or give their name: --set label_name={folder.name}"
                )
    return ""


def _one_side(content: Content) -> str:
    """Folders for images or labels that are named otherwise, or without the other."""
    images = [folder.name for folder in content.folders if folder.name.lower() in IMAGE_FOLDERS]
    labels = [folder.name for folder in content.folders if folder.name.lower() in LABEL_FOLDERS]
    if images and labels:
        return f"Of {some([*images, *labels])} nobody knows which belong together: keep one of each."
    if images:
        return f"The label maps of {images[0]}/ are missing: put them into labels/ under the names of their images."
    return f"The images of {labels[0]}/ are missing: put them into images/ under their names." if labels else ""


def _dicom(content: Content) -> str:
    series = [f"{folder.name}/" for folder in content.folders if holds_series(folder)]
    if not series and not holds_series(content.root):
        return ""
    where = f" in {some(series)}" if series else ""
    return (
        f"There are DICOM files{where} and no label map: give each case a folder with its series in image/ and its "
        "label map as mask.nii.gz or .seg.nrrd beside it."
    )


def _deeper(content: Content) -> str:
    deep = [path for path in content.files if len(path.parts) > 2 and image_suffix(path)]
    if not deep or content.images() or any(content.images(Path(folder.name)) for folder in content.folders):
        return ""
    return (
        f"Images lie deeper, such as {deep[0].as_posix()}: give the folder that holds images/ and labels/ or the "
        "cases' folders, or list the cases in cases.json."
    )


def _side_by_side(content: Content) -> str:
    """Images in one folder, which cannot be distinguished from label maps, or several for a label map."""
    names = [path.name for path in content.images()]
    if not names:
        return ""
    labels = [path.name for path in content.images() if is_label_name(path.name.split(".")[0])]
    if labels:
        return (
            f"Of {len(names)} image files {len(labels)} are named as label maps ({some(labels)}), and the names of the "
            "others do not fit to them one by one. Name each pair CASE_image.* and CASE_label.*; of several channels "
            "give each case a folder."
        )
    return f"None of its {len(names)} image files is named as a label map ({some(names)}). Name them CASE_label.*."


HINTS: tuple[Callable[[Content], str], ...] = (_foreign, _masks_of_classes, _one_side, _dicom, _deeper, _side_by_side)
