import shutil

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk
from MedSegTrainerUI.scene.volumes import (
    export_channel,
    export_volume,
    offset_of,
    relative_matrix,
    resample_to,
    volume_array,
    volume_geometry,
)

from MedSegTrainerLib.errors import DataError, StorageError

ANGLES = (11.0, -7.0, 16.0)


@pytest.fixture
def array():
    return np.random.default_rng(3).integers(-1000, 2000, (9, 13, 17)).astype(np.int16)


def linear(name, scale=(1, 1, 1)):
    transform = vtk.vtkTransform()
    transform.Translate(12, -30, 5)
    for turn, angle in zip((transform.RotateX, transform.RotateY, transform.RotateZ), ANGLES, strict=True):
        turn(angle)
    transform.Scale(*scale)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
    node.SetMatrixTransformToParent(transform.GetMatrix())
    return node


def bent(name):
    warp = vtk.vtkThinPlateSplineTransform()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", name)
    points, moved = vtk.vtkPoints(), vtk.vtkPoints()
    for place in ((0, 0, 0), (50, 0, 0), (0, 50, 0), (0, 0, 50)):
        points.InsertNextPoint(place)
        moved.InsertNextPoint([1.1 * value + 3 for value in place[:1]] + list(place[1:]))
    warp.SetSourceLandmarks(points)
    warp.SetTargetLandmarks(moved)
    warp.SetBasisToR()
    node.SetAndObserveTransformToParent(warp)
    return node


def set_matrix(volume, matrix):
    vtk_matrix = vtk.vtkMatrix4x4()
    vtk_matrix.DeepCopy(np.asarray(matrix, float).ravel())
    volume.SetIJKToRASMatrix(vtk_matrix)


MIRRORED = [[0, -1.1, 0, 30], [-0.8, 0, 0, 10], [0, 0, -2.5, 7], [0, 0, 0, 1]]


@pytest.mark.parametrize("matrix", [None, MIRRORED], ids=["oblique", "mirrored"])
def test_a_file_has_the_voxels_and_the_place_of_the_volume(make_volume, array, tmp_path, matrix):
    volume = make_volume("CT", array, transform=linear("T"))
    if matrix:
        set_matrix(volume, matrix)
    export_volume(volume, tmp_path / "sub" / "ct.nrrd")
    image = sitk.ReadImage(str(tmp_path / "sub" / "ct.nrrd"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), array)
    to_lps = np.diag([-1, -1, 1, 1]) @ volume_geometry(volume).ijk_to_ras
    for index in ((0, 0, 0), (16, 12, 8), (3, 5, 1)):
        place = image.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose(place, (to_lps @ [*index, 1])[:3], atol=1e-9)
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["ct.nrrd"]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int32", "uint32", "float32", "float64"])
def test_numbers_of_every_kind_come_back(make_volume, tmp_path, dtype):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    export_volume(make_volume("V", array), tmp_path / "v.nrrd")
    read = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "v.nrrd")))
    assert read.dtype == {"int8": "int16"}.get(dtype, dtype)
    np.testing.assert_array_equal(read, array)


def test_neither_scene_nor_volume_change(make_volume, array, tmp_path):
    volume, other = make_volume("CT", array), make_volume("other", array[:, :5], oblique=False)
    before = slicer.mrmlScene.GetNumberOfNodes(), volume.GetMTime(), volume.GetImageData().GetMTime()
    export_volume(volume, tmp_path / "ct.nrrd")
    resample_to(volume, other)
    assert (slicer.mrmlScene.GetNumberOfNodes(), volume.GetMTime(), volume.GetImageData().GetMTime()) == before
    assert volume.GetStorageNode() is None


def test_a_volume_without_voxels_is_refused_by_name(scene):
    with pytest.raises(DataError, match="Empty has no image data"):
        volume_geometry(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty"))


def test_a_volume_of_colours_is_refused(scene):
    volume = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "Photo")
    image = vtk.vtkImageData()
    image.SetDimensions(2, 3, 4)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    volume.SetAndObserveImageData(image)
    with pytest.raises(DataError, match="Photo has 3 numbers a voxel"):
        volume_array(volume)


def test_a_folder_that_is_a_file_is_told_in_words(make_volume, array, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(StorageError, match="a file is where a folder should be"):
        export_volume(make_volume("CT", array), tmp_path / "taken" / "ct.nrrd")


def test_a_full_disk_is_told_before_anything_is_written(make_volume, array, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(StorageError, match=r"the disk .* is full"):
        export_volume(make_volume("CT", array), tmp_path / "ct.nrrd")
    assert not list(tmp_path.glob("*ct.nrrd"))


def test_a_channel_on_other_voxels_is_brought_to_those_of_the_reference(make_volume, tmp_path):
    """A plane a x + b y + c z + d is its own linear interpolation: the result is known at each voxel."""
    plane = np.array([3.0, -2.0, 5.0, 400.0])

    def values(volume):
        geometry = volume_geometry(volume)
        k, j, i = np.indices(geometry.size_zyx)
        places = np.stack([i, j, k, np.ones_like(i)], axis=-1) @ geometry.ijk_to_ras.T
        frame = relative_matrix(volume, reference)
        return (places @ frame.T) @ plane

    reference = make_volume("T1", np.zeros((5, 6, 7), np.float32))
    other = make_volume("T2", np.zeros((60, 70, 80), np.float32), oblique=False, transform=linear("T"))
    axes = np.diag([-0.9, 0.8, 1.2, 1])
    middle = relative_matrix(reference, other) @ volume_geometry(reference).ijk_to_ras @ [3, 2.5, 2, 1]
    axes[:3, 3] = middle[:3] - axes[:3, :3] @ [40, 35, 30]
    set_matrix(other, axes)
    slicer.util.updateVolumeFromArray(other, values(other).astype(np.float32))
    export_channel(other, reference, tmp_path / "t2.nrrd")
    found = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "t2.nrrd")))
    np.testing.assert_allclose(found, values(reference), atol=0.01)


def test_voxels_beyond_a_channel_get_its_lowest_value(make_volume):
    reference = make_volume("T1", np.zeros((4, 5, 6), np.int16), oblique=False)
    other = make_volume("T2", np.full((2, 5, 6), 40, np.int16), oblique=False)
    slicer.util.arrayFromVolume(other)[0, 0, 0] = -7
    found = resample_to(other, reference)
    assert found.shape == (4, 5, 6) and (found[2:] == -7).all() and (found[1] == 40).all()


def test_a_channel_on_the_same_voxels_is_not_resampled(make_volume, array):
    transform = linear("T")
    reference = make_volume("T1", array[..., ::-1], transform=transform)
    other = make_volume("T2", array, transform=transform)
    np.testing.assert_array_equal(resample_to(other, reference), array)


def test_transforms_that_are_shared_do_not_count(make_volume, array):
    warp, first, second = bent("warp"), linear("a"), linear("b", (1, 2, 1))
    for node in (first, second):
        node.SetAndObserveTransformNodeID(warp.GetID())
    volume, other = make_volume("V", array, transform=first), make_volume("W", array, transform=second)
    a, b = (slicer.util.arrayFromTransformMatrix(node) for node in (first, second))
    np.testing.assert_allclose(relative_matrix(volume, other), np.linalg.inv(b) @ a, atol=1e-9)
    np.testing.assert_allclose(relative_matrix(volume, volume), np.eye(4))


def test_a_transform_that_bends_space_is_refused_unless_shared(make_volume, array):
    warp = bent("warp")
    volume, other = make_volume("V", array, transform=warp), make_volume("W", array)
    with pytest.raises(DataError, match="V and W do not lie under the same transforms, and 'warp' bends space"):
        relative_matrix(volume, other)
    with pytest.raises(DataError, match="'warp' bends space"):
        relative_matrix(other, volume)
    other.SetAndObserveTransformNodeID(warp.GetID())
    np.testing.assert_allclose(relative_matrix(volume, other), np.eye(4))


def test_offsets_are_seen_and_turns_of_thin_boxes_are_not_taken_for_them():
    shift = np.eye(4)
    shift[:3, 3] = (2.01, -3, 5.04)
    assert offset_of(shift, (4, 5, 6), (10, 20, 30)) == (2, -3, 5)
    shift[0, 3] = 2.4
    assert offset_of(shift, (4, 5, 6), (10, 20, 30)) is None
    assert offset_of(np.diag([-1, 1, 1, 1]), (0, 0, 0), (1, 4, 4)) is None
    assert offset_of(np.diag([1.001, 1, 1, 1]), (0, 0, 0), (1000, 4, 4)) is None
