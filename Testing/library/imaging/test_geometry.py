"""Physical points, by hand and on an oblique grid: nothing here is checked by the code that it checks."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from MedSegTrainerLib.imaging.geometry import Geometry, resample, to_canonical

ORIENTATIONS = [
    "".join(letters)
    for order in itertools.permutations(("LR", "PA", "SI"))
    for letters in itertools.product(*order)
]  # fmt: skip


def point(geometry: Geometry, index: tuple[float, float, float]) -> np.ndarray:
    """LPS position of a continuous voxel index (x, y, z), by SimpleITK."""
    image = sitk.Image(geometry.size, sitk.sitkUInt8)
    image.SetSpacing(geometry.spacing)
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction)
    return np.array(image.TransformContinuousIndexToPhysicalPoint(index))


def corners(geometry: Geometry) -> np.ndarray:
    """LPS positions of the eight outer corners of the box (voxel borders, not voxel centres)."""
    ends = [(-0.5, size - 0.5) for size in geometry.size]
    return np.array([point(geometry, (x, y, z)) for x, y, z in itertools.product(*ends)])


def numbered(size: tuple[int, int, int]) -> sitk.Image:
    """Every voxel another number."""
    return Geometry(size=size, spacing=(0.8, 1.1, 2.5), origin=(3, -4, 5)).place(
        np.arange(np.prod(size), dtype=np.int32).reshape(size[::-1])
    )


class TestPlace:
    def test_image_has_array_and_geometry(self, oblique_geometry: Geometry, generator: np.random.Generator) -> None:
        array = generator.integers(0, 99, oblique_geometry.size_zyx).astype(np.int16)
        image = oblique_geometry.place(array)
        assert image.GetPixel(16, 2, 7) == array[7, 2, 16]
        assert Geometry.of(image) == oblique_geometry

    def test_array_of_another_shape_is_refused(self, oblique_geometry: Geometry) -> None:
        with pytest.raises(ValueError, match=r"\(17, 13, 9\) \(z, y, x\) cannot lie on a grid of \(9, 13, 17\)"):
            oblique_geometry.place(np.zeros(oblique_geometry.size))

    def test_voxel_volume(self, oblique_geometry: Geometry) -> None:
        assert oblique_geometry.voxel_volume_mm3 == pytest.approx(0.8 * 1.1 * 2.5)


class TestResized:
    @pytest.mark.parametrize("spacing", [(0.4, 2.2, 1.0), (1.0, 1.0, 1.0), (3.3, 0.7, 5.0), (100.0, 1.1, 2.5)])
    def test_box_stays_where_it_is(self, oblique_geometry: Geometry, spacing: tuple[float, float, float]) -> None:
        resized = oblique_geometry.resized(spacing)
        assert resized.size != oblique_geometry.size
        assert corners(resized) == pytest.approx(corners(oblique_geometry), abs=1e-9)

    def test_spacing_is_as_near_as_whole_voxels_allow(self, oblique_geometry: Geometry) -> None:
        resized = oblique_geometry.resized((0.4, 2.2, 1.0))
        assert resized.size == (34, 6, 22)  # 13.6 / 0.4, 14.3 / 2.2 = 6.5 (to even), 22.5 / 1 (to even)
        assert resized.spacing == pytest.approx((0.4, 14.3 / 6, 22.5 / 22))

    def test_never_without_voxels(self, oblique_geometry: Geometry) -> None:
        assert oblique_geometry.resized((1000.0, 1000.0, 1000.0)).size == (1, 1, 1)


class TestAffine:
    def test_by_hand(self) -> None:
        turned = Geometry(
            size=(2, 3, 4), spacing=(0.5, 2.0, 3.0), origin=(10.0, 20.0, 30.0),
            direction=(0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        )  # fmt: skip
        # i runs along +P, j along +S, k along +L; in RAS that is -y, +z and -x
        expected = [[0, 0, -3, -10], [-0.5, 0, 0, -20], [0, 2, 0, 30], [0, 0, 0, 1]]
        assert turned.affine_ras() == pytest.approx(np.array(expected, dtype=float))

    def test_oblique(self, oblique_geometry: Geometry) -> None:
        for index in ((0, 0, 0), (16, 0, 0), (0, 12, 0), (0, 0, 8), (5, 7, 3)):
            ras = (oblique_geometry.affine_ras() @ [*index, 1])[:3]
            assert ras == pytest.approx(point(oblique_geometry, index) * (-1, -1, 1))


class TestDisagreements:
    def test_none_with_itself_and_with_rounding(self, oblique_geometry: Geometry) -> None:
        rounded = replace(
            oblique_geometry,
            origin=tuple(np.array(oblique_geometry.origin) + 1e-4),
            direction=tuple(np.array(oblique_geometry.direction).round(4)),
        )
        assert oblique_geometry.disagreements(oblique_geometry) == []
        assert oblique_geometry.disagreements(rounded) == []

    @pytest.mark.parametrize(
        "what, change",
        [
            ("size", {"size": (17, 13, 10)}),
            ("spacing", {"spacing": (0.8, 1.12, 2.5)}),  # 0.02 mm a voxel are 0.26 mm over 13 voxels
            ("origin", {"origin": (-31.5, 12.25, 7.1)}),
        ],
    )
    def test_names_what_differs(self, oblique_geometry: Geometry, what: str, change: dict[str, tuple]) -> None:
        differences = oblique_geometry.disagreements(replace(oblique_geometry, **change))
        assert len(differences) == 1
        assert differences[0].startswith(what + " (")

    def test_a_turn_of_one_degree(self, oblique_geometry: Geometry) -> None:
        turn = Rotation.from_euler("z", 1, degrees=True).as_matrix()
        direction = tuple((turn @ np.array(oblique_geometry.direction).reshape(3, 3)).ravel())
        differences = oblique_geometry.disagreements(replace(oblique_geometry, direction=direction))
        assert len(differences) == 1
        assert differences[0].startswith("direction (")

    @pytest.mark.parametrize("order", [order for order in itertools.permutations(range(3)) if order != (0, 1, 2)])
    def test_exchanged_axes_of_a_cube(self, order: tuple[int, ...]) -> None:
        """The corner farthest from the origin stays where it is; the others do not."""
        cube = Geometry(size=(8, 8, 8))
        exchanged = replace(cube, direction=tuple(np.eye(3)[:, order].ravel()))
        assert [difference.split()[0] for difference in cube.disagreements(exchanged)] == ["direction"]

    def test_tells_all_at_once(self, oblique_geometry: Geometry) -> None:
        other = Geometry(size=oblique_geometry.size)
        kinds = [difference.split()[0] for difference in oblique_geometry.disagreements(other)]
        assert kinds == ["spacing", "origin", "direction"]


class TestCanonical:
    def test_there_are_48_ways(self) -> None:
        assert len(set(ORIENTATIONS)) == 48

    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    def test_there_and_back_is_exact(self, orientation: str, oblique_geometry: Geometry) -> None:
        source = sitk.DICOMOrient(numbered((3, 4, 5)), orientation)
        tilted = Rotation.from_euler("xyz", (11, -7, 16), degrees=True).as_matrix()
        direction = tilted @ np.array(source.GetDirection()).reshape(3, 3)
        source.SetDirection(direction.ravel())
        assert Geometry.of(source).orientation() == orientation

        canonical = to_canonical(source)
        assert Geometry.of(canonical).orientation() == "LPS"
        # every voxel lies where it lay, whatever its index
        for index in ((0, 0, 0), (2, 1, 3), (1, 3, 2)):
            place = canonical.TransformIndexToPhysicalPoint(index)
            there = source.TransformPhysicalPointToIndex(place)
            assert source.TransformIndexToPhysicalPoint(there) == pytest.approx(place)
            assert canonical.GetPixel(index) == source.GetPixel(there)

        back = sitk.DICOMOrient(canonical, orientation)
        assert np.array_equal(sitk.GetArrayViewFromImage(back), sitk.GetArrayViewFromImage(source))
        assert Geometry.of(source).disagreements(Geometry.of(back)) == []


class TestResample:
    def test_a_linear_ramp_is_exact_inside(self, oblique_geometry: Geometry) -> None:
        """Linear interpolation cannot err on intensities that grow linearly with the position in the patient."""
        gradient = np.array([1.5, -0.7, 0.9])

        def ramp(geometry: Geometry) -> np.ndarray:
            affine = geometry.affine_ras() * np.array([[-1], [-1], [1], [1]])  # back to LPS
            z, y, x = np.indices(geometry.size_zyx)
            points_mm = np.stack([x, y, z], axis=-1) @ affine[:3, :3].T + affine[:3, 3]
            return points_mm @ gradient

        target = oblique_geometry.resized((1.3, 0.6, 1.9))
        image = oblique_geometry.place(ramp(oblique_geometry))
        resampled = sitk.GetArrayFromImage(resample(image, target, is_label=False))
        inside = (slice(2, -2),) * 3
        assert resampled.shape == target.size_zyx
        assert resampled[inside] == pytest.approx(ramp(target)[inside], abs=1e-6)

    def test_labels_keep_their_values(self, oblique_case: tuple[sitk.Image, sitk.Image]) -> None:
        label = oblique_case[1] * 100
        target = Geometry.of(label).resized((0.5, 0.5, 0.5))
        resampled = sitk.GetArrayFromImage(resample(label, target, is_label=True))
        assert set(np.unique(resampled)) == {0, 100, 200}
        source = sitk.GetArrayFromImage(label)
        volumes = [(a == 100).sum() * v for a, v in ((resampled, target.voxel_volume_mm3), (source, 0.8 * 1.1 * 2.5))]
        assert volumes[0] == pytest.approx(volumes[1], rel=0.05)

    def test_the_border_is_repeated_outside(self) -> None:
        image = Geometry(size=(2, 3, 4)).place(np.full((4, 3, 2), 7.0))
        larger = Geometry(size=(4, 5, 6), origin=(-1.0, -1.0, -1.0))
        assert np.all(sitk.GetArrayFromImage(resample(image, larger, is_label=False)) == 7)

    def test_the_same_grid_gives_the_same_image(self, oblique_case: tuple[sitk.Image, sitk.Image]) -> None:
        image = oblique_case[0]
        assert resample(image, Geometry.of(image), is_label=False) is image

    def test_exchanged_axes_are_not_the_same_grid(self) -> None:
        image = numbered((4, 4, 4))
        geometry = replace(Geometry.of(image), spacing=(1.0, 1.0, 1.0))
        image.SetSpacing(geometry.spacing)
        turned = replace(geometry, direction=(0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0))
        resampled = sitk.GetArrayFromImage(resample(image, turned, is_label=True))
        assert np.array_equal(resampled, sitk.GetArrayFromImage(image).transpose(0, 2, 1))
