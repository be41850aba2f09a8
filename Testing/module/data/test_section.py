import json

import numpy as np
import pytest
import qt
import slicer
from MedSegTrainerUI.data.tables import CLASS, DRAWN, FINDINGS, LEARN, SEGMENTATION, USE
from tooltips import tooltip

from MedSegTrainerLib import atomic

SHAPE = (6, 8, 10)
RED, GREEN = (0.8, 0.2, 0.1), (0.1, 0.7, 0.3)


class ReadyEnvironment:
    """Instead of a process, writes at once what a check that is done has written."""

    ready, problem = True, ""

    def __init__(self, document):
        self.document, self.started = document, []

    def start(self, folder):
        self.started.append(json.loads(folder.job_file.read_text()))
        folder.report.mkdir()
        (folder.report / "verify.html").write_text("<p>fine</p>")
        (folder.report / "verify.json").write_text(json.dumps(self.document))
        event = {"seq": 1, "time": 1.0, "kind": "finished", "message": "", "result": ""}
        folder.events_file.write_text(json.dumps(event) + "\n")
        atomic.write_json(folder.status_file, {"state": "finished", "kind": "verify", "heartbeat": 9e9})


@pytest.fixture(autouse=True)
def folder(scene, tmp_path):
    """Jobs and environment of the test's own."""
    qt.QSettings().setValue("MedSegTrainer/Folder", str(tmp_path / "home"))
    yield tmp_path / "home"
    qt.QSettings().remove("MedSegTrainer/Folder")


@pytest.fixture
def data(panel):
    return panel.data


@pytest.fixture
def make_case(make_volume, make_segmentation):
    """A volume with boxes as segments; a size of 0 makes an empty one."""

    def make(name, **sizes):
        volume = make_volume(name, np.arange(480, dtype=np.int16).reshape(SHAPE))
        masks = {}
        for index, (segment, size) in enumerate(sizes.items()):
            mask = np.zeros(SHAPE, dtype=np.uint8)
            mask[1:4, index * 3 : index * 3 + 2, :size] = 1
            masks[segment] = mask
        colors = {"liver": RED, "tumor": GREEN}
        return volume, make_segmentation(f"{name}-seg", volume, masks, colors) if sizes else None

    return make


@pytest.fixture
def three(make_case, data):
    cases = [make_case("CT_01", liver=8, tumor=2), make_case("CT_02", liver=7, tumor=3), make_case("CT_03", liver=6)]
    data.ui.addAllButton.click()
    return cases


def texts(table, column):
    return [table.item(row, column).text() for row in range(table.rowCount)]


def test_an_empty_scene_says_how_to_begin(data):
    assert "Add all from scene" in data.problem()
    assert data.ui.problemLabel.text == data.problem() and not data.ui.problemLabel.isHidden()
    assert data.ui.statusLabel.text == "no volumes yet"
    assert not data.ui.checkButton.enabled and data.ui.checkButton.toolTip


def test_one_click_fills_the_table(three, data, panel):
    ui = data.ui
    assert [row.name for row in panel.rows()] == ["CT_01", "CT_02", "CT_03"]
    assert texts(ui.pairsTable, FINDINGS) == ["ok", "ok", "ok"]
    assert texts(ui.pairsTable, DRAWN) == ["liver, tumor", "liver, tumor", "1 of 2: liver"]
    assert texts(ui.classesTable, CLASS) == ["liver", "tumor"]
    assert ui.statusLabel.text == "3 volumes, 2 classes, ready" and data.problem() == ""
    ui.addAllButton.click()
    assert len(panel.rows()) == 3 and "already" in ui.messageLabel.text


def test_a_row_without_its_check_mark_is_not_used(three, data, panel):
    data.ui.pairsTable.item(1, USE).setCheckState(qt.Qt.Unchecked)
    assert [row.name for row in panel.rows()] == ["CT_01", "CT_03"]
    assert data.ui.statusLabel.text.startswith("2 volumes")
    data.ui.pairsTable.item(1, USE).setCheckState(qt.Qt.Checked)
    assert len(panel.rows()) == 3


def test_rows_are_removed(three, data, panel):
    assert not data.ui.removeButton.enabled
    data.ui.pairsTable.selectRow(0)
    assert data.ui.removeButton.enabled
    data.ui.removeButton.click()
    assert [row.name for row in panel.rows()] == ["CT_02", "CT_03"]


def test_a_pair_is_added_by_hand_and_again_with_another_segmentation(make_case, data, panel):
    volume, segmentation = make_case("CT_01", liver=5)
    ui = data.ui
    assert not ui.addPairButton.enabled and ui.addPairButton.toolTip
    ui.volumesSelector.setCheckState(volume, qt.Qt.Checked)
    ui.segmentationSelector.setCurrentNode(None)
    ui.addPairButton.click()
    assert data.problem().startswith("CT_01 has no segmentation")
    ui.volumesSelector.setCheckState(volume, qt.Qt.Checked)
    ui.segmentationSelector.setCurrentNode(segmentation)
    ui.addPairButton.click()
    assert [row.segmentation for row in panel.rows()] == [segmentation] and data.problem() == ""
    assert ui.volumesSelector.checkState(volume) == qt.Qt.Unchecked


def test_a_checked_volume_that_is_removed_is_not_added(make_case, data, panel, wait_for):
    volume, _segmentation = make_case("CT_01", liver=5)
    data.ui.volumesSelector.setCheckState(volume, qt.Qt.Checked)
    assert data.ui.addPairButton.enabled
    slicer.mrmlScene.RemoveNode(volume)
    data.ui.addPairButton.click()
    assert panel.rows() == [] and data.ui.messageLabel.text == "Choose a volume on the left first."
    wait_for(lambda: not data.ui.addPairButton.enabled)


def test_the_titles_of_the_table_are_readable(data, screenshot):
    """At the least width of the panel; Slicer's style needs more room for them than this one."""
    data.uiWidget.setFixedWidth(380)
    slicer.app.processEvents()
    header = data.ui.pairsTable.horizontalHeader()
    for column in (USE, SEGMENTATION, FINDINGS):
        assert header.sectionSize(column) >= header.sectionSizeHint(column)


def test_an_empty_segmentation_is_told(make_case, data):
    make_case("CT_01", liver=5)
    make_case("CT_02", liver=0)
    data.ui.addAllButton.click()
    assert texts(data.ui.pairsTable, FINDINGS)[1].startswith("All segments are empty: they count as looked for and not")
    assert data.problem() == "", "it may be so"
    make_case("CT_03", tumor=0)
    data.ui.addAllButton.click()
    assert data.problem().startswith(
        "'tumor' was looked for and is in no case. Draw it in one, or leave the class out."
    )
    assert data.ui.statusLabel.text.endswith("not ready")


def test_different_segment_names_are_merged_by_one_click(make_case, data, panel):
    make_case("CT_01", liver=5)
    make_case("CT_02", Leber=5)
    data.ui.addAllButton.click()
    for word in ("CT_01", "liver", "CT_02", "Leber"):
        assert word in data.ui.problemLabel.text
    assert data.problem() == "" and not data.ui.repairButton.isHidden()
    data.ui.repairButton.click()
    assert data.problem() == "" and data.ui.repairButton.isHidden()
    assert [(item.name, item.segments, item.cases) for item in panel.classes()] == [("liver", ("liver", "Leber"), 2)]


def test_classes_are_merged_renamed_left_out_and_reset(three, data, panel):
    table = data.ui.classesTable
    table.selectAll()
    data.ui.mergeButton.click()
    assert [item.name for item in panel.classes()] == ["liver"]
    data.ui.resetButton.click()
    assert [item.name for item in panel.classes()] == ["liver", "tumor"]
    table.item(1, CLASS).setText(" lesion ")
    assert [item.name for item in panel.classes()] == ["liver", "lesion"]
    table.selectRow(0)
    data.ui.leaveOutButton.click()
    assert [item.name for item in panel.classes()] == ["lesion"]
    assert texts(table, CLASS) == ["lesion", "liver"]
    table.item(1, LEARN).setCheckState(qt.Qt.Checked)
    assert [item.name for item in panel.classes()] == ["liver", "lesion"]
    table.item(0, CLASS).setText("")
    assert texts(table, CLASS) == ["liver", "lesion"]


def test_painting_is_seen_later_and_while_hidden_not_at_all(three, data, panel, wait_for):
    segmentation = three[2][1].GetSegmentation()
    segmentation.GetNthSegment(0).SetName("organ")
    assert texts(data.ui.classesTable, CLASS) == ["liver", "tumor"]
    wait_for(lambda: texts(data.ui.classesTable, CLASS) == ["liver", "tumor", "organ"])
    panel.exit()
    segmentation.GetNthSegment(0).SetName("spleen")
    panel.refresh()
    assert texts(data.ui.classesTable, CLASS) == ["liver", "tumor", "organ"]
    panel.enter()
    wait_for(lambda: texts(data.ui.classesTable, CLASS) == ["liver", "tumor", "spleen"])


def test_a_row_goes_with_its_volume_and_all_with_the_scene(three, data, panel, wait_for):
    slicer.mrmlScene.RemoveNode(three[0][0])
    assert len(panel.rows()) == 2
    wait_for(lambda: data.ui.pairsTable.rowCount == 2)
    slicer.mrmlScene.Clear()
    assert panel.rows() == [] and data.ui.pairsTable.rowCount == 0


def test_findings_of_a_check_come_into_their_rows_and_go_when_the_data_changes(three, data, panel, folder):
    finding = {"severity": "warning", "message": "Far away.", "remedy": "Look.", "case": "CT_02"}
    panel.environment = ReadyEnvironment({"findings": [finding]})
    panel.refresh()
    data.ui.checkButton.click()
    assert data.ui.checkButton.text == "Stop &check"
    data.onTimer()
    assert texts(data.ui.pairsTable, FINDINGS)[1] == "Far away." and data.ui.checkButton.text == "&Check data"
    assert "report" in data.ui.reportLabel.text
    assert not list(folder.glob("jobs/*/data"))
    data.ui.checkButton.click()
    data.onTimer()
    assert len(list(folder.glob("jobs/*"))) == 1
    data.ui.pairsTable.item(0, USE).setCheckState(qt.Qt.Unchecked)
    assert texts(data.ui.pairsTable, FINDINGS)[1] == "ok"


def test_the_cases_of_a_folder_become_rows(data, panel, folder):
    known = {"is_plain": True, "drawn": ["tumor"], "labelled_slices": "", "labelled_box": [[0, 0, 1], [9, 9, 2]]}
    cases = [
        {
            "name": name,
            "images": [f"/data/{name}.nii.gz"],
            "label": f"/data/{name}-l.nii.gz",
            "counts": {"error": error},
            **known,
        }
        for name, error in (("a", 0), ("b", 1))
    ]
    finding = {"severity": "error", "message": "Of another size.", "remedy": "Export again.", "case": "b"}
    classes = [{"name": "liver", "value": 2}, {"name": "tumor", "value": 5}]
    panel.environment = ReadyEnvironment(
        {"cases": cases, "classes": classes, "findings": [finding], "ignore_label": 255}
    )
    data.addFolder("/data")
    assert panel.environment.started[0]["config"]["train"]["data"]["data_dir"] == "/data"
    data.onTimer()
    (row,) = panel.rows()
    assert (row.name, row.drawn, row.region, row.box) == ("a", ("tumor",), "box", ((0, 0, 1), (9, 9, 2)))
    assert row.ignore_label == 255 and texts(data.ui.pairsTable, DRAWN)[0] == "1 of 2, box: tumor"
    assert [(item.name, item.value) for item in panel.classes()] == [("liver", 2), ("tumor", 5)]
    assert not list(folder.glob("jobs/*"))


def test_a_folder_of_overlapping_classes_is_refused_and_not_read_as_one_label_map(data, panel, folder):
    case = {
        "name": "a",
        "images": ["/d/a.nii.gz"],
        "label": "/d/liver.nii.gz",
        "counts": {"error": 0},
        "is_plain": False,
    }
    panel.environment = ReadyEnvironment({"cases": [case], "classes": [], "findings": [], "ignore_label": None})
    data.addFolder("/d")
    data.onTimer()
    assert panel.rows() == []
    assert data.ui.messageLabel.text.startswith("The classes of this folder overlap, or have a file each (first in a).")


def test_a_check_that_cannot_start_leaves_nothing_behind(make_case, data, panel, folder):
    make_case("CT_01", liver=0)
    data.ui.addAllButton.click()
    panel.environment = ReadyEnvironment({})
    panel.refresh()
    data.ui.checkButton.click()
    assert "'liver'" in data.ui.messageLabel.text and not data.ui.messageLabel.isHidden()
    assert not list(folder.glob("jobs/*")) and data.ui.checkButton.text == "&Check data"


def test_without_an_environment_the_check_says_why(three, data, panel):
    assert not data.ui.checkButton.enabled
    assert tooltip(data.ui.checkButton) == panel.environment.problem != ""


@pytest.mark.parametrize("width", [380, 480])
def test_it_fits_without_scrolling_sideways(make_case, data, screenshot, width):
    shot = Shot(data.uiWidget, screenshot, width)
    shot("empty")
    for case in (("CT_01", 8, 2), ("CT_02", 7, 3)):
        make_case(case[0], liver=case[1], tumor=case[2])
    make_case("CT_03", liver=6)
    data.ui.addAllButton.click()
    shot("filled")
    data.ui.classesTable.item(1, LEARN).setCheckState(qt.Qt.Unchecked)
    data.ui.pairsTable.item(1, USE).setCheckState(qt.Qt.Unchecked)
    shot("left-out")
    make_case("CT_04 with a very long name from the hospital", Leber=4)
    data.ui.addAllButton.click()
    shot("names")


class Shot:
    """A picture of the section as wide as the panel may be, in a window of its own."""

    def __init__(self, widget, screenshot, width):
        self.widget, self.screenshot, self.width = widget, screenshot, width

    def __call__(self, name):
        assert self.widget.minimumSizeHint.width() <= 380
        picture = qt.QWidget()
        box = qt.QVBoxLayout(picture)
        place = self.widget.parent()
        box.addWidget(self.widget)
        picture.setFixedWidth(self.width)
        picture.show()
        self.screenshot(picture, f"data-{name}-{self.width}")
        place.layout().addWidget(self.widget)
