"""A model trained in the panel is applied to a folder of twelve, one of which cannot be read, and says what to draw."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import played_session as played
import pytest
import qt
import slicer

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "hippocampus"
TRAINING, UNDRAWN = ("hippocampus_001", "hippocampus_004", "hippocampus_006"), ("hippocampus_007", "hippocampus_011")
COUNT = 12
MOST_SECONDS = 0.05  # of a callback


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve volumes; of one only the beginning was copied."""
    if not DATA.is_dir():
        pytest.skip(f"needs real volumes in {DATA}")
    images = tmp_path / "patients"
    images.mkdir()
    files = sorted((DATA / "imagesTr").glob("*.nii.gz"))[10 : 10 + COUNT]
    for file in files:
        shutil.copy(file, images)
    broken = images / files[4].name
    broken.write_bytes(broken.read_bytes()[:2000])
    return images


@pytest.fixture
def session(folder: Path, scene: Any, medsegtrainer: Any, tmp_path: Path, request: Any, wait_for: Any) -> Any:
    """A panel whose environment is tested."""
    before = {name: slicer.util.settingsValue(f"MedSegTrainer/{name}", "") for name in ("Folder", "Python")}
    qt.QSettings().setValue("MedSegTrainer/Folder", str(tmp_path / "home"))
    played.leave_tested(tmp_path / "home")
    yield played.Session(request.getfixturevalue("module_widget").panel, wait_for)
    for name, value in before.items():
        qt.QSettings().setValue(f"MedSegTrainer/{name}", value)


def train(session: Any, make_segmentation: Any) -> str:
    """A network too small to be good; the path of its model."""
    panel, settings = session.panel, {**played.SMALL, "trainer.epochs": "2"}
    for name in TRAINING:
        volume = played.load_hippocampus(DATA, name)
        played.load_hippocampus_label(DATA, name, volume, make_segmentation)
    panel.data.ui.addAllButton.click()
    session.set_advanced(settings)
    watch = session.start_training()
    session.wait_for(lambda: not watch.working, 10 * played.MINUTE)
    assert watch.folder.model.exists(), watch.folder.log_file.read_text()[-2000:]
    panel.refresh()
    assert panel.parameters.model == str(watch.folder.path)
    return str(watch.folder.path)


def apply_to_folder(session: Any, folder: Path, tmp_path: Path) -> Any:
    """Section 3, Many volumes; the scene is saved in the middle of it, and loaded again."""
    panel = session.panel
    many, ui = panel.apply.many, panel.apply.many.ui
    session.open("apply")
    panel.apply.ui.manyButton.collapsed = False
    panel.apply.ui.uncertaintyCheckBox.click()
    ui.folderPathLineEdit.setCurrentPath(str(folder))
    assert ui.applyAllButton.enabled, ui.applyAllButton.toolTip
    ui.applyAllButton.click()
    session.wait_for(lambda: many.run.results, 10 * played.MINUTE)
    slicer.util.saveScene(str(tmp_path / "middle.mrb"))
    slicer.mrmlScene.Clear()
    slicer.util.loadScene(str(tmp_path / "middle.mrb"))
    assert len(panel.rows()) == len(TRAINING) and many.working
    session.wait_for(lambda: not many.working, 10 * played.MINUTE)
    return many


def look_at_results(many: Any, folder: Path) -> None:
    """The table: what failed comes first, and all others are there, the worst before the better ones."""
    table, results = many.ui.casesTable, many.run.results
    assert table.rowCount == COUNT, many.ui.manyMessageLabel.text
    broken = sorted(folder.glob("*.nii.gz"))[4]
    assert table.item(0, 0).text() == broken.name.removesuffix(".nii.gz") and broken.name in table.item(0, 2).text()
    assert many.ui.manyMessageLabel.text.startswith(f"{COUNT - 1} segmented, 1 not: the table says why.")
    known = [case.likely_dice for case in results if case.likely_dice is not None]
    assert known == sorted(known) and all(0 <= dice <= 1 for dice in known)
    files = {file.name for file in (folder / "segmentations").glob("*.seg.nrrd")}
    assert files == {case.label_map for case in results[1:]} and len(files) == COUNT - 1


def load_one(session: Any, many: Any) -> Any:
    """A click on a row; the segmentation, with its uncertainty shown."""
    shown = session.panel.apply.shown
    many.ui.casesTable.cellClicked(1, 0)
    node = shown.node()
    assert node is not None and node.GetName() == f"{many.run.results[1].name} segmentation"
    names = [node.GetSegmentation().GetNthSegment(index).GetName() for index in range(2)]
    assert names == list(played.HIPPOCAMPUS) and shown.ui.unsureButton.enabled
    shown.ui.unsureButton.click()
    map_node = slicer.util.getNode(f"{many.run.results[1].name} uncertainty")
    values = slicer.util.arrayFromVolume(map_node)
    assert values.min() >= 0 and 0.05 < values.max() <= 1.001, "a model so young is not sure everywhere"
    return node


def measure(session: Any, many: Any) -> None:
    """The table of Segment Statistics, of all eleven."""
    many.ui.allStatisticsButton.click()
    session.wait_for(lambda: "are in the table" in many.ui.manyMessageLabel.text, 2 * played.MINUTE)
    (table,) = slicer.util.getNodesByClass("vtkMRMLTableNode")[-1:]
    column = table.GetTable().GetColumnByName("Result")
    assert {column.GetValue(row) for row in range(column.GetNumberOfValues())} == {
        case.name for case in many.run.results[1:]
    }
    told = {(case.name, one.name): one.volume_ml for case in many.run.results[1:] for one in case.classes}
    sizes, segments = slicer.util.arrayFromTableColumn(table, "Volume [cm3] (1)"), table.GetTable()
    for row, size in enumerate(sizes):
        key = column.GetValue(row), segments.GetValueByName(row, "Segment").ToString()
        assert size == pytest.approx(told[key], rel=0.01, abs=1e-3)


def suggest(session: Any, model: str) -> None:
    """Section 1, Next to label: volumes that nobody has drawn, and what a model drew on; a suggestion is clicked."""
    panel, opened = session.panel, []
    panel.apply.models.choose(model)
    session.open("data")
    for name in UNDRAWN:
        played.load_hippocampus(DATA, name)
    panel.data.next.edit = lambda *nodes: opened.append(nodes)
    panel.data.ui.nextButton.collapsed = False
    panel.refresh()
    ui = panel.data.next.ui
    assert ui.suggestButton.enabled, ui.suggestLabel.text
    ui.suggestButton.click()
    session.wait_for(lambda: not panel.data.next.working, 10 * played.MINUTE)
    assert panel.data.next.suggestions, ui.suggestMessageLabel.text
    cases = {one.case for one in panel.data.next.suggestions}
    assert cases >= set(UNDRAWN) and not cases & set(TRAINING)
    ui.suggestionsTable.cellClicked(0, 0)
    assert len(opened) == 1, ui.suggestMessageLabel.text
    segmentation, volume = opened[0]
    assert volume.GetName() == panel.data.next.suggestions[0].case and panel.apply.shown.node() is not None
    view = slicer.util.getNodesByClass("vtkMRMLSliceNode")[0].GetSliceToRAS()
    center = [view.GetElement(row, 3) for row in range(3)]
    assert center == pytest.approx(panel.data.next.suggestions[0].center, abs=1e-3)
    assert segmentation.GetAttribute("MedSegTrainer.prediction")
    inverse = slicer.vtkMRMLSliceNode().GetXYToRAS()
    volume.GetRASToIJKMatrix(inverse)
    voxel = slicer.util.arrayFromVTKMatrix(inverse) @ [*center, 1]
    axis = {"x": 0, "y": 1, "z": 2}[panel.data.next.suggestions[0].axis]
    directions = np.abs(slicer.util.arrayFromVTKMatrix(inverse)[:3, axis])
    assert voxel[int(directions.argmax())] == pytest.approx(panel.data.next.suggestions[0].slice, abs=0.5)


@pytest.mark.slow  # a training and thirteen volumes
@pytest.mark.usefixtures("slice_views", "torch_python")
def test_a_folder_of_twelve_and_what_to_draw_next(
    session: Any, folder: Path, make_segmentation: Any, tmp_path: Path, screenshot: Any
) -> None:
    model = train(session, make_segmentation)
    timings = played.Timings(session.panel)
    many = apply_to_folder(session, folder, tmp_path)
    look_at_results(many, folder)
    load_one(session, many)
    screenshot(session.panel.apply.uiWidget, "session-many")
    suggest(session, model)
    screenshot(session.panel.data.uiWidget, "session-next")
    slowest = max(timings.callbacks(1))
    print(timings.describe())
    measure(session, many)
    assert slowest < MOST_SECONDS
