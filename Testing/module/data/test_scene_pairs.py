import numpy as np
import pytest
import slicer
from MedSegTrainerUI.data.scene_pairs import is_label_map, pair_all, pairs_message

SHAPE = (3, 4, 5)


@pytest.fixture
def image(make_volume):
    def make(name, **options):
        return make_volume(name, np.arange(60).reshape(SHAPE).astype(np.int16) - 30, **options)

    return make


@pytest.fixture
def segmentation(scene):
    def make(name, volume=None, reference=True):
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        if volume is not None:
            node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
            if not reference:
                node.SetNodeReferenceID(node.GetReferenceImageGeometryReferenceRole(), None)
        return node

    return make


def names(rows):
    return [(row.name, row.volumes[0].GetName(), row.segmentation.GetName()) for row in rows]


def test_what_a_model_drew_is_left_out(image, segmentation):
    volume = image("CT_01")
    mine = segmentation("mine", volume)
    result = segmentation("result", volume)
    result.SetAttribute("MedSegTrainer.prediction", "somewhere")
    segmentation("CT_02-seg", image("CT_02")).SetAttribute("MedSegTrainer.prediction", "somewhere")
    pairs = pair_all(slicer.mrmlScene)
    assert names(pairs.rows) == [("CT_01", "CT_01", "mine")] and result in pairs.results and mine not in pairs.results
    text, severity = pairs_message(pairs, 0)
    assert "result, CT_02-seg: what a model drew is added with" in text and severity == "note"
    assert pairs_message(pairs, 1) == ("", "note")


def test_a_segmentation_belongs_to_the_volume_it_was_drawn_on(image, segmentation):
    first, second = image("CT_01"), image("CT_02")
    segmentation("CT_01-seg", second)
    segmentation("Segmentation", first)
    assert names(pair_all(slicer.mrmlScene).rows) == [
        ("CT_01", "CT_01", "Segmentation"),
        ("CT_02", "CT_02", "CT_01-seg"),
    ]


@pytest.mark.parametrize(
    ("volume", "name"),
    [
        ("CT_01", "CT_01-seg"),
        ("hippo 1.nii.gz", "Hippo_1 label"),
        ("MR_0000", "mr"),
        ("a-image", "a.seg"),
        ("b", "mask b"),
    ],
)
def test_names_that_differ_by_what_they_are_belong_together(image, segmentation, volume, name):
    image(volume)
    image("another")
    segmentation(name)
    segmentation("of nothing")
    pairs = pair_all(slicer.mrmlScene)
    assert names(pairs.rows) == [(volume, volume, name)]
    assert [node.GetName() for node in pairs.volumes] == ["another"]
    assert [node.GetName() for node in pairs.segmentations] == ["of nothing"]


def test_the_place_of_the_voxels_decides_where_names_say_nothing(image, segmentation):
    image("a")
    volume = image("b", oblique=False)
    segmentation("x", volume, reference=False)
    assert names(pair_all(slicer.mrmlScene).rows) == [("b", "b", "x")]


def test_what_fits_to_several_is_left_to_the_user(image, segmentation):
    volume = image("a")
    image("b")
    segmentation("x", volume, reference=False)
    pairs = pair_all(slicer.mrmlScene)
    assert pairs.rows == () and len(pairs.volumes) == 2 and len(pairs.segmentations) == 1


def test_of_several_segmentations_on_a_volume_the_one_of_its_name_or_the_last_counts(image, segmentation):
    volume, other = image("CT"), image("MR")
    for name in ("CT-seg", "trial"):
        segmentation(name, volume)
    for name in ("first", "last"):
        segmentation(name, other)
    pairs = pair_all(slicer.mrmlScene)
    assert names(pairs.rows) == [("CT", "CT", "CT-seg"), ("MR", "MR", "last")]
    assert [node.GetName() for node in pairs.segmentations] == ["trial", "first"]


def test_hidden_nodes_are_not_paired(image, segmentation):
    volume = image("CT")
    segmentation("preview", volume).SetHideFromEditors(True)
    assert pair_all(slicer.mrmlScene).rows == ()


def test_names_of_cases_are_unique_and_fit_for_files(image, segmentation):
    for number in range(2):
        segmentation(f"s{number}", image("a/b"))
    assert [row.name for row in pair_all(slicer.mrmlScene).rows] == ["a_b", "a_b 2"]


def test_label_maps_are_no_images(scene, make_volume, segmentation):
    labels = make_volume("scan", (np.arange(60).reshape(SHAPE) % 3).astype(np.uint8))
    node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    segmentation("scan-seg", labels)
    pairs = pair_all(scene)
    assert pairs.rows == () and pairs.volumes == () and {*pairs.label_maps} == {labels, node}


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("CT", [0, 1, 2], True), ("CT", [-1, 0, 5], False), ("CT", [0, 100, 200], False),
        ("CT_seg", [0, 100, 255], True), ("CT_seg", [0, 300], False),
        ("prob", [0.0, 0.5, 1.0], False), ("label", [0.0, 1.0], True), ("label", [0.0, 0.5], False),
        ("CT", [0.0, 1.0], False),
    ],
)  # fmt: skip
def test_few_whole_numbers_are_labels(make_volume, name, values, expected):
    array = np.resize(np.array(values, np.float32 if isinstance(values[0], float) else np.int16), SHAPE)
    assert is_label_map(make_volume(name, array)) is expected


def test_a_volume_without_voxels_is_no_reason_to_stop(scene, segmentation):
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    segmentation("empty-seg")
    assert [row.volumes for row in pair_all(slicer.mrmlScene).rows] == [(volume,)]
