"""The module MedSegTrainer of 3D Slicer: what Slicer calls. The work is done by the packages beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import MedSegTrainerUI.library_path  # noqa: F401  makes MedSegTrainerLib importable
import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

if TYPE_CHECKING:
    from MedSegTrainerUI.jobs.job_monitor import JobWatch
    from MedSegTrainerUI.panel import Panel
    from MedSegTrainerUI.parameter_node import Parameters
    from MedSegTrainerUI.slicer_types import Node, SegmentationNode, VolumeNode, Widget
    from MedSegTrainerUI.train.job_view import JobSection

MANUAL = "https://github.com/MedSegTrainer/SlicerMedSegTrainer/blob/main/Resources/docs/README.md"
TRANSLATIONS = Path(__file__).resolve().parent / "Resources" / "Translations"


class MedSegTrainer(ScriptedLoadableModule):
    def __init__(self, parent: Widget) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        slicer.app.loadTranslations(str(TRANSLATIONS))  # Slicer itself reads only those in its own folder
        self.parent.title = _("MedSegTrainer")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = []
        self.parent.contributors = ["MedSegTrainer contributors"]
        self.parent.helpText = _(
            "Trains a segmentation network on volumes and their segmentations in the scene, and segments further "
            "volumes with it. <ol>"
            "<li>Training data: add the volumes with their segmentations.</li>"
            "<li>Train: choose how long, and start. The training runs beside Slicer, which can even be closed.</li>"
            "<li>Apply: choose a model and a volume.</li></ol>"
            "PyTorch lives in an environment of its own, which the section Environment sets up; the Python of Slicer "
            "is not changed. Results of a model are no diagnosis: look at every segmentation that it makes."
        )
        self.parent.helpText += _('<p>The <a href="{address}">manual</a> has a tutorial and all settings.</p>').format(
            address=MANUAL
        )
        self.parent.acknowledgementText = _(
            "Built on 3D Slicer, PyTorch, MONAI and SimpleITK. Labelled volumes for trying it come from the Medical "
            "Segmentation Decathlon (Antonelli et al., Nature Communications 2022, CC BY-SA 4.0)."
        )
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData() -> None:
    from MedSegTrainerUI.samples.sample_data import register_sample_data

    register_sample_data()


class MedSegTrainerWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    panel: Panel

    def __init__(self, parent: Widget = None) -> None:
        self.logic: MedSegTrainerLogic | None = None
        VTKObservationMixin.__init__(self)  # before the other: without a parent, that one calls setup
        ScriptedLoadableModuleWidget.__init__(self, parent)

    def setup(self) -> None:
        from MedSegTrainerUI.panel import Panel

        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/MedSegTrainer.ui"))
        self.layout.addWidget(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = MedSegTrainerLogic()
        self.panel = Panel(uiWidget, self.logic)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartImportEvent, self.onSceneStartImport)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndImport)
        slicer.app.connect("aboutToQuit()", self.onAboutToQuit)
        self.initializeParameterNode()

    def enter(self) -> None:
        self.initializeParameterNode()
        self.panel.enter()

    def exit(self) -> None:
        self.panel.exit()

    def cleanup(self) -> None:
        slicer.app.disconnect("aboutToQuit()", self.onAboutToQuit)
        self.removeObservers()
        if hasattr(self, "panel"):  # not where setting up has failed
            self.panel.cleanup()

    def onAboutToQuit(self) -> None:
        self.panel.cleanup()

    def onReload(self) -> None:
        """Forgets the packages beside the module too, so that they are read anew."""
        import sys

        for name in list(sys.modules):
            if name.split(".")[0] in ("MedSegTrainerUI", "MedSegTrainerLib"):
                del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStartClose(self, caller: Node, event: str) -> None:
        self.panel.setParameterNode(None)

    def onSceneEndClose(self, caller: Node, event: str) -> None:
        if self.panel.entered:
            self.initializeParameterNode()

    def onSceneStartImport(self, caller: Node, event: str) -> None:
        self.panel.keepParameters()

    def onSceneEndImport(self, caller: Node, event: str) -> None:
        message = self.panel.giveParametersBack()
        if self.panel.entered:
            self.initializeParameterNode()
        if message:
            self.panel.data.tell(message, "note")

    def initializeParameterNode(self) -> None:
        if self.logic is not None:
            self.panel.setParameterNode(self.logic.getParameterNode())


class MedSegTrainerLogic(ScriptedLoadableModuleLogic):
    def getParameterNode(self) -> Parameters:
        from MedSegTrainerUI.parameter_node import Parameters

        return Parameters(super().getParameterNode())


class MedSegTrainerTest(ScriptedLoadableModuleTest):
    """Plays the work of a user: what needs PyTorch only where the environment is ready."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        for name in sorted(vars(MedSegTrainerTest)):
            if name.startswith("test_"):
                self.setUp()
                getattr(self, name)()

    def open_panel(self) -> Panel:
        """The panel of the module, also where there is no main window to show it in."""
        widget = slicer.util.getModuleWidget("MedSegTrainer")
        widget.enter()
        return widget.panel

    def parameters(self, panel: Panel) -> Parameters:
        from MedSegTrainerUI.panel_view import open_scene

        return open_scene(panel.parameters)

    def test_sample_data(self) -> None:
        self.delayDisplay("Sample data")
        registerSampleData()
        self.assertIn("MedSegTrainer", slicer.modules.sampleDataSources)

    def test_data_section(self) -> None:
        """Rows and classes of the scene, the user's decisions about them, and that closing the scene forgets them."""
        from MedSegTrainerUI.samples.sample_data import load_phantoms

        self.delayDisplay("Training data from the scene")
        volumes = load_phantoms()
        panel = self.open_panel()
        self.assertNotEqual(panel.data.problem(), "")
        panel.data.onAddAll()
        self.assertEqual(panel.data.problem(), "")
        self.assertEqual([row.volumes[0] for row in panel.rows()], volumes[:3])
        self.assertEqual([item.name for item in panel.classes()], ["liver", "tumor", "spleen", "kidneys"])
        self.parameters(panel).classNames = '{"tumor": "liver", "spleen": ""}'
        self.assertEqual([item.name for item in panel.classes()], ["liver", "kidneys"])
        slicer.mrmlScene.RemoveNode(volumes[0])
        self.assertEqual(len(panel.rows()), 2)
        slicer.mrmlScene.Clear()
        self.assertEqual(panel.rows(), [])

    def test_round_trip(self) -> None:
        """Segments that are written as label maps and read back are the same, voxel by voxel."""
        import json
        import tempfile
        from pathlib import Path

        import numpy as np
        from MedSegTrainerUI.samples.sample_data import load_phantoms
        from MedSegTrainerUI.scene.export_cases import export_cases
        from MedSegTrainerUI.scene.import_segments import import_segments

        self.delayDisplay("Export and import")
        load_phantoms()
        panel = self.open_panel()
        panel.data.onAddAll()
        classes = panel.classes()
        before = slicer.mrmlScene.GetNumberOfNodes()
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "data"
            export_cases(panel.rows(), classes, data)
            self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), before)
            cases = json.loads((data / "cases.json").read_text(encoding="utf-8"))["cases"]
            labels = {case["name"]: data / case["label"] for case in cases}
            for row in panel.rows():
                volume = row.volumes[0]
                again = import_segments(labels[row.name], classes, volume, name="again")
                for item in classes:
                    original, read = (
                        slicer.util.arrayFromSegmentBinaryLabelmap(
                            node, node.GetSegmentation().GetSegmentIdBySegmentName(item.name), volume
                        )
                        for node in (row.segmentation, again)
                    )
                    self.assertTrue(original.any() and np.array_equal(original, read))

    def test_training(self) -> None:
        """Where the environment is ready: trains for a moment in another process, applies the model, and compares."""
        import json

        from MedSegTrainerUI.samples.sample_data import load_phantoms

        panel = self.open_panel()
        if not panel.environment.ready:
            self.delayDisplay("Training is not tested: " + panel.environment.problem)
            return
        volumes = load_phantoms()
        panel.data.onAddAll()
        self.parameters(panel).configuration = json.dumps(
            {
                "network.type": "UNet3D",
                "network.base_channels": 4,
                "data.patch_size": [16, 32, 32],
                "data.batch_size": 1,
                "data.samples_per_volume": 1,
                "trainer.epochs": 2000,
                "trainer.validation_interval": 2,
                "optimizer.learning_rate": 0.01,
            }
        )
        watch = self.train_for_a_moment(panel)
        self.assertEqual(self.parameters(panel).model, str(watch.folder.path))
        first, fourth = self.apply_model(panel, [volumes[0], volumes[3]])
        for node in (first, fourth):
            names = [node.GetSegmentation().GetNthSegment(index).GetName() for index in range(4)]
            self.assertEqual(names, ["liver", "tumor", "spleen", "kidneys"])
        self.compare(panel, first, panel.rows()[0].segmentation, volumes[0])
        self.delayDisplay("The scene is closed; the training is still listed")
        slicer.mrmlScene.Clear()
        self.assertEqual(panel.rows(), [])
        self.assertIn(watch.name, [folder.path.name for folder in panel.jobs.all()])
        panel.train.job.watched = None
        for folder in panel.jobs.all():
            if folder.path.name not in self.jobs_before:
                panel.jobs.remove(folder)

    def train_for_a_moment(self, panel: Panel) -> JobWatch:
        """Starts a training, follows its curves and its prediction, and stops it; what watches the job."""
        self.jobs_before = [folder.path.name for folder in panel.jobs.all()]
        self.delayDisplay("A short training")
        panel.train.onStart()
        job = panel.train.job
        watch = job.watched
        if watch is None:
            raise AssertionError(panel.train.ui.messageLabel.text)
        self.wait_for(lambda: not watch.working or (len(watch.validations) > 1 and job.preview.case))
        self.assertTrue(watch.working, job.ui.endingLabel.text)
        self.see_prediction(job)
        self.assertEqual(job.charts.nodes["losses"].GetNumberOfRows(), len(watch.epochs))
        self.assertFalse(panel.train.ui.startButton.enabled)
        self.delayDisplay("It is stopped, and the best model kept")
        job.onStopKeep()
        self.wait_for(lambda: not watch.working)
        self.assertTrue(watch.folder.model.exists(), job.ui.endingLabel.text)
        return watch

    def see_prediction(self, job: JobSection) -> None:
        """Where there are slice views: a click on the check box shows the prediction over its volume."""
        if slicer.app.layoutManager() is None:
            return
        if not job.ui.previewCheckBox.checked:
            job.ui.previewCheckBox.click()
        self.wait_for(lambda: job.preview.node() is not None)
        self.assertIn("Prediction of", job.preview.node().GetName())
        self.assertTrue(job.preview.node().GetDisplayNode().GetVisibility())

    def apply_model(self, panel: Panel, volumes: list[VolumeNode]) -> list[SegmentationNode]:
        """Applies the chosen model; the new segmentations, in the order of the volumes."""
        import qt

        self.delayDisplay("Its model is applied to two volumes")
        section = panel.apply
        for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
            section.ui.volumesSelector.setCheckState(node, qt.Qt.Checked if node in volumes else qt.Qt.Unchecked)
        section.onVolumes()
        before = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        section.onApply()
        self.assertIsNotNone(section.run, section.ui.messageLabel.text)
        self.wait_for(lambda: section.run is None)
        new = [node for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode") if node not in before]
        self.assertEqual(len(new), len(volumes), section.ui.messageLabel.text)
        role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
        return sorted(new, key=lambda node: volumes.index(node.GetNodeReference(role)))

    def compare(
        self, panel: Panel, prediction: SegmentationNode, reference: SegmentationNode, volume: VolumeNode
    ) -> None:
        self.delayDisplay("The result is compared with what was drawn")
        section = panel.evaluate
        section.ui.predictionSelector.setCurrentNode(prediction)
        section.ui.referenceSelector.setCurrentNode(reference)
        section.ui.volumeSelector.setCurrentNode(volume)
        section.onEvaluate()
        self.assertIsNotNone(section.run, section.ui.messageLabel.text)
        self.wait_for(lambda: section.run is None)
        self.assertTrue(section.ui.resultsTable.rowCount >= 4, section.ui.messageLabel.text)

    def wait_for(self, condition: Callable[[], object], seconds: float = 900) -> None:
        """Lets the application work until the condition holds."""
        import time

        end = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), end, "This takes too long.")
            slicer.app.processEvents()
            time.sleep(0.01)
