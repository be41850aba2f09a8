import json

import numpy as np
import pytest
import slicer
import vtk
from MedSegTrainerUI.train.prediction_preview import Preview

CLASSES = [{"value": 2, "name": "liver", "color": (221, 130, 101), "terminology": ""}]


def write(folder, array, epoch, directions="(2,0,0) (0,2,0) (0,0,2)"):
    """A label map as the library writes it: LPS, one layer."""
    spaces = f"space: left-posterior-superior\nspace directions: {directions}\nspace origin: (0,0,0)\n"
    sizes = " ".join(map(str, array.shape[::-1]))
    head = f"NRRD0004\ntype: uint8\ndimension: 3\nsizes: {sizes}\nkinds: domain domain domain\nencoding: raw\n{spaces}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "latest.seg.nrrd").write_bytes(head.encode() + b"\n" + array.astype(np.uint8).tobytes())
    (folder / "latest.json").write_text(json.dumps({"case": "A", "epoch": epoch}))


@pytest.fixture
def volume(make_volume):
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 12.5)
    transform.SetMatrixTransformToParent(matrix)
    return make_volume("A", np.zeros((6, 7, 8), dtype=np.int16), oblique=False, transform=transform)


def nodes():
    return slicer.mrmlScene.GetNumberOfNodes()


def voxels(node):
    name = node.GetSegmentation().GetNthSegmentID(0)
    image = node.GetSegmentation().GetSegment(name).GetRepresentation("Binary labelmap")
    extent = image.GetExtent()
    if extent[1] < extent[0]:
        return 0
    return int((vtk.util.numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()) > 0).sum())


def test_the_newest_file_replaces_the_voxels_of_the_same_node(volume, tmp_path):
    preview = Preview()
    folder = tmp_path / "previews"
    assert not preview.look(folder) and not preview.show(volume, CLASSES)
    labels = np.zeros((3, 3, 4))
    labels[1, 1, 1:3] = 2
    write(folder, labels, 1)
    assert preview.look(folder) and (preview.case, preview.epoch) == ("A", 1)
    assert preview.show(volume, CLASSES) and not preview.show(volume, CLASSES)
    node = preview.node()
    first = voxels(node)
    assert first > 0 and node.GetTransformNodeID() == volume.GetTransformNodeID()
    assert node.GetSegmentation().GetNthSegment(0).GetName() == "liver"
    before = nodes()
    labels[1, 2, :] = 2
    write(folder, labels, 12)
    assert preview.look(folder) and not preview.look(folder)
    preview._not_before = 0.0
    assert preview.show(volume, CLASSES)
    assert preview.node() is node and voxels(node) > first and nodes() == before
    preview.remove()
    assert preview.node() is None


def test_large_volumes_are_not_imported_all_the_time(volume, tmp_path):
    preview = Preview()
    write(tmp_path, np.ones((3, 3, 3)), 1)
    preview.look(tmp_path)
    preview.show(volume, CLASSES)
    write(tmp_path, np.ones((3, 3, 3)), 22)
    assert preview.look(tmp_path)
    preview._not_before += 1000
    assert not preview.show(volume, CLASSES)
    preview._not_before = 0.0
    assert preview.show(volume, CLASSES)


def test_another_case_is_not_waited_for(volume, make_volume, tmp_path):
    """The old one would lie over the new volume in the meantime."""
    preview = Preview()
    write(tmp_path, np.ones((3, 3, 3)), 1)
    preview.look(tmp_path)
    preview.show(volume, CLASSES)
    preview._not_before += 1000
    other = make_volume("B", np.zeros((6, 7, 8), dtype=np.int16), oblique=False)
    (tmp_path / "latest.json").write_text(json.dumps({"case": "B", "epoch": 22}))
    assert preview.look(tmp_path) and preview.show(other, CLASSES)
    assert "B" in preview.node().GetName() and preview.node().GetTransformNodeID() is None


def drawn_as(display):
    shown = display.GetVisibility(), display.GetVisibility2DFill(), display.GetVisibility2DOutline()
    return (*shown, display.GetOpacity2DFill(), display.GetSliceIntersectionThickness())


def test_it_is_an_outline_and_what_the_user_drew_stays_as_he_draws_it(volume, tmp_path, make_segmentation):
    users = make_segmentation("A-seg", volume, {"liver": np.ones((6, 7, 8))}).GetDisplayNode()
    users.SetOpacity2DFill(0.3)
    before = drawn_as(users)
    preview = Preview()
    write(tmp_path, np.ones((3, 3, 3)), 1)
    preview.look(tmp_path)
    preview.show(volume, CLASSES)
    _, filled, outlined, _, thickness = drawn_as(preview.node().GetDisplayNode())
    assert not filled and outlined and thickness > before[-1]
    preview.remove()
    assert drawn_as(users) == before


def painted(path):
    """Which pixels of a picture of grey images have a colour."""
    reader = vtk.vtkPNGReader()
    reader.SetFileName(str(path))
    reader.Update()
    image = reader.GetOutput()
    colors = vtk.util.numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).astype(int)
    return (np.ptp(colors[:, :3], axis=1) > 30).reshape(image.GetDimensions()[1::-1])


def test_its_edge_is_seen_over_what_was_drawn_and_its_inside_is_clear(
    make_volume, make_segmentation, tmp_path, render_slice_views
):
    def ball(middle, radius):
        return ((np.indices((40, 40, 40)) - middle) ** 2).sum(axis=0) < radius**2

    image = make_volume("A", (20 * np.sin(np.indices((40, 40, 40)).sum(axis=0) / 9)).astype(np.int16), oblique=False)
    users = make_segmentation("A-seg", image, {"liver": ball(20, 9)}, {"liver": (221 / 255, 130 / 255, 101 / 255)})
    write(tmp_path, 2 * ball(22, 9), 1, directions="(-1,0,0) (0,-1,0) (0,0,1)")
    preview = Preview()
    preview.look(tmp_path)
    preview.show(image, CLASSES)
    preview.node().GetDisplayNode().SetVisibility(True)
    render_slice_views("preview-over-drawn", image)
    users.GetDisplayNode().SetVisibility(False)
    outline = painted(render_slice_views("preview-alone", image))[:, :320]
    rows, columns = np.nonzero(outline)
    inside = (slice(rows.min(), rows.max()), slice(columns.min(), columns.max()))
    assert 100 < np.ptp(rows) < 200 and 0.02 < outline[inside].mean() < 0.12
