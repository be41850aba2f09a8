import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from MedSegTrainerUI.scene.uncertainty_view import has_map, hide_map, is_map, is_shown, remember_map, show_map

from MedSegTrainerLib.errors import DataError


@pytest.fixture
def volume(make_volume):
    return make_volume("CT", np.arange(480, dtype=np.int16).reshape(6, 8, 10))


@pytest.fixture
def result(volume, make_segmentation, tmp_path):
    """A result with the map of its uncertainty, on the grid of the volume."""
    node = make_segmentation("CT segmentation", volume, {"liver": slicer.util.arrayFromVolume(volume) > 240})
    matrix = slicer.vtkMRMLSliceNode().GetXYToRAS()
    volume.GetIJKToRASMatrix(matrix)
    to_lps = np.diag([-1.0, -1, 1, 1]) @ slicer.util.arrayFromVTKMatrix(matrix)
    spacing = np.linalg.norm(to_lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(np.linspace(0, 1, 480, dtype=np.float32).reshape(6, 8, 10))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(to_lps[:3, 3].tolist())
    image.SetDirection((to_lps[:3, :3] / spacing).ravel().tolist())
    sitk.WriteImage(image, str(tmp_path / "CT_entropy.nrrd"))
    remember_map(node, tmp_path / "CT_entropy.nrrd")
    return node


def maps():
    return [node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if is_map(node)]


def test_it_comes_between_the_image_and_its_segments(result, volume, slice_views):
    assert has_map(result) and not is_shown(result) and maps() == []
    node = show_map(result, volume)
    assert set(slice_views.layers().values()) == {(volume.GetID(), node.GetID())} and is_shown(result)
    assert node.GetName() == "CT uncertainty" and not is_map(volume)
    first, second = (slicer.vtkMRMLSliceNode().GetXYToRAS() for _node in range(2))
    volume.GetIJKToRASMatrix(first)
    node.GetIJKToRASMatrix(second)
    assert slicer.util.arrayFromVTKMatrix(second) == pytest.approx(slicer.util.arrayFromVTKMatrix(first), abs=1e-4)
    hide_map(result)
    assert set(slice_views.layers().values()) == {(volume.GetID(), None)} and not is_shown(result)
    assert show_map(result, volume) is node, "loaded once"


def test_nothing_is_drawn_where_the_model_is_sure_and_the_unsure_is_bright(result, volume, slice_views):
    display = show_map(result, volume).GetDisplayNode()
    assert display.GetApplyThreshold() and display.GetLowerThreshold() == pytest.approx(0.05)
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == pytest.approx((0, 1))
    table = display.GetColorNode().GetLookupTable()
    sure, unsure = ([table.GetTableValue(index)[part] for part in range(3)] for index in (0, 255))
    assert sum(sure) < 0.5 and unsure == [1, 1, 1]


def test_what_is_lost_is_told(result, volume, tmp_path, make_segmentation):
    (tmp_path / "CT_entropy.nrrd").unlink()
    assert not has_map(result)
    with pytest.raises(DataError, match="apply the model again"):
        show_map(result, volume)
    (tmp_path / "CT_entropy.nrrd").write_text("nothing")
    with pytest.raises(DataError, match="cannot be read"):
        show_map(result, volume)
    other = make_segmentation("mine", volume, {})
    assert not has_map(other) and maps() == []


def test_a_saved_scene_has_it_without_the_file_of_the_job(result, volume, slice_views, scene, tmp_path):
    show_map(result, volume)
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    (tmp_path / "CT_entropy.nrrd").unlink()
    scene.Clear()
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    (again,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    (node,) = maps()
    assert has_map(again)
    (loaded,) = (one for one in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if one is not node)
    assert show_map(again, loaded) is node and slicer.util.arrayFromVolume(node).max() == pytest.approx(1)
    assert node.GetDisplayNode().GetColorNode().GetName() == "MedSegTrainer uncertainty"
