"""Whose prediction a training shows: chosen from a list, or the held-out case that does worst."""

import json

import fake_panel as fake
import numpy as np
import pytest
import slicer
import vtk
from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.train.preview_choice import mean_dice, worst_case
from tooltips import tooltip

from MedSegTrainerLib.events import EventLog, Finished, Validated

panel, train, job = fake.panel, fake.train, fake.job
SHAPE = (12, 14, 16)


@pytest.fixture
def cases(panel, make_volume, make_segmentation):
    """Three volumes under a transform, with a liver and, far from its middle, a small tumor."""
    liver, tumor = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    liver[1:5, 1:6, 1:6] = True
    tumor[9:11, 11:13, 13:15] = True
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 40)
    transform.SetMatrixTransformToParent(matrix)
    for number in (1, 2, 3):
        name = f"CT_0{number}"
        volume = make_volume(name, np.zeros(SHAPE, np.int16), transform=transform)
        segmentation = make_segmentation(f"{name}-seg", volume, {"liver": liver, "tumor": tumor})
        panel.given.append(CaseRow(name=name, volumes=(volume,), segmentation=segmentation))
    panel.chosen += [
        fake.SegmentClass(name=name, segments=(name,), color=(9, 9, 9), terminology="", cases=3, ml=1.0, value=value)
        for value, name in enumerate(("liver", "tumor"), start=1)
    ]
    panel.refresh()
    return panel.given


@pytest.fixture
def folder(job, make_job, cases):
    """Of a training that runs, with predictions of CT_02."""
    job.preview._import = import_nothing
    folder = make_job(events=fake.training(), state="running")
    fake.put_preview(folder, "CT_02", 3)
    job.follow(folder)
    job.onTimer()
    return folder


def import_nothing(path, classes, volume, segmentation, *, name):
    if segmentation is None:
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        segmentation.CreateDefaultDisplayNodes()
    return segmentation


def entries(job):
    combo = job.ui.caseCombo
    return [combo.itemText(index) for index in range(combo.count)]


def choose(job, index):
    """As a user does it."""
    job.ui.caseCombo.setCurrentIndex(index)
    job.ui.caseCombo.activated(index)


def in_the_middle(slice_views):
    """Where all slice views are; RAS, mm."""
    places = {
        tuple(round(view.GetSliceToRAS().GetElement(row, 3), 3) for row in range(3))
        for view in slice_views.nodes.values()
    }
    (place,) = places
    return place


def middle_of(row, segment):
    """RAS, mm."""
    content = row.segmentation.GetSegmentation()
    return row.segmentation.GetSegmentCenterRAS(content.GetSegmentIdBySegmentName(segment))


def shown_segmentations(cases):
    return [row.name for row in cases if row.segmentation.GetDisplayNode().GetVisibility()]


def test_the_list_has_the_held_out_cases_with_their_newest_dice(job, folder):
    assert entries(job) == ["CT_02 (0.79)", "CT_03 (0.67)"] and job.ui.caseFrame.visible
    assert job.ui.caseCombo.currentIndex == 0 and not job.ui.awaitedLabel.visible
    assert job.ui.worstButton.text == "Worst (0.67)" and "CT_03" in tooltip(job.ui.worstButton)
    dice = {"CT_02": {"liver": 0.5, "tumor": None}, "CT_03": {"liver": None, "tumor": None}}
    EventLog(folder.events_file)(Validated(epoch=4, minutes=2, mean_dice=0.5, dice={"liver": 0.5}, per_case=dice))
    job.onTimer()
    assert entries(job) == ["CT_02 (0.50)", "CT_03"] and job.ui.worstButton.text == "Worst (0.50)"


@pytest.mark.parametrize("per_case", [{}, {"CT_02": {"liver": 0.5}}])
def test_without_a_choice_there_is_no_list(job, make_job, per_case):
    one = Validated(epoch=1, minutes=2, mean_dice=0.5, dice={"liver": 0.5}, per_case=per_case)
    job.follow(make_job(events=[one], state="running"))
    assert not job.ui.caseFrame.visible and not job.ui.awaitedLabel.visible


def test_another_case_is_asked_for_in_the_folder_and_comes(job, folder, cases, slice_views):
    slice_views.show(cases[1].volumes[0])
    job.onTimer()
    assert job.preview.node() is not None
    choose(job, 1)
    assert folder.preview_requested() == "CT_03"
    assert job.ui.awaitedLabel.visible and "CT_03 comes with the next" in job.ui.awaitedLabel.text
    assert set(slice_views.layers().values()) == {(cases[2].volumes[0].GetID(), None)}
    assert shown_segmentations(cases) == ["CT_03"]
    assert job.ui.caseCombo.currentIndex == 1, "though the newest prediction is of another one"
    fake.put_preview(folder, "CT_03", 14)
    job.onTimer()
    assert not job.ui.awaitedLabel.visible and "CT_03" in job.preview.node().GetName()
    choose(job, 1)
    assert not job.ui.awaitedLabel.visible


def test_a_view_that_shows_it_already_stays_and_so_do_all_where_the_prediction_is_not_wanted(
    panel, job, folder, cases, slice_views
):
    slice_views.show(cases[0].volumes[0])
    slice_views.show(cases[2].volumes[0], names=("Green",))
    before = slice_views.layers()
    choose(job, 1)
    assert slice_views.layers() == before
    panel.parameters.showPreview = False
    choose(job, 0)
    assert slice_views.layers() == before and folder.preview_requested() == "CT_02"


def test_what_was_asked_for_is_known_to_another_panel(job, folder):
    choose(job, 1)
    job.follow(folder)
    assert job.ui.caseCombo.currentIndex == 1 and job.ui.awaitedLabel.visible


@pytest.mark.parametrize("content", ["{", '{"case": "nobody"}'])
def test_a_wrong_request_of_others_is_passed_over(job, folder, content):
    folder.preview_case_file.write_text(content)
    job.follow(folder)
    job.onTimer()
    assert job.ui.caseCombo.currentIndex == 0 and not job.ui.awaitedLabel.visible


def test_the_worst_case_is_shown_where_its_worst_class_should_be(job, folder, cases, slice_views):
    """Its prediction is not there yet."""
    job.ui.worstButton.click()
    assert folder.preview_requested() == "CT_03" and job.ui.caseCombo.currentIndex == 1
    assert set(slice_views.layers().values()) == {(cases[2].volumes[0].GetID(), None)}
    assert shown_segmentations(cases) == ["CT_03"]
    assert in_the_middle(slice_views) == pytest.approx(middle_of(cases[2], "tumor"), abs=1e-3)


def test_and_where_the_prediction_differs_most(job, folder, cases, slice_views):
    fake.put_preview(folder, "CT_03", 14, differs_at=[-3.0, 4.5, 9.25])
    job.onTimer()
    job.ui.worstButton.click()
    assert in_the_middle(slice_views) == (37.0, 4.5, 9.25), "under the transform of the volume"
    assert set(slice_views.layers().values()) == {(cases[2].volumes[0].GetID(), None)}
    assert job.preview.node().GetDisplayNode().GetVisibility() and not job.ui.awaitedLabel.visible


@pytest.mark.parametrize("wrong", [None, [], [1.0, 2.0], "abc", [1, 2, "3"], [1.0, 2.0, 3.0, 4.0], {"x": 1}])
def test_a_place_that_is_none_is_not_jumped_to(job, folder, cases, slice_views, wrong):
    fake.put_preview(folder, "CT_03", 14, differs_at=wrong)
    job.onTimer()
    job.ui.worstButton.click()
    assert job.preview.case == "CT_03" and job.preview.differs_at is None
    assert in_the_middle(slice_views) == pytest.approx(middle_of(cases[2], "tumor"), abs=1e-3)


def test_a_case_that_is_not_in_the_scene_is_told_and_asked_for(panel, job, folder, cases, slice_views):
    before = slice_views.layers()
    panel.given[2] = CaseRow(name="CT_03", images=("/data/CT_03.nii.gz",), label="/data/label.nii.gz")
    job.ui.worstButton.click()
    assert "CT_03 lies in a folder" in job.ui.messageLabel.text
    del panel.given[2]
    job.ui.worstButton.click()
    assert "CT_03 is not among the volumes" in job.ui.messageLabel.text
    assert slice_views.layers() == before and folder.preview_requested() == "CT_03"


def test_of_a_training_that_has_ended_nothing_is_asked(job, folder, cases, slice_views):
    EventLog(folder.events_file)(Finished(message="Trained.", result="r"))
    status = json.loads(folder.status_file.read_text())
    folder.status_file.write_text(json.dumps({**status, "state": "finished"}))
    job.onTimer()
    assert not job.ui.caseCombo.enabled and "has ended" in tooltip(job.ui.caseCombo)
    job.ui.worstButton.click()
    assert set(slice_views.layers().values()) == {(cases[2].volumes[0].GetID(), None)}
    assert folder.preview_requested() is None and not job.ui.awaitedLabel.visible


def test_a_folder_that_cannot_be_written_is_told(job, folder):
    folder.preview_case_file.mkdir()
    choose(job, 1)
    assert "case.json" in job.ui.messageLabel.text and not job.ui.awaitedLabel.visible


def test_the_worst_of_what_is_known():
    assert worst_case({"a": None, "b": 0.5, "c": 0.2}) == "c" and worst_case({"a": None}) == worst_case({}) == ""
    assert mean_dice({"liver": 0.5, "tumor": None, "cyst": 0.25}) == 0.375 and mean_dice({"liver": None}) is None
