"""``slicer.app``: the application as it runs with ``--testing --no-main-window``."""

from __future__ import annotations

import tempfile
import types
from pathlib import Path
from typing import Any, ClassVar

import slicer
from PySide6 import QtCore, QtWidgets

from .file_io import FileIO
from .qt_settings import QSettings


class ModuleManager(QtCore.QObject):
    SIGNALS: ClassVar = {
        "moduleAboutToBeUnloaded(QString)": "moduleAboutToBeUnloaded",
        "moduleLoaded(QString)": "moduleLoaded",
    }
    moduleAboutToBeUnloaded = QtCore.Signal(str)
    moduleLoaded = QtCore.Signal(str)

    def module(self, name: str) -> Any:
        return getattr(slicer.modules, name.lower(), None)

    def modulesNames(self) -> tuple[str, ...]:
        return tuple(sorted(item.name for item in vars(slicer.modules).values() if hasattr(item, "logic")))


class qSlicerApplication(QtWidgets.QApplication):
    """Without a main window, a layout manager and a Python console; in testing mode unless told otherwise."""

    SIGNALS: ClassVar = {
        "startupCompleted()": "startupCompleted",
        "mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged",
    }
    startupCompleted = QtCore.Signal()
    mrmlSceneChanged = QtCore.Signal(object)
    temporaryPath = QtCore.Property(str, lambda self: self._temporary)
    slicerHome = QtCore.Property(str, lambda self: self._temporary)
    documentationBaseUrl = QtCore.Property(str, lambda self: "https://slicer.readthedocs.io/en/latest/")
    revision = QtCore.Property(str, lambda self: "31053")
    majorVersion = QtCore.Property(int, lambda self: 5)
    minorVersion = QtCore.Property(int, lambda self: 13)
    applicationLocaleName = QtCore.Property(str, lambda self: self._locale)

    def __init__(self, logic: Any) -> None:
        super().__init__(["Slicer"])
        self._logic = logic
        self._io = FileIO()
        self._manager = ModuleManager()
        self._testing = True
        self._windows: tuple[Any, ...] = ()
        self._locale = "en_US"
        self._translators: list[QtCore.QTranslator] = []
        self._folder = tempfile.TemporaryDirectory(prefix="slicer-standin-")
        self._temporary = self._folder.name
        self.setApplicationName("Slicer")
        self.setOrganizationName("slicer.org")

    def mrmlScene(self) -> Any:
        return slicer.mrmlScene

    def applicationLogic(self) -> Any:
        return self._logic

    def testingEnabled(self) -> bool:
        return self._testing

    def coreIOManager(self) -> FileIO:
        return self._io

    ioManager = coreIOManager

    def moduleManager(self) -> ModuleManager:
        return self._manager

    def layoutManager(self) -> None:
        return None

    def mainWindow(self) -> None:
        return None

    def topLevelWidgets(self) -> tuple[Any, ...]:
        """Only those that a test has put there; PySide crashes on popups of widgets that are half destroyed."""
        return self._windows

    def set_windows(self, *windows: Any) -> None:
        """For a test that needs the main window."""
        self._windows = windows

    def loadTranslations(self, folder: str) -> None:
        """Takes the files of the user's language in a folder: ``*de_DE.qm``, else ``*de.qm``."""
        names = dict.fromkeys((self._locale, self._locale.partition("_")[0]))
        found = [sorted(Path(folder).glob(f"*{name}.qm")) for name in names]
        for path in next(filter(None, found), []):
            translator = QtCore.QTranslator(self)
            if not translator.load(str(path)):
                raise ValueError(f"{path} is no file of translations")
            self.installTranslator(translator)
            self._translators.append(translator)

    def set_language(self, name: str) -> None:
        """For a test: as if Slicer had been started in it; what was loaded in another one is forgotten."""
        for translator in self._translators:
            self.removeTranslator(translator)
        self._translators.clear()
        self._locale = name

    def commandOptions(self) -> Any:
        return types.SimpleNamespace(noMainWindow=True, testingEnabled=True, settingsDisabled=True)

    def userSettings(self) -> QSettings:
        return QSettings()

    settings = revisionUserSettings = userSettings

    def startupEnvironment(self) -> QtCore.QProcessEnvironment:
        return QtCore.QProcessEnvironment.systemEnvironment()

    def pauseRender(self) -> None:
        """There are no views."""

    resumeRender = pauseRender

    def restart(self) -> None:
        raise AssertionError("the application would have started anew")

    def moduleDocumentationUrl(self, name: str) -> str:
        return f"https://slicer.readthedocs.io/en/latest/user_guide/modules/{name.lower()}.html"
