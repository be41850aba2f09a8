"""Fixtures of the module's tests, the same in Slicer and over the stand-in.

In Slicer the application is there and nothing is started. Elsewhere ``Testing/slicer_standin`` plays it; where its
packages are missing, every test here is skipped with the reason.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "MedSegTrainer" / "MedSegTrainer.py"
STANDIN = ROOT / "Testing" / "slicer_standin"
RELOADED = ("MedSegTrainerUI", "MedSegTrainerLib")
PANEL_WIDTH, PANEL_HEIGHT = 460, 900  # pixels, as wide as Slicer shows it
VIEWS = ("Red", "Green", "Yellow")


def _in_slicer() -> bool:
    """Whether this is the application itself, and not the stand-in in a second session of the same process."""
    slicer = sys.modules.get("slicer")
    is_played = "slicer_standin" in sys.modules and "MEDSEG_PLAYED_SLICER" not in os.environ
    return hasattr(slicer, "app") and not is_played


IN_SLICER = _in_slicer()
PYTHON_WITH_TORCH = os.environ.get("MEDSEG_PYTHON", "")  # where the Python of the tests has no PyTorch
collect_ignore_glob = ["test_standin_*.py"] if IN_SLICER else []
if not sys.executable:  # Slicer's own Python has none; tests start processes with it
    sys.executable = shutil.which("PythonSlicer") or ""


def _standin() -> Any:
    """The package of the stand-in, without a search path that would also offer its neighbours."""
    if "slicer_standin" not in sys.modules:
        spec = importlib.util.spec_from_file_location("slicer_standin", STANDIN / "__init__.py")
        assert spec is not None and spec.loader is not None
        package = importlib.util.module_from_spec(spec)
        sys.modules["slicer_standin"] = package
        spec.loader.exec_module(package)
    return importlib.import_module("slicer_standin.boot")


class _Skipped(pytest.Module):
    """A file of tests that is not imported."""

    reason = ""

    def collect(self) -> Any:
        raise pytest.skip.Exception(self.reason, allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Before the first file of tests is imported: the stand-in is started, and the modules beside it can be found."""
    if str(module_path.parent) not in sys.path:
        sys.path.append(str(module_path.parent))  # what several files share lies beside them
    if IN_SLICER:
        return None
    boot = _standin()
    reason = boot.requirements.why_missing()
    if reason:
        skipped = _Skipped.from_parent(parent, path=module_path)
        skipped.reason = reason
        return skipped
    boot.boot()
    if str(MODULE.parent) not in sys.path:
        sys.path.append(str(MODULE.parent))
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.slicer)


class Dialogs:
    """What ``slicer.util`` would have asked or told in message boxes, and what a confirmation is answered."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.confirm = True

    def display(self, level: int, text: str, answer: Any, **options: Any) -> Any:
        import qt

        self.shown.append(text)
        buttons = int(options.get("standardButtons") or qt.QMessageBox.Ok)
        yes = (qt.QMessageBox.Ok, qt.QMessageBox.Yes, qt.QMessageBox.Retry)
        no = (qt.QMessageBox.Cancel, qt.QMessageBox.No, qt.QMessageBox.Close)
        return next((button for button in (yes if self.confirm else no) if buttons & int(button)), None)


@pytest.fixture
def dialogs() -> Iterator[Dialogs]:
    """The message boxes of ``slicer.util``: recorded and answered, with ``dialogs.confirm`` by OK or Cancel.

    Slicer itself, while it is tested, answers every confirmation with False (True is not equal to its OK button).
    """
    import slicer

    recorded, original = Dialogs(), slicer.util._messageDisplay
    slicer.util._messageDisplay = recorded.display
    yield recorded
    slicer.util._messageDisplay = original


@pytest.fixture
def scene(tmp_path: Path, dialogs: Dialogs) -> Iterator[Any]:
    """An empty scene with settings of the test's own.

    The test fails when meanwhile an exception was lost in a slot or an observer, or a signal was misspelt.
    """
    import slicer

    if IN_SLICER:
        kept = _take_settings()
        _empty_scene(slicer.mrmlScene)
        yield slicer.mrmlScene
        _empty_scene(slicer.mrmlScene)
        _take_settings()
        _give_settings(kept)
        return
    from slicer_standin import failures, mrml, qt_dialogs, qt_settings

    mrml.clear_scene()
    qt_settings.use_settings_file(tmp_path / "Slicer.ini")
    qt_dialogs.forget()
    failures.take()
    sys.excepthook = failures.note_exception  # the command line, tried in the same process, puts its own there
    packages = {name: module for name, module in sys.modules.items() if name.split(".")[0] in RELOADED}
    yield slicer.mrmlScene
    sys.modules.update(packages)  # a test that reloads the module must not leave two of every class to the next
    slicer.app.processEvents()
    temporary = [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLNode") if _is_temporary(node)]
    mrml.clear_scene()
    lost = failures.take()
    assert not temporary, f"temporary nodes were left in the scene: {temporary}"
    assert not lost, "Slicer would only have printed this:\n" + "\n".join(lost)


def _empty_scene(scene: Any) -> None:
    """``Clear`` keeps singletons, and with them the parameters of the module."""
    import slicer

    scene.Clear()
    for node in slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode"):
        if "MedSegTrainer" in (node.GetSingletonTag(), node.GetAttribute("ModuleName")):
            scene.RemoveNode(node)


def _take_settings() -> dict[str, Any]:
    """The module's settings, which are gone afterwards."""
    import qt

    settings = qt.QSettings()
    taken = {key: settings.value(key) for key in settings.allKeys() if key.startswith("MedSegTrainer/")}
    for key in taken:
        settings.remove(key)
    return taken


def _give_settings(values: dict[str, Any]) -> None:
    import qt

    for key, value in values.items():
        qt.QSettings().setValue(key, value)


def _is_temporary(node: Any) -> bool:
    return (node.GetName() or "").startswith("__")  # as Slicer's own functions name them


@pytest.fixture(scope="session")
def torch_python() -> str:
    """An interpreter with PyTorch, to train with; the test is skipped where there is none."""
    if not PYTHON_WITH_TORCH and importlib.util.find_spec("torch") is None:
        pytest.skip("it trains, and this Python has no PyTorch: name an interpreter that has it in MEDSEG_PYTHON")
    return PYTHON_WITH_TORCH or sys.executable


@pytest.fixture
def no_new_nodes(scene: Any) -> Callable[[], AbstractContextManager[None]]:
    """``with no_new_nodes(): ...`` fails when the scene has other nodes afterwards."""
    import slicer

    def identifiers() -> set[str]:
        return {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")}

    @contextmanager
    def check() -> Iterator[None]:
        before = identifiers()
        yield
        assert identifiers() == before, f"nodes that came or went: {sorted(identifiers() ^ before)}"

    return check


@pytest.fixture(scope="session")
def medsegtrainer() -> Any:
    """``slicer.modules.medsegtrainer``: the module, loaded by its path."""
    import slicer

    if not hasattr(slicer.modules, "medsegtrainer"):
        from slicer_standin import module_loading

        module_loading.load_module(MODULE)
    return slicer.modules.medsegtrainer


@pytest.fixture(params=["en_US", "de_DE"])
def language(request: pytest.FixtureRequest, medsegtrainer: Any) -> Iterator[str]:
    """The module as where Slicer was started in this language; the panel is to be made after it."""
    if IN_SLICER:
        pytest.skip("Slicer runs in the language in which it was started")
    import slicer

    from MedSegTrainer import TRANSLATIONS

    slicer.app.set_language(request.param)
    slicer.app.loadTranslations(str(TRANSLATIONS))
    yield request.param
    slicer.app.set_language("en_US")


@pytest.fixture
def module_widget(scene: Any, medsegtrainer: Any) -> Iterator[Any]:
    """The module's widget as Slicer makes it, entered and shown; each test has a panel of its own."""
    import slicer

    parent = medsegtrainer.createNewWidgetRepresentation()
    parent.resize(PANEL_WIDTH, PANEL_HEIGHT)
    parent.show()
    parent.self().enter()
    slicer.app.processEvents()
    yield parent.self()
    for widget in {parent.self(), slicer.modules.MedSegTrainerWidget}:  # two, where the test has reloaded the module
        widget.exit()
        widget.cleanup()
        slicer.app.moduleManager().disconnect("moduleAboutToBeUnloaded(QString)", widget._onModuleAboutToBeUnloaded)
    parent.hide()
    parent.deleteLater()
    slicer.app.processEvents()


@pytest.fixture
def panel(module_widget: Any) -> Any:
    """The panel of the module's widget."""
    return module_widget.panel


@pytest.fixture
def wait_for() -> Callable[..., None]:
    """Lets the application work until a condition holds; fails after some milliseconds."""
    import slicer

    def wait(condition: Callable[[], Any], milliseconds: int = 5000) -> None:
        end = time.monotonic() + milliseconds / 1000
        while not condition():
            assert time.monotonic() < end, f"waited {milliseconds} ms in vain"
            slicer.app.processEvents()
            time.sleep(0.005)

    return wait


@pytest.fixture
def screenshot(tmp_path: Path) -> Callable[[Any, str], Path]:
    """Writes a picture of a widget into the folder MEDSEG_SCREENSHOTS, or one of the test's own."""
    import slicer

    folder = Path(os.environ.get("MEDSEG_SCREENSHOTS") or tmp_path / "screenshots")

    def take(widget: Any, name: str) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        slicer.app.processEvents()
        needed = widget.heightForWidth(widget.width)  # -1 where the height does not depend on it
        if widget.isWindow() and needed > widget.height:  # Slicer scrolls the panel, so it is never squeezed
            widget.resize(widget.width, needed)
            slicer.app.processEvents()
        path = folder / f"{name}.png"
        assert widget.grab().save(str(path))
        return path

    return take


@pytest.fixture
def render_slice_views(tmp_path: Path) -> Callable[..., Path]:
    """Writes the three slice views side by side: ``render_slice_views(name, volume=None, offsets={"Red": mm})``."""
    if IN_SLICER:
        pytest.skip("the views of the application show it themselves")
    from slicer_standin import requirements, slice_views

    if requirements.why_not_rendering():
        pytest.skip(requirements.why_not_rendering())
    folder = Path(os.environ.get("MEDSEG_SCREENSHOTS") or tmp_path / "screenshots")

    def render(name: str, volume: Any = None, **keywords: Any) -> Path:
        return slice_views.render_slice_views(folder / f"{name}.png", volume, **keywords)

    return render


class SliceViews:
    """The views Red, Green and Yellow: ``show`` is what the user does, ``layers`` what he sees."""

    def __init__(self) -> None:
        import slicer

        self.nodes = {one.GetLayoutName(): one for one in slicer.util.getNodesByClass("vtkMRMLSliceNode")}
        self._composites = {
            one.GetLayoutName(): one for one in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
        }

    def show(self, background: Any, foreground: Any = None, names: tuple[str, ...] = VIEWS) -> None:
        for name in names:
            self._composites[name].SetBackgroundVolumeID(background.GetID() if background else None)
            self._composites[name].SetForegroundVolumeID(foreground.GetID() if foreground else None)

    def layers(self) -> dict[str, tuple[str | None, str | None]]:
        """IDs of background and foreground."""
        return {
            name: (self._composites[name].GetBackgroundVolumeID(), self._composites[name].GetForegroundVolumeID())
            for name in VIEWS
        }


@pytest.fixture
def slice_views(scene: Any) -> Iterator[SliceViews]:
    """Three slice views that show nothing."""
    import slicer

    there = slicer.util.getNodesByClass("vtkMRMLSliceNode")
    if IN_SLICER and not there:
        pytest.skip("the application runs without views")
    made = [] if there else [_add_view(kind, name) for name in VIEWS for kind in ("Slice", "SliceComposite")]
    views = SliceViews()
    views.show(None)
    yield views
    views.show(None)
    for node in made:
        scene.RemoveNode(node)


def _add_view(kind: str, name: str) -> Any:
    """As the layout manager does: a singleton, which outlives the closing of a scene."""
    import slicer

    node = slicer.mrmlScene.CreateNodeByClass(f"vtkMRML{kind}Node")
    node.UnRegister(None)
    node.SetSingletonTag(name)
    node.SetName(name)
    node.SetLayoutName(name)
    if kind == "Slice":
        node.SetMappedInLayout(True)
    return slicer.mrmlScene.AddNode(node)


@pytest.fixture
def make_volume(scene: Any) -> Callable[..., Any]:
    """Makes a scalar volume from an array (k, j, i); ``oblique`` tilts it and gives it unequal spacings (mm)."""
    import numpy as np
    import slicer
    import vtk

    def make(name: str, array: Any, *, oblique: bool = True, transform: Any = None) -> Any:
        volume = slicer.util.addVolumeFromArray(np.ascontiguousarray(array), name=name)
        if oblique:
            angle = np.radians(20)
            turn = np.array(
                [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
            ) @ np.array([[1, 0, 0], [0, np.cos(0.15), -np.sin(0.15)], [0, np.sin(0.15), np.cos(0.15)]])
            matrix = np.eye(4)
            matrix[:3, :3] = turn @ np.diag([0.8, 1.1, 2.5])
            matrix[:3, 3] = (-31.5, 12.25, 7.0)
            ijk_to_ras = vtk.vtkMatrix4x4()
            ijk_to_ras.DeepCopy(matrix.ravel())
            volume.SetIJKToRASMatrix(ijk_to_ras)
        if transform is not None:
            volume.SetAndObserveTransformNodeID(transform.GetID())
        return volume

    return make


@pytest.fixture
def make_segmentation(scene: Any) -> Callable[..., Any]:
    """Makes a segmentation in a volume's geometry from masks (k, j, i) by the names of their segments.

    Segments may overlap; a mask of None, or one without a voxel, gives an empty segment. Colours are (r, g, b) 0-1.
    """
    import numpy as np
    import slicer
    import vtk
    from vtk.util import numpy_support

    def oriented(mask: Any, volume: Any) -> Any:
        image = slicer.vtkOrientedImageData()
        image.SetDimensions(*mask.shape[::-1])
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
        numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())[:] = (mask > 0).ravel()
        matrix = vtk.vtkMatrix4x4()
        volume.GetIJKToRASMatrix(matrix)
        image.SetGeometryFromImageToWorldMatrix(matrix)
        return image

    def make(name: str, volume: Any, masks: dict[str, Any], colors: dict[str, Any] | None = None) -> Any:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        node.CreateDefaultDisplayNodes()
        node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        for segment, mask in masks.items():
            color = (colors or {}).get(segment)
            identifier = node.GetSegmentation().AddEmptySegment("", segment, *([color] if color else []))
            if mask is not None and np.any(mask):
                slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(
                    oriented(np.asarray(mask), volume), node, identifier
                )
        return node

    return make


@pytest.fixture
def make_roi(scene: Any) -> Callable[..., Any]:
    """Makes a ROI around voxels of a volume: ``first`` and ``last`` (i, j, k), with a quarter of a voxel around their
    centres, turned as the volume is, and under its transform."""
    import numpy as np
    import slicer
    import vtk

    def make(volume: Any, first: Any, last: Any, name: str = "box") -> Any:
        matrix = vtk.vtkMatrix4x4()
        volume.GetIJKToRASMatrix(matrix)
        ijk_to_ras = slicer.util.arrayFromVTKMatrix(matrix)
        spacing = np.linalg.norm(ijk_to_ras[:3, :3], axis=0)
        placed = ijk_to_ras @ np.diag([*(1 / spacing), 1])
        placed[:3, 3] = (ijk_to_ras @ [*(np.add(first, last) / 2), 1])[:3]
        roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", name)
        roi.SetCenter(0, 0, 0)
        roi.SetSize(*((np.subtract(last, first) + 0.5) * spacing))
        roi.SetAndObserveObjectToNodeMatrix(slicer.util.vtkMatrixFromArray(placed))
        roi.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
        return roi

    return make


@pytest.fixture
def make_job(tmp_path: Path) -> Callable[..., Any]:
    """Writes the folder of a training into ``tmp_path / "jobs"``, as the library leaves it, and returns its JobFolder.

    ``events``: objects of MedSegTrainerLib.events; ``start``: the model that it started from; ``status``: fields of
    ``status.json``, of this living process.
    """
    import json
    import socket
    from dataclasses import asdict

    from MedSegTrainerLib.config import DataConfig, TrainConfig, TrainerConfig
    from MedSegTrainerLib.config.settings import StartConfig
    from MedSegTrainerLib.events import EventLog
    from MedSegTrainerLib.job import JobFolder
    from MedSegTrainerLib.job_status import Status

    colors = {"liver": (221, 130, 101), "tumor": (144, 238, 144)}

    def make(
        name: str = "liver-tumor", events: Any = (), *, budget: str = "20m", start: str = "", **status: Any
    ) -> Any:
        folder = JobFolder(tmp_path / "jobs" / name)
        data = folder.path / "data"
        settings = {"data": DataConfig(data_dir=str(data)), "start": StartConfig(model=start)}
        folder.create(TrainConfig(**settings, trainer=TrainerConfig(budget=budget)))
        data.mkdir()
        classes = [
            {"value": value, "name": item, "color": color, "terminology": ""}
            for value, (item, color) in enumerate(colors.items(), start=1)
        ]
        (data / "cases.json").write_text(json.dumps({"schema_version": 1, "classes": classes, "cases": []}))
        log = EventLog(folder.events_file)
        for event in events:
            log(event)
        if status:
            now = {"kind": "train", "host": socket.gethostname(), "pid": os.getpid(), "heartbeat": time.time()}
            folder.status_file.write_text(json.dumps(asdict(Status(**{**now, **status}))))
        return folder

    return make


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    """Writes a model package into ``tmp_path``, as the library leaves it, with weights that are none; its folder.

    ``plan``, ``metrics``: entries that differ from those of a model of liver and tumor with one channel.
    """
    import json

    plan: dict[str, Any] = {
        "dims": 3, "spacing": [2.5, 1.1, 0.8], "image_size": None, "channel_names": ["CT"], "flip_axes": [2],
        "classes": [
            {"value": 1, "name": "liver", "color": [221, 130, 101], "terminology": ""},
            {"value": 2, "name": "tumor", "color": [144, 238, 144], "terminology": ""},
        ],
    }  # fmt: skip
    metrics: dict[str, Any] = {"val_dice": 0.87, "val_dice_per_class": {"liver": 0.94, "tumor": 0.8}}

    def make(name: str = "models/liver-tumor", **changes: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        document = {
            "schema_version": 1, "made_by": "MedSegTrainer", "plan": {**plan, **changes.pop("plan", {})},
            "training": {"train_cases": ["a", "b", "c"], "val_cases": ["d"]}, "metrics": metrics, **changes,
        }  # fmt: skip
        (folder / "weights.safetensors").write_bytes(b"none")
        (folder / "model.json").write_text(json.dumps(document), encoding="utf-8")
        return folder

    return make
