import shutil
import zipfile

import numpy as np
import pytest
import qt
import slicer
from fake_apply import ApplyPanel
from MedSegTrainerUI.apply.section import ApplySection
from MedSegTrainerUI.jobs.job_trash import JobTrash
from MedSegTrainerUI.parameter_node import Parameters
from MedSegTrainerUI.scene.label_files import read_layers
from MedSegTrainerUI.scene.volumes import array_image, write_image
from tooltips import tooltip

from MedSegTrainerLib.errors import JobError
from MedSegTrainerLib.events import EventLog, Failed, Progress, Stage
from MedSegTrainerLib.results_file import CaseResult, ClassResult, write_results


@pytest.fixture
def panel(scene, medsegtrainer, tmp_path):
    made = ApplyPanel(tmp_path / "jobs", medsegtrainer)
    yield made
    if made.section is not None:
        made.section.cleanup()


@pytest.fixture
def section(panel):
    return panel.open()


@pytest.fixture
def pixels():
    array = np.zeros((6, 8, 10), np.int16)
    array[1:5, 2:7, 3:9] = 150
    array[2:4, 3:5, 4:6] = 250
    return array


def message(section):
    label = section.ui.messageLabel
    return label.text if not label.isHidden() else ""


def choose(section, model, *volumes):
    section.parameters.model = str(model)
    for volume in volumes:
        section.ui.volumesSelector.setCheckState(volume, qt.Qt.Checked)
    section.refresh()


def tick(section, times=3):
    for _ in range(times):
        section.onTimer()


def segmentations():
    return slicer.util.getNodesByClass("vtkMRMLSegmentationNode")


def answer(section, *answers):
    """Answers the next questions of the section; the list of what was asked."""
    prepared, asked = list(answers), []

    def confirm(text, windowTitle):
        asked.append(text)
        return prepared.pop(0)

    section.confirm = confirm
    return asked


def names_in(node):
    content = node.GetSegmentation()
    return [content.GetNthSegment(index).GetName() for index in range(content.GetNumberOfSegments())]


class TestWhatIsMissingIsSaid:
    def test_step_by_step(self, section, panel, make_model, make_volume, pixels):
        ui = section.ui
        assert not ui.applyButton.enabled and ui.reasonLabel.text == "Choose a model." == tooltip(ui.applyButton)
        assert "There is no model yet: train one in section 2" in ui.cardLabel.text
        choose(section, make_model())
        assert "<b>liver</b> 0.94" in ui.cardLabel.text
        assert ui.modelSelector.currentText.startswith("liver-tumor, today")
        assert ui.reasonLabel.text == "Choose one or several volumes."
        choose(section, make_model(), make_volume("CT", pixels))
        assert ui.applyButton.enabled and ui.reasonLabel.isHidden()
        panel.ready, panel.problem = False, "There is no PyTorch yet. Press Set up in section 5."
        section.refresh()
        assert not ui.applyButton.enabled and ui.reasonLabel.text == panel.problem == tooltip(ui.applyButton)

    def test_a_model_that_was_removed(self, section, make_model, make_volume, pixels):
        folder = make_model()
        choose(section, folder, make_volume("CT", pixels))
        shutil.rmtree(folder)
        section.onApply()
        assert "is not there any more. Choose another one" in message(section)
        section.refresh()
        assert "is not there any more" in section.ui.cardLabel.text and not section.ui.applyButton.enabled
        assert section.ui.modelSelector.currentText == "liver-tumor (no model)" or not section.ui.applyButton.enabled

    def test_a_start_that_fails(self, section, panel, make_model, make_volume, pixels):
        choose(section, make_model(), make_volume("CT", pixels))
        panel.error = JobError("Python cannot be started. Press Test.")
        section.onApply()
        assert message(section) == "Python cannot be started. Press Test." and section.run is None
        assert list(panel.jobs.root.iterdir()) == []


class TestOtherModels:
    def test_a_folder_and_a_zip(self, section, make_model, tmp_path):
        folder = make_model("models/mine")
        section.models.choose(str(folder))
        assert section.parameters.model == str(folder) and section.card.path == folder
        with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
            for file in folder.iterdir():
                archive.write(file, file.name)
        section.models.choose(str(tmp_path / "packed.zip"))
        assert section.card.path.name == "packed.zip"
        assert section.ui.modelSelector.count == 2 and section.ui.modelSelector.currentText.startswith("packed, ")
        section.models.onModel(1)
        assert section.parameters.model == str(folder)

    def test_what_is_no_model_is_told_and_not_chosen(self, section, make_model, tmp_path):
        folder = make_model()
        choose(section, folder)
        wrong = tmp_path / "photo.zip"
        wrong.write_text("a photo")
        section.models.choose(str(wrong))
        assert "it is not a zip file" in message(section)
        assert section.parameters.model == str(folder) and section.card is not None

    def test_a_dialog_that_is_cancelled_changes_nothing(self, section):
        section.models.choose("")
        assert message(section) == "" and section.parameters.model == ""


class TestRun:
    def test_results_come_one_by_one_under_their_volumes(self, section, panel, make_model, make_volume, pixels):
        ui = section.ui
        first, second = make_volume("one", pixels), make_volume("two", pixels[::-1])
        choose(section, make_model(), first, second)
        assert not ui.outputSelector.enabled and "of its own" in tooltip(ui.outputSelector)
        ui.applyButton.click()
        assert section.run is not None and not ui.applyButton.enabled and not ui.cancelButton.isHidden()
        assert "is being applied to one, two" in tooltip(ui.applyButton)
        first.SetName("renamed")
        log = EventLog(panel.folder.events_file)
        log(Stage(name="apply", message="", total=2000))
        log(Progress(done=500, total=2000, eta_seconds=18.0))
        panel.play("one")
        panel.status(state="running", progress=0.25, eta_seconds=18.0)
        tick(section)
        assert [node.GetName() for node in segmentations()] == ["renamed segmentation"]
        assert ui.progressBar.value == 250 and ui.progressBar.format == "18s left"
        panel.play("two")
        panel.end()
        tick(section, 5)
        assert [node.GetName() for node in segmentations()] == ["renamed segmentation", "two segmentation"]
        assert section.run is None and message(section) == "Segmented: one, two." and ui.progressBar.isHidden()
        assert ui.resultsFrame.isHidden() and ui.applyButton.enabled
        assert names_in(segmentations()[0]) == ["liver", "tumor"]

    def test_a_second_click_that_waited_starts_no_second_job(self, section, panel, make_model, make_volume, pixels):
        choose(section, make_model(), make_volume("CT", pixels))
        qt.QTimer.singleShot(0, section.onApply)
        section.onApply()
        assert len(panel.jobs.all()) == 1 and section.run.folder == panel.folder

    def test_options_reach_the_job(self, section, panel, make_model, make_volume, pixels):
        choose(section, make_model(), make_volume("CT", pixels))
        section.ui.ttaCheckBox.checked = True
        section.ui.holesCheckBox.checked = True
        section.ui.largestCheckBox.checked = True
        section.ui.minimumSpinBox.value = 30
        section.onApply()
        config = panel.folder.read_document()["config"]
        assert config["tta"] and config["fill_holes"] and config["largest_component"]
        assert config["minimum_size_mm3"] == 30

    def test_mirror_images_only_where_the_model_knows_them(self, section, panel, make_model, make_volume, pixels):
        section.parameters.tta = True
        choose(section, make_model(plan={"flip_axes": []}), make_volume("CT", pixels))
        assert not section.ui.ttaCheckBox.enabled and "without mirror images" in tooltip(section.ui.ttaCheckBox)
        section.onApply()
        assert panel.folder.read_document()["config"]["tta"] is False

    def test_overwriting_is_asked_for(self, section, panel, make_model, make_volume, make_segmentation, pixels):
        volume = make_volume("CT", pixels)
        mine = make_segmentation("mine", volume, {"Liver": pixels > 240, "bone": pixels > 240})
        choose(section, make_model(), volume)
        section.ui.outputSelector.setCurrentNode(mine)
        assert section.parameters.outputSegmentation is mine
        asked = answer(section, False, True)
        section.onApply()
        assert section.run is None
        assert len(asked) == 1 and "mine already has these segments" in asked[0] and asked[0].endswith(": Liver.")
        section.onApply()
        panel.play("CT")
        panel.end()
        tick(section, 5)
        assert segmentations() == [mine] and names_in(mine) == ["Liver", "bone", "tumor"]

    def test_the_segmentation_of_another_volume_is_asked_for(
        self, section, panel, make_model, make_volume, make_segmentation, pixels
    ):
        volume, other = make_volume("CT", pixels), make_volume("CT of another", pixels)
        theirs = make_segmentation("theirs", other, {"bone": pixels > 240})
        choose(section, make_model(), volume)
        section.ui.outputSelector.setCurrentNode(theirs)
        asked = answer(section, False)
        section.onApply()
        assert section.run is None and asked == ["theirs was made on CT of another, and gets the segments of CT."]

    def test_of_a_chosen_node_that_is_removed_no_other_takes_the_place(
        self, scene, section, make_model, make_volume, make_segmentation, pixels
    ):
        t1, t2, other = make_volume("T1", pixels), make_volume("T2", pixels), make_volume("other", pixels)
        mine, theirs = make_segmentation("mine", t1, {}), make_segmentation("theirs", other, {"bone": pixels > 240})
        choose(section, make_model(plan={"channel_names": ["T1", "T2"]}))
        for combo, node in zip(section.volumes._combos, (t1, t2), strict=True):
            combo.setCurrentNode(node)
        section.ui.outputSelector.setCurrentNode(mine)
        scene.RemoveNode(mine)
        assert section.parameters.outputSegmentation is None and section.ui.outputSelector.currentNode() is None
        scene.RemoveNode(t2)
        assert section.volumes._combos[1].currentNode() is None and section.volumes.cases() == []
        section.ui.outputSelector.setCurrentNode(theirs)
        assert section.parameters.outputSegmentation is theirs, "what the user chooses counts again"

    def test_a_size_from_a_saved_scene_stays_as_it_is(self, section):
        for size in (12.5, 12.25):
            section.parameters.minimumSize = size
            section.refresh()
            assert section.parameters.minimumSize == size
        section.parameters.minimumSize = 12.5
        section.refresh()
        assert section.ui.minimumSpinBox.value == 12.5

    def test_a_failure_is_one_message(self, section, panel, make_model, make_volume, pixels):
        choose(section, make_model(), make_volume("CT", pixels))
        section.onApply()
        panel.end(Failed(message="CT needs more memory than there is.", error="MedSegError", exit_code=1))
        tick(section)
        assert message(section) == "CT needs more memory than there is." and section.ui.resultsFrame.isHidden()

    def test_cancel(self, section, panel, make_model, make_volume, pixels):
        choose(section, make_model(), make_volume("CT", pixels))
        section.onApply()
        section.ui.cancelButton.click()
        assert panel.folder.stop_requested() == "now"
        assert not section.ui.cancelButton.enabled and section.ui.progressBar.format == "stopping"
        panel.status(state="stopped")
        tick(section)
        assert message(section) == "Cancelled. 0 of 1 volumes were segmented." and not panel.folder.path.exists()

    def test_several_channels(self, section, panel, make_model, make_volume, pixels):
        t1, t2 = make_volume("T1 of Ann", pixels), make_volume("T2 of Ann", pixels)
        choose(section, make_model(plan={"channel_names": ["T1", "T2"]}))
        assert section.ui.reasonLabel.text == "Choose a volume for each channel: T1, T2."
        for combo, node in zip(section.volumes._combos, (t1, t2), strict=True):
            combo.setCurrentNode(node)
        assert section.ui.applyButton.enabled
        section.onApply()
        assert len(panel.folder.read_document()["config"]["cases"]["T1-of-Ann"]) == 2


class TestHowSure:
    def finish(self, section, panel, dice):
        """The process writes label maps, and how good they probably are, worst first."""
        for name in dice:
            panel.play(name)
        cases = [
            CaseResult(
                name=name, label_map=f"{name}.seg.nrrd", likely_dice=value, low=value - 0.1, high=value + 0.1,
                classes=[ClassResult(name="liver", likely_dice=0.9, low=0.8, high=0.95),
                         ClassResult(name="tumor", likely_dice=value, low=value - 0.1, high=value + 0.1)],
            )
            for name, value in dice.items()
        ]  # fmt: skip
        write_results(panel.folder.path / "results", cases)
        panel.end()
        tick(section, 3 + len(dice))

    def test_the_worst_result_is_first_with_words(self, section, panel, make_model, make_volume, pixels):
        dice = {"one": 0.85, "two": 0.42, "three": 0.95}
        choose(section, make_model(), *(make_volume(name, pixels + number) for number, name in enumerate(dice)))
        section.onApply()
        self.finish(section, panel, dice)
        table, segments = section.ui.resultsTable, section.ui.shownTable
        rows = [[table.item(row, column).text() for column in range(3)] for row in range(3)]
        assert rows == [
            ["two segmentation", "0.42", "look at this one: tumor probably below 0.5"],
            ["one segmentation", "0.85", "probably good"],
            ["three segmentation", "0.95", "probably good"],
        ]
        assert "tumor: 0.42 (0.32" in table.item(0, 2).toolTip()
        table.cellClicked(0, 0)
        assert section.shown.node().GetName() == "two segmentation"
        assert [segments.item(row, 2).text() for row in range(2)] == [
            "0.90 (0.80\N{EN DASH}0.95)", "0.42 (0.32\N{EN DASH}0.52)"
        ]  # fmt: skip

    def test_what_another_version_wrote_hides_no_result(self, section, panel, make_model, make_volume, pixels):
        choose(section, make_model(), make_volume("CT", pixels))
        section.onApply()
        panel.play("CT")
        (panel.folder.path / "results" / "results.json").write_text('{"schema_version": 99}')
        tick(section, 2)
        assert [node.GetName() for node in segmentations()] == ["CT segmentation"]
        panel.end()
        tick(section, 3)
        assert section.run is None and section.ui.resultsTable.item(0, 2).text() == "not known"

    def test_uncertainty_is_shown_on_request(self, section, panel, make_model, make_volume, pixels, slice_views):
        volume = make_volume("CT", pixels)
        choose(section, make_model(), volume)
        section.onApply()
        assert panel.folder.read_document()["config"]["uncertainty"] is False
        self.finish(section, panel, {"CT": 0.9})
        assert not section.ui.unsureButton.enabled and "tick Uncertainty above" in tooltip(section.ui.unsureButton)
        section.ui.uncertaintyCheckBox.click()
        section.onApply()
        assert panel.folder.read_document()["config"]["uncertainty"] is True
        stored = read_layers(panel.folder.read_document()["config"]["cases"]["CT"][0])[0]
        unsure = array_image((stored.array > 0).astype(np.float32))
        write_image(unsure, stored.ijk_to_ras, panel.folder.path / "results" / "uncertainty" / "CT_entropy.nrrd")
        self.finish(section, panel, {"CT": 0.9})
        section.ui.unsureButton.click()
        map_node = slicer.util.getNode("CT uncertainty")
        assert set(slice_views.layers().values()) == {(volume.GetID(), map_node.GetID())}
        assert section.ui.unsureButton.checked
        section.ui.unsureButton.click()
        assert set(slice_views.layers().values()) == {(volume.GetID(), None)} and not section.ui.unsureButton.checked

    def test_statistics_of_all_results(self, section, panel, make_model, make_volume, pixels):
        choose(section, make_model(), *(make_volume(name, pixels + n) for n, name in enumerate(("one", "two"))))
        section.onApply()
        self.finish(section, panel, {"one": 0.8, "two": 0.9})
        section.ui.statisticsButton.click()
        tick(section, 2)
        (node,) = slicer.util.getNodesByClass("vtkMRMLTableNode")
        column = node.GetTable().GetColumnByName("Result")
        assert [column.GetValue(row) for row in range(4)] == ["one segmentation"] * 2 + ["two segmentation"] * 2
        assert slicer.util.arrayFromTableColumn(node, "Mean") == pytest.approx([150, 250, 151, 251])
        assert node.GetName() in message(section)


class TestViews:
    """What the user looks at is his, wherever a result arrives."""

    def segment(self, section, panel, *names):
        section.onApply()
        for name in names:
            panel.play(name)
        panel.end()
        tick(section, 3 + len(names))

    def shown(self):
        return {node.GetName(): bool(node.GetDisplayNode().GetVisibility()) for node in segmentations()}

    def test_a_result_comes_into_the_views_where_nothing_is_lost(
        self, section, panel, make_model, make_volume, pixels, slice_views
    ):
        volume, other = make_volume("CT", pixels), make_volume("other", pixels)
        slice_views.show(other)
        choose(section, make_model(), volume)
        self.segment(section, panel, "CT")
        assert set(slice_views.layers().values()) == {(volume.GetID(), None)}
        assert self.shown() == {"CT segmentation": True} and message(section) == "Segmented: CT."

    def test_while_the_user_works_in_another_module_his_views_stay(
        self, section, panel, make_model, make_volume, pixels, slice_views
    ):
        volume, other = make_volume("CT", pixels), make_volume("other", pixels)
        choose(section, make_model(), volume)
        slice_views.show(other)
        panel.entered = False
        before = slice_views.layers()
        self.segment(section, panel, "CT")
        assert slice_views.layers() == before and self.shown() == {"CT segmentation": False}
        assert message(section).startswith("Segmented: CT. Hidden, as the slice views show other volumes: CT segment")

    def test_a_fusion_stays(self, section, panel, make_model, make_volume, pixels, slice_views):
        ct, pet, other = (make_volume(name, pixels) for name in ("CT", "PET", "other"))
        choose(section, make_model(), pet)
        slice_views.show(ct, pet)
        before = slice_views.layers()
        self.segment(section, panel, "PET")
        assert slice_views.layers() == before and self.shown() == {"PET segmentation": True}
        section.ui.volumesSelector.setCheckState(pet, qt.Qt.Unchecked)
        section.ui.volumesSelector.setCheckState(other, qt.Qt.Checked)
        self.segment(section, panel, "other")
        assert slice_views.layers() == before and not self.shown()["other segmentation"]

    def test_of_several_results_those_of_other_volumes_are_hidden(
        self, section, panel, make_model, make_volume, pixels, slice_views
    ):
        volumes = [make_volume(name, pixels) for name in ("one", "two", "three")]
        choose(section, make_model(), *volumes)
        slice_views.show(volumes[1])
        before = slice_views.layers()
        self.segment(section, panel, "one", "two", "three")
        assert slice_views.layers() == before
        assert self.shown() == {"one segmentation": False, "two segmentation": True, "three segmentation": False}
        assert message(section).count("one segmentation, three segmentation") == 1
        table = section.ui.resultsTable
        assert [table.item(row, 0).text() for row in range(table.rowCount)] == [
            "one segmentation", "two segmentation", "three segmentation"
        ]  # fmt: skip
        section.setParameterNode(None)
        section.refresh()
        assert section.shown.node() is None, "in another scene the same ID is another node"

    def test_what_the_user_chose_as_output_stays_as_he_has_it(
        self, section, panel, make_model, make_volume, make_segmentation, pixels, slice_views
    ):
        volume, other = make_volume("CT", pixels), make_volume("other", pixels)
        mine = make_segmentation("mine", volume, {"bone": pixels > 240})
        choose(section, make_model(), volume)
        section.ui.outputSelector.setCurrentNode(mine)
        slice_views.show(other)
        panel.entered = False
        self.segment(section, panel, "CT")
        assert self.shown() == {"mine": True} and message(section) == "Segmented: CT."


class TestSceneClosed:
    def test_results_are_kept_and_can_be_imported_later(self, section, panel, make_model, make_volume, pixels, scene):
        choose(section, make_model(), make_volume("CT", pixels))
        section.onApply()
        section.setParameterNode(None)
        scene.Clear()
        section.setParameterNode(Parameters(scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")))
        section.refresh()
        panel.play("CT")
        panel.end()
        tick(section, 5)
        assert "The volume CT is not in the scene. The result is kept" in message(section)
        assert not section.ui.resultsFrame.isHidden() and "on CT, today" in section.ui.resultsLabel.text
        make_volume("CT", pixels)
        section.ui.importButton.click()
        assert [names_in(node) for node in segmentations()] == [["liver", "tumor"]]
        assert section.ui.resultsFrame.isHidden() and message(section) == "Segmented: CT."
        assert section.shown.node() is segmentations()[0]

    def test_slicer_closed_while_it_runs(self, section, panel, make_model, make_volume, pixels, scene):
        choose(section, make_model(), make_volume("CT", pixels))
        section.onApply()
        section.cleanup()
        scene.Clear()
        volume = make_volume("CT again", pixels)
        section = panel.open()
        assert section.run is not None and not section.ui.cancelButton.isHidden()
        panel.play("CT")
        panel.end()
        tick(section, 5)
        (node,) = segmentations()
        assert node.GetName() == "CT again segmentation"
        assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is volume

    def test_results_that_nobody_wants_are_discarded(self, section, panel, make_model, make_volume, pixels, scene):
        choose(section, make_model(), make_volume("CT", pixels))
        section.onApply()
        panel.play("CT")
        panel.end()
        scene.Clear()
        section = panel.open()
        assert not section.ui.resultsFrame.isHidden() and section.run is None
        section.ui.discardButton.click()
        assert section.ui.resultsFrame.isHidden() and not panel.folder.path.exists()
        assert not section.ui.undoFrame.isHidden() and "It is kept for 30 days" in section.ui.undoLabel.text
        section.ui.undoButton.click()
        assert not section.ui.resultsFrame.isHidden() and section.ui.undoFrame.isHidden()
        assert panel.folder.job_file.exists() and message(section) == ""

    def test_discarded_results_that_the_list_of_trainings_brings_back_are_offered_again(
        self, section, panel, make_model, make_volume, pixels, scene
    ):
        choose(section, make_model(), make_volume("CT", pixels))
        section.onApply()
        panel.play("CT")
        panel.end()
        scene.Clear()
        section = panel.open()
        section.ui.discardButton.click()
        trash = JobTrash(panel.jobs)
        (removed,) = trash.items()
        trash.restore(removed)
        section.refresh()
        assert not section.ui.resultsFrame.isHidden() and section.ui.undoFrame.isHidden()


def test_the_choice_comes_back_with_the_scene(panel, section, make_model, make_volume, pixels):
    volume = make_volume("CT", pixels)
    choose(section, make_model(), volume)
    section.ui.ttaCheckBox.checked = True
    parameters = section.parameters
    section.cleanup()
    panel.section = again = ApplySection(panel)
    again.setParameterNode(parameters)
    again.refresh()
    assert again.volumes.cases() == [(volume,)] and again.ui.ttaCheckBox.checked
    assert again.ui.modelSelector.currentText.startswith("liver-tumor")


def test_pictures_of_every_state(section, panel, make_model, make_volume, pixels, screenshot, scene):
    section.uiWidget.setFixedWidth(420)
    section.uiWidget.show()

    def picture(name):
        slicer.app.processEvents()
        section.uiWidget.adjustSize()
        return screenshot(section.uiWidget, name)

    picture("apply-empty")
    choose(section, make_model(), make_volume("CT_04", pixels), make_volume("CT_05", pixels + 1))
    picture("apply-ready")
    section.onApply()
    EventLog(panel.folder.events_file)(Progress(done=500, total=2000, eta_seconds=18.0))
    panel.status(state="running", progress=0.25, eta_seconds=18.0)
    panel.play("CT_04")
    tick(section)
    picture("apply-running")
    scene.RemoveNode(slicer.util.getNode("CT_05"))
    panel.play("CT_05")
    panel.end()
    tick(section, 5)
    assert "The volume CT_05 is not in the scene" in message(section)
    picture("apply-volume-gone")
    section.parameters.model = str(make_model("models/multi", plan={"channel_names": ["T1", "T2", "FLAIR"]}))
    section.tell("")
    section.refresh()
    assert not section.ui.channelsWidget.isHidden()
    picture("apply-channels")


class TestOverlap:
    def test_results_with_overlap_are_segments_that_overlap(self, section, panel, make_model, make_volume, pixels):
        """The file is that of the library itself."""
        volume = make_volume("CT_04", pixels)
        choose(section, make_model(plan={"overlapping": True}), volume)
        section.onApply()
        (case,) = panel.folder.read_document()["config"]["cases"]
        play_overlap(panel, case)
        tick(section)
        panel.end()
        tick(section)
        assert section.run is None and message(section) == "Segmented: CT_04."
        (node,) = segmentations()
        assert names_in(node) == ["liver", "tumor"] and node.GetSegmentation().GetNumberOfLayers() == 2
        for name, expected in (("liver", pixels > 100), ("tumor", pixels > 200)):
            identifier = node.GetSegmentation().GetSegmentIdBySegmentName(name)
            found = slicer.util.arrayFromSegmentBinaryLabelmap(node, identifier, volume)
            assert (found == expected).all()
        table = section.ui.shownTable
        millilitres = [float(table.item(row, 1).text()) for row in range(2)]
        assert millilitres == pytest.approx([n * 0.8 * 1.1 * 2.5 / 1000 for n in (120, 8)], rel=0.01)


def play_overlap(panel, case):
    """What the library writes of classes that overlap: above 100 is class 1, and above 200 class 2, too."""
    import SimpleITK as sitk

    from MedSegTrainerLib.classes import LabelClass
    from MedSegTrainerLib.imaging.overlapping_results import write_overlapping

    image = sitk.ReadImage(panel.folder.read_document()["config"]["cases"][case][0])
    values = sitk.GetArrayViewFromImage(image)
    bits = sitk.GetImageFromArray((values > 100) * np.int32(1) + (values > 200) * np.int32(2))
    bits.CopyInformation(image)
    classes = [LabelClass(value=n, name=name, color=(n, n, n)) for n, name in ((1, "liver"), (2, "tumor"))]
    (panel.folder.path / "results").mkdir(exist_ok=True)
    write_overlapping(bits, panel.folder.path / "results" / f"{case}.seg.nrrd", classes)
