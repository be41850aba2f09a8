import numpy as np
import played_session as played
import pytest
import slicer
from MedSegTrainerUI.scene.import_segments import import_segments
from MedSegTrainerUI.scene.prediction_copy import mark_result
from MedSegTrainerUI.scene.result_origin import Origin, accept
from MedSegTrainerUI.scene.volumes import array_image, volume_geometry, write_image

from MedSegTrainerLib.classes import LabelClass

SHAPE = (9, 13, 17)
CLASSES = [LabelClass(value=1, name="liver", color=(221, 130, 101))]
LABELS = np.zeros(SHAPE, np.uint8)
LABELS[1:8, 2:11, 3:14] = 1


@pytest.fixture
def make_result(make_volume, tmp_path, panel):
    """A result as ``apply`` imports it, shown in section 3."""

    def make(name="CT", channels=()):
        volume = make_volume(name, LABELS.astype(np.int16) * 300 - 100)
        path = tmp_path / "results" / f"{name}.seg.nrrd"
        write_image(array_image(LABELS), volume_geometry(volume).ijk_to_ras, path)
        node = import_segments(path, CLASSES, volume, name=f"{name} segmentation")
        mark_result(node, Origin(model="m", job="a", case=name, prediction=str(path)), CLASSES, channels)
        panel.apply.shown.add(node)
        panel.refresh()
        return volume, node

    return make


def erase(node, volume, *planes):
    segment = node.GetSegmentation().GetNthSegmentID(0)
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, volume).copy()
    mask[list(planes)] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segment, volume)


def add(panel, wait_for):
    assert panel.apply.ui.addResultButton.enabled, panel.apply.ui.addResultButton.toolTip
    panel.apply.ui.addResultButton.click()
    wait_for(lambda: panel.apply.adding._row is None)


def drawn_text(panel, row=0):
    return panel.data.ui.pairsTable.item(row, 3).text()


def test_two_corrected_slices_make_a_row_of_two_slices(panel, make_result, wait_for):
    volume, node = make_result()
    erase(node, volume, 3, 5)
    add(panel, wait_for)
    (row,) = panel.rows()
    assert (row.volumes, row.segmentation, row.region) == ((volume,), node, "corrected")
    assert drawn_text(panel) == "2 corrected slices" and panel.data.problem() == ""
    assert panel.apply.ui.messageLabel.text == (
        "CT was added in section 1: slices that you have corrected count as drawn, 2 up to now."
    )
    assert "2 axial ones" in panel.data.ui.pairsTable.item(0, 3).toolTip()
    erase(node, volume, 6)
    add(panel, wait_for)
    assert len(panel.rows()) == 1 and drawn_text(panel) == "3 corrected slices"
    assert "what you corrected since counts too" in panel.apply.ui.messageLabel.text


def test_a_result_that_nobody_looked_at_adds_nothing_and_says_so(panel, make_result, wait_for):
    make_result()
    add(panel, wait_for)
    assert panel.rows() == [] and "Nobody has corrected this result" in panel.apply.ui.messageLabel.text
    panel.data.ui.addAllButton.click()
    assert panel.rows() == [] and "Add to training data" in panel.data.ui.messageLabel.text


def test_with_the_tick_all_of_it_is_drawn(panel, make_result, wait_for):
    _volume, node = make_result()
    panel.apply.ui.acceptedCheckBox.click()
    add(panel, wait_for)
    assert panel.rows()[0].region == "everywhere" and drawn_text(panel) == "looked at all of it"
    panel.apply.ui.acceptedCheckBox.click()
    assert panel.rows()[0].region == "corrected" and "Nobody has corrected" in panel.data.problem()
    accept(node, True)
    panel.data.look_again()
    assert panel.data.ui.pairsTable.rowCount >= 1 and panel.rows()[0].region == "everywhere"


def test_slices_of_no_clear_direction_are_added_and_asked_for(panel, make_result, wait_for):
    volume, node = make_result()
    segment = node.GetSegmentation().GetNthSegmentID(0)
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, volume).copy()
    mask[3:6, 4:7, 5:8] = 0  # as a ball does it
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segment, volume)
    add(panel, wait_for)
    assert "CT was added in section 1. Which slices were corrected cannot" in panel.apply.ui.messageLabel.text
    assert "cannot be told from what was changed" in panel.data.problem()
    played.choose_drawn(panel, 0, "Made by a model", "coronal slices")
    assert panel.data.problem() == "" and drawn_text(panel) == "3 corrected slices"


def test_chosen_by_hand_it_is_treated_by_the_same_rules(panel, make_result):
    import qt

    volume, node = make_result()
    panel.data.ui.volumesSelector.setCheckState(volume, qt.Qt.Checked)
    panel.data.ui.segmentationSelector.setCurrentNode(node)
    panel.data.ui.addPairButton.click()
    assert panel.rows()[0].region == "corrected" and "Nobody has corrected" in panel.data.problem()
    played.choose_drawn(panel, 0, "Made by a model", "axial slices")
    assert panel.rows()[0].axis == "z" and "Nobody has corrected" in panel.data.problem()
    drawn = panel.data._drawnMenu
    drawn.menu.aboutToShow()
    assert not any(text.startswith("Drawn in the slices") for text in drawn.submenus)
    (whole,) = [one for one in drawn.menu.actions() if "looked at all" in one.text]
    whole.trigger()
    assert panel.rows()[0].region == "everywhere" and panel.data.problem() == ""


def test_what_was_drawn_by_hand_is_not_replaced(panel, make_result, make_segmentation, wait_for):
    volume, node = make_result()
    make_segmentation("mine", volume, {"liver": LABELS})
    panel.data.ui.addAllButton.click()
    (row,) = panel.rows()
    assert row.segmentation.GetName() == "mine"
    erase(node, volume, 3)
    add(panel, wait_for)
    assert panel.rows() == [row] and "is in the table already, with mine" in panel.apply.ui.messageLabel.text


def test_all_channels_of_the_case_are_in_the_row(panel, make_result, make_volume, wait_for):
    second = make_volume("T2", np.zeros(SHAPE, np.int16))
    volume, node = make_result(channels=(second,))
    erase(node, volume, 3)
    add(panel, wait_for)
    assert panel.rows()[0].volumes == (volume, second)


def test_a_scene_that_is_closed_meanwhile_gets_no_row(panel, make_result, wait_for):
    volume, node = make_result()
    erase(node, volume, 3)
    panel.apply.ui.addResultButton.click()
    slicer.mrmlScene.RemoveNode(node)
    wait_for(lambda: panel.apply.adding._row is None)
    assert panel.rows() == []


def test_a_scene_that_is_loaded_goes_on_and_on_another_computer_takes_the_tick_alone(
    panel, make_result, wait_for, tmp_path
):
    volume, node = make_result()
    erase(node, volume, 3, 5)
    add(panel, wait_for)
    assert slicer.util.saveScene(str(tmp_path / "saved.mrb"))
    slicer.mrmlScene.Clear()
    slicer.util.loadScene(str(tmp_path / "saved.mrb"))
    (row,) = panel.rows()
    assert row.region == "corrected" and panel.data.problem() == "" and drawn_text(panel) == "2 corrected slices"
    assert panel.apply.shown.node() is row.segmentation and panel.apply.ui.shownFrame.isVisibleTo(panel.apply.uiWidget)
    erase(row.segmentation, row.volumes[0], 6)
    add(panel, wait_for)
    assert drawn_text(panel) == "3 corrected slices"
    (tmp_path / "results" / "CT.seg.nrrd").unlink()
    erase(row.segmentation, row.volumes[0], 7)
    panel.data.look_again()
    panel.refresh()
    assert "is not there" in panel.data.problem() and "I looked at all of it" in panel.data.problem()
    panel.apply.ui.addResultButton.click()
    wait_for(lambda: panel.apply.adding._row is None)
    assert "is not there" in panel.apply.ui.messageLabel.text
    panel.apply.ui.acceptedCheckBox.click()
    assert panel.rows()[0].region == "everywhere" and panel.data.problem() == ""
