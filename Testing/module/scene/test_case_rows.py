import json
from dataclasses import replace

import pytest
import slicer
from MedSegTrainerUI.scene.case_rows import CaseRow, free_name, read_rows, write_rows

pytestmark = pytest.mark.usefixtures("scene")


@pytest.fixture
def node():
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")


def make(class_name, name):
    return slicer.mrmlScene.AddNewNodeByClass(class_name, name)


@pytest.fixture
def rows():
    first, second, third = (make("vtkMRMLScalarVolumeNode", name) for name in ("T1", "T2", "CT"))
    return [
        CaseRow(name="P1", volumes=(first, second), segmentation=make("vtkMRMLSegmentationNode", "P1-seg")),
        CaseRow(name="file", use=False, images=("/data/a.nii.gz",), label="/data/l.nii.gz", segments=("liver",)),
        CaseRow(name="bare", volumes=(third,)),
    ]


def test_rows_are_read_as_they_were_written(node, rows):
    write_rows(node, rows)
    assert read_rows(node) == rows


def test_a_node_without_rows_has_none(node):
    assert read_rows(node) == []


def test_a_row_vanishes_with_any_of_its_nodes_and_the_others_keep_theirs(node, rows):
    write_rows(node, rows)
    slicer.mrmlScene.RemoveNode(rows[0].volumes[0])
    assert read_rows(node) == rows[1:]
    slicer.mrmlScene.RemoveNode(rows[2].volumes[0])
    assert read_rows(node) == rows[1:2]


def test_a_row_vanishes_with_its_segmentation(node, rows):
    write_rows(node, rows)
    slicer.mrmlScene.RemoveNode(rows[0].segmentation)
    assert read_rows(node) == rows[1:]


def test_writing_fewer_rows_forgets_the_references_of_the_others(node, rows):
    write_rows(node, rows)
    write_rows(node, rows[2:])
    assert read_rows(node) == rows[2:]
    write_rows(node, [*rows[2:], CaseRow(name="new", volumes=rows[0].volumes[:1])])
    assert read_rows(node)[1].segmentation is None and len(read_rows(node)[1].volumes) == 1


def test_where_a_case_was_labelled_is_remembered_and_outlives_its_roi(node, rows):
    roi = make("vtkMRMLMarkupsROINode", "R")
    labelled = [
        replace(rows[0], region="roi", roi=roi),
        replace(rows[1], drawn=("liver",), region="box", box=((0, 1, 2), (3, 4, 5)), ignore_label=-1),
        replace(rows[2], region="slices", axis="y"),
    ]
    write_rows(node, labelled)
    assert read_rows(node) == labelled
    slicer.mrmlScene.RemoveNode(roi)
    assert read_rows(node) == [replace(labelled[0], roi=None), *labelled[1:]]
    write_rows(node, rows)
    assert read_rows(node) == rows


def test_rows_of_earlier_scenes_were_labelled_everywhere(node, rows):
    write_rows(node, rows)
    entries = json.loads(node.GetParameter("rows"))
    for key in ("drawn", "ignore_label", "region", "axis", "box"):
        for entry in entries:
            del entry[key]
    node.SetParameter("rows", json.dumps(entries))
    assert read_rows(node) == rows


def test_observers_are_told_once(node, rows):
    calls = []
    node.AddObserver("ModifiedEvent", lambda caller, event: calls.append(event))
    write_rows(node, rows)
    assert len(calls) == 1


def test_rows_survive_a_saved_scene(node, rows, tmp_path):
    roi = make("vtkMRMLMarkupsROINode", "R")
    write_rows(node, [replace(rows[0], region="roi", roi=roi), *rows[1:]])
    path = tmp_path / "scene.mrml"
    slicer.mrmlScene.SetRootDirectory(str(tmp_path))
    assert slicer.mrmlScene.Commit(str(path))
    slicer.mrmlScene.Clear()
    make("vtkMRMLScalarVolumeNode", "another")  # takes the ID that a node of the file has
    slicer.mrmlScene.SetURL(str(path))
    slicer.mrmlScene.Import()
    again = read_rows(slicer.mrmlScene.GetNodesByClass("vtkMRMLScriptedModuleNode").GetItemAsObject(0))
    assert [row.name for row in again] == ["P1", "file", "bare"]
    assert [volume.GetName() for row in again for volume in row.volumes] == ["T1", "T2", "CT"]
    assert (again[0].region, again[0].roi.GetName()) == ("roi", "R")
    assert again[0].segmentation.GetName() == "P1-seg" and again[1] == rows[1]


@pytest.mark.parametrize(
    ("wanted", "taken", "name"),
    [
        ("CT", [], "CT"),
        ("CT", ["ct"], "CT 2"),
        ("CT", ["CT", "CT 2"], "CT 3"),
        ("4: CT/venous?", [], "4_ CT_venous_"),
        ("...", ["case"], "case 2"),
    ],
)
def test_names_can_be_those_of_files(wanted, taken, name):
    assert free_name(wanted, taken) == name
