import numpy as np
import pytest
import qt
import slicer
from MedSegTrainerUI.data.tables import DRAWN, FINDINGS
from tooltips import tooltip

SHAPE = (6, 8, 10)
BOTH, ONE = "liver, tumor", "1 of 2: liver"
CHOICES = {
    "drawn": "Drawn here", "absent": "Looked for, and not there", "not drawn": "Not drawn here",
    "left": "Not drawn here: what is there is not learned",
}  # fmt: skip


@pytest.fixture(autouse=True)
def folder(scene, tmp_path):
    qt.QSettings().setValue("MedSegTrainer/Folder", str(tmp_path / "home"))
    yield
    qt.QSettings().remove("MedSegTrainer/Folder")


@pytest.fixture
def data(panel, make_volume, make_segmentation):
    """Three cases: of the first all is drawn, of the second the tumor is absent, in the third it was not drawn."""
    liver, tumor = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    liver[1:4, 1:6, 1:8], tumor[3, 2:4, 2:6] = True, True
    for name, masks in (
        ("CT_01", {"liver": liver & ~tumor, "tumor": tumor}), ("CT_02", {"liver": liver, "tumor": None}),
        ("CT_03", {"liver": liver}),
    ):  # fmt: skip
        make_segmentation(f"{name}-seg", make_volume(name, np.arange(480, dtype=np.int16).reshape(SHAPE)), masks)
    panel.data.ui.addAllButton.click()
    return panel.data


def texts(data, column=DRAWN):
    return [data.ui.pairsTable.item(row, column).text() for row in range(data.ui.pairsTable.rowCount)]


def select(data, *rows):
    table = data.ui.pairsTable
    table.clearSelection()
    for row in rows:
        for column in range(table.columnCount):
            table.item(row, column).setSelected(True)


def entries(data, *path):
    """Of the menu, or of one below it: text and whether it has a check mark, '' for a line between them."""
    drawn = data._drawnMenu
    drawn.menu.aboutToShow()
    (menu,) = [one for text, one in drawn.submenus.items() if text.startswith(path[0])] if path else [drawn.menu]
    return {action.text: action for action in menu.actions()}


def choose(data, *path):
    entries(data, *path[:-1])[path[-1]].trigger()


def test_the_menu_says_what_is_so_in_the_selected_case(data):
    assert texts(data) == [BOTH, BOTH, ONE]
    assert not data.ui.drawnButton.enabled and tooltip(data.ui.drawnButton) == "Select a row of the table first."
    select(data, 1)
    assert data.ui.drawnButton.enabled
    assert list(entries(data))[:2] == ["liver: drawn", "tumor: looked for, not there"]
    assert {text: action.checked for text, action in entries(data, "tumor").items()} == {
        CHOICES["absent"]: True, CHOICES["not drawn"]: False,
    }  # fmt: skip
    assert {text: action.checked for text, action in entries(data, "liver").items()} == {
        CHOICES["drawn"]: True, CHOICES["left"]: False,
    }  # fmt: skip
    assert entries(data)["Drawn everywhere in the volume"].checked


def test_a_class_is_said_to_be_absent_not_drawn_and_drawn_again(data, panel):
    select(data, 2)
    choose(data, "tumor", CHOICES["absent"])
    assert texts(data) == [BOTH] * 3
    content = panel.rows()[2].segmentation.GetSegmentation()
    assert content.GetNthSegment(1).GetName() == "tumor"
    select(data, 0, 2)
    choose(data, "tumor", CHOICES["left"])
    assert texts(data) == [ONE, BOTH, ONE] and content.GetNumberOfSegments() == 2
    choose(data, "tumor", CHOICES["drawn"])
    assert texts(data) == [BOTH, BOTH, ONE], "only where there is something"
    choose(data, "tumor", CHOICES["absent"])
    assert texts(data) == [BOTH] * 3


def test_a_class_that_no_case_has_any_more_keeps_the_training_from_starting(data):
    select(data, 0)
    choose(data, "tumor", CHOICES["left"])
    assert data.problem() == "'tumor' was looked for and is in no case. Draw it in one, or leave the class out."
    choose(data, "tumor", CHOICES["drawn"])
    assert data.problem() == ""


def test_where_it_was_drawn_is_chosen_for_several_cases_at_once(data, panel):
    select(data, 0, 2)
    slices = "Drawn in the slices that have something in them"
    choose(data, slices, "axial slices")
    assert texts(data) == [f"slices: {BOTH}", BOTH, "1 of 2, slices: liver"]
    assert "3 axial ones" in data.ui.pairsTable.item(0, DRAWN).toolTip()
    assert [(row.region, row.axis) for row in panel.rows()] == [("slices", "z"), ("everywhere", ""), ("slices", "z")]
    assert [action.checked for action in entries(data, slices).values()] == [False, True, False, False]
    choose(data, "Drawn everywhere in the volume")
    assert texts(data) == [BOTH, BOTH, ONE]


def test_a_roi_is_chosen_and_missed_when_it_is_gone(data, panel, make_roi, wait_for):
    select(data, 0)
    (note,) = [text for text in entries(data) if "ROI" in text]
    assert note == "Drawn inside a ROI: there is none, make one in the module Markups"
    assert not entries(data)[note].enabled
    roi = make_roi(panel.rows()[0].volumes[0], (0, 0, 0), (9, 7, 5), "R & D")
    choose(data, "Drawn inside the ROI", "R && D")
    assert texts(data)[0] == f"ROI: {BOTH}" and panel.rows()[0].roi is roi and data.problem() == ""
    slicer.mrmlScene.RemoveNode(roi)
    wait_for(lambda: "is gone" in data.problem())
    assert "is gone" in texts(data, FINDINGS)[0]
    choose(data, "Drawn everywhere in the volume")
    assert data.problem() == ""


def test_a_roi_that_is_moved_is_looked_at_again(data, panel, make_roi, wait_for):
    select(data, 0)
    roi = make_roi(panel.rows()[0].volumes[0], (0, 0, 0), (9, 7, 5), "R")
    choose(data, "Drawn inside the ROI", "R")
    roi.SetSize(0.1, 0.1, 0.1)
    wait_for(lambda: "ROI R" in data.problem())
    assert "lies outside" in data.problem() or "Nothing is drawn inside" in data.problem()


def test_it_survives_a_saved_scene(data, panel, module_widget, tmp_path):
    select(data, 0)
    choose(data, "tumor", CHOICES["left"])
    choose(data, "Drawn in the slices that have something in them", "Direction found from what is drawn")
    select(data, 1)
    before = [(row.name, row.region, row.axis) for row in panel.rows()]
    slicer.mrmlScene.SetRootDirectory(str(tmp_path))
    for node in slicer.util.getNodesByClass("vtkMRMLStorableNode"):
        if node.IsA("vtkMRMLVolumeNode") or node.IsA("vtkMRMLSegmentationNode"):
            node.AddDefaultStorageNode()
            end = "seg.nrrd" if node.IsA("vtkMRMLSegmentationNode") else "nrrd"
            node.GetStorageNode().SetFileName(str(tmp_path / f"{node.GetName()}.{end}"))
            assert node.GetStorageNode().WriteData(node)
    assert slicer.mrmlScene.Commit(str(tmp_path / "scene.mrml"))
    slicer.mrmlScene.Clear()
    assert panel.rows() == [] and texts(data) == []
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    slicer.mrmlScene.Import()
    panel.refresh()
    assert [(row.name, row.region, row.axis) for row in panel.rows()] == before
    assert data.problem() and texts(data)[0] == "1 of 2, slices: liver"


def test_menus_do_not_pile_up(data):
    select(data, 0)
    counts = []
    for _opened in range(3):
        entries(data)
        slicer.app.processEvents()
        qt.QCoreApplication.sendPostedEvents(None, qt.QEvent.DeferredDelete)
        counts.append(sum(child.inherits("QMenu") for child in data._drawnMenu.menu.children()))
    assert counts[0] == counts[2] == len(data._drawnMenu.submenus)


def test_cases_of_a_folder_are_only_shown(data, panel):
    from MedSegTrainerUI.scene.case_rows import CaseRow

    files = {"images": ("/d/a.nii",), "label": "/d/l.nii", "segments": ("liver", "tumor"), "values": (1, 2)}
    data.write([*panel.rows(), CaseRow(name="F", drawn=("tumor",), **files)])
    assert texts(data)[3] == "1 of 2: tumor"
    select(data, 3)
    ((text, action),) = entries(data).items()
    assert text == "These cases lie in a folder: its drawn.json says what was drawn in them." and not action.enabled


def test_a_click_on_the_cell_opens_the_menu_and_one_elsewhere_does_not(data):
    menu = data._drawnMenu.menu
    data.ui.pairsTable.selectRow(2)
    data.ui.pairsTable.cellClicked(2, FINDINGS)
    assert not menu.visible
    data.ui.pairsTable.cellClicked(2, DRAWN)
    assert menu.visible and [action.text for action in menu.actions()][:2] == ["liver: drawn", "tumor: not drawn"]
    menu.close()


def test_what_the_menu_looks_like(data, module_widget, screenshot, make_roi, panel):
    make_roi(panel.rows()[0].volumes[0], (0, 0, 0), (9, 7, 5), "R")
    select(data, 2)
    panel.folding.open("data")
    screenshot(module_widget.parent, "drawn-table")
    data._drawnMenu.menu.popup(qt.QPoint(0, 0))
    screenshot(data._drawnMenu.menu, "drawn-menu")
    data._drawnMenu.menu.close()
