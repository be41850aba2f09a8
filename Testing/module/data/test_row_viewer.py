import numpy as np
import pytest
import qt
import slicer
from MedSegTrainerUI.data.tables import DRAWN, FINDINGS, SEGMENTATION, USE, VOLUMES
from MedSegTrainerUI.scene.case_checks import Finding
from MedSegTrainerUI.scene.row_views import speaks_of

SHAPE = (6, 8, 10)


@pytest.fixture(autouse=True)
def folder(scene, tmp_path):
    qt.QSettings().setValue("MedSegTrainer/Folder", str(tmp_path / "home"))


@pytest.fixture
def cases(panel, make_volume, make_segmentation):
    """Three rows; in each a large liver, and a small tumor far from its middle."""
    liver, tumor = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    liver[1:5, 1:6, 1:6] = True
    tumor[2:4, 5:7, 8:10] = True
    for name in ("CT_01", "CT_02", "CT_03"):
        volume = make_volume(name, np.arange(480, dtype=np.int16).reshape(SHAPE))
        make_segmentation(f"{name}-seg", volume, {"liver": liver, "tumor": tumor})
    panel.data.ui.addAllButton.click()
    return panel.rows()


def click(panel, row, column):
    panel.data.ui.pairsTable.cellClicked(row, column)


def test_a_click_on_a_row_shows_its_volume_with_its_segmentation_alone(panel, cases, slice_views, make_volume):
    slice_views.show(make_volume("elsewhere", np.zeros(SHAPE, np.int16)), cases[0].volumes[0])
    before = slice_views.layers()
    click(panel, 1, USE)
    assert slice_views.layers() == before, "the check mark shows nothing"
    for column in (VOLUMES, SEGMENTATION, FINDINGS):
        click(panel, 1, column)
        assert set(slice_views.layers().values()) == {(cases[1].volumes[0].GetID(), None)}
    shown = [bool(row.segmentation.GetDisplayNode().GetVisibility()) for row in cases]
    assert shown == [False, True, False]
    click(panel, 2, DRAWN)
    assert panel.data._drawnMenu.menu.visible and set(slice_views.layers().values()) == {
        (cases[1].volumes[0].GetID(), None)
    }, "a menu, and nothing else"
    panel.data._drawnMenu.menu.close()
    click(panel, 2, VOLUMES)
    assert [bool(row.segmentation.GetDisplayNode().GetVisibility()) for row in cases] == [False, False, True]


def test_a_click_on_a_finding_jumps_to_what_it_speaks_of(panel, cases, slice_views):
    warning = Finding(severity="warning", message="The tumor is far from the others.", remedy="Look.", case="CT_02")
    panel.data.findings = [Finding(severity="note", message="liver", remedy="", case="CT_02"), warning]
    click(panel, 1, FINDINGS)
    segmentation = cases[1].segmentation
    place = segmentation.GetSegmentCenterRAS(segmentation.GetSegmentation().GetSegmentIdBySegmentName("tumor"))
    for view in slice_views.nodes.values():
        matrix = view.GetSliceToRAS()
        assert [matrix.GetElement(row, 3) for row in range(3)] == pytest.approx(place)


def test_of_what_is_named_the_smallest_segment_is_shown_and_else_the_largest(cases):
    segment_id = cases[0].segmentation.GetSegmentation().GetSegmentIdBySegmentName

    def finding(text):
        return Finding(severity="warning", message=text, remedy="", case="CT_01")

    assert speaks_of(cases[0], [finding("'liver' and 'tumor' overlap")]) == segment_id("tumor")
    assert speaks_of(cases[0], [finding("Something else.")]) == segment_id("liver") == speaks_of(cases[0], [])


def test_a_row_of_files_says_where_it_lies(panel, slice_views):
    from MedSegTrainerUI.scene.case_rows import CaseRow, write_rows

    row = CaseRow(name="case 1", images=("/data/a.nii.gz",), label="/data/l.nii.gz", segments=("liver",), values=(1,))
    write_rows(panel.parameters.parameterNode, [row])
    panel.refresh()
    before = slice_views.layers()
    click(panel, 0, VOLUMES)
    assert slice_views.layers() == before and "case 1 lies in a folder" in panel.data.ui.messageLabel.text
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == []
