import numpy as np
import pytest
import slicer
import vtk
from MedSegTrainerUI.scene.case_checks import check_rows
from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.export_labels import find_overlaps, label_map
from MedSegTrainerUI.scene.segment_classes import find_classes
from MedSegTrainerUI.scene.segment_layers import segment_volumes, stored_layers

from MedSegTrainerLib.errors import DataError

SHAPE = (9, 13, 17)


@pytest.fixture
def volume(make_volume):
    return make_volume("CT", np.zeros(SHAPE, np.int16))


@pytest.fixture
def masks():
    liver, tumor = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    liver[2:7, 3:10, 4:14] = True
    tumor[3:5, 5:8, 6:10] = True
    liver &= ~tumor
    return {"liver": liver, "tumor": tumor}


def linear(name, scale=(1.0, 1.0, 1.0)):
    transform = vtk.vtkTransform()
    transform.Translate(12, -30, 5)
    transform.RotateX(11)
    transform.RotateZ(35)
    transform.Scale(*scale)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
    node.SetMatrixTransformToParent(transform.GetMatrix())
    return node


def classes_of(segmentation, names=None, volume=None):
    row = CaseRow(name="x", volumes=(volume,) if volume else (), segmentation=segmentation)
    return find_classes([row], names or {})


def expected(masks):
    return sum(value * mask.astype(np.uint8) for value, mask in enumerate(masks.values(), start=1))


def test_labels_have_the_values_of_the_classes_on_the_voxels_of_the_volume(volume, make_segmentation, masks, tmp_path):
    segmentation = make_segmentation("S", volume, masks)
    labels = label_map(segmentation, volume, classes_of(segmentation))
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, expected(masks))


@pytest.mark.parametrize("kind", ["both", "volume", "segmentation", "different", "chain"])
def test_parent_transforms_are_undone(volume, make_segmentation, masks, kind):
    """The segmentation is moved so that in the world it lies where it was drawn on the volume."""
    segmentation = make_segmentation("S", volume, masks)
    first, second = linear("a"), linear("b", (1.0, 1.5, 1.0))
    inverse = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "inverse")
    a, b = (slicer.util.arrayFromTransformMatrix(node) for node in (first, second))
    own, others, undo = {
        "both": (first, first, np.eye(4)),
        "volume": (first, None, a),
        "segmentation": (None, first, np.linalg.inv(a)),
        "different": (first, second, np.linalg.inv(b) @ a),
        "chain": (second, second, np.eye(4)),
    }[kind]
    if kind == "chain":
        second.SetAndObserveTransformNodeID(first.GetID())
    slicer.util.updateTransformMatrixFromArray(inverse, undo)
    segmentation.SetAndObserveTransformNodeID(inverse.GetID())
    segmentation.HardenTransform()
    for node, transform in ((volume, own), (segmentation, others)):
        node.SetAndObserveTransformNodeID(transform.GetID() if transform else None)
    labels = label_map(segmentation, volume, classes_of(segmentation))
    np.testing.assert_array_equal(labels, expected(masks))


def test_a_transform_between_them_moves_the_labels(make_volume, make_segmentation, masks):
    volume = make_volume("CT", np.zeros(SHAPE, np.int16), oblique=False)
    segmentation = make_segmentation("S", volume, masks)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "T")
    matrix = np.eye(4)
    matrix[:3, 3] = (2, -1, 1)
    slicer.util.updateTransformMatrixFromArray(node, matrix)
    segmentation.SetAndObserveTransformNodeID(node.GetID())
    labels = label_map(segmentation, volume, classes_of(segmentation))
    np.testing.assert_array_equal(labels, np.roll(expected(masks), (1, -1, 2), axis=(0, 1, 2)))


def test_axes_that_run_the_other_way_are_followed(make_volume, make_segmentation, masks):
    volume = make_volume("CT", np.zeros(SHAPE, np.int16), oblique=False)
    segmentation = make_segmentation("S", volume, masks)
    flipped = make_volume("flipped", np.zeros((17, 9, 13), np.int16), oblique=False)
    matrix = vtk.vtkMatrix4x4()  # i, j, k of the flipped volume run along -y, z and -x
    matrix.DeepCopy((0, 0, -1, 16, -1, 0, 0, 12, 0, 1, 0, 0, 0, 0, 0, 1))
    flipped.SetIJKToRASMatrix(matrix)
    found = label_map(segmentation, flipped, classes_of(segmentation))
    np.testing.assert_array_equal(found, expected(masks)[:, ::-1, ::-1].transpose(2, 0, 1))


def test_finer_segments_are_sampled_at_the_centres_of_the_voxels(make_volume, make_segmentation):
    fine = make_volume("fine", np.zeros((12, 12, 12), np.int16), oblique=False)
    coarse = make_volume("coarse", np.zeros((4, 4, 4), np.int16), oblique=False)
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy((3, 0, 0, 1, 0, 3, 0, 1, 0, 0, 3, 1, 0, 0, 0, 1))
    coarse.SetIJKToRASMatrix(matrix)
    mask = np.zeros((12, 12, 12), bool)
    mask[3:9, 0:5, 4:8] = True  # centres at 1, 4, 7, 10
    segmentation = make_segmentation("S", fine, {"a": mask})
    np.testing.assert_array_equal(label_map(segmentation, coarse, classes_of(segmentation)), mask[1::3, 1::3, 1::3])


def test_segments_beyond_the_volume_are_cut(make_volume, make_segmentation, masks):
    large = make_volume("large", np.zeros(SHAPE, np.int16))
    small = make_volume("small", np.zeros((6, 8, 9), np.int16))
    segmentation = make_segmentation("S", large, masks)
    np.testing.assert_array_equal(label_map(segmentation, small, classes_of(segmentation)), expected(masks)[:6, :8, :9])


def test_segments_of_two_classes_may_not_overlap_without_being_asked_for(volume, make_segmentation, masks):
    masks["liver"] = masks["liver"] | masks["tumor"]
    segmentation = make_segmentation("S", volume, masks)
    classes = classes_of(segmentation)
    ml = 24 * 0.8 * 1.1 * 2.5 / 1000
    with pytest.raises(DataError, match=f"'liver' and 'tumor' overlap \\({ml:.2g} ml\\)"):
        label_map(segmentation, volume, classes)
    assert [(a.name, b.name, count) for a, b, count in find_overlaps(segmentation, volume, classes)] == [
        ("liver", "tumor", 24)
    ]


def test_the_later_class_wins_where_that_is_asked_for(volume, make_segmentation, masks):
    whole = masks["liver"] | masks["tumor"]
    segmentation = make_segmentation("S", volume, {"tumor": masks["tumor"], "liver": whole})
    classes = classes_of(segmentation)
    over = label_map(segmentation, volume, classes, overlap="order")
    np.testing.assert_array_equal(over, 2 * whole)
    under = label_map(segmentation, volume, classes[::-1], overlap="order")
    np.testing.assert_array_equal(under, np.where(masks["tumor"], 1, 2 * whole))


def test_segments_merged_into_one_class_may_overlap(volume, make_segmentation, masks):
    whole = masks["liver"] | masks["tumor"]
    segmentation = make_segmentation("S", volume, {"liver": whole, "tumor": masks["tumor"]})
    classes = classes_of(segmentation, {"tumor": "liver"})
    assert [item.segments for item in classes] == [("liver", "tumor")]
    np.testing.assert_array_equal(label_map(segmentation, volume, classes), whole)
    assert find_overlaps(segmentation, volume, classes) == []


def test_what_is_left_out_is_background_also_where_it_overlaps(volume, make_segmentation, masks):
    whole = masks["liver"] | masks["tumor"]
    segmentation = make_segmentation("S", volume, {"tumor": masks["tumor"], "liver": whole})
    np.testing.assert_array_equal(label_map(segmentation, volume, classes_of(segmentation, {"Tumor ": ""})), whole)


def test_hidden_segments_count_and_empty_ones_do_no_harm(volume, make_segmentation, masks):
    segmentation = make_segmentation("S", volume, {**masks, "nothing": None})
    segmentation.GetDisplayNode().SetSegmentVisibility(segmentation.GetSegmentation().GetNthSegmentID(0), False)
    np.testing.assert_array_equal(label_map(segmentation, volume, classes_of(segmentation)), expected(masks))


def test_a_segmentation_of_empty_segments_gives_zeros(volume, make_segmentation):
    segmentation = make_segmentation("S", volume, {"a": None, "b": None})
    assert not label_map(segmentation, volume, classes_of(segmentation)).any()


def test_more_than_255_classes_need_wider_numbers(make_volume, make_segmentation):
    volume = make_volume("CT", np.zeros((3, 10, 10), np.int16))
    values = np.arange(300).reshape(3, 10, 10)
    segmentation = make_segmentation("S", volume, {f"s{value}": values == value for value in range(0, 300, 30)})
    classes = [
        type(item)(**{**vars(item), "value": 280 + index}) for index, item in enumerate(classes_of(segmentation))
    ]
    labels = label_map(segmentation, volume, classes)
    assert labels.dtype == np.int16 and labels.max() == 289 and np.count_nonzero(labels) == 10
    assert labels.ravel()[270] == 289


def test_sixty_segments_come_out_exactly(volume, make_segmentation):
    numbers = np.random.default_rng(1).integers(0, 61, SHAPE)
    segmentation = make_segmentation("S", volume, {f"s{value:02d}": numbers == value for value in range(1, 61)})
    np.testing.assert_array_equal(label_map(segmentation, volume, classes_of(segmentation)), numbers)


def sphere(radius, center):
    source = vtk.vtkSphereSource()
    source.SetRadius(radius)
    source.SetCenter(*center)
    source.SetThetaResolution(64)
    source.SetPhiResolution(64)
    source.Update()
    return source.GetOutput()


@pytest.fixture
def surfaces():
    """A segmentation that has surfaces and no voxels."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "surfaces")
    node.CreateDefaultDisplayNodes()
    name = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    node.GetSegmentation().SetSourceRepresentationName(name)
    segment = slicer.vtkSegment()
    segment.SetName("ball")
    segment.AddRepresentation(name, sphere(10, (20, 25, 15)))
    node.GetSegmentation().AddSegment(segment)
    return node


@pytest.mark.parametrize("moved", [False, True])
def test_surfaces_become_voxels_of_the_volume_and_stay_as_they_are(make_volume, surfaces, moved):
    volume = make_volume("CT", np.zeros((30, 50, 40), np.int16), oblique=False)
    content = surfaces.GetSegmentation()
    if moved:
        transform = linear("T")
        inverse = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "inverse")
        slicer.util.updateTransformMatrixFromArray(
            inverse, np.linalg.inv(slicer.util.arrayFromTransformMatrix(transform))
        )
        surfaces.SetAndObserveTransformNodeID(inverse.GetID())
        surfaces.HardenTransform()
        surfaces.SetAndObserveTransformNodeID(transform.GetID())
    before = slicer.mrmlScene.GetNumberOfNodes(), content.GetMTime(), surfaces.GetMTime()
    labels = label_map(surfaces, volume, classes_of(surfaces))
    k, j, i = np.indices(labels.shape)
    distance = np.sqrt((i - 20) ** 2 + (j - 25) ** 2 + (k - 15) ** 2)
    assert labels[distance < 9].all() and not labels[distance > 10.5].any()
    assert (slicer.mrmlScene.GetNumberOfNodes(), content.GetMTime(), surfaces.GetMTime()) == before
    assert not stored_layers(surfaces, [content.GetNthSegmentID(0)])
    assert segment_volumes(surfaces)[content.GetNthSegmentID(0)] == pytest.approx(4.18, rel=0.01)


def test_surfaces_that_overlap_are_found_before_they_are_exported(make_volume, surfaces):
    volume = make_volume("CT", np.zeros((30, 50, 40), np.int16), oblique=False)
    name = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    segment = slicer.vtkSegment()
    segment.SetName("kidney")
    segment.AddRepresentation(name, sphere(8, (28, 25, 15)))
    surfaces.GetSegmentation().AddSegment(segment)
    ((first, second, count),) = find_overlaps(surfaces, volume, classes_of(surfaces))
    assert (first.name, second.name) == ("ball", "kidney") and count > 100
    assert not stored_layers(surfaces, surfaces.GetSegmentation().GetSegmentIDs()), "they stay surfaces"
    with pytest.raises(DataError, match="overlap"):
        label_map(surfaces, volume, classes_of(surfaces))
    rows = [CaseRow(name="A", volumes=(volume,), segmentation=surfaces)]
    assert [one.severity for one in check_rows(rows, classes_of(surfaces), overlap="refuse")] == ["error"]
    assert [one.case for one in check_rows(rows, classes_of(surfaces))] == ["A", ""], "the two are learned whole"
    segment.AddRepresentation(name, sphere(3, (35, 10, 5)))
    assert find_overlaps(surfaces, volume, classes_of(surfaces)) == []


def test_fractional_labelmaps_are_measured_and_exported(make_volume, surfaces):
    volume = make_volume("CT", np.zeros((30, 50, 40), np.int16), oblique=False)
    converter, content = slicer.vtkSegmentationConverter, surfaces.GetSegmentation()
    fractional = converter.GetSegmentationFractionalLabelmapRepresentationName()
    surfaces.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    assert content.CreateRepresentation(fractional)
    content.SetSourceRepresentationName(fractional)
    content.RemoveRepresentation(converter.GetSegmentationClosedSurfaceRepresentationName())
    (ml,) = segment_volumes(surfaces).values()
    assert ml == pytest.approx(4.18, rel=0.02)
    row = CaseRow(name="A", volumes=(volume,), segmentation=surfaces)
    assert check_rows([row], classes_of(surfaces)) == []
    assert label_map(surfaces, volume, classes_of(surfaces)).sum() == pytest.approx(4180, rel=0.03)


def test_contours_are_measured_and_their_export_says_what_to_do(make_volume, surfaces):
    """A cylinder of radius 10 and height 12, as RT structures have it: a ring every 3 mm."""
    volume = make_volume("CT", np.zeros((30, 50, 40), np.int16), oblique=False)
    converter, content = slicer.vtkSegmentationConverter, surfaces.GetSegmentation()
    planar = converter.GetSegmentationPlanarContourRepresentationName()
    rings = vtk.vtkAppendPolyData()
    for height in (3, 6, 9, 12):
        ring = vtk.vtkRegularPolygonSource()
        ring.SetNumberOfSides(60)
        ring.SetRadius(10)
        ring.SetCenter(20, 25, height)
        ring.GeneratePolygonOff()
        rings.AddInputConnection(ring.GetOutputPort())
    rings.Update()
    content.RemoveAllSegments()
    content.SetSourceRepresentationName(planar)
    segment = slicer.vtkSegment()
    segment.SetName("ball")
    segment.AddRepresentation(planar, rings.GetOutput())
    content.AddSegment(segment)
    (ml,) = segment_volumes(surfaces).values()
    assert ml == pytest.approx(np.pi * 100 * 12 / 1000, rel=0.01)
    row = CaseRow(name="A", volumes=(volume,), segmentation=surfaces)
    assert [one.message for one in check_rows([row], classes_of(surfaces))] == []
    with pytest.raises(DataError, match=r"cannot be turned into voxels\. Create their binary labelmap"):
        label_map(surfaces, volume, classes_of(surfaces))


def test_sizes_are_in_millilitres_and_follow_changes(volume, make_segmentation, masks):
    segmentation = make_segmentation("S", volume, {**masks, "nothing": None})
    liver, tumor, nothing = segment_volumes(segmentation)
    voxel = 0.8 * 1.1 * 2.5 / 1000
    assert segment_volumes(segmentation)[tumor] == pytest.approx(24 * voxel)
    sizes = {liver: masks["liver"].sum() * voxel, tumor: 24 * voxel, nothing: 0}
    assert segment_volumes(segmentation, volume) == pytest.approx(sizes)
    slicer.util.updateSegmentBinaryLabelmapFromArray(np.ones(SHAPE, np.uint8), segmentation, nothing, volume)
    assert segment_volumes(segmentation, volume)[nothing] == pytest.approx(np.prod(SHAPE) * voxel)


def test_nothing_of_the_user_changes(volume, make_segmentation, masks):
    masks["liver"] = masks["liver"] | masks["tumor"]
    segmentation = make_segmentation("S", volume, masks)
    classes = classes_of(segmentation)
    nodes = [slicer.mrmlScene.GetNthNode(index) for index in range(slicer.mrmlScene.GetNumberOfNodes())]
    before = [(node, node.GetMTime()) for node in nodes], segmentation.GetSegmentation().GetMTime()
    label_map(segmentation, volume, classes, overlap="order")
    find_overlaps(segmentation, volume, classes)
    nodes = [slicer.mrmlScene.GetNthNode(index) for index in range(slicer.mrmlScene.GetNumberOfNodes())]
    assert ([(node, node.GetMTime()) for node in nodes], segmentation.GetSegmentation().GetMTime()) == before
    assert segmentation.GetSegmentation().GetNumberOfLayers() == 2


def test_overlap_is_looked_for_again_when_segments_or_transforms_change(make_volume, make_segmentation, masks):
    volume = make_volume("CT", np.zeros(SHAPE, np.int16), oblique=False)
    segmentation = make_segmentation("S", volume, {"a": masks["liver"] | masks["tumor"], "b": masks["tumor"]})
    classes = classes_of(segmentation)
    small = make_volume("part", np.zeros((4, 6, 8), np.int16), oblique=False)
    assert [count for _a, _b, count in find_overlaps(segmentation, volume, classes)] == [24]
    assert [count for _a, _b, count in find_overlaps(segmentation, small, classes)] == [
        masks["tumor"][:4, :6, :8].sum()
    ]
    assert find_overlaps(segmentation, volume, classes_of(segmentation, {"b": "a"})) == []
    less = masks["tumor"] & (np.arange(SHAPE[2]) < 7)
    content = segmentation.GetSegmentation()
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        less.astype(np.uint8), segmentation, content.GetNthSegmentID(1), volume
    )
    assert [count for _a, _b, count in find_overlaps(segmentation, volume, classes)] == [less.sum()]
    assert [count for _a, _b, count in find_overlaps(segmentation, volume, classes)] == [less.sum()]


def test_three_layers_are_compared_two_by_two(volume, make_segmentation, masks):
    whole = masks["liver"] | masks["tumor"]
    segmentation = make_segmentation("S", volume, {"a": whole, "b": masks["tumor"], "c": masks["tumor"]})
    classes = classes_of(segmentation)
    found = {(one.name, other.name): count for one, other, count in find_overlaps(segmentation, volume, classes)}
    assert found == {("a", "b"): 24, ("a", "c"): 24, ("b", "c"): 24}
    np.testing.assert_array_equal(
        label_map(segmentation, volume, classes, overlap="order"), whole + 2 * masks["tumor"].astype(int)
    )
