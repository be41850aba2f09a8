"""The scene, nodes and fixtures: the same in Slicer and over the stand-in."""

from __future__ import annotations

import numpy as np
import slicer


def test_a_segmentation_keeps_its_masks(make_volume, make_segmentation):
    volume = make_volume("CT", np.zeros((7, 9, 11), np.int16))
    liver = np.zeros((7, 9, 11), np.uint8)
    liver[1:5, 2:7, 3:9] = 1
    tumor = np.zeros_like(liver)
    tumor[2:4, 3:5, 4:6] = 1

    node = make_segmentation("CT-seg", volume, {"liver": liver, "tumor": tumor, "cyst": None})

    names = [node.GetSegmentation().GetNthSegment(n).GetName() for n in range(3)]
    assert names == ["liver", "tumor", "cyst"]
    for index, mask in enumerate((liver, tumor)):
        identifier = node.GetSegmentation().GetNthSegmentID(index)
        assert np.array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(node, identifier, volume), mask)


def test_nodes_have_items_in_the_subject_hierarchy(scene, make_volume):
    volume = make_volume("CT", np.zeros((2, 3, 4), np.int16))
    hierarchy = scene.GetSubjectHierarchyNode()
    item = hierarchy.GetItemByDataNode(volume)
    assert item and hierarchy.GetItemName(item) == "CT"
    scene.RemoveNode(volume)
    assert hierarchy.GetNumberOfItems() == 0


def test_a_segmentation_is_drawn_in_every_slice_view_unless_its_display_names_some(
    make_volume, make_segmentation, slice_views
):
    volume = make_volume("CT", np.zeros((2, 3, 4), np.int16))
    display = make_segmentation("seg", volume, {"liver": None}).GetDisplayNode()
    views = [node.GetID() for node in slice_views.nodes.values()]
    assert all(display.IsDisplayableInView(view) for view in views), "whatever they show"
    display.AddViewNodeID(views[0])
    assert [display.IsDisplayableInView(view) for view in views] == [True] + [False] * (len(views) - 1)
    display.RemoveAllViewNodeIDs()
    assert all(display.IsDisplayableInView(view) for view in views), "none named: all of them"


def test_slice_views_outlive_a_closed_scene(slice_views, scene, make_volume):
    slice_views.show(make_volume("CT", np.zeros((2, 3, 4), np.int16)))
    scene.Clear()
    assert all(view.GetScene() is scene and view.IsMappedInLayout() for view in slice_views.nodes.values())
    assert set(slice_views.layers().values()) == {(None, None)}


def test_a_hidden_node_has_no_item_that_the_user_could_hide_it_with(scene):
    node = scene.CreateNodeByClass("vtkMRMLSegmentationNode")
    node.UnRegister(None)
    node.SetHideFromEditors(True)
    scene.AddNode(node)
    item = scene.GetSubjectHierarchyNode().GetItemByDataNode(node)
    assert not item or node.GetHideFromEditors(), "in Slicer there is one, which its tree does not show"


def test_the_panel_of_the_module_is_one_and_others_can_be_made(medsegtrainer, module_widget):
    assert medsegtrainer.widgetRepresentation() is medsegtrainer.widgetRepresentation()
    assert medsegtrainer.widgetRepresentation().self() is not module_widget


def test_the_scene_is_fresh(scene):
    assert not slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
    assert not [node for node in nodes if node.GetAttribute("ModuleName") == "MedSegTrainer"]
