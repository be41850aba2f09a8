"""The results of a run on many images as a table, the worst first; a click loads image and result into the scene."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.results_file import CaseResult
from MedSegTrainerUI.apply.dicom_series import load_series
from MedSegTrainerUI.apply.folder_run import BESIDE, COPIES, FolderRun
from MedSegTrainerUI.apply.likely_dice import likely_cells, remember_likely
from MedSegTrainerUI.models.recorded_classes import recorded_classes
from MedSegTrainerUI.scene.import_segments import import_segments
from MedSegTrainerUI.scene.label_files import read_layers
from MedSegTrainerUI.scene.prediction_copy import mark_result
from MedSegTrainerUI.scene.result_origin import Origin
from MedSegTrainerUI.scene.uncertainty_view import remember_map
from MedSegTrainerUI.scene.volumes import array_image, write_image
from MedSegTrainerUI.shared.tables import DOT_COLORS, Cell
from MedSegTrainerUI.slicer_types import SegmentationNode, VolumeNode

VOLUME, DICE, LOOK = range(3)
MAPS = "uncertainty"  # the folder of the maps beside the results


def case_rows(results: Sequence[CaseResult]) -> list[list[Cell]]:
    """A row for each case; of a failed one the reason."""
    rows = []
    for case in results:
        tip = "\n".join(filter(None, (case.image, *case.warnings, _("A click loads image and result."))))
        if case.error:
            cells = [Cell(tip=case.error, dot=DOT_COLORS["error"]), Cell(text=case.error, tip=case.error)]
        else:
            cells = likely_cells(case)
        rows.append([Cell(text=case.name, tip=case.error or tip), *cells])
    return rows


class LoadedCase:
    """A case of a run in the scene: what was loaded is remembered, and loaded once."""

    def __init__(self, run: FolderRun, case: CaseResult) -> None:
        self.run, self.case, self.name = run, case, case.name
        self._volume: VolumeNode = None
        self._segmentation: SegmentationNode = None
        self._kept = False

    def keep(self) -> None:
        """It stays in the scene: the user wants to see it."""
        self._kept = True

    def nodes(self) -> tuple[SegmentationNode, VolumeNode]:
        """Segmentation and volume, loaded where they are not there. Raises MedSegError."""
        if self.case.error:
            raise DataError(self.case.error)
        if not _is_there(self._volume):
            self._volume = self._load_volume()
        if not _is_there(self._segmentation):
            name = slicer.mrmlScene.GenerateUniqueName(_("{volume} segmentation").format(volume=self._volume.GetName()))
            classes = recorded_classes(self.run.record)
            self._segmentation = import_segments(self._label_map(), classes, self._volume, name=name)
            mark_result(self._segmentation, self._origin(), classes)
            remember_likely(self._segmentation, self.case)
            remember_map(self._segmentation, self._map())
        return self._segmentation, self._volume

    def release(self) -> None:
        """Removes what was loaded only to be measured."""
        if not self._kept:
            for node in (self._segmentation, self._volume):
                if _is_there(node):
                    slicer.mrmlScene.RemoveNode(node)
            self._segmentation = self._volume = None

    def _label_map(self) -> Path:
        """Of DICOM segmentations what the library wrote beside them."""
        if self.case.label_map.endswith(".dcm"):
            return self.run.output / BESIDE / f"{self.name}.seg.nrrd"
        return self.run.output / self.case.label_map

    def _origin(self) -> Origin:
        """Corrections are told by comparing with NRRD: of another file a copy is made in the folder of the job."""
        copy = self._label_map()
        if not copy.name.endswith(".nrrd"):
            (layer,) = read_layers(copy)
            copy = self.run.folder.path / COPIES / f"{self.name}.seg.nrrd"
            write_image(array_image(layer.array), layer.ijk_to_ras, copy, compressed=True)
        return Origin(
            model=str(self.run.record["model"]), job=self.run.folder.path.name, case=self.name, prediction=str(copy)
        )

    def _load_volume(self) -> VolumeNode:
        uid = self.run.record["series"].get(self.case.name)
        if uid:
            return load_series(uid)
        path = Path(self.case.image)
        file = next((one for one in sorted(path.iterdir()) if one.is_file()), path) if path.is_dir() else path
        if not file.exists():
            raise DataError(_("{path} is not there any more.").format(path=path))
        try:  # a DICOM file stands for the slices beside it
            return slicer.util.loadVolume(
                str(file), {"name": self.case.name, "singleFile": not path.is_dir(), "show": False}
            )
        except RuntimeError:
            raise DataError(_("{path} cannot be loaded into Slicer.").format(path=path)) from None

    def _map(self) -> Path | None:
        folder = self.run.output / MAPS
        return next(iter(sorted(folder.glob(f"{self.case.name}_entropy.*"))), None) if folder.is_dir() else None


def _is_there(node: SegmentationNode | VolumeNode) -> bool:
    return node is not None and node.GetScene() is not None
