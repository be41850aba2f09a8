import numpy as np
import pytest
import SimpleITK as sitk
from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.export_layers import export_layers
from MedSegTrainerUI.scene.import_segments import import_segments
from MedSegTrainerUI.scene.label_files import read_layers
from MedSegTrainerUI.scene.segment_classes import find_classes
from MedSegTrainerUI.scene.volumes import export_volume

SHAPE = (9, 13, 17)


@pytest.fixture
def volume(make_volume):
    return make_volume("CT", np.zeros(SHAPE, np.int16))


@pytest.fixture
def nested():
    """A tumor in a liver, and a cyst beside it."""
    liver, tumor, cyst = (np.zeros(SHAPE, bool) for _ in range(3))
    liver[2:7, 3:10, 4:14] = tumor[3:5, 5:8, 6:10] = cyst[8, 11:, 15:] = True
    return {"liver": liver, "tumor": tumor, "cyst": cyst}


@pytest.fixture
def segmentation(volume, nested, make_segmentation):
    return make_segmentation("S", volume, nested)


def test_the_file_has_as_few_layers_as_the_segments_need(volume, segmentation, nested, tmp_path):
    classes = find_classes([CaseRow(name="x", volumes=(volume,), segmentation=segmentation)], {})
    export_layers(segmentation, volume, classes, tmp_path / "S.seg.nrrd")
    first, second = read_layers(tmp_path / "S.seg.nrrd")
    assert (first.numbers, second.numbers) == ({"liver": 1, "cyst": 3}, {"tumor": 2})
    np.testing.assert_array_equal(first.array, nested["liver"] + 3 * nested["cyst"])
    np.testing.assert_array_equal(second.array, 2 * nested["tumor"])
    export_volume(volume, tmp_path / "grid.nrrd")
    grid, image = (sitk.ReadImage(str(tmp_path / name)) for name in ("grid.nrrd", "S.seg.nrrd"))
    assert image.GetNumberOfComponentsPerPixel() == 2 and image.IsSameImageGeometryAs(grid, 1e-9, 1e-9)


def test_there_and_back_every_voxel_is_the_same(volume, segmentation, nested, tmp_path):
    classes = find_classes([CaseRow(name="x", volumes=(volume,), segmentation=segmentation)], {})
    export_layers(segmentation, volume, classes, tmp_path / "S.seg.nrrd")
    again = import_segments(tmp_path / "S.seg.nrrd", classes, volume, name="again")
    export_layers(again, volume, classes, tmp_path / "again.seg.nrrd")
    assert (tmp_path / "again.seg.nrrd").read_bytes() == (tmp_path / "S.seg.nrrd").read_bytes()


def test_segments_that_do_not_overlap_are_a_label_map(volume, make_segmentation, nested, tmp_path):
    del nested["tumor"]
    node = make_segmentation("S", volume, nested)
    classes = find_classes([CaseRow(name="x", volumes=(volume,), segmentation=node)], {})
    export_layers(node, volume, classes, tmp_path / "S.seg.nrrd")
    (layer,) = read_layers(tmp_path / "S.seg.nrrd")
    np.testing.assert_array_equal(layer.array, nested["liver"] + 2 * nested["cyst"])
