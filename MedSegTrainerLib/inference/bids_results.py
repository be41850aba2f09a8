"""Results as a derivative data set of BIDS: ``sub-01/anat/sub-01_desc-medseg_dseg.nii.gz`` with what describes them.

dataset_description.json            what made them, of which data set
desc-medseg_dseg.tsv                names and colours of the label values
.bidsignore                         the other files of 'apply', which are none of BIDS
sub-01/anat/..._dseg.json           the images that a label map was made of
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from MedSegTrainerLib import __version__, atomic
from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.data.layouts.bids_names import LABELS, joined, read_name
from MedSegTrainerLib.data.layouts.bids_table import table_text
from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.files.json_input import read_json_file

BIDS_VERSION = "1.10.0"
PROGRAM, DESCRIPTION = "MedSegTrainer", "dataset_description.json"
MADE = {"desc": "medseg"}  # the entity of our label maps
OTHER_FILES = ("job/", "probabilities/", "uncertainty/", "made.jsonl", "results.json", "results.csv")
KEPT = ("space", "res", "den")  # entities of an image that hold for a label map on its grid
DATATYPES = ("anat", "ct", "pet", "dwi", "func", "perf", "fmap", "micr")
SUBJECT = re.compile(r"sub-[a-zA-Z0-9+]+")


def bids_place(name: str, image: Path, suffix: str) -> Path:
    """Where the label map of an image lies below the folder of the results; ``name``: of the image, which is that of
    the subject where it is none of BIDS."""
    found = read_name(image)
    if found is None:
        subject = re.sub(r"[^a-zA-Z0-9]", "", name)
        if not subject:
            raise UsageError(f"{name} has no letter or digit for the name of a subject in BIDS. Rename the image.")
        entities = {"sub": subject}
        return Path(f"sub-{subject}", "anat", f"{joined({**entities, **MADE}, LABELS)}.{suffix}")
    kept = {key: value for key, value in found.entities.items() if key in KEPT}
    folders = [f"{key}-{found.entities[key]}" for key in ("sub", "ses") if key in found.entities]
    datatype = image.parent.name if image.parent.name in DATATYPES else "anat"
    return Path(*folders, datatype, f"{joined({**found.source, **kept, **MADE}, LABELS)}.{suffix}")


def refuse_equal_places(places: Sequence[tuple[str, Path]]) -> None:
    """Raises UsageError where label maps of different images, given with their names, would be one file."""
    counts = Counter(place for _, place in places)
    for place, count in counts.items():
        if count > 1:
            names = [name for name, other in places if other == place]
            raise UsageError(
                f"The results of {' and '.join(names[:2])} would both be {place.as_posix()}: in BIDS a label map is "
                "named after its subject, and not after the kind of image. Give one kind of images a time, each with "
                "an output folder of its own."
            )


def refuse_overlapping(overlapping: bool) -> None:
    """Raises UsageError for classes of which a voxel may have several: a ``dseg`` holds one number a voxel."""
    if overlapping:
        raise UsageError(
            "The classes of this model overlap, and a dseg of BIDS holds one number a voxel. Give --format nii.gz."
        )


def refuse_other_data_set(folder: Path) -> None:
    """Raises UsageError for a folder that another program describes as a data set of BIDS."""
    path = folder / DESCRIPTION
    if not path.exists():
        return
    document = read_json_file(path)
    makers = document.get("GeneratedBy") if isinstance(document, dict) else None
    if not isinstance(makers, list) or not any(isinstance(one, dict) and one.get("Name") == PROGRAM for one in makers):
        raise UsageError(
            f"{folder} is a data set of BIDS that this program did not make. Choose another output folder, such as "
            f"{folder / 'derivatives' / 'medseg'}."
        )


def describe_results(folder: Path, model: str, classes: Sequence[LabelClass], images: Sequence[Path]) -> None:
    """Writes what describes the data set; ``model``: the name of what made it, ``images``: the first of each case.
    Raises StorageError."""
    with atomic.storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = {
        "Name": f"Segmentations by {model}",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": PROGRAM, "Version": __version__, "Description": f"The model {model}"}],
    }
    roots = {root for root in map(_root_of, images) if root is not None}
    if len(roots) == 1:
        document["DatasetLinks"] = {"raw": _link(roots.pop(), folder)}
    atomic.write_json(folder / DESCRIPTION, document)
    atomic.write_bytes(folder / f"{joined(MADE, LABELS)}.tsv", table_text(classes).encode())
    atomic.write_bytes(folder / ".bidsignore", "".join(f"{name}\n" for name in OTHER_FILES).encode())


def sidecar_of(label_map: Path) -> Path:
    return label_map.with_name(label_map.name.partition(".")[0] + ".json")


def write_sidecar(path: Path, images: Sequence[Path]) -> None:
    """Says that a label map was not drawn by hand, and of which images it was made; raises StorageError."""
    with atomic.storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_json(path, {"Manual": False, "Sources": [_source(image) for image in images]})


def _root_of(image: Path) -> Path | None:
    """The folder of the data set in which an image of BIDS lies."""
    subjects = [parent for parent in image.parents if SUBJECT.fullmatch(parent.name)]
    return subjects[-1].parent if subjects else None


def _source(image: Path) -> str:
    root = _root_of(image)
    return image.name if root is None else f"bids:raw:{image.relative_to(root).as_posix()}"


def _link(root: Path, folder: Path) -> str:
    """Where a data set lies, seen from the folder of the results."""
    try:
        return Path(os.path.relpath(root.resolve(), folder.resolve())).as_posix()
    except ValueError:  # on another drive of Windows
        return root.resolve().as_uri()
