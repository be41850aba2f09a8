"""A result of a volume from the DICOM database goes back into it, as a segmentation that refers to its slices."""

import shutil

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import slicer
from fake_apply import ApplyPanel
from MedSegTrainerUI.apply.dicom_series import dicom_database, load_series
from MedSegTrainerUI.scene.import_segments import import_segments
from MedSegTrainerUI.scene.prediction_copy import mark_result
from MedSegTrainerUI.scene.result_origin import Origin
from MedSegTrainerUI.scene.volumes import array_image, volume_geometry, write_image
from tooltips import tooltip

from MedSegTrainerLib.classes import LabelClass

LIVER = "c~SCT^123037004^Anatomical Structure~SCT^10200004^Liver~^^~a~^^~^^"
CLASSES = [
    LabelClass(value=1, name="liver", color=(221, 130, 101), terminology=LIVER),
    LabelClass(value=2, name="cyst", color=(10, 20, 230)),
]
SHAPE = (6, 8, 10)
LABELS = np.zeros(SHAPE, np.uint8)
LABELS[1:5, 2:7, 3:9], LABELS[2:4, 3:5, 4:6] = 1, 2


@pytest.fixture
def panel(scene, medsegtrainer, tmp_path):
    made = ApplyPanel(tmp_path / "jobs", medsegtrainer)
    made.open()
    yield made
    made.section.cleanup()


@pytest.fixture
def series(tmp_path, write_series):
    """A tilted CT in the database."""
    from slicer_standin.dicom_database import open_database

    image = sitk.GetImageFromArray(LABELS.astype(np.int16) * 100 - 50)
    image.SetSpacing((0.8, 1.1, 2.5))
    image.SetOrigin((-31.5, 12.25, 7.0))
    image.SetDirection((0.98, -0.199, 0.0, 0.199, 0.98, 0.0, 0.0, 0.0, 1.0))
    folder = write_series(image, tmp_path / "dicom", uid="1.9.1", tags={"0010|0010": "Doe^Ann", "0020|000d": "1.9"})
    open_database(sorted(folder.iterdir()))
    yield folder
    slicer.dicomDatabase = None


@pytest.fixture
def result(series, panel, tmp_path):
    """What a model made of its volume, shown in section 3."""
    return add_result(panel, load_series("1.9.1"), tmp_path)


def add_result(panel, volume, folder):
    path = folder / "results" / "CT.seg.nrrd"
    write_image(array_image(LABELS), volume_geometry(volume).ijk_to_ras, path)
    node = import_segments(path, CLASSES, volume, name="CT segmentation")
    mark_result(node, Origin(model="/models/abdomen/model", job="a", case="CT", prediction=str(path)), CLASSES, ())
    panel.section.shown.add(node)
    panel.refresh()
    return node


def save(panel, wait_for):
    panel.section.ui.dicomButton.click()
    wait_for(lambda: panel.section.onTimer() or panel.section.dicom._pieces is None, 180_000)


def saved():
    """The one segmentation in the database."""
    series = [uid for uid in dicom_database().seriesForStudy("1.9") if uid != "1.9.1"]
    (file,) = dicom_database().filesForSeries(series[0]) if series else [None]
    assert len(series) == 1
    return pydicom.dcmread(file)


def told(panel):
    return panel.section.ui.messageLabel.text


def test_it_is_in_the_database_and_lies_on_its_slices(panel, result, wait_for):
    assert panel.section.ui.dicomButton.enabled, tooltip(panel.section.ui.dicomButton)
    save(panel, wait_for)
    assert told(panel) == "CT segmentation is in Slicer's DICOM database now, as a segmentation of its series."
    dataset = saved()
    assert (dataset.Modality, str(dataset.PatientName), dataset.StudyInstanceUID) == ("SEG", "Doe^Ann", "1.9")
    liver, cyst = dataset.SegmentSequence
    assert (liver.SegmentLabel, cyst.SegmentLabel) == ("liver", "cyst")
    assert liver.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Liver"
    assert (liver.SegmentAlgorithmType, liver.SegmentAlgorithmName) == ("AUTOMATIC", "abdomen")
    for frame, pixels in zip(dataset.PerFrameFunctionalGroupsSequence, dataset.pixel_array, strict=True):
        instance = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        number = frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        assert np.array_equal(pixels, LABELS[int(instance.split(".")[-1]) - 1] == number)


def test_what_somebody_corrected_is_not_called_the_models_alone(panel, result, wait_for):
    volume = result.GetNodeReference(result.GetReferenceImageGeometryReferenceRole())
    segment = result.GetSegmentation().GetNthSegmentID(1)
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(result, segment, volume).copy()
    mask[2] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, result, segment, volume)
    save(panel, wait_for)
    dataset = saved()
    assert {one.SegmentAlgorithmType for one in dataset.SegmentSequence} == {"SEMIAUTOMATIC"}
    assert dataset.pixel_array.sum() == (LABELS > 0).sum() - (LABELS[2] == 2).sum()


def test_nothing_is_left_beside_the_database(panel, result, wait_for):
    panel.section.ui.dicomButton.click()
    assert not panel.section.ui.dicomButton.enabled and tooltip(panel.section.ui.dicomButton) == "It is being saved."
    wait_for(lambda: panel.section.onTimer() or bool(panel.commands) or panel.section.dicom._pieces is None, 180_000)
    folder = type(panel.jobs.root)(panel.commands[0][1]).parent
    assert (folder / "series").is_dir()
    wait_for(lambda: panel.section.onTimer() or panel.section.dicom._pieces is None, 180_000)
    assert not folder.exists() and saved()


def test_a_panel_that_is_closed_meanwhile_leaves_nothing(panel, result, wait_for):
    panel.section.ui.dicomButton.click()
    wait_for(lambda: panel.section.onTimer() or bool(panel.commands), 180_000)
    folder = type(panel.jobs.root)(panel.commands[0][1]).parent
    panel.section.dicom.cleanup()
    assert not folder.exists()
    assert dicom_database().seriesForStudy("1.9") == ("1.9.1",)


def test_why_the_library_refused_is_said(panel, result, series, wait_for):
    """As of a series whose tags somebody took out."""
    for file in series.iterdir():
        dataset = pydicom.dcmread(file)
        del dataset.FrameOfReferenceUID
        dataset.save_as(file)
    save(panel, wait_for)
    assert told(panel).startswith("The result was not saved as DICOM: ")
    assert "Frame of Reference UID (0020,0052)" in told(panel)
    assert dicom_database().seriesForStudy("1.9") == ("1.9.1",)
    assert panel.section.ui.dicomButton.enabled


def test_files_that_are_gone_are_told(panel, result, series, wait_for):
    shutil.rmtree(series)
    save(panel, wait_for)
    assert "not on the disk. Import the series again." in told(panel)
    dicom_database()._files.popitem()
    save(panel, wait_for)
    assert "1 of the 6 slices of" in told(panel) and "are not in the DICOM database any more" in told(panel)


class TestNotNow:
    def test_a_volume_that_came_from_elsewhere(self, panel, make_volume, tmp_path):
        volume = make_volume("CT", LABELS.astype(np.int16))
        add_result(panel, volume, tmp_path)
        assert not panel.section.ui.dicomButton.enabled
        assert tooltip(panel.section.ui.dicomButton).startswith("CT was not loaded from Slicer's DICOM database")

    def test_a_volume_that_is_gone(self, panel, result):
        volume = result.GetNodeReference(result.GetReferenceImageGeometryReferenceRole())
        slicer.mrmlScene.RemoveNode(volume)
        panel.refresh()
        assert "is not in the scene any more" in tooltip(panel.section.ui.dicomButton)

    def test_without_an_environment(self, panel, result):
        panel.problem = "There is no PyTorch yet."
        panel.refresh()
        assert tooltip(panel.section.ui.dicomButton) == "There is no PyTorch yet."

    def test_a_database_that_is_closed(self, panel, result):
        slicer.dicomDatabase.closeDatabase()
        panel.refresh()
        assert not panel.section.ui.dicomButton.enabled


def test_a_scene_that_is_closed_meanwhile(panel, result, wait_for):
    panel.section.ui.dicomButton.click()
    wait_for(lambda: panel.section.onTimer() or bool(panel.commands), 180_000)
    folder = type(panel.jobs.root)(panel.commands[0][1]).parent
    panel.section.setParameterNode(None)
    assert not folder.exists() and dicom_database().seriesForStudy("1.9") == ("1.9.1",)
