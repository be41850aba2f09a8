"""Where drawing helps most: the job is played, its files are real."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import qt
import SimpleITK as sitk
import slicer
from MedSegTrainerUI.data.next_to_label import NextToLabel
from MedSegTrainerUI.data.suggest_run import FINISHED_KEPT
from MedSegTrainerUI.parameter_node import Parameters
from MedSegTrainerUI.scene.result_origin import is_result, origin_of
from MedSegTrainerUI.scene.uncertainty_view import is_map
from tooltips import tooltip

from MedSegTrainerLib import atomic

SHAPE = (6, 8, 10)


class SuggestingEnvironment:
    """In place of a process: ``answer`` writes at once what it leaves; without it the job goes on."""

    ready, problem, device = True, "", "cpu"

    texts = ("the model is unsure about the liver here",)

    def __init__(self):
        self.folder = None

    def start(self, folder):
        self.folder = folder
        atomic.write_json(folder.status_file, {"state": "running", "kind": "suggest", "heartbeat": 9e12, "pid": 1})

    @property
    def config(self):
        return json.loads(self.folder.job_file.read_text())["config"]

    def answer(self, *suggestions):
        """suggestions: case, axis, slice and voxel (i, j, k)."""
        results = Path(self.config["output_dir"])
        entries = []
        for index, (case, axis, number, voxel) in enumerate(suggestions):
            image = sitk.ReadImage(self.config["cases"][case][0])
            values = sitk.GetArrayFromImage(image)
            for kind, made in (("predictions", (values > 240).astype(np.uint8)), ("uncertainty", values / 480)):
                file = results / kind / f"{case}.{'seg.nrrd' if kind == 'predictions' else 'nii.gz'}"
                file.parent.mkdir(parents=True, exist_ok=True)
                content = sitk.GetImageFromArray(made.astype(np.uint8 if kind == "predictions" else np.float32))
                content.CopyInformation(image)
                sitk.WriteImage(content, str(file))
            x, y, z = image.TransformIndexToPhysicalPoint(voxel)
            entries.append({
                "case": case, "images": self.config["cases"][case], "axis": axis, "slice": number,
                "center_ras": [-x, -y, z], "class": "liver", "reason": "unsure", "score": 0.5,
                "text": self.texts[index % len(self.texts)], "prediction": f"predictions/{case}.seg.nrrd",
                "uncertainty": f"uncertainty/{case}.nii.gz",
            })  # fmt: skip
        document = {"schema_version": 1, "ranking": "class-stratified", "seed": 0, "suggestions": entries}
        (results / "suggestions.json").write_text(json.dumps(document))
        self.end({"kind": "finished", "message": "", "result": ""})

    def end(self, event):
        self.folder.events_file.write_text(json.dumps({"seq": 1, "time": 1.0, **event}) + "\n")
        atomic.write_json(self.folder.status_file, {"state": event["kind"], "kind": "suggest", "heartbeat": 9e9})


@pytest.fixture
def environment(panel, make_model):
    environment = panel.environment = SuggestingEnvironment()
    panel.parameters.model = str(make_model())
    return environment


@pytest.fixture(autouse=True)
def home(scene, tmp_path):
    qt.QSettings().setValue("MedSegTrainer/Folder", str(tmp_path / "home"))
    yield
    qt.QSettings().remove("MedSegTrainer/Folder")


@pytest.fixture
def next_(panel, environment):
    opened = []
    panel.data.next.edit = lambda *nodes: opened.append(nodes)
    panel.data.next.opened = opened
    panel.data.ui.nextButton.collapsed = False
    panel.refresh()
    return panel.data.next


@pytest.fixture
def volume(make_volume):
    return make_volume("CT", np.arange(480, dtype=np.int16).reshape(SHAPE))


def told(next_):
    label = next_.ui.suggestMessageLabel
    return label.text if not label.isHidden() else ""


def rows(next_):
    table = next_.ui.suggestionsTable
    return [[table.item(row, column).text() for column in range(3)] for row in range(table.rowCount)]


def ask(panel, next_, *suggestions):
    """Presses the button, and lets the job answer."""
    panel.refresh()
    next_.ui.suggestButton.click()
    while next_.run is not None and next_.run.job.preparing:
        panel.data.onTimer()
    if suggestions:
        panel.environment.answer(*suggestions)
        panel.data.onTimer()
        panel.data.onTimer()


def test_what_is_missing_is_said(panel, next_, make_volume, make_segmentation, environment, volume):
    ui = next_.ui
    panel.refresh()
    assert ui.suggestLabel.text == "liver-tumor looks at the volumes that are not drawn, or in slices only: 1."
    assert ui.suggestButton.enabled
    make_segmentation("CT-seg", volume, {"liver": np.ones(SHAPE)})
    panel.refresh()
    assert "there is none" in ui.suggestLabel.text == tooltip(ui.suggestButton)
    panel.parameters.model = ""
    panel.refresh()
    assert ui.suggestLabel.text.startswith("Train a model first") and not ui.suggestButton.enabled
    environment.ready, environment.problem = False, "There is no PyTorch yet."
    panel.parameters.model = "gone"
    panel.refresh()
    assert ui.suggestLabel.text.startswith("Train a model first")


def test_a_suggestion_that_is_clicked(panel, next_, volume, slice_views, scene):
    scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "T")
    ask(panel, next_, ("CT", "z", 4, (3, 5, 4)), ("CT", "x", 2, (2, 1, 1)))
    assert rows(next_) == [
        ["CT", "axial 4", "the model is unsure about the liver here"],
        ["CT", "sagittal 2", "the model is unsure about the liver here"],
    ]
    next_.ui.suggestionsTable.cellClicked(0, 2)
    (node,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    (shown,) = [one for one in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if is_map(one)]
    assert set(slice_views.layers().values()) == {(volume.GetID(), shown.GetID())}
    assert next_.opened == [(node, volume)] and "only the slices that you have corrected" in told(next_)
    matrix = next(iter(slice_views.nodes.values())).GetSliceToRAS()
    ijk_to_ras = slicer.util.arrayFromVTKMatrix(_matrix(volume))
    assert [matrix.GetElement(row, 3) for row in range(3)] == pytest.approx((ijk_to_ras @ [3, 5, 4, 1])[:3], abs=1e-3)
    origin = origin_of(node)
    assert is_result(node) and origin.case == "CT" and Path(origin.prediction).exists()
    array = slicer.util.arrayFromSegmentBinaryLabelmap(node, node.GetSegmentation().GetNthSegmentID(0), volume)
    assert np.array_equal(array, slicer.util.arrayFromVolume(volume) > 240)
    assert panel.apply.shown.node() is node, "it can be added to the training data in section 3"
    next_.ui.suggestionsTable.cellClicked(1, 0)
    assert len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")) == 1 and len(next_.opened) == 2


def _matrix(volume):
    matrix = slicer.vtkMRMLSliceNode().GetXYToRAS()
    volume.GetIJKToRASMatrix(matrix)
    return matrix


def test_under_a_transform_the_views_go_where_the_slice_is_shown(panel, next_, make_volume, slice_views, scene):
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "T")
    moved = np.array([[0, -1, 0, 9], [1, 0, 0, 3], [0, 0, 1, -4], [0, 0, 0, 1]], float)
    slicer.util.updateTransformMatrixFromArray(transform, moved)
    volume = make_volume("CT", np.arange(480, dtype=np.int16).reshape(SHAPE), transform=transform)
    ask(panel, next_, ("CT", "z", 4, (3, 5, 4)))
    next_.ui.suggestionsTable.cellClicked(0, 0)
    matrix = next(iter(slice_views.nodes.values())).GetSliceToRAS()
    place = moved @ slicer.util.arrayFromVTKMatrix(_matrix(volume)) @ [3, 5, 4, 1]
    assert [matrix.GetElement(row, 3) for row in range(3)] == pytest.approx(place[:3], abs=1e-3)
    along = (moved @ slicer.util.arrayFromVTKMatrix(_matrix(volume)))[:3, 2]
    normals = [slicer.util.arrayFromVTKMatrix(view.GetSliceToRAS())[:3, 2] for view in slice_views.nodes.values()]
    parts = sorted(abs(float(np.dot(one, along / np.linalg.norm(along)))) for one in normals)
    assert parts[-1] == pytest.approx(1, abs=1e-3), "a view is turned to the slices of the volume"


def test_slices_that_are_drawn_are_told_and_the_user_goes_on_in_his_own(
    panel, next_, make_segmentation, volume, environment, slice_views
):
    drawn = np.zeros(SHAPE)
    drawn[1, 1:6, 1:7] = drawn[4, 1:6, 1:7] = 1
    mine = make_segmentation("mine", volume, {"liver": drawn})
    panel.data.ui.addAllButton.click()
    (row,) = panel.data.rows
    panel.data.write([replace(row, region="slices")])
    ask(panel, next_, ("CT", "z", 2, (3, 5, 2)))
    assert environment.config["drawn"] == {"CT": {"axis": "z", "slices": [1, 4]}}
    next_.ui.suggestionsTable.cellClicked(0, 0)
    assert next_.opened == [(mine, volume)] and "The outline is what the model would draw" in told(next_)
    array = slicer.util.arrayFromSegmentBinaryLabelmap(mine, mine.GetSegmentation().GetNthSegmentID(0), volume)
    assert np.array_equal(array, drawn), "nothing of the model comes into what was drawn"
    prediction = panel.apply.shown.node()
    assert prediction is not mine and not prediction.GetDisplayNode().GetVisibility2DFill()
    assert mine.GetDisplayNode().GetVisibility() and prediction.GetDisplayNode().GetVisibility()


def test_a_case_that_is_drawn_everywhere_and_maps_are_not_looked_at(
    panel, next_, make_volume, make_segmentation, volume
):
    make_segmentation("CT-seg", volume, {"liver": np.ones(SHAPE)})
    panel.data.ui.addAllButton.click()
    other = make_volume("CT_2", np.arange(480, dtype=np.int16).reshape(SHAPE) + 1)
    ask(panel, next_, ("CT_2", "z", 2, (3, 5, 2)))
    assert list(panel.environment.config["cases"]) == ["CT_2"]
    next_.ui.suggestionsTable.cellClicked(0, 0)
    assert next_.opened[0][1] is other
    panel.refresh()
    assert next_.ui.suggestLabel.text == "liver-tumor looks at the volumes that are not drawn, or in slices only: 1."


def test_a_failure_is_one_message(panel, next_, volume, environment):
    ask(panel, next_)
    assert next_.working and not next_.ui.suggestStopButton.isHidden() and not next_.ui.suggestButton.enabled
    environment.end({"kind": "failed", "message": "There is not enough memory.", "error": "X", "exit_code": 1})
    panel.data.onTimer()
    assert told(next_) == "There is not enough memory." and not next_.working and rows(next_) == []


def test_what_no_job_wrote_is_told(panel, next_, volume, environment):
    ask(panel, next_)
    results = Path(environment.config["output_dir"])
    results.mkdir()
    (results / "suggestions.json").write_text('{"suggestions": [{"case": "CT"}]}')
    environment.end({"kind": "finished", "message": "", "result": ""})
    panel.data.onTimer()
    assert "ended without a word" in told(next_)


def test_stop_while_volumes_are_exported(panel, next_, volume):
    panel.refresh()
    next_.ui.suggestButton.click()
    assert next_.run.job.preparing
    next_.ui.suggestStopButton.click()
    assert not next_.working and panel.jobs.all() == []


def test_a_volume_that_is_removed_meanwhile(panel, next_, volume, scene):
    ask(panel, next_, ("CT", "z", 4, (3, 5, 4)))
    scene.RemoveNode(volume)
    next_.ui.suggestionsTable.cellClicked(0, 0)
    assert "The volume CT is not in the scene" in told(next_) and next_.opened == []


def test_suggestions_are_there_again_after_slicer_was_closed(panel, next_, volume, make_volume, scene):
    ask(panel, next_, ("CT", "z", 4, (3, 5, 4)))
    panel.data.cleanup()
    scene.Clear()
    again_volume = make_volume("renamed", np.arange(480, dtype=np.int16).reshape(SHAPE))
    opened = []
    again = NextToLabel(panel.data, lambda *nodes: opened.append(nodes))
    panel.data.parameters = Parameters(scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))
    panel.data.ui.nextButton.collapsed = False
    again.refresh()
    assert rows(again) == [["CT", "axial 4", "the model is unsure about the liver here"]] and not again.working
    again.ui.suggestionsTable.cellClicked(0, 0)
    assert opened[0][1] is again_volume


def test_old_jobs_go_but_those_whose_predictions_are_in_the_scene(panel, next_, volume):
    ask(panel, next_, ("CT", "z", 4, (3, 5, 4)))
    next_.ui.suggestionsTable.cellClicked(0, 0)
    kept = next_.run.folder.path
    for _again in range(FINISHED_KEPT + 2):
        ask(panel, next_, ("CT", "z", 4, (3, 5, 4)))
    assert kept.exists() and len(panel.jobs.all()) == FINISHED_KEPT + 2
    shutil.rmtree(kept)


def test_pictures(panel, next_, make_volume, screenshot, environment):
    for number in (4, 5):
        make_volume(f"CT_0{number}", np.arange(480, dtype=np.int16).reshape(SHAPE) + number)
    panel.data.uiWidget.setFixedWidth(440)
    panel.data.uiWidget.show()
    environment.texts = ("the model is unsure about the tumor here", "unlike all cases so far", environment.texts[0])
    ask(panel, next_, ("CT_04", "z", 4, (3, 5, 4)), ("CT_05", "z", 2, (2, 1, 2)), ("CT_05", "z", 5, (2, 1, 5)))
    next_.ui.suggestionsTable.selectRow(0)
    next_.ui.suggestionsTable.cellClicked(0, 0)
    slicer.app.processEvents()
    panel.data.uiWidget.adjustSize()
    screenshot(panel.data.ui.nextButton, "panel-next")
    panel.data.uiWidget.hide()
