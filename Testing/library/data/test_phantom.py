"""The made-up volumes: labelled right, different from each other, and written so that they can be found."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import binary_dilation, binary_erosion

from MedSegTrainerLib.data.phantom import (
    CLASS_NAMES,
    LIVER,
    MAX_TILT_DEGREES,
    PORTAL_VEIN,
    SMALLEST_STRUCTURE,
    SPLEEN,
    TUMOR,
    Ellipsoid,
    make_phantom,
    write_phantoms,
)
from MedSegTrainerLib.imaging.geometry import Geometry, to_canonical

SEEDS = range(6)


def _arrays(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Image and label as (z, y, x) in LPS order."""
    image, label = make_phantom(seed)
    return sitk.GetArrayFromImage(to_canonical(image)), sitk.GetArrayFromImage(to_canonical(label))


def _tilt_degrees(image: sitk.Image) -> float:
    rotation = np.array(to_canonical(image).GetDirection()).reshape(3, 3)
    return float(np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))))


class TestMakePhantom:
    @pytest.mark.parametrize("seed", SEEDS)
    def test_every_structure_is_there_and_none_is_tiny(self, seed: int) -> None:
        _, label = _arrays(seed)
        values, counts = np.unique(label, return_counts=True)
        assert values.tolist() == [0, *CLASS_NAMES]
        assert counts.min() >= SMALLEST_STRUCTURE

    @pytest.mark.parametrize("seed", SEEDS)
    def test_tumor_lies_in_the_liver_on_the_right_and_the_spleen_on_the_left(self, seed: int) -> None:
        _, label = _arrays(seed)
        tumor = label == TUMOR
        shell = binary_dilation(tumor) & ~tumor
        assert np.isin(label[shell], (LIVER, PORTAL_VEIN)).mean() > 0.5
        # In LPS order x grows to the left of the patient.
        center = {value: np.argwhere(label == value)[:, 2].mean() for value in (LIVER, SPLEEN)}
        assert center[LIVER] < label.shape[2] / 2 < center[SPLEEN]

    @pytest.mark.parametrize("seed", SEEDS)
    def test_labels_lie_where_the_image_shows_the_structure(self, seed: int) -> None:
        image, label = _arrays(seed)
        inner = {value: np.median(image[binary_erosion(label == value)]) for value in (LIVER, PORTAL_VEIN, TUMOR)}
        assert inner[PORTAL_VEIN] < 0.6 * inner[LIVER]
        assert inner[TUMOR] > 1.25 * inner[LIVER]

    def test_image_and_label_share_an_oblique_anisotropic_grid(self) -> None:
        for seed in SEEDS:
            image, label = make_phantom(seed)
            assert Geometry.of(image) == Geometry.of(label)
            assert image.GetPixelID() == sitk.sitkInt16
            assert label.GetPixelID() == sitk.sitkUInt8
            assert 3 < _tilt_degrees(image) <= MAX_TILT_DEGREES + 0.01
            assert max(image.GetSpacing()) > 1.4 * min(image.GetSpacing())
            assert np.linalg.norm(image.GetOrigin()) > 10

    def test_cases_differ_in_size_spacing_axis_order_and_shape(self) -> None:
        grids = [Geometry.of(make_phantom(seed)[0]) for seed in SEEDS]
        assert len({grid.size for grid in grids}) == len(grids)
        assert len({grid.spacing for grid in grids}) == len(grids)
        assert len({grid.orientation() for grid in grids}) >= 3

    def test_same_seed_same_case(self) -> None:
        first, second = make_phantom(3), make_phantom(3)
        for one, other in zip(first, second, strict=True):
            assert Geometry.of(one) == Geometry.of(other)
            np.testing.assert_array_equal(sitk.GetArrayViewFromImage(one), sitk.GetArrayViewFromImage(other))


class TestEllipsoid:
    def test_depth_of_a_sphere_is_the_distance_to_its_surface(self) -> None:
        points = np.array([[1.0, 9.0, 14.0], [2.0, 2.0, 2.0], [-3.0, -3.0, -3.0]])  # x 3: along x through the centre
        depth = Ellipsoid((1, 2, -3), (10, 10, 10)).depth(points)
        assert depth[1:] == pytest.approx([2, -3], abs=0.05)
        assert depth[0] > 2

    def test_depth_beside_a_flat_ellipsoid_is_in_mm_along_every_axis(self) -> None:
        shape = Ellipsoid((0, 0, 0), (40, 20, 5))
        assert shape.depth(np.diag([41.0, 21.0, 6.0])) == pytest.approx([-1, -1, -1], abs=0.05)


class TestWritePhantoms:
    def test_folders_and_description(self, tmp_path: Path) -> None:
        write_phantoms(tmp_path, train=2, held_out=1, seed=5)
        names = ["case_000.nii.gz", "case_001.nii.gz"]
        description = json.loads((tmp_path / "train" / "dataset.json").read_text(encoding="utf-8"))
        assert description["labels"] == {"0": "background", **{str(v): name for v, name in CLASS_NAMES.items()}}
        assert [entry["image"] for entry in description["training"]] == [f"./imagesTr/{name}" for name in names]
        assert [entry["label"] for entry in description["training"]] == [f"./labelsTr/{name}" for name in names]
        written = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.nii.gz"))
        assert written == sorted(
            [f"train/{folder}/{name}" for folder in ("imagesTr", "labelsTr") for name in names]
            + [f"held_out/{folder}/case_002.nii.gz" for folder in ("images", "labels")]
        )

    def test_files_hold_the_phantoms_on_one_grid(self, tmp_path: Path) -> None:
        write_phantoms(tmp_path, train=1, held_out=0, seed=5)
        image = sitk.ReadImage(str(tmp_path / "train" / "imagesTr" / "case_000.nii.gz"))
        label = sitk.ReadImage(str(tmp_path / "train" / "labelsTr" / "case_000.nii.gz"))
        phantom_image, phantom_label = make_phantom(5000)
        assert Geometry.of(image).disagreements(Geometry.of(phantom_image)) == []
        assert Geometry.of(image) == Geometry.of(label)
        np.testing.assert_array_equal(sitk.GetArrayViewFromImage(image), sitk.GetArrayViewFromImage(phantom_image))
        np.testing.assert_array_equal(sitk.GetArrayViewFromImage(label), sitk.GetArrayViewFromImage(phantom_label))
