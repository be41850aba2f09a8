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


def test_the_scene_is_fresh(scene):
    assert not slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
    assert not [node for node in nodes if node.GetAttribute("ModuleName") == "MedSegTrainer"]
