import pytest
import qt
import slicer
from MedSegTrainerUI.data import tables as data_tables
from MedSegTrainerUI.data.tables import class_cells, pair_cells
from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.shared import tables as shared_tables
from MedSegTrainerUI.shared.tables import Cell, fill, format_ml, selected_rows

pytestmark = pytest.mark.usefixtures("scene")


class Found:
    def __init__(self, severity, message, remedy):
        self.severity, self.message, self.remedy = severity, message, remedy


class Item:
    def __init__(self, name, *segments, ml=1480.4):
        self.name, self.segments, self.color = name, segments or (name,), (221, 130, 101)
        self.cases, self.drawn, self.ml = 3, 5, ml


@pytest.fixture
def table():
    table = qt.QTableWidget()
    table.setColumnCount(4)
    shared_tables.prepare(table, (1,))
    return table


def test_a_row_of_nodes_shows_their_names():
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "P1-seg")
    for name in ("liver", "tumor"):
        segmentation.GetSegmentation().AddEmptySegment(name, name)
    volumes = tuple(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name) for name in ("T1", "T2"))
    (cells,) = pair_cells([CaseRow(name="P1", volumes=volumes, segmentation=segmentation)], {}, {})
    assert [cell.text for cell in cells] == ["", "T1, T2", "P1-seg", "liver, tumor", "ok"]
    assert cells[0].checked is True


def test_the_worst_finding_is_shown_and_all_are_in_the_tooltip():
    found = [Found("note", "small.", "Look."), Found("error", "empty.", "Paint."), Found("warning", "far.", "Move.")]
    row = CaseRow(name="A", images=("a.nii",), label="l.nii", segments=("liver",))
    cell = pair_cells([row], {"A": found}, {})[0][data_tables.FINDINGS]
    assert cell.text == "empty. (+2)" and cell.dot == shared_tables.DOT_COLORS["error"]
    assert cell.tip == "empty. Paint.\nfar. Move.\nsmall. Look."


def test_an_unused_row_is_faint_and_says_so():
    cells = pair_cells([CaseRow(name="A", use=False, images=("a.nii",), label="l.nii")], {}, {})[0]
    assert cells[0].checked is False and cells[data_tables.FINDINGS].text == "not used"
    assert all(cell.faint for cell in cells[1:])


def test_classes_that_are_left_out_come_last_and_have_no_check_mark():
    kept, dropped = class_cells([Item("liver", "liver", "Leber")], [Item("cyst")])
    assert [cell.text for cell in kept] == ["", "liver", "3", "1480"] and kept[0].checked
    assert kept[2].tip == "Cases that have it; it was looked for in 5."
    assert "Leber" in kept[1].tip and kept[1].swatch == (221, 130, 101) and kept[1].editable
    assert dropped[0].checked is False and dropped[1].faint and not dropped[1].editable


def test_filling_tells_nobody_and_keeps_the_selection(table):
    changes = []
    table.connect("cellChanged(int,int)", lambda row, column: changes.append((row, column)))
    rows = class_cells([Item("liver"), Item("tumor")], [])
    fill(table, rows, 2)
    table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
    table.selectRow(1)
    fill(table, rows, 2)
    assert changes == [] and selected_rows(table) == [1]
    assert table.item(0, 0).checkState() == qt.Qt.Checked
    assert table.item(1, 1).text() == "tumor" and not table.item(1, 1).icon().isNull()
    table.item(0, 1).setText("organ")
    assert changes == [(0, 1)]


def test_the_table_is_as_high_as_its_rows_up_to_a_limit(table):
    heights = []
    for count in (0, 2, 4, 50, 60):
        fill(table, [[Cell(text="a")] * 4] * count, 2)
        heights.append(table.maximumHeight)
    assert heights[0] == heights[1] < heights[2] < heights[3] == heights[4]


@pytest.mark.parametrize(("ml", "text"), [(0.0214, "0.0214"), (22.04, "22"), (3.456, "3.46"), (1480.4, "1480")])
def test_volumes_have_three_figures(ml, text):
    assert format_ml(ml) == text


def test_only_cells_that_differ_are_made_again_and_columns_stay_as_wide_as_their_content(table):
    header, cells = table.horizontalHeader(), [[Cell(text="a"), Cell(), Cell(text="1"), Cell()] for _row in range(3)]
    fill(table, cells, 1)
    items = [table.item(row, 0) for row in range(3)]
    narrow = header.sectionSize(0)
    changed = [cells[0], [Cell(text="far wider than it was"), *cells[1][1:]], cells[2]]
    fill(table, changed, 1, cells)
    assert [table.item(row, 0) is item for row, item in enumerate(items)] == [True, False, True]
    assert table.item(1, 0).text() == changed[1][0].text and header.sectionSize(0) > narrow
    fill(table, changed, 1, [changed[0], [], changed[2]])
    assert table.item(1, 0).text() == changed[1][0].text, "made again where it is not known what is shown"
