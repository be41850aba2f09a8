"""A folder, and series of the DICOM database, applied from section 3; the process is played, its files are real."""

import shutil
import sys
import time

import numpy as np
import pytest
import qt
import SimpleITK as sitk
import slicer
from fake_apply import ApplyPanel
from MedSegTrainerUI.apply import folder_run
from MedSegTrainerUI.parameter_node import Parameters
from MedSegTrainerUI.scene.result_origin import origin_of
from tooltips import tooltip

from MedSegTrainerLib.events import EventLog, Failed, Progress, Stopped
from MedSegTrainerLib.results_file import CaseResult, ClassResult, write_results

GRID = {"spacing": (0.8, 1.1, 2.5), "origin": (-31.5, 12.25, 7.0)}
TILT = (0.98, -0.199, 0.0, 0.199, 0.98, 0.0, 0.0, 0.0, 1.0)
DICE = {"p1": 0.91, "p2": 0.42, "p3": 0.74}


def image(array):
    made = sitk.GetImageFromArray(array)
    made.SetSpacing(GRID["spacing"])
    made.SetOrigin(GRID["origin"])
    made.SetDirection(TILT)
    return made


def pixels(number=0):
    array = np.zeros((6, 8, 10), np.int16) + number
    array[1:5, 2:7, 3:9] = 150
    array[2:4, 3:5, 4:6] = 250
    return array


@pytest.fixture
def folder(tmp_path):
    """Three volumes, and one that is none."""
    (tmp_path / "images").mkdir()
    for number, name in enumerate(DICE):
        sitk.WriteImage(image(pixels(number)), str(tmp_path / "images" / f"{name}.nii.gz"))
    (tmp_path / "images" / "p4.nii.gz").write_bytes(b"no image")
    return tmp_path / "images"


@pytest.fixture
def panel(scene, medsegtrainer, tmp_path):
    made = ApplyPanel(tmp_path / "jobs", medsegtrainer)
    yield made
    made.section.cleanup()


@pytest.fixture
def section(panel, make_model):
    section = panel.open()
    section.parameters.model = str(make_model())
    section.ui.manyButton.collapsed = False
    section.refresh()
    return section


@pytest.fixture
def many(section):
    return section.many


def told(many):
    label = many.ui.manyMessageLabel
    return label.text if not label.isHidden() else ""


def table(widget):
    return [[widget.item(row, column).text() for column in range(3)] for row in range(widget.rowCount)]


def case(name, folder, suffix="seg.nrrd"):
    dice = DICE[name]
    classes = [ClassResult(name=one, likely_dice=dice) for one in ("liver", "tumor")]
    return CaseResult(
        name=name, label_map=f"{name}.{suffix}", image=str(folder / f"{name}.nii.gz"), likely_dice=dice,
        low=dice - 0.05, high=dice + 0.05, classes=classes,
    )  # fmt: skip


def play(panel, names, *, suffix="seg.nrrd"):
    """What the process leaves: label maps, a map of the uncertainty, and what is said of them; p4 cannot be read."""
    config = panel.folder.read_document()["config"]
    source, output = folder_run.Path(config["inputs"][0]), folder_run.Path(config["output_dir"])
    (output / "uncertainty").mkdir(parents=True, exist_ok=True)
    cases = []
    for name in names:
        values = sitk.GetArrayFromImage(sitk.ReadImage(str(source / f"{name}.nii.gz")))
        labels = (values > 100).astype(np.uint8) + (values > 200)
        sitk.WriteImage(image(labels), str(output / f"{name}.{suffix}"), useCompression=True)
        unsure = (labels > 0).astype(np.float32) / 2
        sitk.WriteImage(image(unsure), str(output / "uncertainty" / f"{name}_entropy.nrrd"))
        cases.append(case(name, source, suffix))
    if len(names) == len(DICE):
        cases.append(CaseResult(name="p4", image=str(source / "p4.nii.gz"), error="p4.nii.gz cannot be read."))
    write_results(output, cases)
    return output


def finish(many, panel, event=None):
    panel.end(event)
    for _again in range(4):
        many._section.onTimer()


def start(section, folder):
    section.ui.manyButton.collapsed = False
    section.many.ui.folderPathLineEdit.setCurrentPath(str(folder))
    section.many.ui.applyAllButton.click()


class TestFolder:
    def test_what_is_missing_is_said(self, section, many, folder, panel):
        assert many.ui.manyReasonLabel.text == "Choose a folder with images." == tooltip(many.ui.applyAllButton)
        many.ui.folderPathLineEdit.setCurrentPath(str(folder / "none"))
        assert "is no folder. Choose another one." in many.ui.manyReasonLabel.text
        many.ui.folderPathLineEdit.setCurrentPath(str(folder))
        assert many.ui.applyAllButton.enabled and many.ui.manyReasonLabel.isHidden()
        many.ui.folderPathLineEdit.setCurrentPath("")
        assert section.parameters.manyFolder == "" and not many.ui.applyAllButton.enabled
        panel.ready, panel.problem = False, "There is no PyTorch yet. Press Set up in section 5."
        section.refresh()
        assert many.ui.manyReasonLabel.text == panel.problem

    def test_results_lie_beside_the_images_the_worst_first(self, section, many, folder, panel):
        section.ui.holesCheckBox.checked = True
        section.ui.uncertaintyCheckBox.checked = True
        start(section, folder)
        config = panel.folder.read_document()["config"]
        assert config["inputs"] == [str(folder)] and config["output_dir"] == str(folder / "segmentations")
        assert config["fill_holes"] and config["uncertainty"] and config["output_format"] == "seg.nrrd"
        assert many.working and not many.ui.stopButton.isHidden() and not section.ui.applyButton.enabled
        assert "many images" in tooltip(section.ui.applyButton)
        EventLog(panel.folder.events_file)(Progress(done=500, total=2000, eta_seconds=18.0))
        play(panel, ["p1"])
        panel.status(state="running", progress=0.25, eta_seconds=18.0)
        section.onTimer()
        assert table(many.ui.casesTable) == [["p1", "0.91", "probably good"]]
        assert many.ui.manyProgressBar.value == 250 and many.ui.manyProgressBar.format == "18s left"
        play(panel, list(DICE))
        finish(many, panel, Failed(message="1 of 4 images were not segmented", error="DataError", exit_code=1))
        assert table(many.ui.casesTable) == [
            ["p4", "", "p4.nii.gz cannot be read."],
            ["p2", "0.42", "look at this one: probably below 0.5"],
            ["p3", "0.74", "perhaps below 0.7"],
            ["p1", "0.91", "probably good"],
        ]
        assert told(many).startswith("3 segmented, 1 not: the table says why.")
        assert not many.working and section.ui.applyButton.enabled is False, "no volume is chosen above"
        assert section.ui.reasonLabel.text == "Choose one or several volumes."

    def test_a_click_loads_image_and_result(self, section, many, folder, panel, slice_views):
        start(section, folder)
        output = play(panel, list(DICE))
        finish(many, panel)
        many.ui.casesTable.cellClicked(1, 0)
        (node,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        volume = node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
        assert volume.GetName() == "p2" and set(slice_views.layers().values()) == {(volume.GetID(), None)}
        assert node.GetName() == "p2 segmentation" and section.shown.node() is node
        origin = origin_of(node)
        assert origin.case == "p2" and origin.prediction == str(output / "p2.seg.nrrd")
        array = slicer.util.arrayFromSegmentBinaryLabelmap(node, node.GetSegmentation().GetNthSegmentID(1), volume)
        assert np.array_equal(array, pixels(1) > 200)
        assert [section.ui.resultsTable.item(0, column).text() for column in range(3)] == [
            "p2 segmentation", "0.42", "look at this one: probably below 0.5"
        ]  # fmt: skip
        many.ui.casesTable.cellClicked(1, 0)
        assert len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")) == 1, "it is there already"
        many.ui.casesTable.cellClicked(0, 0)
        assert told(many) == "p4.nii.gz cannot be read."

    def test_label_maps_as_nifti(self, section, many, folder, panel, tmp_path):
        many.ui.outputPathLineEdit.setCurrentPath(str(tmp_path / "out"))
        many.ui.formatSelector.setCurrentIndex(1)
        many.ui.formatSelector.activated(1)
        start(section, folder)
        assert panel.folder.read_document()["config"]["output_format"] == "nii.gz"
        assert play(panel, list(DICE), suffix="nii.gz") == tmp_path / "out"
        finish(many, panel)
        many.ui.casesTable.cellClicked(3, 0)
        (node,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        volume = node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
        array = slicer.util.arrayFromSegmentBinaryLabelmap(node, node.GetSegmentation().GetNthSegmentID(0), volume)
        assert volume.GetName() == "p1" and np.array_equal(array, (pixels() > 100) & (pixels() < 200))
        assert folder_run.Path(origin_of(node).prediction).name == "p1.seg.nrrd", "a copy that can be compared"

    def test_dicom_segmentations_are_shown_by_what_lies_beside_them(self, section, many, folder, panel):
        many.ui.formatSelector.setCurrentIndex(2)
        many.ui.formatSelector.activated(2)
        start(section, folder)
        config = panel.folder.read_document()["config"]
        assert config["output_format"] == "dicom-seg" and config["nrrd_beside"]
        output = play(panel, list(DICE))
        (output / "nrrd").mkdir()
        for name in DICE:
            (output / f"{name}.seg.nrrd").rename(output / "nrrd" / f"{name}.seg.nrrd")
        write_results(output, [case(name, folder, "seg.dcm") for name in DICE])
        finish(many, panel)
        many.ui.casesTable.cellClicked(0, 0)
        (node,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        volume = node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
        array = slicer.util.arrayFromSegmentBinaryLabelmap(node, node.GetSegmentation().GetNthSegmentID(1), volume)
        assert volume.GetName() == "p2" and np.array_equal(array, pixels(1) > 200)
        assert origin_of(node).prediction == str(output / "nrrd" / "p2.seg.nrrd")

    def test_stop_and_go_on(self, section, many, folder, panel):
        start(section, folder)
        play(panel, ["p1"])
        many.ui.stopButton.click()
        assert panel.folder.stop_requested() == "now" and not many.ui.stopButton.enabled
        assert many.ui.manyProgressBar.format == "stopping"
        finish(many, panel, Stopped(message="Stopped after 1 of 4.", how="now"))
        assert told(many) == "Stopped: 1 segmented. Apply to all goes on with the others."
        assert table(many.ui.casesTable) == [["p1", "0.91", "probably good"]] and many.ui.applyAllButton.enabled
        first = panel.folder
        many.ui.applyAllButton.click()
        assert panel.folder is not first and many.working
        assert panel.folder.read_document()["config"]["output_dir"] == first.read_document()["config"]["output_dir"]

    def test_it_goes_on_while_slicer_is_closed(self, section, many, folder, panel, scene):
        start(section, folder)
        section.cleanup()
        scene.Clear()
        again = panel.open().many
        assert again.working and not again._box.collapsed and not again.ui.stopButton.isHidden()
        play(panel, list(DICE))
        finish(again, panel)
        assert len(table(again.ui.casesTable)) == 4 and told(again).startswith("3 segmented")
        again.cleanup()
        later = panel.open().many
        assert not later.working and later._box.collapsed and len(table(later.ui.casesTable)) == 4
        assert told(later) == ""

    def test_the_choice_comes_back_with_the_scene(self, section, many, folder, panel):
        many.ui.folderPathLineEdit.setCurrentPath(str(folder))
        many.ui.outputPathLineEdit.setCurrentPath(str(folder / "out"))
        many.ui.formatSelector.activated(1)
        parameters = Parameters(section.parameters.parameterNode)
        section.cleanup()
        again = panel.open()
        again.setParameterNode(parameters)
        again.refresh()
        ui = again.many.ui
        assert ui.folderPathLineEdit.currentPath == str(folder) and ui.formatSelector.currentIndex == 1
        assert ui.outputPathLineEdit.currentPath == str(folder / "out") and parameters.manyFolder == str(folder)

    def test_one_model_at_a_time(self, section, many, folder, panel, make_volume):
        volume = make_volume("CT", pixels())
        section.ui.volumesSelector.setCheckState(volume, qt.Qt.Checked)
        section.refresh()
        section.ui.applyButton.click()
        assert section.run is not None
        many.ui.folderPathLineEdit.setCurrentPath(str(folder))
        assert "is being applied to CT" in tooltip(many.ui.applyAllButton) and not many.ui.applyAllButton.enabled

    def test_a_start_that_fails_leaves_nothing(self, section, many, folder, panel):
        panel.error = folder_run.JobError("Python cannot be started. Press Test.")
        start(section, folder)
        assert told(many) == "Python cannot be started. Press Test." and not many.working
        assert list(panel.jobs.root.iterdir()) == []

    def test_old_jobs_go_and_their_results_stay(self, section, many, folder, panel):
        for _again in range(folder_run.FINISHED_KEPT + 2):
            start(section, folder)
            output = play(panel, list(DICE))
            finish(many, panel)
        assert len(panel.jobs.all()) == folder_run.FINISHED_KEPT + 1 and (output / "p1.seg.nrrd").exists()

    def test_of_thousands_of_results_the_worst_are_shown_at_once(self, section, many, folder, panel):
        start(section, folder)
        output = folder_run.Path(panel.folder.read_document()["config"]["output_dir"])
        classes = [ClassResult(name=f"class {number}", likely_dice=0.5) for number in range(10)]
        cases = [CaseResult(name=f"case {n:04d}", likely_dice=n / 4000, classes=classes) for n in range(3000)]
        write_results(output, cases)
        many.run.read()
        began = time.thread_time()
        section.refresh()
        assert time.thread_time() - began < 0.05
        assert many.ui.casesTable.rowCount == 100 and many.ui.casesTable.item(0, 0).text() == "case 0000"
        assert "100 worst of 3000 are shown" in many.ui.moreLabel.text and not many.ui.moreLabel.isHidden()

    def test_a_result_that_is_gone_is_told(self, section, many, folder, panel):
        start(section, folder)
        output = play(panel, list(DICE))
        finish(many, panel)
        (output / "p2.seg.nrrd").unlink()
        many.ui.casesTable.cellClicked(1, 0)
        assert "cannot be read. Is the file there and complete?" in told(many)


class TestStatistics:
    def test_of_many_cases_one_after_the_other(self, section, many, folder, panel):
        start(section, folder)
        play(panel, list(DICE))
        finish(many, panel)
        before = len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"))
        many.ui.allStatisticsButton.click()
        assert not many.ui.allStatisticsButton.enabled
        for _case in DICE:
            section.onTimer()
        (node,) = slicer.util.getNodesByClass("vtkMRMLTableNode")
        content = node.GetTable()
        rows = [
            [content.GetValueByName(row, name).ToString() for name in ("Result", "Segment")]
            for row in range(content.GetNumberOfRows())
        ]
        assert rows == [[name, one] for name in ("p2", "p3", "p1") for one in ("liver", "tumor")]
        means = slicer.util.arrayFromTableColumn(node, "Mean")
        assert means == pytest.approx([150, 250] * 3)
        voxel = 0.8 * 1.1 * 2.5 / 1000
        sizes = slicer.util.arrayFromTableColumn(node, "Volume [cm3] (1)")
        assert sizes == pytest.approx([(4 * 5 * 6 - 8) * voxel, 8 * voxel] * 3)
        assert told(many) == f"The volumes and mean intensities are in the table {node.GetName()}."
        assert len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")) == before, (
            "what was only measured goes again"
        )
        assert not slicer.util.getNodesByClass("vtkMRMLSegmentationNode")

    def test_without_slicers_module(self, section, many, folder, panel):
        start(section, folder)
        play(panel, list(DICE))
        finish(many, panel)
        many.ui.allStatisticsButton.click()
        module, sys.modules["SegmentStatistics"] = sys.modules["SegmentStatistics"], None
        try:
            section.onTimer()
        finally:
            sys.modules["SegmentStatistics"] = module
        assert "Segment Statistics is not there" in told(many)
        assert not slicer.util.getNodesByClass("vtkMRMLTableNode")


class TestDicom:
    @pytest.fixture
    def database(self, tmp_path, write_series):
        """Two patients: a CT of each, and a segmentation that is no image; the second lies among other files."""
        from slicer_standin.dicom_database import open_database

        files = []
        for number, name in enumerate(("Doe^Ann", "Roe^Bob"), start=1):
            for kind, modality in (("1", "CT"), ("2", "SEG")):
                tags = {
                    "0010|0010": name, "0010|0020": f"id{number}", "0020|000d": f"1.9.{number}", "0008|0060": modality,
                    "0008|103e": f"abdomen {modality}", "0008|0020": "20260301", "0020|0011": kind,
                }  # fmt: skip
                folder = write_series(image(pixels()), tmp_path / "dicom", uid=f"1.9.{number}.{kind}", tags=tags)
        files = sorted(folder.iterdir())
        yield open_database(files)
        slicer.dicomDatabase = None

    @pytest.fixture
    def listed(self, section, many, wait_for):
        many.ui.sourceSelector.setCurrentIndex(1)
        many.ui.sourceSelector.activated(1)
        wait_for(lambda: not many.series.reading, 5000)
        return many

    def test_without_a_database(self, listed):
        assert "open its DICOM module" in listed.ui.manyReasonLabel.text and listed.series.series == []

    def test_series_of_images_are_listed_searched_and_chosen(self, database, listed, section):
        ui = listed.ui
        assert table(ui.seriesTable) == [
            ["Doe Ann", "20260301 abdomen CT", "CT"], ["Roe Bob", "20260301 abdomen CT", "CT"]
        ]  # fmt: skip
        assert ui.manyReasonLabel.text == "Choose series in the table." and ui.folderPathLineEdit.isHidden()
        ui.searchLineEdit.setText("bob ct")
        assert [row[0] for row in table(ui.seriesTable)] == ["Roe Bob"]
        ui.chooseAllButton.click()
        assert [one.patient for one in listed.series.chosen()] == ["Roe Bob"]
        ui.searchLineEdit.setText("")
        assert [ui.seriesTable.item(row, 0).checkState() == qt.Qt.Checked for row in range(2)] == [False, True]
        ui.seriesTable.item(0, 0).setCheckState(qt.Qt.Checked)
        assert len(listed.series.chosen()) == 2 and ui.seriesLabel.text == "2 chosen of 2 series."
        assert ui.manyReasonLabel.text == "Choose a folder for the results."
        assert section.parameters.manySource == "dicom"

    def test_series_are_linked_applied_and_loaded(self, database, listed, section, panel, tmp_path, slice_views):
        ui = listed.ui
        ui.outputPathLineEdit.setCurrentPath(str(tmp_path / "out"))
        ui.chooseAllButton.click()
        ui.applyAllButton.click()
        assert listed.run.job.preparing and panel.folder is None
        while listed.run.job.preparing:
            section.onTimer()
        config = panel.folder.read_document()["config"]
        assert list(config["cases"]) == ["Doe-Ann-20260301-abdomen-CT", "Roe-Bob-20260301-abdomen-CT"]
        linked = folder_run.Path(config["cases"]["Roe-Bob-20260301-abdomen-CT"][0])
        assert len(list(linked.iterdir())) == 6
        output = tmp_path / "out"
        output.mkdir()
        labels = image((pixels() > 100).astype(np.uint8))
        for name in config["cases"]:
            sitk.WriteImage(labels, str(output / f"{name}.seg.nrrd"))
        write_results(output, [CaseResult(name=name, label_map=f"{name}.seg.nrrd") for name in config["cases"]])
        finish(listed, panel)
        assert not linked.exists(), "the links go, and the files of the database stay"
        assert all(folder_run.Path(file).exists() for file in database.filesForSeries("1.9.2.1"))
        assert [row[2] for row in table(ui.casesTable)] == ["not known", "not known"]
        ui.casesTable.cellClicked(1, 0)
        (node,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        volume = node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
        assert volume.GetName() == "1: abdomen CT"
        array = slicer.util.arrayFromSegmentBinaryLabelmap(node, node.GetSegmentation().GetNthSegmentID(0), volume)
        assert array.sum() == (pixels() > 100).sum()
        assert slicer.util.arrayFromVolume(volume)[array > 0].min() > 100, "it lies on what it was made from"

    def test_a_series_whose_files_are_gone_is_told_and_nothing_is_left(
        self, database, listed, section, panel, tmp_path
    ):
        shutil.rmtree(tmp_path / "dicom")
        listed.ui.outputPathLineEdit.setCurrentPath(str(tmp_path / "out"))
        listed.ui.chooseAllButton.click()
        listed.ui.applyAllButton.click()
        section.onTimer()
        assert "not on the disk. Import the series again." in told(listed) and not listed.working
        assert list(panel.jobs.root.iterdir()) == []

    def test_stop_while_series_are_linked(self, database, listed, section, panel, tmp_path):
        listed.ui.outputPathLineEdit.setCurrentPath(str(tmp_path / "out"))
        listed.ui.chooseAllButton.click()
        listed.ui.applyAllButton.click()
        listed.ui.stopButton.click()
        assert not listed.working and list(panel.jobs.root.iterdir()) == [] and listed.ui.applyAllButton.enabled

    def test_a_model_of_several_channels(self, database, listed, section, make_model):
        section.parameters.model = str(make_model("models/multi", plan={"channel_names": ["T1", "T2"]}))
        section.refresh()
        assert "The model takes 2 volumes a case" in listed.ui.manyReasonLabel.text


def test_pictures(section, many, folder, panel, screenshot):
    section.uiWidget.setFixedWidth(420)
    section.uiWidget.show()
    line = many.ui.folderPathLineEdit

    def picture(name):
        blocked = line.blockSignals(True)
        line.setCurrentPath("/data/patients")
        slicer.app.processEvents()
        section.uiWidget.adjustSize()
        screenshot(section.uiWidget, name)
        line.setCurrentPath(str(folder))
        line.blockSignals(blocked)

    line.setCurrentPath(str(folder))
    picture("many-ready")
    many.ui.applyAllButton.click()
    play(panel, list(DICE))
    panel.status(state="running", progress=0.25, eta_seconds=18.0)
    section.onTimer()
    picture("many-running")
    finish(many, panel, Failed(message="1 of 4 images were not segmented", error="DataError", exit_code=1))
    many.ui.casesTable.selectRow(1)
    many.ui.casesTable.cellClicked(1, 0)
    picture("panel-many")


def test_a_saved_scene_has_the_choice(scene, request, folder, tmp_path):
    qt.QSettings().setValue("MedSegTrainer/Folder", str(tmp_path / "home"))
    panel = request.getfixturevalue("module_widget").panel
    many = panel.apply.many
    many.ui.folderPathLineEdit.setCurrentPath(str(folder))
    assert panel.parameters.manyFolder == str(folder)
    slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    scene.Clear()
    assert panel.parameters.manyFolder == ""
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    assert panel.parameters.manyFolder == str(folder) == many.ui.folderPathLineEdit.currentPath
