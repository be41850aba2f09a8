import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk
from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.export_cases import export_cases
from MedSegTrainerUI.scene.export_labels import label_map
from MedSegTrainerUI.scene.import_segments import import_segments
from MedSegTrainerUI.scene.segment_classes import find_classes, segment_terminology
from MedSegTrainerUI.scene.volumes import export_volume, volume_geometry

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.errors import DataError

SHAPE = (9, 13, 17)
TERMINOLOGY = (
    "Segmentation category and type - 3D Slicer General Anatomy list~SCT^123037004^Anatomical Structure~"
    "SCT^10200004^Liver~^^~Anatomic codes - DICOM master list~^^~^^"
)
CLASSES = [
    LabelClass(value=1, name="liver", color=(51, 102, 255), terminology=TERMINOLOGY),
    LabelClass(value=4, name="tumor", color=(0, 255, 0)),
    LabelClass(value=2, name="cyst", color=(255, 0, 0)),
]
GEOMETRIES = ("identity", "rotated", "oblique", "transformed")


@pytest.fixture
def linear(scene):
    def make(name="T"):
        transform = vtk.vtkTransform()
        transform.Translate(12, -30, 5)
        transform.RotateX(11)
        transform.RotateZ(35)
        node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
        node.SetMatrixTransformToParent(transform.GetMatrix())
        return node

    return make


@pytest.fixture
def make_case_volume(make_volume, linear):
    def make(kind):
        volume = make_volume("CT", np.zeros(SHAPE, np.int16), oblique=kind in ("oblique", "transformed"))
        if kind == "rotated":
            matrix = vtk.vtkMatrix4x4()
            matrix.DeepCopy((0, 0, -2.5, 30, 0.8, 0, 0, -7, 0, -1.1, 0, 4, 0, 0, 0, 1))
            volume.SetIJKToRASMatrix(matrix)
        if kind == "transformed":
            volume.SetAndObserveTransformNodeID(linear().GetID())
        return volume

    return make


@pytest.fixture
def labels():
    values = np.zeros(SHAPE, np.uint8)
    values[2:7, 3:10, 4:14] = 1
    values[3:5, 5:8, 6:10] = 4
    return values


@pytest.fixture
def write(tmp_path):
    """Writes values as the library does, on the grid of an exported volume."""

    def make(values, volume):
        export_volume(volume, tmp_path / "grid.nrrd")
        image = sitk.GetImageFromArray(values)
        image.CopyInformation(sitk.ReadImage(str(tmp_path / "grid.nrrd")))
        for key, value in {"Segment0_ID": "Segment_1", "Segment0_Name": "liver", "Segment0_LabelValue": "1"}.items():
            image.SetMetaData(key, value)
        sitk.WriteImage(image, str(tmp_path / "prediction.seg.nrrd"), useCompression=True)
        return tmp_path / "prediction.seg.nrrd"

    return make


@pytest.fixture
def write_layers(tmp_path):
    """Writes layers (layer, k, j, i) as the library writes classes that overlap."""

    def make(layers, volume, fields):
        export_volume(volume, tmp_path / "grid.nrrd")
        grid = sitk.ReadImage(str(tmp_path / "grid.nrrd"))
        parts = [sitk.GetImageFromArray(layer) for layer in layers]
        for part in parts:
            part.CopyInformation(grid)
        image = sitk.Compose(parts)
        for index, (name, layer, number) in enumerate(fields):
            for key, value in {"Name": name, "Layer": layer, "LabelValue": number}.items():
                image.SetMetaData(f"Segment{index}_{key}", str(value))
        path = tmp_path / "layers.seg.nrrd"
        sitk.WriteImage(image, str(path), useCompression=True)
        header, end, voxels = path.read_bytes().partition(b"\n\n")
        path.write_bytes(header.replace(b"kinds: vector", b"kinds: list") + end + voxels)
        return path

    return make


def masks_of(node, volume):
    """Each segment as Slicer itself gives it on the voxels of the volume."""
    content = node.GetSegmentation()
    return {
        content.GetNthSegment(index).GetName(): slicer.util.arrayFromSegmentBinaryLabelmap(
            node, content.GetNthSegmentID(index), volume
        )
        for index in range(content.GetNumberOfSegments())
    }


@pytest.mark.parametrize("kind", GEOMETRIES)
def test_segments_are_those_of_the_file_as_slicer_reads_them(make_case_volume, labels, write, kind):
    volume = make_case_volume(kind)
    node = import_segments(write(labels, volume), CLASSES, volume, name="prediction")
    found = masks_of(node, volume)
    assert [*found] == ["liver", "tumor", "cyst"] and node.GetName() == "prediction"
    np.testing.assert_array_equal(found["liver"], labels == 1)
    np.testing.assert_array_equal(found["tumor"], labels == 4)
    assert not np.any(found["cyst"])
    assert node.GetTransformNodeID() == volume.GetTransformNodeID()


@pytest.fixture
def nested(labels):
    """A liver with a tumor inside of it, and a cyst beside both."""
    cyst = np.zeros(SHAPE, bool)
    cyst[8, 11:, 15:] = True
    return {"liver": labels > 0, "tumor": labels == 4, "cyst": cyst}


@pytest.mark.parametrize("kind", GEOMETRIES)
def test_layers_of_a_file_are_segments_that_overlap(make_case_volume, nested, write_layers, kind):
    volume = make_case_volume(kind)
    layers = np.array([nested["liver"] * 1 + nested["cyst"] * 2, nested["tumor"] * 4], np.uint8)
    path = write_layers(layers, volume, [("liver", 0, 1), ("Tumor", 1, 4), ("cyst", 0, 2)])
    node = import_segments(path, CLASSES, volume, name="p")
    found = masks_of(node, volume)
    assert [*found] == ["liver", "tumor", "cyst"] and node.GetSegmentation().GetNumberOfLayers() == 2
    for name, mask in nested.items():
        np.testing.assert_array_equal(found[name], mask)


def test_layers_replace_what_was_in_one_and_the_other_way_round(
    make_case_volume, make_segmentation, labels, nested, write, write_layers
):
    """As the preview of a training does, epoch after epoch."""
    volume = make_case_volume("oblique")
    node = import_segments(write(labels, volume), CLASSES, volume, name="p")
    layers = np.array([nested["liver"] * 1, nested["tumor"] * 4], np.uint8)
    path = write_layers(layers, volume, [("liver", 0, 1), ("tumor", 1, 4), ("cyst", 0, 2)])
    import_segments(path, CLASSES, volume, node, name="p")
    found = masks_of(node, volume)
    np.testing.assert_array_equal(found["liver"], nested["liver"])
    np.testing.assert_array_equal(found["tumor"], nested["tumor"])
    assert not found["cyst"].any()
    import_segments(write(labels, volume), CLASSES, volume, node, name="p")
    assert node.GetSegmentation().GetNumberOfLayers() == 1
    np.testing.assert_array_equal(masks_of(node, volume)["liver"], labels == 1)


def test_a_file_that_slicer_has_written_with_overlap_is_read(make_case_volume, make_segmentation, nested, tmp_path):
    """Its numbers begin anew in each layer: names count."""
    volume = make_case_volume("oblique")
    drawn = make_segmentation("S", volume, nested)
    assert slicer.util.saveNode(drawn, str(tmp_path / "S.seg.nrrd"))
    node = import_segments(tmp_path / "S.seg.nrrd", CLASSES, volume, name="p")
    for name, mask in masks_of(node, volume).items():
        np.testing.assert_array_equal(mask, nested[name])


def test_layers_without_names_are_refused(make_case_volume, nested, write_layers):
    volume = make_case_volume("oblique")
    layers = np.array([nested["liver"] * 1, nested["tumor"] * 4], np.uint8)
    with pytest.raises(DataError, match="has 2 layers, and does not say which segments are in them"):
        import_segments(write_layers(layers, volume, []), CLASSES, volume, name="p")


@pytest.mark.parametrize("kind", GEOMETRIES)
@pytest.mark.parametrize("count", [1, 5, 60])
def test_there_and_back_every_voxel_is_the_same(make_case_volume, make_segmentation, tmp_path, kind, count):
    numbers = np.random.default_rng(count).integers(0, count + 1, SHAPE).astype(np.uint8)
    volume = make_case_volume(kind)
    masks = {f"s{value}": numbers == value for value in range(1, count + 1)}
    row = CaseRow(name="C", volumes=(volume,), segmentation=make_segmentation("S", volume, masks))
    classes = find_classes([row], {})
    export_cases([row], classes, tmp_path / "data")
    node = import_segments(tmp_path / "data" / "C_label.nrrd", classes, volume, name="back")
    np.testing.assert_array_equal(label_map(node, volume, classes), numbers)
    for (name, before), (other, after) in zip(
        masks_of(row.segmentation, volume).items(), masks_of(node, volume).items(), strict=True
    ):
        assert name == other
        np.testing.assert_array_equal(before, after)
    export_cases([CaseRow(name="C", volumes=(volume,), segmentation=node)], classes, tmp_path / "again")
    assert (tmp_path / "again" / "C_label.nrrd").read_bytes() == (tmp_path / "data" / "C_label.nrrd").read_bytes()


def test_names_colours_and_terminology_are_those_of_the_classes(make_case_volume, labels, write):
    volume = make_case_volume("oblique")
    content = import_segments(write(labels, volume), CLASSES, volume, name="p").GetSegmentation()
    liver, tumor, _cyst = (content.GetNthSegment(index) for index in range(3))
    assert [round(255 * part) for part in liver.GetColor()] == [51, 102, 255]
    assert segment_terminology(liver) == TERMINOLOGY
    assert not tumor.GetNameAutoGenerated() and not tumor.GetColorAutoGenerated()


def test_it_lies_beside_the_volume_in_the_subject_hierarchy(scene, make_case_volume, labels, write):
    volume = make_case_volume("oblique")
    hierarchy = scene.GetSubjectHierarchyNode()
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "study")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(volume), study)
    node = import_segments(write(labels, volume), CLASSES, volume, name="p")
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == study


def test_only_the_segmentation_and_its_display_are_new(scene, make_case_volume, labels, write):
    volume = make_case_volume("transformed")
    path = write(labels, volume)
    nodes = {scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())}

    def state():
        nodes = (volume.GetImageData(), volume.GetDisplayNode(), volume.GetParentTransformNode())
        return volume_geometry(volume).ijk_to_ras.tolist(), [one.GetMTime() for one in nodes]

    changed = state()
    node = import_segments(path, CLASSES, volume, name="p")
    new = {scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())} - nodes
    assert new == {node.GetID(), node.GetDisplayNode().GetID()}
    assert node.GetStorageNode() is None
    assert state() == changed
    import_segments(path, CLASSES, volume, node, name="p")
    assert {scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())} == nodes | new


@pytest.mark.parametrize("surface", [False, True])
def test_in_an_existing_segmentation_only_segments_of_the_names_change(
    make_case_volume, make_segmentation, labels, write, linear, surface
):
    volume = make_case_volume("oblique")
    own = {"Liver ": np.roll(labels, 2, axis=0) == 1, "bone": labels == 0}
    node = make_segmentation("S", volume, own, {"Liver ": (0.5, 0.25, 0.75)})
    content = node.GetSegmentation()
    content.CollapseBinaryLabelmaps(False)
    node.SetAndObserveTransformNodeID(linear("moved").GetID())
    node.GetDisplayNode().SetSegmentOpacity2DFill(content.GetNthSegmentID(0), 0.3)
    if surface:
        node.CreateClosedSurfaceRepresentation()
    before = label_map(node, volume, find_classes([CaseRow(name="x", segmentation=node)], {"liver": ""}))
    assert import_segments(write(labels, volume), CLASSES, volume, node, name="ignored") is node
    assert [*masks_of(node, volume)] == ["Liver ", "bone", "tumor", "cyst"] and node.GetName() == "S"
    classes = find_classes([CaseRow(name="x", segmentation=node)], {"bone": ""})
    np.testing.assert_array_equal(label_map(node, volume, classes), np.where(labels == 4, 2, labels))
    after = label_map(
        node, volume, find_classes([CaseRow(name="x", segmentation=node)], {"liver": "", "tumor": "", "cyst": ""})
    )
    np.testing.assert_array_equal(after, before)
    assert content.GetNthSegment(0).GetColor() == pytest.approx((0.5, 0.25, 0.75))
    assert node.GetDisplayNode().GetSegmentOpacity2DFill(content.GetNthSegmentID(0)) == pytest.approx(0.3)
    name = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    assert content.ContainsRepresentation(name) == surface


def test_a_second_import_replaces_the_first(make_case_volume, labels, write):
    volume = make_case_volume("transformed")
    node = import_segments(write(labels, volume), CLASSES, volume, name="p")
    events = []
    node.GetSegmentation().AddObserver(
        slicer.vtkSegmentation.SourceRepresentationModified, lambda caller, event: events.append(event)
    )
    newer = np.roll(labels, (1, -2, 3), axis=(0, 1, 2))
    newer[0, 0, 0] = 2
    import_segments(write(newer, volume), CLASSES, volume, node, name="p")
    found = masks_of(node, volume)
    assert [*found] == ["liver", "tumor", "cyst"] and node.GetSegmentation().GetNumberOfLayers() == 1
    for item in CLASSES:
        np.testing.assert_array_equal(found[item.name], newer == item.value)
    assert events, "views redraw when they are told"


def test_segments_can_be_edited_afterwards(make_case_volume, labels, write):
    volume = make_case_volume("oblique")
    node = import_segments(write(labels, volume), CLASSES, volume, name="p")
    cyst = node.GetSegmentation().GetNthSegmentID(2)
    painted = np.zeros(SHAPE, np.uint8)
    painted[7:, 11:, 15:] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(painted, node, cyst, volume)
    found = masks_of(node, volume)
    np.testing.assert_array_equal(found["cyst"], painted)
    np.testing.assert_array_equal(found["liver"], labels == 1)


def test_a_label_map_of_nothing_gives_empty_segments(make_case_volume, write):
    volume = make_case_volume("oblique")
    node = import_segments(write(np.zeros(SHAPE, np.uint8), volume), CLASSES, volume, name="p")
    classes = find_classes([CaseRow(name="x", volumes=(volume,), segmentation=node)], {})
    assert [(item.name, item.cases) for item in classes] == [("liver", 0), ("tumor", 0), ("cyst", 0)]


def test_values_of_no_class_are_background(make_case_volume, labels, write):
    volume = make_case_volume("oblique")
    node = import_segments(write(labels, volume), CLASSES[:1], volume, name="p")
    np.testing.assert_array_equal(masks_of(node, volume)["liver"], labels == 1)
    assert node.GetSegmentation().GetNumberOfSegments() == 1


def test_a_file_that_is_none_leaves_the_scene_alone(scene, make_case_volume, tmp_path):
    volume = make_case_volume("oblique")
    (tmp_path / "broken.seg.nrrd").write_text("NRRD0004\n")
    count = scene.GetNumberOfNodes()
    for name in ("broken.seg.nrrd", "missing.seg.nrrd"):
        with pytest.raises(DataError, match="cannot be read"):
            import_segments(tmp_path / name, CLASSES, volume, name="p")
    assert scene.GetNumberOfNodes() == count


def test_a_segmentation_of_surfaces_is_refused_in_words(scene, make_case_volume, labels, write):
    volume = make_case_volume("oblique")
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "surfaces")
    name = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    node.GetSegmentation().SetSourceRepresentationName(name)
    segment = slicer.vtkSegment()
    segment.AddRepresentation(name, vtk.vtkPolyData())
    node.GetSegmentation().AddSegment(segment, "a")
    with pytest.raises(DataError, match="surfaces is made of surfaces"):
        import_segments(write(labels, volume), CLASSES, volume, node, name="p")
    assert node.GetSegmentation().GetNumberOfSegments() == 1


def test_a_bent_transform_between_them_is_refused(scene, make_case_volume, labels, write):
    volume = make_case_volume("oblique")
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "S")
    node.SetAndObserveTransformNodeID(scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "warp").GetID())
    with pytest.raises(DataError, match="'warp' bends space"):
        import_segments(write(labels, volume), CLASSES, volume, node, name="p")
