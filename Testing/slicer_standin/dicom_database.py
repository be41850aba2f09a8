"""The DICOM database of the application, ``slicer.dicomDatabase``, and the loading of its series by ``DICOMLib``."""

from __future__ import annotations

import shutil
import sys
import tempfile
import types
from pathlib import Path
from typing import Any, ClassVar

import pydicom
import slicer
from PySide6 import QtCore

PATIENT, NAME = "0010|0020", "0010|0010"
STUDY, SERIES, INSTANCE = "0020|000d", "0020|000e", "0008|0018"
FIELDS = {"Modality": "0008|0060", "SeriesDescription": "0008|103e", "SeriesNumber": "0020|0011",
          "StudyDate": "0008|0020", "StudyDescription": "0008|1030"}  # fmt: skip


class ctkDICOMDatabase(QtCore.QObject):
    """Of the real files that were inserted. Lists are tuples of texts, and patients have numbers of the database."""

    SIGNALS: ClassVar = {"databaseChanged()": "databaseChanged"}
    databaseChanged = QtCore.Signal()
    isOpen = QtCore.Property(bool, lambda self: self._open)

    def __init__(self, folder: str = "") -> None:
        """folder: where files are kept that are stored in it."""
        super().__init__()
        self._folder = Path(folder or tempfile.mkdtemp(prefix="dicom-database-"))
        self._open = True
        self._files: dict[str, dict[str, str]] = {}
        self._patients: dict[str, str] = {}  # ID and name to number

    def insert(self, path: str, storeFile: bool = True, generateThumbnail: bool = True) -> None:
        """A file that is not stored stays where it is."""
        tags = _tags(path)
        if storeFile:
            path = str(shutil.copy(path, self._folder / f"{tags[INSTANCE]}.dcm"))
        patient = f"{tags.get(PATIENT, '')}/{tags.get(NAME, '')}"
        self._patients.setdefault(patient, str(len(self._patients) + 1))
        self._files[path] = {**tags, "patient": self._patients[patient]}
        self.databaseChanged.emit()

    def fileForInstance(self, sopInstanceUID: str) -> str:
        return next((path for path, tags in self._files.items() if tags.get(INSTANCE) == sopInstanceUID), "")

    def fileValue(self, fileName: str, tag: str) -> str:
        """Of any file, by a tag such as "0008,0018"."""
        return _tags(fileName).get(tag.replace(",", "|").lower(), "")

    def closeDatabase(self) -> None:
        self._open = False

    def patients(self) -> tuple[str, ...]:
        return self._values("patient")

    def studiesForPatient(self, patient: str) -> tuple[str, ...]:
        return self._values(STUDY, patient=patient)

    def seriesForStudy(self, study: str) -> tuple[str, ...]:
        return self._values(SERIES, **{STUDY: study})

    def filesForSeries(self, series: str, hits: int = -1) -> tuple[str, ...]:
        files = [path for path, tags in self._files.items() if tags.get(SERIES) == series]
        return tuple(files if hits < 0 else files[:hits])

    def nameForPatient(self, patient: str) -> str:
        return self._first("patient", patient, NAME)

    def descriptionForStudy(self, study: str) -> str:
        return self._first(STUDY, study, FIELDS["StudyDescription"])

    def descriptionForSeries(self, series: str) -> str:
        return self._first(SERIES, series, FIELDS["SeriesDescription"])

    def fieldForStudy(self, field: str, study: str) -> str:
        return self._first(STUDY, study, FIELDS[field])

    def fieldForSeries(self, field: str, series: str) -> str:
        return self._first(SERIES, series, FIELDS[field])

    def _values(self, tag: str, **where: str) -> tuple[str, ...]:
        found = [tags[tag] for tags in self._files.values() if all(tags.get(key) == one for key, one in where.items())]
        return tuple(dict.fromkeys(found))

    def _first(self, key: str, value: str, tag: str) -> str:
        return next((tags.get(tag, "") for tags in self._files.values() if tags.get(key) == value), "")


class DICOMUtils:
    """What ``DICOMLib.DICOMUtils`` has for scripts."""

    @staticmethod
    def loadSeriesByUID(seriesUIDs: list[str]) -> list[str]:
        """The IDs of the nodes; none for a series that the database does not have."""
        loaded = []
        for uid in seriesUIDs:
            files = slicer.dicomDatabase.filesForSeries(uid)
            if not files:
                continue
            storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
            storage.SetFileName(files[0])
            for file in files:
                storage.AddFileName(file)
            node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", _name(uid))
            if storage.ReadData(node):
                node.CreateDefaultDisplayNodes()
                instances = (slicer.dicomDatabase.fileValue(file, "0008,0018") for file in files)
                node.SetAttribute("DICOM.instanceUIDs", " ".join(instances))
                loaded.append(node.GetID())
            else:
                slicer.mrmlScene.RemoveNode(node)
        return loaded


def _tags(path: str) -> dict[str, str]:
    """The texts of the elements of a file, by tags such as "0008|0018"."""
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    return {f"{one.tag.group:04x}|{one.tag.element:04x}": str(one.value).strip() for one in dataset if one.VR != "SQ"}


def _name(uid: str) -> str:
    number = slicer.dicomDatabase.fieldForSeries("SeriesNumber", uid)
    return f"{number}: {slicer.dicomDatabase.descriptionForSeries(uid) or 'Unnamed Series'}"


def open_database(files: list[Path]) -> ctkDICOMDatabase:
    """``slicer.dicomDatabase`` with these files, for a test."""
    slicer.dicomDatabase = ctkDICOMDatabase()
    for file in files:
        slicer.dicomDatabase.insert(str(file), False)
    return slicer.dicomDatabase


def install() -> None:
    """Makes ``from DICOMLib import DICOMUtils`` work. There is no database yet, as after the first start."""
    module: Any = types.ModuleType("DICOMLib", "stand-in for Slicer's DICOMLib")
    module.DICOMUtils = DICOMUtils
    sys.modules["DICOMLib"] = module
    slicer.dicomDatabase = None
