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


def test_how_many_classes_were_looked_for_is_shown_and_which_in_the_tooltip():
    assert drawn_cell(ROW, ALL).text == "all"
    cell = drawn_cell(ROW, SOME)
    assert cell.text == "2 of 3"
    assert cell.tip.splitlines() == [
        "Drawn: liver.", "Looked for, and not there: tumor.", "Not drawn, so nothing is known of it: cyst.",
        "Drawn everywhere in the volume.",
    ]  # fmt: skip


def test_where_it_was_drawn_is_shown():
    slices = replace(ROW, region="slices")
    assert drawn_cell(slices, SOME).text == "2 of 3, slices"
    assert drawn_cell(slices, replace(ALL, axis="z", slices=12)).tip.endswith(
        "Drawn in the slices that have something in them: 12 axial ones."
    )
    assert drawn_cell(slices, ALL).tip.endswith("Drawn in the slices that have something in them.")
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "left half")
    cell = drawn_cell(replace(ROW, region="roi", roi=roi), ALL)
    assert cell.text == "all, ROI" and cell.tip.endswith("Drawn inside the ROI left half.")
    cell = drawn_cell(replace(ROW, region="box", box=((0, 0, 0), (1, 1, 1))), ALL)
    assert cell.text == "all, box" and "its folder" in cell.tip


def test_a_row_that_was_not_looked_at_yet_or_is_not_used():
    assert drawn_cell(ROW, None).text == "..."
    assert drawn_cell(replace(ROW, use=False), None).text == ""
