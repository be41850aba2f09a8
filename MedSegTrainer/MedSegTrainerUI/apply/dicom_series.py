"""The image series of Slicer's DICOM database: listed a piece at a time, since a database can hold thousands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from MedSegTrainerLib.errors import DataError
from MedSegTrainerUI.slicer_types import VolumeNode

INSTANCES = "DICOM.instanceUIDs"  # attribute of volumes that the DICOM module loaded
INSTANCE_TAG = "0008,0018"
NO_IMAGES = {"SEG", "SR", "PR", "KO", "DOC", "REG", "RTSTRUCT", "RTPLAN", "RTRECORD", "RWV", "FID", "ANN", "PLAN"}


@dataclass(frozen=True, kw_only=True)
class Series:
    """A series as the database names it."""

    uid: str
    patient: str
    study: str
    description: str
    modality: str

    @property
    def name(self) -> str:
        """What a result of it is called."""
        return " ".join(filter(None, (self.patient, self.study, self.description or self.modality)))

    def matches(self, words: str) -> bool:
        """Whether each of the words is in its texts; capitals do not count."""
        text = " ".join((self.patient, self.study, self.description, self.modality)).casefold()
        return all(word in text for word in words.casefold().split())


def dicom_database() -> Any:
    """The open database of the application; None where there is none."""
    database = getattr(slicer, "dicomDatabase", None)
    return database if database is not None and database.isOpen else None


def list_series(database: Any) -> Iterator[Series]:
    """Those with images, by patient and study; what holds drawings, plans or reports is passed over."""
    for patient in database.patients():
        name = database.nameForPatient(patient).replace("^", " ").strip()
        for study in database.studiesForPatient(patient):
            about = database.fieldForStudy("StudyDate", study) or database.descriptionForStudy(study)
            for uid in database.seriesForStudy(study):
                modality = database.fieldForSeries("Modality", uid)
                if modality.upper() not in NO_IMAGES:
                    yield Series(
                        uid=uid,
                        patient=name,
                        study=about,
                        description=database.descriptionForSeries(uid),
                        modality=modality,
                    )


def series_files(database: Any, series: Series) -> list[Path]:
    """The files of a series on the disk. Raises DataError where it has none."""
    files = [Path(file) for file in database.filesForSeries(series.uid) if file]
    if not files:
        text = _("The series {name} has no files in the DICOM database: import it again.")
        raise DataError(text.format(name=series.name))
    return files


def came_from_database(volume: VolumeNode) -> bool:
    """Whether a volume of the scene was loaded from DICOM, as Slicer remembers it."""
    return volume is not None and bool(volume.GetAttribute(INSTANCES))


def volume_files(database: Any, volume: VolumeNode) -> list[Path]:
    """The files of the database that a volume was loaded from. Raises DataError where some are gone."""
    instances = (volume.GetAttribute(INSTANCES) or "").split()
    files = [Path(file) for file in map(database.fileForInstance, instances) if file]
    if len(files) < len(instances) or not files:
        text = _("{count} of the {all} slices of {volume} are not in the DICOM database any more: import them again.")
        raise DataError(text.format(count=len(instances) - len(files), all=len(instances), volume=volume.GetName()))
    return list(dict.fromkeys(files))


def add_to_database(database: Any, file: Path) -> None:
    """Copies a file into the database. Raises DataError where it is not there afterwards."""
    database.insert(str(file), True)
    if not database.fileForInstance(database.fileValue(str(file), INSTANCE_TAG)):
        raise DataError(_("Slicer's DICOM database did not take the segmentation: its log says why."))


def load_series(uid: str) -> VolumeNode:
    """The volume of a series, loaded as the DICOM module does. Raises DataError."""
    try:
        from DICOMLib import DICOMUtils
    except ImportError:
        raise DataError(_("This Slicer was built without its DICOM module, so that no series can be loaded.")) from None
    nodes = [slicer.mrmlScene.GetNodeByID(one) for one in DICOMUtils.loadSeriesByUID([uid])]
    volumes = [node for node in nodes if node is not None and node.IsA("vtkMRMLScalarVolumeNode")]
    if not volumes:
        raise DataError(_("The series cannot be loaded: it is not in the DICOM database any more, or no volume."))
    return volumes[0]
