from dataclasses import replace

import pytest
import slicer
from MedSegTrainerUI.data.drawn_texts import drawn_cell
from MedSegTrainerUI.scene.case_drawing import Drawing
from MedSegTrainerUI.scene.case_rows import CaseRow

pytestmark = pytest.mark.usefixtures("scene")
ALL = Drawing(states={"liver": "drawn", "tumor": "absent"})
SOME = Drawing(states={"liver": "drawn", "tumor": "absent", "cyst": "not drawn"})
ROW = CaseRow(name="A")


def cell_of(row, drawing):
    return drawn_cell(row, drawing, ["Segment_1"])


def test_how_many_classes_were_looked_for_is_shown_and_which_in_the_tooltip():
    assert cell_of(ROW, ALL).text == "liver, tumor"
    cell = cell_of(ROW, SOME)
    assert cell.text == "2 of 3: liver, tumor"
    assert cell.tip.splitlines() == [
        "Drawn: liver.", "Looked for, and not there: tumor.", "Not drawn, so nothing is known of it: cyst.",
        "Drawn everywhere in the volume.", "A click changes it.",
    ]  # fmt: skip


def test_where_it_was_drawn_is_shown():
    slices = replace(ROW, region="slices")
    assert cell_of(slices, SOME).text == "2 of 3, slices: liver, tumor"
    twelve = cell_of(slices, replace(ALL, axis="z", slices=12)).tip
    assert "Drawn in the slices that have something in them: 12 axial ones." in twelve.splitlines()
    assert "Drawn in the slices that have something in them." in cell_of(slices, ALL).tip.splitlines()
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "left half")
    cell = cell_of(replace(ROW, region="roi", roi=roi), ALL)
    assert cell.text == "ROI: liver, tumor" and "Drawn inside the ROI left half." in cell.tip.splitlines()
    cell = cell_of(replace(ROW, region="box", images=("a.nii",), box=((0, 0, 0), (1, 1, 1))), ALL)
    assert cell.text == "box: liver, tumor" and cell.tip.endswith("Drawn inside a box that its folder names.")


def test_a_row_that_was_not_looked_at_or_is_not_used_shows_its_segments():
    assert (cell_of(ROW, None).text, cell_of(ROW, None).faint) == ("Segment_1", False)
    assert (cell_of(replace(ROW, use=False), ALL).text, cell_of(replace(ROW, use=False), None).faint) == (
        "Segment_1",
        True,
    )


def test_of_a_result_the_corrected_slices_are_shown(make_result_row):
    row = make_result_row("corrected")
    drawn = Drawing(states={"liver": "drawn"}, axis="y", slices=2)
    cell = cell_of(row, drawn)
    assert cell.text == "2 corrected slices"
    assert "only slices that were corrected count as drawn, 2 coronal ones up to now." in cell.tip
    assert cell_of(row, replace(drawn, slices=1)).text == "1 corrected slice"
    assert cell_of(row, replace(drawn, axis="", slices=0)).text == "0 corrected slices"
    assert cell_of(row, replace(drawn, states={"liver": "drawn", "cyst": "not drawn"})).text == (
        "1 of 2, 2 corrected slices"
    )
    whole = cell_of(replace(row, region="everywhere"), drawn)
    assert whole.text == "looked at all of it" and "you looked at all of it" in whole.tip


@pytest.fixture
def make_result_row(scene):
    def make(region):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "result")
        node.SetAttribute("MedSegTrainer.prediction", "somewhere")
        return CaseRow(name="A", segmentation=node, region=region)

    return make
