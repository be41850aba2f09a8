from dataclasses import replace

import numpy as np
import pytest
import slicer
import vtk
from MedSegTrainerUI.scene import export_labels as labels_module
from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.labelled_region import array_axis, find_slices_axis, labelled_voxels, region_facts
from MedSegTrainerUI.scene.segment_classes import find_classes

from MedSegTrainerLib.errors import DataError

SHAPE = (9, 13, 17)


def ellipsoid(shape=SHAPE):
    grid = np.indices(shape)
    middle = [(size - 1) / 2 for size in shape]
    return sum(((one - at) / (0.42 * size)) ** 2 for one, at, size in zip(grid, middle, shape, strict=True)) < 1


def keep(mask, axis, planes):
    kept = np.zeros_like(mask)
    index = [slice(None)] * 3
    index[axis] = list(planes)
    kept[tuple(index)] = mask[tuple(index)]
    return kept


@pytest.fixture
def make_row(make_volume, make_segmentation):
    def make(masks, transform=None, **region):
        volume = make_volume("CT", np.zeros(SHAPE, np.int16), transform=transform)
        return CaseRow(name="A", volumes=(volume,), segmentation=make_segmentation("S", volume, masks), **region)

    return make


@pytest.fixture
def transform():
    turned = vtk.vtkTransform()
    turned.Translate(12, -30, 5)
    turned.RotateX(35)
    turned.Scale(1, 1.5, 1)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "T")
    node.SetMatrixTransformToParent(turned.GetMatrix())
    return node


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(
    "planes", [[4], [4, 5], [2, 4, 6], [3, 6]], ids=["one", "two beside each other", "every second", "two apart"]
)
def test_the_direction_of_slices_is_found_from_what_is_drawn(axis, planes):
    assert find_slices_axis(keep(ellipsoid((11, 13, 12)), axis, planes)) == axis


def test_two_structures_beside_each_other_are_not_taken_for_slices():
    kidneys = np.zeros((20, 16, 24), bool)
    kidneys[8:11, 5:12, 2:9] = kidneys[8:11, 5:12, 15:22] = True  # three neighbouring axial slices of two organs
    assert find_slices_axis(kidneys) == 0


@pytest.mark.parametrize("mask", [np.ones((5, 5, 5), bool), ellipsoid((11, 13, 12))], ids=["cube", "ellipsoid"])
def test_what_was_drawn_in_no_direction_gives_none(mask):
    assert find_slices_axis(mask) is None


def test_directions_are_those_of_the_patient(make_volume):
    volume = make_volume("CT", np.zeros(SHAPE, np.int16))
    assert [array_axis(volume, axis) for axis in "xyz"] == [2, 1, 0]
    matrix = vtk.vtkMatrix4x4()  # a coronal series: i to the left, j downwards, k to the front
    matrix.DeepCopy((-0.8, 0, 0, 0, 0, 0, 3, 0, 0, -0.8, 0, 0, 0, 0, 0, 1))
    volume.SetIJKToRASMatrix(matrix)
    assert [array_axis(volume, axis) for axis in "xyz"] == [2, 0, 1]


def test_directions_are_those_that_the_views_show(make_volume):
    turn = vtk.vtkTransform()
    turn.RotateX(90)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "T")
    node.SetMatrixTransformToParent(turn.GetMatrix())
    volume = make_volume("CT", np.zeros(SHAPE, np.int16), transform=node)
    assert [array_axis(volume, axis) for axis in "xyz"] == [2, 0, 1]


@pytest.mark.parametrize(("axis", "name"), [(0, "z"), (1, "y"), (2, "x")])
def test_slices_with_something_in_them_are_known_as_a_whole(make_row, axis, name):
    mask = keep(ellipsoid(), axis, [3, 5])
    row = make_row({"liver": mask}, region="slices")
    facts = region_facts(row, find_classes([row], {}))
    assert (facts.axis, facts.slices, facts.voxels) == (name, 2, mask.sum())
    known = labelled_voxels(row, mask)
    assert [bool(plane.all()) for plane in np.moveaxis(known, axis, 0)] == [
        number in (3, 5) for number in range(SHAPE[axis])
    ]
    assert known.sum() == 2 * mask.size / SHAPE[axis]


def test_a_direction_that_was_chosen_counts(make_row):
    row = make_row({"liver": keep(ellipsoid(), 0, [4])}, region="slices", axis="x")
    assert region_facts(row, find_classes([row], {})).axis == "x"


def test_without_a_slice_or_a_direction_it_is_no_region(make_row):
    row = make_row({"liver": ellipsoid()}, region="slices")
    with pytest.raises(DataError, match="cannot be told"):
        region_facts(row, find_classes([row], {}))
    with pytest.raises(DataError, match="no slice has anything in it"):
        labelled_voxels(row, np.zeros(SHAPE, bool))


def turned_roi(volume, name="R", turn=25.0):
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    middle = matrix.MultiplyPoint((7, 6, 4, 1))[:3]
    placed = vtk.vtkTransform()
    placed.Translate(*middle)
    placed.RotateZ(turn)
    placed.RotateX(-17)
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", name)
    roi.SetCenter(0, 0, 0)
    roi.SetSize(6.3, 8.1, 11.7)
    roi.SetAndObserveObjectToNodeMatrix(placed.GetMatrix())
    return roi


def inside_as_it_is_shown(roi, volume):
    """Whether the centre of each voxel lies in the surface that Slicer draws of the ROI, in the world."""
    ijk_to_ras, to_world = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(ijk_to_ras)
    if volume.GetParentTransformNode() is not None:
        volume.GetParentTransformNode().GetMatrixTransformToWorld(to_world)
    points = vtk.vtkPoints()
    for k, j, i in np.ndindex(SHAPE):
        points.InsertNextPoint(to_world.MultiplyPoint(ijk_to_ras.MultiplyPoint((i, j, k, 1)))[:3])
    places = vtk.vtkPolyData()
    places.SetPoints(points)
    enclosed = vtk.vtkSelectEnclosedPoints()
    enclosed.SetInputData(places)
    enclosed.SetSurfaceData(roi.CreateROIBoxPolyDataWorld())
    enclosed.Update()
    return np.array([enclosed.IsInside(index) for index in range(points.GetNumberOfPoints())], bool).reshape(SHAPE)


@pytest.mark.parametrize("under", ["nothing", "volume", "roi", "both"])
def test_voxels_with_their_centre_in_the_box_that_is_shown_are_known(make_row, transform, under):
    row = make_row({"liver": ellipsoid()}, transform if under in ("volume", "both") else None, region="roi")
    volume = row.volumes[0]
    roi = turned_roi(volume)
    if under in ("roi", "both"):
        roi.SetAndObserveTransformNodeID(transform.GetID())
    if under in ("roi", "volume"):  # they lie apart: it is brought to where the volume lies in the world
        center, matrix = np.zeros(3), vtk.vtkMatrix4x4()
        volume.GetIJKToRASMatrix(matrix)
        volume.TransformPointToWorld(matrix.MultiplyPoint((7, 6, 4, 1))[:3], center)
        roi.SetCenterWorld(*center)
    row = replace(row, roi=roi)
    expected = inside_as_it_is_shown(roi, volume)
    assert 10 < expected.sum() < expected.size / 2
    np.testing.assert_array_equal(labelled_voxels(row, ellipsoid()), expected)
    facts = region_facts(row, find_classes([row], {}))
    assert (facts.voxels, facts.inside) == (ellipsoid().sum(), (expected & ellipsoid()).sum())


def test_a_transform_that_bends_space_is_no_matter_where_both_lie_under_it(make_row, make_roi):
    row = make_row({"liver": ellipsoid()}, region="roi")
    row = replace(row, roi=make_roi(row.volumes[0], (1, 4, 2), (8, 9, 3)))
    expected = labelled_voxels(row, ellipsoid()).copy()
    bent = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode", "warp")
    row.volumes[0].SetAndObserveTransformNodeID(bent.GetID())
    with pytest.raises(DataError, match="'warp' bends space"):
        labelled_voxels(row, ellipsoid())
    row.roi.SetAndObserveTransformNodeID(bent.GetID())
    np.testing.assert_array_equal(labelled_voxels(row, ellipsoid()), expected)


def test_a_roi_that_reaches_beyond_the_volume_is_cut(make_row, make_roi):
    row = make_row({"liver": ellipsoid()}, region="roi")
    row = replace(row, roi=make_roi(row.volumes[0], (-5, 4, 2), (8, 40, 3)))
    expected = np.zeros(SHAPE, bool)
    expected[2:4, 4:, :9] = True
    np.testing.assert_array_equal(labelled_voxels(row, ellipsoid()), expected)


def test_everywhere_is_everything(make_row):
    row = make_row({"liver": ellipsoid()})
    assert labelled_voxels(row, ellipsoid()).all()


def test_nothing_is_looked_at_again_until_something_has_changed(make_row, make_roi):
    row = make_row({"liver": ellipsoid()}, region="roi")
    row = replace(row, roi=make_roi(row.volumes[0], (0, 0, 0), (8, 8, 4)))
    classes = find_classes([row], {})
    first = region_facts(row, classes)
    assert region_facts(row, classes) is first
    row.roi.SetSize(3, 3, 3)
    assert region_facts(row, classes) is not first
    moved = region_facts(row, classes)
    segment = row.segmentation.GetSegmentation().GetNthSegmentID(0)
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        ellipsoid().astype(np.uint8)[::-1], row.segmentation, segment, row.volumes[0]
    )
    assert region_facts(row, find_classes([row], {})) is not moved
    assert labels_module.drawn_part(row.segmentation, row.volumes[0], classes).array.sum() == ellipsoid().sum()
