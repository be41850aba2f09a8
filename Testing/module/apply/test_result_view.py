from pathlib import Path

import numpy as np
import pytest
import slicer
from MedSegTrainerUI.apply.result_view import ResultView

SHAPE = (6, 8, 10)


class Section:
    """The widgets of the section Apply, and what is told and opened."""

    def __init__(self, module):
        resources = Path(module.path).parent / "Resources"
        self.uiWidget = slicer.util.loadUI(str(resources / "UI" / "ApplySection.ui"))
        self.ui = slicer.util.childWidgetVariables(self.uiWidget)
        self.told, self.opened = [], []
        self.shown = ResultView(self, lambda *nodes: self.opened.append(nodes))

    def tell(self, text, severity="error"):
        self.told.append(text)


@pytest.fixture
def section(scene, medsegtrainer):
    return Section(medsegtrainer)


@pytest.fixture
def view(section):
    return section.shown


@pytest.fixture
def results(make_volume, make_segmentation):
    """Two volumes with a liver, a tumor far from its middle, and nothing of a spleen."""
    liver, tumor = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    liver[1:5, 1:6, 1:6] = True
    tumor[2:4, 5:7, 8:10] = True
    found = []
    for name in ("CT_04", "CT_05"):
        volume = make_volume(name, np.arange(480, dtype=np.int16).reshape(SHAPE))
        masks = {"liver": liver, "tumor": tumor, "spleen": np.zeros(SHAPE, bool)}
        found.append((volume, make_segmentation(f"{name} segmentation", volume, masks)))
    return found


def table(section):
    shown = section.ui.shownTable
    return [[shown.item(row, column).text() for column in range(2)] for row in range(shown.rowCount)]


def visible(results):
    return [bool(node.GetDisplayNode().GetVisibility()) for _volume, node in results]


def test_the_table_tells_how_large_each_segment_is_as_it_is_now(section, view, results):
    view.refresh()
    assert section.ui.shownFrame.isHidden()
    volume, node = results[0]
    view.add(node)
    view.refresh()
    voxel = float(np.prod(volume.GetSpacing())) / 1000
    assert [row[0] for row in table(section)] == ["liver", "tumor", "spleen"] and not section.ui.shownFrame.isHidden()
    sizes = [float(row[1]) for row in table(section)]
    assert sizes == pytest.approx([100 * voxel, 8 * voxel, 0], rel=0.01)
    segment = node.GetSegmentation().GetNthSegment(0)
    segment.SetName("Leber")
    segment.SetColor(0, 0, 1)
    view.refresh()
    item = section.ui.shownTable.item(0, 0)
    assert item.text() == "Leber" and item.icon().pixmap(14, 14).toImage().pixelColor(6, 6).blue() == 255


def test_what_has_not_changed_is_not_made_again(section, view, results):
    view.add(results[0][1])
    view.refresh()
    before = section.ui.shownTable.item(0, 0)
    view.refresh()
    assert section.ui.shownTable.item(0, 0) is before


def test_a_result_that_arrives_changes_no_view_and_a_click_shows_it(section, view, results, slice_views, make_volume):
    slice_views.show(make_volume("elsewhere", np.zeros(SHAPE, np.int16)))
    before = slice_views.layers()
    for _volume, node in results:
        node.GetDisplayNode().SetVisibility(False)
        view.add(node)
        view.refresh()
    assert slice_views.layers() == before and visible(results) == [False, False]
    section.ui.shownTable.cellClicked(1, 0)
    assert set(slice_views.layers().values()) == {(results[0][0].GetID(), None)} and visible(results) == [True, False]
    node = results[0][1]
    place = node.GetSegmentCenterRAS(node.GetSegmentation().GetNthSegmentID(1))
    matrix = next(iter(slice_views.nodes.values())).GetSliceToRAS()
    assert [matrix.GetElement(row, 3) for row in range(3)] == pytest.approx(place)
    section.ui.resultsTable.cellClicked(1, 0)
    assert set(slice_views.layers().values()) == {(results[1][0].GetID(), None)} and visible(results) == [False, True]
    section.ui.shownTable.cellClicked(2, 0)
    assert section.told == [], "an empty segment has no centre"


def test_a_fusion_with_the_volume_stays(section, view, results, slice_views, make_volume):
    slice_views.show(results[0][0], make_volume("PET", np.zeros(SHAPE, np.int16)))
    before = slice_views.layers()
    view.add(results[0][1])
    view.refresh()
    section.ui.shownTable.cellClicked(0, 0)
    assert slice_views.layers() == before


def test_in_3d_with_the_opacity_that_is_chosen(section, view, results):
    node = results[0][1]
    view.add(node)
    view.refresh()
    closed = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    assert not section.ui.solidButton.checked and section.ui.opacitySlider.value == 100
    section.ui.solidButton.click()
    assert node.GetSegmentation().ContainsRepresentation(closed) and node.GetDisplayNode().GetVisibility3D()
    section.ui.opacitySlider.value = 40
    assert node.GetDisplayNode().GetOpacity() == pytest.approx(0.4)
    node.GetDisplayNode().SetOpacity(0.7)
    view.refresh()
    assert section.ui.opacitySlider.value == 70 and section.ui.solidButton.checked
    section.ui.solidButton.click()
    assert not node.GetSegmentation().ContainsRepresentation(closed) and section.told == []


def test_edit_opens_the_editor_on_it_over_its_volume(section, view, results, slice_views):
    view.add(results[0][1])
    view.add(results[1][1])
    view.refresh()
    section.ui.resultsTable.cellClicked(1, 0)
    section.ui.editButton.click()
    assert section.opened == [(results[1][1], results[1][0])]
    assert set(slice_views.layers().values()) == {(results[1][0].GetID(), None)}


def test_what_is_removed_from_the_scene_goes(section, view, results, scene):
    for _volume, node in results:
        view.add(node)
    view.refresh()
    section.ui.resultsTable.cellClicked(1, 0)
    scene.RemoveNode(results[0][1])
    view.refresh()
    assert section.ui.resultsTable.rowCount == 1 and view.node() is results[1][1]
    scene.RemoveNode(results[1][0])
    section.ui.shownTable.cellClicked(0, 0)
    scene.RemoveNode(results[1][1])
    for act in (section.ui.editButton.click, section.ui.solidButton.click, view.refresh):
        act()
    assert view.node() is None and section.ui.shownFrame.isHidden() and section.told == []
