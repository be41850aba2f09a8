"""A data set as nnU-Net's: ``imagesTr/CASE_0000.nii.gz``, ``labelsTr/CASE.nii.gz``, ``dataset.json`` and the division.

``splits_final.json`` lies beside ``dataset.json``, where nnU-Net's planning takes it from (2.5 and later). Cases kept
for a test lie in ``imagesTs`` and ``labelsTs``.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib import __version__, atomic
from MedSegTrainerLib.data.case_labels import read_labels_onto
from MedSegTrainerLib.data.dataset import Case
from MedSegTrainerLib.errors import DataError, UsageError, some
from MedSegTrainerLib.export.data_content import DataContent
from MedSegTrainerLib.export.nnunet_labels import IGNORE, Numbering, numbering, renumbered
from MedSegTrainerLib.imaging.read import read_channels
from MedSegTrainerLib.imaging.write import write_volume

FOLDER = re.compile(r"Dataset\d{3}_\w[\w.-]*")
ENDING = ".nii.gz"
CT = "CT"  # the name of channels by which nnU-Net normalises Hounsfield units


def refuse_folder(output: Path) -> None:
    """Raises UsageError for a folder that nnU-Net would not find by its number."""
    if not FOLDER.fullmatch(output.name):
        raise UsageError(
            f"{output.name} is no name of a data set of nnU-Net. Give DatasetNNN_NAME with three digits, such as "
            "Dataset007_Liver."
        )


class NnunetWriter:
    """Writes cases one by one, and at the end what says what they are."""

    def __init__(self, content: DataContent, folder: Path) -> None:
        """Raises DataError for what nnU-Net's label maps cannot say."""
        _refuse_undrawn(content)
        self.content, self.folder = content, folder
        self.numbering: Numbering = numbering(
            content.classes, content.combinations, overlapping=content.dataset.overlapping
        )
        self._with_ignored: list[str] = []

    def write_case(self, case: Case) -> None:
        """Its channels and its label map, on one grid."""
        part = "Ts" if case.name in self.content.test else "Tr"
        channels = read_channels(case.images)
        images = [self.folder / f"images{part}" / f"{case.name}_{index:04d}{ENDING}" for index in range(len(channels))]
        for index, (channel, path) in enumerate(zip(channels, images, strict=True)):
            _write_image(channel, case.images[index if len(case.images) > 1 else 0], path)
        found = read_labels_onto(case, channels[0], self.content.ignore_label)
        labels = renumbered(
            sitk.GetArrayViewFromImage(found),
            self.numbering,
            self.content.classes,
            self.content.ignore_label,
            all_drawn=case.drawn is None,
        )
        if np.any(labels == self.numbering.ignored):
            self._with_ignored.append(case.name)
        image = sitk.GetImageFromArray(labels)
        image.CopyInformation(channels[0])
        write_volume(image, self.folder / f"labels{part}" / f"{case.name}{ENDING}", images[0])

    def finish(self, name: str) -> list[str]:
        """``dataset.json`` and ``splits_final.json``; ``name``: of the data set."""
        atomic.write_json(self.folder / "dataset.json", self._description(name))
        splits = [{"train": list(split.train), "val": list(split.val)} for split in self.content.splits]
        atomic.write_json(self.folder / "splits_final.json", splits)
        return list(self._changes())

    def _changes(self) -> Iterator[str]:
        numbers = self.numbering.numbers
        moved = [f"{item.name} {item.value} -> {numbers[item.value]}" for item in self.content.classes
                 if not self.content.dataset.overlapping and numbers[item.value] != item.value]  # fmt: skip
        if moved:
            yield f"nnU-Net counts classes from 1 on without a gap. New numbers: {some(moved)}."
        if self.numbering.order:
            yield (
                "Classes overlap: they are regions of numbers, each of which is a combination of classes. Results of "
                "nnU-Net show one class a voxel, the inner one."
            )
        undrawn = self.content.partly_drawn()
        if undrawn:
            yield (
                f"In {len(undrawn)} cases not all classes were looked for ({some(undrawn)}): voxels without label are "
                "'ignore' there, for nnU-Net knows no class that is unknown in a case."
            )

    def _description(self, name: str) -> dict[str, Any]:
        ignored = {IGNORE: self.numbering.ignored} if self._with_ignored else {}
        order = {"regions_class_order": list(self.numbering.order)} if self.numbering.order else {}
        channels = [CT if channel.is_ct else channel.name for channel in self.content.channels]
        training = [case for case in self.content.dataset.cases if case.name not in self.content.test]
        return {
            "channel_names": {str(index): channel for index, channel in enumerate(channels)},
            "labels": {**self.numbering.labels, **ignored},
            **order,
            "numTraining": len(training),
            "file_ending": ENDING,
            "name": name,
            "description": f"Written by MedSegTrainer {__version__}",
        }


def _write_image(image: sitk.Image, source: Path, path: Path) -> None:
    """A channel; where its file is such a file already, that is copied, so that all of its header stays."""
    if source.name.lower().endswith(ENDING) and source.is_file() and _holds_one_volume(source):
        with atomic.storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, path)
    else:
        write_volume(image, path, source)


def _holds_one_volume(path: Path) -> bool:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return reader.GetDimension() == 3 and reader.GetNumberOfComponents() == 1


def _refuse_undrawn(content: DataContent) -> None:
    undrawn = content.partly_drawn()
    if content.dataset.overlapping and undrawn:
        raise DataError(
            f"In {len(undrawn)} cases not all classes were looked for ({some(undrawn)}), and the classes overlap: a "
            "voxel of nnU-Net's label maps is unknown for all classes or for none. Leave out these cases, or the "
            "classes that they lack."
        )
