"""Maps beside a label map: how likely each class is at each voxel, and how unsure the result is.

Each map is a file of its own with one number a voxel, which 3D Slicer and every other viewer loads as an ordinary
volume on the grid of the image; a file with all classes as a fourth axis would be a sequence or a colour image there.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib import atomic
from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.imaging.write import write_volume

FULL = np.iinfo(np.uint16).max  # a probability of 1 in a spool: steps of 0.000015
ENTROPY, STD = "entropy", "spread"  # in the names of files
PROBABILITY_FOLDER, UNCERTAINTY_FOLDER = "probabilities", "uncertainty"


@dataclass(frozen=True, kw_only=True)
class MapSelection:
    """slice_sums: not a map, but what all slices come to (``Prediction.slice_sums``)."""

    probabilities: bool = False
    uncertainty: bool = False
    slice_sums: bool = False

    @property
    def any(self) -> bool:
        return self.probabilities or self.uncertainty or self.slice_sums


NO_MAPS = MapSelection()


class ProbabilitySpool:
    """Probabilities of all classes, (classes, z, y, x), in a temporary file: in memory they would be too large.

    Made plane by plane, read class by class. The file goes when it is closed, or with the process.
    """

    def __init__(self, classes: int, shape: tuple[int, int, int], folder: Path) -> None:
        self.classes, self.shape = classes, shape
        with atomic.storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it lives as long as the spool
        self._folder = folder

    def write(self, first: int, values: np.ndarray) -> None:
        """Probabilities (classes, planes, y, x) of the planes from ``first`` on."""
        stored = np.rint(values * FULL).astype(np.uint16)
        with atomic.storage_errors(self._folder):
            for index, planes in enumerate(stored):
                self._file.seek(self._place(index, first))
                self._file.write(planes.tobytes())

    def read(self, index: int) -> np.ndarray:
        """Probability 0-1 of one class, float32 (z, y, x)."""
        self._file.seek(self._place(index, 0))
        stored = np.frombuffer(self._file.read(2 * int(np.prod(self.shape))), np.uint16)
        return np.divide(stored, FULL, dtype=np.float32).reshape(self.shape)

    def close(self) -> None:
        self._file.close()

    def _place(self, index: int, plane: int) -> int:
        depth, rows, columns = self.shape
        return 2 * rows * columns * (index * depth + plane)


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a model predicts: ``labels`` on the grid of the image. Maps are (z, y, x) in the axes of the plan or None.

    entropy: of the mean probabilities, 0 (sure) to 1 (all classes alike). std: over the members (``ensemble``).
    to_image: such an array as an image on the grid of the input. slice_sums: ``SliceSums.along_patient``.
    agreement: of looks at the image, by class (``agreement``), where it was asked for.
    """

    labels: sitk.Image
    to_image: Callable[[np.ndarray], sitk.Image]
    entropy: np.ndarray | None = None
    std: np.ndarray | None = None
    probabilities: ProbabilitySpool | None = None
    slice_sums: dict[str, np.ndarray] | None = None
    agreement: list[float | None] | None = None


def map_files(
    output: Path, name: str, suffix: str, classes: Sequence[LabelClass], selection: MapSelection, *, with_std: bool
) -> dict[str, Path]:
    """The files that ``write_maps`` makes for a case: for each class value as text, ``entropy`` and ``spread``."""
    files = {}
    if selection.probabilities:
        for item in classes:
            class_name = re.sub(r"[^\w-]+", "_", item.name).strip("_")
            files[str(item.value)] = output / PROBABILITY_FOLDER / name / f"{item.value}-{class_name}.{suffix}"
    for kind in (ENTROPY, STD) if selection.uncertainty else ():
        if kind == ENTROPY or with_std:
            files[kind] = output / UNCERTAINTY_FOLDER / f"{name}_{kind}.{suffix}"
    return files


def write_maps(
    prediction: Prediction, files: dict[str, Path], classes: Sequence[LabelClass], like: Path | None = None
) -> None:
    """Writes the files that ``map_files`` named, one map in memory at a time; raises StorageError.

    like: the file of the image, as ``write_volume`` takes it.
    """
    for kind, values in ((ENTROPY, prediction.entropy), (STD, prediction.std)):
        if kind in files and values is not None:
            write_volume(prediction.to_image(values.astype(np.float32)), files[kind], like)
    spool = prediction.probabilities
    if spool is None:
        return
    for index, item in enumerate(classes):
        if str(item.value) in files:
            write_volume(prediction.to_image(spool.read(index)), files[str(item.value)], like)
    spool.close()
