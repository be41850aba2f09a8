"""The preview: a label map that lies where the volume lies, and a picture in its true proportions."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from matplotlib.image import imread

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.seg_nrrd import read_header
from MedSegTrainerLib.training.previews import (
    GAP_PIXELS,
    PANEL_PIXELS,
    Preview,
    differs_at,
    draw_preview,
    write_preview,
)

CLASSES = (
    LabelClass(value=3, name="kidney", color=(255, 0, 0)),
    LabelClass(value=7, name="cyst", color=(0, 0, 255)),
)


@pytest.fixture
def preview(oblique_geometry: Geometry, generator: np.random.Generator) -> Preview:
    """A kidney of 4 x 6 x 9 voxels; the prediction lies 3 voxels further along x and calls a part of it a cyst."""
    reference = np.zeros(oblique_geometry.size_zyx, dtype=np.uint8)
    reference[2:6, 3:9, 4:13] = 1
    prediction = np.roll(reference, 3, axis=2).astype(np.int16)
    prediction[4:6] *= 2
    image = generator.standard_normal(oblique_geometry.size_zyx).astype(np.float32)
    return Preview(name="a", image=image, reference=reference, prediction=prediction, geometry=oblique_geometry)


def picture(preview: Preview) -> np.ndarray:
    """RGB, 0 to 1."""
    array: np.ndarray = imread(io.BytesIO(draw_preview(preview, CLASSES)))
    return array[..., :3]


def panels(rgb: np.ndarray) -> list[np.ndarray]:
    """Image, reference and prediction, all planes below each other."""
    width = (rgb.shape[1] - 2 * GAP_PIXELS) // 3
    return [rgb[:, i * (width + GAP_PIXELS) :][:, :width] for i in range(3)]


def red(rgb: np.ndarray) -> np.ndarray:
    return (rgb[..., 0] - rgb[..., 2]) > 0.3


def blue(rgb: np.ndarray) -> np.ndarray:
    return (rgb[..., 2] - rgb[..., 0]) > 0.3


class TestWrite:
    def test_lies_in_patient_space_with_values_names_and_colours(self, preview: Preview, tmp_path: Path) -> None:
        write_preview(preview, b"png", CLASSES, tmp_path / "previews", epoch=12)
        path = tmp_path / "previews" / "latest.seg.nrrd"
        image = sitk.ReadImage(str(path))
        assert Geometry.of(image).disagreements(preview.geometry) == []
        assert np.array_equal(sitk.GetArrayFromImage(image), np.array([0, 3, 7])[preview.prediction])
        assert [segment.item for segment in read_header(path)] == list(CLASSES)

    def test_says_of_which_case_and_epoch(self, preview: Preview, tmp_path: Path) -> None:
        for epoch in (3, 9):
            write_preview(preview, b"png %d" % epoch, CLASSES, tmp_path, epoch=epoch)
        description = json.loads((tmp_path / "latest.json").read_text())
        assert (description["case"], description["epoch"], description["differs_at"]) == ("a", 9, differs_at(preview))
        assert (tmp_path / "latest.png").read_bytes() == b"png 9"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["latest.json", "latest.png", "latest.seg.nrrd"]


class TestDiffersAt:
    def test_is_where_the_planes_with_the_most_wrong_voxels_cross(self, preview: Preview) -> None:
        """Three rows of three voxels are wrong, which begin at x = 6, y = 4, z = 3, and one voxel elsewhere."""
        prediction = preview.reference.astype(np.int16)
        prediction[3:6, 4, 6] = prediction[3, 4:7, 6] = prediction[3, 4, 6:9] = prediction[7, 12, 2] = 2
        mistaken = replace(preview, prediction=prediction)
        x, y, z = preview.geometry.place(prediction).TransformIndexToPhysicalPoint((6, 4, 3))
        assert differs_at(mistaken) == pytest.approx([-x, -y, z], abs=1e-3)

    def test_voxels_that_nobody_labelled_do_not_count(self, preview: Preview) -> None:
        assert differs_at(replace(preview, prediction=preview.reference)) is None
        sparse = np.where(preview.reference == preview.prediction, preview.reference.astype(np.int16), np.int16(-1))
        assert differs_at(replace(preview, reference=sparse)) is None
        assert differs_at(preview) is not None


class TestDraw:
    def test_proportions_are_those_of_the_patient(self, preview: Preview) -> None:
        """Sides in mm: z 9 * 2.5, y 13 * 1.1, x 17 * 0.8; the widest panel is 288 pixels wide."""
        z, y, x = 22.5, 14.3, 13.6
        scale = PANEL_PIXELS / y
        height, width = picture(preview).shape[:2]
        assert width == 3 * PANEL_PIXELS + 2 * GAP_PIXELS
        assert height == pytest.approx((y + z + z) * scale + 2 * GAP_PIXELS, abs=2)
        axial = panels(picture(preview))[0][: round(y * scale)]
        assert np.count_nonzero(axial.any(axis=(0, 2))) == pytest.approx(x * scale, abs=2)

    def test_a_class_is_where_it_is_and_as_large_as_it_is(self, preview: Preview) -> None:
        """In the axial plane the kidney is 6 voxels of 1.1 mm by 9 of 0.8 mm, with its upper left at (3, 4)."""
        scale = PANEL_PIXELS / 14.3
        image, reference, prediction = (panel[: round(14.3 * scale)] for panel in panels(picture(preview)))
        rows, columns = np.nonzero(red(reference))
        assert np.ptp(rows) + 1 == pytest.approx(6 * 1.1 * scale, abs=2)
        assert np.ptp(columns) + 1 == pytest.approx(9 * 0.8 * scale, abs=2)
        assert rows.min() == pytest.approx(3 * 1.1 * scale, abs=2)
        moved = np.nonzero(red(prediction))[1].min() - columns.min()
        assert moved == pytest.approx(3 * 0.8 * scale, abs=2)
        assert not red(image).any() and not blue(image).any()

    def test_superior_is_up(self, preview: Preview) -> None:
        """Slices 4 and 5 are called a cyst, 2 and 3 a kidney: z grows to the top of the coronal plane."""
        below_axial = panels(picture(preview))[2][round(PANEL_PIXELS) + GAP_PIXELS :]
        coronal = below_axial[: below_axial.shape[0] // 2]
        assert np.nonzero(blue(coronal))[0].mean() < np.nonzero(red(coronal))[0].mean()

    def test_the_border_is_drawn_all_around(self, preview: Preview) -> None:
        axial = panels(picture(preview))[1][: PANEL_PIXELS - 10]
        rows, columns = np.nonzero(red(axial))
        box = axial[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        for edge in (box[0], box[-1], box[:, 0], box[:, -1]):
            assert np.allclose(edge, (1, 0, 0), atol=0.01)
        assert not np.allclose(box[5, 5], (1, 0, 0), atol=0.01)

    def test_voxels_that_nobody_labelled_are_dark(self, preview: Preview) -> None:
        image = np.broadcast_to(np.arange(17) >= 8, preview.image.shape).astype(np.float32)
        sparse = np.where(np.arange(17) < 8, preview.reference.astype(np.int16), np.int16(-1))
        partly_labelled = Preview(
            name="a", image=image, reference=sparse, prediction=preview.prediction * 0, geometry=preview.geometry
        )
        _, reference, prediction = panels(picture(partly_labelled))
        part = slice(20, 40), slice(-30, -10)
        assert reference[part].min() > 0.1 and reference[part].max() < 0.5 < prediction[part].min()

    def test_a_2d_image_is_one_row(self, generator: np.random.Generator) -> None:
        geometry = Geometry(size=(40, 25, 1), spacing=(0.5, 1.0, 1.0))
        image = generator.standard_normal((1, 25, 40)).astype(np.float32)
        labels = np.zeros((1, 25, 40), dtype=np.int16)
        flat = Preview(name="a", image=image, reference=labels, prediction=labels, geometry=geometry)
        assert picture(flat).shape[0] == pytest.approx(PANEL_PIXELS * 25 / 20, abs=1)

    def test_a_constant_image(self, preview: Preview) -> None:
        black = Preview(
            name="a", image=preview.image * 0, reference=preview.reference * 0, prediction=preview.prediction * 0,
            geometry=preview.geometry,
        )  # fmt: skip
        assert np.isfinite(picture(black)).all()


class TestOverlap:
    @pytest.fixture
    def nested(self, preview: Preview) -> Preview:
        """A cyst inside of the kidney, in the reference alone."""
        reference = np.where(preview.reference > 0, 0b1, 0).astype(np.int32)
        z, y, x = (int(at) for at in np.argwhere(reference > 0).mean(axis=0))
        reference[z - 1 : z + 2, y - 1 : y + 2, x - 2 : x + 3] = 0b11
        prediction = np.where(reference > 0, 0b1, 0).astype(np.int32)
        return replace(preview, reference=reference, prediction=prediction, overlapping=True)

    def test_is_written_in_layers(self, nested: Preview, tmp_path: Path) -> None:
        classes = [replace(item, value=value) for value, item in enumerate(CLASSES, start=1)]
        write_preview(replace(nested, prediction=nested.reference), b"png", classes, tmp_path, epoch=1)
        written = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "latest.seg.nrrd")))
        assert ((written[..., 0] == 1) == (nested.reference > 0)).all()
        assert ((written[..., 1] == 2) == (nested.reference == 0b11)).all()

    def test_nested_classes_are_both_seen(self, nested: Preview) -> None:
        _, reference, prediction = panels(imread(io.BytesIO(draw_preview(nested, CLASSES)))[..., :3])
        assert blue(reference).any() and red(reference).any()
        assert red(prediction).any() and not blue(prediction).any()
